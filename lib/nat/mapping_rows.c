/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 the spinat authors
 */
#include <errno.h>

#include <rte_malloc.h>
#include <rte_prefetch.h>

#include "nat/mapping.h"
#include "nat/mapping_rows.h"

int
spinat_mapping_rows_create(struct spinat_mapping_rows *r, const char *name, uint32_t capacity,
	uint32_t max_waiting, int socket_id)
{
	r->row = rte_zmalloc_socket(name, capacity * sizeof(*r->row), 0, socket_id);
	if (r->row == NULL)
		return -ENOMEM;
	r->capacity = r->n_free = capacity;
	r->max_waiting = max_waiting;
	for (uint32_t i = 0; i + 1 < capacity; i++)
		r->row[i].sessions = i + 2;
	r->free = 1;
	return 0;
}

void
spinat_mapping_rows_free(struct spinat_mapping_rows *r)
{
	rte_free(r->row);
}

/* The longest wait is over: the port is free, and so is the row. */
static void
end_wait(struct spinat_mapping_rows *r, struct spinat_pools *pools)
{
	const uint32_t row = r->oldest - 1;
	const struct spinat_mapping *map = &r->row[row];

	spinat_port_free(spinat_pools_find(pools, map->out_addr), SPINAT_UDP, map->out_port);
	r->oldest = map->sessions;
	if (r->oldest == 0)
		r->newest = 0;
	r->n_waiting--;
	spinat_mapping_row_put(r, row);
}

uint32_t
spinat_mapping_row_take(struct spinat_mapping_rows *r, struct spinat_pools *pools)
{
	uint32_t row;

	if (r->n_free == 0)
		end_wait(r, pools);
	row = r->free - 1;
	r->free = r->row[row].sessions;
	r->n_free--;
	if (r->free != 0) /* the next one's */
		rte_prefetch0(&r->row[r->free - 1]);
	return row;
}

void
spinat_mapping_row_put(struct spinat_mapping_rows *r, uint32_t row)
{
	r->row[row].use = SPINAT_MAPPING_FREE;
	r->row[row].sessions = r->free;
	r->free = row + 1;
	r->n_free++;
}

void
spinat_mapping_row_wait(struct spinat_mapping_rows *r, struct spinat_pools *pools, uint32_t row)
{
	struct spinat_mapping *map = &r->row[row];

	map->use = SPINAT_MAPPING_FREE;
	map->created = r->now_s;
	map->sessions = 0;
	if (r->newest != 0)
		r->row[r->newest - 1].sessions = row + 1;
	else
		r->oldest = row + 1;
	r->newest = row + 1;
	if (++r->n_waiting > r->max_waiting)
		end_wait(r, pools);
}

void
spinat_mapping_rows_tick(struct spinat_mapping_rows *r, struct spinat_pools *pools, uint32_t wait_s,
	uint32_t now_s, unsigned int budget)
{
	r->now_s = now_s;
	for (; budget > 0 && r->oldest != 0 && now_s - r->row[r->oldest - 1].created >= wait_s;
		budget--)
		end_wait(r, pools);
}
