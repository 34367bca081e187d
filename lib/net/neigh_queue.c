/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 the spinat authors
 */
#include <errno.h>
#include <stdlib.h>

#include "net/neigh.h"
#include "net/neigh_queue.h"

int
spinat_neigh_queue_init(struct spinat_neigh_queue *q, uint16_t per_neigh)
{
	q->cells = calloc(SPINAT_NEIGH_HELD_MAX, sizeof(*q->cells));
	if (q->cells == NULL)
		return -ENOMEM;
	for (uint16_t i = 0; i < SPINAT_NEIGH_HELD_MAX; i++)
		q->cells[i].next = i + 1;
	q->per_neigh = per_neigh;
	q->free = 0;
	return 0;
}

void
spinat_neigh_queue_fini(struct spinat_neigh_queue *q)
{
	for (uint16_t i = 0; i < SPINAT_NEIGH_HELD_MAX; i++)
		rte_pktmbuf_free(q->cells[i].m);
	free(q->cells);
}

struct rte_mbuf *
spinat_neigh_queue_pop(struct spinat_neigh_queue *q, struct spinat_nexthop *nh)
{
	uint16_t cell = nh->queue_head;
	struct rte_mbuf *m;

	if (nh->waiting == 0)
		return NULL;
	m = q->cells[cell].m;
	nh->queue_head = q->cells[cell].next;
	nh->waiting--;
	q->cells[cell].m = NULL;
	q->cells[cell].next = q->free;
	q->free = cell;
	return m;
}

struct rte_mbuf *
spinat_neigh_queue_push(struct spinat_neigh_queue *q, struct spinat_nexthop *nh, struct rte_mbuf *m)
{
	struct rte_mbuf *oldest = NULL;
	uint16_t cell;

	if (nh->waiting >= q->per_neigh || q->free == SPINAT_NEIGH_HELD_MAX) {
		oldest = spinat_neigh_queue_pop(q, nh);
		if (oldest == NULL)
			return m;
	}
	cell = q->free;
	q->free = q->cells[cell].next;
	q->cells[cell].m = m;
	if (nh->waiting == 0)
		nh->queue_head = cell;
	else
		q->cells[nh->queue_tail].next = cell;
	nh->queue_tail = cell;
	nh->waiting++;
	return oldest;
}

void
spinat_neigh_queue_move(struct spinat_nexthop *from, struct spinat_nexthop *to)
{
	to->queue_head = from->queue_head;
	to->queue_tail = from->queue_tail;
	to->waiting = from->waiting;
	from->waiting = 0;
}
