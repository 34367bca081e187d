/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 the spinat authors
 */
#ifndef SPINAT_BENCH_TURN_H
#define SPINAT_BENCH_TURN_H

#include "rig.h"

/*
 * Who works on the packets: the engine, and what is measured beside it on the same packets and the
 * same rings. A turn takes a burst from each device and returns the number of packets; its time is
 * taken from outside.
 */

enum bench_turn_id {
	BENCH_TURN_ENGINE, /* spinat_worker_poll */
	BENCH_TURN_RINGS, /* receives and sends, looks at nothing: what the devices cost */
	BENCH_TURN_MAC, /* the same, and writes both Ethernet addresses, as testpmd's "mac" */
	BENCH_TURN_PARSE, /* the same as RINGS, and spinat_parse */
	BENCH_TURN_HASH, /* hash and bulk lookup of keys that lie ready; no packets */
	BENCH_TURNS
};

typedef uint32_t (*bench_turn_fn)(struct bench_rig *r);

/** BENCH_TURN_HASH has none: bench_turn_keys fills what bench_turn_hash looks up. */
extern const bench_turn_fn bench_turns[BENCH_TURNS];

/** Keys of a burst that BENCH_TURN_HASH looks up. */
struct bench_keys {
	struct spinat_key key[SPINAT_BURST];
	uint32_t n;
};

/** Takes the next keys of the feeds that are in the flow table (IKE is not). */
void bench_turn_keys(struct bench_rig *r, struct bench_keys *keys);

/** Hashes and looks them up in the engine's own table. @return how many were found */
uint32_t bench_turn_hash(const struct bench_rig *r, const struct bench_keys *keys);

#endif
