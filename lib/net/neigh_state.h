/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 the spinat authors
 */
#ifndef SPINAT_NET_NEIGH_STATE_H
#define SPINAT_NET_NEIGH_STATE_H

#include <stdbool.h>

#include "net/arp.h"
#include "net/neigh.h"
#include "net/neigh_queue.h"

/* Shared by neigh.c (resolution) and neigh_arp.c (ARP frames that come in, announcements). */

struct spinat_neigh {
	const struct spinat_conf *conf;
	struct spinat_fib *fib;
	const struct spinat_port *ports;
	struct rte_mempool *pool;
	struct spinat_neigh_ops ops;
	struct spinat_neigh_stats stats;
	struct spinat_neigh_queue queue;
	uint32_t sweep; /* slot at which the next tick goes on */
	uint32_t announce; /* entry of conf->outside at which the announcement goes on */
	bool announcing; /* it has not come to the end of this round */
	uint16_t rounds; /* announcements to come ... */
	uint64_t round_after_ms; /* ... the next one from then on */
	uint64_t defend_after_ms[SPINAT_MAX_IFACES];
};

/** The interface's own address in whose subnet an address is, the longest one, or NULL. */
const struct spinat_prefix *spinat_neigh_subnet(
	const struct spinat_iface_conf *iface, rte_be32_t addr);

/** Makes an ARP frame from an interface's MAC and sends it; nothing where no buffer is left. */
void spinat_neigh_send(struct spinat_neigh *n, uint16_t iface, const struct rte_ether_addr *dst,
	uint16_t op, rte_be32_t sender_ip, const struct rte_ether_addr *target_mac,
	rte_be32_t target_ip);

/** Takes what an ARP frame says about its sender, where a neighbour has that address. */
void spinat_neigh_learn(struct spinat_neigh *n, uint16_t iface, rte_be32_t addr,
	const struct rte_ether_addr *mac, uint64_t now_ms);

/** Sends the next part of an announcement. */
void spinat_neigh_announce_step(struct spinat_neigh *n, uint64_t now_ms);

#endif
