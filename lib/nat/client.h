/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 the spinat authors
 */
#ifndef SPINAT_NAT_CLIENT_H
#define SPINAT_NAT_CLIENT_H

#include <stdint.h>

#include <rte_byteorder.h>

#include "config/conf.h"
#include "nat/index.h"
#include "nat/pool.h"
#include "packet/packet.h"

/*
 * Inside hosts that have mappings, each with the outside address that all of them share (paired
 * pooling, RFC 4787 REQ-2), its blocks of ports and what it has used of its limits, see allowance.h.
 * A worker's own: owner only, but for the count.
 */

struct spinat_nat_client {
	rte_be32_t inside; /* of a free row: 0 */
	rte_be32_t outside;
	uint32_t mappings; /* of a free row: the next free one, plus one */
	uint32_t mappings_of[SPINAT_TRANSPORTS]; /* the same by protocol */
	uint16_t realm;
	uint16_t n_blocks;
	uint32_t sessions;
	uint32_t tokens; /* sessions that it may still begin ... */
	uint32_t second; /* ... as of this second */
	uint16_t block_size; /* of the blocks that it has */
	uint16_t block[SPINAT_CLIENT_BLOCKS_MAX]; /* first port of each, host order */
	uint16_t in_block[SPINAT_CLIENT_BLOCKS_MAX]; /* mappings in it */
};

struct spinat_clients {
	struct spinat_nat_client *rows;
	struct spinat_index index;
	uint32_t free; /* first free row, plus one; 0: none */
};

#define SPINAT_CLIENT_NONE UINT32_MAX

/** @return 0 or -ENOMEM */
int spinat_clients_create(
	struct spinat_clients *c, const char *name, uint32_t capacity, int socket_id);
void spinat_clients_free(struct spinat_clients *c);

/** What an inside host is found by, hashed with spinat_hash_key. */
static inline struct spinat_key
spinat_client_key(uint16_t realm, rte_be32_t inside)
{
	return (struct spinat_key){.src = inside, .dir = SPINAT_OUT, .realm = realm};
}

/** Row of an inside host, or SPINAT_CLIENT_NONE. @param hash of its key */
uint32_t spinat_client_find(
	const struct spinat_clients *c, uint64_t hash, uint16_t realm, rte_be32_t inside);

/** Makes one that is not there, without mappings; SPINAT_CLIENT_NONE where there is no room. */
uint32_t spinat_client_add(struct spinat_clients *c, uint64_t hash, uint16_t realm,
	rte_be32_t inside, rte_be32_t outside);

void spinat_client_del(struct spinat_clients *c, uint32_t row);

#endif
