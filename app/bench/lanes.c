/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 the spinat authors
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <rte_eth_ring.h>
#include <rte_ethdev.h>
#include <rte_ip.h>

#include "lanes.h"
#include "packet.h"
#include "rig.h"

#define TTL 64

static int
fail(const char *what)
{
	fprintf(stderr, "spinat-bench: %s\n", what);
	return -1;
}

static int
create_device(struct bench_lanes *s, enum spinat_dir d)
{
	const char *name = bench_device[d] + strlen("net_ring_");
	struct rte_ring *rx[SPINAT_MAX_WORKERS], *tx[SPINAT_MAX_WORKERS];
	char ring[RTE_RING_NAMESIZE];
	int port;

	for (unsigned int i = 0; i < s->n; i++) {
		snprintf(ring, sizeof(ring), "rx%d_%u", d, i);
		rx[i] = rte_ring_create(
			ring, BENCH_LANE_RING, SOCKET_ID_ANY, RING_F_SP_ENQ | RING_F_SC_DEQ);
		snprintf(ring, sizeof(ring), "tx%d_%u", d, i);
		tx[i] = rte_ring_create(
			ring, 4 * BENCH_LANE_RING, SOCKET_ID_ANY, RING_F_SP_ENQ | RING_F_SC_DEQ);
		if (rx[i] == NULL || tx[i] == NULL)
			return fail("no memory for the rings");
		s->lane[i]->rx[d] = rx[i];
		s->lane[i]->tx[d] = tx[i];
	}
	port = rte_eth_from_rings(name, rx, s->n, tx, s->n, rte_socket_id());
	if (port < 0)
		return fail("net_ring makes no device");
	s->port_id[d] = port;
	return 0;
}

static uint16_t
receive(void *ring, struct rte_mbuf **mbufs, uint16_t n)
{
	return rte_ring_sc_dequeue_burst(ring, (void **)mbufs, n, NULL);
}

static uint16_t
transmit(void *ring, struct rte_mbuf **mbufs, uint16_t n)
{
	return rte_ring_sp_enqueue_burst(ring, (void **)mbufs, n, NULL);
}

/* net_ring counts the packets of a queue in the cache line that has the next queue's, too: its lcores
 * would share lines that they write. So the queues are the rings themselves. */
static int
bypass_driver(const struct bench_lanes *s, enum spinat_dir d)
{
	struct rte_eth_fp_ops *ops = &rte_eth_fp_ops[s->port_id[d]];
	void **rings = calloc(2 * s->n, sizeof(*rings));

	if (rings == NULL)
		return fail("no memory for the queues");
	for (unsigned int i = 0; i < s->n; i++) {
		rings[i] = s->lane[i]->rx[d];
		rings[s->n + i] = s->lane[i]->tx[d];
	}
	ops->rxq.data = rings;
	ops->txq.data = rings + s->n;
	ops->rx_pkt_burst = receive;
	ops->tx_pkt_burst = transmit;
	return 0;
}

static int
create_lane(struct bench_lane *l)
{
	struct bench_lanes *s = l->all;

	l->worker = s->engine->workers[l->id];
	l->worker->tick_tsc = s->engine->start_tsc;
	rte_rcu_qsbr_thread_online(s->engine->qsbr, l->worker->id);
	if (rte_pktmbuf_alloc_bulk(s->engine->pool, l->mbufs, 2 * BENCH_LANE_BATCH) != 0)
		return fail("no memory for the packets");
	l->n_mbufs = 2 * BENCH_LANE_BATCH;
	for (uint32_t i = 0; i < l->n_mbufs; i++)
		memset(l->mbufs[i]->buf_addr, 0, l->mbufs[i]->buf_len);
	for (int d = 0; d < 2; d++) {
		l->steps[d] = bench_alloc(BENCH_LANE_STEPS * sizeof(*l->steps[d]));
		if (l->steps[d] == NULL)
			return fail("no memory for the packets");
	}
	return 0;
}

void
bench_lane_send(struct bench_lane *l, enum spinat_dir d, const struct bench_step *step)
{
	struct bench_lanes *s = l->all;
	struct rte_mbuf *m = l->mbufs[--l->n_mbufs];
	const struct bench_packet p = {.step = *step,
		.form = BENCH_SMALLEST,
		.dir = d,
		.epoch = s->epoch,
		.opening = s->opening,
		.ttl = TTL};
	struct rte_ether_hdr *eth;

	rte_pktmbuf_reset(m);
	m->port = s->port_id[d];
	eth = rte_pktmbuf_mtod(m, struct rte_ether_hdr *);
	m->pkt_len = m->data_len = bench_packet_write((uint8_t *)eth, &p);
	eth->dst_addr = s->engine->ports[d].mac;
	eth->src_addr = s->router[d];
	rte_ring_sp_enqueue(l->rx[d], m);
	l->sent++;
}

/* The frame must be what RFC 3022 makes of what was sent; an outside endpoint is learned first. */
static void
look_at(struct bench_lane *l, enum spinat_dir d, struct rte_mbuf *m, bool learn)
{
	struct bench_lanes *s = l->all;
	const uint8_t *frame = rte_pktmbuf_mtod(m, const uint8_t *);
	const struct rte_ipv4_hdr *ip = (const struct rte_ipv4_hdr *)(frame + RTE_ETHER_HDR_LEN);
	uint8_t want[BENCH_HEAD] = {0};
	struct bench_packet p = {.form = BENCH_SMALLEST,
		.dir = d,
		.epoch = s->epoch,
		.opening = s->opening,
		.ttl = TTL - 1};
	struct rte_ether_hdr *eth = (struct rte_ether_hdr *)want;
	uint32_t flow;
	uint16_t len;
	bool later;

	if (bench_packet_read(frame, m->data_len, BENCH_SMALLEST, &flow, &later) != 0 ||
		flow >= s->n_flows) {
		l->wrong++;
		return;
	}
	if (learn) {
		s->flows[flow].outside = ip->src_addr;
		memcpy(&s->flows[flow].outside_port, ip + 1, sizeof(rte_be16_t));
	}
	p.step = bench_plan_step(&s->flows[flow], flow, d, true);
	len = bench_packet_write(want, &p);
	eth->dst_addr = s->router[!d];
	eth->src_addr = s->engine->ports[!d].mac;
	if (d == SPINAT_OUT)
		bench_packet_take_id(want, frame);
	l->wrong += m->data_len != len || memcmp(frame, want, RTE_MIN(len, BENCH_HEAD)) != 0;
}

void
bench_lane_drain(struct bench_lane *l, bool check, bool learn)
{
	for (int d = 0; d < 2; d++) {
		struct rte_mbuf **out = &l->mbufs[l->n_mbufs];
		const uint32_t n = rte_ring_sc_dequeue_burst(
			l->tx[!d], (void **)out, RTE_DIM(l->mbufs) - l->n_mbufs, NULL);

		for (uint32_t i = 0; i < n && check; i++)
			look_at(l, d, out[i], learn);
		l->n_mbufs += n;
		l->received += n;
	}
}

void
bench_lane_fill(struct bench_lane *l)
{
	for (uint32_t i = 0; i < 2 * BENCH_LANE_BATCH && l->n_mbufs > 0; i++) {
		const enum spinat_dir d = i % 2;

		bench_lane_send(l, d, &l->steps[d][l->at[d]]);
		l->at[d] = (l->at[d] + 1) % BENCH_LANE_STEPS;
	}
}

int
bench_lanes_verify(const struct bench_lanes *s, const char *where)
{
	uint64_t sent = 0, received = 0, wrong = 0, drops = 0;

	for (unsigned int i = 0; i < s->n; i++) {
		sent += s->lane[i]->sent;
		received += s->lane[i]->received;
		wrong += s->lane[i]->wrong;
		for (unsigned int d = 0; d < SPINAT_DROP_COUNT; d++)
			drops += s->lane[i]->worker->stats.drops[d];
	}
	if (sent == received && wrong == 0 && drops == 0)
		return 0;
	fprintf(stderr,
		"spinat-bench: %s: of %" PRIu64 " packets %" PRIu64 " came out, %" PRIu64
		" wrong, %" PRIu64 " dropped\n",
		where, sent, received, wrong, drops);
	return -1;
}

int
bench_lanes_create(struct bench_lanes *s, const struct bench_work *work, uint32_t sessions,
	struct spinat_conf *conf)
{
	struct spinat_conf_error err = {.text = ""};

	memset(s, 0, sizeof(*s));
	s->work = work;
	s->n = conf->workers;
	s->n_flows = sessions;
	s->flows = bench_alloc(sessions * sizeof(*s->flows));
	for (unsigned int i = 0; i < s->n; i++) {
		s->lane[i] = calloc(1, sizeof(*s->lane[i]));
		if (s->lane[i] == NULL || s->flows == NULL)
			return fail("no memory");
		s->lane[i]->all = s;
		s->lane[i]->id = i;
	}
	for (uint32_t i = 0; i < sessions; i++)
		bench_plan_flow(work, i, &s->flows[i]);
	rte_ether_unformat_addr(BENCH_MAC_INSIDE, &s->router[SPINAT_OUT]);
	rte_ether_unformat_addr(BENCH_MAC_OUTSIDE, &s->router[SPINAT_IN]);
	if (create_device(s, SPINAT_OUT) != 0 || create_device(s, SPINAT_IN) != 0)
		return -1;
	s->engine = spinat_engine_create(conf, &err);
	if (s->engine == NULL)
		return fail(err.text);
	if (bypass_driver(s, SPINAT_OUT) != 0 || bypass_driver(s, SPINAT_IN) != 0)
		return -1;
	for (unsigned int i = 0; i < s->n; i++)
		if (create_lane(s->lane[i]) != 0)
			return -1;
	return 0;
}
