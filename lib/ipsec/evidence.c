/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 the spinat authors
 */
#include <rte_common.h>

#include "binder_internal.h"

/*
 * Two clocks speak. A client that owns the SPI answers some of what comes on it (the copy, then
 * its outbound packet), and gets answers to some of what it sent (its outbound packet, then one on
 * the SPI, a round trip later). Both happen by chance too, the more often the more it sends: an
 * event counts by how much rarer chance would give it. Only packets that follow a silence count:
 * in a dense stream everything fits everything.
 */

#define EVENT_MAX_DB 15 /* no single event says more */
#define EVIDENCE_MIN_DB -12 /* an owner that never answers must not fall further */
#define EVIDENCE_MAX_DB 90
#define REPLY_PERCENT 60 /* share of owners' packets that get an answer in the usual time */

/* Share of copies that the owner answers within a time. */
static const struct {
	uint32_t within_ms;
	uint32_t percent;
} answers[] = {{5, 40}, {50, 60}, {500, 80}};

#define ANSWER_MAX_MS 500
#define DELAY_MAX_MS 1000

/* 10 log10(num / den) to the nearest 1.5 or so; both above 0. */
static int
decibans(uint64_t num, uint64_t den)
{
	uint64_t x = (num << 16) / den;
	int log2, db;

	if (x == 0)
		return -48;
	log2 = 63 - __builtin_clzll(x);
	db = (log2 - 16) * 3;
	/* the next bit halves the step: sqrt(2) is 1.5 dB */
	if (log2 > 0 && (x >> (log2 - 1) & 1))
		db += 1;
	return db;
}

/* Likelihood ratio of an event that owners show in percent of cases, and that the member shows by
 * chance as often as its onsets fall into such a window. */
static int
event_db(const struct member *m, uint64_t now_ms, uint64_t window_ms, uint32_t percent)
{
	uint64_t watched = now_ms - m->watch_ms + 1000;
	uint64_t chance = RTE_MIN((m->onsets + 1) * window_ms, watched);
	int db = decibans(percent * watched, 100 * RTE_MAX(chance, (uint64_t)1));

	return RTE_MIN(db, EVENT_MAX_DB);
}

static void
evidence_add(struct candidate *c, int db)
{
	int sum = c->evidence_db + db;

	c->evidence_db = RTE_MAX(EVIDENCE_MIN_DB, RTE_MIN(sum, EVIDENCE_MAX_DB));
	if (db >= 3 && c->agree < UINT8_MAX)
		c->agree++;
}

void
ipsec_evidence_copy(struct candidate *c, uint64_t now_ms)
{
	c->waiting = now_ms - c->member->sent_ms >= ONSET_MS;
	c->copy_ms = now_ms;
}

/* The copy before was not answered. */
static void
unanswered(struct candidate *c, uint64_t now_ms)
{
	if (!c->waiting || now_ms - c->copy_ms < ANSWER_MAX_MS)
		return;
	c->waiting = false;
	evidence_add(c, -2);
}

void
ipsec_evidence_inbound(struct contest *c, uint64_t now_ms)
{
	const struct group *g = c->spi->group;
	unsigned int i;

	for (i = 0; i < c->n; i++) {
		struct candidate *x = &c->cand[i];
		struct member *m = x->member;
		uint64_t since = now_ms - m->onset_ms;
		uint64_t off = since > g->delay_ms ? since - g->delay_ms : g->delay_ms - since;
		uint64_t window = 2 * g->deviation_ms;

		unanswered(x, now_ms);
		if (g->delay_ms == 0 || c->spi->packets == 0 ||
			now_ms - c->spi->last_ms < ONSET_MS || m->onset_ms == x->used_onset_ms)
			continue;
		if (off <= window) {
			x->used_onset_ms = m->onset_ms;
			evidence_add(x, event_db(m, now_ms, 2 * window, REPLY_PERCENT));
		} else {
			evidence_add(x, -1);
		}
	}
}

static void
answered(struct candidate *x, uint64_t now_ms)
{
	uint64_t took = now_ms - x->copy_ms;
	unsigned int i = 0;

	if (!x->waiting || took > ANSWER_MAX_MS)
		return;
	while (took > answers[i].within_ms)
		i++;
	x->waiting = false;
	evidence_add(x, event_db(x->member, now_ms, answers[i].within_ms, answers[i].percent));
}

static void
count_onset(struct member *m, uint64_t now_ms)
{
	if (now_ms - m->sent_ms >= ONSET_MS) {
		m->onset_ms = now_ms;
		m->onsets++;
	}
	m->sent_ms = now_ms;
}

/* Where several SPIs have sent the member a copy it can be answering one: the last, if there is one. */
static struct candidate *
last_copied(const struct member *m, struct contest **of)
{
	struct candidate *last = NULL;
	struct contest *c;
	unsigned int i;

	TAILQ_FOREACH(c, &m->group->contests, next) {
		for (i = 0; i < c->n && c->cand[i].member != m; i++)
			;
		if (i == c->n || !c->cand[i].waiting ||
			(last != NULL && c->cand[i].copy_ms < last->copy_ms))
			continue;
		if (last != NULL)
			last->waiting = false;
		last = &c->cand[i];
		*of = c;
	}
	return last;
}

void
ipsec_evidence_outbound(struct spinat_binder *b, uint64_t now_ms, struct member *m, bool is_new)
{
	struct contest *c, *next, *of = NULL;
	struct candidate *x;

	if (is_new && m->n_credits > 0) {
		for (c = TAILQ_FIRST(&m->group->contests); c != NULL; c = next) {
			next = TAILQ_NEXT(c, next);
			if (now_ms - c->spi->last_ms <= ANSWER_MAX_MS)
				ipsec_contest_add(b, now_ms, c, m, -10);
		}
	}
	x = m->n_contests > 0 ? last_copied(m, &of) : NULL;
	if (x != NULL) {
		answered(x, now_ms);
		ipsec_contest_review(b, now_ms, of);
	}
	count_onset(m, now_ms);
}

void
ipsec_evidence_delay(struct group *g, uint64_t delay_ms)
{
	uint64_t off;

	if (delay_ms > DELAY_MAX_MS)
		return; /* the gateway spoke first */
	if (g->delay_samples++ == 0) {
		g->delay_ms = RTE_MAX(delay_ms, 1u);
		g->deviation_ms = RTE_MAX(delay_ms / 4, 5u);
		return;
	}
	off = delay_ms > g->delay_ms ? delay_ms - g->delay_ms : g->delay_ms - delay_ms;
	g->delay_ms = (7 * g->delay_ms + delay_ms) / 8;
	g->delay_ms = RTE_MAX(g->delay_ms, 1u);
	g->deviation_ms = (3 * g->deviation_ms + off) / 4;
	g->deviation_ms = RTE_MAX(g->deviation_ms, 2u);
}
