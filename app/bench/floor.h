/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 the spinat authors
 */
#ifndef SPINAT_BENCH_FLOOR_H
#define SPINAT_BENCH_FLOOR_H

#include <rte_hash.h>

#include "rig.h"

/*
 * Bare lookups of keys that lie ready, a burst at a time, hashing included: in an rte_hash that has
 * the keys of all flows, as the floor that any table may be held against, and in the engine's own
 * table. No packets.
 */

struct bench_floor {
	struct rte_hash *hash;
};

/** Keys of a burst. */
struct bench_keys {
	struct spinat_key key[SPINAT_BURST];
	uint32_t n;
};

/** MiB of the EAL's memory that the floor of so many flows takes. */
uint32_t bench_floor_mib(uint32_t sessions);

/**
 * Enters both keys of every flow of the rig that has any (IKE has none). The flows are established.
 *
 * @return 0, or -1 after a sentence on standard error
 */
int bench_floor_create(struct bench_floor *f, const struct bench_rig *r);
void bench_floor_free(struct bench_floor *f);

/** Takes the next keys of the feeds that are in the flow table. */
void bench_floor_keys(struct bench_rig *r, struct bench_keys *keys);

/** Looks them up in the rte_hash. @return how many were found */
uint32_t bench_floor_hash(const struct bench_floor *f, const struct bench_keys *keys);

/** Looks them up in the engine's table, to the flow itself. @return how many were found */
uint32_t bench_floor_table(const struct bench_rig *r, const struct bench_keys *keys);

#endif
