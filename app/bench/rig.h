/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 the spinat authors
 */
#ifndef SPINAT_BENCH_RIG_H
#define SPINAT_BENCH_RIG_H

#include <stdbool.h>
#include <stdint.h>

#include <rte_mbuf.h>
#include <rte_ring.h>

#include "datapath/engine.h"
#include "packet.h"
#include "plan.h"

/*
 * The engine between two devices made of rings, and who fills and empties these. Directions index
 * arrays: packets of direction d come in by device d and leave by device !d.
 */

/* Packets a direction that lie ready before the worker is let loose: what a receive queue holds,
 * and enough that the generator's last packet is not the worker's first in the L1 cache. */
#define BENCH_BATCH 256u
/* Fragments are two to a step; the generator of a split run stays ahead of the worker. */
#define BENCH_RING 1024
#define BENCH_MBUFS (4 * BENCH_RING)

#define BENCH_TTL 64 /* of what is sent */

/** Where the packets of one direction come from: round and round. */
struct bench_feed {
	const struct bench_step *steps;
	uint32_t n; /* 0: nothing in this direction */
	uint32_t at;
};

struct bench_rig {
	const struct bench_work *work;
	struct spinat_engine *engine;
	struct spinat_worker *worker;
	struct rte_ring *rx[2], *tx[2]; /* of device d, as the device sees them */
	uint16_t port_id[2];
	struct rte_ether_addr router[2]; /* behind device d */
	struct bench_flow *flows;
	uint32_t n_flows;
	enum bench_form form; /* of what is sent now */
	bool opening;
	uint32_t epoch;
	struct bench_feed feed[2];
	uint64_t sent[2], received[2], wrong; /* by direction */
	uint32_t n_free;
	struct rte_mbuf *free[BENCH_MBUFS];
};

/** What is done with a frame that has come out. */
typedef void (*bench_sink)(struct bench_rig *r, enum spinat_dir dir, struct rte_mbuf *m);

/**
 * Makes devices, engine and flows. The EAL runs.
 *
 * @param conf taken
 * @return 0, or -1 after a sentence on standard error
 */
int bench_rig_create(struct bench_rig *r, const struct bench_work *work, uint32_t sessions,
	struct spinat_conf *conf);
void bench_rig_free(struct bench_rig *r);

/** Puts up to n steps of every feed into the receive rings. @return packets */
uint32_t bench_rig_send(struct bench_rig *r, uint32_t n);

/** Takes everything that has come out, counts it by direction, shows it to sink (or NULL). */
uint32_t bench_rig_drain(struct bench_rig *r, bench_sink sink);

/** Sink: the frame must be, byte by byte, what RFC 3022 makes of what was sent in this epoch. */
void bench_rig_check(struct bench_rig *r, enum spinat_dir dir, struct rte_mbuf *m);

/** Sink: learns the outside endpoint of the flow, then checks. */
void bench_rig_learn(struct bench_rig *r, enum spinat_dir dir, struct rte_mbuf *m);

/** Packets that the engine has dropped, for whatever reason. */
uint64_t bench_rig_drops(const struct bench_rig *r);

/** Prints every drop reason that has counted. */
void bench_rig_print_drops(const struct bench_rig *r);

/** Memory for arrays that only the generator uses: zeroed, huge pages where the kernel has them. */
void *bench_alloc(size_t size);
void bench_free(void *p, size_t size);

#endif
