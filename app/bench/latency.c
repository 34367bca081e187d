/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 the spinat authors
 */
#include <stdio.h>
#include <string.h>

#include <rte_cycles.h>
#include <rte_launch.h>
#include <rte_lcore.h>
#include <rte_mbuf_dyn.h>

#include "latency.h"

#define FRAMES (1u << 16)
#define FRAME 60 /* without the FCS */
#define CHUNK 16u /* packets a direction that are sent at once */
#define SEARCH_STEPS 7
#define SETTLE_SECONDS 1
#define PAUSE_US 30000 /* leaves the CPUs to others between trials */

static uint32_t
bucket_of(uint64_t value)
{
	unsigned int exponent;

	if (value < BENCH_HISTOGRAM_STEPS)
		return value;
	exponent = 63 - __builtin_clzll(value) - 5;
	return exponent * BENCH_HISTOGRAM_STEPS + (value >> exponent);
}

static uint64_t
value_of(uint32_t bucket)
{
	const unsigned int exponent = bucket / BENCH_HISTOGRAM_STEPS;

	if (exponent == 0)
		return bucket;
	return (uint64_t)(BENCH_HISTOGRAM_STEPS + bucket % BENCH_HISTOGRAM_STEPS) << (exponent - 1);
}

uint64_t
bench_histogram_at(const struct bench_histogram *h, double fraction)
{
	uint64_t left = fraction * h->n;

	for (uint32_t i = 0; i < RTE_DIM(h->count); i++) {
		if (h->count[i] > left)
			return RTE_MIN(value_of(i + 1), h->max);
		left -= h->count[i];
	}
	return h->max;
}

static void
record(struct bench_histogram *h, uint64_t value)
{
	h->count[bucket_of(value)]++;
	h->max = RTE_MAX(h->max, value);
	h->n++;
}

int
bench_latency_create(struct bench_latency *l, struct bench_rig *r)
{
	static const struct rte_mbuf_dynfield field = {
		.name = "bench_sent", .size = sizeof(uint64_t), .align = sizeof(uint64_t)};

	memset(l, 0, sizeof(*l));
	l->rig = r;
	l->n_frames = FRAMES;
	l->stamp = rte_mbuf_dynfield_register(&field);
	for (int d = 0; d < 2; d++) {
		l->frames[d] = bench_alloc(FRAMES * sizeof(*l->frames[d]));
		if (l->frames[d] == NULL || l->stamp < 0) {
			fprintf(stderr, "spinat-bench: no memory for the packets\n");
			return -1;
		}
		for (uint32_t i = 0; i < FRAMES; i++) {
			/* as flow numbers are spread over the tables by their hash, any will do */
			const uint32_t flow = (uint64_t)i * r->n_flows / FRAMES;
			const struct bench_packet p = {.form = BENCH_SMALLEST,
				.dir = d,
				.ttl = 64,
				.step = bench_plan_step(&r->flows[flow], flow, d, false)};
			struct rte_ether_hdr *eth = (struct rte_ether_hdr *)l->frames[d][i];
			uint8_t frame[BENCH_HEAD] = {0};

			bench_packet_write(frame, &p);
			memcpy(eth, frame, FRAME);
			eth->dst_addr = r->engine->ports[d].mac;
			eth->src_addr = r->router[d];
		}
	}
	return 0;
}

void
bench_latency_free(struct bench_latency *l)
{
	for (int d = 0; d < 2; d++)
		bench_free(l->frames[d], FRAMES * sizeof(*l->frames[d]));
}

struct worker {
	struct bench_rig *rig;
	bool stop; /* relaxed atomic */
};

static int
run_worker(void *arg)
{
	struct worker *w = arg;

	while (!__atomic_load_n(&w->stop, __ATOMIC_RELAXED))
		spinat_worker_poll(w->rig->worker);
	return 0;
}

static inline uint64_t *
stamp_of(const struct bench_latency *l, struct rte_mbuf *m)
{
	return RTE_MBUF_DYNFIELD(m, l->stamp, uint64_t *);
}

/* What does not fit into the ring is lost, as in a device whose queue is full. */
static void
send_chunk(struct bench_latency *l, enum spinat_dir d, uint32_t *at, struct bench_trial *t)
{
	struct bench_rig *r = l->rig;
	const uint32_t n = RTE_MIN(r->n_free, CHUNK);
	struct rte_mbuf **m = &r->free[r->n_free - n];
	uint32_t taken;

	for (uint32_t i = 0; i < n; i++) {
		rte_pktmbuf_reset(m[i]);
		m[i]->port = r->port_id[d];
		m[i]->pkt_len = m[i]->data_len = FRAME;
		memcpy(rte_pktmbuf_mtod(m[i], void *), l->frames[d][*at], FRAME);
		*at = (*at + 1) % l->n_frames;
		*stamp_of(l, m[i]) = rte_rdtsc();
	}
	taken = rte_ring_sp_enqueue_burst(r->rx[d], (void **)m, n, NULL);
	/* those that stay are the last ones of the stack */
	memmove(m, m + taken, (n - taken) * sizeof(*m));
	r->n_free -= taken;
	t->sent += CHUNK;
	t->lost += CHUNK - taken;
	r->sent[d] += taken;
}

static void
drain(struct bench_latency *l, enum spinat_dir d, struct bench_trial *t)
{
	struct bench_rig *r = l->rig;
	struct rte_mbuf **m = &r->free[r->n_free];
	const uint32_t n = rte_ring_sc_dequeue_burst(
		r->tx[!d], (void **)m, RTE_MIN(2 * CHUNK, BENCH_MBUFS - r->n_free), NULL);
	const uint64_t now = rte_rdtsc();

	for (uint32_t i = 0; i < n; i++)
		record(&t->latency, now - *stamp_of(l, m[i]));
	r->n_free += n;
	r->received[d] += n;
}

static uint64_t
on_the_way(const struct bench_rig *r)
{
	return r->sent[SPINAT_OUT] + r->sent[SPINAT_IN] - r->received[SPINAT_OUT] -
	       r->received[SPINAT_IN];
}

void
bench_latency_try(struct bench_latency *l, double seconds, struct bench_trial *t)
{
	struct bench_rig *r = l->rig;
	struct worker w = {.rig = r};
	const unsigned int lcore = rte_get_next_lcore(-1, 1, 0);
	const double hz = rte_get_tsc_hz(), rate = t->rate;
	const uint64_t drops = bench_rig_drops(r);
	const uint64_t gap = 2 * CHUNK * hz / rate;
	uint32_t at[2] = {0, l->n_frames / 2};
	uint64_t start, now, due;

	memset(t, 0, sizeof(*t));
	t->rate = rate;
	rte_eal_remote_launch(run_worker, &w, lcore);
	start = due = now = rte_rdtsc();
	while (now - start < seconds * hz) {
		if ((int64_t)(now - due) >= 0) {
			send_chunk(l, SPINAT_OUT, &at[0], t);
			send_chunk(l, SPINAT_IN, &at[1], t);
			/* a generator that falls behind does not make up for it in a rush */
			due = RTE_MAX(due + gap, now);
		}
		drain(l, SPINAT_OUT, t);
		drain(l, SPINAT_IN, t);
		now = rte_rdtsc();
	}
	t->sent_rate = t->sent / ((now - start) / hz);
	for (start = now;
		on_the_way(r) > bench_rig_drops(r) - drops && now - start < SETTLE_SECONDS * hz;
		now = rte_rdtsc()) {
		drain(l, SPINAT_OUT, t);
		drain(l, SPINAT_IN, t);
	}
	__atomic_store_n(&w.stop, true, __ATOMIC_RELAXED);
	rte_eal_wait_lcore(lcore);
	t->lost += on_the_way(r);
	/* what the engine dropped is back in its pool: as many others take its place */
	while (on_the_way(r) > 0) {
		if (rte_pktmbuf_alloc_bulk(r->engine->pool, &r->free[r->n_free], 1) != 0)
			break;
		r->n_free++;
		r->received[SPINAT_OUT]++;
	}
	rte_delay_us_sleep(PAUSE_US);
}

double
bench_latency_no_drop(struct bench_latency *l, double seconds)
{
	static struct bench_trial t;
	double low = 0, high;

	t.rate = 1e9; /* as fast as can be */
	bench_latency_try(l, seconds, &t);
	if (t.lost == 0)
		return t.sent_rate;
	high = t.sent_rate;
	for (int i = 0; i < SEARCH_STEPS; i++) {
		t.rate = (low + high) / 2;
		bench_latency_try(l, seconds, &t);
		if (t.lost == 0)
			low = t.sent_rate;
		else
			high = t.rate;
	}
	return low;
}
