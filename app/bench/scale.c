/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 the spinat authors
 */
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <rte_cycles.h>
#include <rte_eth_ring.h>
#include <rte_ethdev.h>
#include <rte_ip.h>
#include <rte_launch.h>
#include <rte_lcore.h>
#include <rte_random.h>

#include "datapath/engine.h"
#include "nat/hash.h"
#include "packet.h"
#include "rig.h"
#include "samples.h"
#include "scale.h"

#define LANE_BATCH 256u /* packets a direction */
#define LANE_STEPS (1u << 16)
#define LANE_SAMPLES (1u << 17)
#define LANE_RING 1024
#define CHECK_ROUNDS 64
#define TTL 64

struct lane {
	struct scale *scale;
	struct spinat_worker *worker;
	unsigned int id;
	struct rte_ring *rx[2], *tx[2]; /* its queues of device d */
	struct bench_step *steps[2]; /* by direction */
	uint32_t at[2];
	uint32_t n_mbufs;
	struct rte_mbuf *mbufs[4 * LANE_RING];
	struct bench_samples samples;
	uint64_t sent, received, wrong;
};

struct scale {
	const struct bench_work *work;
	struct spinat_engine *engine;
	struct bench_flow *flows;
	uint32_t n_flows;
	struct rte_ether_addr router[2];
	uint16_t port_id[2];
	unsigned int n;
	struct lane *lanes[SPINAT_MAX_WORKERS];
	/* of a phase */
	bool mac, check;
	uint32_t epoch;
	double seconds;
	unsigned int active;
	bool stop; /* set between two barriers by the first lane */
	pthread_barrier_t barrier;
};

static int
fail(const char *what)
{
	fprintf(stderr, "spinat-bench: %s\n", what);
	return -1;
}

static int
create_device(struct scale *s, enum spinat_dir d)
{
	const char *name = bench_device[d] + strlen("net_ring_");
	struct rte_ring *rx[SPINAT_MAX_WORKERS], *tx[SPINAT_MAX_WORKERS];
	char ring[RTE_RING_NAMESIZE];
	int port;

	for (unsigned int i = 0; i < s->n; i++) {
		snprintf(ring, sizeof(ring), "rx%d_%u", d, i);
		rx[i] = rte_ring_create(
			ring, LANE_RING, SOCKET_ID_ANY, RING_F_SP_ENQ | RING_F_SC_DEQ);
		snprintf(ring, sizeof(ring), "tx%d_%u", d, i);
		tx[i] = rte_ring_create(
			ring, 4 * LANE_RING, SOCKET_ID_ANY, RING_F_SP_ENQ | RING_F_SC_DEQ);
		if (rx[i] == NULL || tx[i] == NULL)
			return fail("no memory for the rings");
		s->lanes[i]->rx[d] = rx[i];
		s->lanes[i]->tx[d] = tx[i];
	}
	port = rte_eth_from_rings(name, rx, s->n, tx, s->n, rte_socket_id());
	if (port < 0)
		return fail("net_ring makes no device");
	s->port_id[d] = port;
	return 0;
}

static int
create_lane(struct lane *l)
{
	struct scale *s = l->scale;

	l->worker = s->engine->workers[l->id];
	l->worker->tick_tsc = s->engine->start_tsc;
	rte_rcu_qsbr_thread_online(s->engine->qsbr, l->worker->id);
	if (bench_samples_create(&l->samples, LANE_SAMPLES) != 0 ||
		rte_pktmbuf_alloc_bulk(s->engine->pool, l->mbufs, 2 * LANE_BATCH) != 0)
		return fail("no memory for the packets");
	l->n_mbufs = 2 * LANE_BATCH;
	for (uint32_t i = 0; i < l->n_mbufs; i++)
		memset(l->mbufs[i]->buf_addr, 0, l->mbufs[i]->buf_len);
	for (int d = 0; d < 2; d++) {
		l->steps[d] = bench_alloc(LANE_STEPS * sizeof(*l->steps[d]));
		if (l->steps[d] == NULL)
			return fail("no memory for the packets");
	}
	return 0;
}

static void
send_one(struct lane *l, enum spinat_dir d, const struct bench_step *step, bool opening)
{
	struct scale *s = l->scale;
	struct rte_mbuf *m = l->mbufs[--l->n_mbufs];
	const struct bench_packet p = {.step = *step,
		.form = BENCH_SMALLEST,
		.dir = d,
		.epoch = s->epoch,
		.opening = opening,
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
look_at(struct lane *l, enum spinat_dir d, struct rte_mbuf *m, bool learn)
{
	struct scale *s = l->scale;
	const uint8_t *frame = rte_pktmbuf_mtod(m, const uint8_t *);
	const struct rte_ipv4_hdr *ip = (const struct rte_ipv4_hdr *)(frame + RTE_ETHER_HDR_LEN);
	uint8_t want[BENCH_HEAD] = {0};
	struct bench_packet p = {.form = BENCH_SMALLEST,
		.dir = d,
		.epoch = s->epoch,
		.opening = learn,
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

static void
drain(struct lane *l, bool check, bool learn)
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

static uint32_t
turn_mac(struct lane *l)
{
	struct scale *s = l->scale;
	struct rte_mbuf *m[SPINAT_BURST];
	uint32_t total = 0;

	for (int d = 0; d < 2; d++) {
		uint16_t n = rte_eth_rx_burst(s->port_id[d], l->id, m, SPINAT_BURST);

		for (uint16_t i = 0; i < n; i++) {
			struct rte_ether_hdr *eth = rte_pktmbuf_mtod(m[i], struct rte_ether_hdr *);

			eth->dst_addr = s->router[!d];
			eth->src_addr = s->engine->ports[!d].mac;
		}
		if (n > 0)
			total += rte_eth_tx_burst(s->port_id[!d], l->id, m, n);
	}
	return total;
}

static void
fill(struct lane *l)
{
	for (uint32_t i = 0; i < 2 * LANE_BATCH && l->n_mbufs > 0; i++) {
		const enum spinat_dir d = i % 2;

		send_one(l, d, &l->steps[d][l->at[d]], false);
		l->at[d] = (l->at[d] + 1) % LANE_STEPS;
	}
}

static void
consume(struct lane *l, bool mac)
{
	while (rte_ring_count(l->rx[0]) + rte_ring_count(l->rx[1]) > 0) {
		const uint64_t from = rte_rdtsc_precise();
		const uint32_t n = mac ? turn_mac(l) : spinat_worker_poll(l->worker);

		bench_samples_add(&l->samples, from, rte_rdtsc_precise(), RTE_MAX(n, 1u));
	}
}

/* A worker's lcore: all fill, all work at the same time, all empty. */
static int
run_lane(void *arg)
{
	struct lane *l = arg;
	struct scale *s = l->scale;
	const uint64_t end = rte_rdtsc() + s->seconds * rte_get_tsc_hz();
	uint32_t rounds = 0;

	bench_samples_clear(&l->samples);
	for (bool stop = false; !stop; rounds++) {
		fill(l);
		pthread_barrier_wait(&s->barrier);
		consume(l, s->mac);
		if (l->id == 0)
			s->stop = s->check ? rounds == CHECK_ROUNDS : rte_rdtsc() > end;
		pthread_barrier_wait(&s->barrier);
		stop = s->stop;
		drain(l, s->check && !s->mac, false);
	}
	return 0;
}

/* Mean over the active lanes of their medians. */
static double
run_phase(struct scale *s, unsigned int active, bool mac)
{
	double sum = 0;
	unsigned int lcore;

	s->mac = mac;
	s->active = active;
	s->stop = false;
	pthread_barrier_init(&s->barrier, NULL, active);
	for (unsigned int i = 0; i < active; i++)
		rte_eal_remote_launch(run_lane, s->lanes[i], s->lanes[i]->worker->lcore);
	/* this lcore may share its CPU with one of them */
	RTE_LCORE_FOREACH_WORKER(lcore) {
		while (rte_eal_get_lcore_state(lcore) != WAIT)
			rte_delay_us_sleep(1000);
	}
	pthread_barrier_destroy(&s->barrier);
	for (unsigned int i = 0; i < active; i++) {
		bench_samples_sort(&s->lanes[i]->samples);
		sum += bench_samples_at(&s->lanes[i]->samples, 0.5);
	}
	return sum / active;
}

static unsigned int
owner_of(const struct scale *s, uint32_t flow)
{
	return spinat_owner(s->flows[flow].inside, 0, s->n);
}

/* The packets of a lane: of any flow, or of those that one worker owns. */
static void
draw(struct lane *l, int owner)
{
	struct scale *s = l->scale;

	for (int d = 0; d < 2; d++)
		for (uint32_t i = 0; i < LANE_STEPS; i++) {
			uint32_t flow;

			do
				flow = rte_rand_max(s->n_flows);
			while (owner >= 0 && owner_of(s, flow) != (unsigned int)owner);
			l->steps[d][i] = bench_plan_step(&s->flows[flow], flow, d, false);
		}
}

static double
poll_timed(struct lane *l)
{
	const uint64_t from = rte_rdtsc_precise();

	spinat_worker_poll(l->worker);
	return rte_rdtsc_precise() - from - bench_timer_cycles;
}

/* Makes the flows of one owner, a burst at a time, by turns at the owner and at another worker. All
 * on this lcore: what the caches of two cores would add is not in it. */
static int
make_flows(struct scale *s, unsigned int owner, struct bench_samples samples[2])
{
	struct lane *own = s->lanes[owner], *other = s->lanes[(owner + 1) % s->n];
	uint32_t flow = 0;

	for (unsigned int burst = 0; flow < s->n_flows; burst++) {
		const bool direct = burst % 2 == 0;
		struct lane *l = direct ? own : other;
		uint32_t n = 0;
		double cycles;

		for (; flow < s->n_flows && n < SPINAT_BURST; flow++) {
			struct bench_step step;

			if (owner_of(s, flow) != owner)
				continue;
			step = bench_plan_step(&s->flows[flow], flow, SPINAT_OUT, false);
			send_one(l, SPINAT_OUT, &step, true);
			n++;
		}
		cycles = poll_timed(l);
		if (!direct)
			cycles += poll_timed(own);
		if (n == SPINAT_BURST)
			samples[direct].value[samples[direct].n++] = cycles / n;
		own->sent += direct ? 0 : n;
		other->sent -= direct ? 0 : n;
		drain(own, true, true);
		/* what was handed over came out of the owner's queue: its buffers go back */
		while (!direct && n-- > 0)
			other->mbufs[other->n_mbufs++] = own->mbufs[--own->n_mbufs];
	}
	return 0;
}

static int
establish(struct scale *s, struct bench_scale_figures *f)
{
	struct bench_samples samples[2];

	for (int i = 0; i < 2; i++)
		if (bench_samples_create(&samples[i], s->n_flows) != 0)
			return fail("no memory");
	s->epoch = 1;
	for (unsigned int o = 0; o < s->n; o++)
		make_flows(s, o, samples);
	for (int i = 0; i < 2; i++)
		bench_samples_sort(&samples[i]);
	f->direct = bench_samples_at(&samples[1], 0.5);
	f->handed = bench_samples_at(&samples[0], 0.5);
	for (int i = 0; i < 2; i++)
		bench_samples_free(&samples[i]);
	return 0;
}

static int
verify(const struct scale *s, const char *where)
{
	uint64_t sent = 0, received = 0, wrong = 0, drops = 0;

	for (unsigned int i = 0; i < s->n; i++) {
		sent += s->lanes[i]->sent;
		received += s->lanes[i]->received;
		wrong += s->lanes[i]->wrong;
		for (unsigned int d = 0; d < SPINAT_DROP_COUNT; d++)
			drops += s->lanes[i]->worker->stats.drops[d];
	}
	if (sent == received && wrong == 0 && drops == 0)
		return 0;
	fprintf(stderr,
		"spinat-bench: %s: of %" PRIu64 " packets %" PRIu64 " came out, %" PRIu64
		" wrong, %" PRIu64 " dropped\n",
		where, sent, received, wrong, drops);
	return -1;
}

static int
measure(struct scale *s, double seconds, struct bench_scale_figures *f)
{
	if (establish(s, f) != 0 || verify(s, "making the flows") != 0)
		return -1;
	s->seconds = seconds;
	s->epoch = 2;
	for (unsigned int i = 0; i < s->n; i++)
		draw(s->lanes[i], -1);
	f->alone = run_phase(s, 1, false);
	f->mac_alone = run_phase(s, 1, true);
	f->together = run_phase(s, s->n, false);
	f->mac_together = run_phase(s, s->n, true);
	s->check = true;
	run_phase(s, s->n, false);
	s->check = false;
	f->packets = (uint64_t)s->n * (CHECK_ROUNDS + 1) * 2 * LANE_BATCH;
	draw(s->lanes[0], 0);
	f->own = run_phase(s, 1, false);
	draw(s->lanes[0], 1);
	f->foreign = run_phase(s, 1, false);
	for (int i = 0; i < 2; i++)
		bench_rss_shares(s->flows, s->n_flows, BENCH_UDP, s->n, i == 1, &f->rss[i]);
	return verify(s, "established flows");
}

int
bench_scale(const struct bench_work *work, uint32_t sessions, struct spinat_conf *conf,
	double seconds, struct bench_scale_figures *f)
{
	struct scale *s = calloc(1, sizeof(*s));
	struct spinat_conf_error err = {.text = ""};

	if (s == NULL)
		return fail("no memory");
	memset(f, 0, sizeof(*f));
	bench_samples_calibrate();
	s->work = work;
	s->n = conf->workers;
	s->n_flows = sessions;
	s->flows = bench_alloc(sessions * sizeof(*s->flows));
	for (unsigned int i = 0; i < s->n; i++) {
		s->lanes[i] = calloc(1, sizeof(*s->lanes[i]));
		if (s->lanes[i] == NULL || s->flows == NULL)
			return fail("no memory");
		s->lanes[i]->scale = s;
		s->lanes[i]->id = i;
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
	for (unsigned int i = 0; i < s->n; i++)
		if (create_lane(s->lanes[i]) != 0)
			return -1;
	/* the process ends with it: nothing is given back */
	return measure(s, seconds, f);
}
