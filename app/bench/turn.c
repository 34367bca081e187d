/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 the spinat authors
 */
#include <netinet/in.h>

#include <rte_ethdev.h>
#include <rte_prefetch.h>

#include "nat/hash.h"
#include "turn.h"

#define PREFETCH_AHEAD 4

static uint32_t
turn_engine(struct bench_rig *r)
{
	return spinat_worker_poll(r->worker);
}

static uint32_t
turn_rings(struct bench_rig *r)
{
	struct rte_mbuf *m[SPINAT_BURST];
	uint32_t total = 0;

	for (int d = 0; d < 2; d++) {
		uint16_t n = rte_eth_rx_burst(r->port_id[d], 0, m, SPINAT_BURST);

		if (n > 0)
			total += rte_eth_tx_burst(r->port_id[!d], 0, m, n);
	}
	return total;
}

static uint32_t
turn_mac(struct bench_rig *r)
{
	struct rte_mbuf *m[SPINAT_BURST];
	uint32_t total = 0;

	for (int d = 0; d < 2; d++) {
		const struct rte_ether_addr src = r->engine->ports[!d].mac, dst = r->router[!d];
		uint16_t n = rte_eth_rx_burst(r->port_id[d], 0, m, SPINAT_BURST);

		for (uint16_t i = 0; i < RTE_MIN(n, PREFETCH_AHEAD); i++)
			rte_prefetch0(rte_pktmbuf_mtod(m[i], void *));
		for (uint16_t i = 0; i < n; i++) {
			struct rte_ether_hdr *eth = rte_pktmbuf_mtod(m[i], struct rte_ether_hdr *);

			if (i + PREFETCH_AHEAD < n)
				rte_prefetch0(rte_pktmbuf_mtod(m[i + PREFETCH_AHEAD], void *));
			eth->dst_addr = dst;
			eth->src_addr = src;
			m[i]->ol_flags = 0;
			m[i]->l2_len = sizeof(*eth);
			m[i]->l3_len = sizeof(struct rte_ipv4_hdr);
		}
		if (n > 0)
			total += rte_eth_tx_burst(r->port_id[!d], 0, m, n);
	}
	return total;
}

static uint32_t
turn_parse(struct bench_rig *r)
{
	struct spinat_meta meta[SPINAT_BURST];
	struct rte_mbuf *m[SPINAT_BURST];
	uint32_t total = 0;

	for (int d = 0; d < 2; d++) {
		uint16_t n = rte_eth_rx_burst(r->port_id[d], 0, m, SPINAT_BURST);

		for (uint16_t i = 0; i < RTE_MIN(n, PREFETCH_AHEAD); i++)
			rte_prefetch0(rte_pktmbuf_mtod(m[i], void *));
		for (uint16_t i = 0; i < n; i++) {
			if (i + PREFETCH_AHEAD < n)
				rte_prefetch0(rte_pktmbuf_mtod(m[i + PREFETCH_AHEAD], void *));
			spinat_parse(rte_pktmbuf_mtod(m[i], const uint8_t *), m[i]->data_len,
				m[i]->pkt_len, true, &meta[i]);
		}
		if (n > 0)
			total += rte_eth_tx_burst(r->port_id[!d], 0, m, n);
	}
	return total;
}

const bench_turn_fn bench_turns[BENCH_TURNS] = {
	[BENCH_TURN_ENGINE] = turn_engine,
	[BENCH_TURN_RINGS] = turn_rings,
	[BENCH_TURN_MAC] = turn_mac,
	[BENCH_TURN_PARSE] = turn_parse,
};

static const uint8_t proto_of[BENCH_KINDS] = {
	[BENCH_UDP] = IPPROTO_UDP, [BENCH_TCP] = IPPROTO_TCP, [BENCH_ESP] = IPPROTO_ESP};

void
bench_turn_keys(struct bench_rig *r, struct bench_keys *keys)
{
	int d = SPINAT_OUT;

	for (keys->n = 0; keys->n < SPINAT_BURST; d = !d) {
		struct bench_feed *feed = &r->feed[d];
		const struct bench_step *s;

		if (feed->n == 0)
			continue;
		s = &feed->steps[feed->at];
		feed->at = feed->at + 1 < feed->n ? feed->at + 1 : 0;
		if (s->kind == BENCH_IKE)
			continue;
		keys->key[keys->n++] = (struct spinat_key){.src = s->src,
			.dst = s->dst,
			.ports = s->ports,
			.proto = proto_of[s->kind],
			.dir = d};
	}
}

uint32_t
bench_turn_hash(const struct bench_rig *r, const struct bench_keys *keys)
{
	const struct spinat_key *key[SPINAT_BURST];
	uint32_t hashes[SPINAT_BURST];
	void *data[SPINAT_BURST];
	uint64_t hits = 0;

	for (uint32_t i = 0; i < keys->n; i++)
		key[i] = &keys->key[i];
	spinat_hash_burst(key, keys->n, hashes);
	rte_hash_lookup_with_hash_bulk_data(
		r->worker->nat->table->hash, (const void **)key, hashes, keys->n, &hits, data);
	return __builtin_popcountll(hits);
}
