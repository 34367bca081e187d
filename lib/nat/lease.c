/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 the spinat authors
 */
#include <rte_malloc.h>

#include "nat/hash.h"
#include "nat/index.h"
#include "nat/lease.h"

#define NO_ROW UINT32_MAX

struct lease {
	rte_be32_t inside, outside; /* outside 0: the row is free */
	uint32_t until_s; /* of a free row: the next free one, plus one */
	uint16_t realm;
};

struct spinat_leases {
	struct lease *rows;
	struct spinat_index index;
	uint32_t capacity;
	uint32_t free; /* first free row, plus one; 0: none */
	uint32_t used;
	uint32_t sweep_at;
};

struct spinat_leases *
spinat_leases_create(const char *name, uint32_t capacity, int socket_id)
{
	struct spinat_leases *l = rte_zmalloc_socket(name, sizeof(*l), 0, socket_id);

	if (l == NULL)
		return NULL;
	l->capacity = capacity;
	l->rows = rte_zmalloc_socket(name, capacity * sizeof(*l->rows), 0, socket_id);
	if (l->rows == NULL || spinat_index_create(&l->index, name, capacity, socket_id) != 0) {
		spinat_leases_free(l);
		return NULL;
	}
	for (uint32_t i = 0; i + 1 < capacity; i++)
		l->rows[i].until_s = i + 2;
	l->free = 1;
	return l;
}

void
spinat_leases_free(struct spinat_leases *l)
{
	if (l == NULL)
		return;
	spinat_index_free(&l->index);
	rte_free(l->rows);
	rte_free(l);
}

static uint64_t
hash_of(uint16_t realm, rte_be32_t inside)
{
	const struct spinat_key key = {.src = inside, .dir = SPINAT_OUT, .realm = realm};

	return spinat_hash_key(&key);
}

struct wanted {
	const struct lease *rows;
	rte_be32_t inside;
	uint16_t realm;
};

static bool
is_wanted(const void *ctx, uint32_t row)
{
	const struct wanted *w = ctx;

	return w->rows[row].inside == w->inside && w->rows[row].realm == w->realm;
}

static uint32_t
find(const struct spinat_leases *l, uint16_t realm, rte_be32_t inside)
{
	const struct wanted w = {l->rows, inside, realm};
	uint32_t row;

	return l->used > 0 && spinat_index_find(
				      &l->index, hash_of(realm, inside), is_wanted, &w, &row)
		       ? row
		       : NO_ROW;
}

rte_be32_t
spinat_lease_find(const struct spinat_leases *l, const struct spinat_conf *conf, uint16_t realm,
	rte_be32_t inside)
{
	const uint32_t row = find(l, realm, inside);
	const struct spinat_outside_addr *o;

	if (row == NO_ROW)
		return 0;
	o = spinat_conf_outside(conf, l->rows[row].outside);
	return o != NULL && o->kinds & SPINAT_OUTSIDE_POOL && o->realm == realm
		       ? l->rows[row].outside
		       : 0;
}

static uint32_t
add(struct spinat_leases *l, uint16_t realm, rte_be32_t inside)
{
	const uint32_t row = l->free - 1;

	if (l->free == 0 || spinat_index_add(&l->index, hash_of(realm, inside), row) != 0)
		return NO_ROW;
	l->free = l->rows[row].until_s;
	l->rows[row] = (struct lease){.inside = inside, .realm = realm};
	l->used++;
	return row;
}

void
spinat_lease_renew(struct spinat_leases *l, uint16_t realm, rte_be32_t inside, rte_be32_t outside,
	uint32_t now_s)
{
	uint32_t row = find(l, realm, inside);

	if (row == NO_ROW)
		row = add(l, realm, inside);
	if (row == NO_ROW)
		return;
	l->rows[row].outside = outside;
	l->rows[row].until_s = now_s + SPINAT_LEASE_S;
}

static void
end(struct spinat_leases *l, uint32_t row)
{
	spinat_index_del(&l->index, hash_of(l->rows[row].realm, l->rows[row].inside), row);
	l->rows[row] = (struct lease){.until_s = l->free};
	l->free = row + 1;
	l->used--;
}

void
spinat_leases_sweep(struct spinat_leases *l, uint32_t now_s, unsigned int budget)
{
	for (; budget > 0 && l->used > 0; budget--) {
		const struct lease *row = &l->rows[l->sweep_at];

		if (row->outside != 0 && now_s >= row->until_s)
			end(l, l->sweep_at);
		l->sweep_at = l->sweep_at + 1 < l->capacity ? l->sweep_at + 1 : 0;
	}
}

uint32_t
spinat_leases_used(const struct spinat_leases *l)
{
	return l->used;
}
