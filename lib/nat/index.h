/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 the spinat authors
 */
#ifndef SPINAT_NAT_INDEX_H
#define SPINAT_NAT_INDEX_H

#include <stdbool.h>
#include <stdint.h>

#include <rte_branch_prediction.h>
#include <rte_common.h>
#include <rte_prefetch.h>
#include <rte_vect.h>

/*
 * An index from keyed hashes to 32-bit values that holds no keys: a value stands for a row that has
 * the key, and whoever looks up compares with that row, which it needs anyway. So a lookup costs one
 * cache line here, where rte_hash costs two (its bucket and its key).
 *
 * A bucket is a cache line of eight entries, a 16-bit tag of the hash and a value each. What does
 * not fit goes to extension buckets, linked behind their first one. One writer; readers anywhere,
 * without locks: an entry is complete before its tag shows. Deleting closes the gap with the last
 * entry of the chain, which is in both places until `moves` has been counted up; a reader that finds
 * nothing looks again when `moves` has changed, so it never misses an entry that is in.
 */

#define SPINAT_INDEX_WAYS 8

struct spinat_bucket {
	uint16_t tag[SPINAT_INDEX_WAYS]; /* 0: free */
	uint32_t value[SPINAT_INDEX_WAYS];
	uint32_t next; /* extension bucket, 0: none */
	uint32_t
		moves; /* in the first bucket of a chain: how often an entry has changed its place */
} __rte_cache_aligned;

_Static_assert(sizeof(struct spinat_bucket) == 64, "a bucket is one cache line");

struct spinat_index {
	struct spinat_bucket *buckets; /* first buckets, then extension buckets */
	uint32_t n_first;
	/* the writer's alone, in a line that readers do not need */
	uint32_t used __rte_cache_aligned; /* entries */
	uint32_t n_free;
	uint32_t *free; /* stack of free extension buckets */
};

/**
 * Room for n entries: five to a bucket on average, so that one in forty is in an extension bucket,
 * of which there are twice as many as evenly spread hashes need.
 *
 * @return 0 or -ENOMEM. Control lcore, before anyone looks up.
 */
int spinat_index_create(struct spinat_index *x, const char *name, uint32_t n, int socket_id);
void spinat_index_free(struct spinat_index *x);

/**
 * Enters a value under a hash. The writer only; it knows that the value is not there yet, and its
 * row is filled.
 *
 * @return 0 or -ENOSPC
 */
int spinat_index_add(struct spinat_index *x, uint64_t hash, uint32_t value);

/** Takes a value out that is there under this hash. The writer only. */
void spinat_index_del(struct spinat_index *x, uint64_t hash, uint32_t value);

static inline struct spinat_bucket *
spinat_index_bucket(const struct spinat_index *x, uint64_t hash)
{
	return &x->buckets[(hash & UINT32_MAX) * x->n_first >> 32];
}

/** Brings the bucket of a hash nearer. */
static inline void
spinat_index_prefetch(const struct spinat_index *x, uint64_t hash)
{
	rte_prefetch0(spinat_index_bucket(x, hash));
}

static inline uint16_t
spinat_index_tag(uint64_t hash)
{
	const uint16_t tag = hash >> 48;

	return tag + (tag == 0);
}

/** Entries of a bucket that have a tag: two bits an entry, of which the lower is set. */
static inline uint32_t
spinat_bucket_match(const struct spinat_bucket *b, uint16_t tag)
{
#ifdef RTE_ARCH_X86
	const __m128i tags = _mm_load_si128((const __m128i *)b->tag);

	return _mm_movemask_epi8(_mm_cmpeq_epi16(tags, _mm_set1_epi16(tag))) & 0x5555;
#else
	uint32_t mask = 0;

	for (int i = 0; i < SPINAT_INDEX_WAYS; i++)
		mask |= (uint32_t)(__atomic_load_n(&b->tag[i], __ATOMIC_RELAXED) == tag) << 2 * i;
	return mask;
#endif
}

/** Value of the lowest entry of a match. */
static inline uint32_t
spinat_bucket_value(const struct spinat_bucket *b, uint32_t match)
{
	__atomic_thread_fence(__ATOMIC_ACQUIRE); /* the tag was read before */
	return __atomic_load_n(&b->value[__builtin_ctz(match) / 2], __ATOMIC_RELAXED);
}

/** The first value that may be meant by a hash, to have its row brought nearer; UINT32_MAX: none. */
static inline uint32_t
spinat_index_first(const struct spinat_index *x, uint64_t hash)
{
	const struct spinat_bucket *b = spinat_index_bucket(x, hash);
	const uint32_t match = spinat_bucket_match(b, spinat_index_tag(hash));

	return match != 0 ? spinat_bucket_value(b, match) : UINT32_MAX;
}

/**
 * Finds a value. Any lcore.
 *
 * @param is whether the row of a value has the key that ctx says
 * @return false where there is none
 */
static __rte_always_inline bool
spinat_index_find(const struct spinat_index *x, uint64_t hash,
	bool (*is)(const void *ctx, uint32_t value), const void *ctx, uint32_t *value)
{
	const struct spinat_bucket *first = spinat_index_bucket(x, hash);
	const uint16_t tag = spinat_index_tag(hash);
	uint32_t moves;

	do {
		const struct spinat_bucket *b = first;
		uint32_t next;

		moves = __atomic_load_n(&first->moves, __ATOMIC_ACQUIRE);
		do {
			uint32_t match = spinat_bucket_match(b, tag);

			for (; match != 0; match &= match - 1) {
				*value = spinat_bucket_value(b, match);
				if (likely(is(ctx, *value)))
					return true;
			}
			next = __atomic_load_n(&b->next, __ATOMIC_ACQUIRE);
			b = &x->buckets[next];
		} while (unlikely(next != 0));
		__atomic_thread_fence(__ATOMIC_ACQUIRE);
	} while (unlikely(__atomic_load_n(&first->moves, __ATOMIC_RELAXED) != moves));
	return false;
}

#endif
