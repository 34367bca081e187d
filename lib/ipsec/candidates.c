/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 the spinat authors
 */
#include <math.h>

#include "binder_internal.h"

/*
 * Who may own an SPI. Those who expect one are candidates from its first packet on, the likeliest of
 * them where there are too many at once; the others take the places of those that evidence has ruled
 * out.
 */

#define WORTH_LIVE -30.0 /* a client with ESP, all of whose inbound SPIs are known */

void
ipsec_contest_add(struct spinat_binder *b, uint64_t now_ms, struct contest *c, struct member *m,
	double prior_db)
{
	struct candidate x = {
		.member = m,
		.prior_db = prior_db,
		.gap_ms = ipsec_credit_gap(m, now_ms, c->fresh),
		.answers_max_db = INFINITY,
	};
	unsigned int i;

	for (i = 0; i < c->n; i++)
		if (c->cand[i].member == m)
			return;
	x.weight = ipsec_odds(prior_db) * ipsec_match_vacancy(&x);
	if (c->n == CANDIDATES_MAX) {
		const struct candidate *last = &c->cand[c->n - 1];
		const bool stays = last->weight >= x.weight;

		c->left_out_db = RTE_MAX(c->left_out_db, stays ? prior_db : last->prior_db);
		if (stays)
			return;
		ipsec_match_remove(c, c->n - 1);
	}
	for (i = c->n; i > 0 && c->cand[i - 1].weight < x.weight; i--)
		c->cand[i] = c->cand[i - 1];
	c->cand[i] = x;
	c->n++;
	m->n_contests++;
	ipsec_member_watch(b, m, now_ms);
}

/* Clients with a credit. */
static void
gather_open(struct spinat_binder *b, uint64_t now_ms, struct contest *c)
{
	struct member *m;
	unsigned int looked = 0;

	TAILQ_FOREACH(m, &c->spi->group->open, of_open) {
		if (++looked > SCAN_MAX)
			return;
		ipsec_contest_add(b, now_ms, c, m, ipsec_credit_score(m, now_ms, c->fresh));
	}
}

/* Clients without a credit. */
static void
gather_live(struct spinat_binder *b, uint64_t now_ms, struct contest *c)
{
	struct member *m;
	unsigned int looked = 0;

	TAILQ_FOREACH(m, &c->spi->group->members, of_group) {
		if (!m->live || ++looked > SCAN_MAX)
			return;
		if (m->n_credits == 0)
			ipsec_contest_add(b, now_ms, c, m, WORTH_LIVE);
	}
}

void
ipsec_contest_gather(struct spinat_binder *b, uint64_t now_ms, struct contest *c)
{
	gather_open(b, now_ms, c);
	if (!c->fresh)
		gather_live(b, now_ms, c);
}

void
ipsec_contest_join(struct spinat_binder *b, uint64_t now_ms, struct member *m)
{
	struct contest *c;

	TAILQ_FOREACH(c, &m->group->contests, next)
		if (!c->fresh && c->spi->member == NULL)
			ipsec_contest_add(b, now_ms, c, m, OVERTAKEN_DB);
}

/* As good as the best of them was. */
void
ipsec_contest_widen(struct spinat_binder *b, uint64_t now_ms, struct contest *c)
{
	const double prior_db = c->left_out_db;
	struct member *m;
	unsigned int looked = 0;

	if (c->left_out_db == -INFINITY || c->n > CANDIDATES_MAX / 2 || c->spi->member != NULL)
		return;
	c->left_out_db = -INFINITY;
	TAILQ_FOREACH(m, &c->spi->group->open, of_open) {
		if (++looked > SCAN_MAX)
			return;
		if (ipsec_credit_oldest(m) <= c->opened_ms)
			ipsec_contest_add(b, now_ms, c, m, prior_db);
	}
}
