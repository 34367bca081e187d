/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 the spinat authors
 */
#include <rte_malloc.h>

#include "datapath/path.h"

/* Inbound ESP and AH that may have missed its owner: the binder says which packets are kept for a
 * moment, to whom they go late, and when they may go. */

struct spinat_kept *
spinat_kept_create(int socket)
{
	return rte_zmalloc_socket(
		"kept", SPINAT_HELD_MAX * sizeof(struct spinat_kept), RTE_CACHE_LINE_SIZE, socket);
}

void
spinat_keep(struct spinat_worker *w, const struct spinat_slot *s, uint32_t hold, bool given)
{
	struct spinat_kept *kept = &w->kept[hold - 1];

	kept->slot = *s;
	kept->slot.flow = NULL;
	kept->slot.ahead = NULL;
	kept->drop = given ? SPINAT_DROP_NONE : SPINAT_DROP_SPI_AMBIGUOUS;
	/* without a buffer it is as if nobody became likely later */
	if (given)
		kept->slot.m = rte_pktmbuf_copy(s->m, w->engine->pool, 0, UINT32_MAX);
	w->stats.kept++;
}

/* It is no copy where nobody has got it before. */
static void
count_late(struct spinat_worker *w, struct spinat_kept *kept)
{
	if (kept->drop == SPINAT_DROP_NONE) {
		w->stats.copies++;
		w->stats.copies_late++;
	} else {
		kept->drop = SPINAT_DROP_NONE;
		w->stats.delayed++;
	}
}

void
spinat_kept_late(void *ctx, uint32_t hold, const struct spinat_client *to, unsigned int n)
{
	struct spinat_worker *w = ctx;
	struct spinat_kept *kept = &w->kept[hold - 1];
	const struct spinat_slot *s = &kept->slot;
	struct spinat_verdict v = {.n = 0};

	/* a reload may have taken the interface it came by */
	if (s->m == NULL || s->iface >= w->snap->conf->n_ifaces)
		return;
	for (unsigned int i = 0; i < n; i++) {
		struct spinat_slot copy = *s;

		copy.m = rte_pktmbuf_copy(s->m, w->engine->pool, 0, UINT32_MAX);
		if (copy.m == NULL) {
			if (kept->drop != SPINAT_DROP_NONE)
				kept->drop = SPINAT_DROP_NO_MBUF;
			return;
		}
		count_late(w, kept);
		spinat_forward(w, &copy,
			spinat_verdict_flow(&v, SPINAT_IN, to[i].realm, to[i].addr, s->meta.key.dst,
				s->meta.key.proto));
	}
}

void
spinat_kept_forget(void *ctx, uint32_t hold)
{
	struct spinat_worker *w = ctx;
	struct spinat_kept *kept = &w->kept[hold - 1];

	if (kept->drop != SPINAT_DROP_NONE)
		spinat_drop(w, kept->slot.m, kept->drop);
	else
		rte_pktmbuf_free(kept->slot.m);
	kept->slot.m = NULL;
	w->stats.kept--;
}
