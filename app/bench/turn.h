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
	BENCH_TURN_HASH, /* bench_floor_hash */
	BENCH_TURN_TABLE, /* bench_floor_table */
	BENCH_TURNS
};

typedef uint32_t (*bench_turn_fn)(struct bench_rig *r);

/** BENCH_TURN_HASH and BENCH_TURN_TABLE have none: see floor.h. */
extern const bench_turn_fn bench_turns[BENCH_TURNS];

#endif
