/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 the spinat authors
 */
#include <stdlib.h>

#include "rig.h"
#include "samples.h"

#define CALIBRATIONS 1001

uint64_t bench_timer_cycles;

int
bench_samples_create(struct bench_samples *s, uint32_t max)
{
	s->value = bench_alloc(max * sizeof(*s->value));
	s->max = max;
	bench_samples_clear(s);
	return s->value != NULL ? 0 : -1;
}

void
bench_samples_free(struct bench_samples *s)
{
	bench_free(s->value, s->max * sizeof(*s->value));
}

void
bench_samples_clear(struct bench_samples *s)
{
	s->n = 0;
	s->cycles = s->packets = 0;
}

static int
compare_float(const void *a, const void *b)
{
	const float x = *(const float *)a, y = *(const float *)b;

	return (x > y) - (x < y);
}

void
bench_samples_calibrate(void)
{
	float value[CALIBRATIONS];
	struct bench_samples s = {.value = value, .max = CALIBRATIONS};

	bench_timer_cycles = 0;
	for (unsigned int i = 0; i < CALIBRATIONS; i++) {
		uint64_t from = rte_rdtsc_precise();

		bench_samples_add(&s, from, rte_rdtsc_precise(), 1);
	}
	bench_samples_sort(&s);
	bench_timer_cycles = bench_samples_at(&s, 0.5);
}

void
bench_samples_sort(struct bench_samples *s)
{
	qsort(s->value, s->n, sizeof(*s->value), compare_float);
}

double
bench_samples_at(const struct bench_samples *s, double fraction)
{
	return s->n == 0 ? 0 : s->value[(uint32_t)(fraction * (s->n - 1) + 0.5)];
}

double
bench_samples_mean(const struct bench_samples *s)
{
	return s->packets == 0 ? 0 : s->cycles / s->packets;
}
