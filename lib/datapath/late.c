/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 the spinat authors
 */
#include <rte_malloc.h>

#include "datapath/path.h"

/* Inbound ESP and AH that may have missed its owner: the binder says which packets are kept for a
 * moment, to whom they go late, and when they may go. */

struct spinat_slot *
spinat_kept_create(int socket)
{
	return rte_zmalloc_socket(
		"kept", SPINAT_HELD_MAX * sizeof(struct spinat_slot), RTE_CACHE_LINE_SIZE, socket);
}

void
spinat_keep(struct spinat_worker *w, const struct spinat_slot *s, uint32_t hold)
{
	struct spinat_slot *kept = &w->kept[hold - 1];

	*kept = *s;
	kept->flow = NULL;
	kept->ahead = NULL;
	/* without a buffer it is as if nobody became likely later */
	kept->m = rte_pktmbuf_copy(s->m, w->engine->pool, 0, UINT32_MAX);
	w->stats.kept++;
}

void
spinat_kept_late(void *ctx, uint32_t hold, const struct spinat_client *to, unsigned int n)
{
	struct spinat_worker *w = ctx;
	const struct spinat_slot *kept = &w->kept[hold - 1];
	struct spinat_verdict v = {.n = 0};

	/* a reload may have taken the interface it came by */
	if (kept->m == NULL || kept->iface >= w->snap->conf->n_ifaces)
		return;
	for (unsigned int i = 0; i < n; i++) {
		struct spinat_slot copy = *kept;

		copy.m = rte_pktmbuf_copy(kept->m, w->engine->pool, 0, UINT32_MAX);
		if (copy.m == NULL)
			return;
		w->stats.copies++;
		w->stats.copies_late++;
		spinat_forward(w, &copy,
			spinat_verdict_flow(&v, SPINAT_IN, to[i].realm, to[i].addr,
				kept->meta.key.dst, kept->meta.key.proto));
	}
}

void
spinat_kept_forget(void *ctx, uint32_t hold)
{
	struct spinat_worker *w = ctx;
	struct spinat_slot *kept = &w->kept[hold - 1];

	rte_pktmbuf_free(kept->m);
	kept->m = NULL;
	w->stats.kept--;
}
