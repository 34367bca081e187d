/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 the spinat authors
 */
#include <arpa/inet.h>

#include <rte_log.h>

#include "net/neigh_state.h"

#define DEFEND_EVERY_MS 10000 /* DEFEND_INTERVAL, RFC 5227 1.1 */
/* ANNOUNCE_NUM and ANNOUNCE_INTERVAL of it */
#define ANNOUNCE_ROUNDS 2
#define ANNOUNCE_EVERY_MS 2000
/* One step of an announcement looks at so many entries and sends so many frames. */
#define ANNOUNCE_SCAN 16384
#define ANNOUNCE_MAX 256

RTE_LOG_REGISTER(spinat_net_logtype, spinat.net, INFO);

static const struct rte_ether_addr broadcast = {{0xff, 0xff, 0xff, 0xff, 0xff, 0xff}};
static const struct rte_ether_addr unknown;

/* True for an outside address that the NAT, not an interface, answers for on its subnet. */
static bool
is_proxied(const struct spinat_iface_conf *iface, uint8_t kinds, rte_be32_t addr)
{
	return iface->role == SPINAT_OUTSIDE && !(kinds & SPINAT_OUTSIDE_BOX) &&
	       spinat_neigh_subnet(iface, addr) != NULL;
}

/* True for an address that is the box's on this interface. */
static bool
is_ours(const struct spinat_neigh *n, const struct spinat_iface_conf *iface, rte_be32_t addr)
{
	const struct spinat_outside_addr *outside = spinat_conf_outside(n->conf, addr);

	for (uint16_t i = 0; i < iface->n_addrs; i++) {
		if (iface->addrs[i].addr == addr)
			return true;
	}
	return outside != NULL && is_proxied(iface, outside->kinds, addr);
}

/* Gratuitous ARP: a request for one's own address (RFC 5227 2.3). */
static void
announce(struct spinat_neigh *n, uint16_t iface, rte_be32_t addr)
{
	spinat_neigh_send(n, iface, &broadcast, RTE_ARP_OP_REQUEST, addr, &unknown, addr);
}

/* Somebody else claims one of our addresses: RFC 5227 2.4 (c), we keep it. */
static void
defend(struct spinat_neigh *n, uint16_t iface, const struct spinat_arp *arp, uint64_t now_ms)
{
	char addr[INET_ADDRSTRLEN], mac[RTE_ETHER_ADDR_FMT_SIZE];

	n->stats.conflicts++;
	if (now_ms < n->defend_after_ms[iface])
		return;
	n->defend_after_ms[iface] = now_ms + DEFEND_EVERY_MS;
	inet_ntop(AF_INET, &arp->sender_ip, addr, sizeof(addr));
	rte_ether_format_addr(mac, sizeof(mac), &arp->sender_mac);
	rte_log(RTE_LOG_WARNING, spinat_net_logtype,
		"event=address_conflict interface=%s address=%s mac=%s conflicts=%" PRIu64 "\n",
		n->conf->ifaces[iface].name, addr, mac, n->stats.conflicts);
	announce(n, iface, arp->sender_ip);
}

static void
handle(struct spinat_neigh *n, uint16_t index, const struct spinat_arp *arp, uint64_t now_ms)
{
	const struct spinat_iface_conf *iface = &n->conf->ifaces[index];

	if (arp->op == RTE_ARP_OP_REQUEST)
		n->stats.requests_in++;
	else
		n->stats.replies_in++;
	if (rte_is_same_ether_addr(&arp->sender_mac, &n->ports[iface->device].mac))
		return; /* our own, by a loop or a hub */
	if (is_ours(n, iface, arp->sender_ip)) {
		defend(n, index, arp, now_ms);
		return;
	}
	if (arp->op == RTE_ARP_OP_REQUEST && is_ours(n, iface, arp->target_ip))
		spinat_neigh_send(n, index, &arp->sender_mac, RTE_ARP_OP_REPLY, arp->target_ip,
			&arp->sender_mac, arp->sender_ip);
	spinat_neigh_learn(n, index, arp->sender_ip, &arp->sender_mac, now_ms);
}

void
spinat_neigh_input(struct spinat_neigh *n, struct rte_mbuf *m, uint16_t iface, uint64_t now_ms)
{
	struct spinat_arp arp;

	if (iface >= n->conf->n_ifaces ||
		spinat_arp_parse(rte_pktmbuf_mtod(m, const uint8_t *), m->data_len,
			n->conf->ifaces[iface].vlan, &arp) != 0) {
		n->ops.drop(n->ops.ctx, m, SPINAT_DROP_ARP_BAD);
		return;
	}
	handle(n, iface, &arp, now_ms);
	rte_pktmbuf_free(m);
}

void
spinat_neigh_announce(struct spinat_neigh *n, uint64_t now_ms)
{
	n->announcing = false;
	n->rounds = ANNOUNCE_ROUNDS;
	n->round_after_ms = now_ms;
	spinat_neigh_announce_step(n, now_ms);
}

static void
begin_round(struct spinat_neigh *n, uint64_t now_ms)
{
	for (uint16_t i = 0; i < n->conf->n_ifaces; i++) {
		for (uint16_t a = 0; a < n->conf->ifaces[i].n_addrs; a++)
			announce(n, i, n->conf->ifaces[i].addrs[a].addr);
	}
	n->announce = 0;
	n->announcing = true;
	n->rounds--;
	n->round_after_ms = now_ms + ANNOUNCE_EVERY_MS;
}

void
spinat_neigh_announce_step(struct spinat_neigh *n, uint64_t now_ms)
{
	uint64_t sent = n->stats.requests_out;

	if (!n->announcing && n->rounds != 0 && now_ms >= n->round_after_ms)
		begin_round(n, now_ms);
	for (uint32_t scanned = 0; n->announcing && scanned < ANNOUNCE_SCAN; scanned++) {
		const struct spinat_outside_addr *o = &n->conf->outside[n->announce];

		if (n->stats.requests_out - sent >= ANNOUNCE_MAX)
			return;
		for (uint16_t i = 0; o->kinds != 0 && i < n->conf->n_ifaces; i++) {
			if (is_proxied(&n->conf->ifaces[i], o->kinds, o->addr))
				announce(n, i, o->addr);
		}
		n->announcing = n->announce++ != n->conf->outside_mask;
	}
}
