/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 the spinat authors
 */
#include "binder_internal.h"

/*
 * Copies cost, but a packet that its owner does not get is lost. So a packet whose SPI is not settled
 * goes to the likely clients at once, and the caller keeps it for a moment. Who becomes likely
 * meanwhile gets it late; and when its time is over, everyone who may still be the owner does. By
 * then, as a rule, the owner has answered, and nobody else needs a copy.
 *
 * Where the configuration wants no copies a packet goes to the one who leads by far, as soon as
 * anyone does. With "drop" nobody gets it before that, so that it may be lost in the end.
 *
 * All are kept for the same time, so that the oldest comes first in the ring. A contest has few of
 * them: a late packet of a dense stream stays within the receiver's replay window (RFC 4303 3.4.3,
 * 32 packets at least).
 */

#define HOLD_MS 300
#define MISS_EARLY 3e-4 /* of a packet that can not be kept so long: nothing more was learned */

static struct held *
held_at(struct spinat_binder *b, uint32_t number)
{
	return &b->held[number % SPINAT_HELD_MAX];
}

static void
forget(struct spinat_binder *b, struct held *h)
{
	struct contest *c = h->contest;

	TAILQ_REMOVE(&c->held, h, next);
	c->held_bits &= ~h->bit;
	h->contest = NULL;
	b->ops.forget(b->ops.ctx, (uint32_t)(h - b->held) + 1);
}

/* How many of the best may have a kept packet now, where this share of the belief may go without.
 * The mode may be another one than when it came. */
static unsigned int
takers(const struct spinat_binder *b, const struct contest *c, double miss)
{
	if (b->conf->realms[c->spi->group->key.realm].ambiguity == SPINAT_AMBIGUITY_FANOUT)
		return RTE_MAX(ipsec_contest_receivers(c, miss),
			c->spi->seq_odd >= ODD_MIN ? RTE_MIN(c->n, 2u) : 0);
	return ipsec_contest_clear(c) ? 1 : 0;
}

/* It goes to those of the best that have not got it yet. */
static void
send_late(struct spinat_binder *b, uint64_t now_ms, struct held *h, unsigned int near)
{
	struct contest *c = h->contest;
	struct spinat_client to[CANDIDATES_MAX];
	struct candidate *x[CANDIDATES_MAX];
	unsigned int i, copies, n = 0;

	for (i = 0; i < near; i++) {
		if (c->cand[i].got & h->bit)
			continue;
		x[n] = &c->cand[i];
		to[n] = c->cand[i].member->host->client;
		n++;
	}
	if (n == 0)
		return;
	copies = h->given ? n : n - 1;
	if (copies > 0 && !ipsec_take_copies(b, c, now_ms, copies))
		return;
	h->given = true;
	for (i = 0; i < n; i++) {
		x[i]->got |= h->bit;
		ipsec_evidence_copy(x[i], now_ms, h->onset);
	}
	b->ops.late(b->ops.ctx, (uint32_t)(h - b->held) + 1, to, n);
}

static void
end(struct spinat_binder *b, uint64_t now_ms, struct held *h, double miss)
{
	struct contest *c = h->contest;

	send_late(b, now_ms, h, takers(b, c, RTE_MIN(miss, ipsec_contest_miss(c))));
	if (!h->given)
		ipsec_contest_tell(b, c);
	forget(b, h);
}

uint32_t
ipsec_hold(struct spinat_binder *b, uint64_t now_ms, struct contest *c, bool given)
{
	struct held *h = held_at(b, b->held_head);

	if (h->contest != NULL)
		end(b, now_ms, h, MISS_EARLY);
	if (c->held_bits == UINT16_MAX)
		end(b, now_ms, TAILQ_FIRST(&c->held), MISS_EARLY);
	/* its place was the oldest's, whether that was still kept or not */
	if (b->held_head - b->held_tail == SPINAT_HELD_MAX)
		b->held_tail++;
	b->held_head++;
	*h = (struct held){
		.contest = c,
		.at_ms = now_ms,
		.onset = c->onset,
		.given = given,
		.bit = ~c->held_bits & (c->held_bits + 1),
	};
	c->held_bits |= h->bit;
	c->holding = h->bit;
	for (unsigned int i = 0; i < c->n; i++)
		c->cand[i].got &= ~h->bit;
	TAILQ_INSERT_TAIL(&c->held, h, next);
	return (uint32_t)(h - b->held) + 1;
}

void
ipsec_hold_review(struct spinat_binder *b, uint64_t now_ms, struct contest *c)
{
	const unsigned int near = takers(b, c, MISS_NOW);
	struct held *h;

	TAILQ_FOREACH(h, &c->held, next)
		send_late(b, now_ms, h, near);
}

void
ipsec_hold_forget(struct spinat_binder *b, struct contest *c)
{
	while (!TAILQ_EMPTY(&c->held))
		forget(b, TAILQ_FIRST(&c->held));
}

void
ipsec_hold_expire(struct spinat_binder *b, uint64_t now_ms)
{
	struct held *h;

	for (; b->held_tail != b->held_head; b->held_tail++) {
		h = held_at(b, b->held_tail);
		if (h->contest == NULL)
			continue;
		if (now_ms - h->at_ms < HOLD_MS)
			return;
		end(b, now_ms, h, 1.0);
	}
}
