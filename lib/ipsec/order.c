/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 the spinat authors
 */
#include <netinet/in.h>

#include "binder_internal.h"

/*
 * Where evidence does not decide, an operator does: the binder tells of SPIs that it can not decide,
 * and takes orders. What is ordered is a settled binding that no inquiry looks into, so that its
 * packets go to one client until it is idle, as any binding, or ordered otherwise.
 */

void
ipsec_contest_tell(const struct spinat_binder *b, const struct contest *c)
{
	const struct ipsec_key *key = &c->spi->key;
	struct spinat_ambiguous a = {
		.outside = key->a,
		.gateway = key->b,
		.spi = key->spi,
		.realm = key->realm,
		.proto = key->proto,
		.n_candidates = (uint8_t)c->n,
	};
	unsigned int i;

	_Static_assert(CANDIDATES_MAX <= UINT8_MAX, "their number fits");
	if (b->ops.ambiguous == NULL || c->spi->told)
		return;
	c->spi->told = true;
	for (i = 0; i < RTE_MIN(c->n, (unsigned int)SPINAT_AMBIGUOUS_NAMED); i++)
		a.candidates[i] = c->cand[i].member->host->client.addr;
	b->ops.ambiguous(b->ops.ctx, &a);
}

/* Has its owner given a credit for it? */
static bool
is_paid(const struct spi *s)
{
	return s->member != NULL && !s->doubt && (s->contest == NULL || s->contest->inquiry);
}

static enum spinat_order_result
bind_to(struct spinat_binder *b, uint64_t now_ms, struct spi *s, struct member *m)
{
	struct member *was = s->member;
	struct spi *so = s->peer;
	const bool paid = is_paid(s);

	if (!ipsec_spi_own(b, now_ms, s, m))
		return SPINAT_ORDER_LIMIT;
	if (s->contest != NULL)
		ipsec_contest_free(b, s->contest);
	ipsec_spi_unshare(s);
	ipsec_spi_confirm(s);
	if (paid && was != m)
		ipsec_credit_return(was, now_ms, so);
	if (!paid || was != m)
		ipsec_credit_spend(m, now_ms, s);
	ipsec_member_live(b, now_ms, m);
	s->state = SPINAT_BINDING_SETTLED;
	s->seq_odd = 0;
	ipsec_spi_ordered(s);
	return SPINAT_ORDER_DONE;
}

/* Its next packet is one of an SPI that nobody knows. */
static void
forget(struct spinat_binder *b, uint64_t now_ms, struct spi *s)
{
	struct member *was = s->member, *second = s->second;
	struct spi *so = s->peer;
	const bool paid = is_paid(s);

	ipsec_spi_free(b, s);
	if (paid)
		ipsec_credit_return(was, now_ms, so);
	if (was != NULL)
		ipsec_member_release(b, was);
	if (second != NULL)
		ipsec_member_release(b, second);
}

enum spinat_order_result
spinat_binder_order(struct spinat_binder *b, const struct spinat_conf *conf, uint64_t now_ms,
	const struct spinat_order *o)
{
	struct group *g = ipsec_group_find(b, o->client.realm, o->outside, o->gateway);
	struct member *m;
	struct spi *s;

	ipsec_called(b, conf, now_ms);
	s = g != NULL ? ipsec_spi_find_in(b, g, o->spi, IPPROTO_ESP) : NULL;
	if (s == NULL && g != NULL)
		s = ipsec_spi_find_in(b, g, o->spi, IPPROTO_AH);
	if (s == NULL)
		return SPINAT_ORDER_NO_SPI;
	if (o->client.addr == 0) {
		forget(b, now_ms, s);
		return SPINAT_ORDER_DONE;
	}
	m = ipsec_member_find(b, o->client, o->gateway);
	return m != NULL && m->group == g ? bind_to(b, now_ms, s, m) : SPINAT_ORDER_NO_CLIENT;
}
