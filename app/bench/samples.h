/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 the spinat authors
 */
#ifndef SPINAT_BENCH_SAMPLES_H
#define SPINAT_BENCH_SAMPLES_H

#include <stdint.h>

#include <rte_cycles.h>

/*
 * Times of turns in TSC cycles a packet. A turn is timed with rte_rdtsc_precise() before and after:
 * a memory barrier and rdtsc each, so that a turn pays for its own stores. What the pair itself
 * takes is measured once and subtracted.
 */

struct bench_samples {
	float *value; /* cycles a packet of one turn */
	uint32_t n, max;
	double cycles, packets; /* all of them, for the mean */
};

/** @return 0, or -1 without memory */
int bench_samples_create(struct bench_samples *s, uint32_t max);
void bench_samples_free(struct bench_samples *s);
void bench_samples_clear(struct bench_samples *s);

/** Measures what timing itself costs. Once, on the lcore that times. */
void bench_samples_calibrate(void);
extern uint64_t bench_timer_cycles;

static inline void
bench_samples_add(struct bench_samples *s, uint64_t from, uint64_t to, uint32_t packets)
{
	uint64_t cycles = to - from;

	cycles = cycles > bench_timer_cycles ? cycles - bench_timer_cycles : 0;
	s->cycles += cycles;
	s->packets += packets;
	if (s->n < s->max)
		s->value[s->n++] = (float)cycles / packets;
}

/** Sorts; then value at a fraction from 0 to 1. 0 where there is none. */
void bench_samples_sort(struct bench_samples *s);
double bench_samples_at(const struct bench_samples *s, double fraction);
double bench_samples_mean(const struct bench_samples *s);

#endif
