/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 the spinat authors
 */
#ifndef SPINAT_NET_NEIGH_QUEUE_H
#define SPINAT_NET_NEIGH_QUEUE_H

#include <stdint.h>

#include <rte_mbuf.h>

#include "net/fib.h"

/*
 * Packets that wait for a neighbour's MAC: one queue a next hop, its ends in the next hop itself,
 * its cells from one pool, so that a scan of a subnet can not hold more than that. Control lcore.
 */

struct spinat_neigh_cell {
	struct rte_mbuf *m; /* NULL: free */
	uint16_t next;
};

struct spinat_neigh_queue {
	uint16_t per_neigh; /* packets for one neighbour at most */
	uint16_t free; /* first free cell, or SPINAT_NEIGH_HELD_MAX */
	struct spinat_neigh_cell *cells;
};

/** @return 0 or -ENOMEM */
int spinat_neigh_queue_init(struct spinat_neigh_queue *q, uint16_t per_neigh);

/** Frees the queues with all that waits. */
void spinat_neigh_queue_fini(struct spinat_neigh_queue *q);

/**
 * Queues a packet.
 *
 * @return what had to make room: the oldest of this neighbour, or m itself where the pool is used
 *         up and none of it by this neighbour; NULL where there was room
 */
struct rte_mbuf *spinat_neigh_queue_push(
	struct spinat_neigh_queue *q, struct spinat_nexthop *nh, struct rte_mbuf *m);

/** Oldest packet of a neighbour, NULL where none waits. */
struct rte_mbuf *spinat_neigh_queue_pop(struct spinat_neigh_queue *q, struct spinat_nexthop *nh);

/** Gives the queue of one next hop to another, which has none. */
void spinat_neigh_queue_move(struct spinat_nexthop *from, struct spinat_nexthop *to);

#endif
