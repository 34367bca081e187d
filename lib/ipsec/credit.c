/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 the spinat authors
 */
#include <string.h>

#include "binder_internal.h"

/* The exchange is given up when it stands still for so long (RFC 7296 2.4 leaves it to the peers;
 * implementations stop after some 30 s to a few minutes). */
#define PENDING_MS 60000
/* The first ESP packet may overtake the last message of the exchange by this much. */
#define OVERTAKE_MS 5000
/* Child SAs that are set up together open their credits within this time; later ones are rekeys. */
#define TOGETHER_MS 60000
/* An inbound SPI without its outbound one waits for it so long; a later one is another pair's. */
#define PAIR_MS 30000
/* With one negotiation at a time, the next one waits no longer for the SPI of the one before. */
#define NEGOTIATION_MS 3000
/* An IKE SA's own rekey is followed by a message of the new one within this time. */
#define REKEY_MS 30000

/* What a kind of credit is worth, in decibans. */
static const double credit_worth[] = {
	[CREDIT_NONE] = -60.0,
	[CREDIT_PENDING] = -15.0, /* most exchanges close before their SA is used */
	[CREDIT_QUICK] = 0.0,
	[CREDIT_AUTH] = 0.0,
	[CREDIT_CHILD] = -3.0, /* one in a few is the IKE SA's rekey */
	[CREDIT_ESP] = -2.0,
	[CREDIT_RESUME] = -6.0,
};

#define WORTH_STALE -12.0 /* a later one of its IKE SA was spent, or it rekeyed the IKE SA itself */
#define WORTH_NATT -10.0 /* its IKE is on port 4500: most such clients' ESP is in UDP */
#define WORTH_AGE -15.0 /* a fresh SPI for an old pair, or the other way round */
/* A gateway begins on its own account at any time, about evenly in the logarithm of the time. */
#define IDLE_SHARE 0.05
#define IDLE_FROM_S 0.05
/* After a rekey both ends move to the new SA: most do so within this time. */
#define REKEYED_MS 500
#define REKEYED_SLOW_MS 500.0 /* at the pace of the old SA, or this where it is not known */
#define REKEYED_FAST_MS 50.0

void
ipsec_credit_drop(struct member *m, unsigned int i)
{
	m->n_credits--;
	memmove(&m->credits[i], &m->credits[i + 1], (m->n_credits - i) * sizeof(m->credits[0]));
	if (m->n_credits == 0) {
		TAILQ_REMOVE(&m->group->open, m, of_open);
		m->group->n_open--;
	}
}

static struct credit *
credit_add(struct member *m, uint64_t now_ms, enum credit_kind kind)
{
	struct credit *c;

	if (m->n_credits == CREDITS_MAX)
		ipsec_credit_drop(m, 0);
	if (m->n_credits > 0)
		TAILQ_REMOVE(&m->group->open, m, of_open);
	else
		m->group->n_open++;
	TAILQ_INSERT_HEAD(&m->group->open, m, of_open);
	m->group->squelch_ms = 0;
	c = &m->credits[m->n_credits++];
	*c = (struct credit){.opened_ms = now_ms, .kind = kind};
	return c;
}

bool
ipsec_credit_restore(struct member *m, const struct credit *c)
{
	unsigned int i = m->n_credits;

	if (i == CREDITS_MAX)
		return false;
	credit_add(m, c->opened_ms, c->kind);
	for (; i > 0 && m->credits[i - 1].opened_ms > c->opened_ms; i--)
		m->credits[i] = m->credits[i - 1];
	m->credits[i] = *c;
	return true;
}

/* The credit that this exchange has opened already, or the one that its ESP opened before it. */
static struct credit *
credit_of_exchange(struct member *m, uint64_t now_ms, const struct ike_sa *ike, uint8_t exchange,
	uint32_t message_id)
{
	struct credit *c;

	for (c = m->credits; c < m->credits + m->n_credits; c++)
		if (c->ike == ike && c->exchange == exchange &&
			(c->message_id == message_id || exchange == SPINAT_IKE2_AUTH))
			return c;
	for (c = m->credits; c < m->credits + m->n_credits; c++)
		if (c->kind == CREDIT_ESP && c->ike == NULL && now_ms - c->opened_ms < OVERTAKE_MS)
			return c;
	return NULL;
}

void
ipsec_credit_open(struct member *m, uint64_t now_ms, enum credit_kind kind, struct ike_sa *ike,
	uint8_t exchange, uint32_t message_id)
{
	struct credit *c = credit_of_exchange(m, now_ms, ike, exchange, message_id);

	if (c == NULL)
		c = credit_add(m, now_ms, kind);
	c->kind = kind;
	c->ike = ike;
	c->exchange = exchange;
	c->message_id = message_id;
	c->opened_ms = now_ms;
	c->stale = false;
}

void
ipsec_credit_cancel_child(struct member *m, uint64_t now_ms)
{
	unsigned int i;

	for (i = m->n_credits; i-- > 0;) {
		struct credit *c = &m->credits[i];

		if (c->kind == CREDIT_CHILD && c->so == NULL && now_ms - c->opened_ms < REKEY_MS) {
			c->stale = true;
			return;
		}
	}
}

/* An inbound SPI of the member that came before its outbound one. */
static struct spi *
unpaired_inbound(struct member *m, uint64_t now_ms)
{
	struct spi *s;

	TAILQ_FOREACH_REVERSE(s, &m->in, spi_list, next)
	if (s->peer == NULL && now_ms - s->created_ms < PAIR_MS)
		return s;
	return NULL;
}

void
ipsec_credit_outbound(struct member *m, uint64_t now_ms, struct spi *so, bool esp_without_ike)
{
	bool fresh = so->fresh;
	struct spi *si;
	unsigned int i;

	for (i = m->n_credits; fresh && i-- > 0;) {
		if (m->credits[i].so == NULL) {
			m->credits[i].so = so;
			return;
		}
	}
	si = unpaired_inbound(m, now_ms);
	if (si != NULL) {
		si->peer = so;
		so->peer = si;
		return;
	}
	if (esp_without_ike || m->n_ikes > 0)
		credit_add(m, now_ms, fresh ? CREDIT_ESP : CREDIT_RESUME)->so = so;
}

void
ipsec_credit_return(struct member *m, uint64_t now_ms, struct spi *so)
{
	struct credit *c = credit_add(m, now_ms, CREDIT_RESUME);

	c->so = so;
	if (so != NULL && so->fresh)
		c->kind = CREDIT_ESP;
}

uint64_t
ipsec_credit_newest(const struct member *m)
{
	const struct credit *c;
	uint64_t newest = 0;

	for (c = m->credits; c < m->credits + m->n_credits; c++)
		newest = RTE_MAX(newest, c->so != NULL ? c->so->created_ms : c->opened_ms);
	return newest;
}

uint64_t
ipsec_credit_oldest(const struct member *m)
{
	return m->n_credits > 0 ? m->credits[0].opened_ms : UINT64_MAX;
}

void
ipsec_credit_forget_spi(struct member *m, const struct spi *s)
{
	unsigned int i;

	for (i = m->n_credits; i-- > 0;) {
		struct credit *c = &m->credits[i];

		if (c->so != s)
			continue;
		c->so = NULL;
		if (c->ike == NULL)
			ipsec_credit_drop(m, i);
	}
}

void
ipsec_credit_forget_ike(struct member *m, const struct ike_sa *ike)
{
	unsigned int i;

	for (i = m->n_credits; i-- > 0;) {
		if (m->credits[i].ike != ike)
			continue;
		m->credits[i].ike = NULL;
		if (m->credits[i].kind == CREDIT_PENDING)
			ipsec_credit_drop(m, i);
	}
}

void
ipsec_credit_age(struct member *m, const struct spinat_conf *conf, uint64_t now_ms)
{
	unsigned int i;

	for (i = m->n_credits; i-- > 0;) {
		const struct credit *c = &m->credits[i];
		uint64_t life = c->kind == CREDIT_PENDING && c->so == NULL
					? PENDING_MS
					: (uint64_t)conf->timeouts.candidate * 1000;

		if (now_ms - c->opened_ms > life)
			ipsec_credit_drop(m, i);
	}
}

/* Its IKE is on port 4500, and no ESP without UDP has been seen of it. */
static bool
may_be_in_udp(const struct member *m, const struct credit *c)
{
	return c->ike != NULL && c->ike->way == IKE_NATT && m->n_in == 0 && m->n_out == 0;
}

bool
ipsec_credit_negotiating(const struct member *m, uint64_t now_ms)
{
	const struct credit *c;

	for (c = m->credits; c < m->credits + m->n_credits; c++)
		if (c->ike != NULL && now_ms - c->opened_ms < NEGOTIATION_MS &&
			!may_be_in_udp(m, c))
			return true;
	return false;
}

/* What comes on the member's old SAs will come on the new one. */
static double
rekeyed_rate(const struct member *m)
{
	double pace = REKEYED_SLOW_MS;
	const struct spi *s;

	if (m->n_in == 0)
		return 0.0;
	TAILQ_FOREACH(s, &m->in, next)
		if (s->gaps > 1)
			pace = RTE_MIN(pace, s->gap_ms);
	return 1000.0 / (REKEYED_FAST_MS + pace);
}

/* The rate, a second, at which the first packet to the credit's SPI is to be expected now. */
static double
rate(const struct member *m, const struct credit *c, uint64_t now_ms)
{
	double first, last,
		idle = IDLE_SHARE / (IDLE_FROM_S + (double)(now_ms - c->opened_ms) / 1000.0);

	if (now_ms - c->opened_ms < REKEYED_MS)
		idle += rekeyed_rate(m);
	if (c->so == NULL)
		return idle;
	first = ipsec_evidence_reply_density(m->group, now_ms - c->so->created_ms);
	/* the more has gone out without an answer, the less likely is one to the last of it */
	last = 2.0 / (1.0 + (double)c->so->packets) *
	       ipsec_evidence_reply_density(m->group, now_ms - c->so->last_ms);
	return idle + 1000.0 * RTE_MAX(first, last);
}

static double
credit_score(const struct member *m, const struct credit *c, uint64_t now_ms, bool fresh)
{
	bool old_pair = c->so != NULL && !c->so->fresh;
	double db = credit_worth[c->kind] + ipsec_db(rate(m, c, now_ms));

	if (c->stale)
		db += WORTH_STALE;
	if (may_be_in_udp(m, c))
		db += WORTH_NATT;
	if (old_pair == fresh)
		db += WORTH_AGE;
	return db;
}

/* The credit that an inbound SPI would take now. */
static unsigned int
credit_for(const struct member *m, uint64_t now_ms, bool fresh)
{
	unsigned int i, best = m->n_credits;
	double db, best_db = -1e9;

	for (i = 0; i < m->n_credits; i++) {
		db = credit_score(m, &m->credits[i], now_ms, fresh);
		if (db >= best_db) {
			best = i;
			best_db = db;
		}
	}
	return best;
}

double
ipsec_credit_score(const struct member *m, uint64_t now_ms, bool fresh)
{
	double best_db = credit_worth[CREDIT_NONE];
	unsigned int i;

	for (i = 0; i < m->n_credits; i++)
		best_db = RTE_MAX(best_db, credit_score(m, &m->credits[i], now_ms, fresh));
	return best_db;
}

uint64_t
ipsec_credit_gap(const struct member *m, uint64_t now_ms, bool fresh)
{
	unsigned int i = credit_for(m, now_ms, fresh);

	if (i == m->n_credits || m->credits[i].so == NULL)
		return UINT64_MAX;
	return now_ms - m->credits[i].so->last_ms;
}

/* Older credits of the same IKE SA have most likely been replaced by the rekey that gave this. */
static void
mark_stale(struct member *m, const struct credit *spent)
{
	unsigned int i;

	for (i = 0; i < m->n_credits; i++)
		if (spent->ike != NULL && m->credits[i].ike == spent->ike &&
			m->credits[i].opened_ms + TOGETHER_MS < spent->opened_ms)
			m->credits[i].stale = true;
}

void
ipsec_credit_spend(struct member *m, uint64_t now_ms, struct spi *si)
{
	unsigned int i = credit_for(m, now_ms, si->fresh);
	struct credit spent;

	if (i == m->n_credits)
		return;
	spent = m->credits[i];
	ipsec_credit_drop(m, i);
	mark_stale(m, &spent);
	if (spent.so != NULL && spent.so->peer == NULL && si->peer == NULL) {
		si->peer = spent.so;
		spent.so->peer = si;
	}
}
