/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 the spinat authors
 */
#include <string.h>

#include <rte_ip.h>

#include "datapath/path.h"
#include "nat/hash.h"

/*
 * Fragments: all those between the same two hosts meet at one worker, the one that owns the remote
 * host's IPsec state, so that first fragments of ESP and IKE are decided where they are.
 */

static unsigned int
frag_owner(const struct spinat_worker *w, const struct spinat_key *key)
{
	return spinat_owner(key->dir == SPINAT_OUT ? key->dst : key->src, 0, w->engine->n_workers);
}

/* All fragments of a datagram get the identification that its first one was given. */
static void
write_ip_id(const struct spinat_slot *s, rte_be16_t id)
{
	struct rte_ipv4_hdr *ip = rte_pktmbuf_mtod_offset(s->m, struct rte_ipv4_hdr *, s->meta.l3);

	ip->hdr_checksum =
		spinat_csum_apply(ip->hdr_checksum, spinat_csum_delta16(ip->packet_id, id));
	ip->packet_id = id;
}

/* A later fragment: addresses as the first one's verdict says, nothing behind the IPv4 header. */
static void
follow(struct spinat_worker *w, struct spinat_slot *s, const struct spinat_frag_verdict *verdict)
{
	const bool out = s->meta.key.dir == SPINAT_OUT;
	struct spinat_verdict v = {.n = 0};
	struct spinat_flow *f;

	if (verdict->drop != SPINAT_DROP_NONE) {
		spinat_drop(w, s->m, SPINAT_DROP_FRAG_REFUSED);
		return;
	}
	write_ip_id(s, verdict->ip_id);
	if (verdict->src == s->meta.key.src && verdict->dst == s->meta.key.dst) {
		s->meta.key.realm = verdict->realm;
		spinat_forward(w, s, NULL);
		return;
	}
	f = spinat_verdict_flow(&v, s->meta.key.dir, verdict->realm,
		out ? s->meta.key.src : verdict->dst, out ? verdict->src : s->meta.key.dst, 0);
	if (out && spinat_conf_outside(w->snap->conf, s->meta.key.dst) != NULL)
		f->flags |= SPINAT_FLOW_HAIRPIN;
	spinat_forward(w, s, f);
}

/* What a decision about the first fragment means for the others. */
static struct spinat_frag_verdict
verdict_for_others(
	struct spinat_worker *w, const struct spinat_slot *s, const struct spinat_verdict *v)
{
	const bool out = s->meta.key.dir == SPINAT_OUT;
	struct spinat_frag_verdict verdict = {
		.src = s->meta.key.src,
		.dst = s->meta.key.dst,
		.realm = s->meta.key.realm,
		.ip_id = s->meta.ip_id,
		.drop = v->drop,
	};

	if (v->drop == SPINAT_DROP_NONE && v->n > 0) {
		verdict.realm = v->flow[0]->realm;
		if (out) {
			verdict.src = v->flow[0]->new_addr[SPINAT_OUT];
			verdict.ip_id =
				spinat_next_ip_id(w, s->meta.key.dst, SPINAT_IP_ID_FRAGMENTS);
		} else {
			verdict.dst = v->flow[0]->new_addr[SPINAT_IN];
		}
	}
	return verdict;
}

static void
release_held(struct spinat_worker *w, const struct spinat_slot *first, struct rte_mbuf **held,
	unsigned int n, const struct spinat_frag_verdict *verdict)
{
	for (unsigned int i = 0; i < n; i++) {
		struct spinat_slot s = {.m = held[i],
			.iface = first->iface,
			.why = first->why,
			.hairpin = first->hairpin};

		spinat_parse(rte_pktmbuf_mtod(s.m, const uint8_t *), s.m->data_len, s.m->pkt_len,
			false, &s.meta);
		s.meta.key.dir = first->meta.key.dir;
		s.meta.key.realm = first->meta.key.realm;
		follow(w, &s, verdict);
	}
}

/* The first fragment: decided like a whole packet, then recorded, and the held ones follow it. */
static void
first_fragment(struct spinat_worker *w, struct spinat_slot *s)
{
	struct rte_mbuf *held[SPINAT_FRAG_HELD_MAX];
	struct spinat_frag_verdict verdict, known;
	enum spinat_drop drop = SPINAT_DROP_NONE;
	const struct spinat_slot copy = *s;
	struct spinat_verdict v;
	unsigned int n = 0;

	spinat_decide(w, s, &v);
	if (v.taken)
		return;
	verdict = verdict_for_others(w, s, &v);
	switch (spinat_frag_input(w->frags, s->m, &copy.meta, w->now_ms, &known, &drop)) {
	case SPINAT_FRAG_FIRST:
		n = spinat_frag_learn(
			w->frags, &copy.meta, w->now_ms, &verdict, held, SPINAT_FRAG_HELD_MAX);
		drop = v.drop;
		break;
	case SPINAT_FRAG_DROP:
		break;
	case SPINAT_FRAG_FOLLOW:
	case SPINAT_FRAG_HELD:
		return; /* not said of a first fragment */
	}
	if (drop != SPINAT_DROP_NONE) {
		spinat_drop(w, s->m, drop);
	} else {
		write_ip_id(s, verdict.ip_id);
		spinat_forward(w, s, v.n > 0 ? v.flow[0] : NULL);
	}
	release_held(w, &copy, held, n, &verdict);
}

/* For another worker, which has the other fragments: makes the flow and gives the packet back. */
static void
make_for_owner(struct spinat_worker *w, struct spinat_slot *s, unsigned int owner)
{
	struct spinat_verdict v;

	spinat_decide(w, s, &v);
	if (v.taken)
		return;
	if (v.drop != SPINAT_DROP_NONE)
		spinat_drop(w, s->m, v.drop);
	else
		spinat_hand_off(w, owner, s, SPINAT_WHY_RETRY);
}

void
spinat_fragment(struct spinat_worker *w, struct spinat_slot *s)
{
	const unsigned int owner = frag_owner(w, &s->meta.key);
	struct spinat_frag_verdict verdict;
	enum spinat_drop drop;

	if (s->why == SPINAT_WHY_MAKE) {
		make_for_owner(w, s, owner);
		return;
	}
	if (owner != w->id) {
		spinat_hand_off(w, owner, s, s->why);
		return;
	}
	if (!(s->meta.flags & SPINAT_META_FRAG_LATER)) {
		first_fragment(w, s);
		return;
	}
	switch (spinat_frag_input(w->frags, s->m, &s->meta, w->now_ms, &verdict, &drop)) {
	case SPINAT_FRAG_FOLLOW:
		follow(w, s, &verdict);
		break;
	case SPINAT_FRAG_DROP:
		spinat_drop(w, s->m, drop);
		break;
	case SPINAT_FRAG_HELD:
	case SPINAT_FRAG_FIRST:
		break;
	}
}

void
spinat_fragments_expire(struct spinat_worker *w)
{
	struct rte_mbuf *late[SPINAT_BURST];
	unsigned int n = spinat_frag_expire(w->frags, w->now_ms, late, SPINAT_BURST);

	for (unsigned int i = 0; i < n; i++)
		spinat_drop(w, late[i], SPINAT_DROP_FRAG_TIMEOUT);
}
