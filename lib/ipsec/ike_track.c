/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 the spinat authors
 */
#include <string.h>

#include "binder_internal.h"

/* A second copy of an offered message this soon is a duplicate, not a retransmission. */
#define OFFER_MS 200
/* An IKE SA's own rekey: its first message follows the CREATE_CHILD_SA this soon. */
#define REKEY_MS 30000

/* Exchanges that set up SAs: the message that closes them and the credit they give then. */
static const struct exchange_rule {
	uint8_t exchange;
	uint8_t messages;
	uint8_t credit;
} exchange_rules[] = {
	{SPINAT_IKE1_QUICK, 3, CREDIT_QUICK}, /* the third is only a hash */
	{SPINAT_IKE2_AUTH, 2, CREDIT_AUTH}, /* an EAP round more makes it pending again */
	{SPINAT_IKE2_CREATE_CHILD_SA, 2, CREDIT_CHILD},
};

static const struct exchange_rule *
exchange_rule(uint8_t exchange)
{
	unsigned int i;

	for (i = 0; i < RTE_DIM(exchange_rules); i++)
		if (exchange_rules[i].exchange == exchange)
			return &exchange_rules[i];
	return NULL;
}

static struct ike_key
ike_key(rte_be32_t outside, rte_be32_t gateway, uint64_t init_spi)
{
	return (struct ike_key){.outside = outside, .gateway = gateway, .init_spi = init_spi};
}

struct ike_sa *
ipsec_ike_find(const struct spinat_binder *b, const struct ike_key *key)
{
	void *data;

	return rte_hash_lookup_data(b->ike_index, key, &data) < 0 ? NULL : data;
}

static void
ike_unlink(struct ike_sa *sa)
{
	if (sa->member != NULL) {
		ipsec_credit_forget_ike(sa->member, sa);
		TAILQ_REMOVE(&sa->member->ikes, sa, next);
		sa->member->n_ikes--;
	} else {
		TAILQ_REMOVE(&sa->group->offered, sa, next);
		sa->group->n_offered--;
	}
}

void
ipsec_ike_free(struct spinat_binder *b, struct ike_sa *sa)
{
	ike_unlink(sa);
	rte_hash_del_key(b->ike_index, &sa->key);
	sa->group = NULL;
	TAILQ_INSERT_HEAD(&b->free_ikes, sa, next);
	b->stats.ike_sas--;
}

/* The member's own least useful IKE SA makes room: half-open ones first, then the most idle. */
static void
ike_make_room(struct spinat_binder *b, struct member *m)
{
	struct ike_sa *sa, *victim = NULL;

	if (m->n_ikes < IKES_MAX)
		return;
	TAILQ_FOREACH(sa, &m->ikes, next)
		if (victim == NULL || sa->established < victim->established ||
			(sa->established == victim->established && sa->last_ms < victim->last_ms))
			victim = sa;
	ipsec_ike_free(b, victim);
}

static void
ike_give(struct spinat_binder *b, struct ike_sa *sa, struct member *m)
{
	ike_make_room(b, m);
	if (sa->member == NULL) {
		TAILQ_REMOVE(&sa->group->offered, sa, next);
		sa->group->n_offered--;
	}
	sa->member = m;
	TAILQ_INSERT_TAIL(&m->ikes, sa, next);
	m->n_ikes++;
}

/* A new one, offered to nobody yet. */
static struct ike_sa *
ike_add(struct spinat_binder *b, uint64_t now_ms, struct group *g, const struct ike_key *key,
	const struct spinat_ike_hdr *h)
{
	struct ike_sa *sa = TAILQ_FIRST(&b->free_ikes);

	if (sa == NULL || rte_hash_add_key_data(b->ike_index, key, sa) != 0)
		return NULL;
	TAILQ_REMOVE(&b->free_ikes, sa, next);
	memset(sa, 0, sizeof(*sa));
	sa->key = *key;
	sa->group = g;
	sa->created_ms = sa->last_ms = now_ms;
	sa->major = h->major;
	TAILQ_INSERT_TAIL(&g->offered, sa, next);
	g->n_offered++;
	b->stats.ike_sas++;
	return sa;
}

struct ike_sa *
ipsec_ike_restore(struct spinat_binder *b, uint64_t now_ms, struct member *m, uint64_t init_spi,
	uint8_t major)
{
	const struct ike_key key = ike_key(m->group->key.a, m->group->key.b, init_spi);
	const struct spinat_ike_hdr h = {.init_spi = init_spi, .major = major};
	struct ike_sa *sa = ipsec_ike_find(b, &key);

	if (sa != NULL || m->n_ikes == IKES_MAX)
		return sa;
	sa = ike_add(b, now_ms, m->group, &key, &h);
	if (sa != NULL)
		ike_give(b, sa, m);
	return sa;
}

/* Who began it. IKEv2 numbers the exchanges of each side by themselves (RFC 7296 2.2); IKEv1 draws
 * its numbers at random and tells nobody who began. */
static bool
begun_by(const struct exchange *e, const struct spinat_ike_hdr *h, enum spinat_dir dir)
{
	return h->major != 2 || e->first == (h->response ? !dir : dir);
}

static struct exchange *
exchange_find(struct ike_sa *sa, const struct spinat_ike_hdr *h, enum spinat_dir dir)
{
	struct exchange *e;

	for (e = sa->exchanges; e < sa->exchanges + EXCHANGES_MAX; e++)
		if (e->type == h->exchange && e->message_id == h->message_id && begun_by(e, h, dir))
			return e;
	return NULL;
}

/* A number for its credit that no exchange of the other side has. */
static uint32_t
credit_id(const struct exchange *e, const struct spinat_ike_hdr *h)
{
	return h->major == 2 && e->first == SPINAT_IN ? ~h->message_id : h->message_id;
}

static struct exchange *
exchange_begin(struct ike_sa *sa, const struct spinat_ike_hdr *h, enum spinat_dir dir)
{
	struct exchange *e, *oldest = sa->exchanges;

	for (e = sa->exchanges; e < sa->exchanges + EXCHANGES_MAX; e++)
		if (e->last_ms < oldest->last_ms)
			oldest = e;
	*oldest = (struct exchange){
		.message_id = h->message_id,
		.length = h->length,
		.type = h->exchange,
		/* A response without its request: the request was before our time. */
		.first = h->response ? !dir : dir,
		.last = h->response ? !dir : dir,
		.messages = !h->response,
	};
	return oldest;
}

static bool
is_retransmission(const struct exchange *e, const struct spinat_ike_hdr *h, enum spinat_dir dir)
{
	return dir == e->last || (dir == e->first && h->length == e->length);
}

/* Whether what it negotiates is ESP in UDP, as what its client sends already. An IKE SA on port 500 is
 * of a client that has left NAT-T; one that has begun since may be of one that will. */
static bool
in_udp(const struct ike_sa *sa)
{
	return sa->way == IKE_NATT && sa->member->natt && !sa->begun;
}

static void
exchange_step(struct spinat_binder *b, struct ike_sa *sa, uint64_t now_ms,
	const struct spinat_ike_hdr *h, enum spinat_dir dir)
{
	const struct exchange_rule *rule = exchange_rule(h->exchange);
	struct exchange *e = exchange_find(sa, h, dir);
	bool begun = false;

	if (e == NULL) {
		e = exchange_begin(sa, h, dir);
		begun = !h->response;
	}
	if (!begun && !is_retransmission(e, h, dir)) {
		if (e->messages == 1 && dir == SPINAT_IN)
			ipsec_evidence_round_trip(sa->group, now_ms - e->last_ms);
		e->messages = RTE_MIN(e->messages + 1 + (e->messages == 0), UINT8_MAX);
		e->last = dir;
		if (rule != NULL && e->messages == rule->messages && !in_udp(sa))
			ipsec_credit_open(
				sa->member, now_ms, rule->credit, sa, h->exchange, credit_id(e, h));
	}
	e->last_ms = now_ms;
	if (rule == NULL || !begun || in_udp(sa))
		return;
	ipsec_member_live(b, now_ms, sa->member);
	ipsec_credit_open(sa->member, now_ms, CREDIT_PENDING, sa, h->exchange, credit_id(e, h));
	ipsec_member_watch_in(b, sa->member);
}

static bool
past_phase_1(const struct spinat_ike_hdr *h)
{
	if (h->major == 2)
		return h->exchange != SPINAT_IKE2_SA_INIT &&
		       h->exchange != SPINAT_IKE2_INTERMEDIATE;
	return h->encrypted && h->exchange != SPINAT_IKE1_MAIN &&
	       h->exchange != SPINAT_IKE1_AGGRESSIVE;
}

void
ipsec_ike_track(struct spinat_binder *b, struct ike_sa *sa, uint64_t now_ms,
	const struct spinat_ike_hdr *h, enum spinat_dir dir)
{
	bool first = sa->packets++ == 0;

	sa->last_ms = now_ms;
	sa->exchange = h->exchange;
	if (h->resp_spi != 0 && !sa->established)
		sa->resp_spi = h->resp_spi;
	if (past_phase_1(h)) {
		/* Seen in mid-life: the new SPIs of a rekey, or we were not here before. */
		if (first && h->major == 2 && h->exchange != SPINAT_IKE2_AUTH)
			ipsec_credit_cancel_child(sa->member, now_ms);
		if (!in_udp(sa))
			ipsec_member_live(b, now_ms, sa->member);
	}
	if (past_phase_1(h) || (h->major == 1 && h->encrypted))
		sa->established = true;
	exchange_step(b, sa, now_ms, h, dir);
}

/* One negotiation at a time with a gateway: a second client's waits, its IKE will say it again. It is
 * over when an SPI has come that is most likely its own; whether it is shows later. */
static bool
must_wait(struct spinat_binder *b, uint64_t now_ms, struct ike_sa *sa,
	const struct spinat_ike_hdr *h, enum spinat_dir dir)
{
	const struct group *g = sa->group;
	const struct member *m;
	unsigned int looked = 0;

	if (b->conf->realms[g->key.realm].ambiguity != SPINAT_AMBIGUITY_SERIALISE ||
		exchange_rule(h->exchange) == NULL || exchange_find(sa, h, dir) != NULL)
		return false;
	TAILQ_FOREACH(m, &g->open, of_open)
		if (++looked == SCAN_MAX || (m != sa->member && m->big_claims < m->n_credits &&
						    ipsec_credit_negotiating(m, now_ms)))
			return true;
	return false;
}

/* The IKE SA goes on from another inside address, with both its SPIs, of which the gateway's is known
 * to the two ends only: its client has got another address (RFC 4555, or a new lease). What it had of
 * other IKE SAs stays where it is; with the last one all its SPIs move. */
static void
move_sa(struct spinat_binder *b, uint64_t now_ms, struct ike_sa *sa, struct member *to)
{
	struct member *from = sa->member;

	TAILQ_REMOVE(&from->ikes, sa, next);
	from->n_ikes--;
	ike_make_room(b, to);
	sa->member = to;
	TAILQ_INSERT_TAIL(&to->ikes, sa, next);
	to->n_ikes++;
	if (from->n_ikes == 0) {
		ipsec_member_move(b, now_ms, from, to);
		return;
	}
	ipsec_credit_forget_ike(from, sa);
}

static bool
has_moved(const struct ike_sa *sa, const struct member *to, const struct spinat_ike_hdr *h)
{
	return sa->member != to && sa->established && h->resp_spi != 0 &&
	       h->resp_spi == sa->resp_spi && past_phase_1(h);
}

struct ike_sa *
ipsec_ike_of_sender(
	struct spinat_binder *b, uint64_t now_ms, struct member *m, const struct spinat_ike_hdr *h)
{
	const struct ike_key key = ike_key(m->group->key.a, m->group->key.b, h->init_spi);
	struct ike_sa *sa = ipsec_ike_find(b, &key);

	if (sa == NULL) {
		sa = ike_add(b, now_ms, m->group, &key, h);
		if (sa == NULL) {
			ipsec_member_release(b, m);
			return NULL;
		}
		sa->client_initiated = h->major == 2 ? h->initiator : h->resp_spi == 0;
		sa->begun = !past_phase_1(h);
	}
	if (sa->member == NULL)
		ike_give(b, sa, m);
	if (has_moved(sa, m, h))
		move_sa(b, now_ms, sa, m);
	return sa;
}

void
ipsec_ike_follow(struct spinat_binder *b, uint64_t now_ms, struct ike_sa *sa,
	const struct member *m, const struct spinat_ike_hdr *h, enum ike_way way)
{
	if (sa->member != m) {
		/* Two clients with one cookie: the first keeps the answers. */
		b->stats.collisions++;
		return;
	}
	sa->way = way;
	ipsec_ike_track(b, sa, now_ms, h, SPINAT_OUT);
}

void
spinat_binder_ike_outbound(struct spinat_binder *b, const struct spinat_conf *conf, uint64_t now_ms,
	const struct spinat_ipsec_pkt *p, const struct spinat_ike_hdr *h,
	struct spinat_ipsec_decision *d)
{
	struct member *m = ipsec_member_get(b, now_ms, p);
	struct ike_sa *sa;

	ipsec_called(b, conf, now_ms);
	*d = (struct spinat_ipsec_decision){.outside = p->outside};
	if (m == NULL) {
		d->drop = SPINAT_DROP_CLIENTS_FULL;
		return;
	}
	d->outside = m->group->key.a;
	sa = ipsec_ike_of_sender(b, now_ms, m, h);
	if (sa == NULL) {
		d->drop = SPINAT_DROP_IKE_FULL;
		return;
	}
	if (sa->member == m && must_wait(b, now_ms, sa, h, SPINAT_OUT)) {
		d->drop = SPINAT_DROP_IKE_SERIALISED;
		return;
	}
	d->n = 1;
	ipsec_ike_follow(b, now_ms, sa, m, h, IKE_KEPT);
}

void
ipsec_ike_forget(const struct member *m)
{
	struct ike_sa *sa;

	TAILQ_FOREACH(sa, &m->group->offered, next)
		if (sa->offer == m)
			sa->offer = NULL;
}

/* Has it an IKE SA that keeps port 500? */
static bool
keeps_port(const struct member *m)
{
	const struct ike_sa *sa;

	TAILQ_FOREACH(sa, &m->ikes, next)
		if (sa->way == IKE_KEPT)
			return true;
	return false;
}

/* The only client of a group that keeps port 500, or NULL. Stops at the second one. */
static const struct member *
sole_with_ike(const struct group *g)
{
	const struct member *m, *sole = NULL;

	if (g == NULL || g->n_members > SCAN_MAX)
		return NULL;
	TAILQ_FOREACH(m, &g->members, of_group) {
		if (!keeps_port(m))
			continue;
		if (sole != NULL)
			return NULL;
		sole = m;
	}
	return sole;
}

const struct member *
ipsec_ike_sender(const struct spinat_binder *b, const struct spinat_ipsec_pkt *p, uint64_t init_spi)
{
	struct ike_key key = ike_key(p->outside, p->gateway, init_spi);
	const struct ike_sa *sa;

	/* RFC 792 asks for no more than 8 bytes of the quoted datagram: its UDP header */
	if (init_spi == 0)
		return sole_with_ike(ipsec_group_find(b, p->client.realm, p->outside, p->gateway));
	sa = ipsec_ike_find(b, &key);
	return sa != NULL ? sa->member : NULL;
}

bool
spinat_binder_has_ike(const struct spinat_binder *b, struct spinat_client client,
	rte_be32_t gateway, uint64_t init_spi)
{
	const struct member *m = ipsec_member_find(b, client, gateway);
	const struct ike_sa *sa;

	if (m == NULL)
		return false;
	TAILQ_FOREACH(sa, &m->ikes, next)
		if (sa->key.init_spi == init_spi)
			return sa->way == IKE_KEPT;
	return false;
}

static bool
was_tried(const struct ike_sa *sa, const struct member *m)
{
	unsigned int i;

	for (i = 0; i < RTE_MIN(sa->n_tried, (unsigned int)TRIED_MAX); i++)
		if (sa->tried[i] == m)
			return true;
	return false;
}

/* Has it just closed a CREATE_CHILD_SA that may have rekeyed the IKE SA? */
static bool
may_have_rekeyed(const struct member *m, uint64_t now_ms)
{
	unsigned int i;

	for (i = 0; i < m->n_credits; i++)
		if (m->credits[i].kind == CREDIT_CHILD && m->credits[i].so == NULL &&
			now_ms - m->credits[i].opened_ms < REKEY_MS)
			return true;
	return false;
}

/* Whom to offer an unknown IKE SA next: a client that may have rekeyed its own, then one with live
 * state, among equals the one that was not asked for longest. */
static struct member *
offer_next(const struct group *g, const struct ike_sa *sa, uint64_t now_ms)
{
	struct member *m, *best = NULL;
	unsigned int looked = 0;
	int worth, best_worth = 0;

	TAILQ_FOREACH(m, &g->members, of_group) {
		if (++looked == SCAN_MAX)
			break;
		if (m->natt || was_tried(sa, m))
			continue;
		worth = m->live + 2 * may_have_rekeyed(m, now_ms);
		if (best == NULL || worth > best_worth ||
			(worth == best_worth && m->offered_ms < best->offered_ms)) {
			best = m;
			best_worth = worth;
		}
	}
	return best;
}

static void
offer(struct ike_sa *sa, struct group *g, uint64_t now_ms, struct spinat_ipsec_decision *d)
{
	struct member *m = sa->offer;

	if (m == NULL || now_ms - sa->last_ms >= OFFER_MS) {
		m = offer_next(g, sa, now_ms);
		if (m == NULL) {
			sa->n_tried = 0;
			m = offer_next(g, sa, now_ms);
		}
		if (m == NULL) {
			d->drop = SPINAT_DROP_IKE_UNKNOWN;
			return;
		}
		sa->tried[sa->n_tried++ % TRIED_MAX] = m;
		sa->offer = m;
		sa->last_ms = now_ms;
		m->offered_ms = now_ms;
	}
	sa->packets++;
	d->to[0] = m->host->client;
	d->n = 1;
}

static void
ike_unknown(struct spinat_binder *b, const struct spinat_conf *conf, uint16_t realm,
	struct spinat_ipsec_decision *d)
{
	if (ipsec_passthrough(b, conf, realm, &d->to[0]))
		d->n = 1;
	else
		d->drop = SPINAT_DROP_IKE_UNKNOWN;
}

void
spinat_binder_ike_inbound(struct spinat_binder *b, const struct spinat_conf *conf, uint64_t now_ms,
	const struct spinat_ipsec_pkt *p, const struct spinat_ike_hdr *h,
	struct spinat_ipsec_decision *d)
{
	const struct spinat_outside_addr *o = spinat_conf_outside(conf, p->outside);
	uint16_t realm = o != NULL ? o->realm : 0;
	struct group *g = ipsec_group_find(b, realm, p->outside, p->gateway);
	struct ike_key key = ike_key(p->outside, p->gateway, h->init_spi);
	struct ike_sa *sa;

	ipsec_called(b, conf, now_ms);
	*d = (struct spinat_ipsec_decision){.outside = p->outside};
	if (g == NULL) {
		ike_unknown(b, conf, realm, d);
		return;
	}
	sa = ipsec_ike_find(b, &key);
	if (sa != NULL && sa->member != NULL) {
		if (must_wait(b, now_ms, sa, h, SPINAT_IN)) {
			d->drop = SPINAT_DROP_IKE_SERIALISED;
			return;
		}
		d->to[0] = sa->member->host->client;
		d->n = 1;
		sa->member->last_ms = now_ms;
		ipsec_ike_track(b, sa, now_ms, h, SPINAT_IN);
		return;
	}
	if (sa == NULL && g->n_offered < OFFERS_MAX)
		sa = ike_add(b, now_ms, g, &key, h);
	if (sa == NULL)
		d->drop = SPINAT_DROP_IKE_UNKNOWN;
	else
		offer(sa, g, now_ms, d);
}
