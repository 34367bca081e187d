/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 the spinat authors
 */
#ifndef SPINAT_BENCH_LANES_H
#define SPINAT_BENCH_LANES_H

#include "datapath/engine.h"
#include "plan.h"

/*
 * Several workers, each with a lane of its own: a queue of each device, packet buffers and a
 * sequence of packets. The worker's own lcore fills its queues and empties them, so that no
 * generator runs while the workers do.
 */

#define BENCH_LANE_BATCH 256u /* packets a direction */
#define BENCH_LANE_STEPS (1u << 16)
#define BENCH_LANE_RING 1024

struct bench_lanes;

struct bench_lane {
	struct bench_lanes *all;
	struct spinat_worker *worker;
	unsigned int id;
	struct rte_ring *rx[2], *tx[2]; /* its queues of device d */
	struct bench_step *steps[2]; /* by direction */
	uint32_t at[2];
	uint32_t n_mbufs;
	struct rte_mbuf *mbufs[4 * BENCH_LANE_RING];
	uint64_t sent, received, wrong;
};

struct bench_lanes {
	const struct bench_work *work;
	struct spinat_engine *engine;
	struct bench_flow *flows;
	uint32_t n_flows;
	struct rte_ether_addr router[2];
	uint16_t port_id[2];
	unsigned int n;
	struct bench_lane *lane[SPINAT_MAX_WORKERS];
	uint32_t epoch; /* of what is sent now */
	bool opening;
};

/**
 * Makes devices, engine and flows; the flows are not established. The EAL runs; the process ends with
 * it all.
 *
 * @param conf taken; has as many workers as there are to be
 * @return 0, or -1 after a sentence on standard error
 */
int bench_lanes_create(struct bench_lanes *all, const struct bench_work *work, uint32_t sessions,
	struct spinat_conf *conf);

/** Puts one packet into a receive queue. */
void bench_lane_send(struct bench_lane *l, enum spinat_dir d, const struct bench_step *step);

/** Fills the receive queues from the lane's sequences. */
void bench_lane_fill(struct bench_lane *l);

/** Packets that wait in its receive queues. */
static inline unsigned int
bench_lane_waiting(const struct bench_lane *l)
{
	return rte_ring_count(l->rx[0]) + rte_ring_count(l->rx[1]);
}

/**
 * Empties the transmit queues.
 *
 * @param check every frame must be what RFC 3022 makes of what was sent
 * @param learn the outside endpoint of its flow is what it shows
 */
void bench_lane_drain(struct bench_lane *l, bool check, bool learn);

/** Everything sent has come out right, and nothing was dropped. @return 0, or -1 after a sentence */
int bench_lanes_verify(const struct bench_lanes *all, const char *where);

#endif
