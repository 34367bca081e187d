/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 the spinat authors
 */
#ifndef SPINAT_NAT_PERMIT_H
#define SPINAT_NAT_PERMIT_H

#include <stdbool.h>
#include <stdint.h>

#include <rte_byteorder.h>

#include "nat/index.h"

/*
 * The remote addresses that a mapping's sessions go to beside the one in its row, with how many go to
 * each: what address-dependent filtering lets in (RFC 4787 5). A worker's own: owner only.
 */

struct spinat_permit {
	uint32_t mapping;
	rte_be32_t remote;
	uint32_t sessions; /* of a free row: the next free one, plus one */
};

struct spinat_permits {
	struct spinat_permit *rows;
	struct spinat_index index;
	uint32_t free; /* first free row, plus one; 0: none */
};

/** @return 0 or -ENOMEM */
int spinat_permits_create(
	struct spinat_permits *p, const char *name, uint32_t capacity, int socket_id);
void spinat_permits_free(struct spinat_permits *p);

bool spinat_permit_has(const struct spinat_permits *p, uint32_t mapping, rte_be32_t remote);

/** One session more. @return 0 or -ENOSPC */
int spinat_permit_hold(struct spinat_permits *p, uint32_t mapping, rte_be32_t remote);

/** One session less; it was held. */
void spinat_permit_release(struct spinat_permits *p, uint32_t mapping, rte_be32_t remote);

#endif
