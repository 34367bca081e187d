/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 the spinat authors
 */
#ifndef SPINAT_SIM_RNG_H
#define SPINAT_SIM_RNG_H

#include <math.h>
#include <stdbool.h>
#include <stdint.h>

/*
 * Random numbers. Every client has streams of its own, so that what one does never changes what
 * another one draws. SplitMix64: 64 bits of state, any seed is good.
 */
struct rng {
	uint64_t state;
};

static inline uint64_t
rng_next(struct rng *r)
{
	uint64_t x = r->state += 0x9e3779b97f4a7c15ull;

	x = (x ^ x >> 30) * 0xbf58476d1ce4e5b9ull;
	x = (x ^ x >> 27) * 0x94d049bb133111ebull;
	return x ^ x >> 31;
}

/** A stream of its own. */
static inline struct rng
rng_fork(struct rng *r)
{
	return (struct rng){rng_next(r)};
}

/** [0, 1) */
static inline double
rng_unit(struct rng *r)
{
	return (rng_next(r) >> 11) * 0x1p-53;
}

static inline bool
rng_chance(struct rng *r, double p)
{
	return rng_unit(r) < p;
}

static inline double
rng_between(struct rng *r, double lo, double hi)
{
	return lo + (hi - lo) * rng_unit(r);
}

/** Evenly in the logarithm; lo above 0. */
static inline double
rng_log_between(struct rng *r, double lo, double hi)
{
	return lo * pow(hi / lo, rng_unit(r));
}

static inline double
rng_exp(struct rng *r, double mean)
{
	return -mean * log1p(-rng_unit(r));
}

/** 1 to most, geometric with about this mean. */
static inline uint32_t
rng_count(struct rng *r, double mean, uint32_t most)
{
	double n = 1 + rng_exp(r, mean - 0.5);

	return n < most ? (uint32_t)n : most;
}

#endif
