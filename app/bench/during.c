/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 the spinat authors
 */
#include <sched.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "during.h"

#define PAUSE_US 1000
#define AGING_FLOWS 8192 /* that end in a slice */

bool
bench_during_known(const char *what)
{
	return strcmp(what, "reload") == 0 || strcmp(what, "dump") == 0 ||
	       strcmp(what, "aging") == 0;
}

static bool
reload(struct bench_during *d)
{
	struct spinat_conf_error err = {.text = ""};
	struct spinat_conf *conf = bench_plan_conf(d->rig->work, d->box, &err);

	if (conf != NULL)
		conf->memory = d->memory;
	if (conf != NULL && spinat_engine_reconfigure(d->rig->engine, conf, NULL, NULL, &err) == 0)
		return true;
	fprintf(stderr, "spinat-bench: reload: %s\n", err.text);
	spinat_conf_free(conf);
	return false;
}

/* What telemetry reads to list sessions and mappings. */
static bool
dump(const struct bench_during *d)
{
	const struct spinat_nat *nat = d->rig->worker->nat;
	uint32_t sessions = 0, mappings = 0;
	struct spinat_mapping row;

	for (uint32_t i = 0; i < __atomic_load_n(&nat->table->high, __ATOMIC_RELAXED); i++) {
		const struct spinat_flow f =
			*(const volatile struct spinat_flow *)&nat->table->flows[i];

		sessions += f.type == SPINAT_FLOW_SESSION;
	}
	for (uint32_t i = 0; i < spinat_mapping_capacity(nat->mappings); i++)
		mappings += spinat_mapping_row(nat->mappings, i, &row);
	return sessions >= mappings;
}

static void *
run(void *arg)
{
	struct bench_during *d = arg;
	const bool reloads = strcmp(d->what, "reload") == 0;
	bool good = true;

	while (good && !__atomic_load_n(&d->stop, __ATOMIC_ACQUIRE)) {
		__atomic_store_n(&d->busy, true, __ATOMIC_SEQ_CST);
		if (__atomic_load_n(&d->on, __ATOMIC_SEQ_CST)) {
			good = reloads ? reload(d) : dump(d);
			d->done += good;
		}
		__atomic_store_n(&d->busy, false, __ATOMIC_RELEASE);
		usleep(PAUSE_US);
	}
	__atomic_store_n(&d->failed, !good, __ATOMIC_RELEASE);
	return NULL;
}

static bool
ages(const struct bench_during *d)
{
	return strcmp(d->what, "aging") == 0;
}

int
bench_during_start(struct bench_during *d, unsigned int cpu)
{
	const struct sched_param normal = {.sched_priority = 0};
	pthread_attr_t attr;
	cpu_set_t set;
	int rc;

	d->old = BENCH_DURING_KEEP(d->rig->n_flows);
	if (ages(d))
		return 0;
	CPU_ZERO(&set);
	CPU_SET(cpu, &set);
	pthread_attr_init(&attr);
	pthread_attr_setaffinity_np(&attr, sizeof(set), &set);
	pthread_attr_setinheritsched(&attr, PTHREAD_EXPLICIT_SCHED);
	pthread_attr_setschedpolicy(&attr, SCHED_OTHER);
	pthread_attr_setschedparam(&attr, &normal);
	rc = pthread_create(&d->thread, &attr, run, d);
	pthread_attr_destroy(&attr);
	if (rc != 0)
		fprintf(stderr, "spinat-bench: no thread to be had\n");
	return rc == 0 ? 0 : -1;
}

/* Makes the next flows old that the sweep comes to; rows are in the order in which flows were made. */
static void
make_old(struct bench_during *d)
{
	struct spinat_nat *nat = d->rig->worker->nat;
	const uint32_t end = RTE_MIN(d->old + AGING_FLOWS, d->rig->n_flows);

	nat->sweep_at = d->old;
	for (; d->old < end; d->old++)
		nat->table->flows[d->old].last_seen = d->rig->worker->now_s - BENCH_TIMEOUT_S - 1;
}

void
bench_during_slice(struct bench_during *d, bool on)
{
	if (ages(d)) {
		if (on)
			make_old(d);
		d->done = d->rig->worker->nat->expired;
		return;
	}
	__atomic_store_n(&d->on, on, __ATOMIC_SEQ_CST);
	while (!on && __atomic_load_n(&d->busy, __ATOMIC_SEQ_CST))
		spinat_worker_poll(d->rig->worker);
}

int
bench_during_stop(struct bench_during *d)
{
	bench_during_slice(d, false);
	if (!ages(d)) {
		__atomic_store_n(&d->stop, true, __ATOMIC_RELEASE);
		pthread_join(d->thread, NULL);
	}
	return d->done > 0 && !d->failed ? 0 : -1;
}
