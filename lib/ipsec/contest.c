/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 the spinat authors
 */
#include <string.h>

#include "binder_internal.h"

/*
 * Who owns what is one question for all unsettled SPIs of a group: each has one owner, and each
 * client owns as many as it has credits. The marginal odds of such a matching are found by belief
 * propagation, one local step with every packet: an SPI claims a client by the odds that it is the
 * owner rather than all the others; a client that others claim weighs less. So evidence about one
 * SPI decides others by elimination, and a second SPI that fits only a client which has been given
 * a first one reopens that.
 */

#define LEAD 100.0 /* odds to the second best from which the best gets it alone */
#define SPAN 1000.0 /* candidates this far behind the best get no copy */
#define SETTLE 1000.0 /* and with these odds, confirmed, it is settled */
#define AGREE_MIN 2 /* events that must agree before it is */

#define WORTH_LIVE -30 /* a client with ESP, all of whose inbound SPIs are known */
#define WORTH_STRAY -25 /* nobody's: a stray or spoofed packet */
#define WORTH_NOBODY -45 /* the same, after the second packet */
#define CLAIM_MAX 1e6

#define CONTESTS_MAX 256 /* of a group */
#define CONTESTS_SPARE 16 /* beyond two for each client that expects an SPI */
#define CONTEST_WAIT_MS 1000 /* one packet, and no other in this time: may be replaced */

#define COPIES_GROUP 2000 /* copies of a group in a second */
#define COPIES_SPI 1024 /* copies of an SPI before it counts as ambiguous */

static void
candidate_remove(struct contest *c, unsigned int i)
{
	struct member *m = c->cand[i].member;

	m->occupancy -= c->cand[i].claim;
	m->n_contests--;
	c->n--;
	memmove(&c->cand[i], &c->cand[i + 1], (c->n - i) * sizeof(c->cand[0]));
}

void
ipsec_contest_add(
	struct spinat_binder *b, uint64_t now_ms, struct contest *c, struct member *m, int prior_db)
{
	unsigned int i;

	for (i = 0; i < c->n; i++)
		if (c->cand[i].member == m)
			return;
	if (c->n == CANDIDATES_MAX) {
		/* Best first, but for what was added since the last ranking: good enough. */
		if (c->cand[c->n - 1].prior_db >= prior_db)
			return;
		candidate_remove(c, c->n - 1);
	}
	for (i = c->n; i > 0 && c->cand[i - 1].prior_db < prior_db; i--)
		c->cand[i] = c->cand[i - 1];
	c->cand[i] = (struct candidate){
		.member = m,
		.prior_db = prior_db,
		.gap_ms = ipsec_credit_gap(m, now_ms, c->fresh),
	};
	c->n++;
	m->n_contests++;
	ipsec_member_watch(b, m, now_ms);
}

/* Who can own a fresh SPI: clients with a credit. An old one: any live client. */
static void
gather(struct spinat_binder *b, uint64_t now_ms, struct contest *c)
{
	struct group *g = c->spi->group;
	struct member *m;
	unsigned int looked = 0;

	TAILQ_FOREACH(m, &g->open, of_open) {
		ipsec_contest_add(b, now_ms, c, m, ipsec_credit_score(m, now_ms, c->fresh));
		if (++looked == SCAN_MAX)
			return;
	}
	if (c->fresh)
		return;
	TAILQ_FOREACH(m, &g->members, of_group) {
		if (!m->live || ++looked == SCAN_MAX)
			return;
		if (m->n_credits == 0)
			ipsec_contest_add(b, now_ms, c, m, WORTH_LIVE);
	}
}

void
ipsec_contest_free(struct spinat_binder *b, struct contest *c)
{
	struct group *g = c->spi->group;

	while (c->n > 0)
		candidate_remove(c, c->n - 1);
	c->spi->contest = NULL;
	TAILQ_REMOVE(&g->contests, c, next);
	g->n_contests--;
	TAILQ_INSERT_HEAD(&b->free_contests, c, next);
}

void
ipsec_contest_forget(struct member *m)
{
	struct contest *c, *next;
	unsigned int i;

	for (c = TAILQ_FIRST(&m->group->contests); c != NULL && m->n_contests > 0; c = next) {
		next = TAILQ_NEXT(c, next);
		for (i = 0; i < c->n; i++) {
			if (c->cand[i].member == m) {
				candidate_remove(c, i);
				break;
			}
		}
	}
}

static void
settle(struct spinat_binder *b, uint64_t now_ms, struct contest *c, const char *why)
{
	struct spi *s = c->spi;
	struct member *m = c->cand[0].member;

	if (!ipsec_spi_own(b, now_ms, s, m))
		return;
	s->state = SPINAT_BINDING_SETTLED;
	s->why = why;
	b->stats.settled++;
	ipsec_evidence_delay(s->group, c->cand[0].gap_ms);
	ipsec_credit_spend(m, now_ms, s);
	ipsec_contest_free(b, c);
}

static bool
eligible(const struct contest *c, const struct member *m)
{
	return !m->natt && (m->n_credits > 0 || (!c->fresh && m->live));
}

/* 10 ^ (db / 10) */
static double
odds(int db)
{
	static const double tenth[] = {
		1.0, 1.2589, 1.5849, 1.9953, 2.5119, 3.1623, 3.9811, 5.0119, 6.3096, 7.9433};
	double x;

	for (x = 1.0; db < 0; db += 10)
		x /= 10;
	for (; db >= 10; db -= 10)
		x *= 10;
	return x * tenth[db];
}

/* What is left of a client's credits beside what other SPIs claim of them. */
static double
vacancy(const struct candidate *x)
{
	double credits = RTE_MAX(x->member->n_credits, 1);
	double others = RTE_MAX(x->member->occupancy - x->claim, 0.0);

	return credits / (credits + others);
}

static double
weigh(struct contest *c)
{
	double sum = odds(c->spi->packets > 1 ? WORTH_NOBODY : WORTH_STRAY);
	struct candidate x;
	unsigned int i, j;

	for (i = 0; i < c->n; i++) {
		x = c->cand[i];
		x.weight = odds(x.prior_db + x.evidence_db) * vacancy(&x);
		sum += x.weight;
		for (j = i; j > 0 && c->cand[j - 1].weight < x.weight; j--)
			c->cand[j] = c->cand[j - 1];
		c->cand[j] = x;
	}
	return sum;
}

static void
rank(struct contest *c)
{
	double sum, claim;
	unsigned int i;

	for (i = c->n; i-- > 0;)
		if (!eligible(c, c->cand[i].member))
			candidate_remove(c, i);
	sum = weigh(c);
	for (i = 0; i < c->n; i++) {
		struct candidate *x = &c->cand[i];

		claim = odds(x->prior_db + x->evidence_db) / (sum - x->weight);
		claim = RTE_MIN(claim, CLAIM_MAX);
		x->member->occupancy += claim - x->claim;
		x->claim = claim;
	}
	if (c->n > 1)
		c->had_rival = true;
}

static bool
leads_by(const struct contest *c, double margin)
{
	return c->n == 1 || c->cand[0].weight >= margin * c->cand[1].weight;
}

void
ipsec_contest_review(struct spinat_binder *b, uint64_t now_ms, struct contest *c)
{
	rank(c);
	if (c->n == 0)
		return;
	/* one candidate, and either it opened this pair itself or a second packet has come */
	if (c->n == 1 && (c->cand[0].gap_ms != UINT64_MAX || c->spi->packets > 1))
		settle(b, now_ms, c,
			c->had_rival ? "the SPIs of the other candidates are known"
				     : "the only client that expects an SPI");
	else if (c->cand[0].agree >= AGREE_MIN && leads_by(c, SETTLE))
		settle(b, now_ms, c, "its traffic fits the SPI's");
}

static bool
take_copies(
	struct spinat_binder *b, struct group *g, struct spi *s, uint64_t now_ms, unsigned int n)
{
	if (now_ms - g->copies_ms >= 1000) {
		g->copies_ms = now_ms;
		g->copies_left = COPIES_GROUP;
	}
	if (s->copies + n > COPIES_SPI || g->copies_left < n)
		return false;
	g->copies_left -= n;
	s->copies += n;
	b->stats.copies += n;
	return true;
}

static void
give(struct spinat_ipsec_decision *d, struct candidate *c, uint64_t now_ms)
{
	d->to[d->n++] = c->member->host->client;
	ipsec_evidence_copy(c, now_ms);
}

static void
set_state(struct spinat_binder *b, struct spi *s, enum spinat_binding_state state, const char *why)
{
	if (s->state == state)
		return;
	b->stats.provisional += state == SPINAT_BINDING_PROVISIONAL;
	b->stats.fanned_out += state == SPINAT_BINDING_FANOUT;
	s->state = state;
	s->why = why;
}

static void
deliver_alone(struct spinat_binder *b, struct contest *c, uint64_t now_ms,
	struct spinat_ipsec_decision *d)
{
	set_state(b, c->spi, SPINAT_BINDING_PROVISIONAL,
		c->n == 1 ? "the only client that expects an SPI" : "a clear lead");
	give(d, &c->cand[0], now_ms);
}

/* Copies to the best; where there are more than copies, the second half of them goes round. */
static void
deliver_copies(struct spinat_binder *b, struct contest *c, uint64_t now_ms,
	struct spinat_ipsec_decision *d)
{
	unsigned int i, near = 1, n;

	while (near < c->n && c->cand[near].weight * SPAN >= c->cand[0].weight)
		near++;
	n = RTE_MIN(near, (unsigned int)SPINAT_FANOUT_MAX);
	if (!take_copies(b, c->spi->group, c->spi, now_ms, n - 1)) {
		set_state(b, c->spi, SPINAT_BINDING_AMBIGUOUS, "no evidence for any candidate");
		give(d, &c->cand[c->rotate++ % near], now_ms);
		return;
	}
	set_state(b, c->spi, SPINAT_BINDING_FANOUT, "several candidates");
	for (i = 0; i < n; i++)
		if (i < SPINAT_FANOUT_MAX / 2 || near == n)
			give(d, &c->cand[i], now_ms);
		else
			give(d,
				&c->cand[SPINAT_FANOUT_MAX / 2 +
					 c->rotate++ % (near - SPINAT_FANOUT_MAX / 2)],
				now_ms);
}

/* The plain rule of mode "newest": whoever came last has it. */
static void
deliver_newest(struct spinat_binder *b, struct contest *c, uint64_t now_ms,
	struct spinat_ipsec_decision *d)
{
	unsigned int i, newest = 0;
	struct candidate x;

	for (i = 1; i < c->n; i++)
		if (ipsec_credit_newest(c->cand[i].member) >
			ipsec_credit_newest(c->cand[newest].member))
			newest = i;
	x = c->cand[newest];
	c->cand[newest] = c->cand[0];
	c->cand[0] = x;
	d->to[d->n++] = x.member->host->client;
	settle(b, now_ms, c, "the newest client that expects an SPI");
}

static void
deliver(struct spinat_binder *b, const struct spinat_conf *conf, uint64_t now_ms, struct contest *c,
	struct spinat_ipsec_decision *d)
{
	enum spinat_ambiguity mode = conf->realms[c->spi->group->key.realm].ambiguity;

	if (mode == SPINAT_AMBIGUITY_NEWEST)
		deliver_newest(b, c, now_ms, d);
	else if (leads_by(c, LEAD) || mode == SPINAT_AMBIGUITY_SERIALISE)
		deliver_alone(b, c, now_ms, d);
	else if (mode == SPINAT_AMBIGUITY_FANOUT)
		deliver_copies(b, c, now_ms, d);
	else
		d->drop = SPINAT_DROP_SPI_AMBIGUOUS;
}

void
ipsec_contest_inbound(struct spinat_binder *b, const struct spinat_conf *conf, uint64_t now_ms,
	struct spi *s, const struct spinat_ipsec_pkt *p, struct spinat_ipsec_decision *d)
{
	struct contest *c = s->contest;

	ipsec_evidence_inbound(c, now_ms);
	ipsec_spi_seen(s, now_ms, p);
	ipsec_contest_review(b, now_ms, c);
	if (s->contest == NULL) {
		d->to[d->n++] = s->member->host->client;
		return;
	}
	if (c->n == 0) {
		d->drop = SPINAT_DROP_SPI_UNKNOWN;
		ipsec_spi_free(b, s);
		return;
	}
	deliver(b, conf, now_ms, c, d);
}

/* Room for one more in the group: what was seen once and not again goes, at once where it came in
 * mid-life and the new one is fresh, which a sender of random packets can not feign. */
static bool
contest_room(struct spinat_binder *b, struct group *g, uint64_t now_ms, bool fresh)
{
	uint32_t max = RTE_MIN(CONTESTS_SPARE + 2 * g->n_open, (uint32_t)CONTESTS_MAX);
	struct contest *c;

	if (g->n_contests < max && !TAILQ_EMPTY(&b->free_contests))
		return true;
	TAILQ_FOREACH(c, &g->contests, next) {
		if (c->spi->packets > 1)
			continue;
		if (now_ms - c->spi->created_ms >= CONTEST_WAIT_MS || (fresh && !c->fresh)) {
			ipsec_spi_free(b, c->spi);
			return true;
		}
	}
	return false;
}

void
ipsec_contest_open(struct spinat_binder *b, const struct spinat_conf *conf, uint64_t now_ms,
	struct group *g, const struct spinat_ipsec_pkt *p, struct spinat_ipsec_decision *d)
{
	struct contest *c;
	struct spi *s;

	if (now_ms < g->squelch_ms || !contest_room(b, g, now_ms, p->seq <= SEQ_FRESH)) {
		d->drop = SPINAT_DROP_SPI_SQUELCHED;
		b->stats.squelched++;
		return;
	}
	s = ipsec_spi_add_in(b, now_ms, g, p);
	if (s == NULL) {
		d->drop = SPINAT_DROP_BINDINGS_FULL;
		return;
	}
	c = TAILQ_FIRST(&b->free_contests);
	TAILQ_REMOVE(&b->free_contests, c, next);
	*c = (struct contest){.spi = s, .fresh = p->seq <= SEQ_FRESH};
	s->contest = c;
	TAILQ_INSERT_TAIL(&g->contests, c, next);
	g->n_contests++;
	gather(b, now_ms, c);
	if (c->n == 0) {
		ipsec_spi_free(b, s);
		if (ipsec_passthrough(b, conf, g->key.realm, &d->to[0])) {
			d->n = 1;
			return;
		}
		g->squelch_ms = now_ms + SQUELCH_MS;
		d->drop = SPINAT_DROP_SPI_UNKNOWN;
		return;
	}
	ipsec_contest_inbound(b, conf, now_ms, s, p, d);
}
