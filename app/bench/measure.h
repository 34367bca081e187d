/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 the spinat authors
 */
#ifndef SPINAT_BENCH_MEASURE_H
#define SPINAT_BENCH_MEASURE_H

#include "counters.h"
#include "floor.h"
#include "rig.h"
#include "samples.h"
#include "turn.h"

/** What one case is. */
struct bench_case {
	const char *direction; /* "out", "in", "both" */
	bool with[2]; /* enum spinat_dir: packets go this way */
	bool zipf; /* else uniform */
};

/** Cycles a packet. */
struct bench_figures {
	double median[BENCH_TURNS]; /* rings included; HASH, TABLE: a key. 0: not measured */
	double mean, p99; /* of the engine, rings included */
	double turn_p50, turn_p99_9, turn_p99_99,
		turn_max; /* a turn of the engine whole, TSC cycles */
	uint64_t packets; /* that the engine was timed with */
	uint64_t slow; /* of these, no flow was there for */
	uint32_t turns;
	double events[BENCH_EVENTS]; /* a packet, what the rings take left out */
	bool counted[BENCH_EVENTS]; /* the machine counts it */
};

struct bench_meter {
	double seconds; /* to measure a case */
	bool split; /* generator on this lcore, worker on the next */
	struct bench_samples samples[BENCH_TURNS];
	struct bench_counters counters; /* of bench_events, of the lcore that made the meter */
	struct bench_floor floor;
	struct bench_step *steps[2];
	uint32_t n_steps;
};

/** @return 0, or -1 after a sentence on standard error */
int bench_meter_create(
	struct bench_meter *m, const struct bench_rig *r, double seconds, bool split);
void bench_meter_free(struct bench_meter *m);

/**
 * Makes all flows through the engine, the handshakes of each kind included, and checks every packet
 * that comes out.
 *
 * @param f the engine's cycles for the first packet of a flow
 * @return 0, or -1 after a sentence on standard error
 */
int bench_establish(struct bench_meter *m, struct bench_rig *r, struct bench_figures *f);

/** Sends the first packets of all flows, untimed. @return 0, or -1 after a sentence on stderr */
int bench_open(struct bench_rig *r);

/** Time that this thread has run: a busy machine gives as many samples, only later. */
double bench_seconds_run(void);

/** What a session costs from its first packet to its end, cycles. 0: not measured */
struct bench_life {
	struct bench_figures
		again; /* its first packet, where such flows have come and gone before */
	double look, end; /* for the sweep to look at one; to end one */
};

/**
 * Ends all flows and makes them once more, several times, and sweeps between: for a work of UDP
 * alone. The flows are established, before and after.
 *
 * @return 0, or -1 after a sentence on standard error
 */
int bench_renew(struct bench_meter *m, struct bench_rig *r, struct bench_life *life);

/** Sends packets of established flows, both ways and untimed, and checks what comes out.
 *
 * @return packets, or -1 after a sentence on standard error
 */
int64_t bench_count(struct bench_meter *m, struct bench_rig *r, uint32_t batches);

/** Draws the packets of the cases to come. @param flows the first so many of the rig's */
void bench_draw(struct bench_meter *m, const struct bench_rig *r, uint32_t flows, bool zipf);

/**
 * Measures turns in slices, of which every other one has something going on beside it.
 *
 * @param slice_ms length of a slice
 * @param f        of slices without, and with
 * @return 0, or -1 after a sentence on standard error
 */
struct bench_during;
int bench_measure_beside(struct bench_meter *m, struct bench_rig *r, struct bench_during *d,
	unsigned int slice_ms, struct bench_figures f[2]);

/**
 * Measures one case of established flows, and checks that what was sent has come out, and a sample
 * byte by byte.
 *
 * @return 0, or -1 after a sentence on standard error
 */
int bench_measure(struct bench_meter *m, struct bench_rig *r, const struct bench_case *c,
	struct bench_figures *f);

#endif
