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
 * What the control side does to a worker at work: a thread on another CPU that reloads the
 * configuration, or reads every flow, again and again while packets are timed.
 */

struct bench_during {
	const char *what; /* "reload" or "dump" */
	struct bench_rig *rig;
	const char *lcores; /* of the configuration, */
	uint32_t memory; /* which a reload may not change */
	uint32_t done; /* relaxed atomic: how often */
	bool stop, ended; /* relaxed atomics */
	pthread_t thread;
};

bool bench_during_known(const char *what);

/** @return 0, or -1 after a sentence on standard error */
int bench_during_start(struct bench_during *d, unsigned int cpu);

/** Ends the thread. A reload waits for the worker, so this polls it meanwhile. @return as above */
int bench_during_stop(struct bench_during *d);

#endif
