/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 the spinat authors
 */
#include <errno.h>
#include <netinet/in.h>
#include <stdbool.h>
#include <string.h>

#include <rte_malloc.h>
#include <rte_prefetch.h>

#include "nat/hash.h"
#include "nat/table.h"

/* Deleted flows that readers may still be looking at: an eighth of the table, and more than a sweep
 * deletes in the longest grace period that is still normal (a loop of 64 packets a port); deleting
 * pauses while it is full. */
#define RETIRED_MIN 256u
#define RETIRED_MAX 65536u
#define NO_VALUE UINT32_MAX /* of the index: the capacity is less than half of that */

void
spinat_flow_set_deltas(struct spinat_flow *f)
{
	for (int dir = 0; dir < 2; dir++) {
		/* the packet carries what the other direction writes */
		rte_be32_t old_addr = f->new_addr[!dir];
		uint16_t addr = spinat_csum_delta32(old_addr, f->new_addr[dir]);
		uint16_t port = spinat_csum_delta16(f->new_port[!dir], f->new_port[dir]);
		/* TTL is the high byte of its word: minus one is plus ~0x0100 */
		uint16_t ttl = RTE_BE16(0xfeff);

		f->l3_delta[dir] = spinat_csum_delta_add(addr, ttl);
		/* ICMP has no pseudo header */
		f->l4_delta[dir] =
			f->proto == IPPROTO_ICMP ? port : spinat_csum_delta_add(addr, port);
	}
}

#ifdef RTE_ARCH_X86
/* clang-format off */
const int8_t spinat_flow_shuffle[2][3][16] __rte_aligned(16) = {
	[SPINAT_OUT] = {
		{4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, -1, -1, -1, -1},
		{-1, -1, -1, -1, -1, -1, -1, -1, 2, 3, 4, 5, 8, -1, 6, 7},
		{[13] = SPINAT_OUT},
	},
	[SPINAT_IN] = {
		{8, 9, 10, 11, 0, 1, 2, 3, 12, 13, 14, 15, -1, -1, -1, -1},
		{-1, -1, -1, -1, -1, -1, -1, -1, 4, 5, 0, 1, 8, -1, -1, -1},
		{[13] = SPINAT_IN},
	},
};
/* clang-format on */
_Static_assert(offsetof(struct spinat_flow, new_addr) == 0 &&
		       offsetof(struct spinat_flow, remote_addr) == 8 &&
		       offsetof(struct spinat_flow, spi) == 12 &&
		       offsetof(struct spinat_flow, new_port) == 16 &&
		       offsetof(struct spinat_flow, remote_port) == 20 &&
		       offsetof(struct spinat_flow, realm) == 22 &&
		       offsetof(struct spinat_flow, proto) == 24,
	"spinat_flow_shuffle");
#endif

void
spinat_flow_key(const struct spinat_flow *f, enum spinat_dir dir, struct spinat_key *key)
{
	memset(key, 0, sizeof(*key));
	key->proto = f->proto;
	key->dir = dir;
	if (dir == SPINAT_OUT) {
		key->src = f->new_addr[SPINAT_IN];
		key->dst = f->remote_addr;
		key->sport = f->new_port[SPINAT_IN];
		key->dport = f->remote_port;
		key->realm = f->realm;
	} else {
		key->src = f->remote_addr;
		key->dst = f->new_addr[SPINAT_OUT];
		key->sport = f->remote_port;
		key->dport = f->new_port[SPINAT_OUT];
	}
	if (f->proto == IPPROTO_ESP || f->proto == IPPROTO_AH)
		key->spi = f->spi;
}

struct spinat_table *
spinat_table_create(const char *name, uint32_t capacity, struct rte_rcu_qsbr *qsbr, int socket_id)
{
	struct spinat_table *t = rte_zmalloc_socket(name, sizeof(*t), 0, socket_id);

	if (t == NULL)
		return NULL;
	t->capacity = capacity;
	t->qsbr = qsbr;
	t->flows = rte_zmalloc_socket(
		name, capacity * sizeof(*t->flows), RTE_CACHE_LINE_SIZE, socket_id);
	t->retired_mask =
		RTE_MAX(RTE_MIN(rte_align32pow2(capacity / 8), RETIRED_MAX), RETIRED_MIN) - 1;
	t->retired =
		rte_malloc_socket(name, (t->retired_mask + 1) * sizeof(*t->retired), 0, socket_id);
	if (t->flows == NULL || t->retired == NULL ||
		spinat_index_create(&t->index, name, 2 * capacity, socket_id) != 0) {
		spinat_table_free(t);
		return NULL;
	}
	t->n_free = capacity;
	return t;
}

void
spinat_table_free(struct spinat_table *t)
{
	if (t == NULL)
		return;
	spinat_index_free(&t->index);
	rte_free(t->flows);
	rte_free(t->retired);
	rte_free(t);
}

static void
give_back(struct spinat_table *t, struct spinat_flow *f)
{
	f->type = SPINAT_FLOW_FREE;
	f->mapping = t->free;
	t->free = spinat_table_index(t, f) + 1;
	t->n_free++;
}

struct spinat_flow *
spinat_table_alloc(struct spinat_table *t)
{
	struct spinat_flow *f;

	if (t->n_free == 0) {
		spinat_table_reclaim(t, 32);
		if (t->n_free == 0)
			return NULL;
	}
	t->n_free--;
	/* one that was used before, so that a lightly used table stays in few pages */
	if (t->free != 0) {
		f = &t->flows[t->free - 1];
		t->free = f->mapping;
	} else {
		f = &t->flows[t->high];
	}
	if (t->free != 0) /* the next one's */
		rte_prefetch0(&t->flows[t->free - 1]);
	memset(f, 0, sizeof(*f));
	t->high = RTE_MAX(t->high, spinat_table_index(t, f) + 1);
	return f;
}

static uint32_t
value_of(const struct spinat_table *t, const struct spinat_flow *f, enum spinat_dir dir)
{
	return spinat_table_index(t, f) << 1 | dir;
}

static uint64_t
hash_of(const struct spinat_flow *f, enum spinat_dir dir)
{
	struct spinat_key key;

	spinat_flow_key(f, dir, &key);
	return spinat_hash_key(&key);
}

static uint8_t
key_flag(enum spinat_dir dir)
{
	return dir == SPINAT_OUT ? SPINAT_FLOW_KEY_OUT : SPINAT_FLOW_KEY_IN;
}

/* Whether one more flow can be retired now. */
static bool
can_retire(struct spinat_table *t)
{
	if (t->retired_head - t->retired_tail > t->retired_mask)
		spinat_table_reclaim(t, 64);
	return t->retired_head - t->retired_tail <= t->retired_mask;
}

int
spinat_table_insert(struct spinat_table *t, struct spinat_flow *f)
{
	uint64_t hash[2];

	for (int dir = 0; dir < 2; dir++)
		if (f->flags & key_flag(dir))
			hash[dir] = hash_of(f, dir);
	return spinat_table_insert_hashed(t, f, hash);
}

int
spinat_table_insert_hashed(struct spinat_table *t, struct spinat_flow *f, const uint64_t hash[2])
{
	const uint8_t wanted = f->flags & (SPINAT_FLOW_KEY_OUT | SPINAT_FLOW_KEY_IN);

	/* should the second key find no room, the first has to be retired: readers may know it */
	if (!can_retire(t)) {
		give_back(t, f);
		return -ENOSPC;
	}
	f->flags &= ~wanted;
	t->used++;
	for (int dir = 0; dir < 2; dir++) {
		if (!(wanted & key_flag(dir)))
			continue;
		if (spinat_index_add(&t->index, hash[dir], value_of(t, f, dir)) != 0) {
			spinat_table_remove(t, f);
			return -ENOSPC;
		}
		f->flags |= key_flag(dir);
	}
	return 0;
}

void
spinat_table_prefetch(const struct spinat_table *t, const struct spinat_flow *f)
{
	for (int dir = 0; dir < 2; dir++)
		if (f->flags & key_flag(dir))
			spinat_index_prefetch(&t->index, hash_of(f, dir));
}

int
spinat_table_remove(struct spinat_table *t, struct spinat_flow *f)
{
	if (!can_retire(t))
		return -EAGAIN;
	t->retired[t->retired_head++ & t->retired_mask] = spinat_table_index(t, f);
	for (int dir = 0; dir < 2; dir++)
		if (f->flags & key_flag(dir))
			spinat_index_del(&t->index, hash_of(f, dir), value_of(t, f, dir));
	f->type = SPINAT_FLOW_FREE;
	t->used--;
	return 0;
}

/* Flows wait for their grace period together: a token is a write to a line that all workers read. */
void
spinat_table_reclaim(struct spinat_table *t, unsigned int n)
{
	for (; n > 0; n--) {
		if (t->retired_tail == t->batch) {
			if (t->batch == t->retired_head)
				return;
			t->batch = t->retired_head;
			t->token = rte_rcu_qsbr_start(t->qsbr);
		}
		if (rte_rcu_qsbr_check(t->qsbr, t->token, false) != 1)
			return;
		give_back(t, &t->flows[t->retired[t->retired_tail++ & t->retired_mask]]);
	}
}

struct wanted {
	const struct spinat_table *t;
	const struct spinat_key *key;
};

static inline bool
is_wanted(const void *ctx, uint32_t value)
{
	const struct wanted *w = ctx;

	return spinat_flow_has_key(&w->t->flows[value >> 1], value & 1, w->key);
}

struct spinat_flow *
spinat_table_find_hashed(const struct spinat_table *t, const struct spinat_key *key, uint64_t hash)
{
	const struct wanted w = {t, key};
	uint32_t value;

	return spinat_index_find(&t->index, hash, is_wanted, &w, &value) ? &t->flows[value >> 1]
									 : NULL;
}

struct spinat_flow *
spinat_table_find(const struct spinat_table *t, const struct spinat_key *key)
{
	return spinat_table_find_hashed(t, key, spinat_hash_key(key));
}

/* A bucket is a likely miss of the caches, and so is a flow: all of one kind are under way at once.
 * The table of key i is tables[i * stride]. */
static __rte_always_inline void
find_burst(const struct spinat_table *const *tables, unsigned int stride,
	const struct spinat_key *const *keys, unsigned int n, uint64_t *hashes,
	struct spinat_flow **flows)
{
	const struct spinat_bucket *buckets[SPINAT_TABLE_BURST];
	uint32_t values[SPINAT_TABLE_BURST];

	spinat_hash_burst(keys, n, hashes);
	for (unsigned int i = 0; i < n; i++) {
		buckets[i] = spinat_index_bucket(&tables[i * stride]->index, hashes[i]);
		rte_prefetch0(buckets[i]);
	}
	for (unsigned int i = 0; i < n; i++) {
		const struct spinat_table *t = tables[i * stride];
		const struct spinat_bucket *b = buckets[i];
		const uint32_t match = spinat_bucket_match(b, spinat_index_tag(hashes[i]));

		values[i] = NO_VALUE;
		if (likely(match != 0)) {
			values[i] = spinat_bucket_value(b, match);
			rte_prefetch0(&t->flows[values[i] >> 1]);
		}
	}
	for (unsigned int i = 0; i < n; i++) {
		const struct spinat_table *t = tables[i * stride];
		struct spinat_flow *f = &t->flows[values[i] >> 1];

		flows[i] = likely(values[i] != NO_VALUE &&
				   spinat_flow_has_key(f, values[i] & 1, keys[i]))
				   ? f
				   : spinat_table_find_hashed(t, keys[i], hashes[i]);
	}
}

void
spinat_table_find_burst(const struct spinat_table *t, const struct spinat_key *const *keys,
	unsigned int n, uint64_t *hashes, struct spinat_flow **flows)
{
	find_burst(&t, 0, keys, n, hashes, flows);
}

void
spinat_tables_find_burst(const struct spinat_table *const *tables,
	const struct spinat_key *const *keys, unsigned int n, uint64_t *hashes,
	struct spinat_flow **flows)
{
	find_burst(tables, 1, keys, n, hashes, flows);
}
