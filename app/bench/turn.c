/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 the spinat authors
 */
#include <rte_ethdev.h>
#include <rte_prefetch.h>

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
