/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 the spinat authors
 */
#include <netinet/in.h>

#include <rte_ethdev.h>
#include <rte_prefetch.h>
#include <rte_tcp.h>

#include "datapath/path.h"
#include "nat/hash.h"
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

static inline void
classify(struct spinat_worker *w, struct spinat_slot *s, struct rte_mbuf *m, bool from_ring)
{
	const struct spinat_snapshot *snap = w->snap;
	const uint8_t device = w->engine->device_of_port[m->port];
	const struct spinat_iface_conf *iface;
	bool verified = (m->ol_flags & RTE_MBUF_F_RX_IP_CKSUM_MASK) == RTE_MBUF_F_RX_IP_CKSUM_GOOD;

	s->m = m;
	s->flow = NULL;
	s->why = from_ring ? spinat_priv(m)->why : SPINAT_WHY_RX;
	s->hairpin = from_ring && spinat_priv(m)->hairpin;
	spinat_parse(rte_pktmbuf_mtod(m, const uint8_t *), m->data_len, m->pkt_len,
		!verified && !from_ring, &s->meta);
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
		if (s->meta.kind == SPINAT_KIND_IKE &&
			snap->conf->realms[iface->realm].ike_port == SPINAT_IKE_TRANSLATE)
			s->meta.kind = SPINAT_KIND_FLOW;
	} else {
		s->meta.key.dir = SPINAT_IN;
		s->meta.key.realm = 0;
	}
	if (!from_ring) {
		w->stats.ifaces[s->iface].rx_packets++;
		w->stats.ifaces[s->iface].rx_bytes += m->pkt_len;
	}
}

/* Looks up the slots that have a key, all in the table of one owner. */
static inline void
lookup_owner(const struct spinat_table *t, struct spinat_slot **slots, unsigned int n)
{
	const struct spinat_key *keys[SPINAT_BURST];
	struct spinat_flow *flows[SPINAT_BURST];

	for (unsigned int i = 0; i < n; i++)
		keys[i] = &slots[i]->meta.key;
	spinat_table_find_burst(t, keys, n, flows);
	for (unsigned int i = 0; i < n; i++)
		slots[i]->flow = flows[i];
}

static inline bool
has_key(const struct spinat_meta *meta)
{
	return (meta->kind == SPINAT_KIND_FLOW || meta->kind == SPINAT_KIND_SPI ||
		       meta->kind == SPINAT_KIND_OTHER) &&
	       !(meta->flags & SPINAT_META_FRAG);
}

static inline void
lookup(struct spinat_worker *w, struct spinat_slot *slots, unsigned int n)
{
	struct spinat_slot *keyed[SPINAT_BURST], *mine[SPINAT_BURST];
	uint8_t owner[SPINAT_BURST];
	unsigned int n_keyed = 0;

	for (unsigned int i = 0; i < n; i++)
		if (likely(has_key(&slots[i].meta)))
			keyed[n_keyed++] = &slots[i];
	if (n_keyed == 0)
		return;
	if (w->engine->n_workers == 1) {
		lookup_owner(w->tables[0], keyed, n_keyed);
		return;
	}
	for (unsigned int i = 0; i < n_keyed; i++)
		owner[i] = spinat_slot_owner(w, &keyed[i]->meta.key, keyed[i]->meta.kind);
	for (unsigned int o = 0; o < w->engine->n_workers; o++) {
		unsigned int n_mine = 0;

		for (unsigned int i = 0; i < n_keyed; i++)
			if (owner[i] == o)
				mine[n_mine++] = keyed[i];
		if (n_mine > 0)
			lookup_owner(w->tables[o], mine, n_mine);
	}
}

static inline uint32_t
tcp_ack(const struct spinat_slot *s)
{
	return rte_be_to_cpu_32(
		rte_pktmbuf_mtod_offset(s->m, const struct rte_tcp_hdr *, s->meta.l4)->recv_ack);
}

static inline void
touch(struct spinat_worker *w, struct spinat_flow *f, struct spinat_slot *s)
{
	const struct spinat_meta *meta = &s->meta;
	const enum spinat_dir dir = meta->key.dir;

	if (f->last_seen != w->now_s && (dir == SPINAT_OUT || f->flags & SPINAT_FLOW_IN_REFRESH ||
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
	} else if (unlikely(f->flags & SPINAT_FLOW_NATT && dir == SPINAT_IN &&
			    !(f->state & SPINAT_NATT_SEEN))) {
		spinat_natt_answered(w, s, f);
	}
}

void
spinat_burst(struct spinat_worker *w, struct rte_mbuf **mbufs, unsigned int n, bool from_ring)
{
	struct spinat_slot slots[SPINAT_BURST];
	unsigned int i;

	for (i = 0; i < RTE_MIN(n, (unsigned int)PREFETCH_AHEAD); i++)
		rte_prefetch0(rte_pktmbuf_mtod(mbufs[i], void *));
	for (i = 0; i < n; i++) {
		if (i + PREFETCH_AHEAD < n)
			rte_prefetch0(rte_pktmbuf_mtod(mbufs[i + PREFETCH_AHEAD], void *));
		classify(w, &slots[i], mbufs[i], from_ring);
	}
	lookup(w, slots, n);
	for (i = 0; i < n; i++) {
		struct spinat_slot *s = &slots[i];

		if (likely(s->flow != NULL)) {
			touch(w, s->flow, s);
			spinat_forward(w, s, s->flow);
		} else {
			spinat_slow(w, s);
		}
	}
}
