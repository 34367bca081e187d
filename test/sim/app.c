/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 the spinat authors
 */
#include "world.h"

/*
 * What goes through the tunnels: questions and answers by either side, TCP-like transfers, one-way
 * streams; and what every host asks for beside all that. Who asks opens a connection first, and
 * repeats a question that stays unanswered; acknowledgements are what a TCP peer
 * sends, every second packet.
 */

#define LEN_ACK 104 /* TCP without data, in ESP, in tunnel mode */
#define LEN_SMALL 350 /* most that a name, the time or a connection's first packets need */
#define LEN_FULL 1480
#define ASK_AGAIN_US 1000000
#define ANSWER_MEAN 12
#define ANSWER_MOST 64
#define BURST 8 /* packets of a bulk transfer that leave together */
#define IN_FLIGHT 64 /* at most, without an acknowledgement */
#define RTO_US 200000 /* RFC 6298, as implemented; doubled with each try */
#define RTO_DOUBLED 5 /* times */
#define BULK_S 10 /* mean length of one, and half as long a pause after it */

static uint32_t
draw_len(struct tunnel *t, uint32_t lo, uint32_t hi)
{
	return (uint32_t)rng_between(&t->client->rng, lo, hi) & ~3u;
}

/* Full packets but for the last one of an answer; what TCP sends on its own is short. */
static uint32_t
packet_len(struct tunnel *t, const struct app_message *m)
{
	const struct app *a = &t->app;

	switch (m->what) {
	case APP_CHAT:
	case APP_CHAT_BACK:
	case APP_HELLO:
		return draw_len(t, LEN_ACK, LEN_SMALL);
	case APP_HELLO_BACK:
		/* after TCP's comes TLS's, with certificates */
		return m->id == 0 ? LEN_ACK : LEN_FULL;
	case APP_QUESTION:
		return a->kind == APP_BULK ? LEN_ACK : a->len;
	case APP_ANSWER:
		if (a->kind == APP_BULK)
			return LEN_ACK;
		return m->at + 1 == m->of ? draw_len(t, LEN_ACK, LEN_FULL) : LEN_FULL;
	case APP_ACK:
		return LEN_ACK;
	case APP_DATA:
		if (a->kind == APP_BULK)
			return LEN_FULL;
		return a->varies ? draw_len(t, LEN_ACK, LEN_FULL) : a->len;
	}
	return LEN_FULL;
}

/* One packet on the tunnel's SA, where one is up. */
static void
send(struct sim *s, struct tunnel *t, enum sim_side side, enum app_what what, uint32_t id,
	uint32_t at, uint32_t of)
{
	struct sa *sa = t->tx[side];
	struct packet *p;

	if (sa == NULL)
		return;
	p = packet_new(s, t->client, PACKET_ESP);
	p->sa = sa;
	p->seq = ++sa->seq[side];
	p->message = (struct app_message){what, id, at, of};
	p->len = packet_len(t, &p->message);
	net_send(s, p, side);
}

/* Ever more seldom, as TCP does. */
static void
again(struct sim *s, struct tunnel *t, sim_action action, uint64_t arg)
{
	sim_in(s, (double)(ASK_AGAIN_US << RTE_MIN(t->app.tries++, (uint32_t)RTO_DOUBLED)), action,
		t, arg);
}

static void
ask_again(struct sim *s, void *object, uint64_t id)
{
	struct tunnel *t = object;
	struct app *a = &t->app;

	if (a->answered >= id || a->id != id)
		return;
	send(s, t, a->opens, APP_QUESTION, a->id, a->step, 2);
	again(s, t, ask_again, id);
}

static void
ask(struct sim *s, void *object, uint64_t arg __rte_unused)
{
	struct tunnel *t = object;
	struct app *a = &t->app;

	a->got = 0;
	a->step = 0;
	a->id++;
	a->tries = 0;
	send(s, t, a->opens, APP_QUESTION, a->id, 0, 2);
	again(s, t, ask_again, a->id);
}

void
app_ask(struct sim *s, struct tunnel *t, enum sim_side side)
{
	t->app.asks = t->app.opens = side;
	ask(s, t, 0);
}

/* arg: packet of the answer, the whole answer's packets above it, then the question's id. */
static void
answer(struct sim *s, void *object, uint64_t arg)
{
	struct tunnel *t = object;
	const uint32_t at = arg & 0xff, of = arg >> 8 & 0xff;

	send(s, t, !t->app.opens, APP_ANSWER, arg >> 16, at, of);
	if (at + 1 < of)
		sim_in(s, rng_between(&t->client->rng, 50, 1000), answer, t, arg + 1);
}

/* A server answers within some ms, but for some; a host in its LAN faster. */
static double
service_us(const struct app *a, struct rng *r, enum sim_side side)
{
	if (a->service_us >= 0)
		return a->service_us;
	if (side == SIM_GATEWAY)
		return rng_chance(r, 0.85) ? rng_between(r, 0, 20000) : rng_exp(r, 300000);
	return rng_chance(r, 0.95) ? rng_between(r, 200, 5000) : rng_exp(r, 100000);
}

static void
acknowledge(struct sim *s, void *object, uint64_t side)
{
	send(s, object, side, APP_ACK, 0, 0, 1);
}

static void
got_part(struct sim *s, struct tunnel *t, enum sim_side side, bool last)
{
	if (++t->app.got % 2 == 0 || last)
		sim_in(s, rng_between(&t->client->rng, 50, 1000), acknowledge, t, side);
}

static void
stream(struct sim *s, void *object, uint64_t arg __rte_unused)
{
	struct tunnel *t = object;

	send(s, t, t->app.asks, APP_DATA, 0, 0, 1);
	sim_in(s, t->app.gap_us * rng_between(&t->client->rng, 0.8, 1.2), stream, t, 0);
}

/* Nothing is acknowledged: one packet, ever more seldom. */
static double
probe(struct sim *s, struct tunnel *t)
{
	const uint32_t tries = t->app.unacked++ - IN_FLIGHT;

	send(s, t, t->app.asks, APP_DATA, 0, 0, 1);
	return (double)(RTO_US << RTE_MIN(tries, (uint32_t)RTO_DOUBLED));
}

static double
burst(struct sim *s, struct tunnel *t)
{
	const uint32_t n = rng_count(&t->client->rng, BURST / 2.0, BURST);
	uint32_t i;

	for (i = 0; i < n; i++)
		send(s, t, t->app.asks, APP_DATA, 0, i, n);
	t->app.unacked += n;
	return n * t->app.gap_us;
}

static void
bulk(struct sim *s, void *object, uint64_t arg __rte_unused)
{
	struct tunnel *t = object;
	struct app *a = &t->app;
	const double next_us = a->unacked >= IN_FLIGHT ? probe(s, t) : burst(s, t);

	if (s->now_us < a->until_us) {
		sim_in(s, next_us, bulk, t, 0);
		return;
	}
	a->open = false;
	sim_in(s, rng_exp(&t->client->rng, 0.5e6 * BULK_S), ask, t, 0);
}

static void
begin_bulk(struct sim *s, struct tunnel *t, double delay_us)
{
	struct app *a = &t->app;

	if (a->open)
		return;
	a->open = true;
	a->unacked = 0;
	a->until_us = s->now_us + (uint64_t)rng_exp(&t->client->rng, 1e6 * BULK_S);
	sim_in(s, delay_us, bulk, t, 0);
}

static void
chat(struct sim *s, void *object, uint64_t arg __rte_unused)
{
	struct tunnel *t = object;

	send(s, t, SIM_CLIENT, APP_CHAT, 0, 0, 1);
	sim_in(s, 1e6 * rng_exp(&t->client->rng, s->p.chatter_s), chat, t, 0);
}

static void
chat_back(struct sim *s, void *object, uint64_t arg __rte_unused)
{
	send(s, object, SIM_GATEWAY, APP_CHAT_BACK, 0, 0, 1);
}

static void begin(struct sim *s, void *object, uint64_t arg);

/* One round trip of a connection's set-up, said again every second until it is answered. */
static void
hello(struct sim *s, void *object, uint64_t number)
{
	struct tunnel *t = object;

	if (t->app.hellos != number)
		return;
	send(s, t, t->app.opens, APP_HELLO, (uint32_t)number, 0, 1);
	again(s, t, hello, number);
}

static void
hello_back(struct sim *s, void *object, uint64_t number)
{
	struct tunnel *t = object;

	send(s, t, !t->app.opens, APP_HELLO_BACK, (uint32_t)number, 0, 1);
}

static void
got_hello_back(struct sim *s, struct tunnel *t, uint32_t number)
{
	struct app *a = &t->app;

	if (a->hellos != number)
		return;
	a->hellos++;
	a->tries = 0;
	sim_in(s, rng_between(&t->client->rng, 50, 2000), a->hellos < s->p.hellos ? hello : begin,
		t, a->hellos);
}

static bool
connects(const struct sim *s, const struct app *a)
{
	return s->p.hellos > 0 &&
	       (a->kind == APP_ASK || a->kind == APP_ASKED || a->kind == APP_BULK);
}

static void
begin(struct sim *s, void *object, uint64_t arg __rte_unused)
{
	struct tunnel *t = object;

	switch (t->app.kind) {
	case APP_ASK:
	case APP_ASKED:
	case APP_BULK:
		ask(s, t, 0);
		break;
	case APP_FROM_GATEWAY:
	case APP_FROM_CLIENT:
		stream(s, t, 0);
		break;
	default:
		break;
	}
}

void
app_up(struct sim *s, struct tunnel *t, enum sim_side side)
{
	struct app *a = &t->app;

	if (side == SIM_CLIENT && !a->chats && a->kind != APP_NONE && s->p.chatter_s > 0) {
		a->chats = true;
		sim_in(s, 1e6 * rng_exp(&t->client->rng, s->p.chatter_s), chat, t, 0);
	}
	if (a->started || side != a->opens)
		return;
	a->started = true;
	/* the packet that the tunnel was made for waits for it */
	sim_in(s, a->until_us + rng_between(&t->client->rng, 100, 3000),
		connects(s, a) ? hello : begin, t, 0);
}

static void
got_question(struct sim *s, struct tunnel *t, enum sim_side side, const struct app_message *m)
{
	struct rng *r = &t->client->rng;
	const double delay_us = service_us(&t->app, r, side);
	const bool connects = t->app.kind == APP_BULK;
	const uint32_t packets = connects ? 1 : rng_count(r, ANSWER_MEAN, ANSWER_MOST);

	if (connects && m->at == 1)
		begin_bulk(s, t, delay_us);
	else
		sim_in(s, connects ? 100 : delay_us, answer, t,
			(uint64_t)m->id << 16 | packets << 8);
}

static void
got_answer(struct sim *s, struct tunnel *t, enum sim_side side, const struct app_message *m)
{
	struct app *a = &t->app;
	struct rng *r = &t->client->rng;

	if (m->id != a->id || a->answered == m->id)
		return;
	if (a->kind == APP_BULK && a->asks != side) {
		a->step = 1; /* connected: now what it is for */
		send(s, t, side, APP_QUESTION, a->id, 1, 2);
		return;
	}
	if (a->kind == APP_BULK) {
		a->answered = m->id;
		begin_bulk(s, t, rng_between(r, 100, 1000));
		return;
	}
	got_part(s, t, side, m->at + 1 == m->of);
	if (m->at + 1 < m->of)
		return;
	a->answered = m->id;
	if (a->kind != APP_NONE)
		sim_in(s, 1e6 * rng_exp(r, a->think_s), ask, t, 0);
}

void
app_receive(struct sim *s, struct tunnel *t, enum sim_side side, const struct app_message *m)
{
	struct app *a = &t->app;

	switch (m->what) {
	case APP_CHAT:
		sim_in(s, service_us(a, &t->client->rng, side), chat_back, t, 0);
		break;
	case APP_CHAT_BACK:
		break;
	case APP_HELLO:
		sim_in(s, rng_between(&t->client->rng, 50, 2000), hello_back, t, m->id);
		break;
	case APP_HELLO_BACK:
		got_hello_back(s, t, m->id);
		break;
	case APP_QUESTION:
		got_question(s, t, side, m);
		break;
	case APP_ANSWER:
		got_answer(s, t, side, m);
		break;
	case APP_DATA:
		if (a->kind != APP_BULK)
			break;
		a->answered = a->id;
		got_part(s, t, side, m->at + 1 == m->of);
		break;
	case APP_ACK:
		if (side == a->asks)
			a->unacked = 0;
		break;
	}
}
