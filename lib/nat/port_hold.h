/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 the spinat authors
 */
#ifndef SPINAT_NAT_PORT_HOLD_H
#define SPINAT_NAT_PORT_HOLD_H

#include <stdint.h>

#include <rte_byteorder.h>

#include "nat/pool.h"

/*
 * UDP ports that wait before somebody else may have them (RFC 6888 REQ-8): with endpoint-independent
 * filtering, whoever still sends to the old mapping would reach the new one's host. They stay taken in
 * their pool meanwhile. A worker's own: owner only, but for the count.
 */

struct spinat_held_port {
	rte_be32_t addr;
	rte_be16_t port;
	uint32_t since_s;
};

struct spinat_port_hold {
	struct spinat_held_port *ring;
	uint32_t capacity;
	uint32_t first, n; /* where the oldest is, and how many wait */
	uint32_t now_s; /* of the last tick */
};

/** @param capacity ports that wait at most; 0: none. @return 0 or -ENOMEM */
int spinat_port_hold_create(
	struct spinat_port_hold *h, const char *name, uint32_t capacity, int socket_id);
void spinat_port_hold_free(struct spinat_port_hold *h);

/** Begins the wait of a port that has lost its mapping. Where too many wait, the one that has waited
 * for longest is free at once. */
void spinat_port_hold_put(
	struct spinat_port_hold *h, struct spinat_pools *pools, rte_be32_t addr, rte_be16_t port);

/** Frees those that have waited long enough, up to budget. @param wait_s how long they have to */
void spinat_port_hold_tick(struct spinat_port_hold *h, struct spinat_pools *pools, uint32_t wait_s,
	uint32_t now_s, unsigned int budget);

#endif
