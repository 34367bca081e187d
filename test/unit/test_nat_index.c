/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 the spinat authors
 */
#include <check.h>
#include <errno.h>
#include <pthread.h>
#include <stdlib.h>

#include <rte_memory.h>
#include <rte_random.h>

#include "nat/index.h"
#include "test_nat_index.h"

/* The index alone: its values are rows of an array of hashes, which are all the key there is. */

static bool
row_has(const void *ctx, uint32_t value)
{
	const uint64_t *const *key = ctx;

	return &key[0][value] == key[1];
}

static bool
holds(const struct spinat_index *x, const uint64_t *rows, uint32_t row)
{
	const uint64_t *const key[2] = {rows, &rows[row]};
	uint32_t value;

	return spinat_index_find(x, rows[row], row_has, key, &value) && value == row;
}

/* Rows in random order. */
static uint32_t *
shuffled(uint32_t n)
{
	uint32_t *order = calloc(n, sizeof(*order));

	ck_assert_ptr_nonnull(order);
	for (uint32_t i = 0; i < n; i++) {
		uint32_t j = rte_rand_max(i + 1);

		order[i] = order[j];
		order[j] = i;
	}
	return order;
}

static void
fill_and_empty(uint32_t n, uint64_t hash_mask)
{
	uint64_t *rows = calloc(n, sizeof(*rows));
	uint32_t *order = shuffled(n);
	struct spinat_index x;
	uint32_t n_free;

	ck_assert_ptr_nonnull(rows);
	ck_assert_int_eq(spinat_index_create(&x, "unit", n, SOCKET_ID_ANY), 0);
	n_free = x.n_free;
	for (uint32_t i = 0; i < n; i++) {
		rows[i] = rte_rand() & hash_mask;
		ck_assert(!holds(&x, rows, i));
		ck_assert_int_eq(spinat_index_add(&x, rows[i], i), 0);
	}
	ck_assert_uint_eq(x.used, n);
	for (uint32_t i = 0; i < n; i++)
		ck_assert(holds(&x, rows, i));
	for (uint32_t i = 0; i < n; i++) {
		spinat_index_del(&x, rows[order[i]], order[i]);
		ck_assert(!holds(&x, rows, order[i]));
		/* what is left can be found: the next one of each hundred, or all where they are few */
		for (uint32_t j = i + 1; j < n; j += 1 + n / 100)
			ck_assert(holds(&x, rows, order[j]));
	}
	ck_assert_uint_eq(x.used, 0);
	ck_assert_uint_eq(x.n_free, n_free);
	spinat_index_free(&x);
	free(order);
	free(rows);
}

static const uint32_t sizes[] = {1, 8, 100, 1000, 12345};

START_TEST(nothing_is_refused_below_capacity)
{
	fill_and_empty(sizes[_i], UINT64_MAX);
}
END_TEST

/* All in one chain, tags equal too: only the rows tell them apart. */
START_TEST(equal_hashes_are_told_apart)
{
	fill_and_empty(300, 0);
}
END_TEST

START_TEST(a_million_fit)
{
	const uint32_t n = 1000000;
	uint64_t *rows = calloc(n, sizeof(*rows));
	struct spinat_index x;
	uint32_t extended = 0;

	ck_assert_ptr_nonnull(rows);
	ck_assert_int_eq(spinat_index_create(&x, "unit", n, SOCKET_ID_ANY), 0);
	for (uint32_t i = 0; i < n; i++) {
		rows[i] = rte_rand();
		ck_assert_int_eq(spinat_index_add(&x, rows[i], i), 0);
	}
	for (uint32_t i = 0; i < n; i++)
		ck_assert(holds(&x, rows, i));
	for (uint32_t b = 0; b < x.n_first; b++)
		extended += x.buckets[b].next != 0;
	ck_assert_uint_lt(extended, x.n_first / 10);
	spinat_index_free(&x);
	free(rows);
}
END_TEST

START_TEST(without_room_it_says_so)
{
	struct spinat_index x;
	uint32_t n = 0;

	ck_assert_int_eq(spinat_index_create(&x, "unit", 1, SOCKET_ID_ANY), 0);
	while (spinat_index_add(&x, 0, n) == 0)
		n++;
	ck_assert_int_eq(spinat_index_add(&x, 0, n), -ENOSPC);
	ck_assert_uint_eq(x.used, n);
	spinat_index_del(&x, 0, 0);
	ck_assert_int_eq(spinat_index_add(&x, 0, 0), 0);
	spinat_index_free(&x);
}
END_TEST

/* A reader that is past the first entry when that is deleted: the one it is looking for goes there. */
struct overtaken {
	struct spinat_index *x;
	uint32_t wanted, seen;
};

static bool
delete_behind(const void *ctx, uint32_t value)
{
	struct overtaken *o = *(struct overtaken *const *)ctx;

	if (o->seen++ == 1)
		spinat_index_del(o->x, 0, 0);
	return value == o->wanted;
}

START_TEST(an_entry_that_moves_is_found)
{
	struct spinat_index x;
	struct overtaken o = {.x = &x, .wanted = SPINAT_INDEX_WAYS}, *ctx = &o;
	uint32_t value;

	ck_assert_int_eq(spinat_index_create(&x, "unit", 16, SOCKET_ID_ANY), 0);
	for (uint32_t i = 0; i <= SPINAT_INDEX_WAYS; i++)
		ck_assert_int_eq(spinat_index_add(&x, 0, i), 0);
	ck_assert(spinat_index_find(&x, 0, delete_behind, &ctx, &value));
	ck_assert_uint_eq(value, SPINAT_INDEX_WAYS);
	ck_assert_uint_eq(x.buckets[0].value[0], SPINAT_INDEX_WAYS);
	ck_assert_uint_eq(x.buckets[0].moves, 1);
	spinat_index_free(&x);
}
END_TEST

/* One chain, in which a writer takes entries out and puts them back. Each row's turn is even while
 * it is in. */
#define RACE_ROWS 60
#define RACE_TURNS 300000
struct race {
	struct spinat_index x;
	uint64_t rows[RACE_ROWS];
	uint32_t turn[RACE_ROWS];
	uint32_t missed, looked;
	bool stop;
};

static void *
read_race(void *arg)
{
	struct race *r = arg;
	cpu_set_t all;

	/* not on the writer's CPU, which the EAL has bound this process to */
	CPU_ZERO(&all);
	for (int cpu = 0; cpu < CPU_SETSIZE; cpu++)
		CPU_SET(cpu, &all);
	pthread_setaffinity_np(pthread_self(), sizeof(all), &all);
	while (!__atomic_load_n(&r->stop, __ATOMIC_RELAXED)) {
		const uint32_t row = rte_rand_max(RACE_ROWS);
		const uint32_t turn = __atomic_load_n(&r->turn[row], __ATOMIC_ACQUIRE);
		const bool found = holds(&r->x, r->rows, row);

		__atomic_thread_fence(__ATOMIC_ACQUIRE);
		if (turn % 2 != 0 || __atomic_load_n(&r->turn[row], __ATOMIC_RELAXED) != turn)
			continue;
		r->missed += !found;
		__atomic_fetch_add(&r->looked, 1, __ATOMIC_RELAXED);
	}
	return NULL;
}

START_TEST(readers_never_miss_what_is_in)
{
	static struct race r;
	pthread_t reader;

	ck_assert_int_eq(spinat_index_create(&r.x, "unit", RACE_ROWS, SOCKET_ID_ANY), 0);
	for (uint32_t i = 0; i < RACE_ROWS; i++) {
		r.rows[i] = rte_rand() << 32; /* the first bucket, any tag */
		ck_assert_int_eq(spinat_index_add(&r.x, r.rows[i], i), 0);
	}
	ck_assert_int_eq(pthread_create(&reader, NULL, read_race, &r), 0);
	/* until both have done enough, however the machine shares its time out */
	for (uint32_t i = 0;
		i < RACE_TURNS || __atomic_load_n(&r.looked, __ATOMIC_RELAXED) < RACE_TURNS; i++) {
		const uint32_t row = rte_rand_max(RACE_ROWS);

		__atomic_fetch_add(&r.turn[row], 1, __ATOMIC_SEQ_CST);
		spinat_index_del(&r.x, r.rows[row], row);
		ck_assert_int_eq(spinat_index_add(&r.x, r.rows[row], row), 0);
		__atomic_fetch_add(&r.turn[row], 1, __ATOMIC_SEQ_CST);
	}
	__atomic_store_n(&r.stop, true, __ATOMIC_RELAXED);
	ck_assert_int_eq(pthread_join(reader, NULL), 0);
	ck_assert_uint_gt(r.x.buckets[0].moves, 0);
	ck_assert_uint_eq(r.missed, 0);
	spinat_index_free(&r.x);
}
END_TEST

TCase *
nat_index_cases(void)
{
	TCase *t = tcase_create("index");

	tcase_set_timeout(t, 60);
	tcase_add_loop_test(t, nothing_is_refused_below_capacity, 0, RTE_DIM(sizes));
	tcase_add_test(t, equal_hashes_are_told_apart);
	tcase_add_test(t, a_million_fit);
	tcase_add_test(t, without_room_it_says_so);
	tcase_add_test(t, an_entry_that_moves_is_found);
	tcase_add_test(t, readers_never_miss_what_is_in);
	return t;
}
