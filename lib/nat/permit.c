/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 the spinat authors
 */
#include <errno.h>

#include <rte_malloc.h>

#include "nat/hash.h"
#include "nat/permit.h"

int
spinat_permits_create(struct spinat_permits *p, const char *name, uint32_t capacity, int socket_id)
{
	p->rows = rte_zmalloc_socket(name, capacity * sizeof(*p->rows), 0, socket_id);
	if (p->rows == NULL || spinat_index_create(&p->index, name, capacity, socket_id) != 0)
		return -ENOMEM;
	for (uint32_t i = 0; i + 1 < capacity; i++)
		p->rows[i].sessions = i + 2;
	p->free = 1;
	return 0;
}

void
spinat_permits_free(struct spinat_permits *p)
{
	spinat_index_free(&p->index);
	rte_free(p->rows);
}

static uint64_t
hash_of(uint32_t mapping, rte_be32_t remote)
{
	const struct spinat_key key = {.src = remote, .dst = mapping, .dir = SPINAT_IN};

	return spinat_hash_key(&key);
}

struct wanted {
	const struct spinat_permit *rows;
	uint32_t mapping;
	rte_be32_t remote;
};

static bool
is_wanted(const void *ctx, uint32_t row)
{
	const struct wanted *w = ctx;

	return w->rows[row].mapping == w->mapping && w->rows[row].remote == w->remote;
}

static bool
find(const struct spinat_permits *p, uint64_t hash, uint32_t mapping, rte_be32_t remote,
	uint32_t *row)
{
	const struct wanted w = {p->rows, mapping, remote};

	return spinat_index_find(&p->index, hash, is_wanted, &w, row);
}

bool
spinat_permit_has(const struct spinat_permits *p, uint32_t mapping, rte_be32_t remote)
{
	uint32_t row;

	return find(p, hash_of(mapping, remote), mapping, remote, &row);
}

int
spinat_permit_hold(struct spinat_permits *p, uint32_t mapping, rte_be32_t remote)
{
	const uint64_t hash = hash_of(mapping, remote);
	uint32_t row;

	if (find(p, hash, mapping, remote, &row)) {
		p->rows[row].sessions++;
		return 0;
	}
	row = p->free - 1;
	if (p->free == 0 || spinat_index_add(&p->index, hash, row) != 0)
		return -ENOSPC;
	p->free = p->rows[row].sessions;
	p->rows[row] = (struct spinat_permit){.mapping = mapping, .remote = remote, .sessions = 1};
	return 0;
}

void
spinat_permit_release(struct spinat_permits *p, uint32_t mapping, rte_be32_t remote)
{
	const uint64_t hash = hash_of(mapping, remote);
	uint32_t row;

	if (!find(p, hash, mapping, remote, &row) || --p->rows[row].sessions > 0)
		return;
	spinat_index_del(&p->index, hash, row);
	p->rows[row].sessions = p->free;
	p->free = row + 1;
}
