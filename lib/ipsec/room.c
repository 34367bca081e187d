/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 the spinat authors
 */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include <rte_jhash.h>

#include "binder_internal.h"

/*
 * What unsettled SPIs may take: copies of packets, and places. Who makes SPIs up takes all places, but
 * none of what is in use; and who expects an answer just then gets what comes without a place.
 */

#define CONTESTS_MAX 4096 /* of a group */
#define CONTESTS_SPARE 16 /* beyond two for each client that expects an SPI */
#define TTL_SLACK 3 /* routes change, but seldom by more hops */
#define CONTEST_WAIT_MS 1000 /* one packet, and no other in this time: may be replaced */

#define EXPECTED_MAX_DB 12.0 /* sixteen a second: as an answer whose round trip is over just now */
#define EXPECT_MAX 16 /* clients that are asked whether they expect it */

static void
budget_renew(struct budget *x, uint64_t now_ms, uint32_t a_second)
{
	if (now_ms - x->since_ms < 1000)
		return;
	x->since_ms = now_ms;
	x->left = a_second;
}

bool
ipsec_take_copies(struct spinat_binder *b, const struct contest *c, uint64_t now_ms, unsigned int n)
{
	struct group *g = c->spi->group;
	struct spi *s = c->spi;

	budget_renew(&g->copies, now_ms, b->conf->limits.copies_per_gateway);
	budget_renew(&b->copies, now_ms, b->conf->limits.copies_per_second);
	if (s->copies + n > b->conf->limits.copies_per_spi || g->copies.left < n ||
		b->copies.left < n)
		return false;
	g->copies.left -= n;
	b->copies.left -= n;
	s->copies += n;
	b->stats.copies += n;
	return true;
}

/* Who sends random SPIs does not repeat them: what comes again is a flow. */
static uint32_t
mark_of(const struct spinat_binder *b, const struct group *g, rte_be32_t spi)
{
	return rte_jhash_3words(spi, g->key.b, g->key.a, b->salt);
}

static void
remember(struct spinat_binder *b, uint32_t mark)
{
	uint32_t *kept = b->kept[mark % SEEN_SLOTS];

	memmove(&kept[1], &kept[0], (KEPT_EACH - 1) * sizeof(kept[0]));
	kept[0] = mark;
}

static bool
seen_before(struct spinat_binder *b, uint32_t mark)
{
	const uint32_t *kept = b->kept[mark % SEEN_SLOTS];
	uint32_t *slot = &b->seen[mark % SEEN_SLOTS];
	bool seen = *slot == mark;

	for (unsigned int i = 0; i < KEPT_EACH; i++)
		seen |= kept[i] == mark;
	*slot = mark;
	return seen;
}

/* Takes an SPI that was seen once and not again: a waited-for one for a second at least. */
static bool
replace_one(struct spinat_binder *b, struct group *g, uint64_t now_ms, bool at_once)
{
	struct contest *c;

	TAILQ_FOREACH(c, &g->contests, next) {
		if (c->spi->packets > 1 || c->inquiry)
			continue;
		if (!at_once && now_ms - c->opened_ms < CONTEST_WAIT_MS)
			continue;
		remember(b, mark_of(b, g, c->spi->key.spi));
		ipsec_spi_free(b, c->spi);
		return true;
	}
	return false;
}

static bool
is_off_path(const struct group *g, const struct spinat_ipsec_pkt *p)
{
	return g->ttl != 0 && abs((int)p->ttl - (int)g->ttl) > TTL_SLACK;
}

/* Room for one more in the group. What comes by another path than the gateway's own packets gets
 * none that is scarce. */
bool
ipsec_contest_room(
	struct spinat_binder *b, struct group *g, uint64_t now_ms, const struct spinat_ipsec_pkt *p)
{
	const uint32_t max = RTE_MIN(CONTESTS_SPARE + 2 * g->n_open, (uint32_t)CONTESTS_MAX);
	const bool scarce = g->n_contests - g->n_inquiries >= max || TAILQ_EMPTY(&b->free_contests);

	if (!scarce)
		return true;
	if (is_off_path(g, p))
		return false;
	if (g->full_ms != now_ms && replace_one(b, g, now_ms, false))
		return true;
	g->full_ms = now_ms;
	return seen_before(b, mark_of(b, g, p->spi)) && replace_one(b, g, now_ms, true);
}

/* How likely it must be that a client's SPI comes just now, in decibans of its rate a second: the
 * more, the less is left of the half of all copies that go to SPIs without a place. */
static double
expected_db(struct spinat_binder *b, struct group *g, uint64_t now_ms)
{
	const double all = b->conf->limits.copies_per_gateway, half = all / 2;

	budget_renew(&g->copies, now_ms, b->conf->limits.copies_per_gateway);
	budget_renew(&b->copies, now_ms, b->conf->limits.copies_per_second);
	if (g->copies.left <= half || b->copies.left <= b->conf->limits.copies_per_second / 2)
		return INFINITY;
	return EXPECTED_MAX_DB * (all - g->copies.left) / half;
}

bool
ipsec_expected(struct spinat_binder *b, uint64_t now_ms, struct group *g,
	const struct spinat_ipsec_pkt *p, struct spinat_ipsec_decision *d)
{
	const bool copies = b->conf->realms[g->key.realm].ambiguity == SPINAT_AMBIGUITY_FANOUT;
	const bool fresh = ipsec_is_fresh(b, now_ms, p->seq);
	struct member *m;
	unsigned int looked = 0;
	double db;

	if (!copies || !fresh || is_off_path(g, p) || g->unexpected_ms == now_ms)
		return false;
	db = expected_db(b, g, now_ms);
	TAILQ_FOREACH(m, &g->open, of_open) {
		if (++looked > EXPECT_MAX || d->n > b->conf->limits.copies)
			break;
		if (!m->natt && ipsec_credit_score(m, now_ms, fresh) >= db)
			d->to[d->n++] = m->host->client;
	}
	if (d->n == 0) {
		g->unexpected_ms = now_ms;
		return false;
	}
	g->copies.left -= d->n;
	b->copies.left -= d->n;
	b->stats.copies += d->n;
	remember(b, mark_of(b, g, p->spi));
	return true;
}
