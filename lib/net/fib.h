/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 the spinat authors
 */
#ifndef SPINAT_NET_FIB_H
#define SPINAT_NET_FIB_H

#include <stdint.h>
#include <string.h>

#include <rte_byteorder.h>
#include <rte_ether.h>
#include <rte_lpm.h>
#include <rte_rcu_qsbr.h>

#include "config/conf.h"
#include "net/port.h"

/*
 * Forwarding: one rte_lpm a realm, holding the realm's inside routes and every outside route, whose
 * next hop numbers index one array. A resolved neighbour is a /32 in it, so that a packet costs one
 * LPM lookup and one read of its next hop, which holds the Ethernet header ready to be written.
 * The control lcore writes; workers read without locks:
 * - A neighbour that goes leaves the LPM first; its slot, and the LPM's tbl8 groups that its /32
 *   may have given back, are used again only after an RCU grace period.
 * - A live next hop changes in place. Of its Ethernet header only the destination MAC ever does,
 *   and that stands in one aligned word of 8 bytes, stored and loaded in one go, so that no frame
 *   carries half of the old MAC and half of the new one. Routes need not be moved to another slot,
 *   which for a default route would rewrite 16 Mi LPM entries a realm.
 */

enum spinat_nh_state {
	SPINAT_NH_FREE,
	SPINAT_NH_REACHABLE, /* l2 is valid */
	SPINAT_NH_INCOMPLETE, /* no MAC yet: give the packet to the control lcore */
	SPINAT_NH_CONNECTED, /* a subnet: the destination itself is to be asked for */
	SPINAT_NH_BOX, /* an address of the box on this interface */
	SPINAT_NH_BLACKHOLE, /* never sent: subnet broadcast, outside pools */
};

#define SPINAT_L2_MAX 18 /* Ethernet and one VLAN tag */

/** 64 bytes: one cache line, written by the control lcore only. */
struct spinat_nexthop {
	union {
		/* destination MAC, source MAC, [802.1Q], EtherType IPv4: spinat_nexthop_l2() */
		uint8_t l2[SPINAT_L2_MAX];
		uint64_t l2_head; /* destination MAC and what follows: changes in one store */
	};
	uint8_t l2_len; /* 14 or 18 */
	uint8_t state; /* enum spinat_nh_state: spinat_nexthop_state() */
	uint16_t port; /* index of struct spinat_port */
	uint16_t iface; /* index in conf->ifaces */
	uint16_t mtu;
	uint8_t role; /* enum spinat_role of the interface */
	uint8_t is_static; /* MAC from the configuration: never aged or overwritten */
	uint8_t is_gateway; /* a route leads over it: never freed */
	rte_be32_t addr; /* neighbour, 0 for all that is no neighbour */
	uint32_t confirmed_s; /* control: time of the last ARP answer */
	uint32_t asked_ms; /* control: time of the last ARP request */
	uint16_t tries; /* control: ARP requests since the last answer */
	uint16_t waiting, queue_head, queue_tail; /* control: packets that wait for its MAC */
} __rte_cache_aligned;

struct spinat_fib_control; /* what only the control lcore touches */

struct spinat_fib {
	struct rte_lpm *lpm[SPINAT_MAX_REALMS]; /* NULL where the realm has no interface */
	struct spinat_nexthop *nexthops;
	uint32_t n_nexthops;
	uint32_t first_neigh; /* slots from here on are neighbours, or free */
	uint16_t n_realms;
	/* changes whenever a destination may have got another next hop, and is of this table alone;
	 * never 0. What a worker looked up since it read the generation may be kept with it. */
	uint32_t generation;
	struct spinat_fib_control *control;
};

/**
 * Builds the forwarding table of a snapshot: connected subnets, the box's addresses, static routes
 * and static neighbours. Neighbours learned under prev are carried over where their subnet remains.
 * A realm takes 64 MiB and 1 KiB a neighbour and host route, twice during a reload.
 *
 * @param conf  read as long as the table stands
 * @param ports read as long as the table stands
 * @param prev  table in use, or NULL at start; it stays valid for the workers until freed
 * @param qsbr  RCU variable of the workers
 * @return NULL without memory (*err says what would have helped). Control lcore.
 */
struct spinat_fib *spinat_fib_create(const struct spinat_conf *conf,
	const struct spinat_port *ports, const struct spinat_fib *prev, struct rte_rcu_qsbr *qsbr,
	struct spinat_conf_error *err);

/** Frees a table that no worker can see any more. NULL is allowed. */
void spinat_fib_free(struct spinat_fib *fib);

/* Neighbours. All of them control lcore. */

/** Slot of a neighbour, or -ENOENT. */
int spinat_fib_neigh_find(const struct spinat_fib *fib, uint16_t iface, rte_be32_t addr);

/**
 * Makes an INCOMPLETE neighbour out of an address that no neighbour has.
 *
 * @return its slot, or -ENETUNREACH: not an address of the interface's subnets, or routed
 *         elsewhere; -ENOSPC: limits.neighbours; -EAGAIN: workers still hold what was freed last
 */
int spinat_fib_neigh_add(struct spinat_fib *fib, uint16_t iface, rte_be32_t addr);

/** Gives a neighbour its MAC, or another one: REACHABLE from now on. */
void spinat_fib_neigh_set(struct spinat_fib *fib, uint32_t nh, const struct rte_ether_addr *mac);

/** Takes a neighbour's MAC away: INCOMPLETE from now on. */
void spinat_fib_neigh_unset(struct spinat_fib *fib, uint32_t nh);

/** Removes a neighbour, no gateway and not static. Workers that hold it see INCOMPLETE. */
void spinat_fib_neigh_del(struct spinat_fib *fib, uint32_t nh);

/** Slot in fib of the neighbour that has slot nh in other, or -ENOENT. */
int spinat_fib_neigh_same(
	const struct spinat_fib *fib, const struct spinat_fib *other, uint32_t nh);

/** State of a next hop; what its other members say is at least as new. Any lcore. */
static inline enum spinat_nh_state
spinat_nexthop_state(const struct spinat_nexthop *nh)
{
	return (enum spinat_nh_state)__atomic_load_n(&nh->state, __ATOMIC_ACQUIRE);
}

/** The same as spinat_nexthop_l2 where nh->l2_len is that of a header without tag. */
static inline void
spinat_nexthop_l2_untagged(const struct spinat_nexthop *nh, uint8_t *frame)
{
	uint64_t head = __atomic_load_n(&nh->l2_head, __ATOMIC_RELAXED);
	const size_t rest = RTE_ETHER_HDR_LEN - sizeof(head);

	/* two words that overlap: what both hold never changes */
	memcpy(frame, &head, sizeof(head));
	memcpy(frame + rest, nh->l2 + rest, sizeof(head));
}

/**
 * Writes the Ethernet header of a REACHABLE next hop, nh->l2_len bytes. Any lcore; the only way to
 * read l2 that never sees half of a change.
 */
static inline void
spinat_nexthop_l2(const struct spinat_nexthop *nh, uint8_t *frame)
{
	spinat_nexthop_l2_untagged(nh, frame);
	if (nh->l2_len == SPINAT_L2_MAX)
		memcpy(frame + RTE_ETHER_HDR_LEN, nh->l2 + RTE_ETHER_HDR_LEN, RTE_VLAN_HLEN);
}

/**
 * Next hop for a destination in a realm; NULL where there is no route. Any lcore that reports
 * quiescent states.
 */
static inline const struct spinat_nexthop *
spinat_fib_lookup(const struct spinat_fib *fib, uint16_t realm, rte_be32_t dst)
{
	uint32_t nh;

	if (unlikely(realm >= fib->n_realms || fib->lpm[realm] == NULL))
		return NULL;
	if (unlikely(rte_lpm_lookup(fib->lpm[realm], rte_be_to_cpu_32(dst), &nh) != 0)) {
		/*
		 * rte_lpm clears the first entry of a tbl8 group that it gives back, after it has
		 * taken the group out of tbl24: who was under way to it finds the way now.
		 */
		__atomic_thread_fence(__ATOMIC_ACQUIRE);
		if (rte_lpm_lookup(fib->lpm[realm], rte_be_to_cpu_32(dst), &nh) != 0)
			return NULL;
	}
	return &fib->nexthops[nh];
}

#endif
