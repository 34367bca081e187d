/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 the spinat authors
 */
#ifndef SPINAT_NET_NEIGH_H
#define SPINAT_NET_NEIGH_H

#include <stdint.h>

#include <rte_mbuf.h>

#include "config/conf.h"
#include "net/fib.h"
#include "net/port.h"
#include "packet/drop.h"

/*
 * ARP (RFC 826, 5227): all of it on the control lcore. Workers give it two kinds of packets through
 * a bounded ring: ARP frames, and IPv4 packets whose next hop has no MAC address yet. Time is
 * passed in, milliseconds of a steady clock.
 *
 * - An entry is made by a packet that wants it and gets its MAC from the first that answers, or
 *   that asks or announces meanwhile. Requests: 1 s apart, three tries, then everything that waits
 *   is dropped as SPINAT_DROP_NEIGH_UNRESOLVED and the next hop rests for 1 s.
 * - A confirmed entry (younger than timeouts.arp) keeps its MAC: ARP with the same MAC refreshes
 *   it, with another is refused and counted, but makes the entry be asked by unicast whether it is
 *   still there. So a stranger can not take an address over while its owner answers, and a router
 *   that fails over to another MAC is back in about 4 s.
 * - Entries older than timeouts.arp are asked by unicast, three tries; they forward meanwhile, and
 *   take another MAC. Those that do not answer go; gateways stay, to be asked by the next packet.
 * - An ARP that claims one of the box's addresses is counted, logged, and answered with a
 *   gratuitous ARP, at most every 10 s an interface (RFC 5227 2.4 c).
 */

/** Packets that wait for ARP answers at once, all neighbours together. */
#define SPINAT_NEIGH_HELD_MAX 1024

struct spinat_neigh;

struct spinat_neigh_ops {
	/** Sends a whole frame on a port; takes the mbuf in any case. */
	void (*send)(void *ctx, uint16_t port, struct rte_mbuf *m);
	/** Counts and frees a packet that ends here. */
	void (*drop)(void *ctx, struct rte_mbuf *m, enum spinat_drop reason);
	void *ctx;
};

struct spinat_neigh_stats {
	uint64_t requests_in, replies_in, requests_out, replies_out; /* gratuitous: requests */
	uint64_t conflicts; /* somebody else claimed one of the box's addresses */
	uint64_t refused; /* unasked changes of an entry */
	uint64_t table_full; /* packets that wanted one entry more */
};

/** @return NULL without memory */
struct spinat_neigh *spinat_neigh_create(const struct spinat_conf *conf, struct spinat_fib *fib,
	const struct spinat_port *ports, struct rte_mempool *pool,
	const struct spinat_neigh_ops *ops);

/** Frees it with all that waits. */
void spinat_neigh_free(struct spinat_neigh *n);

/**
 * Goes over to a new snapshot and its forwarding table, built with prev = the old one, which must
 * still stand. What waits goes along, or out at once, or is dropped where its neighbour is gone.
 */
void spinat_neigh_reconfigure(
	struct spinat_neigh *n, const struct spinat_conf *conf, struct spinat_fib *fib);

/**
 * Sends gratuitous ARP for every address of the box, its pools and statics on their interfaces, and
 * again after 2 s (RFC 5227 2.3). Large pools take several ticks.
 */
void spinat_neigh_announce(struct spinat_neigh *n, uint64_t now_ms);

/** Takes an ARP frame that came in on an interface. Takes the mbuf. Answers for the interface's own
 * addresses and, on outside interfaces, for pool, static and redirect addresses in its subnets. */
void spinat_neigh_input(
	struct spinat_neigh *n, struct rte_mbuf *m, uint16_t iface, uint64_t now_ms);

/**
 * Takes an IPv4 packet whose next hop is INCOMPLETE or CONNECTED: queues it (bounded per neighbour
 * by limits.neighbour_queue, oldest is dropped) and asks. When the answer comes the packet gets its
 * Ethernet header and goes out through ops->send.
 *
 * @param l3 offset of the IPv4 header in the frame; what stands before it is replaced
 */
void spinat_neigh_resolve(
	struct spinat_neigh *n, struct rte_mbuf *m, uint16_t l3, uint16_t realm, uint64_t now_ms);

/** Retries, refresh, expiry. Call every 100 ms or so; bounded work. */
void spinat_neigh_tick(struct spinat_neigh *n, uint64_t now_ms);

void spinat_neigh_stats_get(const struct spinat_neigh *n, struct spinat_neigh_stats *out);

#endif
