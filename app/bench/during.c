/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 the spinat authors
 */
#include <sched.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "during.h"

#define PAUSE_US 1000

bool
bench_during_known(const char *what)
{
	return strcmp(what, "reload") == 0 || strcmp(what, "dump") == 0;
}

static bool
reload(struct bench_during *d)
{
	struct spinat_conf_error err = {.text = ""};
	struct spinat_conf *conf = bench_plan_conf(d->rig->work, d->rig->n_flows, d->lcores, &err);

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

	while (good && !__atomic_load_n(&d->stop, __ATOMIC_RELAXED)) {
		good = reloads ? reload(d) : dump(d);
		if (good)
			__atomic_fetch_add(&d->done, 1, __ATOMIC_RELAXED);
		usleep(PAUSE_US);
	}
	__atomic_store_n(&d->ended, true, __ATOMIC_RELEASE);
	return NULL;
}

int
bench_during_start(struct bench_during *d, unsigned int cpu)
{
	const struct sched_param normal = {.sched_priority = 0};
	pthread_attr_t attr;
	cpu_set_t set;
	int rc;

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

int
bench_during_stop(struct bench_during *d)
{
	__atomic_store_n(&d->stop, true, __ATOMIC_RELAXED);
	while (!__atomic_load_n(&d->ended, __ATOMIC_ACQUIRE))
		spinat_worker_poll(d->rig->worker);
	pthread_join(d->thread, NULL);
	return d->done > 0 ? 0 : -1;
}
