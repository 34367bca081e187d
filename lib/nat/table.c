/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 the spinat authors
 */
#include <errno.h>
#include <netinet/in.h>
#include <stdbool.h>
#include <string.h>

#include <rte_malloc.h>

#include "nat/hash.h"
#include "nat/table.h"

/* A deleted flow and the rte_hash positions of its keys, which readers may still be looking at. */
struct spinat_retired {
	uint64_t token;
	uint32_t flow;
	int32_t position[2]; /* negative: no such key */
};

/* More than a sweep deletes in the longest grace period that is still normal (a loop of 32 packets
 * a port); deleting pauses while it is full. */
#define RETIRED_MAX 65536

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

static uint32_t
hash_one(const void *key, uint32_t len __rte_unused, uint32_t init __rte_unused)
{
	return spinat_hash_key(key);
}

struct spinat_table *
spinat_table_create(const char *name, uint32_t capacity, struct rte_rcu_qsbr *qsbr, int socket_id)
{
	struct rte_hash_parameters params = {
		.name = name,
		.entries = 2 * capacity,
		.key_len = sizeof(struct spinat_key),
		.hash_func = hash_one,
		.socket_id = socket_id,
		.extra_flag = RTE_HASH_EXTRA_FLAGS_RW_CONCURRENCY_LF,
	};
	struct spinat_table *t = rte_zmalloc_socket(name, sizeof(*t), 0, socket_id);

	if (t == NULL)
		return NULL;
	t->capacity = capacity;
	t->qsbr = qsbr;
	t->hash = rte_hash_create(&params);
	t->flows = rte_zmalloc_socket(
		name, capacity * sizeof(*t->flows), RTE_CACHE_LINE_SIZE, socket_id);
	t->free = rte_malloc_socket(name, capacity * sizeof(*t->free), 0, socket_id);
	t->retired_mask = RETIRED_MAX - 1;
	t->retired = rte_malloc_socket(name, RETIRED_MAX * sizeof(*t->retired), 0, socket_id);
	if (t->hash == NULL || t->flows == NULL || t->free == NULL || t->retired == NULL) {
		spinat_table_free(t);
		return NULL;
	}
	/* lowest index on top, so that a lightly used table stays in few pages */
	for (uint32_t i = 0; i < capacity; i++)
		t->free[i] = capacity - 1 - i;
	t->n_free = capacity;
	return t;
}

void
spinat_table_free(struct spinat_table *t)
{
	if (t == NULL)
		return;
	rte_hash_free(t->hash);
	rte_free(t->flows);
	rte_free(t->free);
	rte_free(t->retired);
	rte_free(t);
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
	f = &t->flows[t->free[--t->n_free]];
	memset(f, 0, sizeof(*f));
	t->high = RTE_MAX(t->high, spinat_table_index(t, f) + 1);
	return f;
}

/* Deletes the key of one direction; the position it had, or a negative number. */
static int32_t
delete_key(struct spinat_table *t, const struct spinat_flow *f, enum spinat_dir dir)
{
	struct spinat_key key;

	if (!(f->flags & (dir == SPINAT_OUT ? SPINAT_FLOW_KEY_OUT : SPINAT_FLOW_KEY_IN)))
		return -ENOENT;
	spinat_flow_key(f, dir, &key);
	return rte_hash_del_key_with_hash(t->hash, &key, spinat_hash_key(&key));
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
	void *data = (void *)(uintptr_t)spinat_table_index(t, f);
	const uint8_t wanted = f->flags & (SPINAT_FLOW_KEY_OUT | SPINAT_FLOW_KEY_IN);
	struct spinat_key key;

	/* should the second key find no room, the first has to be retired: readers may know it */
	if (!can_retire(t)) {
		t->free[t->n_free++] = spinat_table_index(t, f);
		return -ENOSPC;
	}
	f->flags &= ~wanted;
	t->used++;
	for (int dir = 0; dir < 2; dir++) {
		const uint8_t flag = dir == SPINAT_OUT ? SPINAT_FLOW_KEY_OUT : SPINAT_FLOW_KEY_IN;

		if (!(wanted & flag))
			continue;
		spinat_flow_key(f, dir, &key);
		if (rte_hash_add_key_with_hash_data(t->hash, &key, spinat_hash_key(&key), data) !=
			0) {
			spinat_table_remove(t, f);
			return -ENOSPC;
		}
		f->flags |= flag;
	}
	return 0;
}

int
spinat_table_remove(struct spinat_table *t, struct spinat_flow *f)
{
	struct spinat_retired *r;

	if (!can_retire(t))
		return -EAGAIN;
	r = &t->retired[t->retired_head++ & t->retired_mask];
	r->flow = spinat_table_index(t, f);
	r->position[SPINAT_OUT] = delete_key(t, f, SPINAT_OUT);
	r->position[SPINAT_IN] = delete_key(t, f, SPINAT_IN);
	r->token = rte_rcu_qsbr_start(t->qsbr);
	f->type = SPINAT_FLOW_FREE;
	t->used--;
	return 0;
}

void
spinat_table_reclaim(struct spinat_table *t, unsigned int n)
{
	for (; n > 0 && t->retired_tail != t->retired_head; n--) {
		struct spinat_retired *r = &t->retired[t->retired_tail & t->retired_mask];

		if (rte_rcu_qsbr_check(t->qsbr, r->token, false) != 1)
			return;
		for (int dir = 0; dir < 2; dir++)
			if (r->position[dir] >= 0)
				rte_hash_free_key_with_position(t->hash, r->position[dir]);
		t->free[t->n_free++] = r->flow;
		t->retired_tail++;
	}
}

struct spinat_flow *
spinat_table_find(const struct spinat_table *t, const struct spinat_key *key)
{
	void *data;

	if (rte_hash_lookup_with_hash_data(t->hash, key, spinat_hash_key(key), &data) < 0)
		return NULL;
	return &t->flows[(uintptr_t)data];
}
