/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 the spinat authors
 */
#include <stdio.h>
#include <string.h>
#include <time.h>

#include <rte_launch.h>
#include <rte_lcore.h>

#include "aging.h"
#include "during.h"
#include "measure.h"

#define SAMPLES_MAX (1u << 20)
#define WARM_BATCHES 256
#define CHECK_BATCHES 32
/* Batches in a row: long against the caches' way from one turn's state to the next one's, short
 * against what neighbours on the machine do to it. */
#define ENGINE_BATCHES 64
#define FLOOR_BATCHES 16
#define COUNT_BATCHES 64
#define SETTLE_SECONDS 2
/* Flows made again in all, and how often at least. */
#define RENEWED_FLOWS (1u << 18)
#define RENEWALS_MIN 2u

int
bench_meter_create(struct bench_meter *m, const struct bench_rig *r, double seconds, bool split)
{
	memset(m, 0, sizeof(*m));
	m->seconds = seconds;
	m->split = split;
	/* long enough that a sequence that comes round again finds nothing left in a cache */
	m->n_steps = RTE_MIN(RTE_MAX(4 * (uint64_t)r->n_flows, 1u << 20), 1u << 24);
	for (int i = 0; i < BENCH_TURNS; i++)
		if (bench_samples_create(&m->samples[i], SAMPLES_MAX) != 0)
			goto no_memory;
	for (int d = 0; d < 2; d++) {
		m->steps[d] = bench_alloc(m->n_steps * sizeof(*m->steps[d]));
		if (m->steps[d] == NULL)
			goto no_memory;
	}
	bench_samples_calibrate();
	bench_counters_open(&m->counters, bench_events, BENCH_EVENTS);
	return 0;
no_memory:
	fprintf(stderr, "spinat-bench: no memory for the packets\n");
	return -1;
}

void
bench_meter_free(struct bench_meter *m)
{
	for (int i = 0; i < BENCH_TURNS; i++)
		bench_samples_free(&m->samples[i]);
	for (int d = 0; d < 2; d++)
		bench_free(m->steps[d], m->n_steps * sizeof(*m->steps[d]));
	bench_floor_free(&m->floor);
	bench_counters_close(&m->counters);
}

/* Everything sent has come out right, and nothing was dropped. */
static int
verify(const struct bench_rig *r, const char *where)
{
	const uint64_t drops = bench_rig_drops(r);
	bool complete = true;

	for (int d = 0; d < 2; d++)
		complete = complete && r->sent[d] == r->received[d];
	if (complete && r->wrong == 0 && drops == 0)
		return 0;
	fprintf(stderr,
		"spinat-bench: %s: of %" PRIu64 " outbound and %" PRIu64 " inbound packets %" PRIu64
		" and %" PRIu64 " came out, %" PRIu64 " of those looked at wrong\n",
		where, r->sent[SPINAT_OUT], r->sent[SPINAT_IN], r->received[SPINAT_OUT],
		r->received[SPINAT_IN], r->wrong);
	bench_rig_print_drops(r);
	return -1;
}

/* Lets a turn take what lies ready, each of its turns timed. */
static void
consume(struct bench_rig *r, enum bench_turn_id id, uint32_t left, struct bench_samples *s)
{
	while (left > 0) {
		uint64_t from = rte_rdtsc_precise();
		uint32_t n = bench_turns[id](r);
		uint64_t to = rte_rdtsc_precise();

		if (n == 0 || n > left)
			return; /* verify() tells that packets are missing */
		left -= n;
		if (s != NULL)
			bench_samples_add(s, from, to, n);
	}
}

static void
run_batches(struct bench_rig *r, enum bench_turn_id id, uint32_t batches, struct bench_samples *s,
	bench_sink sink)
{
	for (; batches > 0; batches--) {
		r->epoch++;
		consume(r, id, bench_rig_send(r, BENCH_BATCH), s);
		bench_rig_drain(r, sink);
	}
}

static int
run_keys(struct bench_meter *m, struct bench_rig *r, enum bench_turn_id id, uint32_t bursts)
{
	for (; bursts > 0; bursts--) {
		struct bench_keys keys;
		uint64_t from, to;
		uint32_t found;

		bench_floor_keys(r, &keys);
		from = rte_rdtsc_precise();
		found = id == BENCH_TURN_HASH ? bench_floor_hash(&m->floor, &keys)
					      : bench_floor_table(r, &keys);
		to = rte_rdtsc_precise();
		if (found != keys.n) {
			fprintf(stderr, "spinat-bench: %u of %u keys are not in the table\n",
				keys.n - found, keys.n);
			return -1;
		}
		bench_samples_add(&m->samples[id], from, to, keys.n);
	}
	return 0;
}

double
bench_seconds_run(void)
{
	struct timespec t;

	clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
	return t.tv_sec + t.tv_nsec / 1e9;
}

/* Events of so many batches' turns, what reading them takes included. @return packets, or 0 */
static uint64_t
count_turns(const struct bench_meter *m, struct bench_rig *r, enum bench_turn_id id,
	uint64_t sum[BENCH_EVENTS])
{
	uint64_t before[BENCH_EVENTS], after[BENCH_EVENTS], packets = 0;

	memset(sum, 0, BENCH_EVENTS * sizeof(*sum));
	for (unsigned int b = 0; b < COUNT_BATCHES; b++) {
		uint32_t n, left;

		r->epoch++;
		for (left = bench_rig_send(r, BENCH_BATCH); left > 0; left -= n) {
			if (!bench_counters_read(&m->counters, before))
				break;
			n = bench_turns[id](r);
			if (!bench_counters_read(&m->counters, after) || n == 0 || n > left)
				break;
			for (int i = 0; i < BENCH_EVENTS; i++)
				sum[i] += after[i] - before[i];
			packets += n;
		}
		bench_rig_drain(r, NULL);
		if (left > 0)
			return 0;
	}
	return packets;
}

/* By themselves, as the kernel's way in and out would be in the time of a turn. What a turn over the
 * rings has is left out as it is of cycles, and so is what reading takes. */
static void
count_events(const struct bench_meter *m, struct bench_rig *r, struct bench_figures *f)
{
	uint64_t engine[BENCH_EVENTS], rings[BENCH_EVENTS];
	const uint64_t packets = count_turns(m, r, BENCH_TURN_ENGINE, engine);
	const uint64_t of_rings = packets > 0 ? count_turns(m, r, BENCH_TURN_RINGS, rings) : 0;

	for (int i = 0; i < BENCH_EVENTS && of_rings > 0; i++) {
		f->events[i] = (double)engine[i] / packets - (double)rings[i] / of_rings;
		f->counted[i] = m->counters.fd[i] >= 0;
	}
}

/* One lcore: it fills the rings, then works on what lies there. Only the work is timed. */
static int
run_alternately(struct bench_meter *m, struct bench_rig *r)
{
	const double end = bench_seconds_run() + m->seconds;

	run_batches(r, BENCH_TURN_ENGINE, WARM_BATCHES, NULL, NULL);
	do {
		run_batches(
			r, BENCH_TURN_ENGINE, ENGINE_BATCHES, &m->samples[BENCH_TURN_ENGINE], NULL);
		for (int i = BENCH_TURN_RINGS; i < BENCH_TURN_HASH; i++)
			run_batches(r, i, FLOOR_BATCHES, &m->samples[i], NULL);
		for (int i = BENCH_TURN_HASH; i <= BENCH_TURN_TABLE; i++)
			if (run_keys(m, r, i, FLOOR_BATCHES * BENCH_BATCH / SPINAT_BURST) != 0)
				return -1;
	} while (bench_seconds_run() < end);
	return 0;
}

/* The worker lcore of a split run. */
struct split {
	struct bench_rig *rig;
	struct bench_samples *samples;
	enum bench_turn_id id;
	uint32_t full; /* packets of a turn that found full bursts */
	bool stop; /* relaxed atomic */
};

static int
run_worker(void *arg)
{
	struct split *s = arg;

	while (!__atomic_load_n(&s->stop, __ATOMIC_RELAXED)) {
		uint64_t from = rte_rdtsc_precise();
		uint32_t n = bench_turns[s->id](s->rig);

		if (n == s->full)
			bench_samples_add(s->samples, from, rte_rdtsc_precise(), n);
	}
	return 0;
}

static bool
all_back(const struct bench_rig *r)
{
	return r->received[SPINAT_OUT] == r->sent[SPINAT_OUT] &&
	       r->received[SPINAT_IN] == r->sent[SPINAT_IN];
}

static void
run_split_turn(struct bench_meter *m, struct bench_rig *r, const struct bench_case *c,
	enum bench_turn_id id)
{
	struct split s = {.rig = r,
		.samples = &m->samples[id],
		.id = id,
		.full = (c->with[SPINAT_OUT] + c->with[SPINAT_IN]) * SPINAT_BURST};
	const unsigned int lcore = rte_get_next_lcore(-1, 1, 0);
	double end;

	rte_eal_remote_launch(run_worker, &s, lcore);
	for (end = bench_seconds_run() + m->seconds / 3; bench_seconds_run() < end;) {
		bench_rig_send(r, SPINAT_BURST);
		bench_rig_drain(r, NULL);
	}
	for (end = bench_seconds_run() + SETTLE_SECONDS; !all_back(r) && bench_seconds_run() < end;)
		bench_rig_drain(r, NULL);
	__atomic_store_n(&s.stop, true, __ATOMIC_RELAXED);
	rte_eal_wait_lcore(lcore);
}

/* Two lcores: this one is the generator, the worker's takes what it finds. */
static void
run_split(struct bench_meter *m, struct bench_rig *r, const struct bench_case *c)
{
	r->epoch++;
	run_split_turn(m, r, c, BENCH_TURN_ENGINE);
	run_split_turn(m, r, c, BENCH_TURN_RINGS);
	run_split_turn(m, r, c, BENCH_TURN_MAC);
}

static void
feed(struct bench_meter *m, struct bench_rig *r, const bool with[2])
{
	r->form = r->work->form;
	r->opening = false;
	for (int d = 0; d < 2; d++)
		r->feed[d] =
			(struct bench_feed){.steps = m->steps[d], .n = with[d] ? m->n_steps : 0};
}

/* What one kind of turn says of the engine; sorted. */
static void
take_turns(const struct bench_samples *engine, struct bench_figures *f)
{
	f->median[BENCH_TURN_ENGINE] = bench_samples_at(engine, 0.5);
	f->mean = bench_samples_mean(engine);
	f->p99 = bench_samples_at(engine, 0.99);
	f->packets = engine->packets;
	if (engine->n > 0) {
		/* all turns have the same number of packets */
		const double packets = engine->packets / engine->n;

		f->turn_p50 = packets * f->median[BENCH_TURN_ENGINE];
		f->turn_p99_9 = packets * bench_samples_at(engine, 0.999);
		f->turn_p99_99 = packets * bench_samples_at(engine, 0.9999);
		f->turn_max = packets * bench_samples_at(engine, 1);
	}
	f->turns = engine->n;
}

static void
take_figures(struct bench_meter *m, struct bench_figures *f)
{
	for (int i = 0; i < BENCH_TURNS; i++) {
		bench_samples_sort(&m->samples[i]);
		f->median[i] = bench_samples_at(&m->samples[i], 0.5);
	}
	take_turns(&m->samples[BENCH_TURN_ENGINE], f);
}

int
bench_measure(struct bench_meter *m, struct bench_rig *r, const struct bench_case *c,
	struct bench_figures *f)
{
	const uint64_t slow = r->worker->stats.slow;

	memset(f, 0, sizeof(*f));
	for (int i = 0; i < BENCH_TURNS; i++)
		bench_samples_clear(&m->samples[i]);
	feed(m, r, c->with);
	if (m->split)
		run_split(m, r, c);
	else if (run_alternately(m, r) != 0)
		return -1;
	f->slow = r->worker->stats.slow - slow;
	if (!m->split && m->counters.leader >= 0)
		count_events(m, r, f);
	run_batches(r, BENCH_TURN_ENGINE, CHECK_BATCHES, NULL, bench_rig_check);
	take_figures(m, f);
	if (verify(r, c->direction) != 0)
		return -1;
	if (f->slow == 0 || !bench_work_all_fast(r->work))
		return 0;
	fprintf(stderr,
		"spinat-bench: %" PRIu64 " packets of established flows took the slow path\n",
		f->slow);
	return -1;
}

int
bench_measure_beside(struct bench_meter *m, struct bench_rig *r, struct bench_during *d,
	unsigned int slice_ms, struct bench_figures f[2])
{
	/* two of the meter's, for turns of the engine both */
	struct bench_samples *of[2] = {
		&m->samples[BENCH_TURN_ENGINE], &m->samples[BENCH_TURN_RINGS]};
	const uint64_t slice = rte_get_tsc_hz() / 1000 * slice_ms;
	const double end = bench_seconds_run() + m->seconds;
	const uint64_t slow = r->worker->stats.slow;
	bool on = false;

	for (int i = 0; i < 2; i++) {
		memset(&f[i], 0, sizeof(f[i]));
		bench_samples_clear(of[i]);
	}
	feed(m, r, (const bool[2]){true, true});
	run_batches(r, BENCH_TURN_ENGINE, WARM_BATCHES, NULL, NULL);
	for (; bench_seconds_run() < end || on; on = !on) {
		const uint64_t begun = rte_rdtsc();

		bench_during_slice(d, on);
		while (rte_rdtsc() - begun < slice)
			run_batches(r, BENCH_TURN_ENGINE, 1, of[on], NULL);
	}
	bench_during_slice(d, false);
	run_batches(r, BENCH_TURN_ENGINE, CHECK_BATCHES, NULL, bench_rig_check);
	for (int i = 0; i < 2; i++) {
		bench_samples_sort(of[i]);
		take_turns(of[i], &f[i]);
		f[i].slow = r->worker->stats.slow - slow;
	}
	return verify(r, d->what);
}

int64_t
bench_count(struct bench_meter *m, struct bench_rig *r, uint32_t batches)
{
	const uint64_t before = r->received[SPINAT_OUT] + r->received[SPINAT_IN];

	feed(m, r, (const bool[2]){true, true});
	run_batches(r, BENCH_TURN_ENGINE, batches, NULL, bench_rig_check);
	if (verify(r, "counting") != 0)
		return -1;
	return r->received[SPINAT_OUT] + r->received[SPINAT_IN] - before;
}

/* A chunk of flows' packets of one direction, through the engine. */
static void
send_chunk(struct bench_rig *r, enum spinat_dir dir, uint32_t first, uint32_t n,
	struct bench_samples *s, bench_sink sink)
{
	struct bench_step steps[BENCH_BATCH];

	for (uint32_t i = 0; i < n; i++)
		steps[i] = bench_plan_step(&r->flows[first + i], first + i, dir, false);
	r->feed[dir] = (struct bench_feed){.steps = steps, .n = n};
	r->feed[!dir].n = 0;
	consume(r, BENCH_TURN_ENGINE, bench_rig_send(r, n), s);
	bench_rig_drain(r, sink);
	r->feed[dir].n = 0;
}

int
bench_establish(struct bench_meter *m, struct bench_rig *r, struct bench_figures *f)
{
	/* TCP: SYN, SYN with ACK, two more; ESP: the second packet of a direction settles its SPI;
	 * IKE: an exchange of each kind. UDP needs its first packet only. */
	static const enum spinat_dir phases[] = {SPINAT_OUT, SPINAT_IN, SPINAT_IN, SPINAT_OUT};
	const unsigned int n_phases = r->work->percent[BENCH_UDP] == 100 ? 1 : RTE_DIM(phases);
	struct bench_samples *first = &m->samples[BENCH_TURN_ENGINE];

	memset(f, 0, sizeof(*f));
	bench_samples_clear(first);
	r->form = BENCH_SMALLEST;
	for (unsigned int p = 0; p < n_phases; p++) {
		r->epoch = 1 + p / 2;
		r->opening = p < 2;
		for (uint32_t i = 0; i < r->n_flows; i += BENCH_BATCH)
			send_chunk(r, phases[p], i, RTE_MIN(r->n_flows - i, BENCH_BATCH),
				p == 0 ? first : NULL, p == 0 ? bench_rig_learn : bench_rig_check);
		if (p == 0)
			take_figures(m, f);
		if (verify(r, "making the flows") != 0)
			return -1;
	}
	f->slow = r->n_flows;
	return 0;
}

/* First packets of all flows, learned from. */
static void
make_all(struct bench_rig *r, struct bench_samples *s)
{
	r->form = BENCH_SMALLEST;
	r->opening = true;
	for (uint32_t i = 0; i < r->n_flows; i += BENCH_BATCH)
		send_chunk(
			r, SPINAT_OUT, i, RTE_MIN(r->n_flows - i, BENCH_BATCH), s, bench_rig_learn);
}

int
bench_open(struct bench_rig *r)
{
	r->epoch = 1;
	make_all(r, NULL);
	r->opening = false;
	return verify(r, "opening");
}

int
bench_renew(struct bench_meter *m, struct bench_rig *r, struct bench_life *life)
{
	struct bench_samples *first = &m->samples[BENCH_TURN_ENGINE];
	struct bench_samples *look = &m->samples[BENCH_TURN_RINGS];
	struct bench_samples *end = &m->samples[BENCH_TURN_MAC];

	memset(life, 0, sizeof(*life));
	for (int i = 0; i < BENCH_TURNS; i++)
		bench_samples_clear(&m->samples[i]);
	for (uint32_t i = 0; i < RTE_MAX(RENEWED_FLOWS / r->n_flows, RENEWALS_MIN); i++) {
		bench_age_look(r, look);
		bench_age_out(r, end);
		make_all(r, first);
		if (verify(r, "making the flows again") != 0)
			return -1;
	}
	bench_samples_sort(look);
	bench_samples_sort(end);
	life->look = bench_samples_at(look, 0.5);
	life->end = bench_samples_at(end, 0.5);
	take_figures(m, &life->again);
	life->again.slow = life->again.packets;
	return 0;
}
