/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 the spinat authors
 */
#include <math.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <rte_jhash.h>

#include "binder_internal.h"

/*
 * An inbound SPI from its first packet until its owner is beyond doubt. While several clients may
 * own it each of them gets a copy; it counts as settled when one leads by far, and is watched from
 * then on, so that a wrong settlement shows in what the others send, until it is confirmed: then
 * the credit is spent and the flow table takes over.
 */

#define FEW 16 /* candidates: copies cost little, and leave out less */
#define MISS 1e-3 /* share of the belief that may go without a copy, */
#define MISS_FEW 1e-5 /* and where candidates are few */
#define SOLE 1e-1 /* the belief in "nobody" that the only candidate may leave */
#define LEAD 1e-3 /* the belief that a settlement may leave to all the others together */
#define SURE 1e-5 /* and with this little it is confirmed soon */
#define REOPEN 1e-1 /* a settled one with this much for the others is open again */
#define CLEAR 9e-2 /* where there are no copies, the best with this lead gets the packet */
#define GUARD_MS 1000 /* so long a settled one goes to its rivals as well */
#define WATCH_MIN_MS 5000 /* two that began in step look alike for a while */
#define WATCH_MS 10000 /* else it is confirmed after so long without contradiction */
#define WATCH_SAME_MS 60000 /* or this, while its numbers go back */

#define ALONE_DB 6.0 /* who alone gets the packets can not win much by answers to them */
#define SHOWN_DB 15.0 /* and so much they must say, */
#define SILENT_DB -17.0 /* whatever speaks against it: one in fifty reacts to nothing */
#define HANDOVER_PROOF_DB 10.0
#define OTHER_GAP 8 /* packets that may be missing in the second series */

struct contest *
ipsec_contest_new(struct spinat_binder *b, uint64_t now_ms, struct spi *s)
{
	struct contest *c = TAILQ_FIRST(&b->free_contests);

	if (c == NULL)
		return NULL;
	TAILQ_REMOVE(&b->free_contests, c, next);
	/* the candidates, nearly all of its 13 kB, are written as they come */
	memset(c, 0, offsetof(struct contest, cand));
	c->spi = s;
	c->fresh = s->fresh;
	c->opened_ms = now_ms;
	c->left_out_db = -INFINITY;
	TAILQ_INIT(&c->held);
	s->contest = c;
	TAILQ_INSERT_TAIL(&s->group->contests, c, next);
	s->group->n_contests++;
	return c;
}

void
ipsec_contest_free(struct spinat_binder *b, struct contest *c)
{
	struct group *g = c->spi->group;

	g->full_ms = 0;
	g->n_inquiries -= c->inquiry;
	ipsec_hold_forget(b, c);
	while (c->n > 0)
		ipsec_match_remove(c, c->n - 1);
	c->spi->contest = NULL;
	TAILQ_REMOVE(&g->contests, c, next);
	g->n_contests--;
	TAILQ_INSERT_HEAD(&b->free_contests, c, next);
}

void
ipsec_contest_forget(struct spinat_binder *b, struct member *m)
{
	struct contest *c, *next;
	unsigned int i;

	for (c = TAILQ_FIRST(&m->group->contests); c != NULL && m->n_contests > 0; c = next) {
		next = TAILQ_NEXT(c, next);
		if (c->spi->member == m) {
			ipsec_contest_free(b, c); /* what is settled stays with it */
			continue;
		}
		for (i = 0; i < c->n; i++) {
			if (c->cand[i].member == m) {
				ipsec_match_remove(c, i);
				break;
			}
		}
	}
}

/* Beyond doubt: the flow table may have it. */
static void
confirm(struct spinat_binder *b, uint64_t now_ms, struct contest *c)
{
	struct spi *s = c->spi;
	bool inquiry = c->inquiry;

	if (!inquiry) {
		ipsec_evidence_delay(s->group, c->cand[0].gap_ms);
		s->group->ttl = s->ttl;
	}
	if (s->second == NULL)
		s->seq_odd = 0;
	ipsec_contest_free(b, c);
	if (!inquiry)
		ipsec_credit_spend(s->member, now_ms, s);
	if (s->second != NULL)
		ipsec_credit_spend(s->second, now_ms, s);
}

static void
settle(struct spinat_binder *b, uint64_t now_ms, struct contest *c, const char *why)
{
	struct spi *s = c->spi;

	if (!ipsec_spi_own(b, now_ms, s, c->cand[0].member))
		return;
	s->state = SPINAT_BINDING_SETTLED;
	s->why = why;
	c->settled_ms = now_ms;
	c->cand[0].answers_max_db = c->cand[0].answers_db + ALONE_DB;
	b->stats.settled++;
}

static void
reopen(struct spinat_binder *b, uint64_t now_ms, struct contest *c)
{
	struct member *owner = c->spi->member;
	struct spi *so = c->spi->peer;
	unsigned int i;

	ipsec_spi_own(b, now_ms, c->spi, NULL);
	for (i = 0; i < c->n; i++)
		c->cand[i].answers_max_db = INFINITY;
	if (c->inquiry) {
		ipsec_credit_return(owner, now_ms, so);
		ipsec_match_charge(c, owner);
		c->inquiry = false;
		c->spi->group->n_inquiries--;
	}
	c->had_rival = true;
	c->spi->state = SPINAT_BINDING_FANOUT;
	c->spi->why = "what others send contradicts its owner";
	b->stats.reopened++;
}

static double
coincidence_db(const struct coincidence *x)
{
	return ipsec_db(ipsec_coincidence_odds(x));
}

/* What the best candidate has shown itself: that its rivals are silent may have other reasons. So has
 * its own silence, as it may only send or only receive, but that is not to be believed at once. */
static double
shown_db(const struct candidate *x)
{
	return RTE_MAX(x->answers_db, SILENT_DB) + coincidence_db(&x->answers) +
	       RTE_MAX(x->replies_db, SILENT_DB) + coincidence_db(&x->replies) +
	       RTE_MAX(coincidence_db(&x->mark_replies), 0.0) + x->handover_db;
}

/* One event may be chance: the lead comes from several, from a stream that moved here, or from
 * what other SPIs claim of the rest. */
static bool
is_proven(const struct contest *c)
{
	double others = 0.0;
	unsigned int i;

	if (c->spi->seq_odd > 0 && c->spi->seq_odd < ODD_MIN)
		return false; /* perhaps two series */
	for (i = 1; i < c->n; i++)
		others += c->cand[i].odds;
	return (c->cand[0].agree >= AGREE_MIN && shown_db(&c->cand[0]) >= SHOWN_DB) ||
	       c->cand[0].handover_db >= HANDOVER_PROOF_DB || others > LEAD * c->cand[0].odds;
}

/* Two series of numbers, and two candidates that lead together. */
static bool
are_two(const struct contest *c)
{
	return c->spi->seq_odd >= ODD_MIN && c->n >= 2 &&
	       ipsec_match_rivals(c, 2) <= LEAD * c->cand[0].weight;
}

/* Nobody else expects an SPI: it opened this pair itself, or a second packet has come. */
static bool
sole_candidate(const struct spinat_binder *b, uint64_t now_ms, const struct contest *c)
{
	if (c->n != 1 || c->cand[0].weight * SOLE < c->sum - c->cand[0].weight)
		return false;
	if (!c->fresh && ipsec_is_starting(b, now_ms))
		return false; /* others will turn up */
	return c->cand[0].gap_ms != UINT64_MAX || c->spi->packets > 1;
}

/* The SPI carries two series of sequence numbers: with the owner the next best has it too. */
static void
share(struct contest *c)
{
	struct member *owner = c->spi->member;
	unsigned int i;

	for (i = 0; i < c->n; i++) {
		if (c->cand[i].member == owner || c->cand[i].member->n_credits == 0)
			continue;
		ipsec_spi_share(c->spi, c->cand[i].member);
		return;
	}
}

/* No rival ever, and the client opened the pair itself; or none that matters, and it flows. */
static bool
beyond_doubt(const struct spinat_binder *b, const struct contest *c, uint64_t now_ms)
{
	if (c->spi->second != NULL)
		return true;
	if (!c->had_rival)
		return sole_candidate(b, now_ms, c);
	if (c->inquiry)
		return now_ms - c->settled_ms >= WATCH_MS;
	if (c->spi->packets <= 1 || now_ms - c->settled_ms < WATCH_MIN_MS)
		return false;
	return ipsec_match_rivals(c, 1) <= SURE * c->cand[0].weight ||
	       now_ms - c->settled_ms >= WATCH_MS;
}

void
ipsec_contest_review(struct spinat_binder *b, uint64_t now_ms, struct contest *c)
{
	const struct member *owner = c->spi->member;
	double best, rivals;

	ipsec_contest_widen(b, now_ms, c);
	if (c->fresh)
		ipsec_evidence_handover(c, now_ms);
	ipsec_match_rank(c);
	if (c->n == 0)
		return;
	best = c->cand[0].weight;
	rivals = ipsec_match_rivals(c, 1);
	if (owner != NULL && c->spi->second == NULL &&
		(c->cand[0].member != owner || rivals > REOPEN * best)) {
		reopen(b, now_ms, c);
		owner = NULL;
	}
	if (owner == NULL && sole_candidate(b, now_ms, c))
		settle(b, now_ms, c,
			c->had_rival ? "the SPIs of the other candidates are known"
				     : "the only client that expects an SPI");
	else if (owner == NULL && rivals <= LEAD * best && is_proven(c))
		settle(b, now_ms, c, "its traffic fits the SPI's");
	else if (owner == NULL && are_two(c))
		settle(b, now_ms, c, "two clients chose the same SPI");
	ipsec_hold_review(b, now_ms, c);
	if (c->spi->member != NULL && c->spi->second == NULL && c->spi->seq_odd >= ODD_MIN)
		share(c);
	if (c->spi->member != NULL && beyond_doubt(b, c, now_ms))
		confirm(b, now_ms, c);
}

static void
give(struct spinat_ipsec_decision *d, struct contest *c, unsigned int i, uint64_t now_ms)
{
	d->to[d->n++] = c->cand[i].member->host->client;
	c->cand[i].got |= c->holding;
	ipsec_evidence_copy(&c->cand[i], now_ms, c->onset);
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
	if (state == SPINAT_BINDING_AMBIGUOUS)
		ipsec_contest_tell(b, s->contest);
}

static void
deliver_alone(struct spinat_binder *b, struct contest *c, uint64_t now_ms,
	struct spinat_ipsec_decision *d)
{
	if (c->spi->member == NULL)
		set_state(b, c->spi, SPINAT_BINDING_PROVISIONAL,
			c->n == 1 ? "the only client that expects an SPI" : "a clear lead");
	give(d, c, 0, now_ms);
}

unsigned int
ipsec_contest_receivers(const struct contest *c, double miss)
{
	double rest = ipsec_match_rivals(c, 1), all = c->cand[0].weight + rest;
	unsigned int n = RTE_MIN(c->n, 1u);

	while (n < c->n && rest > miss * all)
		rest -= c->cand[n++].weight;
	return n;
}

/* Copies to the best; where there are more than copies, the second half of them goes round. */
static void
deliver_copies(struct spinat_binder *b, struct contest *c, uint64_t now_ms, unsigned int near,
	struct spinat_ipsec_decision *d)
{
	const unsigned int n = RTE_MIN(near, b->conf->limits.copies + 1);
	const unsigned int fixed = near == n ? n : n / 2;
	unsigned int i;

	if (!ipsec_take_copies(b, c, now_ms, n - 1)) {
		if (c->spi->member != NULL) {
			give(d, c, 0, now_ms);
			return;
		}
		set_state(b, c->spi, SPINAT_BINDING_AMBIGUOUS, "no evidence for any candidate");
		give(d, c, c->rotate++ % near, now_ms);
		return;
	}
	if (c->spi->member == NULL)
		set_state(b, c->spi, SPINAT_BINDING_FANOUT, "several candidates");
	for (i = 0; i < n; i++)
		give(d, c, i < fixed ? i : fixed + c->rotate++ % (near - fixed), now_ms);
}

/* Mode "drop": nobody may have it who may be the wrong one. */
static void
deliver_nothing(struct spinat_binder *b, struct contest *c, struct spinat_ipsec_decision *d)
{
	c->spi->state = SPINAT_BINDING_AMBIGUOUS;
	c->spi->why = "several candidates, and no copies";
	if (d->hold != 0)
		return; /* its owner may show before its time is over */
	ipsec_contest_tell(b, c);
	d->drop = SPINAT_DROP_SPI_AMBIGUOUS;
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
	if (c->spi->member != NULL)
		confirm(b, now_ms, c);
}

/* Settled a short while ago: who may own it all the same gets a copy still. */
static bool
is_guarded(const struct contest *c, uint64_t now_ms)
{
	return c->spi->member == NULL || now_ms - c->settled_ms < GUARD_MS;
}

double
ipsec_contest_miss(const struct contest *c)
{
	return c->n <= FEW && c->spi->member == NULL ? MISS_FEW : MISS;
}

bool
ipsec_contest_clear(const struct contest *c)
{
	return c->spi->member != NULL ||
	       (c->n > 0 && ipsec_match_rivals(c, 1) <= CLEAR * c->cand[0].weight);
}

/* How many of the best get the packet now; where it can be kept, others may get it later. */
static unsigned int
receivers(struct spinat_binder *b, uint64_t now_ms, struct contest *c, enum spinat_ambiguity mode,
	const struct spinat_ipsec_pkt *p, struct spinat_ipsec_decision *d)
{
	const bool guarded = is_guarded(c, now_ms), waits = guarded && p->may_wait;
	unsigned int all = guarded ? ipsec_contest_receivers(c, ipsec_contest_miss(c)) : 1, n = all;

	if (mode == SPINAT_AMBIGUITY_FANOUT && waits)
		n = ipsec_contest_receivers(c, MISS_NOW);
	else if (mode != SPINAT_AMBIGUITY_FANOUT)
		n = mode != SPINAT_AMBIGUITY_DROP || ipsec_contest_clear(c) ? 1 : 0;
	if (waits && n < all && mode != SPINAT_AMBIGUITY_NEWEST)
		d->hold = ipsec_hold(b, now_ms, c, n > 0);
	return n;
}

/* May it be of another SA with the same SPI? What is in front of all others may continue either. */
static bool
may_be_other(struct spi *s, uint32_t seq)
{
	if (s->seq_odd == 0)
		return false;
	if (s->seq_odd >= ODD_MIN || seq != s->seq_last)
		return true;
	if (seq - s->seq_other > OTHER_GAP || s->seq_ahead == 0)
		return false;
	s->seq_other = seq;
	s->seq_ahead -= s->seq_odd == 1;
	return true;
}

static void
deliver(struct spinat_binder *b, const struct spinat_conf *conf, uint64_t now_ms, struct contest *c,
	const struct spinat_ipsec_pkt *p, struct spinat_ipsec_decision *d)
{
	enum spinat_ambiguity mode = conf->realms[c->spi->group->key.realm].ambiguity;
	unsigned int near = receivers(b, now_ms, c, mode, p, d);

	if (near == 1 && may_be_other(c->spi, p->seq))
		near = RTE_MIN(c->n, 2u);

	if (mode == SPINAT_AMBIGUITY_FANOUT && near > 1)
		deliver_copies(b, c, now_ms, near, d);
	else if (mode == SPINAT_AMBIGUITY_NEWEST && c->spi->member == NULL)
		deliver_newest(b, c, now_ms, d);
	else if (near == 0)
		deliver_nothing(b, c, d);
	else
		deliver_alone(b, c, now_ms, d);
}

/* What was learned about this one tells something about the others. */
static void
review_next(struct spinat_binder *b, uint64_t now_ms, struct group *g)
{
	struct contest *c = TAILQ_FIRST(&g->contests);

	if (c == NULL || TAILQ_NEXT(c, next) == NULL)
		return;
	TAILQ_REMOVE(&g->contests, c, next);
	TAILQ_INSERT_TAIL(&g->contests, c, next);
	if (c->n > 0)
		ipsec_contest_review(b, now_ms, c);
}

void
ipsec_contest_inbound(struct spinat_binder *b, const struct spinat_conf *conf, uint64_t now_ms,
	struct spi *s, const struct spinat_ipsec_pkt *p, struct spinat_ipsec_decision *d)
{
	struct contest *c = s->contest;

	if (c->inquiry && s->seq_odd > 0 && (int32_t)(p->seq - s->seq_last) <= 0 &&
		now_ms - c->opened_ms < WATCH_SAME_MS)
		c->settled_ms = now_ms; /* two series, perhaps, that have not met yet */
	ipsec_evidence_inbound(c, now_ms, p->len);
	ipsec_spi_seen(s, now_ms, p);
	ipsec_contest_review(b, now_ms, c);
	review_next(b, now_ms, s->group);
	if (s->contest == NULL) {
		ipsec_spi_to_owners(s, d);
		return;
	}
	if (c->n == 0) {
		d->drop = SPINAT_DROP_SPI_UNKNOWN;
		ipsec_spi_free(b, s);
		return;
	}
	c->holding = 0;
	deliver(b, conf, now_ms, c, p, d);
}

void
ipsec_contest_open(struct spinat_binder *b, const struct spinat_conf *conf, uint64_t now_ms,
	struct group *g, const struct spinat_ipsec_pkt *p, struct spinat_ipsec_decision *d)
{
	struct contest *c;
	struct spi *s;

	ipsec_rhythm_step(&g->unknown, now_ms, 1.0);
	if (now_ms < g->squelch_ms || !ipsec_contest_room(b, g, now_ms, p)) {
		if (ipsec_expected(b, now_ms, g, p, d))
			return;
		d->drop = SPINAT_DROP_SPI_SQUELCHED;
		b->stats.squelched++;
		return;
	}
	s = ipsec_spi_add_in(b, now_ms, g, p);
	if (s == NULL) {
		d->drop = b->full;
		return;
	}
	c = ipsec_contest_new(b, now_ms, s);
	ipsec_contest_gather(b, now_ms, c);
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
