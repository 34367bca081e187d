/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 the spinat authors
 */
#include <stdlib.h>

#include "packet/packet.h"
#include "pairs.h"
#include "world.h"

/*
 * First come, first served, as ESP passthrough in Linux-based routers does it: an unknown inbound
 * SPI of a gateway belongs to the oldest outbound one that has no partner. "First ESP packet will
 * get the first ESP response."
 */

#define UNREPLIED_MS 60000

static void *
box_create(
	const struct spinat_conf *conf, uint64_t seed, const struct box_held_ops *held __rte_unused)
{
	struct pairs *ps = sim_alloc(sizeof(*ps));

	if (pairs_create(ps, conf, seed))
		return ps;
	pairs_free(ps);
	free(ps);
	return NULL;
}

static void
box_free(void *box)
{
	pairs_free(box);
	free(box);
}

static void
esp_out(void *box, uint64_t now_ms, const struct spinat_ipsec_pkt *p,
	struct spinat_ipsec_decision *d)
{
	struct pairs *ps = box;
	struct pair *x = pairs_find_out(ps, p);

	*d = (struct spinat_ipsec_decision){.n = 1, .outside = p->outside};
	if (x == NULL) {
		x = pairs_add(ps, now_ms, p->client, p->outside, p->gateway);
		if (x == NULL) {
			*d = (struct spinat_ipsec_decision){.drop = SPINAT_DROP_BINDINGS_FULL};
			return;
		}
		pairs_set_out(ps, x, p);
	} else if (x->si == 0 && now_ms - x->last_ms > UNREPLIED_MS) {
		/* it was forgotten and is new again */
		pairs_close(ps, x);
		TAILQ_INSERT_TAIL(&ps->open, x, next);
	}
	x->last_ms = now_ms;
}

static void
esp_in(void *box, uint64_t now_ms, const struct spinat_ipsec_pkt *p,
	struct spinat_ipsec_decision *d)
{
	struct pairs *ps = box;
	struct pair *x = pairs_find_in(ps, p);

	*d = (struct spinat_ipsec_decision){.n = 1};
	if (x == NULL) {
		TAILQ_FOREACH(x, &ps->open, next)
			if (x->outside == p->outside && x->gateway == p->gateway &&
				x->proto == p->proto && now_ms - x->last_ms <= UNREPLIED_MS)
				break;
		if (x == NULL) {
			*d = (struct spinat_ipsec_decision){.drop = SPINAT_DROP_SPI_UNKNOWN};
			return;
		}
		pairs_set_in(ps, x, p);
	}
	x->last_ms = now_ms;
	x->packets++;
	d->to[0] = x->client;
}

static void
ike_out(void *box, uint64_t now_ms __rte_unused, const struct spinat_ipsec_pkt *p,
	const struct spinat_ike_hdr *h, struct spinat_ipsec_decision *d)
{
	pairs_ike_out(box, p, h, d);
}

static void
ike_in(void *box, uint64_t now_ms __rte_unused, const struct spinat_ipsec_pkt *p,
	const struct spinat_ike_hdr *h, struct spinat_ipsec_decision *d)
{
	pairs_ike_in(box, p, h, d);
}

static bool
next(void *box, uint32_t *cursor, struct spinat_binding_row *row)
{
	return pairs_next(box, cursor, row, "the oldest that waits");
}

static uint64_t
changes(void *box)
{
	const struct pairs *ps = box;

	return ps->bound;
}

static uint32_t
bindings(void *box)
{
	const struct pairs *ps = box;

	return 2 * ps->n;
}

const struct box_ops box_fifo = {
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
