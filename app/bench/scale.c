/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 the spinat authors
 */
#include <netinet/in.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>

#include <rte_cycles.h>
#include <rte_ethdev.h>
#include <rte_launch.h>
#include <rte_lcore.h>
#include <rte_random.h>

#include "datapath/engine.h"
#include "lanes.h"
#include "nat/hash.h"
#include "samples.h"
#include "scale.h"

#define SAMPLES (1u << 17)
#define CHECK_ROUNDS 64

/* Who takes the packets. */
enum turn { TURN_ENGINE, TURN_MAC, TURN_LOOKUP };

struct scale;

/* What a worker's lcore does with its lane. */
struct part {
	struct scale *scale;
	struct bench_lane *lane;
	struct bench_samples samples;
	uint32_t at[2]; /* TURN_LOOKUP: where it is in the lane's sequences */
	uint8_t *owner[2]; /* of the flows of these */
} __rte_cache_aligned;

struct scale {
	struct bench_lanes lanes;
	struct part part[SPINAT_MAX_WORKERS];
	/* of a phase */
	enum turn turn;
	bool check;
	double seconds;
	bool stop; /* set between two barriers by the first lane */
	pthread_barrier_t barrier;
};

static int
fail(const char *what)
{
	fprintf(stderr, "spinat-bench: %s\n", what);
	return -1;
}

static void
write_macs(const struct bench_lanes *s, enum spinat_dir d, struct rte_mbuf **m, uint16_t n)
{
	for (uint16_t i = 0; i < n; i++) {
		struct rte_ether_hdr *eth = rte_pktmbuf_mtod(m[i], struct rte_ether_hdr *);

		eth->dst_addr = s->router[!d];
		eth->src_addr = s->engine->ports[!d].mac;
	}
}

/* Looks up as many keys of the lane's sequence as packets came: reads what the engine reads of its
 * tables, and writes nothing. */
static void
look_up(struct part *p, enum spinat_dir d, uint16_t n)
{
	const struct bench_step *steps = p->lane->steps[d];
	const struct spinat_table *tables[SPINAT_BURST];
	const struct spinat_key *keys[SPINAT_BURST];
	struct spinat_key key[SPINAT_BURST];
	struct spinat_flow *flows[SPINAT_BURST];
	uint64_t hashes[SPINAT_BURST];

	for (uint16_t i = 0; i < n; i++) {
		const struct bench_step *step = &steps[p->at[d]];

		key[i] = (struct spinat_key){.src = step->src,
			.dst = step->dst,
			.ports = step->ports,
			.proto = IPPROTO_UDP,
			.dir = d};
		keys[i] = &key[i];
		tables[i] = p->lane->worker->tables[p->owner[d][p->at[d]]];
		p->at[d] = (p->at[d] + 1) % BENCH_LANE_STEPS;
	}
	spinat_tables_find_burst(tables, keys, n, hashes, flows);
	for (uint16_t i = 0; i < n; i++)
		p->lane->wrong += flows[i] == NULL;
}

static uint32_t
turn_mac(struct part *p, bool lookup)
{
	const struct bench_lanes *s = p->lane->all;
	struct rte_mbuf *m[SPINAT_BURST];
	uint32_t total = 0;

	for (int d = 0; d < 2; d++) {
		uint16_t n = rte_eth_rx_burst(s->port_id[d], p->lane->id, m, SPINAT_BURST);

		if (n == 0)
			continue;
		if (lookup)
			look_up(p, d, n);
		write_macs(s, d, m, n);
		total += rte_eth_tx_burst(s->port_id[!d], p->lane->id, m, n);
	}
	return total;
}

static void
consume(struct part *p, enum turn turn)
{
	while (bench_lane_waiting(p->lane) > 0) {
		const uint64_t from = rte_rdtsc_precise();
		const uint32_t n = turn == TURN_ENGINE ? spinat_worker_poll(p->lane->worker)
						       : turn_mac(p, turn == TURN_LOOKUP);

		bench_samples_add(&p->samples, from, rte_rdtsc_precise(), RTE_MAX(n, 1u));
	}
}

/* A worker's lcore: all fill, all work at the same time, all empty. */
static int
run_part(void *arg)
{
	struct part *p = arg;
	struct scale *s = p->scale;
	const uint64_t end = rte_rdtsc() + s->seconds * rte_get_tsc_hz();
	uint32_t rounds = 0;

	bench_samples_clear(&p->samples);
	for (bool stop = false; !stop; rounds++) {
		bench_lane_fill(p->lane);
		pthread_barrier_wait(&s->barrier);
		consume(p, s->turn);
		if (p->lane->id == 0)
			s->stop = s->check ? rounds == CHECK_ROUNDS : rte_rdtsc() > end;
		pthread_barrier_wait(&s->barrier);
		stop = s->stop;
		bench_lane_drain(p->lane, s->check, false);
	}
	return 0;
}

/* Mean over the active lanes of their medians. */
static double
run_phase(struct scale *s, unsigned int active, enum turn turn)
{
	double sum = 0;
	unsigned int lcore;

	s->turn = turn;
	s->stop = false;
	pthread_barrier_init(&s->barrier, NULL, active);
	for (unsigned int i = 0; i < active; i++)
		rte_eal_remote_launch(run_part, &s->part[i], s->part[i].lane->worker->lcore);
	/* this lcore may share its CPU with one of them */
	RTE_LCORE_FOREACH_WORKER(lcore) {
		while (rte_eal_get_lcore_state(lcore) != WAIT)
			rte_delay_us_sleep(1000);
	}
	pthread_barrier_destroy(&s->barrier);
	for (unsigned int i = 0; i < active; i++) {
		bench_samples_sort(&s->part[i].samples);
		sum += bench_samples_at(&s->part[i].samples, 0.5);
	}
	return sum / active;
}

static unsigned int
owner_of(const struct bench_lanes *s, uint32_t flow)
{
	return spinat_owner(s->flows[flow].inside, 0, s->n);
}

/* The packets of a lane: of any flow, or of those that one worker owns. */
static void
draw(struct part *p, int owner)
{
	struct bench_lanes *s = p->lane->all;

	for (int d = 0; d < 2; d++)
		for (uint32_t i = 0; i < BENCH_LANE_STEPS; i++) {
			uint32_t flow;

			do
				flow = rte_rand_max(s->n_flows);
			while (owner >= 0 && owner_of(s, flow) != (unsigned int)owner);
			p->lane->steps[d][i] = bench_plan_step(&s->flows[flow], flow, d, false);
			p->owner[d][i] = owner_of(s, flow);
		}
}

static double
poll_timed(struct bench_lane *l)
{
	const uint64_t from = rte_rdtsc_precise();

	spinat_worker_poll(l->worker);
	return rte_rdtsc_precise() - from - bench_timer_cycles;
}

/* Makes the flows of one owner, a burst at a time, by turns at the owner and at another worker. All
 * on this lcore: what the caches of two cores would add is not in it. */
static void
make_flows(struct bench_lanes *s, unsigned int owner, struct bench_samples samples[2])
{
	struct bench_lane *own = s->lane[owner], *other = s->lane[(owner + 1) % s->n];
	uint32_t flow = 0;

	for (unsigned int burst = 0; flow < s->n_flows; burst++) {
		const bool direct = burst % 2 == 0;
		struct bench_lane *l = direct ? own : other;
		uint32_t n = 0;
		double cycles;

		for (; flow < s->n_flows && n < SPINAT_BURST; flow++) {
			struct bench_step step;

			if (owner_of(s, flow) != owner)
				continue;
			step = bench_plan_step(&s->flows[flow], flow, SPINAT_OUT, false);
			bench_lane_send(l, SPINAT_OUT, &step);
			n++;
		}
		cycles = poll_timed(l);
		if (!direct)
			cycles += poll_timed(own);
		if (n == SPINAT_BURST)
			samples[direct].value[samples[direct].n++] = cycles / n;
		own->sent += direct ? 0 : n;
		other->sent -= direct ? 0 : n;
		bench_lane_drain(own, true, true);
		/* what was handed over came out of the owner's queue: its buffers go back */
		while (!direct && n-- > 0)
			other->mbufs[other->n_mbufs++] = own->mbufs[--own->n_mbufs];
	}
}

static int
establish(struct scale *s, struct bench_scale_figures *f)
{
	struct bench_samples samples[2];

	for (int i = 0; i < 2; i++)
		if (bench_samples_create(&samples[i], s->lanes.n_flows) != 0)
			return fail("no memory");
	s->lanes.epoch = 1;
	s->lanes.opening = true;
	for (unsigned int o = 0; o < s->lanes.n; o++)
		make_flows(&s->lanes, o, samples);
	s->lanes.opening = false;
	for (int i = 0; i < 2; i++)
		bench_samples_sort(&samples[i]);
	f->direct = bench_samples_at(&samples[1], 0.5);
	f->handed = bench_samples_at(&samples[0], 0.5);
	for (int i = 0; i < 2; i++)
		bench_samples_free(&samples[i]);
	return bench_lanes_verify(&s->lanes, "making the flows");
}

static int
measure(struct scale *s, struct bench_scale_figures *f)
{
	const struct bench_lanes *l = &s->lanes;

	if (establish(s, f) != 0)
		return -1;
	s->lanes.epoch = 2;
	for (unsigned int i = 0; i < l->n; i++)
		draw(&s->part[i], -1);
	f->alone = run_phase(s, 1, TURN_ENGINE);
	f->mac_alone = run_phase(s, 1, TURN_MAC);
	f->lookup_alone = run_phase(s, 1, TURN_LOOKUP);
	f->together = run_phase(s, l->n, TURN_ENGINE);
	f->mac_together = run_phase(s, l->n, TURN_MAC);
	f->lookup_together = run_phase(s, l->n, TURN_LOOKUP);
	s->check = true;
	run_phase(s, l->n, TURN_ENGINE);
	s->check = false;
	f->packets = (uint64_t)l->n * (CHECK_ROUNDS + 1) * 2 * BENCH_LANE_BATCH;
	draw(&s->part[0], 0);
	f->own = run_phase(s, 1, TURN_ENGINE);
	draw(&s->part[0], 1);
	f->foreign = run_phase(s, 1, TURN_ENGINE);
	for (int i = 0; i < 2; i++)
		bench_rss_shares(l->flows, l->n_flows, BENCH_UDP, l->n, i == 1, &f->rss[i]);
	return bench_lanes_verify(l, "established flows");
}

int
bench_scale(const struct bench_work *work, uint32_t sessions, struct spinat_conf *conf,
	double seconds, struct bench_scale_figures *f)
{
	static struct scale s;

	*f = (struct bench_scale_figures){.packets = 0};
	bench_samples_calibrate();
	s.seconds = seconds;
	if (bench_lanes_create(&s.lanes, work, sessions, conf) != 0)
		return -1;
	for (unsigned int i = 0; i < s.lanes.n; i++) {
		struct part *p = &s.part[i];

		p->scale = &s;
		p->lane = s.lanes.lane[i];
		for (int d = 0; d < 2; d++)
			p->owner[d] = malloc(BENCH_LANE_STEPS);
		if (p->owner[0] == NULL || p->owner[1] == NULL ||
			bench_samples_create(&p->samples, SAMPLES) != 0)
			return fail("no memory for the packets");
	}
	/* the process ends with it: nothing is given back */
	return measure(&s, f);
}
