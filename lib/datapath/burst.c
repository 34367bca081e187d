/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 the spinat authors
 */
#include <netinet/in.h>
#include <string.h>

#include <rte_ethdev.h>
#include <rte_prefetch.h>
#include <rte_tcp.h>
#include <rte_udp.h>

#include "datapath/path.h"
#include "datapath/rewrite.h"
#include "datapath/stage.h"
#include "nat/tcp.h"

/*
 * Stages of a burst: classify, look up, translate. Everything here is per packet; what is
 * improbable goes to slow.c.
 */

#define PREFETCH_AHEAD 4

/* Frames of IPv4 are for this device's MAC alone, whatever a promiscuous device or a switch lets
 * through; ARP may be broadcast. Packets of a ring have been here before. */
static inline bool
is_for_device(const struct spinat_engine *e, uint8_t device, const struct rte_mbuf *m, uint8_t kind)
{
	const struct rte_ether_hdr *eth = rte_pktmbuf_mtod(m, const struct rte_ether_hdr *);

	return rte_is_same_ether_addr(&eth->dst_addr, &e->ports[device].mac) ||
	       (kind == SPINAT_KIND_ARP && rte_is_broadcast_ether_addr(&eth->dst_addr));
}

static inline bool
has_key(const struct spinat_meta *meta)
{
	return (meta->kind == SPINAT_KIND_FLOW || meta->kind == SPINAT_KIND_SPI ||
		       meta->kind == SPINAT_KIND_OTHER) &&
	       !(meta->flags & SPINAT_META_FRAG);
}

static inline bool
is_verified(const struct rte_mbuf *m)
{
	return (m->ol_flags & RTE_MBUF_F_RX_IP_CKSUM_MASK) == RTE_MBUF_F_RX_IP_CKSUM_GOOD;
}

/* Any packet, from a device or a ring. */
static void
classify(struct spinat_worker *w, struct spinat_slot *s, struct rte_mbuf *m, bool from_ring)
{
	const struct spinat_snapshot *snap = w->snap;
	const uint8_t device = w->engine->device_of_port[m->port];
	const struct spinat_iface_conf *iface;

	s->m = m;
	s->flow = NULL;
	s->why = from_ring ? spinat_priv(m)->why : SPINAT_WHY_RX;
	s->hairpin = from_ring && spinat_priv(m)->hairpin;
	s->ahead = NULL;
	s->plain = s->keyed = false;
	spinat_parse(rte_pktmbuf_mtod(m, const uint8_t *), m->data_len, m->pkt_len,
		!from_ring && !is_verified(m), &s->meta);
	s->iface = snap->iface[device][s->meta.vlan];
	if (unlikely(s->iface == SPINAT_NO_IFACE)) {
		s->meta.kind = SPINAT_KIND_BAD;
		s->meta.drop = SPINAT_DROP_VLAN_UNKNOWN;
		return;
	}
	if (unlikely(!from_ring && s->meta.kind != SPINAT_KIND_BAD &&
		     !is_for_device(w->engine, device, m, s->meta.kind))) {
		s->meta.kind = SPINAT_KIND_BAD;
		s->meta.drop = SPINAT_DROP_ETH_DESTINATION;
	}
	iface = &snap->conf->ifaces[s->iface];
	if (iface->role == SPINAT_INSIDE && !s->hairpin) {
		s->meta.key.dir = SPINAT_OUT;
		s->meta.key.realm = iface->realm;
		/* translated by choice of the realm: IKE is then UDP like any other */
		if (s->meta.kind == SPINAT_KIND_IKE && spinat_ike_as_udp(w, s, !from_ring))
			s->meta.kind = SPINAT_KIND_FLOW;
	} else {
		s->meta.key.dir = SPINAT_IN;
		s->meta.key.realm = 0;
	}
	s->keyed = has_key(&s->meta);
}

/* Classifies what a device has received, the plain frames of its untagged interface the short way. */
static void
classify_received(struct spinat_worker *w, uint8_t device, struct spinat_slot *slots,
	struct rte_mbuf **mbufs, unsigned int n)
{
	const struct spinat_plain plain = w->engine->plain[device];
	const uint8_t untagged = w->snap->iface[device][0];
	const bool any = untagged != SPINAT_NO_IFACE;
	const struct spinat_iface_conf *iface = &w->snap->conf->ifaces[any ? untagged : 0];
	const struct spinat_key tail = {
		.dir = iface->role == SPINAT_INSIDE ? SPINAT_OUT : SPINAT_IN,
		.realm = iface->role == SPINAT_INSIDE ? iface->realm : 0};
	const uint32_t tail_word = (uint32_t)tail.dir << 8 | (uint32_t)tail.realm << 16;
	uint64_t bytes = 0;
	uint32_t others = 0;

	for (unsigned int i = 0; i < RTE_MIN(n, (unsigned int)PREFETCH_AHEAD); i++)
		rte_prefetch0(rte_pktmbuf_mtod(mbufs[i], void *));
	for (unsigned int i = 0; i < n; i++) {
		struct spinat_slot *s = &slots[i];
		struct rte_mbuf *m = mbufs[i];

		if (i + PREFETCH_AHEAD < n)
			rte_prefetch0(rte_pktmbuf_mtod(mbufs[i + PREFETCH_AHEAD], void *));
		if (likely(any && spinat_parse_plain(&plain, rte_pktmbuf_mtod(m, const uint8_t *),
					  m->data_len, m->pkt_len, !is_verified(m), tail_word,
					  &s->meta))) {
			s->m = m;
			s->flow = NULL;
			s->ahead = NULL;
			s->iface = untagged;
			s->why = SPINAT_WHY_RX;
			s->hairpin = false;
			s->plain = s->keyed = true;
			bytes += m->pkt_len;
			continue;
		}
		classify(w, s, m, false);
		others++;
		if (likely(s->iface != SPINAT_NO_IFACE)) {
			w->stats.ifaces[s->iface].rx_packets++;
			w->stats.ifaces[s->iface].rx_bytes += m->pkt_len;
		}
	}
	if (others < n) {
		w->stats.ifaces[untagged].rx_packets += n - others;
		w->stats.ifaces[untagged].rx_bytes += bytes;
	}
}

/* Whether a packet from inside that has no flow is likely to get one. */
static inline bool
may_open(const struct spinat_meta *meta)
{
	return meta->kind == SPINAT_KIND_FLOW && meta->key.dir == SPINAT_OUT &&
	       (meta->key.proto != IPPROTO_TCP || meta->tcp_flags & RTE_TCP_SYN_FLAG);
}

/* Looks ahead for those of the worker's own packets that found no flow. */
static __rte_noinline void
look_ahead(struct spinat_worker *w, struct spinat_slot **slots, const uint8_t *owner,
	const uint64_t *hashes, unsigned int n, struct spinat_ahead *ahead)
{
	const struct spinat_key *keys[SPINAT_BURST];
	unsigned int n_open = 0;

	for (unsigned int i = 0; i < n; i++) {
		if (slots[i]->flow != NULL || owner[i] != w->id || !may_open(&slots[i]->meta))
			continue;
		keys[n_open] = &slots[i]->meta.key;
		ahead[n_open].key = hashes[i];
		slots[i]->ahead = &ahead[n_open++];
	}
	if (n_open > 0)
		spinat_nat_ahead(w->nat, w->snap->conf, keys, n_open, ahead);
}

/* Looks up the slots that have a key, each in the table of its owner. @param ahead room for all */
static inline void
lookup(struct spinat_worker *w, struct spinat_slot *slots, unsigned int n,
	struct spinat_ahead *ahead)
{
	const struct spinat_table *tables[SPINAT_BURST];
	const struct spinat_key *keys[SPINAT_BURST];
	struct spinat_slot *keyed[SPINAT_BURST];
	struct spinat_flow *flows[SPINAT_BURST];
	uint64_t hashes[SPINAT_BURST];
	uint8_t owner[SPINAT_BURST] = {0};
	unsigned int n_keyed = 0, n_none = 0;

	for (unsigned int i = 0; i < n; i++)
		if (likely(slots[i].keyed)) {
			keyed[n_keyed] = &slots[i];
			keys[n_keyed++] = &slots[i].meta.key;
		}
	if (n_keyed == 0)
		return;
	if (w->engine->n_workers == 1) {
		spinat_table_find_burst(w->tables[0], keys, n_keyed, hashes, flows);
	} else {
		for (unsigned int i = 0; i < n_keyed; i++) {
			owner[i] = spinat_slot_owner(w, keys[i], keyed[i]->meta.kind);
			tables[i] = w->tables[owner[i]];
		}
		spinat_tables_find_burst(tables, keys, n_keyed, hashes, flows);
	}
	for (unsigned int i = 0; i < n_keyed; i++) {
		keyed[i]->flow = flows[i];
		n_none += flows[i] == NULL;
	}
	if (unlikely(n_none > 0))
		look_ahead(w, keyed, owner, hashes, n_keyed, ahead);
}

static inline uint32_t
tcp_ack(const struct spinat_slot *s)
{
	return rte_be_to_cpu_32(
		rte_pktmbuf_mtod_offset(s->m, const struct rte_tcp_hdr *, s->meta.l4)->recv_ack);
}

/* A RST from inside that ends no connection is an answer to what strangers send: it keeps nothing
 * alive (RFC 7857 7.1). The one that ends a connection begins its last minutes. */
static inline bool
is_refusal(const struct spinat_flow *f, const struct spinat_meta *meta)
{
	return meta->tcp_flags & RTE_TCP_RST_FLAG && !(f->state & SPINAT_TCP_ESTABLISHED);
}

/* Of a session with port 500 or 4500 of a gateway the binder sees all but more ESP in UDP. The marker of
 * IKE stands where that has its SPI (RFC 3948 2.2). */
static __rte_noinline void
show_ike(struct spinat_worker *w, const struct spinat_slot *s, struct spinat_flow *f)
{
	const uint8_t state = __atomic_load_n(&f->state, __ATOMIC_RELAXED);
	uint32_t spi = 0;

	if (likely(s->plain))
		memcpy(&spi,
			rte_pktmbuf_mtod_offset(s->m, const uint8_t *,
				SPINAT_PLAIN_L4 + sizeof(struct rte_udp_hdr)),
			sizeof(spi));
	if (unlikely(spi == 0 || !(state & SPINAT_ESP_IN_UDP)))
		spinat_ike_session(w, s, f);
}

/* Another SA may have the same SPI: the binder has to see its packets. */
static inline bool
is_of_another(struct spinat_flow *f, const struct spinat_meta *meta)
{
	const uint32_t last = f->spi_seq;

	if (meta->kind != SPINAT_KIND_SPI || meta->key.dir != SPINAT_IN)
		return false;
	if (likely((int32_t)(meta->seq - last) > 0)) {
		__atomic_store_n(&f->spi_seq, meta->seq, __ATOMIC_RELAXED);
		return false;
	}
	return spinat_seq_is_back(last, meta->seq, f->state != 0) &&
	       f->type == SPINAT_FLOW_SHORTCUT;
}

static inline void
touch(struct spinat_worker *w, struct spinat_flow *f, struct spinat_slot *s)
{
	const struct spinat_meta *meta = &s->meta;
	const enum spinat_dir dir = meta->key.dir;

	if (f->last_seen != w->now_s && (dir == SPINAT_OUT ? !is_refusal(f, meta)
							   : f->flags & SPINAT_FLOW_IN_REFRESH ||
								     f->proto == IPPROTO_TCP)) {
		__atomic_store_n(&f->last_seen, w->now_s, __ATOMIC_RELAXED);
		if (f->proto == IPPROTO_TCP)
			spinat_tcp_sample(f, meta, tcp_ack(s));
	}
	if (meta->key.proto == IPPROTO_TCP) {
		if (unlikely(meta->tcp_flags &
				     (RTE_TCP_SYN_FLAG | RTE_TCP_FIN_FLAG | RTE_TCP_RST_FLAG) ||
			     !(f->state & SPINAT_TCP_ESTABLISHED)))
			spinat_tcp_segment(w, s, f);
	} else if (meta->kind == SPINAT_KIND_SPI) {
		f->packets++;
		f->bytes += meta->l3_len;
	} else if (unlikely(f->flags & SPINAT_FLOW_IKE)) {
		show_ike(w, s, f);
	}
}

/* Where the plain packets of a burst go, and how many, for as long as it is the same interface. */
struct way {
	const struct spinat_nexthop *nexthops; /* of the forwarding table */
	const struct spinat_nexthop *nh; /* of the packet before, fit for plain packets; or NULL */
	struct spinat_tx *tx; /* nh's */
	uint64_t bytes;
	uint32_t packets;
	uint16_t iface; /* nh's */
};

static inline void
count_sent(struct spinat_worker *w, const struct way *way)
{
	w->stats.ifaces[way->iface].tx_packets += way->packets;
	w->stats.ifaces[way->iface].tx_bytes += way->bytes;
	w->stats.translated += way->packets;
}

#define NO_NEXT_HOP UINT16_MAX

/* Finds the next hop of a flow and keeps it there. NULL: no route, or one that a flow may not take. */
static __rte_noinline const struct spinat_nexthop *
find_next_hop(struct spinat_worker *w, struct spinat_flow *f, enum spinat_dir dir, uint64_t known)
{
	const struct spinat_fib *fib = w->snap->fib;
	const struct spinat_nexthop *nh = spinat_fib_lookup(
		fib, f->realm, dir == SPINAT_OUT ? f->remote_addr : f->new_addr[SPINAT_IN]);
	const unsigned int shift = 32 + 16 * dir;
	uint64_t index;

	if (nh == NULL || spinat_wrong_side(nh, f, dir))
		return NULL;
	index = nh - fib->nexthops;
	if ((uint32_t)known != w->fib_generation)
		known = UINT64_MAX << 32 | w->fib_generation;
	if (index < NO_NEXT_HOP) {
		known &= ~((uint64_t)NO_NEXT_HOP << shift);
		__atomic_store_n(&f->next_hops, known | index << shift, __ATOMIC_RELAXED);
	}
	return nh;
}

static inline const struct spinat_nexthop *
next_hop(struct spinat_worker *w, struct spinat_flow *f, enum spinat_dir dir, const struct way *way)
{
	const uint64_t known = __atomic_load_n(&f->next_hops, __ATOMIC_RELAXED);
	const uint16_t index = known >> (32 + 16 * dir);

	if (likely((uint32_t)known == w->fib_generation && index != NO_NEXT_HOP))
		return &way->nexthops[index];
	return find_next_hop(w, f, dir, known);
}

#ifdef SPINAT_STAGES
/* All next hops of a burst at once, so that there is something to take the time of. */
static inline void
resolve(struct spinat_worker *w, struct spinat_slot *slots, unsigned int n, const struct way *way)
{
	for (unsigned int i = 0; i < n; i++)
		if (slots[i].flow != NULL && slots[i].plain)
			slots[i].nh = next_hop(w, slots[i].flow, slots[i].meta.key.dir, way);
	SPINAT_STAGE_END(SPINAT_STAGE_RESOLVE);
}
#endif

/* Goes another way. False where the next hop is not there or its interface is tagged. */
static inline bool
turn(struct spinat_worker *w, struct way *way, const struct spinat_nexthop *nh)
{
	if (unlikely(spinat_nexthop_state(nh) != SPINAT_NH_REACHABLE ||
		     nh->l2_len != SPINAT_PLAIN_L3))
		return false;
	if (nh->iface != way->iface) {
		count_sent(w, way);
		way->bytes = way->packets = 0;
		way->iface = nh->iface;
	}
	way->nh = nh;
	way->tx = &w->tx[nh->port];
	return true;
}

/*
 * A plain packet of a flow to a next hop that is there, on an untagged interface: what
 * spinat_forward does, in few steps. False where that has to do it.
 */
static inline bool
forward_plain(
	struct spinat_worker *w, struct spinat_slot *s, struct spinat_flow *f, struct way *way)
{
	const enum spinat_dir dir = s->meta.key.dir;
	const uint16_t l3_len = s->meta.l3_len;
	struct rte_mbuf *m = s->m;
	const struct spinat_nexthop *nh;
	struct rte_ipv4_hdr *ip;
	struct spinat_tx *tx;
	uint32_t more = 0;
	uint8_t *frame;

	if (unlikely(s->meta.ttl <= 1 || f->flags & SPINAT_FLOW_HAIRPIN || m->nb_segs != 1))
		return false;
#ifdef SPINAT_STAGES
	nh = s->nh;
#else
	nh = next_hop(w, f, dir, way);
#endif
	if (unlikely(nh == NULL || (nh != way->nh && !turn(w, way, nh)) || l3_len > nh->mtu))
		return false;
	frame = rte_pktmbuf_mtod(m, uint8_t *);
	spinat_nexthop_l2_untagged(nh, frame);
	ip = (struct rte_ipv4_hdr *)(frame + SPINAT_PLAIN_L3);
	if (dir == SPINAT_OUT && !(s->meta.flags & SPINAT_META_DF))
		more = spinat_renew_ip_id(w, ip);
	spinat_rewrite_ip(ip, f, dir, more);
	spinat_rewrite_l4(frame + SPINAT_PLAIN_L4, f, dir);
	/* Ethernet padding is not part of the packet */
	m->data_len = m->pkt_len = SPINAT_PLAIN_L3 + l3_len;
	way->packets++;
	way->bytes += SPINAT_PLAIN_L3 + l3_len;
	tx = way->tx;
	tx->m[tx->n++] = m;
	if (unlikely(tx->n == SPINAT_BURST))
		spinat_flush(w);
	return true;
}

static inline void
translate(struct spinat_worker *w, struct spinat_slot *slots, unsigned int n)
{
	struct way way = {.nexthops = w->snap->fib->nexthops};

#ifdef SPINAT_STAGES
	resolve(w, slots, n, &way);
#endif
	for (unsigned int i = 0; i < n; i++) {
		struct spinat_slot *s = &slots[i];

		if (likely(s->flow != NULL && !is_of_another(s->flow, &s->meta))) {
			touch(w, s->flow, s);
			if (unlikely(!s->plain || !forward_plain(w, s, s->flow, &way)))
				spinat_forward(w, s, s->flow);
			continue;
		}
		if (unlikely(s->plain && !spinat_plain_is_good(&s->meta)))
			classify(w, s, s->m, false);
		spinat_slow(w, s);
	}
	count_sent(w, &way);
	SPINAT_STAGE_END(SPINAT_STAGE_REWRITE);
}

void
spinat_burst_received(
	struct spinat_worker *w, uint8_t device, struct rte_mbuf **mbufs, unsigned int n)
{
	struct spinat_slot slots[SPINAT_BURST];
	struct spinat_ahead ahead[SPINAT_BURST];

	classify_received(w, device, slots, mbufs, n);
	SPINAT_STAGE_END(SPINAT_STAGE_PARSE);
	lookup(w, slots, n, ahead);
	SPINAT_STAGE_END(SPINAT_STAGE_LOOKUP);
	translate(w, slots, n);
}

void
spinat_burst_handed(struct spinat_worker *w, struct rte_mbuf **mbufs, unsigned int n)
{
	struct spinat_slot slots[SPINAT_BURST];
	struct spinat_ahead ahead[SPINAT_BURST];

	for (unsigned int i = 0; i < n; i++)
		classify(w, &slots[i], mbufs[i], true);
	SPINAT_STAGE_END(SPINAT_STAGE_PARSE);
	lookup(w, slots, n, ahead);
	SPINAT_STAGE_END(SPINAT_STAGE_LOOKUP);
	translate(w, slots, n);
}
