/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 the spinat authors
 */
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "nat/nat.h"
#include "world.h"

/* Times of the box begin well above 0, as those of a machine that was just booted do. */
#define EPOCH_US 1000000000ull
/* The table of bindings is looked at so often, beside when it says that it has changed. */
#define LOOK_US 100000

struct owned {
	struct owned *next;
};

void
sim_fail(const char *text)
{
	fprintf(stderr, "spinat-sim: %s\n", text);
	exit(2);
}

void *
sim_alloc(size_t size)
{
	void *p = calloc(1, size);

	if (p == NULL)
		sim_fail("no memory");
	return p;
}

void *
sim_alloc_again(void *p, size_t size)
{
	p = realloc(p, size);
	if (p == NULL)
		sim_fail("no memory");
	return p;
}

void *
sim_own(struct sim *s, size_t size)
{
	struct owned *o = sim_alloc(sizeof(*o) + size);

	o->next = s->garbage;
	s->garbage = o;
	return o + 1;
}

struct sim_params
sim_defaults(void)
{
	return (struct sim_params){
		.clients = 10,
		.window_s = 1,
		.seconds = 60,
		.rekey_s = 300,
		.seed = 1,
		.gateways = 1,
		.outside = 1,
		.proto = IPPROTO_ESP,
		.rtt_lo_ms = 20,
		.rtt_hi_ms = 60,
		.jitter = 0.05,
		.loss = 0.001,
		.reorder = 0.01,
		.v1 = 0.3,
		.aggressive = 0.2,
		.config = 0.2,
		.eap = 0.15,
		.cookie = 0.05,
		.fragments = 0.2,
		.more_tunnels = 0.04,
		.rekey_by_gateway = 0.4,
		.client_ms_lo = 1,
		.client_ms_hi = 12,
		.gateway_ms_lo = 1,
		.gateway_ms_hi = 20,
		.slow = 0.05,
		.slow_ms = 80,
		.liveness_lo_s = 10,
		.liveness_hi_s = 30,
		.apps = {[APP_ASK] = 0.66,
			[APP_BULK] = 0.17,
			[APP_ASKED] = 0.11,
			[APP_FROM_GATEWAY] = 0.01,
			[APP_FROM_CLIENT] = 0.01,
			[APP_SILENT] = 0.04},
		.transfer_by_gateway = 0.15,
		.at_once = 0.7,
		.later_s = 5,
		.silence_s = 30,
		.varied = 0.33,
		.hellos = 2,
		.chatter_s = 8,
		.think_lo_s = 0.1,
		.think_hi_s = 2,
		.calm_s = 5,
	};
}

void
sim_at(struct sim *s, uint64_t at_us, sim_action action, void *object, uint64_t arg)
{
	queue_put(&s->queue, at_us, action, object, arg);
}

void
sim_in(struct sim *s, double delay_us, sim_action action, void *object, uint64_t arg)
{
	queue_put(&s->queue, s->now_us + (uint64_t)delay_us, action, object, arg);
}

static enum sim_app
draw_app(const struct sim_params *p, struct rng *r, bool silent_too)
{
	double total = 0, x;
	int kind;

	for (kind = 0; kind < APP_KINDS; kind++)
		if (kind != APP_SILENT || silent_too)
			total += p->apps[kind];
	x = rng_between(r, 0, total);
	for (kind = 0; kind < APP_KINDS - 1; kind++) {
		if (kind == APP_SILENT && !silent_too)
			continue;
		x -= p->apps[kind];
		if (x < 0)
			break;
	}
	return kind;
}

static void
create_tunnel(struct sim *s, struct client *c, struct tunnel *t)
{
	struct app *a = &t->app;
	struct rng *r = &c->rng;

	*t = (struct tunnel){.client = c};
	a->kind = draw_app(&s->p, r, true);
	a->until_us = 0;
	if (a->kind == APP_SILENT) {
		a->kind = draw_app(&s->p, r, false);
		a->until_us = (uint64_t)(1e6 * rng_exp(r, s->p.silence_s));
	} else if (!rng_chance(r, s->p.at_once)) {
		a->until_us = (uint64_t)(1e6 * rng_exp(r, s->p.later_s));
	}
	switch (a->kind) {
	case APP_BULK:
		a->asks = rng_chance(r, 0.5) ? SIM_GATEWAY : SIM_CLIENT;
		a->gap_us = 1e6 / rng_log_between(r, 50, 500);
		break;
	case APP_ASKED:
	case APP_FROM_GATEWAY:
		a->asks = SIM_GATEWAY;
		a->gap_us = 1e6 / rng_log_between(r, 1, 50);
		break;
	default:
		a->asks = SIM_CLIENT;
		a->gap_us = 1e6 / rng_log_between(r, 1, 50);
		break;
	}
	a->opens = a->asks;
	if (a->kind == APP_BULK)
		a->opens = rng_chance(r, s->p.transfer_by_gateway) ? SIM_GATEWAY : SIM_CLIENT;
	a->len = (uint32_t)rng_between(r, 120, a->kind == APP_ASK ? 500 : 1400) & ~3u;
	a->varies = rng_chance(r, s->p.varied);
	a->service_us = -1;
	a->think_s = rng_log_between(r, s->p.think_lo_s, s->p.think_hi_s);
}

static void
create_client(struct sim *s, uint32_t i)
{
	struct client *c = &s->clients[i];
	struct rng *r = &c->rng;
	uint32_t t;

	c->index = i;
	c->rng = rng_fork(&s->rng);
	c->net = rng_fork(&s->rng);
	c->id.addr = rte_cpu_to_be_32(0x0a000002 + i);
	c->gateway = rte_cpu_to_be_32(0xcb007109 + i % s->p.gateways);
	c->outside = spinat_nat_outside_of(s->conf, 0, c->id.addr);
	c->lan_us = (uint64_t)rng_log_between(r, 100, 1000);
	c->retry_us = (uint64_t)rng_between(r, 500000, 4000000);
	c->next_spi = 256 + (uint32_t)rng_between(r, 0, 4096);
	c->major = rng_chance(r, s->p.v1) ? 1 : 2;
	c->aggressive = rng_chance(r, s->p.aggressive);
	c->config = rng_chance(r, s->p.config);
	c->eap_rounds = rng_chance(r, s->p.eap) ? 3 : 0;
	c->cookie = rng_chance(r, s->p.cookie);
	c->slow_switch = rng_chance(r, 0.5);
	c->n_tunnels = rng_chance(r, s->p.more_tunnels) ? 2 + rng_chance(r, 0.3) : 1;
	for (t = 0; t < TUNNELS_MAX; t++)
		create_tunnel(s, c, &c->tunnels[t]);
}

static void
tick(struct sim *s, void *object __rte_unused, uint64_t arg __rte_unused)
{
	if (s->box_ops->tick != NULL)
		s->box_ops->tick(s->box, sim_ms(s));
	score_look(s, s->now_us - s->score.looked_us >= LOOK_US);
	sim_in(s, BOX_TICK_MS * 1000, tick, NULL, 0);
}

void
sim_create(struct sim *s)
{
	const struct box_held_ops held = net_held_ops(s);
	uint32_t i;

	s->rng = (struct rng){s->p.seed};
	rng_next(&s->rng);
	s->begin_us = s->now_us = s->end_us = EPOCH_US;
	s->rtt_us = 1000 * rng_between(&s->rng, s->p.rtt_lo_ms, s->p.rtt_hi_ms);
	s->box = s->box_ops->create(s->conf, rng_next(&s->rng), &held);
	if (s->box == NULL)
		sim_fail("no memory for the box");
	s->clients = sim_own(s, s->p.clients * sizeof(*s->clients));
	for (i = 0; i < s->p.clients; i++)
		create_client(s, i);
	score_create(s);
	sim_in(s, 0, tick, NULL, 0);
}

void
sim_restart_box(struct sim *s, bool checkpoint)
{
	const struct box_held_ops held = net_held_ops(s);
	void *before = s->box;
	uint32_t i;

	s->box = s->box_ops->create(s->conf, rng_next(&s->rng), &held);
	if (s->box == NULL)
		sim_fail("no memory for the box");
	if (checkpoint && s->box_ops->restore != NULL)
		s->box_ops->restore(s->box, before, sim_ms(s));
	s->box_ops->free(before);
	net_forget_all(s);
	for (i = 0; i < s->p.clients; i++)
		s->clients[i].seen = false;
}

static void
start(struct sim *s, void *object, uint64_t arg __rte_unused)
{
	struct client *c = object;

	c->started_us = s->now_us;
	negotiate_start(s, c, SIM_CLIENT);
}

void
sim_start_client(struct sim *s, struct client *c, uint64_t at_us)
{
	sim_at(s, at_us, start, c, 0);
}

void
sim_run(struct sim *s, uint64_t until_us)
{
	struct event e;

	while (queue_take(&s->queue, until_us, &e)) {
		s->now_us = e.at_us;
		e.action(s, e.object, e.arg);
	}
	s->now_us = until_us;
	score_look(s, true);
}

void
sim_run_crowd(struct sim *s)
{
	const uint64_t window_us = (uint64_t)(1e6 * s->p.window_s);
	struct rng r = rng_fork(&s->rng);
	uint32_t i;

	for (i = 0; i < s->p.clients; i++)
		sim_start_client(
			s, &s->clients[i], s->begin_us + (uint64_t)rng_between(&r, 0, window_us));
	s->end_us = s->begin_us + window_us + (uint64_t)(1e6 * s->p.seconds);
	sim_run(s, s->end_us);
}

void
sim_destroy(struct sim *s)
{
	struct owned *o;

	s->box_ops->free(s->box);
	queue_free(&s->queue);
	rte_hash_free(s->score.index);
	free(s->score.bindings);
	while ((o = s->garbage) != NULL) {
		s->garbage = o->next;
		free(o);
	}
}
