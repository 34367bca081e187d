/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 the spinat authors
 */
#ifndef SPINAT_NAT_MAPPING_ROWS_H
#define SPINAT_NAT_MAPPING_ROWS_H

#include <stdint.h>

#include "nat/pool.h"

/*
 * Memory of one worker's mappings: rows that are in use, rows that are free, and rows in which the
 * UDP port of a mapping that has ended waits before somebody else may have it (RFC 6888 REQ-8): with
 * endpoint-independent filtering, whoever still sends to the old mapping would reach the new one's
 * host. Such a port stays taken in its pool. So waiting takes no memory, and what waits gives way to
 * mappings where no other row is free. Owner only, but for the counts.
 */

struct spinat_mapping;

struct spinat_mapping_rows {
	struct spinat_mapping *row; /* of one that is not in use, `sessions` is the next one's */
	uint32_t capacity;
	uint32_t n_free, n_waiting;
	uint32_t free; /* stack; this and the others: of a row, plus one; 0: none */
	uint32_t oldest, newest; /* queue of those that wait; `created` says since when */
	uint32_t max_waiting;
	uint32_t now_s; /* of the last tick */
};

/** @param max_waiting ports that may wait at once. @return 0 or -ENOMEM */
int spinat_mapping_rows_create(struct spinat_mapping_rows *r, const char *name, uint32_t capacity,
	uint32_t max_waiting, int socket_id);
void spinat_mapping_rows_free(struct spinat_mapping_rows *r);

/** Rows that are not in use. */
static inline uint32_t
spinat_mapping_rows_left(const struct spinat_mapping_rows *r)
{
	return r->n_free + r->n_waiting;
}

/** Takes a row to use; there is one left. */
uint32_t spinat_mapping_row_take(struct spinat_mapping_rows *r, struct spinat_pools *pools);

/** Gives one back. */
void spinat_mapping_row_put(struct spinat_mapping_rows *r, uint32_t row);

/** Gives one back whose port begins to wait. Where too many wait, the one that has waited for longest
 * is free at once; it may be this one. */
void spinat_mapping_row_wait(
	struct spinat_mapping_rows *r, struct spinat_pools *pools, uint32_t row);

/** Frees ports that have waited long enough, up to budget. @param wait_s how long they have to */
void spinat_mapping_rows_tick(struct spinat_mapping_rows *r, struct spinat_pools *pools,
	uint32_t wait_s, uint32_t now_s, unsigned int budget);

#endif
