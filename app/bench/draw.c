/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 the spinat authors
 */
#include <math.h>

#include <rte_random.h>

#include "measure.h"

/* Ranks are scattered over the flows, which were made in order, by a prime that divides no number
 * of flows in use. */
#define SCATTER UINT64_C(2654435761)

static uint32_t
draw_uniform(uint32_t n)
{
	return (rte_rand() >> 32) * n >> 32;
}

/* Zipf's law with exponent 1 in the continuous limit: P(rank < k) = ln(k + 1) / ln(n + 1). */
static uint32_t
draw_zipf(uint32_t n)
{
	const double u = (rte_rand() >> 11) * 0x1p-53;
	const uint32_t rank = exp(u * log(n + 1.0)) - 1;

	return RTE_MIN(rank, n - 1) * SCATTER % n;
}

void
bench_draw(struct bench_meter *m, const struct bench_rig *r, uint32_t flows, bool zipf)
{
	for (int d = 0; d < 2; d++)
		for (uint32_t i = 0; i < m->n_steps; i++) {
			uint32_t flow = zipf ? draw_zipf(flows) : draw_uniform(flows);

			m->steps[d][i] = bench_plan_step(&r->flows[flow], flow, d, false);
		}
}
