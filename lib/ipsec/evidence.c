/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 the spinat authors
 */
#include <math.h>

#include <rte_common.h>

#include "binder_internal.h"

/*
 * Two clocks speak. A client that owns the SPI answers some of what comes on it (the copy, then
 * its outbound packet), and gets answers to some of what it sent (its outbound packet, then one on
 * the SPI, a round trip later). Both happen by chance too, the more often the more it sends.
 *
 * Each is counted as the likelihood ratio of a point process that the other may trigger: an event
 * is worth log((background + triggered) / background), where the background holds what the sender
 * does on its own and what all the other SPIs or clients, as far as they are believed to be the
 * partner, explain. Only packets that follow a silence count: in a dense stream everything fits
 * everything. What goes out by its own clock, dense or even, asks for nothing, and what comes in so
 * replies to nothing; but where such a stream's packets are of one size, those of another do.
 */

#define CHATTY 0.02 /* onsets a millisecond from which on they say nothing */
#define CLOCK_MIN 8 /* events in even steps that make a clock */
#define AGREE_DB 3.0
#define EVENT_MAX_DB 20.0 /* no single event says more */
#define EVENTS_MAX 256 /* contests that one outbound packet is weighed in */

#define DELAY_MAX_MS 1000
/* What goes out so soon after a packet on the SPI may be no more than its acknowledgement. */
#define ACK_MS 50
#define ACK_ASKS 0.3
#define MARK_ASKS 0.8 /* a packet of an unusual size is, and is answered by one of such a size */
#define ASK_SLACK_MS 300 /* an answer that is later than this beyond the usual did not come */

static bool
is_dense(const struct rhythm *r, uint64_t now_ms)
{
	return ipsec_rhythm_rate(r, now_ms) > CHATTY;
}

/* Does it go by its own clock? */
static bool
is_clock(const struct rhythm *r, const struct marks *k, uint64_t now_ms)
{
	return is_dense(r, now_ms) ||
	       (r->n >= CLOCK_MIN && ipsec_rhythm_even(r) && ipsec_marks_alone(k));
}

/* Of the copies an owner answers some at once, as TCP acknowledges, others within half a second,
 * about evenly in the logarithm of the time, and some not at all. */
#define ANSWER_FAST 0.35
#define ANSWER_FAST_MS 3.0
#define ANSWER_MAX_MS 500
#define ANSWER_DENSITY 0.07
#define ANSWER_STEP_MS 3.0 /* what is faster says no more: clients that began together go in step */

#define ANSWER_SOON_MS 6.0 /* those that tell in a dense stream */

/* Per millisecond. */
static double
answer_density(uint64_t took_ms)
{
	double t = (double)took_ms;

	if (took_ms > ANSWER_MAX_MS)
		return 0.0;
	return ANSWER_FAST / ANSWER_FAST_MS * exp(-t / ANSWER_FAST_MS) +
	       ANSWER_DENSITY / (t + ANSWER_STEP_MS);
}

/* Its integral: how likely the answer has come by then. */
static double
answered_by(uint64_t took_ms)
{
	double t = (double)RTE_MIN(took_ms, (uint64_t)ANSWER_MAX_MS);

	return ANSWER_FAST * (1.0 - exp(-t / ANSWER_FAST_MS)) +
	       ANSWER_DENSITY * log(t / ANSWER_STEP_MS + 1.0);
}

/* Of the replies to what a client sends most come a round trip later or as soon as the server is
 * done, some when it has worked on it, a few at any time. */
#define REPLY_CORE 0.5
#define REPLY_WORK 0.15
#define REPLY_WORK_MS 200.0
#define REPLY_EARLY 0.15 /* the round trip was measured with a peer that took its time */
#define REPLY_ANY 0.05
#define REPLY_MAX_MS 1000.0
#define REPLY_GUESS 0.1 /* before a round trip is known: evenly in the logarithm of the time */

/* How far around the round trip the core reaches. */
static void
core_width(const struct group *g, double *before, double *after)
{
	*before = g->delay_ms / 16.0 + 1.0;
	*after = g->delay_ms / 8.0 + 8.0;
}

double
ipsec_evidence_reply_density(const struct group *g, uint64_t took_ms)
{
	double t = (double)took_ms, late = t - g->delay_ms, before, after, core;
	double any = t < REPLY_MAX_MS ? REPLY_ANY / REPLY_MAX_MS : 0.0;

	if (g->delay_ms == 0)
		return t < REPLY_MAX_MS ? REPLY_GUESS / (t + 1.0) : 0.0;
	core_width(g, &before, &after);
	core = REPLY_CORE / (before + after);
	if (late < 0)
		return any + REPLY_EARLY / (g->delay_ms + 1.0) + core * exp(late / before);
	return any + core * exp(-late / after) +
	       REPLY_WORK / REPLY_WORK_MS * exp(-late / REPLY_WORK_MS);
}

/* Its integral. */
static double
replied_by(const struct group *g, uint64_t took_ms)
{
	double t = RTE_MIN((double)took_ms, REPLY_MAX_MS), late = t - g->delay_ms;
	double any = REPLY_ANY * t / REPLY_MAX_MS, before, after, core;

	if (g->delay_ms == 0)
		return REPLY_GUESS * log(t + 1.0);
	core_width(g, &before, &after);
	core = REPLY_CORE / (before + after);
	if (late < 0)
		return any + REPLY_EARLY * t / (g->delay_ms + 1.0) +
		       core * before * exp(late / before);
	return any + REPLY_EARLY + core * (before + after * (1.0 - exp(-late / after))) +
	       REPLY_WORK * (1.0 - exp(-late / REPLY_WORK_MS));
}

/* How far the contest believes in the candidate, 0 to 1. */
static double
belief(const struct candidate *x)
{
	return x->claim / (1.0 + x->claim);
}

static void
agree(struct candidate *x, double worth_db)
{
	if (worth_db >= AGREE_DB && x->agree < UINT8_MAX)
		x->agree++;
}

/*
 * The first event after a cause, seen with density `density` where the two belong together, by when
 * `by` of such events have come, against a background that goes on in any case. The sum over many
 * events is below zero where they do not belong together, whatever the rates are.
 */
static void
gain(double *db, struct candidate *x, double background, double density, double by)
{
	double worth = RTE_MIN(ipsec_db(1.0 - by + density / background), EVENT_MAX_DB);

	*db += worth;
	agree(x, worth);
}

/* When it last sent what says something. */
static uint64_t
said_ms(const struct member *m)
{
	return m->marked && m->dense ? m->marks.rhythm.last_ms : m->sent_ms;
}

void
ipsec_evidence_copy(struct candidate *c, uint64_t now_ms, bool onset)
{
	c->got_ms = now_ms;
	if (!onset)
		return;
	if (c->waiting)
		c->answers_db += ipsec_db(1.0 - answered_by(now_ms - c->copy_ms));
	c->waiting = now_ms - said_ms(c->member) >= ONSET_MS;
	c->copy_ms = now_ms;
}

/* Is an answer to what the candidate sent at asked_ms still to be expected? */
static bool
still_asking(const struct group *g, const struct candidate *x, uint64_t now_ms)
{
	return x->asked_ms != 0 && now_ms - x->asked_ms <= 2 * g->delay_ms + ASK_SLACK_MS;
}

/* How long replies to what a client sent are due, and from when on. */
static double
replies_due(const struct group *g, double *from_ms)
{
	double before, after;

	core_width(g, &before, &after);
	*from_ms = g->delay_ms - before;
	return before + after;
}

/* Has one of what it sent so long ago? */
static bool
has_asked(const struct member *m, uint64_t now_ms, double from_ms, double width_ms)
{
	unsigned int i, n = RTE_MIN(m->n_asks, (uint32_t)ASKS_MAX);
	double took;

	for (i = 0; i < n; i++) {
		took = (double)(now_ms - m->asks_ms[i]);
		if (took >= from_ms && took <= from_ms + width_ms)
			return true;
	}
	return false;
}

/* The same where the SPI's stream or the candidate's own is dense. */
static void
weigh_dense_replies(struct contest *c, uint64_t now_ms)
{
	const struct group *g = c->spi->group;
	double from, width = replies_due(g, &from), around = COINCIDENCE_AROUND * width;
	unsigned int i;

	if (g->delay_ms == 0)
		return;
	for (i = 0; i < c->n; i++) {
		struct candidate *x = &c->cand[i];
		const struct member *m = x->member;

		if (!(c->clock || is_clock(&m->rhythm, &m->marks, now_ms)) ||
			(ipsec_rhythm_even(&c->rhythm) && ipsec_rhythm_even(&m->rhythm)) ||
			!has_asked(m, now_ms, from - (around - width) / 2, around))
			continue;
		agree(x, ipsec_coincidence_add(&x->replies,
				 ipsec_cover_share(&m->replies, now_ms, width),
				 has_asked(m, now_ms, from, width)));
	}
}

/* What came now may answer what the candidate asked; without it (background 0), nothing did. */
static void
heard(const struct group *g, struct candidate *x, uint64_t now_ms, double background)
{
	const uint64_t took_ms = now_ms - x->asked_ms;
	const double by = replied_by(g, took_ms);
	double fit = 0.0;

	if (background > 0.0)
		fit = ipsec_evidence_reply_density(g, took_ms) / background;
	if (x->mark_asked)
		agree(x, ipsec_coincidence_reply(&x->mark_replies, fit, by));
	else if (background > 0.0)
		gain(&x->replies_db, x, background, x->density, x->ask_share * by);
	else
		x->replies_db += ipsec_db(1.0 - x->ask_share * by);
}

/* A packet after a silence, in a stream that is not dense. */
static void
weigh_replies(struct contest *c, uint64_t now_ms, double own)
{
	const struct group *g = c->spi->group;
	double total = own;
	unsigned int i;

	for (i = 0; i < c->n; i++) {
		struct candidate *x = &c->cand[i];

		x->density = still_asking(g, x, now_ms)
				     ? x->ask_share *
					       ipsec_evidence_reply_density(g, now_ms - x->asked_ms)
				     : 0.0;
		total += belief(x) * x->density;
	}
	for (i = 0; i < c->n; i++) {
		struct candidate *x = &c->cand[i];
		const struct member *m = x->member;

		if (x->density == 0.0 || (!m->marked && is_clock(&m->rhythm, &m->marks, now_ms)))
			continue;
		heard(g, x, now_ms, total - belief(x) * x->density);
		if (2 * (now_ms - x->asked_ms) >= g->delay_ms)
			x->asked_ms = 0;
	}
}

/* A packet of an unusual size. */
static void
inbound_mark(struct contest *c, uint64_t now_ms)
{
	struct rhythm *r = &c->marks.rhythm;
	const double own = ipsec_rhythm_rate(r, now_ms);

	c->onset = now_ms - r->last_ms >= ONSET_MS;
	if (!c->onset)
		return;
	ipsec_rhythm_step(r, now_ms, 1.0);
	weigh_replies(c, now_ms, own);
}

void
ipsec_evidence_inbound(struct contest *c, uint64_t now_ms, uint32_t len)
{
	const bool first = c->spi->packets == 0;
	const bool silence = first || now_ms - c->spi->last_ms >= ONSET_MS;
	const bool odd = ipsec_marks_step(&c->marks, len, silence);
	const double own = ipsec_rhythm_rate(&c->rhythm, now_ms);

	c->dense = is_dense(&c->rhythm, now_ms);
	c->clock = is_clock(&c->rhythm, &c->marks, now_ms);
	c->marked = c->clock && ipsec_marks_uniform(&c->marks);
	if (c->marked && odd) {
		inbound_mark(c, now_ms);
		return;
	}
	if (silence)
		ipsec_rhythm_step(&c->rhythm, now_ms, 1.0);
	c->onset = silence && !c->dense;
	ipsec_cover_open(&c->answers, now_ms, ANSWER_SOON_MS);
	if (first || !silence)
		return;
	weigh_dense_replies(c, now_ms);
	if (!c->clock)
		weigh_replies(c, now_ms, own);
}

/* A rekey: both ends leave the old SA as soon as the new one is up. */
#define HANDOVER_NOT_DB -10.0
#define HANDOVER_SLACK_MS 20 /* packets of the old SA that the first of the new one has overtaken */
#define GAPS_MIN 3

/* A dense stream hardly ever stops by itself just when another begins; a sparse one often does. */
static double
stop_max_db(double pause_ms)
{
	return pause_ms <= 20.0 ? 20.0 : pause_ms <= 100.0 ? 12.0 : 4.0;
}

/* Decibans for "s has taken over from old". Silence counts by how much rarer chance would give it
 * in a stream that had such pauses. */
static double
handover(const struct spi *old, const struct spi *s, uint64_t now_ms)
{
	double pause = RTE_MAX(old->pause_ms, 1.0);
	uint64_t began_ms = s->created_ms;

	if (old == s || old->gaps < GAPS_MIN || old->created_ms >= began_ms)
		return 0.0;
	if (old->last_ms > began_ms + HANDOVER_SLACK_MS)
		return HANDOVER_NOT_DB;
	if ((double)began_ms - (double)old->last_ms > pause + HANDOVER_SLACK_MS)
		return 0.0; /* had stopped before */
	return RTE_MIN(4.3 * (double)(now_ms - began_ms) / pause, stop_max_db(pause));
}

void
ipsec_evidence_handover(struct contest *c, uint64_t now_ms)
{
	const struct spi *old;
	unsigned int i;
	double db, best;

	for (i = 0; i < c->n; i++) {
		best = HANDOVER_NOT_DB;
		TAILQ_FOREACH(old, &c->cand[i].member->in, next) {
			db = handover(old, c->spi, now_ms);
			if (db != 0.0)
				best = RTE_MAX(best, db);
			else if (best < 0.0)
				best = 0.0;
		}
		c->cand[i].handover_db = TAILQ_EMPTY(&c->cand[i].member->in) ? 0.0 : best;
	}
}

/* Where the member stands in the contests of its group. */
static unsigned int
stands_in(const struct member *m, struct candidate **x, struct contest **of)
{
	struct contest *c;
	unsigned int i, n = 0;

	TAILQ_FOREACH(c, &m->group->contests, next) {
		for (i = 0; i < c->n && c->cand[i].member != m; i++)
			;
		if (i == c->n)
			continue;
		x[n] = &c->cand[i];
		of[n++] = c;
		if (n == m->n_contests || n == EVENTS_MAX)
			break;
	}
	return n;
}

/* Who has the SPI alone would answer alone. */
static void
weigh_dense_answer(const struct contest *c, struct candidate *x, uint64_t now_ms)
{
	double took = (double)(now_ms - x->got_ms);

	if (c->spi->member != NULL || x->got_ms != c->spi->last_ms ||
		took > COINCIDENCE_AROUND * ANSWER_SOON_MS ||
		(ipsec_rhythm_even(&c->rhythm) && ipsec_rhythm_even(&x->member->rhythm)))
		return;
	agree(x, ipsec_coincidence_add(&x->answers,
			 ipsec_cover_share(&c->answers, now_ms, ANSWER_SOON_MS),
			 took <= ANSWER_SOON_MS));
}

static void
weigh_dense_answers(const struct member *m, uint64_t now_ms, struct candidate **x,
	struct contest **of, unsigned int n)
{
	unsigned int i;

	for (i = 0; i < n; i++) {
		weigh_dense_answer(of[i], x[i], now_ms);
		if (!m->marked)
			x[i]->waiting = false;
	}
}

/* The member has begun to send, as it does at this rate: which of the copies it got may it be
 * answering? Returns how likely it is none of them. */
static double
weigh_answer(double own, uint64_t now_ms, struct candidate **x, struct contest **of, unsigned int n)
{
	double total = own;
	unsigned int i;

	for (i = 0; i < n; i++) {
		x[i]->density = x[i]->waiting ? answer_density(now_ms - x[i]->copy_ms) : 0.0;
		total += belief(x[i]) * x[i]->density;
	}
	for (i = 0; i < n; i++) {
		if (of[i]->dense)
			weigh_dense_answer(of[i], x[i], now_ms);
		if (x[i]->density > 0.0) {
			gain(&x[i]->answers_db, x[i], total - belief(x[i]) * x[i]->density,
				x[i]->density, answered_by(now_ms - x[i]->copy_ms));
			x[i]->answers_db = RTE_MIN(x[i]->answers_db, x[i]->answers_max_db);
		}
		x[i]->waiting = false;
	}
	return own / total;
}

static void
remember_ask(struct member *m, uint64_t now_ms)
{
	double from;

	m->asks_ms[m->n_asks++ % ASKS_MAX] = now_ms;
	ipsec_cover_open(&m->replies, now_ms, replies_due(m->group, &from));
}

/* What the member sends asks for an answer on the SPIs it may own. */
static void
weigh_ask(const struct member *m, uint64_t now_ms, struct candidate **x, struct contest **of,
	unsigned int n)
{
	unsigned int i;

	for (i = 0; i < n; i++) {
		if ((of[i]->clock && !of[i]->marked) || still_asking(m->group, x[i], now_ms))
			continue;
		if (x[i]->asked_ms != 0)
			heard(m->group, x[i], now_ms, 0.0);
		x[i]->mark_asked = m->marked || of[i]->marked;
		if (x[i]->mark_asked)
			x[i]->ask_share = MARK_ASKS;
		else
			x[i]->ask_share = now_ms - of[i]->spi->last_ms <= ACK_MS ? ACK_ASKS : 1.0;
		x[i]->asked_ms = now_ms;
	}
}

/* The member sends after a silence, or a packet of an unusual size (odd). */
static void
onset(struct spinat_binder *b, uint64_t now_ms, struct member *m, bool paired, bool odd)
{
	struct rhythm *r = odd ? &m->marks.rhythm : &m->rhythm;
	const double own = ipsec_rhythm_rate(r, now_ms);
	struct candidate *x[EVENTS_MAX];
	struct contest *of[EVENTS_MAX];
	unsigned int i, n = m->n_contests > 0 ? stands_in(m, x, of) : 0;
	double share = 1.0;

	if (odd || !m->dense)
		share = weigh_answer(own, now_ms, x, of, n);
	else
		weigh_dense_answers(m, now_ms, x, of, n);
	ipsec_rhythm_step(r, now_ms, share);
	if (!paired) { /* what goes out on a settled pair is answered there */
		remember_ask(m, now_ms);
		if (odd || !m->clock)
			weigh_ask(m, now_ms, x, of, n);
	}
	for (i = 0; i < n; i++)
		ipsec_contest_review(b, now_ms, of[i]);
	ipsec_inquire(b, now_ms, m);
}

void
ipsec_evidence_outbound(
	struct spinat_binder *b, uint64_t now_ms, const struct spi *so, uint32_t len, bool is_new)
{
	struct member *m = so->member;
	const bool silence = now_ms - m->sent_ms >= ONSET_MS;
	const bool odd = ipsec_marks_step(&m->marks, len, silence);
	struct contest *c, *next;

	if (is_new && m->n_credits > 0) {
		for (c = TAILQ_FIRST(&m->group->contests); c != NULL; c = next) {
			next = TAILQ_NEXT(c, next);
			if (now_ms - c->spi->created_ms <= ANSWER_MAX_MS ||
				(!c->fresh && !so->fresh))
				ipsec_contest_add(b, now_ms, c, m, OVERTAKEN_DB);
		}
	}
	m->dense = is_dense(&m->rhythm, now_ms);
	m->clock = is_clock(&m->rhythm, &m->marks, now_ms);
	m->marked = m->clock && ipsec_marks_uniform(&m->marks);
	if (m->marked && odd ? now_ms - m->marks.rhythm.last_ms >= ONSET_MS : silence)
		onset(b, now_ms, m, so->peer != NULL, m->marked && odd);
	m->sent_ms = now_ms;
}

/* The shortest time counts: what is longer holds the time that a host took for its answer. */
void
ipsec_evidence_round_trip(struct group *g, uint64_t took_ms)
{
	if (took_ms > DELAY_MAX_MS)
		return;
	took_ms = RTE_MAX(took_ms, UINT64_C(1));
	if (!g->delay_sure || took_ms < g->delay_ms)
		g->delay_ms = took_ms;
	else
		g->delay_ms += RTE_MIN((took_ms - g->delay_ms) / 16, UINT64_C(4));
	g->delay_sure = true;
}

/* A guess, which no single one may move far: the packet may have been no answer. */
void
ipsec_evidence_delay(struct group *g, uint64_t gap_ms)
{
	uint32_t step = g->delay_ms / 8 + 1;

	if (g->delay_sure || gap_ms > DELAY_MAX_MS)
		return;
	if (g->delay_ms == 0)
		g->delay_ms = RTE_MAX(gap_ms, UINT64_C(1));
	else if (gap_ms > g->delay_ms)
		g->delay_ms = RTE_MIN(gap_ms, g->delay_ms + step);
	else
		g->delay_ms = RTE_MAX(gap_ms, g->delay_ms - step);
	g->delay_ms = RTE_MAX(g->delay_ms, 1u);
}
