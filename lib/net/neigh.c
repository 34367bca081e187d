/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 the spinat authors
 */
#include <stdlib.h>

#include <rte_ip.h>

#include "net/neigh_state.h"

#define ASK_EVERY_MS 1000
#define TRIES_MAX 3
/* INCOMPLETE and nobody answered: it rests for as long as it would be asked again, then goes. */
#define TRIES_RESTING (TRIES_MAX + 1)
/* One tick looks at so many slots and sends so many requests. */
#define SWEEP_MAX 4096u
#define ASK_MAX 256

static const struct rte_ether_addr broadcast = {{0xff, 0xff, 0xff, 0xff, 0xff, 0xff}};
static const struct rte_ether_addr unknown;

struct spinat_neigh *
spinat_neigh_create(const struct spinat_conf *conf, struct spinat_fib *fib,
	const struct spinat_port *ports, struct rte_mempool *pool,
	const struct spinat_neigh_ops *ops)
{
	struct spinat_neigh *n = calloc(1, sizeof(*n));

	if (n == NULL)
		return NULL;
	if (spinat_neigh_queue_init(&n->queue, conf->limits.neighbour_queue) != 0) {
		free(n);
		return NULL;
	}
	n->conf = conf;
	n->fib = fib;
	n->ports = ports;
	n->pool = pool;
	n->ops = *ops;
	return n;
}

void
spinat_neigh_free(struct spinat_neigh *n)
{
	if (n == NULL)
		return;
	spinat_neigh_queue_fini(&n->queue);
	free(n);
}

void
spinat_neigh_stats_get(const struct spinat_neigh *n, struct spinat_neigh_stats *out)
{
	*out = n->stats;
}

const struct spinat_prefix *
spinat_neigh_subnet(const struct spinat_iface_conf *iface, rte_be32_t addr)
{
	const struct spinat_prefix *found = NULL;

	for (uint16_t i = 0; i < iface->n_addrs; i++) {
		const struct spinat_prefix *p = &iface->addrs[i];
		rte_be32_t hosts = rte_cpu_to_be_32((uint32_t)(UINT64_C(0xffffffff) >> p->len));

		if (((addr ^ p->addr) & ~hosts) == 0 && (found == NULL || found->len < p->len))
			found = p;
	}
	return found;
}

void
spinat_neigh_send(struct spinat_neigh *n, uint16_t iface, const struct rte_ether_addr *dst,
	uint16_t op, rte_be32_t sender_ip, const struct rte_ether_addr *target_mac,
	rte_be32_t target_ip)
{
	const struct spinat_iface_conf *conf = &n->conf->ifaces[iface];
	const struct spinat_arp arp = {
		.op = op,
		.sender_mac = n->ports[conf->device].mac,
		.sender_ip = sender_ip,
		.target_mac = *target_mac,
		.target_ip = target_ip,
	};
	struct rte_mbuf *m = spinat_arp_build(n->pool, dst, conf->vlan, &arp);

	if (m == NULL)
		return;
	if (op == RTE_ARP_OP_REQUEST)
		n->stats.requests_out++;
	else
		n->stats.replies_out++;
	n->ops.send(n->ops.ctx, conf->device, m);
}

/* Asks for a neighbour: one that had a MAC by unicast, so that only it is bothered. */
static void
ask(struct spinat_neigh *n, struct spinat_nexthop *nh, uint64_t now_ms)
{
	const struct spinat_prefix *own =
		spinat_neigh_subnet(&n->conf->ifaces[nh->iface], nh->addr);
	struct rte_ether_addr dst = broadcast;

	if (nh->state == SPINAT_NH_REACHABLE)
		memcpy(&dst, nh->l2, sizeof(dst));
	nh->tries++;
	nh->asked_ms = (uint32_t)now_ms;
	if (own != NULL)
		spinat_neigh_send(
			n, nh->iface, &dst, RTE_ARP_OP_REQUEST, own->addr, &unknown, nh->addr);
}

static void
drop(struct spinat_neigh *n, struct rte_mbuf *m, enum spinat_drop reason)
{
	n->ops.drop(n->ops.ctx, m, reason);
}

/* Puts a REACHABLE neighbour's Ethernet header before a packet that begins with IPv4. */
static void
emit(struct spinat_neigh *n, const struct spinat_nexthop *nh, struct rte_mbuf *m)
{
	char *l2 = rte_pktmbuf_prepend(m, nh->l2_len);

	if (l2 == NULL) {
		drop(n, m, SPINAT_DROP_NO_MBUF);
		return;
	}
	spinat_nexthop_l2(nh, (uint8_t *)l2);
	n->ops.send(n->ops.ctx, nh->port, m);
}

static void
flush(struct spinat_neigh *n, struct spinat_nexthop *nh)
{
	struct rte_mbuf *m;

	while ((m = spinat_neigh_queue_pop(&n->queue, nh)) != NULL)
		emit(n, nh, m);
}

static void
wait_for_mac(struct spinat_neigh *n, struct spinat_nexthop *nh, struct rte_mbuf *m, uint64_t now_ms)
{
	struct rte_mbuf *gone;

	if (nh->tries == TRIES_RESTING) {
		drop(n, m, SPINAT_DROP_NEIGH_UNRESOLVED);
		return;
	}
	gone = spinat_neigh_queue_push(&n->queue, nh, m);
	if (gone != NULL)
		drop(n, gone, SPINAT_DROP_NEIGH_QUEUE_FULL);
	if (nh->tries == 0)
		ask(n, nh, now_ms);
}

/* Where a packet goes: a new neighbour where it leads to a subnet. NULL where it was dropped. */
static struct spinat_nexthop *
find_or_add(struct spinat_neigh *n, struct rte_mbuf *m, uint16_t realm)
{
	rte_be32_t dst = rte_pktmbuf_mtod(m, struct rte_ipv4_hdr *)->dst_addr;
	const struct spinat_nexthop *nh = spinat_fib_lookup(n->fib, realm, dst);
	int index;

	if (nh == NULL) {
		drop(n, m, SPINAT_DROP_NO_ROUTE);
		return NULL;
	}
	switch (spinat_nexthop_state(nh)) {
	case SPINAT_NH_REACHABLE:
	case SPINAT_NH_INCOMPLETE:
		return &n->fib->nexthops[nh - n->fib->nexthops];
	case SPINAT_NH_CONNECTED:
		index = spinat_fib_neigh_add(n->fib, nh->iface, dst);
		if (index >= 0)
			return &n->fib->nexthops[index];
		n->stats.table_full++;
		drop(n, m, SPINAT_DROP_NEIGH_QUEUE_FULL);
		return NULL;
	case SPINAT_NH_BOX:
		drop(n, m, SPINAT_DROP_TO_BOX);
		return NULL;
	default:
		drop(n, m, SPINAT_DROP_BLACKHOLE);
		return NULL;
	}
}

void
spinat_neigh_resolve(
	struct spinat_neigh *n, struct rte_mbuf *m, uint16_t l3, uint16_t realm, uint64_t now_ms)
{
	struct spinat_nexthop *nh;

	if (m->data_len < l3 + sizeof(struct rte_ipv4_hdr)) {
		drop(n, m, SPINAT_DROP_IP_SHORT);
		return;
	}
	rte_pktmbuf_adj(m, l3);
	nh = find_or_add(n, m, realm);
	if (nh == NULL)
		return;
	if (nh->state == SPINAT_NH_REACHABLE)
		emit(n, nh, m);
	else
		wait_for_mac(n, nh, m, now_ms);
}

static bool
is_confirmed(const struct spinat_neigh *n, const struct spinat_nexthop *nh, uint64_t now_ms)
{
	return nh->state == SPINAT_NH_REACHABLE &&
	       (uint32_t)(now_ms / 1000) - nh->confirmed_s < n->conf->timeouts.arp;
}

/*
 * A confirmed neighbour keeps its MAC whoever claims its address. But it is asked whether it is
 * still there: a router that fails over to another MAC is believed once the old one is silent.
 */
static void
refuse(struct spinat_neigh *n, struct spinat_nexthop *nh, uint64_t now_ms)
{
	n->stats.refused++;
	if (nh->tries == 0 && !nh->is_static && (uint32_t)now_ms - nh->asked_ms >= ASK_EVERY_MS)
		ask(n, nh, now_ms);
}

void
spinat_neigh_learn(struct spinat_neigh *n, uint16_t iface, rte_be32_t addr,
	const struct rte_ether_addr *mac, uint64_t now_ms)
{
	int index = spinat_fib_neigh_find(n->fib, iface, addr);
	struct spinat_nexthop *nh;

	if (index < 0)
		return;
	nh = &n->fib->nexthops[index];
	if ((nh->is_static || is_confirmed(n, nh, now_ms)) &&
		memcmp(nh->l2, mac, sizeof(*mac)) != 0) {
		refuse(n, nh, now_ms);
		return;
	}
	nh->confirmed_s = (uint32_t)(now_ms / 1000);
	nh->tries = 0;
	spinat_fib_neigh_set(n->fib, index, mac);
	flush(n, nh);
}

static void
give_up_waiting(struct spinat_neigh *n, struct spinat_nexthop *nh)
{
	struct rte_mbuf *m;

	while ((m = spinat_neigh_queue_pop(&n->queue, nh)) != NULL)
		drop(n, m, SPINAT_DROP_NEIGH_UNRESOLVED);
}

/* Gateways stay, INCOMPLETE, until the next packet asks again; others make room. */
static void
forget(struct spinat_neigh *n, struct spinat_nexthop *nh)
{
	uint32_t index = nh - n->fib->nexthops;

	nh->tries = 0;
	if (nh->is_gateway)
		spinat_fib_neigh_unset(n->fib, index);
	else
		spinat_fib_neigh_del(n->fib, index);
}

static void
tick_incomplete(struct spinat_neigh *n, struct spinat_nexthop *nh, uint64_t now_ms)
{
	if (nh->tries < TRIES_MAX) {
		ask(n, nh, now_ms);
	} else if (nh->tries == TRIES_MAX) {
		give_up_waiting(n, nh);
		nh->tries = TRIES_RESTING;
		nh->asked_ms = (uint32_t)now_ms;
	} else {
		forget(n, nh);
	}
}

static void
tick_neigh(struct spinat_neigh *n, struct spinat_nexthop *nh, uint64_t now_ms)
{
	bool due = (uint32_t)now_ms - nh->asked_ms >= ASK_EVERY_MS;

	if (nh->addr == 0 || nh->is_static)
		return;
	if (nh->state == SPINAT_NH_INCOMPLETE) {
		if (nh->tries != 0 && due)
			tick_incomplete(n, nh, now_ms);
		else if (nh->tries == 0 && !nh->is_gateway)
			forget(n, nh);
	} else if (nh->tries == 0) {
		if (!is_confirmed(n, nh, now_ms))
			ask(n, nh, now_ms);
	} else if (due) {
		if (nh->tries < TRIES_MAX)
			ask(n, nh, now_ms);
		else
			forget(n, nh);
	}
}

void
spinat_neigh_tick(struct spinat_neigh *n, uint64_t now_ms)
{
	uint32_t first = n->fib->first_neigh, slots = n->fib->n_nexthops - first;
	uint64_t asked = n->stats.requests_out;

	for (uint32_t i = 0; i < RTE_MIN(slots, SWEEP_MAX); i++) {
		if (n->stats.requests_out - asked >= ASK_MAX)
			break;
		n->sweep = (n->sweep + 1) % slots;
		tick_neigh(n, &n->fib->nexthops[first + n->sweep], now_ms);
	}
	spinat_neigh_announce_step(n, now_ms);
}

void
spinat_neigh_reconfigure(
	struct spinat_neigh *n, const struct spinat_conf *conf, struct spinat_fib *fib)
{
	for (uint32_t i = n->fib->first_neigh; i < n->fib->n_nexthops; i++) {
		struct spinat_nexthop *old = &n->fib->nexthops[i], *nh;
		int index;

		if (old->waiting == 0)
			continue;
		index = spinat_fib_neigh_same(fib, n->fib, i);
		if (index < 0) {
			give_up_waiting(n, old);
			continue;
		}
		nh = &fib->nexthops[index];
		spinat_neigh_queue_move(old, nh);
		if (nh->state == SPINAT_NH_REACHABLE)
			flush(n, nh);
	}
	n->conf = conf;
	n->fib = fib;
	n->sweep = 0;
	n->announce = 0;
}
