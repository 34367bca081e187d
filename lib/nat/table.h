/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 the spinat authors
 */
#ifndef SPINAT_NAT_TABLE_H
#define SPINAT_NAT_TABLE_H

#include <stdint.h>

#include <rte_rcu_qsbr.h>

#include "nat/flow.h"
#include "nat/hash.h"
#include "nat/index.h"

/*
 * The flow table of one worker: an array of flows and an index of their keys, two a flow at most.
 * Its owner alone adds and deletes; every worker looks up, without locks. A deleted flow is reused
 * after an RCU grace period. The array is never freed while the process runs, so telemetry may read
 * any index at any time.
 */

struct spinat_table {
	/* what every worker reads and nobody writes */
	struct spinat_flow *flows;
	uint32_t capacity;
	struct rte_rcu_qsbr *qsbr;
	struct spinat_index index; /* of 2 * flow + direction; ends with a line of its writer's */
	/* the owner's */
	uint32_t used; /* relaxed reads from anywhere */
	uint32_t high; /* no flow at or above this index was ever used */
	uint32_t n_free;
	uint32_t
		free; /* last index given back, plus one; the one before in its `mapping`; 0: none */
	uint32_t *retired; /* FIFO of indices that are used again after a grace period */
	uint32_t retired_mask, retired_head, retired_tail;
	uint32_t batch; /* those before it have a token, those behind it none yet */
	uint64_t token; /* of the grace period that the former wait for */
};

/**
 * @param capacity flows; each may have two keys
 * @return NULL without memory. Control lcore, before the workers start.
 */
struct spinat_table *spinat_table_create(
	const char *name, uint32_t capacity, struct rte_rcu_qsbr *qsbr, int socket_id);
void spinat_table_free(struct spinat_table *t);

/**
 * Takes a free flow, zeroed, for the owner to fill. NULL where none is free.
 * It is nowhere to be found until spinat_table_insert.
 */
struct spinat_flow *spinat_table_alloc(struct spinat_table *t);

/**
 * Makes a filled flow visible under the keys its flags name. Owner only.
 *
 * @return 0; -ENOSPC where the index has no room: the flow is given back
 */
int spinat_table_insert(struct spinat_table *t, struct spinat_flow *f);

/** The same where the hashes of its keys are known. @param hash by direction; read for those it has */
int spinat_table_insert_hashed(
	struct spinat_table *t, struct spinat_flow *f, const uint64_t hash[2]);

/**
 * Takes a flow out; index and memory are reused after a grace period. Owner only.
 *
 * @return 0; -EAGAIN where too many wait for their grace period: nothing is changed, try later
 */
int spinat_table_remove(struct spinat_table *t, struct spinat_flow *f);

/** Brings nearer what taking a flow out reads. */
void spinat_table_prefetch(const struct spinat_table *t, const struct spinat_flow *f);

/** Gives back what is past its grace period, at most n flows. Owner only. */
void spinat_table_reclaim(struct spinat_table *t, unsigned int n);

/** Looks one key up; NULL where there is none. Any worker. */
struct spinat_flow *spinat_table_find(const struct spinat_table *t, const struct spinat_key *key);

/** The same where the hash of the key is known. */
struct spinat_flow *spinat_table_find_hashed(
	const struct spinat_table *t, const struct spinat_key *key, uint64_t hash);

/**
 * Looks up to SPINAT_TABLE_BURST keys up, all lines that it reads prefetched. Any worker.
 *
 * @param hashes filled with those of the keys
 * @param flows  filled with what is found, or NULL
 */
#define SPINAT_TABLE_BURST 64
void spinat_table_find_burst(const struct spinat_table *t, const struct spinat_key *const *keys,
	unsigned int n, uint64_t *hashes, struct spinat_flow **flows);

/** The same, each key in a table of its own. */
void spinat_tables_find_burst(const struct spinat_table *const *tables,
	const struct spinat_key *const *keys, unsigned int n, uint64_t *hashes,
	struct spinat_flow **flows);

static inline uint32_t
spinat_table_index(const struct spinat_table *t, const struct spinat_flow *f)
{
	return (uint32_t)(f - t->flows);
}

#endif
