/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 the spinat authors
 */
#include <errno.h>

#include <rte_malloc.h>

#include "nat/port_hold.h"

int
spinat_port_hold_create(
	struct spinat_port_hold *h, const char *name, uint32_t capacity, int socket_id)
{
	if (capacity == 0)
		return 0;
	h->capacity = capacity;
	h->ring = rte_zmalloc_socket(name, capacity * sizeof(*h->ring), 0, socket_id);
	return h->ring != NULL ? 0 : -ENOMEM;
}

void
spinat_port_hold_free(struct spinat_port_hold *h)
{
	rte_free(h->ring);
}

static void
free_first(struct spinat_port_hold *h, struct spinat_pools *pools)
{
	const struct spinat_held_port *held = &h->ring[h->first];

	spinat_port_free(spinat_pools_find(pools, held->addr), SPINAT_UDP, held->port);
	h->first = h->first + 1 < h->capacity ? h->first + 1 : 0;
	h->n--;
}

void
spinat_port_hold_put(
	struct spinat_port_hold *h, struct spinat_pools *pools, rte_be32_t addr, rte_be16_t port)
{
	uint32_t at;

	if (h->capacity == 0) {
		spinat_port_free(spinat_pools_find(pools, addr), SPINAT_UDP, port);
		return;
	}
	if (h->n == h->capacity)
		free_first(h, pools);
	at = h->first + h->n;
	h->ring[at < h->capacity ? at : at - h->capacity] =
		(struct spinat_held_port){.addr = addr, .port = port, .since_s = h->now_s};
	h->n++;
}

void
spinat_port_hold_tick(struct spinat_port_hold *h, struct spinat_pools *pools, uint32_t wait_s,
	uint32_t now_s, unsigned int budget)
{
	h->now_s = now_s;
	for (; budget > 0 && h->n > 0 && now_s - h->ring[h->first].since_s >= wait_s; budget--)
		free_first(h, pools);
}
