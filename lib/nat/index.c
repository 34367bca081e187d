/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 the spinat authors
 */
#include <errno.h>
#include <string.h>

#include <rte_malloc.h>

#include "nat/index.h"

#define MEAN_ENTRIES 5 /* of a first bucket when the index is full */
/* Of Poisson's 5, 6.8 % of the buckets hold more than eight; small indices deviate more. */
#define EXTENSION_SHARE 8
#define EXTENSIONS_MIN 64

int
spinat_index_create(struct spinat_index *x, const char *name, uint32_t n, int socket_id)
{
	const uint32_t extensions = n / MEAN_ENTRIES / EXTENSION_SHARE + EXTENSIONS_MIN;

	memset(x, 0, sizeof(*x));
	x->n_first = n / MEAN_ENTRIES + 1;
	x->buckets =
		rte_zmalloc_socket(name, ((size_t)x->n_first + extensions) * sizeof(*x->buckets),
			RTE_CACHE_LINE_SIZE, socket_id);
	x->free = rte_malloc_socket(name, extensions * sizeof(*x->free), 0, socket_id);
	if (x->buckets == NULL || x->free == NULL) {
		spinat_index_free(x);
		return -ENOMEM;
	}
	for (x->n_free = 0; x->n_free < extensions; x->n_free++)
		x->free[x->n_free] = x->n_first + x->n_free;
	return 0;
}

void
spinat_index_free(struct spinat_index *x)
{
	rte_free(x->buckets);
	rte_free(x->free);
	memset(x, 0, sizeof(*x));
}

static void
put(struct spinat_bucket *b, uint32_t match, uint64_t hash, uint32_t value)
{
	const unsigned int i = __builtin_ctz(match) / 2;

	__atomic_store_n(&b->value[i], value, __ATOMIC_RELAXED);
	__atomic_store_n(&b->tag[i], spinat_index_tag(hash), __ATOMIC_RELEASE);
}

int
spinat_index_add(struct spinat_index *x, uint64_t hash, uint32_t value)
{
	struct spinat_bucket *b = spinat_index_bucket(x, hash), *extension;
	uint32_t match;

	while ((match = spinat_bucket_match(b, 0)) == 0 && b->next != 0)
		b = &x->buckets[b->next];
	if (likely(match != 0)) {
		put(b, match, hash, value);
	} else {
		if (x->n_free == 0)
			return -ENOSPC;
		extension = &x->buckets[x->free[--x->n_free]];
		put(extension, 1, hash, value);
		__atomic_store_n(&b->next, extension - x->buckets, __ATOMIC_RELEASE);
	}
	x->used++;
	return 0;
}

/* Moves the last entry of a chain to a free place in it, and gives an empty extension back. */
static void
close_gap(struct spinat_index *x, struct spinat_bucket *first, struct spinat_bucket *b,
	unsigned int gap)
{
	struct spinat_bucket *last = first, *before = NULL;
	uint32_t used;

	while (last->next != 0) {
		before = last;
		last = &x->buckets[last->next];
	}
	used = ~spinat_bucket_match(last, 0) & 0x5555;
	if (before == NULL)
		return;
	if (used != 0 && b != last) {
		const unsigned int from = __builtin_ctz(used) / 2;

		__atomic_store_n(&b->value[gap], last->value[from], __ATOMIC_RELAXED);
		__atomic_store_n(&b->tag[gap], last->tag[from], __ATOMIC_RELEASE);
		__atomic_store_n(&first->moves, first->moves + 1, __ATOMIC_RELEASE);
		__atomic_store_n(&last->tag[from], 0, __ATOMIC_RELEASE);
		used &= used - 1;
	}
	if (used == 0) {
		/* a reader that is still in it finds entries of another chain there at worst */
		__atomic_store_n(&before->next, 0, __ATOMIC_RELEASE);
		x->free[x->n_free++] = last - x->buckets;
	}
}

void
spinat_index_del(struct spinat_index *x, uint64_t hash, uint32_t value)
{
	struct spinat_bucket *first = spinat_index_bucket(x, hash), *b = first;
	const uint16_t tag = spinat_index_tag(hash);
	uint32_t match;

	for (;;) {
		for (match = spinat_bucket_match(b, tag); match != 0; match &= match - 1) {
			const unsigned int i = __builtin_ctz(match) / 2;

			if (b->value[i] != value)
				continue;
			__atomic_store_n(&b->tag[i], 0, __ATOMIC_RELEASE);
			x->used--;
			close_gap(x, first, b, i);
			return;
		}
		if (b->next == 0)
			return;
		b = &x->buckets[b->next];
	}
}
