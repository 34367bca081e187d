/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 the spinat authors
 */
#ifndef SPINAT_NET_FIB_CONTROL_H
#define SPINAT_NET_FIB_CONTROL_H

#include <stdbool.h>
#include <stdint.h>

#include <rte_hash.h>

#include "net/fib.h"

/* The control lcore's side of a forwarding table, shared by fib.c and fib_neigh.c. */

/* Each interface has one next hop of each of these kinds, in this order. */
enum fib_fixed { FIB_CONNECTED, FIB_BOX, FIB_BLACKHOLE, FIB_FIXED };

struct spinat_fib_control {
	const struct spinat_conf *conf;
	const struct spinat_port *ports;
	struct rte_rcu_qsbr *qsbr;
	struct rte_hash *neighs; /* (iface, addr) to slot */
	uint32_t n_slots; /* neighbours at most */
	uint32_t n_free, *free; /* stack of free slots */
	/*
	 * A neighbour that goes frees its slot and maybe tbl8 groups. Workers may be reading both,
	 * so no neighbour is made before they have passed the token of the last that went.
	 */
	bool freed;
	uint64_t token;
};

static inline uint32_t
fib_fixed(uint16_t iface, enum fib_fixed kind)
{
	return (uint32_t)iface * FIB_FIXED + kind;
}

/** True where a realm's table has what belongs to an interface: outside serves every realm. */
static inline bool
fib_serves(const struct spinat_iface_conf *iface, uint16_t realm)
{
	return iface->role == SPINAT_OUTSIDE || iface->realm == realm;
}

/** Gives a table a generation that no table ever had. */
void fib_changed(struct spinat_fib *fib);

/** Writes all of a next hop but its destination MAC, the state last. */
void fib_nexthop_init(struct spinat_fib *fib, uint32_t nh, uint16_t iface, rte_be32_t addr,
	enum spinat_nh_state state);

/** Allocates and frees what the neighbours of a table need. @return 0 or -ENOMEM */
int fib_neighs_create(struct spinat_fib *fib);
void fib_neighs_free(struct spinat_fib *fib);

/** Gateways and static neighbours of the configuration, then the learned ones of prev. */
int fib_neighs_fill(struct spinat_fib *fib, const struct spinat_fib *prev);

#endif
