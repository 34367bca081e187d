/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 the spinat authors
 */
#include <netinet/in.h>
#include <string.h>

#include <rte_ethdev.h>
#include <rte_ip.h>
#include <rte_ip_frag.h>

#include "datapath/path.h"
#include "datapath/rewrite.h"
#include "datapath/stage.h"
#include "net/box.h"

/* Pieces that one packet of 64 KiB makes at the smallest IPv4 MTU that is sane (576). */
#define MAX_PIECES 128

void
spinat_flush(struct spinat_worker *w)
{
	SPINAT_STAGE_END(SPINAT_STAGE_REWRITE);
	for (uint16_t p = 0; p < w->engine->n_ports; p++) {
		struct spinat_tx *tx = &w->tx[p];
		uint16_t sent;

		if (tx->n == 0)
			continue;
		sent = rte_eth_tx_burst(w->engine->ports[p].port_id, w->id, tx->m, tx->n);
		if (unlikely(sent < tx->n)) {
			w->stats.drops[SPINAT_DROP_TX_FULL] += tx->n - sent;
			rte_pktmbuf_free_bulk(&tx->m[sent], tx->n - sent);
		}
		tx->n = 0;
	}
	SPINAT_STAGE_END(SPINAT_STAGE_TX);
}

void
spinat_send(struct spinat_worker *w, uint16_t port, uint16_t iface, struct rte_mbuf *m)
{
	struct spinat_tx *tx = &w->tx[port];

	if (likely(iface < SPINAT_MAX_IFACES)) {
		w->stats.ifaces[iface].tx_packets++;
		w->stats.ifaces[iface].tx_bytes += m->pkt_len;
	}
	tx->m[tx->n++] = m;
	if (unlikely(tx->n == SPINAT_BURST))
		spinat_flush(w);
}

void
spinat_send_error(struct spinat_worker *w, const struct spinat_slot *s, uint8_t type, uint8_t code,
	uint16_t mtu)
{
	const struct spinat_iface_conf *iface = spinat_slot_iface(w, s);
	struct rte_mbuf *error;

	if (w->icmp_tokens == 0)
		return;
	error = spinat_box_error(
		s->m, &s->meta, iface->addrs[0].addr, type, code, mtu, w->engine->pool);
	if (error == NULL)
		return;
	w->icmp_tokens--;
	w->stats.icmp_sent++;
	spinat_send(w, w->engine->device_of_port[s->m->port], s->iface, error);
}

/* Translates a packet, or without f only routes it. What leaves whole and may still be cut on its way
 * gets an identification that no other inside host has; not AH, whose check covers it. */
static inline void
rewrite(struct spinat_worker *w, struct spinat_slot *s, const struct spinat_flow *f)
{
	uint8_t *frame = rte_pktmbuf_mtod(s->m, uint8_t *);
	uint32_t more = 0;

	if (f != NULL && s->meta.key.dir == SPINAT_OUT &&
		!(s->meta.flags & (SPINAT_META_DF | SPINAT_META_FRAG)) &&
		s->meta.key.proto != IPPROTO_AH)
		more = spinat_renew_ip_id(w, (struct rte_ipv4_hdr *)(frame + s->meta.l3));
	spinat_rewrite(frame, &s->meta, f, more);
}

/* Turns an outbound packet whose destination is an outside address of ours round: it is now a packet
 * from outside, sent by the outside endpoint of its sender (RFC 4787 REQ-9). One hop costs one TTL,
 * which the second pass takes. */
static void
hairpin(struct spinat_worker *w, struct spinat_slot *s, const struct spinat_flow *f)
{
	uint8_t *frame = rte_pktmbuf_mtod(s->m, uint8_t *);
	struct rte_ipv4_hdr *ip = (struct rte_ipv4_hdr *)(frame + s->meta.l3);

	if (!w->snap->conf->realms[f->realm].hairpin) {
		spinat_drop(w, s->m, SPINAT_DROP_FILTERED);
		return;
	}
	rewrite(w, s, f);
	ip->time_to_live++;
	ip->hdr_checksum = spinat_csum_apply(ip->hdr_checksum, RTE_BE16(0x0100));
	/* through the ring, not by recursion: the second pass is a packet like any other */
	s->hairpin = true;
	spinat_hand_off(w, w->id, s, SPINAT_WHY_RX);
}

/* Puts the Ethernet header of the next hop before the IPv4 header of a packet and sends it. */
static inline void
send_to(struct spinat_worker *w, const struct spinat_nexthop *nh, struct rte_mbuf *m, uint16_t l3)
{
	const int grow = (int)nh->l2_len - l3;

	m->data_off -= grow;
	m->data_len += grow;
	m->pkt_len += grow;
	spinat_nexthop_l2(nh, rte_pktmbuf_mtod(m, uint8_t *));
	spinat_send(w, nh->port, nh->iface, m);
}

/* IPv4 checksum of a packet that has no Ethernet header yet: by the device where it can. */
static void
write_ip_checksum(
	const struct spinat_port *port, const struct spinat_nexthop *nh, struct rte_mbuf *m)
{
	struct rte_ipv4_hdr *ip = rte_pktmbuf_mtod(m, struct rte_ipv4_hdr *);

	ip->hdr_checksum = 0;
	m->ol_flags = 0;
	if (port->hw_tx_ip_checksum) {
		m->ol_flags = RTE_MBUF_F_TX_IPV4 | RTE_MBUF_F_TX_IP_CKSUM;
		m->l2_len = nh->l2_len;
		m->l3_len = rte_ipv4_hdr_len(ip);
	} else {
		ip->hdr_checksum = rte_ipv4_cksum(ip);
	}
}

/* Sends a translated packet on, or gives it to the control lcore to find the next hop's MAC. */
static void
send_or_resolve(struct spinat_worker *w, const struct spinat_slot *s,
	const struct spinat_nexthop *nh, struct rte_mbuf *m, uint16_t l3, uint16_t realm)
{
	if (spinat_nexthop_state(nh) == SPINAT_NH_REACHABLE)
		send_to(w, nh, m, l3);
	else
		spinat_punt(w, m, SPINAT_WHY_RESOLVE, s->iface, l3, realm);
}

/*
 * Cuts a translated packet to the MTU (RFC 791); only packets without DF come here. The pieces are
 * copied into buffers of one segment: devices that free transmitted buffers fast want them so.
 */
static void
send_fragmented(struct spinat_worker *w, const struct spinat_slot *s,
	const struct spinat_nexthop *nh, uint16_t realm, bool new_id)
{
	struct rte_mempool *pool = w->engine->pool;
	struct rte_mbuf *pieces[MAX_PIECES];
	int n;

	rte_pktmbuf_adj(s->m, s->meta.l3);
	if (new_id)
		rte_pktmbuf_mtod(s->m, struct rte_ipv4_hdr *)->packet_id =
			spinat_next_ip_id(w, s->meta.key.dst, SPINAT_IP_ID_FRAGMENTS);
	n = rte_ipv4_fragment_packet(s->m, pieces, MAX_PIECES, nh->mtu, pool, pool);
	if (n < 0) {
		spinat_drop(w, s->m, SPINAT_DROP_NO_MBUF);
		return;
	}
	for (int i = 0; i < n; i++) {
		struct rte_mbuf *copy = rte_pktmbuf_copy(pieces[i], pool, 0, UINT32_MAX);

		if (copy == NULL) {
			spinat_drop(w, pieces[i], SPINAT_DROP_NO_MBUF);
			continue;
		}
		rte_pktmbuf_free(pieces[i]);
		write_ip_checksum(&w->engine->ports[nh->port], nh, copy);
		copy->port = s->m->port;
		send_or_resolve(w, s, nh, copy, 0, realm);
	}
	w->stats.fragmented++;
	rte_pktmbuf_free(s->m);
}

/* Everything but a reachable next hop and a packet that fits. */
static void
forward_slow(struct spinat_worker *w, struct spinat_slot *s, const struct spinat_flow *f,
	const struct spinat_nexthop *nh, uint16_t realm)
{
	const enum spinat_nh_state state = spinat_nexthop_state(nh);

	if (state == SPINAT_NH_BOX || state == SPINAT_NH_BLACKHOLE || state == SPINAT_NH_FREE) {
		spinat_drop(w, s->m,
			state == SPINAT_NH_BOX ? SPINAT_DROP_TO_BOX : SPINAT_DROP_BLACKHOLE);
		return;
	}
	if (s->meta.l3_len > nh->mtu && s->meta.flags & SPINAT_META_DF) {
		spinat_send_error(w, s, SPINAT_ICMP_UNREACHABLE, SPINAT_UNREACH_TOO_BIG, nh->mtu);
		spinat_drop(w, s->m, SPINAT_DROP_MTU_DF);
		return;
	}
	rewrite(w, s, f);
	if (f != NULL)
		w->stats.translated++;
	else
		w->stats.routed++;
	if (s->meta.l3_len > nh->mtu)
		/* fragments that came have their new identification already */
		send_fragmented(w, s, nh, realm,
			f != NULL && s->meta.key.dir == SPINAT_OUT &&
				!(s->meta.flags & SPINAT_META_FRAG));
	else
		send_or_resolve(w, s, nh, s->m, s->meta.l3, realm);
}

void
spinat_forward(struct spinat_worker *w, struct spinat_slot *s, const struct spinat_flow *f)
{
	const enum spinat_dir dir = s->meta.key.dir;
	const rte_be32_t dst =
		dir == SPINAT_IN && f != NULL ? f->new_addr[SPINAT_IN] : s->meta.key.dst;
	const uint16_t realm = f != NULL ? f->realm : s->meta.key.realm;
	const struct spinat_nexthop *nh;
	uint16_t padding;

	if (unlikely(s->meta.ttl <= 1)) {
		spinat_send_error(w, s, SPINAT_ICMP_TIME_EXCEEDED, 0, 0);
		spinat_drop(w, s->m, SPINAT_DROP_TTL);
		return;
	}
	if (unlikely(f != NULL && f->flags & SPINAT_FLOW_HAIRPIN && !s->hairpin)) {
		if (dir == SPINAT_OUT)
			hairpin(w, s, f);
		else /* from the wire with one of our own addresses as its source */
			spinat_drop(w, s->m, SPINAT_DROP_IP_SOURCE);
		return;
	}
	nh = spinat_fib_lookup(w->snap->fib, realm, dst);
	if (unlikely(nh == NULL)) {
		spinat_send_error(w, s, SPINAT_ICMP_UNREACHABLE, SPINAT_UNREACH_NET, 0);
		spinat_drop(w, s->m, SPINAT_DROP_NO_ROUTE);
		return;
	}
	if (unlikely(spinat_wrong_side(nh, f, dir))) {
		spinat_drop(w, s->m, SPINAT_DROP_BLACKHOLE);
		return;
	}
	/* Ethernet padding is not part of the packet */
	padding = s->m->pkt_len - s->meta.l3 - s->meta.l3_len;
	if (padding != 0 && s->m->nb_segs == 1)
		rte_pktmbuf_trim(s->m, padding);
	if (unlikely(spinat_nexthop_state(nh) != SPINAT_NH_REACHABLE || s->meta.l3_len > nh->mtu)) {
		forward_slow(w, s, f, nh, realm);
		return;
	}
	rewrite(w, s, f);
	if (likely(f != NULL))
		w->stats.translated++;
	else
		w->stats.routed++;
	send_to(w, nh, s->m, s->meta.l3);
}
