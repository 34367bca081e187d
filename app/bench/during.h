/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 the spinat authors
 */
#ifndef SPINAT_BENCH_DURING_H
#define SPINAT_BENCH_DURING_H

#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>

#include "rig.h"

/*
 * What goes on beside a worker at work: the configuration is reloaded, or every flow read, again and
 * again by a thread on another CPU; or the worker's sweep ends flow after flow. In slices, turn and
 * turn about with slices in which nothing of the sort goes on: what else disturbs the machine meets
 * both alike.
 */

/** Flows that packets are sent of, of all that there are: aging takes some of the others. */
#define BENCH_DURING_KEEP(flows) ((flows) / 2)

struct bench_during {
	const char *what; /* "reload", "dump" or "aging" */
	struct bench_rig *rig;
	const struct bench_box *box; /* of the configuration, */
	uint32_t memory; /* which a reload may not change */
	uint32_t done; /* relaxed atomic: how often; aging: flows ended */
	bool on, busy; /* atomics: what the thread shall do, and does */
	bool stop, failed; /* atomics */
	pthread_t thread;
	uint32_t old; /* aging: flows from here on are still there */
};

bool bench_during_known(const char *what);

/** Makes the thread; nothing goes on yet. @return 0, or -1 after a sentence on standard error */
int bench_during_start(struct bench_during *d, unsigned int cpu);

/** Begins a slice in which it goes on, or not. Waits for the end of what goes on, and polls the
 * worker meanwhile, for which a reload waits. */
void bench_during_slice(struct bench_during *d, bool on);

/** Ends the thread. @return 0, or -1 where something failed or never happened */
int bench_during_stop(struct bench_during *d);

#endif
