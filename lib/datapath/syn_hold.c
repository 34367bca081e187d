/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 the spinat authors
 */
#include <string.h>

#include "datapath/path.h"

/*
 * SYNs from outside that nobody has asked for (RFC 5382 REQ-4): they are dropped, but an error is sent
 * only 6 seconds later, and only where the inside host has not opened the same connection meanwhile,
 * as in a simultaneous open. What the error quotes is kept, not the packet. As many as fit are
 * answered; more are not, so that a flood of SYNs makes no flood of errors.
 */

#define HOLD_MS 6000

void
spinat_syn_hold(struct spinat_worker *w, const struct spinat_slot *s)
{
	struct spinat_syn_hold *h = &w->syns;
	struct spinat_held_syn *held = &h->ring[h->head % SPINAT_SYNS_HELD];

	if (h->head - h->tail == SPINAT_SYNS_HELD)
		return;
	held->due_ms = w->now_ms + HOLD_MS;
	held->port = s->m->port;
	held->iface = s->iface;
	held->key = s->meta.key;
	held->len = RTE_MIN(s->m->data_len, sizeof(held->frame));
	memcpy(held->frame, rte_pktmbuf_mtod(s->m, void *), held->len);
	h->head++;
}

static void
answer(struct spinat_worker *w, const struct spinat_held_syn *held)
{
	struct spinat_slot s = {.iface = held->iface, .why = SPINAT_WHY_RX};

	if (held->iface >= w->snap->conf->n_ifaces ||
		spinat_table_find(w->nat->table, &held->key) != NULL)
		return;
	s.m = rte_pktmbuf_alloc(w->engine->pool);
	if (s.m == NULL)
		return;
	s.m->port = held->port;
	memcpy(rte_pktmbuf_append(s.m, held->len), held->frame, held->len);
	/* its length is that of the whole segment, which may have been longer than what is kept */
	spinat_parse(held->frame, held->len, UINT16_MAX, false, &s.meta);
	spinat_send_error(w, &s, SPINAT_ICMP_UNREACHABLE, SPINAT_UNREACH_PORT, 0);
	rte_pktmbuf_free(s.m);
}

void
spinat_syns_expire(struct spinat_worker *w)
{
	struct spinat_syn_hold *h = &w->syns;

	while (h->tail != h->head && h->ring[h->tail % SPINAT_SYNS_HELD].due_ms <= w->now_ms)
		answer(w, &h->ring[h->tail++ % SPINAT_SYNS_HELD]);
}
