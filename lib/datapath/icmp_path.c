/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 the spinat authors
 */
#include <netinet/in.h>
#include <string.h>

#include "datapath/path.h"
#include "nat/hash.h"
#include "packet/icmp_error.h"

/*
 * ICMP errors (RFC 5508 4): the quoted packet says which flow they are about. They change no state:
 * no timer is refreshed, nothing is closed.
 */

#define UDP_HEADER_LEN 8

/* The key by which packets of the opposite direction to the quoted one find their flow. */
static struct spinat_key
reverse_key(const struct spinat_meta *inner, enum spinat_dir dir, uint16_t realm)
{
	struct spinat_key key = {
		.src = inner->key.dst,
		.dst = inner->key.src,
		.sport = inner->key.dport,
		.dport = inner->key.sport,
		.proto = inner->key.proto,
		.dir = dir,
		.realm = realm,
	};

	if (inner->kind == SPINAT_KIND_SPI)
		key.spi = inner->key.spi;
	return key;
}

/* Checks an error and reads its quote; drops it and returns false where it is none. */
static bool
read_quote(struct spinat_worker *w, struct spinat_slot *s, struct spinat_meta *inner)
{
	const uint8_t *frame = rte_pktmbuf_mtod(s->m, const uint8_t *);
	enum spinat_drop drop = SPINAT_DROP_NONE;

	if (s->m->nb_segs != 1 || spinat_parse_quote(frame, s->m->data_len, &s->meta, inner) != 0 ||
		inner->flags & SPINAT_META_FRAG_LATER)
		drop = SPINAT_DROP_ICMP_QUOTE;
	else if (!spinat_icmp_error_verify(frame, &s->meta))
		drop = SPINAT_DROP_ICMP_CHECKSUM;
	if (drop != SPINAT_DROP_NONE)
		spinat_drop(w, s->m, drop);
	return drop == SPINAT_DROP_NONE;
}

/* The port or identifier that the quote has on the other side. A query from outside to a static host
 * has its identifier in its sender's port, which nobody translates. */
static rte_be16_t
quoted_port(const struct spinat_meta *inner, const struct spinat_flow *f, enum spinat_dir dir)
{
	if (f->proto == IPPROTO_ICMP && f->new_port[SPINAT_OUT] == f->new_port[SPINAT_IN])
		return inner->key.sport | inner->key.dport; /* one of them is 0 */
	return f->new_port[dir];
}

/* Rewrites the error and sends it on: its own header through a flow that changes one address, which
 * forwarding does, TTL included; the quote and its checksums here. */
static void
send_on(struct spinat_worker *w, struct spinat_slot *s, const struct spinat_meta *inner,
	const struct spinat_flow *f)
{
	const bool in = s->meta.key.dir == SPINAT_IN;
	const struct spinat_icmp_rewrite rw = {
		.outer_src = s->meta.key.src,
		.outer_dst = s->meta.key.dst,
		.quoted_addr = f->new_addr[s->meta.key.dir],
		.quoted_port = quoted_port(inner, f, s->meta.key.dir),
		.quoted_is_src = in,
	};
	struct spinat_verdict v = {.n = 0};
	struct spinat_flow *outer;

	spinat_icmp_error_rewrite(rte_pktmbuf_mtod(s->m, uint8_t *), &s->meta, inner, &rw);
	/* an error of a router on the way, too, comes from the outside address (RFC 5508 REQ-4) */
	outer = spinat_verdict_flow(&v, s->meta.key.dir, f->realm, f->new_addr[SPINAT_IN],
		f->new_addr[SPINAT_OUT], IPPROTO_ICMP);
	/* that router's own address is what the checksum covered, not the flow's */
	if (!in)
		outer->l3_delta[SPINAT_OUT] = spinat_csum_delta_add(
			spinat_csum_delta32(s->meta.key.src, f->new_addr[SPINAT_OUT]),
			RTE_BE16(0xfeff));
	if (!in && spinat_conf_outside(w->snap->conf, s->meta.key.dst) != NULL)
		outer->flags |= SPINAT_FLOW_HAIRPIN;
	spinat_forward(w, s, outer);
}

/* ESP, AH and IKE: the binder knows who sent what is quoted. */
static void
ipsec_error_in(struct spinat_worker *w, struct spinat_slot *s, const struct spinat_meta *inner)
{
	const unsigned int owner = spinat_owner(inner->key.dst, 0, w->engine->n_workers);
	const struct spinat_outside_addr *o = spinat_conf_outside(w->snap->conf, inner->key.src);
	const struct spinat_ipsec_pkt p = {
		.client = {.realm = o->realm},
		.outside = inner->key.src,
		.gateway = inner->key.dst,
		.spi = inner->kind == SPINAT_KIND_SPI ? inner->key.spi : 0,
		.proto = inner->key.proto,
	};
	struct spinat_verdict v = {.n = 0};
	struct spinat_client client;
	uint64_t cookie = 0;

	if (owner != w->id) {
		spinat_hand_off(w, owner, s, s->why);
		return;
	}
	if (inner->kind == SPINAT_KIND_IKE &&
		(uint32_t)inner->l3 + inner->l3_len >= inner->l4 + UDP_HEADER_LEN + sizeof(cookie))
		memcpy(&cookie, rte_pktmbuf_mtod_offset(s->m, void *, inner->l4 + UDP_HEADER_LEN),
			sizeof(cookie));
	if (o->kinds & SPINAT_OUTSIDE_STATIC) {
		client.addr = o->inside;
		client.realm = o->realm;
	} else if (!spinat_binder_quoted(w->binder, &p, cookie, &client)) {
		spinat_drop(w, s->m, SPINAT_DROP_ICMP_UNKNOWN);
		return;
	}
	send_on(w, s, inner,
		spinat_verdict_flow(&v, SPINAT_IN, client.realm, client.addr, inner->key.src,
			inner->key.proto));
}

/* To an inside address: where what is quoted went out untranslated. */
static void
untranslated_in(struct spinat_worker *w, struct spinat_slot *s)
{
	struct spinat_meta inner;
	int realm;

	if (w->snap->conf->n_exempts == 0) {
		spinat_drop(w, s->m, SPINAT_DROP_NOT_OURS);
		return;
	}
	if (!read_quote(w, s, &inner))
		return;
	realm = spinat_exempt_realm(w, inner.key.src, inner.key.dst, false);
	if (realm < 0 || inner.key.src != s->meta.key.dst) {
		spinat_drop(w, s->m, SPINAT_DROP_NOT_OURS);
		return;
	}
	s->meta.key.realm = realm;
	spinat_forward(w, s, NULL);
}

void
spinat_icmp_error_in(struct spinat_worker *w, struct spinat_slot *s)
{
	const struct spinat_flow *f;
	struct spinat_meta inner;
	struct spinat_key key;

	if (spinat_conf_outside(w->snap->conf, s->meta.key.dst) == NULL) {
		untranslated_in(w, s);
		return;
	}
	if (!read_quote(w, s, &inner))
		return;
	/* what is quoted has left from the address that the error comes to */
	if (inner.key.src != s->meta.key.dst) {
		spinat_drop(w, s->m, SPINAT_DROP_ICMP_QUOTE);
		return;
	}
	if (inner.kind == SPINAT_KIND_SPI || inner.kind == SPINAT_KIND_IKE) {
		ipsec_error_in(w, s, &inner);
		return;
	}
	key = reverse_key(&inner, SPINAT_IN, 0);
	f = spinat_table_find(w->tables[spinat_slot_owner(w, &key, inner.kind)], &key);
	if (f == NULL)
		spinat_drop(w, s->m, SPINAT_DROP_ICMP_UNKNOWN);
	else
		send_on(w, s, &inner, f);
}

/* ESP, AH and IKE that came in to the client: its outside address is that of everything it does. */
static void
ipsec_error_out(struct spinat_worker *w, struct spinat_slot *s, const struct spinat_meta *inner)
{
	const unsigned int owner = spinat_owner(inner->key.src, 0, w->engine->n_workers);
	const struct spinat_client client = {.addr = inner->key.dst, .realm = s->meta.key.realm};
	const bool choice = spinat_nat_has_choice(w->snap->conf, client.realm, client.addr);
	struct spinat_verdict v = {.n = 0};
	rte_be32_t outside;

	if (choice && owner != w->id) {
		spinat_hand_off(w, owner, s, s->why);
		return;
	}
	outside = choice ? spinat_binder_outside(w->binder, client, inner->key.src)
			 : spinat_nat_outside_of(w->snap->conf, client.realm, client.addr);
	if (outside == 0)
		spinat_drop(w, s->m, choice ? SPINAT_DROP_ICMP_UNKNOWN : SPINAT_DROP_NO_POOL);
	else
		send_on(w, s, inner,
			spinat_verdict_flow(&v, SPINAT_OUT, client.realm, client.addr, outside,
				inner->key.proto));
}

static bool
quotes_translated_ike(
	const struct spinat_worker *w, const struct spinat_slot *s, const struct spinat_meta *inner)
{
	const enum spinat_ike_port port = w->snap->conf->realms[s->meta.key.realm].ike_port;

	return port == SPINAT_IKE_TRANSLATE ||
	       (port == SPINAT_IKE_AUTO && !spinat_ike_keeps_port(w, inner->key.src));
}

void
spinat_icmp_error_out(struct spinat_worker *w, struct spinat_slot *s)
{
	const struct spinat_nexthop *nh =
		spinat_fib_lookup(w->snap->fib, s->meta.key.realm, s->meta.key.dst);
	const struct spinat_flow *f;
	struct spinat_meta inner;
	struct spinat_key key;

	/* between inside networks, nothing was translated */
	if (nh != NULL && nh->role == SPINAT_INSIDE && nh->state != SPINAT_NH_BOX &&
		spinat_conf_outside(w->snap->conf, s->meta.key.dst) == NULL) {
		spinat_forward(w, s, NULL);
		return;
	}
	if (!read_quote(w, s, &inner))
		return;
	if (inner.key.src != s->meta.key.dst) {
		spinat_drop(w, s->m, SPINAT_DROP_ICMP_QUOTE);
		return;
	}
	if (spinat_conf_exempt(w->snap->conf, s->meta.key.realm, inner.key.dst, inner.key.src)) {
		spinat_forward(w, s, NULL);
		return;
	}
	if (inner.kind == SPINAT_KIND_IKE && quotes_translated_ike(w, s, &inner))
		inner.kind = SPINAT_KIND_FLOW;
	if (inner.kind == SPINAT_KIND_SPI || inner.kind == SPINAT_KIND_IKE) {
		ipsec_error_out(w, s, &inner);
		return;
	}
	key = reverse_key(&inner, SPINAT_OUT, s->meta.key.realm);
	f = spinat_table_find(w->tables[spinat_slot_owner(w, &key, inner.kind)], &key);
	if (f == NULL)
		spinat_drop(w, s->m, SPINAT_DROP_ICMP_UNKNOWN);
	else
		send_on(w, s, &inner, f);
}
