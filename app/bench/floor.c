/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 the spinat authors
 */
#include <netinet/in.h>
#include <stdio.h>
#include <string.h>

#include "floor.h"
#include "nat/hash.h"

static const uint8_t proto_of[BENCH_KINDS] = {
	[BENCH_UDP] = IPPROTO_UDP, [BENCH_TCP] = IPPROTO_TCP, [BENCH_ESP] = IPPROTO_ESP};

static uint32_t
hash_one(const void *key, uint32_t len __rte_unused, uint32_t init __rte_unused)
{
	return spinat_hash_key(key);
}

static struct spinat_key
key_of(const struct bench_step *s, enum spinat_dir dir)
{
	return (struct spinat_key){.src = s->src,
		.dst = s->dst,
		.ports = s->ports,
		.proto = proto_of[s->kind],
		.dir = dir};
}

/* rte_hash: 32 bytes a key, and up to twice 8 in its buckets and 4 in its ring. */
uint32_t
bench_floor_mib(uint32_t sessions)
{
	return (2 * (uint64_t)sessions * 56 >> 20) + 32;
}

int
bench_floor_create(struct bench_floor *f, const struct bench_rig *r)
{
	/* sized and used as a flow table */
	const struct rte_hash_parameters params = {
		.name = "floor",
		.entries = 2 * r->worker->nat->table->capacity,
		.key_len = sizeof(struct spinat_key),
		.hash_func = hash_one,
		.socket_id = SOCKET_ID_ANY,
		.extra_flag = RTE_HASH_EXTRA_FLAGS_RW_CONCURRENCY_LF,
	};
	bool full = false;

	memset(f, 0, sizeof(*f));
	f->hash = rte_hash_create(&params);
	if (f->hash == NULL) {
		fprintf(stderr, "spinat-bench: no memory for the floor\n");
		return -1;
	}
	for (uint32_t i = 0; i < r->n_flows && !full; i++)
		for (int dir = 0; dir < 2 && r->flows[i].kind != BENCH_IKE; dir++) {
			const struct bench_step s = bench_plan_step(&r->flows[i], i, dir, false);
			const struct spinat_key key = key_of(&s, dir);

			full = full || rte_hash_add_key_with_hash_data(
					       f->hash, &key, spinat_hash_key(&key), NULL) != 0;
		}
	if (full)
		fprintf(stderr, "spinat-bench: no room in the floor\n");
	return full ? -1 : 0;
}

void
bench_floor_free(struct bench_floor *f)
{
	rte_hash_free(f->hash);
}

void
bench_floor_keys(struct bench_rig *r, struct bench_keys *keys)
{
	int d = SPINAT_OUT;

	for (keys->n = 0; keys->n < SPINAT_BURST; d = !d) {
		struct bench_feed *feed = &r->feed[d];
		const struct bench_step *s;

		if (feed->n == 0)
			continue;
		s = &feed->steps[feed->at];
		feed->at = feed->at + 1 < feed->n ? feed->at + 1 : 0;
		if (s->kind != BENCH_IKE)
			keys->key[keys->n++] = key_of(s, d);
	}
}

uint32_t
bench_floor_hash(const struct bench_floor *f, const struct bench_keys *keys)
{
	const struct spinat_key *key[SPINAT_BURST];
	uint64_t wide[SPINAT_BURST];
	uint32_t hashes[SPINAT_BURST];
	void *data[SPINAT_BURST];
	uint64_t hits = 0;

	for (uint32_t i = 0; i < keys->n; i++)
		key[i] = &keys->key[i];
	spinat_hash_burst(key, keys->n, wide);
	for (uint32_t i = 0; i < keys->n; i++)
		hashes[i] = wide[i];
	rte_hash_lookup_with_hash_bulk_data(
		f->hash, (const void **)key, hashes, keys->n, &hits, data);
	return __builtin_popcountll(hits);
}

uint32_t
bench_floor_table(const struct bench_rig *r, const struct bench_keys *keys)
{
	const struct spinat_key *key[SPINAT_BURST];
	struct spinat_flow *flows[SPINAT_BURST];
	uint64_t hashes[SPINAT_BURST];
	uint32_t hits = 0;

	for (uint32_t i = 0; i < keys->n; i++)
		key[i] = &keys->key[i];
	spinat_table_find_burst(r->worker->nat->table, key, keys->n, hashes, flows);
	for (uint32_t i = 0; i < keys->n; i++)
		hits += flows[i] != NULL;
	return hits;
}
