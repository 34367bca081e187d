/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 the spinat authors
 */
#include <errno.h>

#include <rte_malloc.h>

#include "nat/client.h"
#include "nat/hash.h"

int
spinat_clients_create(struct spinat_clients *c, const char *name, uint32_t capacity, int socket_id)
{
	c->rows = rte_zmalloc_socket(name, capacity * sizeof(*c->rows), 0, socket_id);
	if (c->rows == NULL || spinat_index_create(&c->index, name, capacity, socket_id) != 0)
		return -ENOMEM;
	for (uint32_t i = 0; i + 1 < capacity; i++)
		c->rows[i].mappings = i + 2;
	c->free = 1;
	return 0;
}

void
spinat_clients_free(struct spinat_clients *c)
{
	spinat_index_free(&c->index);
	rte_free(c->rows);
}

struct wanted {
	const struct spinat_nat_client *rows;
	rte_be32_t inside;
	uint16_t realm;
};

static bool
is_wanted(const void *ctx, uint32_t row)
{
	const struct wanted *w = ctx;

	return w->rows[row].inside == w->inside && w->rows[row].realm == w->realm;
}

uint32_t
spinat_client_find(const struct spinat_clients *c, uint64_t hash, uint16_t realm, rte_be32_t inside)
{
	const struct wanted w = {c->rows, inside, realm};
	uint32_t row;

	return spinat_index_find(&c->index, hash, is_wanted, &w, &row) ? row : SPINAT_CLIENT_NONE;
}

uint32_t
spinat_client_add(struct spinat_clients *c, uint64_t hash, uint16_t realm, rte_be32_t inside,
	rte_be32_t outside)
{
	const uint32_t row = c->free - 1;

	if (c->free == 0 || spinat_index_add(&c->index, hash, row) != 0)
		return SPINAT_CLIENT_NONE;
	c->free = c->rows[row].mappings;
	c->rows[row] =
		(struct spinat_nat_client){.inside = inside, .outside = outside, .realm = realm};
	return row;
}

void
spinat_client_del(struct spinat_clients *c, uint32_t row)
{
	const struct spinat_key key = spinat_client_key(c->rows[row].realm, c->rows[row].inside);

	spinat_index_del(&c->index, spinat_hash_key(&key), row);
	c->rows[row].inside = 0; /* who still has the number sees that it is nobody's */
	c->rows[row].mappings = c->free;
	c->free = row + 1;
}
