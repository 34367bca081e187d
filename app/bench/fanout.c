/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 the spinat authors
 */
#include <stdio.h>
#include <string.h>

#include <rte_ip.h>

#include "fanout.h"

/* Packets sent at once, and copies of them: of 16 candidates each, no more than a ring takes. */
#define PACKETS 32
#define COPIES_MAX (PACKETS * SPINAT_FANOUT_MAX)

static int
fail(const struct bench_rig *r, const char *what)
{
	fprintf(stderr, "spinat-bench: fan-out: %s\n", what);
	bench_rig_print_drops(r);
	return -1;
}

/* The client a copy went to, among those of the gateway; the rest must be as it was sent. */
static bool
is_right(const struct bench_rig *r, const struct rte_mbuf *m, uint32_t *client)
{
	const unsigned int n = r->work->candidates;
	const uint8_t *frame = rte_pktmbuf_mtod(m, const uint8_t *);
	const struct rte_ipv4_hdr *ip = (const struct rte_ipv4_hdr *)(frame + RTE_ETHER_HDR_LEN);
	uint8_t want[BENCH_HEAD] = {0};
	struct rte_ether_hdr *eth = (struct rte_ether_hdr *)want;
	struct bench_packet p = {
		.form = BENCH_SMALLEST, .dir = SPINAT_IN, .epoch = r->epoch, .ttl = BENCH_TTL - 1};
	uint32_t flow;
	uint16_t len;
	bool later;

	if (bench_packet_read(frame, m->data_len, BENCH_SMALLEST, &flow, &later) != 0 ||
		flow % n != 0 || flow + n > r->n_flows)
		return false;
	*client = flow;
	while (*client < flow + n && r->flows[*client].inside != ip->dst_addr)
		++*client;
	if (*client == flow + n)
		return false;
	p.step = bench_plan_step(&r->flows[flow], flow, SPINAT_IN, true);
	p.step.dst = ip->dst_addr;
	len = bench_packet_write(want, &p);
	eth->dst_addr = r->router[SPINAT_OUT];
	eth->src_addr = r->engine->ports[SPINAT_OUT].mac;
	return m->data_len == len && memcmp(frame, want, len) == 0;
}

/* A burst of packets, one from each gateway, and one copy for each of their clients. */
static int
burst(struct bench_rig *r, uint32_t first, uint32_t n, struct bench_samples *s)
{
	const unsigned int candidates = r->work->candidates;
	struct rte_ring *ring = r->tx[SPINAT_OUT];
	struct bench_step steps[PACKETS];
	struct rte_mbuf *out[COPIES_MAX];
	bool seen[COPIES_MAX] = {false};
	uint32_t copies, client;
	uint64_t from;

	for (uint32_t i = 0; i < n; i++) {
		const uint32_t flow = (first + i) * candidates;

		steps[i] = bench_plan_step(&r->flows[flow], flow, SPINAT_IN, false);
	}
	r->feed[SPINAT_OUT].n = 0;
	r->feed[SPINAT_IN] = (struct bench_feed){.steps = steps, .n = n};
	bench_rig_send(r, n);
	from = rte_rdtsc_precise();
	spinat_worker_poll(r->worker);
	bench_samples_add(s, from, rte_rdtsc_precise(), n);
	r->feed[SPINAT_IN].n = 0;
	copies = rte_ring_sc_dequeue_burst(ring, (void **)out, COPIES_MAX, NULL);
	if (copies != n * candidates || bench_rig_drops(r) != 0)
		return fail(r, "not every candidate got a copy");
	for (uint32_t i = 0; i < copies; i++) {
		if (!is_right(r, out[i], &client) || client / candidates < first ||
			client / candidates >= first + n || seen[client - first * candidates])
			return fail(r, "a copy is wrong");
		seen[client - first * candidates] = true;
	}
	memcpy(&r->free[r->n_free], out, n * sizeof(*out));
	r->n_free += n;
	r->received[SPINAT_IN] += n;
	rte_pktmbuf_free_bulk(out + n, copies - n);
	return 0;
}

static int
round_of_all(struct bench_rig *r, struct bench_samples *s)
{
	const uint32_t gateways = r->n_flows / r->work->candidates;

	r->epoch++;
	for (uint32_t i = 0; i < gateways; i += PACKETS)
		if (burst(r, i, RTE_MIN(gateways - i, (uint32_t)PACKETS), s) != 0)
			return -1;
	return 0;
}

static void
take(struct bench_samples *s, struct bench_figures *f)
{
	memset(f, 0, sizeof(*f));
	bench_samples_sort(s);
	f->median[BENCH_TURN_ENGINE] = bench_samples_at(s, 0.5);
	f->mean = bench_samples_mean(s);
	f->p99 = bench_samples_at(s, 0.99);
	f->packets = f->slow = s->packets;
	f->turns = s->n;
}

int
bench_fanout(struct bench_meter *m, struct bench_rig *r, struct bench_figures *first,
	struct bench_figures *later)
{
	struct bench_samples *s = &m->samples[BENCH_TURN_ENGINE];
	const double end = bench_seconds_run() + m->seconds;

	if (bench_open(r) != 0)
		return -1;
	bench_samples_clear(s);
	if (round_of_all(r, s) != 0)
		return -1;
	take(s, first);
	bench_samples_clear(s);
	do
		if (round_of_all(r, s) != 0)
			return -1;
	while (bench_seconds_run() < end);
	take(s, later);
	return 0;
}
