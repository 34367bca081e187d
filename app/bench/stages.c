/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 the spinat authors
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <rte_eal.h>
#include <rte_version.h>

#include "../eal.h"
#include "datapath/stage.h"
#include "measure.h"
#include "options.h"

/*
 * Measures what each stage of a burst takes, of one work with one number of established flows, both
 * directions. It is linked with a data path that takes the time between its stages; what that costs
 * is measured once and subtracted.
 */

#define SAMPLES_MAX (1u << 18)
#define CHECK_BATCHES 32
#define CALIBRATIONS 256
#define CALIBRATION_MARKS 64

static const char *const names[SPINAT_STAGE_COUNT] = {
	[SPINAT_STAGE_RX] = "rx",
	[SPINAT_STAGE_PARSE] = "parse",
	[SPINAT_STAGE_LOOKUP] = "lookup",
	[SPINAT_STAGE_RESOLVE] = "resolve",
	[SPINAT_STAGE_REWRITE] = "rewrite",
	[SPINAT_STAGE_TX] = "tx",
	[SPINAT_STAGE_REST] = "rest",
};

static struct bench_samples samples[SPINAT_STAGE_COUNT];
static double mark_cycles;

static void
clear(struct spinat_stages *s)
{
	memset(s, 0, sizeof(*s));
	s->last = rte_rdtsc_precise();
}

/* What a mark takes where nothing lies between it and the next, and nothing disturbs. */
static void
calibrate(void)
{
	struct spinat_stages *s = &RTE_PER_LCORE(spinat_stages);
	uint64_t least = UINT64_MAX;

	for (unsigned int i = 0; i < CALIBRATIONS; i++) {
		clear(s);
		SPINAT_STAGE_END(SPINAT_STAGE_RX); /* the memory barrier's */
		for (unsigned int k = 0; k < CALIBRATION_MARKS; k++)
			SPINAT_STAGE_END(SPINAT_STAGE_REST);
		least = RTE_MIN(least, s->cycles[SPINAT_STAGE_REST]);
	}
	mark_cycles = (double)least / CALIBRATION_MARKS;
}

/* The stages of one turn. Of each its marks are what timing costs, in place of the samples' own. */
static void
take(const struct spinat_stages *s, uint32_t packets)
{
	for (int i = 0; i < SPINAT_STAGE_COUNT; i++) {
		const uint64_t marks = s->marks[i] * mark_cycles;

		bench_samples_add(&samples[i], RTE_MIN(marks, s->cycles[i]),
			s->cycles[i] + bench_timer_cycles, packets);
	}
}

static void
run_batch(struct bench_rig *r, bool timed)
{
	struct spinat_stages *s = &RTE_PER_LCORE(spinat_stages);
	uint32_t left, n;

	r->epoch++;
	for (left = bench_rig_send(r, BENCH_BATCH); left > 0; left -= n) {
		clear(s);
		n = spinat_worker_poll(r->worker);
		if (n == 0 || n > left)
			break; /* bench_count() tells that packets are missing */
		if (timed)
			take(s, n);
	}
	bench_rig_drain(r, NULL);
}

static int
measure(const struct bench_options *o, struct bench_meter *m, struct bench_rig *r)
{
	struct bench_figures first;
	double end;

	for (int i = 0; i < SPINAT_STAGE_COUNT; i++)
		if (bench_samples_create(&samples[i], SAMPLES_MAX) != 0)
			return -1;
	if (bench_establish(m, r, &first) != 0)
		return -1;
	calibrate();
	bench_draw(m, r, r->n_flows, false);
	/* every packet of the sequence once: the first one of a flow and direction finds its next hop */
	if (bench_count(m, r, m->n_steps / BENCH_BATCH) < 0)
		return -1;
	end = bench_seconds_run() + o->seconds;
	do
		run_batch(r, true);
	while (bench_seconds_run() < end);
	return bench_count(m, r, CHECK_BATCHES) < 0 ? -1 : 0;
}

static void
print(const struct bench_options *o)
{
	printf("{\"name\": \"%s-stages\", \"sessions\": %u, \"turns\": %u, \"mark_cycles\": %.1f, ",
		o->work->name, o->box.sessions, samples[SPINAT_STAGE_RX].n, mark_cycles);
	for (int i = 0; i < SPINAT_STAGE_COUNT; i++) {
		bench_samples_sort(&samples[i]);
		printf("\"%s_cycles\": %.1f, ", names[i], bench_samples_at(&samples[i], 0.5));
	}
	printf("\"tsc_hz\": %" PRIu64 ", \"dpdk\": \"%s\", \"spinat\": \"%s\"}\n", rte_get_tsc_hz(),
		rte_version(), SPINAT_VERSION);
}

static int
run(const struct bench_options *o, struct spinat_conf *conf)
{
	static struct bench_meter m;
	static struct bench_rig r;
	int rc = -1;

	if (bench_rig_create(&r, o->work, o->box.sessions, conf) == 0 &&
		bench_meter_create(&m, &r, o->seconds, false) == 0)
		rc = measure(o, &m, &r);
	if (rc == 0)
		print(o);
	for (int i = 0; i < SPINAT_STAGE_COUNT; i++)
		bench_samples_free(&samples[i]);
	bench_meter_free(&m);
	bench_rig_free(&r);
	return rc;
}

int
main(int argc, char **argv)
{
	struct bench_options o = {.seconds = 1,
		.cpu = 1,
		.box = {.sessions = 65536,
			.workers = 1,
			.device = {bench_device[0], bench_device[1]}}};
	struct spinat_conf_error err = {.text = ""};
	struct spinat_conf *conf;
	int rc = bench_options_parse(argc, argv, &o);

	if (rc >= 0)
		return rc;
	if (o.work == NULL || o.work->candidates > 0 || o.box.workers != 1) {
		fprintf(stderr, "spinat-bench-stages: a --work of established flows\n");
		return 2;
	}
	snprintf(o.box.lcores, sizeof(o.box.lcores), "0@%u,1@%u", o.cpu, o.generator_cpu);
	conf = bench_plan_conf(o.work, &o.box, &err);
	if (conf != NULL)
		conf->memory = spinat_memory_wanted(conf);
	if (conf == NULL || spinat_eal_start(conf, o.eal_argc, o.eal_argv, &err) != 0) {
		fprintf(stderr, "spinat-bench-stages: %s\n", err.text);
		return EXIT_FAILURE;
	}
	rc = run(&o, conf);
	rte_eal_cleanup();
	return rc == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
