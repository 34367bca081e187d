/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 the spinat authors
 */
#include <math.h>
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

#define WORTH_STRAY -25.0 /* nobody's: a stray or spoofed packet */
#define WORTH_NOBODY -45.0 /* the same, after the second packet */
#define FLOOD_MIN 100.0 /* unknown SPIs a second that make a flood, */
#define FLOOD_EACH 10.0 /* and so many more for each client that expects one */
#define CLAIM_MAX 1e6
#define CLAIM_UNPROVEN 20.0 /* by no more than what was expected when it appeared */
#define VACANCY_MIN 1e-4 /* it may have an SA more than IKE has shown */
#define CLAIM_BIG 10.0 /* takes a credit for itself, as good as */

/* Owners that show no reaction at all: one-way flows. */
#define MUTE_SHARE 0.02
#define LLR_MAX_DB 60.0
#define SAME_PACE 0.1 /* two clocks may go together for a while */

double
ipsec_db(double ratio)
{
	return 10.0 * log10(ratio);
}

double
ipsec_odds(double db)
{
	return pow(10.0, db / 10.0);
}

void
ipsec_claim_change(struct member *m, double from, double to)
{
	if (from >= CLAIM_BIG)
		m->big_claims--;
	else
		m->small_claims = RTE_MAX(m->small_claims - from, 0.0);
	m->claims = RTE_MAX(m->claims - from, 0.0);
	if (to >= CLAIM_BIG)
		m->big_claims++;
	else
		m->small_claims += to;
	m->claims += to;
}

double
ipsec_match_vacancy(const struct candidate *x)
{
	const struct member *m = x->member;
	bool big = x->claim >= CLAIM_BIG;
	double credits = RTE_MAX((double)m->n_credits, 1.0);
	double others_big = (double)m->big_claims - (big ? 1.0 : 0.0);

	if (x->paid)
		return 1.0;
	if (credits > others_big) {
		credits -= others_big;
		return credits / (credits + m->small_claims - (big ? 0.0 : x->claim));
	}
	return RTE_MAX(credits / (credits + RTE_MAX(m->claims - x->claim, 0.0)), VACANCY_MIN);
}

/* An owner may be mute: then missing reactions say nothing, and chance has to explain the rest. */
static double
likelihood(double llr_db)
{
	return MUTE_SHARE + (1.0 - MUTE_SHARE) * ipsec_odds(RTE_MIN(llr_db, LLR_MAX_DB));
}

static bool
eligible(const struct contest *c, const struct member *m)
{
	if (m == c->spi->member)
		return true;
	return !m->natt && (m->n_credits > 0 || (!c->fresh && m->live));
}

/* That it is nobody's: likely while many more unknown SPIs come than clients expect. */
static double
nobody(const struct contest *c)
{
	const struct group *g = c->spi->group;
	double flood = 1000.0 * ipsec_rhythm_rate(&g->unknown, g->unknown.last_ms);

	const double packets = (double)c->spi->packets;

	if (packets > 1.0)
		return ipsec_odds(WORTH_NOBODY) / (packets * packets);
	if (flood > FLOOD_EACH * g->n_open + FLOOD_MIN)
		return flood;
	return ipsec_odds(WORTH_STRAY);
}

/* By what the candidate has sent and got since. */
static double
shown(const struct contest *c, const struct candidate *x)
{
	const double odds = likelihood(x->answers_db) * likelihood(x->replies_db) *
			    ipsec_coincidence_odds(&x->answers) *
			    ipsec_coincidence_odds(&x->replies) *
			    ipsec_coincidence_odds(&x->mark_replies);

	return ipsec_rhythm_same(&c->rhythm, &x->member->rhythm) ? RTE_MIN(odds, SAME_PACE) : odds;
}

static void
weigh(struct contest *c)
{
	struct candidate x;
	unsigned int i, j;

	c->sum = nobody(c);
	for (i = 0; i < c->n; i++) {
		x = c->cand[i];
		x.odds = ipsec_odds(x.prior_db + x.handover_db) * shown(c, &x);
		x.weight = x.odds * ipsec_match_vacancy(&x);
		c->sum += x.weight;
		for (j = i; j > 0 && c->cand[j - 1].weight < x.weight; j--)
			c->cand[j] = c->cand[j - 1];
		c->cand[j] = x;
	}
}

void
ipsec_match_rank(struct contest *c)
{
	unsigned int i;
	double claim;

	for (i = c->n; i-- > 0;)
		if (!eligible(c, c->cand[i].member))
			ipsec_match_remove(c, i);
	weigh(c);
	for (i = 0; i < c->n; i++) {
		struct candidate *x = &c->cand[i];
		const double rest = c->sum - x->weight;
		const double max = c->spi->member == x->member || x->agree >= AGREE_MIN
					   ? CLAIM_MAX
					   : CLAIM_UNPROVEN;

		claim = x->odds < max * rest ? x->odds / rest : max;
		if (!x->paid)
			ipsec_claim_change(x->member, x->claim, claim);
		x->claim = claim;
	}
	if (c->n > 1)
		c->had_rival = true;
}

void
ipsec_match_charge(struct contest *c, struct member *m)
{
	unsigned int i;

	for (i = 0; i < c->n; i++) {
		if (c->cand[i].member != m || !c->cand[i].paid)
			continue;
		c->cand[i].paid = false;
		ipsec_claim_change(m, 0.0, c->cand[i].claim);
	}
}

double
ipsec_match_rivals(const struct contest *c, unsigned int from)
{
	double sum = 0.0;

	while (from < c->n)
		sum += c->cand[from++].weight;
	return sum;
}

void
ipsec_match_remove(struct contest *c, unsigned int i)
{
	struct member *m = c->cand[i].member;

	if (!c->cand[i].paid)
		ipsec_claim_change(m, c->cand[i].claim, 0.0);
	m->n_contests--;
	c->n--;
	memmove(&c->cand[i], &c->cand[i + 1], (c->n - i) * sizeof(c->cand[0]));
}
