/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 the spinat authors
 */
#include "world.h"

/*
 * What exchanges are for: phase 1 and the first child SAs, then rekeys by either side (make before
 * break, the one that began deletes the old SA), and liveness. Both ends install an SA when they
 * have what they need: who answers before it answers, who asked when the answer is there, and in
 * Quick Mode the responder sends only after the third message.
 */

#define LIFE_LEAST_S 2.0 /* of an SA, until its rekey */
#define RETRY_LO_S 1
#define RETRY_HI_S 5
#define LIVENESS_BY_CLIENT 0.6

static void advance(struct sim *s, struct ike *ike);

static uint32_t
draw_spi(struct sim *s, struct client *c)
{
	uint32_t spi;

	if (c->fixed_spi != 0) {
		spi = c->fixed_spi;
		c->fixed_spi = 0;
		return spi;
	}
	if (s->p.sequential_spis)
		return c->next_spi++;
	do
		spi = (uint32_t)rng_next(&c->rng);
	while (spi < 256);
	return spi;
}

static struct sa *
sa_new(struct sim *s, struct tunnel *t)
{
	struct sa *sa = sim_own(s, sizeof(*sa));

	sa->client = t->client;
	sa->tunnel = t;
	sa->si = draw_spi(s, t->client);
	do
		sa->so = (uint32_t)rng_next(&t->client->rng);
	while (sa->so < 256);
	score_add(s, sa);
	return sa;
}

/* A side can send on an SA, and does so from now on. */
static void
use(struct sim *s, struct sa *sa, enum sim_side side)
{
	struct tunnel *t = sa->tunnel;

	if (t->next[side] == sa)
		t->next[side] = NULL;
	t->tx[side] = sa;
	app_up(s, t, side);
}

/* Who answered a rekey: now or later. */
static void
use_soon(struct sim *s, struct sa *sa, enum sim_side side)
{
	struct tunnel *t = sa->tunnel;

	if (t->tx[side] != NULL && t->client->slow_switch)
		t->next[side] = sa;
	else
		use(s, sa, side);
}

void
negotiate_heard(struct sa *sa, enum sim_side side)
{
	struct tunnel *t = sa->tunnel;

	if (t->next[side] == sa) {
		t->next[side] = NULL;
		t->tx[side] = sa;
	}
}

static void
can_receive(struct sim *s, struct sa *sa, enum sim_side side)
{
	struct client *c = sa->client;

	sa->can_receive[side] = true;
	if (side == SIM_CLIENT && c->up_us == 0)
		c->up_us = s->now_us;
}

static void
forget(struct sim *s, struct sa *sa, enum sim_side side)
{
	struct tunnel *t = sa->tunnel;

	if (t->next[side] != NULL && t->tx[side] == sa)
		use(s, t->next[side], side);
	sa->can_receive[side] = false;
	if (side == SIM_CLIENT)
		score_retire(s, sa);
}

static void
delete_step(struct sim *s, struct exchange *x, uint32_t at)
{
	forget(s, x->sa, at == 0 ? !x->by : x->by);
}

static void
delete_old(struct sim *s, void *object, uint64_t by)
{
	struct sa *sa = object;
	struct ike *ike = sa->client->ike;
	const bool v2 = ike->major == 2;

	exchange_start(s, ike, by, v2 ? SPINAT_IKE2_INFORMATIONAL : SPINAT_IKE1_INFORMATIONAL,
		v2 ? 2 : 1, ike_next_id(s, ike, by), delete_step)
		->sa = sa;
	if (!v2)
		forget(s, sa, by);
}

/* SAs may have any age when the box first sees them, so they end at any time. */
static double
life_s(struct rng *r, double mean_s)
{
	const double least_s = RTE_MIN(LIFE_LEAST_S, mean_s / 2);

	return least_s + rng_exp(r, mean_s - least_s);
}

static void
rekey_due(struct sim *s, void *object, uint64_t by)
{
	negotiate_rekey(s, object, by);
}

static void
plan_rekey(struct sim *s, struct tunnel *t)
{
	struct rng *r = &t->client->rng;
	const double in_us = 1e6 * life_s(r, s->p.rekey_s);
	const enum sim_side by = rng_chance(r, s->p.rekey_by_gateway) ? SIM_GATEWAY : SIM_CLIENT;

	if (s->p.rekey_s > 0 && s->now_us + in_us + 1e6 * s->p.calm_s < s->end_us)
		sim_in(s, in_us, rekey_due, t, by);
}

static void
rekeyed(struct sim *s, struct exchange *x)
{
	struct tunnel *t = x->sa->tunnel;
	struct client *c = t->client;
	double after_s = rng_between(&c->rng, 0, 0.3);

	t->rekeying = false;
	plan_rekey(s, t);
	if (x->old == NULL)
		return;
	if (c->major == 1)
		after_s = rng_between(&c->rng, 1, 30);
	else if (rng_chance(&c->rng, 0.2))
		after_s = rng_between(&c->rng, 5, 20);
	sim_in(s, 1e6 * after_s, delete_old, x->old, x->by);
}

/* CREATE_CHILD_SA, and the last IKE_AUTH: who answers has both SAs before it answers. */
static void
child_step(struct sim *s, struct exchange *x, uint32_t at)
{
	if (at == 0) {
		can_receive(s, x->sa, !x->by);
		use_soon(s, x->sa, !x->by);
		return;
	}
	can_receive(s, x->sa, x->by);
	use(s, x->sa, x->by);
	rekeyed(s, x);
}

static void
quick_step(struct sim *s, struct exchange *x, uint32_t at)
{
	switch (at) {
	case 0:
		can_receive(s, x->sa, !x->by);
		break;
	case 1:
		can_receive(s, x->sa, x->by);
		use(s, x->sa, x->by);
		if (s->p.overtake_ms > 0) /* a responder that does not wait for the third */
			use(s, x->sa, !x->by);
		rekeyed(s, x);
		break;
	default:
		if (x->sa->tunnel->tx[!x->by] != x->sa)
			use(s, x->sa, !x->by);
		break;
	}
}

static void
child_failed(struct sim *s, struct exchange *x)
{
	x->sa->tunnel->rekeying = false;
	plan_rekey(s, x->sa->tunnel);
}

static void
start_child(struct sim *s, struct tunnel *t, enum sim_side by)
{
	struct ike *ike = t->client->ike;
	const bool v2 = ike->major == 2;
	struct exchange *x;

	t->rekeying = true;
	x = exchange_start(s, ike, by, v2 ? SPINAT_IKE2_CREATE_CHILD_SA : SPINAT_IKE1_QUICK,
		v2 ? 2 : 3, ike_next_id(s, ike, by), v2 ? child_step : quick_step);
	x->failed = child_failed;
	x->old = t->tx[by];
	x->sa = sa_new(s, t);
}

void
negotiate_rekey(struct sim *s, struct tunnel *t, enum sim_side by)
{
	if (!t->rekeying && t->tx[by] != NULL)
		start_child(s, t, by);
}

static void
next_tunnel(struct sim *s, void *object, uint64_t index)
{
	struct client *c = object;

	start_child(s, &c->tunnels[index], SIM_CLIENT);
}

static void
liveness_due(struct sim *s, void *object, uint64_t arg __rte_unused)
{
	struct client *c = object;

	negotiate_liveness(
		s, c, rng_chance(&c->rng, LIVENESS_BY_CLIENT) ? SIM_CLIENT : SIM_GATEWAY);
	sim_in(s, 1e6 * rng_between(&c->rng, s->p.liveness_lo_s, s->p.liveness_hi_s), liveness_due,
		c, 0);
}

static void
rekey_ike_due(struct sim *s, void *object, uint64_t by)
{
	negotiate_rekey_ike(s, object, by);
}

static void
plan_rekey_ike(struct sim *s, struct client *c)
{
	const double in_us = 1e6 * life_s(&c->rng, 2 * s->p.rekey_s);
	/* a new IKEv1 phase 1 is begun by who has begun the first one, as a rule */
	const double share = s->p.rekey_by_gateway * (c->major == 2 ? 1 : 0.25);
	const enum sim_side by = rng_chance(&c->rng, share) ? SIM_GATEWAY : SIM_CLIENT;

	if (s->p.rekey_s > 0 && s->now_us + in_us + 1e6 * s->p.calm_s < s->end_us)
		sim_in(s, in_us, rekey_ike_due, c, by);
}

static void
established(struct sim *s, struct client *c)
{
	uint32_t i;

	for (i = 1; i < c->n_tunnels; i++)
		sim_in(s, 1e6 * i * rng_between(&c->rng, 0.02, 0.5), next_tunnel, c, i);
	sim_in(s, 1e6 * rng_between(&c->rng, s->p.liveness_lo_s, s->p.liveness_hi_s), liveness_due,
		c, 0);
	plan_rekey_ike(s, c);
}

/* --- from nothing to the first child SA ----------------------------------------------------------- */

static void
advance_later(struct sim *s, void *object, uint64_t arg __rte_unused)
{
	advance(s, object);
}

static void
stage_step(struct sim *s, struct exchange *x, uint32_t at)
{
	/* the initiator goes on when it has sent or got the last message */
	if (at + 1 == (x->messages == 3 ? 2 : x->messages))
		sim_in(s, 1000, advance_later, x->ike, 0);
}

static void
float_step(struct sim *s, struct exchange *x, uint32_t at)
{
	struct client *c = x->ike->client;

	if (at + 1 != x->messages)
		return;
	c->natt = true;
	advance(s, x->ike);
}

static void
first_child_step(struct sim *s, struct exchange *x, uint32_t at)
{
	(x->ike->major == 2 ? child_step : quick_step)(s, x, at);
	if (at == 1) {
		x->ike->client->ike = x->ike;
		established(s, x->ike->client);
	}
}

static void
start_again(struct sim *s, void *object, uint64_t by)
{
	negotiate_start(s, object, by);
}

static void
stage_failed(struct sim *s, struct exchange *x)
{
	struct client *c = x->ike->client;

	sim_in(s, 1e6 * rng_between(&c->rng, RETRY_LO_S, RETRY_HI_S), start_again, c,
		x->ike->initiator);
}

static void
first_child(struct sim *s, struct ike *ike, uint8_t type, uint32_t messages, uint32_t id)
{
	struct tunnel *t = &ike->client->tunnels[0];
	struct exchange *x =
		exchange_start(s, ike, ike->initiator, type, messages, id, first_child_step);

	x->failed = stage_failed;
	x->sa = sa_new(s, t);
	t->rekeying = true;
}

static void
stage(struct sim *s, struct ike *ike, uint8_t type, uint32_t messages, uint32_t id,
	exchange_step step)
{
	exchange_start(s, ike, ike->initiator, type, messages, id, step)->failed = stage_failed;
}

static void
advance_v2(struct sim *s, struct ike *ike, uint32_t at)
{
	struct client *c = ike->client;

	if (at == 0) {
		ike->resp_spi = 0; /* COOKIE or INVALID_KE_PAYLOAD */
		stage(s, ike, SPINAT_IKE2_SA_INIT, 2, 0, stage_step);
	} else if (at == 1) {
		ike->resp_spi = rng_next(&c->rng) | 1;
		stage(s, ike, SPINAT_IKE2_SA_INIT, 2, 0, c->floats ? float_step : stage_step);
	} else if (at < 2u + c->eap_rounds) {
		stage(s, ike, SPINAT_IKE2_AUTH, 2, at - 1, stage_step);
	} else {
		ike->next_id[ike->initiator] = at;
		first_child(s, ike, SPINAT_IKE2_AUTH, 2, at - 1);
	}
}

static void
advance_v1(struct sim *s, struct ike *ike, uint32_t at)
{
	struct client *c = ike->client;

	if (at == 1)
		stage(s, ike, c->aggressive ? SPINAT_IKE1_AGGRESSIVE : SPINAT_IKE1_MAIN,
			c->aggressive ? 3 : 6, 0, c->floats ? float_step : stage_step);
	else if (at < 4 && c->config)
		stage(s, ike, SPINAT_IKE1_CONFIG, 2, ike_next_id(s, ike, ike->initiator),
			stage_step);
	else
		first_child(s, ike, SPINAT_IKE1_QUICK, 3, ike_next_id(s, ike, ike->initiator));
}

static void
advance(struct sim *s, struct ike *ike)
{
	struct client *c = ike->client;

	(ike->major == 2 ? advance_v2 : advance_v1)(s, ike, c->stage++);
}

void
negotiate_start(struct sim *s, struct client *c, enum sim_side by)
{
	c->stage = c->major == 2 && c->cookie ? 0 : 1;
	advance(s, ike_new(s, c, by));
}

/* --- what goes on afterwards ---------------------------------------------------------------------- */

static void
new_phase_1_step(struct sim *s __rte_unused, struct exchange *x, uint32_t at)
{
	if (at + 1 == x->messages)
		x->ike->client->ike = x->ike;
}

static void
new_ike_step(struct sim *s, struct exchange *x, uint32_t at)
{
	struct client *c = x->ike->client;

	if (at != 1)
		return;
	c->ike = ike_new(s, c, x->by);
	exchange_start(s, x->ike, x->by, SPINAT_IKE2_INFORMATIONAL, 2,
		ike_next_id(s, x->ike, x->by), NULL);
}

void
negotiate_rekey_ike(struct sim *s, struct client *c, enum sim_side by)
{
	if (c->ike == NULL)
		return;
	if (c->major == 2)
		exchange_start(s, c->ike, by, SPINAT_IKE2_CREATE_CHILD_SA, 2,
			ike_next_id(s, c->ike, by), new_ike_step);
	else
		exchange_start(s, ike_new(s, c, by), by, SPINAT_IKE1_MAIN, 6, 0, new_phase_1_step);
	plan_rekey_ike(s, c);
}

static void
liveness_v1_step(struct sim *s, struct exchange *x, uint32_t at __rte_unused)
{
	/* R-U-THERE-ACK is a message of its own (RFC 3706) */
	exchange_start(s, x->ike, !x->by, SPINAT_IKE1_INFORMATIONAL, 1,
		ike_next_id(s, x->ike, !x->by), NULL);
}

void
negotiate_liveness(struct sim *s, struct client *c, enum sim_side by)
{
	struct ike *ike = c->ike;

	if (ike->major == 2)
		exchange_start(
			s, ike, by, SPINAT_IKE2_INFORMATIONAL, 2, ike_next_id(s, ike, by), NULL);
	else
		exchange_start(s, ike, by, SPINAT_IKE1_INFORMATIONAL, 1, ike_next_id(s, ike, by),
			liveness_v1_step);
}
