/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 the spinat authors
 */
#include <stdlib.h>

#include "packet/packet.h"
#include "pairs.h"
#include "world.h"

/*
 * One negotiation at a time, as IKE and ESP gateways' application layer gateways do it: who begins
 * one holds the gate of (P, G) until both SPIs of his pair have been seen or his time is over;
 * what others want to begin meanwhile is dropped, and repeated by them.
 */

#define HOLD_MS 5000
#define GATES_MAX 64

struct gate {
	rte_be32_t outside, gateway;
	struct pair *holder; /* NULL: open for anyone */
	uint64_t since_ms;
};

struct gate_box {
	struct pairs pairs;
	struct gate gates[GATES_MAX];
	uint32_t n_gates;
};

static void *
box_create(
	const struct spinat_conf *conf, uint64_t seed, const struct box_held_ops *held __rte_unused)
{
	struct gate_box *b = sim_alloc(sizeof(*b));

	if (pairs_create(&b->pairs, conf, seed))
		return b;
	pairs_free(&b->pairs);
	free(b);
	return NULL;
}

static void
box_free(void *box)
{
	struct gate_box *b = box;

	pairs_free(&b->pairs);
	free(b);
}

static void
release(struct gate_box *b, struct gate *g)
{
	if (g->holder->si == 0)
		pairs_close(&b->pairs, g->holder);
	g->holder = NULL;
}

static struct gate *
gate_of(struct gate_box *b, uint64_t now_ms, const struct spinat_ipsec_pkt *p)
{
	struct gate *g = b->gates;

	while (g < b->gates + b->n_gates && (g->outside != p->outside || g->gateway != p->gateway))
		g++;
	if (g == b->gates + GATES_MAX)
		sim_fail("too many pairs of outside address and gateway for the gate");
	if (g == b->gates + b->n_gates)
		b->gates[b->n_gates++] =
			(struct gate){.outside = p->outside, .gateway = p->gateway};
	if (g->holder != NULL && now_ms - g->since_ms >= HOLD_MS)
		release(b, g);
	return g;
}

/* Does this client hold the gate now, or can it take it? */
static bool
pass(struct gate_box *b, struct gate *g, uint64_t now_ms, const struct spinat_ipsec_pkt *p,
	struct spinat_client client)
{
	if (g->holder == NULL) {
		g->holder = pairs_add(&b->pairs, now_ms, client, p->outside, p->gateway);
		g->since_ms = now_ms;
	}
	return g->holder != NULL && g->holder->client.addr == client.addr;
}

static void
esp_out(void *box, uint64_t now_ms, const struct spinat_ipsec_pkt *p,
	struct spinat_ipsec_decision *d)
{
	struct gate_box *b = box;
	struct pair *x = pairs_find_out(&b->pairs, p);
	struct gate *g = gate_of(b, now_ms, p);

	*d = (struct spinat_ipsec_decision){.n = 1, .outside = p->outside};
	if (x != NULL && (x->si != 0 || (x != g->holder && now_ms - x->last_ms < HOLD_MS))) {
		/* known; one whose time is over goes on, but asks for the gate after a silence only */
		x->last_ms = now_ms;
		return;
	}
	if (!pass(b, g, now_ms, p, p->client)) {
		*d = (struct spinat_ipsec_decision){.drop = SPINAT_DROP_SPI_AMBIGUOUS};
		return;
	}
	g->holder->last_ms = now_ms;
	if (g->holder->so != p->spi)
		pairs_set_out(&b->pairs, g->holder, p);
	if (g->holder->si != 0)
		release(b, g);
}

static void
esp_in(void *box, uint64_t now_ms, const struct spinat_ipsec_pkt *p,
	struct spinat_ipsec_decision *d)
{
	struct gate_box *b = box;
	struct pair *x = pairs_find_in(&b->pairs, p);
	struct gate *g = gate_of(b, now_ms, p);

	*d = (struct spinat_ipsec_decision){.n = 1};
	if (x == NULL) {
		x = g->holder;
		if (x == NULL || x->si != 0) {
			*d = (struct spinat_ipsec_decision){.drop = SPINAT_DROP_SPI_UNKNOWN};
			return;
		}
		pairs_set_in(&b->pairs, x, p);
		if (x->so != 0)
			release(b, g);
	}
	x->last_ms = now_ms;
	x->packets++;
	d->to[0] = x->client;
}

/* Is it a negotiation that ends in an SA? */
static bool
negotiates(const struct spinat_ike_hdr *h)
{
	return h->exchange != SPINAT_IKE1_INFORMATIONAL && h->exchange != SPINAT_IKE2_INFORMATIONAL;
}

static void
ike_out(void *box, uint64_t now_ms, const struct spinat_ipsec_pkt *p,
	const struct spinat_ike_hdr *h, struct spinat_ipsec_decision *d)
{
	struct gate_box *b = box;
	struct gate *g = gate_of(b, now_ms, p);

	if (negotiates(h) && !h->response && !pass(b, g, now_ms, p, p->client))
		*d = (struct spinat_ipsec_decision){.drop = SPINAT_DROP_SPI_AMBIGUOUS};
	else
		pairs_ike_out(&b->pairs, p, h, d);
}

static void
ike_in(void *box, uint64_t now_ms, const struct spinat_ipsec_pkt *p, const struct spinat_ike_hdr *h,
	struct spinat_ipsec_decision *d)
{
	struct gate_box *b = box;
	struct gate *g = gate_of(b, now_ms, p);

	pairs_ike_in(&b->pairs, p, h, d);
	if (d->n == 1 && negotiates(h) && !h->response && !pass(b, g, now_ms, p, d->to[0]))
		*d = (struct spinat_ipsec_decision){.drop = SPINAT_DROP_SPI_AMBIGUOUS};
}

static bool
next(void *box, uint32_t *cursor, struct spinat_binding_row *row)
{
	const struct gate_box *b = box;

	return pairs_next(&b->pairs, cursor, row, "it holds the gate");
}

static uint64_t
changes(void *box)
{
	const struct gate_box *b = box;

	return b->pairs.bound;
}

static uint32_t
bindings(void *box)
{
	const struct gate_box *b = box;

	return 2 * b->pairs.n;
}

const struct box_ops box_gate = {
	.create = box_create,
	.free = box_free,
	.esp_out = esp_out,
	.esp_in = esp_in,
	.ike_out = ike_out,
	.ike_in = ike_in,
	.next = next,
	.changes = changes,
	.bindings = bindings,
};
