/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 the spinat authors
 */
#include <netinet/in.h>
#include <string.h>

#include <rte_tcp.h>

#include "datapath/path.h"
#include "nat/hash.h"
#include "net/box.h"

/* Packets that no flow was there for: to the box, to the owner of their state, or a new flow. */

void
spinat_hand_off(
	struct spinat_worker *w, unsigned int to, struct spinat_slot *s, enum spinat_why why)
{
	struct spinat_mbuf_priv *priv = spinat_priv(s->m);

	priv->why = why;
	priv->iface = s->iface;
	priv->hairpin = s->hairpin;
	if (rte_ring_enqueue(w->engine->workers[to]->in, s->m) != 0)
		spinat_drop(w, s->m, SPINAT_DROP_HANDOFF_FULL);
	else
		w->stats.handed_off++;
}

void
spinat_punt(struct spinat_worker *w, struct rte_mbuf *m, enum spinat_why why, uint8_t iface,
	uint16_t l3, uint16_t realm)
{
	struct spinat_mbuf_priv *priv = spinat_priv(m);

	priv->why = why;
	priv->iface = iface;
	priv->l3 = l3;
	priv->realm = realm;
	if (rte_ring_enqueue(w->engine->punt, m) != 0)
		spinat_drop(w, m, SPINAT_DROP_PUNT_FULL);
}

bool
spinat_send_note(struct spinat_worker *w, unsigned int to, enum spinat_why why, const void *note,
	uint16_t len)
{
	struct rte_mbuf *m = rte_pktmbuf_alloc(w->engine->pool);

	if (m == NULL) {
		w->stats.notes_lost++;
		return false;
	}
	memcpy(rte_pktmbuf_append(m, len), note, len);
	spinat_priv(m)->why = why;
	if (rte_ring_enqueue(w->engine->workers[to]->in, m) == 0)
		return true;
	rte_pktmbuf_free(m);
	w->stats.notes_lost++;
	return false;
}

void
spinat_tell_control(struct spinat_worker *w, const struct spinat_event *event)
{
	/* without room there is no log line: what matters is in counters and tables too */
	if (rte_ring_mp_enqueue_elem(w->engine->events, (void *)(uintptr_t)event, sizeof(*event)) !=
		0)
		w->stats.events_lost++;
}

unsigned int
spinat_slot_owner(const struct spinat_worker *w, const struct spinat_key *key, uint8_t kind)
{
	const unsigned int n = w->engine->n_workers;

	/* all learning about a gateway is in one place */
	if (kind == SPINAT_KIND_SPI || kind == SPINAT_KIND_IKE)
		return spinat_owner(key->dir == SPINAT_OUT ? key->dst : key->src, 0, n);
	if (key->dir == SPINAT_OUT)
		return spinat_owner(key->src, key->realm, n);
	return spinat_nat_owner_in(w->snap->conf, key, n);
}

struct spinat_flow *
spinat_verdict_flow(struct spinat_verdict *v, enum spinat_dir dir, uint16_t realm,
	rte_be32_t inside, rte_be32_t outside, uint8_t proto)
{
	struct spinat_flow *f = &v->temp[v->n];

	memset(f, 0, sizeof(*f));
	f->new_addr[SPINAT_OUT] = outside;
	f->new_addr[SPINAT_IN] = inside;
	f->realm = realm;
	f->proto = proto;
	f->flags = dir == SPINAT_OUT ? SPINAT_FLOW_KEY_OUT : SPINAT_FLOW_KEY_IN;
	if (proto == IPPROTO_UDP)
		f->new_port[SPINAT_OUT] = f->new_port[SPINAT_IN] = RTE_BE16(SPINAT_IKE_PORT);
	spinat_flow_set_deltas(f);
	v->flow[v->n++] = f;
	return f;
}

/* A packet to an address of the box itself: echo is answered, UDP and TCP from inside are told that
 * nobody listens, everything else ends here. */
static void
to_box(struct spinat_worker *w, struct spinat_slot *s, struct spinat_verdict *v)
{
	const struct spinat_meta *meta = &s->meta;

	if (meta->key.proto == IPPROTO_ICMP && meta->icmp_type == SPINAT_ICMP_ECHO_REQUEST &&
		!(meta->flags & SPINAT_META_FRAG) && spinat_box_echo(s->m, meta) == 0) {
		v->taken = true;
		w->stats.icmp_sent++;
		spinat_send(w, w->engine->device_of_port[s->m->port], s->iface, s->m);
		return;
	}
	if (meta->key.dir == SPINAT_OUT && meta->kind == SPINAT_KIND_FLOW &&
		meta->key.proto != IPPROTO_ICMP)
		spinat_send_error(w, s, SPINAT_ICMP_UNREACHABLE, SPINAT_UNREACH_PORT, 0);
	v->drop = SPINAT_DROP_TO_BOX;
}

/* RFC 6888 REQ-11 C: whoever looks after the box is told. */
static void
report_exhaustion(struct spinat_worker *w, const struct spinat_slot *s, enum spinat_drop drop)
{
	const struct spinat_event event = {
		.type = SPINAT_EVENT_EXHAUSTED,
		.exhausted = {.client = s->meta.key.src,
			.realm = s->meta.key.realm,
			.reason = drop,
			.proto = s->meta.key.proto},
	};

	if (w->event_tokens == 0)
		return;
	w->event_tokens--;
	spinat_tell_control(w, &event);
}

/* Says so to the sender of a packet that gets no flow, where the RFCs want it said. */
static void
explain_refusal(struct spinat_worker *w, struct spinat_slot *s, enum spinat_drop drop)
{
	const struct spinat_conf *conf = w->snap->conf;
	const struct spinat_outside_addr *ours;

	switch (drop) {
	case SPINAT_DROP_NO_MAPPING:
	case SPINAT_DROP_FILTERED:
		/* a SYN from outside, RFC 5382 REQ-4 */
		if (s->meta.key.proto != IPPROTO_TCP || s->meta.key.dir != SPINAT_IN || s->hairpin)
			return;
		ours = spinat_conf_outside(conf, s->meta.key.dst);
		if (s->meta.tcp_flags & RTE_TCP_SYN_FLAG &&
			!(s->meta.tcp_flags & RTE_TCP_ACK_FLAG) &&
			conf->realms[ours->realm].unsolicited_syn == SPINAT_SYN_UNREACHABLE)
			spinat_syn_hold(w, s);
		return;
	case SPINAT_DROP_SESSIONS_FULL:
	case SPINAT_DROP_MAPPINGS_FULL:
	case SPINAT_DROP_CLIENTS_FULL:
	case SPINAT_DROP_CLIENT_SESSIONS:
	case SPINAT_DROP_CLIENT_MAPPINGS:
	case SPINAT_DROP_CLIENT_RATE:
	case SPINAT_DROP_PORTS_EXHAUSTED:
	case SPINAT_DROP_NO_POOL:
		/* RFC 5508 REQ-8, RFC 6888 REQ-11 B */
		if (s->meta.key.dir != SPINAT_OUT)
			return;
		report_exhaustion(w, s, drop);
		spinat_send_error(w, s, SPINAT_ICMP_UNREACHABLE, SPINAT_UNREACH_ADMIN, 0);
		return;
	case SPINAT_DROP_BINDINGS_LIMIT:
	case SPINAT_DROP_BINDINGS_FULL:
	case SPINAT_DROP_IKE_FULL:
		if (s->meta.key.dir == SPINAT_OUT)
			report_exhaustion(w, s, drop);
		return;
	default:
		return;
	}
}

/* At the owner: the flow that a packet before this one has made, or a new one. */
static void
find_or_make(struct spinat_worker *w, struct spinat_slot *s, struct spinat_verdict *v)
{
	const unsigned int owner = spinat_slot_owner(w, &s->meta.key, s->meta.kind);
	const struct spinat_conf *conf = w->snap->conf;
	struct spinat_flow *f =
		s->ahead != NULL
			? spinat_table_find_hashed(w->tables[owner], &s->meta.key, s->ahead->key)
			: spinat_table_find(w->tables[owner], &s->meta.key);

	if (f == NULL && owner != w->id) {
		if (s->why == SPINAT_WHY_RETRY) {
			v->drop = SPINAT_DROP_FRAG_REFUSED;
			return;
		}
		v->taken = true;
		spinat_hand_off(w, owner, s,
			s->meta.flags & SPINAT_META_FRAG ? SPINAT_WHY_MAKE : SPINAT_WHY_RX);
		return;
	}
	if (f == NULL) {
		v->drop = s->meta.key.dir == SPINAT_OUT
				  ? spinat_nat_outbound_ahead(
					    w->nat, conf, &s->meta, s->ahead, w->now_s, &f)
				  : spinat_nat_inbound(w->nat, conf, &s->meta, w->now_s, &f);
		if (v->drop != SPINAT_DROP_NONE) {
			explain_refusal(w, s, v->drop);
			return;
		}
	}
	if (s->meta.key.proto == IPPROTO_TCP && s->meta.kind == SPINAT_KIND_FLOW)
		spinat_tcp_segment(w, s, f);
	/* a fragment comes here once more, where its others are */
	else if (f->flags & SPINAT_FLOW_IKE && s->why != SPINAT_WHY_MAKE)
		spinat_ike_session(w, s, f);
	v->flow[0] = f;
	v->n = 1;
}

/* Whether answers to a packet from inside would find its sender (RFC 3704 2.3): its source is routed
 * to the inside of its realm and is not the box. */
static bool
source_is_inside(const struct spinat_worker *w, const struct spinat_key *key)
{
	const struct spinat_nexthop *nh = spinat_fib_lookup(w->snap->fib, key->realm, key->src);

	return nh != NULL && nh->role == SPINAT_INSIDE && nh->state != SPINAT_NH_BOX &&
	       nh->state != SPINAT_NH_BLACKHOLE;
}

/* The same from outside: its source is none of our own outside addresses and is not routed to the
 * inside of the realm that the packet is for. */
static bool
source_is_outside(const struct spinat_worker *w, const struct spinat_key *key, uint16_t realm)
{
	const struct spinat_nexthop *nh = spinat_fib_lookup(w->snap->fib, realm, key->src);

	return spinat_conf_outside(w->snap->conf, key->src) == NULL &&
	       (nh == NULL || nh->role == SPINAT_OUTSIDE);
}

static void
decide_out(struct spinat_worker *w, struct spinat_slot *s, struct spinat_verdict *v)
{
	const struct spinat_key *key = &s->meta.key;
	const struct spinat_outside_addr *ours = spinat_conf_outside(w->snap->conf, key->dst);
	const struct spinat_nexthop *nh;

	if (!source_is_inside(w, key)) {
		v->drop = SPINAT_DROP_IP_SOURCE;
		return;
	}
	if (ours == NULL) {
		nh = spinat_fib_lookup(w->snap->fib, key->realm, key->dst);
		if (nh == NULL) {
			spinat_send_error(w, s, SPINAT_ICMP_UNREACHABLE, SPINAT_UNREACH_NET, 0);
			v->drop = SPINAT_DROP_NO_ROUTE;
			return;
		}
		if (nh->state == SPINAT_NH_BOX) {
			to_box(w, s, v);
			return;
		}
		/* between inside networks, or exempt: routed, not translated */
		if (nh->role == SPINAT_INSIDE ||
			(w->snap->conf->n_exempts != 0 &&
				spinat_conf_exempt(w->snap->conf, key->realm, key->src, key->dst)))
			return;
	} else if (ours->kinds & SPINAT_OUTSIDE_BOX && !(ours->kinds & SPINAT_OUTSIDE_STATIC) &&
		   s->meta.flags & SPINAT_META_ICMP_REQUEST) {
		to_box(w, s, v);
		return;
	}
	if (s->meta.kind == SPINAT_KIND_SPI || s->meta.kind == SPINAT_KIND_IKE) {
		spinat_decide_ipsec_out(w, s, v);
		explain_refusal(w, s, v->drop);
	} else {
		find_or_make(w, s, v);
	}
}

int
spinat_exempt_realm(const struct spinat_worker *w, rte_be32_t inside, rte_be32_t remote, bool ah)
{
	const struct spinat_conf *conf = w->snap->conf;
	const struct spinat_nexthop *nh;

	if (conf->n_exempts == 0 && !ah)
		return -1;
	for (uint16_t r = 0; r < conf->n_realms; r++) {
		if (!(ah && conf->realms[r].ah == SPINAT_AH_EXEMPT) &&
			!spinat_conf_exempt(conf, r, inside, remote))
			continue;
		nh = spinat_fib_lookup(w->snap->fib, r, inside);
		if (nh != NULL && nh->role == SPINAT_INSIDE && nh->state != SPINAT_NH_BOX)
			return r;
	}
	return -1;
}

/* From outside to an inside address: only where a rule exempts it from translation. */
static void
decide_untranslated_in(struct spinat_worker *w, struct spinat_slot *s, struct spinat_verdict *v)
{
	struct spinat_key *key = &s->meta.key;
	const int realm = spinat_exempt_realm(w, key->dst, key->src, key->proto == IPPROTO_AH);

	if (realm < 0)
		v->drop = SPINAT_DROP_NOT_OURS;
	else if (!source_is_outside(w, key, realm))
		v->drop = SPINAT_DROP_IP_SOURCE;
	else
		key->realm = realm;
}

static void
decide_in(struct spinat_worker *w, struct spinat_slot *s, struct spinat_verdict *v)
{
	const struct spinat_outside_addr *ours =
		spinat_conf_outside(w->snap->conf, s->meta.key.dst);

	if (ours == NULL) {
		decide_untranslated_in(w, s, v);
		return;
	}
	if (!s->hairpin && !source_is_outside(w, &s->meta.key, ours->realm)) {
		v->drop = SPINAT_DROP_IP_SOURCE;
		return;
	}
	if (s->meta.kind == SPINAT_KIND_SPI || s->meta.kind == SPINAT_KIND_IKE)
		spinat_decide_ipsec_in(w, s, v);
	else if (ours->kinds & SPINAT_OUTSIDE_BOX && !(ours->kinds & SPINAT_OUTSIDE_STATIC) &&
		 s->meta.flags & SPINAT_META_ICMP_REQUEST)
		to_box(w, s, v);
	else
		find_or_make(w, s, v);
}

void
spinat_decide(struct spinat_worker *w, struct spinat_slot *s, struct spinat_verdict *v)
{
	v->drop = SPINAT_DROP_NONE;
	v->taken = false;
	v->n = 0;
	if (s->meta.key.dir == SPINAT_OUT)
		decide_out(w, s, v);
	else
		decide_in(w, s, v);
}

/* Copies for all candidates but the last, which gets the packet itself. */
static void
forward_all(struct spinat_worker *w, struct spinat_slot *s, const struct spinat_verdict *v)
{
	for (unsigned int i = 0; i + 1 < v->n; i++) {
		struct spinat_slot copy = *s;

		copy.m = rte_pktmbuf_copy(s->m, w->engine->pool, 0, UINT32_MAX);
		if (copy.m == NULL)
			continue; /* a copy that is not made is no packet lost: s->m goes on */
		w->stats.copies++;
		spinat_forward(w, &copy, v->flow[i]);
	}
	spinat_forward(w, s, v->n > 0 ? v->flow[v->n - 1] : NULL);
}

void
spinat_slow(struct spinat_worker *w, struct spinat_slot *s)
{
	struct spinat_verdict v;

	w->stats.slow++;
	if (s->meta.kind == SPINAT_KIND_BAD) {
		spinat_drop(w, s->m, s->meta.drop);
	} else if (s->meta.kind == SPINAT_KIND_ARP) {
		spinat_punt(w, s->m, SPINAT_WHY_ARP, s->iface, 0, 0);
	} else if (s->meta.flags & SPINAT_META_FRAG) {
		spinat_fragment(w, s);
	} else if (s->meta.kind == SPINAT_KIND_ICMP_ERROR) {
		if (s->meta.key.dir == SPINAT_OUT)
			spinat_icmp_error_out(w, s);
		else
			spinat_icmp_error_in(w, s);
	} else {
		spinat_decide(w, s, &v);
		if (v.taken)
			return;
		if (v.drop != SPINAT_DROP_NONE)
			spinat_drop(w, s->m, v.drop);
		else
			forward_all(w, s, &v);
	}
}
