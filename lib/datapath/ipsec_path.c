/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 the spinat authors
 */
#include <netinet/in.h>
#include <string.h>

#include <rte_ip.h>

#include "datapath/path.h"
#include "nat/hash.h"

/* ESP, AH and IKE between the packet and the SPI binder: who asks it, and what its answer means. */

#define UDP_HEADER_LEN 8

static uint32_t
shortcut_install(void *ctx, const struct spinat_shortcut *s)
{
	struct spinat_worker *w = ctx;
	const struct spinat_spi_flow flow = {
		.client = s->client.addr,
		.outside = s->outside,
		.remote = s->gateway,
		.spi = s->spi,
		.seq = s->seq,
		.realm = s->client.realm,
		.proto = s->proto,
		.dir = s->dir,
		.type = SPINAT_FLOW_SHORTCUT,
		.hairpin = spinat_conf_outside(w->snap->conf, s->gateway) != NULL,
	};
	const struct spinat_flow *f = spinat_nat_install_spi(w->nat, &flow, w->now_s);

	return f != NULL ? spinat_table_index(w->nat->table, f) : SPINAT_SHORTCUT_NONE;
}

static void
shortcut_remove(void *ctx, uint32_t handle)
{
	struct spinat_worker *w = ctx;
	struct spinat_flow *f = &w->nat->table->flows[handle];

	/* where too many flows wait for their grace period the sweep takes it: it is past any timeout */
	if (spinat_nat_remove(w->nat, f) != 0) {
		f->type = SPINAT_FLOW_STATIC;
		f->last_seen = w->now_s - w->snap->conf->timeouts.esp;
	}
}

static uint64_t
shortcut_last_used(void *ctx, uint32_t handle)
{
	const struct spinat_worker *w = ctx;

	return (uint64_t)__atomic_load_n(
		       &w->nat->table->flows[handle].last_seen, __ATOMIC_RELAXED) *
	       1000;
}

static void
shortcut_count(void *ctx, uint32_t handle, uint64_t *packets, uint64_t *bytes)
{
	const struct spinat_worker *w = ctx;

	*packets = w->nat->table->flows[handle].packets;
	*bytes = w->nat->table->flows[handle].bytes;
}

static uint32_t
shortcut_last_seq(void *ctx, uint32_t handle)
{
	const struct spinat_worker *w = ctx;

	return __atomic_load_n(&w->nat->table->flows[handle].spi_seq, __ATOMIC_RELAXED);
}

static void
shortcut_set_seq(void *ctx, uint32_t handle, uint32_t seq)
{
	struct spinat_worker *w = ctx;
	struct spinat_flow *f = &w->nat->table->flows[handle];

	__atomic_store_n(&f->spi_seq, seq, __ATOMIC_RELAXED);
	__atomic_store_n(&f->state, SPINAT_SPI_GOES_BACK, __ATOMIC_RELAXED);
}

static void
spi_ambiguous(void *ctx, const struct spinat_ambiguous *a)
{
	const struct spinat_event event = {.type = SPINAT_EVENT_SPI_AMBIGUOUS, .ambiguous = *a};

	spinat_tell_control(ctx, &event);
}

const struct spinat_binder_ops spinat_shortcut_ops = {
	.install = shortcut_install,
	.remove = shortcut_remove,
	.last_used = shortcut_last_used,
	.count = shortcut_count,
	.last_seq = shortcut_last_seq,
	.set_seq = shortcut_set_seq,
	.late = spinat_kept_late,
	.forget = spinat_kept_forget,
	.ambiguous = spi_ambiguous,
	.renew = spinat_outside_renew,
};

static void
describe(const struct spinat_slot *s, struct spinat_ipsec_pkt *p)
{
	const struct spinat_meta *meta = &s->meta;
	const struct rte_ipv4_hdr *ip =
		rte_pktmbuf_mtod_offset(s->m, const struct rte_ipv4_hdr *, meta->l3);
	const bool out = meta->key.dir == SPINAT_OUT;

	*p = (struct spinat_ipsec_pkt){
		.client = {.addr = out ? meta->key.src : 0, .realm = meta->key.realm},
		.outside = out ? 0 : meta->key.dst,
		.gateway = out ? meta->key.dst : meta->key.src,
		.spi = meta->kind == SPINAT_KIND_SPI ? meta->key.spi : 0,
		.seq = meta->seq,
		.len = meta->l3_len,
		.proto = meta->key.proto,
		.ttl = meta->ttl,
		.dscp = ip->type_of_service >> 2,
		/* the other fragments go where the first one goes now */
		.may_wait = !(meta->flags & SPINAT_META_FRAG),
	};
}

int
spinat_slot_ike(const struct spinat_slot *s, struct spinat_ike_hdr *hdr)
{
	const uint16_t at = s->meta.l4 + UDP_HEADER_LEN;

	return spinat_ike_parse(
		rte_pktmbuf_mtod_offset(s->m, const uint8_t *, at), s->m->data_len - at, hdr);
}

/* A static rule carries any protocol, both ways, and leaves nothing to infer. */
static void
decide_static(struct spinat_worker *w, struct spinat_slot *s, rte_be32_t inside, rte_be32_t outside,
	uint16_t realm, struct spinat_verdict *v)
{
	const struct spinat_key *key = &s->meta.key;
	const struct spinat_spi_flow flow = {
		.client = inside,
		.outside = outside,
		.remote = key->dir == SPINAT_OUT ? key->dst : key->src,
		.spi = key->spi,
		.realm = realm,
		.proto = key->proto,
		.dir = key->dir,
		.type = SPINAT_FLOW_STATIC,
	};

	/* the packet goes on even where the table has no room for a shortcut */
	spinat_verdict_flow(v, key->dir, realm, inside, outside, key->proto);
	if (key->dir == SPINAT_OUT && spinat_conf_outside(w->snap->conf, key->dst) != NULL)
		v->temp[0].flags |= SPINAT_FLOW_HAIRPIN;
	else if (s->meta.kind == SPINAT_KIND_SPI && spinat_table_find(w->nat->table, key) == NULL)
		spinat_nat_install_spi(w->nat, &flow, w->now_s);
}

/* True where the packet has gone to the worker that owns the gateway. */
static bool
elsewhere(struct spinat_worker *w, struct spinat_slot *s, struct spinat_verdict *v)
{
	const unsigned int owner = spinat_slot_owner(w, &s->meta.key, s->meta.kind);

	if (owner == w->id)
		return false;
	v->taken = true;
	spinat_hand_off(w, owner, s, s->why);
	return true;
}

/* AH protects the addresses, so no NAT can translate it: the client is told at once. */
static void
reject_ah(struct spinat_worker *w, struct spinat_slot *s, struct spinat_verdict *v)
{
	const struct spinat_event event = {
		.type = SPINAT_EVENT_AH_REJECTED,
		.ah_rejected = {.client = s->meta.key.src,
			.remote = s->meta.key.dst,
			.realm = s->meta.key.realm},
	};

	v->drop = SPINAT_DROP_AH_REJECTED;
	spinat_send_error(w, s, SPINAT_ICMP_UNREACHABLE, SPINAT_UNREACH_ADMIN, 0);
	spinat_tell_control(w, &event);
}

/* True where an IKE SA goes on with the port that it has. */
static bool
follow_older(struct spinat_worker *w, struct spinat_slot *s, struct spinat_verdict *v)
{
	struct spinat_ike_hdr hdr;
	struct spinat_flow *f;

	if (spinat_slot_ike(s, &hdr) != 0)
		return false;
	f = spinat_ike_older_flow(w, s, &hdr);
	if (f == NULL)
		return false;
	spinat_ike_session(w, s, f);
	v->flow[0] = f;
	v->n = 1;
	return true;
}

void
spinat_decide_ipsec_out(struct spinat_worker *w, struct spinat_slot *s, struct spinat_verdict *v)
{
	const struct spinat_conf *conf = w->snap->conf;
	const struct spinat_key *key = &s->meta.key;
	const bool is_static = spinat_conf_static_inside(conf, key->realm, key->src) != NULL;
	const enum spinat_ah_mode ah = conf->realms[key->realm].ah;
	struct spinat_ipsec_decision d = {.drop = SPINAT_DROP_NONE};
	struct spinat_ike_hdr hdr;
	struct spinat_ipsec_pkt p;

	if (key->proto == IPPROTO_AH && !is_static && ah != SPINAT_AH_TRANSLATE) {
		if (ah == SPINAT_AH_REJECT)
			reject_ah(w, s, v);
		return; /* exempt: no flow, routed as it is */
	}
	if (elsewhere(w, s, v) || (s->meta.kind == SPINAT_KIND_IKE && follow_older(w, s, v)))
		return;
	describe(s, &p);
	p.outside = spinat_ipsec_outside(w, s, v);
	if (p.outside == 0) {
		if (!v->taken)
			v->drop = SPINAT_DROP_NO_POOL;
		return;
	}
	if (is_static) {
		decide_static(w, s, key->src, p.outside, key->realm, v);
		return;
	}
	if (s->meta.kind == SPINAT_KIND_SPI) {
		spinat_binder_outbound(w->binder, conf, w->now_ms, &p, &d);
	} else if (spinat_slot_ike(s, &hdr) == 0) {
		spinat_binder_ike_outbound(w->binder, conf, w->now_ms, &p, &hdr, &d);
	} else {
		d.drop = SPINAT_DROP_IKE_SHORT;
	}
	v->drop = d.drop;
	if (d.drop != SPINAT_DROP_NONE)
		return;
	spinat_verdict_flow(v, SPINAT_OUT, key->realm, key->src, d.outside, key->proto);
	if (spinat_conf_outside(conf, key->dst) != NULL)
		v->temp[0].flags |= SPINAT_FLOW_HAIRPIN;
}

/* What no binding claims goes to the host that a redirection names, if any. */
static void
decide_redirected(struct spinat_worker *w, struct spinat_slot *s, struct spinat_verdict *v)
{
	const struct spinat_key *key = &s->meta.key;
	const struct spinat_redirect_conf *r =
		spinat_conf_redirect(w->snap->conf, key->dst, key->proto, key->dport);

	if (r == NULL)
		return;
	v->drop = SPINAT_DROP_NONE;
	spinat_verdict_flow(v, SPINAT_IN, r->realm, r->inside, key->dst, key->proto);
}

void
spinat_decide_ipsec_in(struct spinat_worker *w, struct spinat_slot *s, struct spinat_verdict *v)
{
	const struct spinat_conf *conf = w->snap->conf;
	const struct spinat_key *key = &s->meta.key;
	const struct spinat_outside_addr *o = spinat_conf_outside(conf, key->dst);
	struct spinat_ipsec_decision d = {.drop = SPINAT_DROP_NONE};
	struct spinat_ike_hdr hdr;
	struct spinat_ipsec_pkt p;

	if (elsewhere(w, s, v))
		return;
	if (o->kinds & SPINAT_OUTSIDE_STATIC) {
		decide_static(w, s, o->inside, key->dst, o->realm, v);
		return;
	}
	if (key->proto == IPPROTO_AH && conf->realms[o->realm].ah != SPINAT_AH_TRANSLATE) {
		v->drop = SPINAT_DROP_AH_REJECTED;
		return;
	}
	describe(s, &p);
	p.client.realm = o->realm;
	if (s->meta.kind == SPINAT_KIND_SPI)
		spinat_binder_inbound(w->binder, conf, w->now_ms, &p, &d);
	else if (spinat_slot_ike(s, &hdr) == 0)
		spinat_binder_ike_inbound(w->binder, conf, w->now_ms, &p, &hdr, &d);
	else
		d.drop = SPINAT_DROP_IKE_SHORT;
	if (d.hold != 0)
		spinat_keep(w, s, d.hold, d.n > 0);
	v->taken = d.hold != 0 && d.n == 0;
	v->drop = d.drop;
	for (unsigned int i = 0; d.drop == SPINAT_DROP_NONE && i < d.n; i++)
		spinat_verdict_flow(
			v, SPINAT_IN, d.to[i].realm, d.to[i].addr, key->dst, key->proto);
	if (d.drop == SPINAT_DROP_SPI_UNKNOWN || d.drop == SPINAT_DROP_SPI_SQUELCHED ||
		d.drop == SPINAT_DROP_IKE_UNKNOWN)
		decide_redirected(w, s, v);
}

void
spinat_order_told(struct spinat_worker *w, struct rte_mbuf *m)
{
	struct spinat_order_slip *slip = *rte_pktmbuf_mtod(m, struct spinat_order_slip **);

	slip->result = spinat_binder_order(w->binder, w->snap->conf, w->now_ms, &slip->order);
	__atomic_store_n(&slip->done, true, __ATOMIC_RELEASE);
	rte_pktmbuf_free(m);
}
