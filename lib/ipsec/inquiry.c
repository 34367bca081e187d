/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 the spinat authors
 */
#include "binder_internal.h"

/*
 * A client that opened a pair itself, sends on it and hears nothing: perhaps its inbound SPI was
 * given to another, or another has the same. What has been confirmed in the group is put in doubt
 * for a while: the owners keep all their packets, but how they fit what the unheard client sends
 * is weighed again. Each time that nothing comes of it the next inquiry waits twice as long.
 */

#define UNHEARD_MS 1500 /* a pair without its inbound SPI after so long is unheard */
#define RECENT_MS 3000 /* bindings used since then are looked into */
#define INQUIRY_MAX 64 /* bindings looked into at once */
#define WAIT_MS 2000 /* from one inquiry to the next */
#define WAIT_DOUBLINGS 5

#define EXPECTED_DB -20.0 /* an SPI of a client that has just negotiated, or sent */

#define OWNER_DB 25.0 /* what stood so far weighs a lot, */
#define UNHEARD_DB -15.0 /* but three answers that fit better outweigh it */

/* Has it sent for a while on a pair whose inbound SPI has not come, and is none in sight? */
static bool
is_unheard(const struct spinat_binder *b, const struct member *m, uint64_t now_ms)
{
	const struct credit *c;

	if (m->claims >= 1.0 || now_ms < m->inquiry_ms)
		return false;
	for (c = m->credits; c < m->credits + m->n_credits; c++)
		if (c->so != NULL && c->so->packets > 1 &&
			now_ms - c->so->created_ms >= UNHEARD_MS &&
			ipsec_spi_last_used(b, c->so) - c->so->created_ms >= UNHEARD_MS / 2)
			return true;
	return false;
}

/* NULL: there is no room. */
static struct contest *
look_into(struct spinat_binder *b, uint64_t now_ms, struct spi *s)
{
	struct contest *c = ipsec_contest_new(b, now_ms, s);

	if (c == NULL)
		return NULL;
	c->inquiry = true;
	s->group->n_inquiries++;
	c->settled_ms = now_ms;
	ipsec_spi_uninstall(b, s);
	s->seq_odd = 0;
	ipsec_contest_add(b, now_ms, c, s->member, OWNER_DB);
	c->cand[0].paid = true;
	return c;
}

static unsigned int
look_into_those_of(
	struct spinat_binder *b, uint64_t now_ms, struct member *owner, struct member *unheard)
{
	unsigned int n = 0;
	struct contest *c;
	struct spi *s;

	TAILQ_FOREACH(s, &owner->in, next) {
		if (s->contest != NULL || s->second != NULL || s->ordered ||
			now_ms - RTE_MIN(ipsec_spi_last_used(b, s), now_ms) > RECENT_MS)
			continue;
		c = look_into(b, now_ms, s);
		if (c == NULL)
			break;
		ipsec_contest_add(b, now_ms, c, unheard, UNHEARD_DB);
		ipsec_match_rank(c);
		n++;
	}
	return n;
}

void
ipsec_inquire(struct spinat_binder *b, uint64_t now_ms, struct member *m)
{
	unsigned int found = 0, looked = 0;
	struct member *other;

	if (!is_unheard(b, m, now_ms))
		return;
	m->inquiry_ms = now_ms + ((uint64_t)WAIT_MS << m->inquiries);
	m->inquiries = RTE_MIN(m->inquiries + 1, WAIT_DOUBLINGS);
	TAILQ_FOREACH(other, &m->group->members, of_group) {
		if (!other->live || ++looked == SCAN_MAX || found >= INQUIRY_MAX)
			break;
		if (other != m)
			found += look_into_those_of(b, now_ms, other, m);
	}
}

/* The likeliest of those that expect an SPI, but its owner; NULL: nobody does. */
static struct member *
likeliest(uint64_t now_ms, const struct spi *s, double *best_db)
{
	struct member *m, *best = NULL;
	unsigned int looked = 0;
	double db;

	TAILQ_FOREACH(m, &s->group->open, of_open) {
		if (++looked > SCAN_MAX)
			break;
		db = ipsec_credit_score(m, now_ms, true);
		if (m == s->member || m->natt || (best != NULL && db <= *best_db))
			continue;
		best = m;
		*best_db = db;
	}
	return best;
}

void
ipsec_inquire_same(struct spinat_binder *b, uint64_t now_ms, struct spi *s, uint32_t seq)
{
	const uint32_t last = ipsec_spi_last_seq(b, s);
	struct member *other;
	struct contest *c;
	double db = 0.0;

	if (s->second != NULL || s->ordered || s->packets == 0)
		return;
	other = likeliest(now_ms, s, &db);
	if (other == NULL || (last - seq < SPINAT_SEQ_WINDOW && db < EXPECTED_DB))
		return;
	c = look_into(b, now_ms, s);
	if (c == NULL)
		return;
	s->seq_odd = 1;
	s->seq_ahead = SPINAT_SEQ_WINDOW;
	ipsec_contest_add(b, now_ms, c, other, UNHEARD_DB);
	ipsec_match_rank(c);
}
