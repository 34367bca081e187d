/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 the spinat authors
 */
#ifndef SPINAT_BENCH_LATENCY_H
#define SPINAT_BENCH_LATENCY_H

#include "rig.h"

/*
 * Latency at a given rate, and the highest rate at which nothing is lost (RFC 2544 26.1, 26.2). Two
 * lcores: this one sends at the rate, by the TSC, and takes what comes out; the worker polls. A
 * packet's time runs from before its enqueueing to after its dequeueing, queues included.
 */

/** Times in TSC cycles, a 32nd apart at any size. */
#define BENCH_HISTOGRAM_STEPS 32
struct bench_histogram {
	uint64_t count[64 * BENCH_HISTOGRAM_STEPS];
	uint64_t n, max;
};

struct bench_trial {
	double rate; /* packets a second, wanted */
	uint64_t sent, lost; /* lost: found the receive ring full, or dropped by the engine */
	double sent_rate;
	struct bench_histogram latency;
};

struct bench_latency {
	struct bench_rig *rig;
	uint8_t (*frames[2])[64]; /* by direction: ready to be sent */
	uint32_t n_frames;
	int stamp; /* offset of the dynamic field */
};

/** Established flows. @return 0, or -1 after a sentence on standard error */
int bench_latency_create(struct bench_latency *l, struct bench_rig *r);
void bench_latency_free(struct bench_latency *l);

/** Sends both ways for a time at t->rate, and fills the rest of t. */
void bench_latency_try(struct bench_latency *l, double seconds, struct bench_trial *t);

/** Highest rate at which a trial loses nothing, to a 64th of what can be sent at all. */
double bench_latency_no_drop(struct bench_latency *l, double seconds);

/** Time that a fraction of the packets took at most, TSC cycles. */
uint64_t bench_histogram_at(const struct bench_histogram *h, double fraction);

#endif
