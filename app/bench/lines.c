/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 the spinat authors
 */
#include <inttypes.h>
#include <netinet/in.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <rte_eal.h>
#include <rte_launch.h>
#include <rte_lcore.h>
#include <rte_malloc.h>
#include <rte_random.h>

#include "../eal.h"
#include "lanes.h"
#include "nat/hash.h"
#include "record.h"

/*
 * Tells which cache lines several workers share while they forward: one writes them, and another one
 * reads or writes them. tools/bench --shared-lines builds it and reads what it prints, an object a
 * phase. Nothing is timed, and the clock goes on only where the phase says so: what comes out is the
 * same every time.
 */

#define ROUNDS 16
#define RECORD_LINES (1u << 18)
#define MAX_GROUPS 256
#define SWEEP 512 /* flows looked at in a round, as in a millisecond */
/* A millisecond never passes by itself: so long it takes, TSC cycles. */
#define MILLISECOND (UINT64_C(1) << 50)

static const struct bench_work work = {
	.name = "lines", .percent = {[BENCH_UDP] = 40, [BENCH_TCP] = 30, [BENCH_ESP] = 30}};

/* What the workers do while it is recorded. */
static const struct phase {
	const char *name;
	bool roam; /* packets of one SA come to any worker, as no RSS does it */
	bool seconds; /* a second passes in every round */
	bool opening; /* the first worker makes new flows of its own */
	bool ending; /* its sweep ends them */
} phases[] = {
	{.name = "established"},
	{.name = "opening", .opening = true},
	{.name = "ending", .ending = true},
	{.name = "roaming", .roam = true},
	{.name = "seconds", .seconds = true},
};

struct rig {
	struct bench_lanes lanes;
	struct bench_record record[SPINAT_MAX_WORKERS];
	pthread_barrier_t barrier;
	const struct phase *phase;
	uint32_t established; /* flows; those that follow are opened by and by */
	uint32_t opened;
};

/* Lines shared in the same way. */
struct group {
	char what[32];
	uintptr_t writer, other;
	bool both_write;
	uint32_t lines, writes;
};

static void
poll_all(struct bench_lanes *l)
{
	unsigned int quiet = 0;

	while (quiet < 4) {
		unsigned int n = 0;

		for (unsigned int i = 0; i < l->n; i++)
			n += spinat_worker_poll(l->lane[i]->worker);
		quiet = n > 0 ? 0 : quiet + 1;
	}
}

/* Packets may have come out at another lane: all get their share of the buffers again. */
static void
level(struct bench_lanes *l)
{
	const uint32_t share = 2 * BENCH_LANE_BATCH;

	for (unsigned int i = 0; i < l->n; i++)
		for (unsigned int j = 0; j < l->n; j++) {
			struct bench_lane *from = l->lane[i], *to = l->lane[j];

			while (from->n_mbufs > share && to->n_mbufs < share)
				to->mbufs[to->n_mbufs++] = from->mbufs[--from->n_mbufs];
		}
}

/* Handshakes of all kinds, as in bench_establish. */
static int
establish(struct bench_lanes *l, uint32_t n_flows)
{
	static const enum spinat_dir phase[] = {SPINAT_OUT, SPINAT_IN, SPINAT_IN, SPINAT_OUT};

	for (unsigned int p = 0; p < RTE_DIM(phase); p++) {
		l->epoch = 1 + p / 2;
		l->opening = p < 2;
		for (uint32_t i = 0; i < n_flows;) {
			for (uint32_t n = 0; n < BENCH_LANE_BATCH && i < n_flows; n++, i++) {
				const struct bench_step step =
					bench_plan_step(&l->flows[i], i, phase[p], false);

				bench_lane_send(l->lane[i % l->n], phase[p], &step);
			}
			poll_all(l);
			for (unsigned int j = 0; j < l->n; j++)
				bench_lane_drain(l->lane[j], true, p == 0);
			level(l);
		}
		if (bench_lanes_verify(l, "making the flows") != 0)
			return -1;
	}
	l->opening = false;
	l->epoch++;
	return 0;
}

/* A worker that gets the packets of one SA, though perhaps not its gateway's owner. */
static unsigned int
worker_of(const struct rig *r, uint32_t flow, int dir)
{
	return (2 * flow + dir) / 7 % r->lanes.n;
}

static void
draw(struct rig *r)
{
	struct bench_lanes *l = &r->lanes;

	for (unsigned int i = 0; i < l->n; i++)
		for (int d = 0; d < 2; d++)
			for (uint32_t s = 0; s < BENCH_LANE_STEPS; s++) {
				uint32_t flow;

				do
					flow = rte_rand_max(r->established);
				while (l->flows[flow].kind == BENCH_ESP && !r->phase->roam &&
					worker_of(r, flow, d) != i);
				l->lane[i]->steps[d][s] =
					bench_plan_step(&l->flows[flow], flow, d, false);
			}
}

/* First packets of new flows of UDP whose owner the lane's worker is. */
static void
fill_new(struct rig *r, struct bench_lane *lane)
{
	struct bench_lanes *l = &r->lanes;
	uint32_t n = 0;

	for (; n < BENCH_LANE_BATCH && r->opened < l->n_flows; r->opened++) {
		const struct bench_flow *f = &l->flows[r->opened];
		struct bench_step step;

		if (f->kind != BENCH_UDP || spinat_owner(f->inside, 0, l->n) != lane->id)
			continue;
		step = bench_plan_step(f, r->opened, SPINAT_OUT, false);
		bench_lane_send(lane, SPINAT_OUT, &step);
		n++;
	}
}

/* Makes the flows that were opened old enough to end; the sweep goes there first. */
static void
grow_old(struct rig *r)
{
	struct bench_lanes *l = &r->lanes;
	struct spinat_nat *nat = l->engine->workers[0]->nat;

	nat->sweep_at = nat->table->high;
	for (uint32_t i = r->established; i < r->opened; i++) {
		const struct bench_step s = bench_plan_step(&l->flows[i], i, SPINAT_OUT, false);
		const struct spinat_key key = {.src = s.src,
			.dst = s.dst,
			.ports = s.ports,
			.proto = IPPROTO_UDP,
			.dir = SPINAT_OUT};
		struct spinat_flow *f = spinat_table_find(nat->table, &key);

		if (f == NULL)
			continue; /* of another owner, which none was opened of */
		f->last_seen = 0;
		nat->sweep_at = RTE_MIN(nat->sweep_at, spinat_table_index(nat->table, f));
	}
}

static int
run_lane(void *arg)
{
	struct bench_lane *lane = arg;
	struct rig *r = container_of(lane->all, struct rig, lanes);
	const bool opens = r->phase->opening && lane->id == 0;

	for (unsigned int round = 0; round < ROUNDS; round++) {
		if (opens)
			fill_new(r, lane);
		else
			bench_lane_fill(lane);
		if (r->phase->seconds)
			lane->worker->tick_tsc -= 1000 * MILLISECOND;
		if (r->phase->ending && lane->id == 0)
			lane->worker->sweep_left = SWEEP;
		pthread_barrier_wait(&r->barrier);
		bench_record_to(&r->record[lane->id]);
		while (bench_lane_waiting(lane) > 0)
			spinat_worker_poll(lane->worker);
		bench_record_to(NULL);
		pthread_barrier_wait(&r->barrier);
		bench_lane_drain(lane, true, opens);
	}
	return 0;
}

static bool
is_within(uintptr_t address, const void *start, size_t size)
{
	return address >= (uintptr_t)start && address < (uintptr_t)start + size;
}

/* What an address belongs to. */
static void
name(const struct bench_lanes *l, uintptr_t address, char *text, size_t size)
{
	const struct spinat_engine *e = l->engine;
	const struct rte_mempool_memhdr *hdr;

	snprintf(text, size, "memory");
	STAILQ_FOREACH(hdr, &e->pool->mem_list, next)
	if (is_within(address, hdr->addr, hdr->len))
		snprintf(text, size, "packet buffers");
	if (is_within(address, e, sizeof(*e)))
		snprintf(text, size, "engine");
	if (is_within(address, e->qsbr, rte_rcu_qsbr_get_memsize(SPINAT_MAX_WORKERS + 1)))
		snprintf(text, size, "RCU");
	if (is_within(address, e->snapshot, sizeof(*e->snapshot)))
		snprintf(text, size, "snapshot");
	for (unsigned int i = 0; i < l->n; i++) {
		const struct spinat_worker *w = e->workers[i];
		const struct spinat_table *t = w->nat->table;
		size_t index_size = 0;

		rte_malloc_validate(t->index.buckets, &index_size);
		if (is_within(address, w, sizeof(*w)))
			snprintf(text, size, "worker %u", i);
		if (is_within(address, w->in, sizeof(*w->in)))
			snprintf(text, size, "ring of worker %u", i);
		if (is_within(address, t, sizeof(*t)))
			snprintf(text, size, "table of worker %u", i);
		if (is_within(address, t->flows, (size_t)t->capacity * sizeof(*t->flows)))
			snprintf(text, size, "flows of worker %u", i);
		if (is_within(address, t->index.buckets, index_size))
			snprintf(text, size, "index of worker %u", i);
	}
}

static void
add_line(struct group *groups, unsigned int *n, const struct group *line)
{
	unsigned int i = 0;

	while (i < *n &&
		(strcmp(groups[i].what, line->what) != 0 || groups[i].writer != line->writer ||
			groups[i].other != line->other))
		i++;
	if (i == MAX_GROUPS)
		i--;
	if (i == *n)
		groups[(*n)++] = *line;
	groups[i].lines++;
	groups[i].writes += line->writes;
}

/* What others have done with the lines that one worker wrote. */
static void
compare(const struct rig *r, unsigned int writer, struct group *groups, unsigned int *n)
{
	const struct bench_record *own = &r->record[writer];

	for (uint32_t i = 0; i <= own->mask; i++) {
		const struct bench_line *line = &own->lines[i];
		struct group g = {.writer = line->writer, .writes = line->writes};

		if (line->writes == 0)
			continue;
		for (unsigned int o = 0; o < r->lanes.n; o++) {
			const struct bench_line *other =
				o != writer ? bench_record_find(&r->record[o], line->line) : NULL;

			if (other == NULL)
				continue;
			g.both_write = other->writes > 0;
			g.other = g.both_write ? other->writer : other->reader;
			name(&r->lanes, line->line * RTE_CACHE_LINE_SIZE, g.what, sizeof(g.what));
			add_line(groups, n, &g);
			break;
		}
	}
}

static uint64_t
received(const struct bench_lanes *l)
{
	uint64_t n = 0;

	for (unsigned int i = 0; i < l->n; i++)
		n += l->lane[i]->received;
	return n;
}

static int
print_phase(const struct rig *r, uint64_t packets, uint64_t ended)
{
	static struct group groups[MAX_GROUPS];
	unsigned int n = 0;
	uint32_t lines = 0, lost = 0;

	memset(groups, 0, sizeof(groups));
	for (unsigned int i = 0; i < r->lanes.n; i++) {
		compare(r, i, groups, &n);
		lines += r->record[i].used;
		lost += r->record[i].lost;
	}
	if (lost > 0) {
		fprintf(stderr, "spinat-lines: %u accesses had no room\n", lost);
		return -1;
	}
	printf("{\"phase\": \"%s\", \"workers\": %u, \"packets\": %" PRIu64 ", \"ended\": %" PRIu64
	       ", "
	       "\"lines\": %u, \"shared\": [",
		r->phase->name, r->lanes.n, packets, ended, lines);
	for (unsigned int i = 0; i < n; i++)
		printf("%s{\"what\": \"%s\", \"lines\": %u, \"writes\": %u, \"writer\": %" PRIuPTR
		       ", \"other\": %" PRIuPTR ", \"other_writes\": %s}",
			i > 0 ? ", " : "", groups[i].what, groups[i].lines, groups[i].writes,
			groups[i].writer, groups[i].other, groups[i].both_write ? "true" : "false");
	printf("]}\n");
	return 0;
}

/* What is old has ended, and is free again, before the next phase. */
static void
settle(struct bench_lanes *l)
{
	for (unsigned int lot = 0; lot <= 2; lot++) {
		for (unsigned int i = 0; i < l->n; i++) {
			struct spinat_worker *w = l->lane[i]->worker;

			w->sweep_left = 0;
			spinat_nat_sweep(w->nat, w->snap->conf, w->now_s, w->nat->table->capacity);
		}
		poll_all(l);
	}
}

static int
run_phase(struct rig *r, const struct phase *phase)
{
	struct bench_lanes *l = &r->lanes;
	const struct spinat_nat *nat = l->engine->workers[0]->nat;
	const uint64_t before = received(l), expired = nat->expired;
	unsigned int lcore;
	uint64_t ended;

	r->phase = phase;
	draw(r);
	if (phase->ending)
		grow_old(r);
	for (unsigned int i = 0; i < l->n; i++)
		bench_record_clear(&r->record[i]);
	pthread_barrier_init(&r->barrier, NULL, l->n);
	for (unsigned int i = 0; i < l->n; i++)
		rte_eal_remote_launch(run_lane, l->lane[i], l->lane[i]->worker->lcore);
	RTE_LCORE_FOREACH_WORKER(lcore)
		rte_eal_wait_lcore(lcore);
	pthread_barrier_destroy(&r->barrier);
	ended = nat->expired - expired;
	settle(l);
	if (bench_lanes_verify(l, phase->name) != 0)
		return -1;
	return print_phase(r, received(l) - before, ended);
}

static int
run(struct bench_box *box, struct spinat_conf *conf)
{
	static struct rig r;

	if (bench_lanes_create(&r.lanes, &work, box->sessions, conf) != 0)
		return -1;
	r.lanes.engine->tsc_per_ms = MILLISECOND;
	for (unsigned int i = 0; i < box->workers; i++) {
		struct spinat_worker *w = r.lanes.lane[i]->worker;

		w->tick_tsc = rte_rdtsc();
		w->now_ms = SPINAT_CLOCK_START_MS;
		w->now_s = w->now_ms / 1000;
		if (bench_record_create(&r.record[i], RECORD_LINES) != 0)
			return -1;
	}
	r.established = r.opened = box->sessions / 4;
	if (establish(&r.lanes, r.established) != 0)
		return -1;
	for (unsigned int i = 0; i < RTE_DIM(phases); i++)
		if (run_phase(&r, &phases[i]) != 0)
			return -1;
	return 0;
}

int
main(int argc, char **argv)
{
	struct bench_box box = {.sessions = 65536,
		.capacity = 65536,
		.workers = argc == 2 ? strtoul(argv[1], NULL, 0) : 0,
		.device = {bench_device[0], bench_device[1]}};
	struct spinat_conf_error err = {.text = ""};
	struct spinat_conf *conf;
	size_t len;
	int rc;

	if (box.workers < 2 || box.workers > SPINAT_MAX_WORKERS) {
		fprintf(stderr, "usage: spinat-lines WORKERS, from 2 to %u\n", SPINAT_MAX_WORKERS);
		return 2;
	}
	len = snprintf(box.lcores, sizeof(box.lcores), "0@0");
	for (unsigned int i = 0; i < box.workers; i++)
		len += snprintf(box.lcores + len, sizeof(box.lcores) - len, ",%u@%u", i + 1, i % 2);
	conf = bench_plan_conf(&work, &box, &err);
	if (conf == NULL || spinat_eal_start(conf, 0, NULL, &err) != 0) {
		fprintf(stderr, "spinat-lines: %s\n", err.text);
		return EXIT_FAILURE;
	}
	rc = run(&box, conf);
	rte_eal_cleanup();
	return rc == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
