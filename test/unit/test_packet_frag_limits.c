/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 the spinat authors
 */
#include "packet_fragments.h"
#include "test_packet.h"

/* Bounds in number, bytes and time. */

static void
small_setup(void)
{
	frag_open(16, 20, 3000);
}

/* Room for more held fragments than one datagram may have. */
static void
wide_setup(void)
{
	frag_open(16, 200, 1 << 20);
}

START_TEST(table_full)
{
	for (uint16_t id = 0; id < 16; id++) {
		FIRST(PIECE(id, 0, 64, true));
		frag_learn(id, NULL);
	}
	frag_assert_usage(16, 0);
	DROPS(PIECE(16, 0, 64, true), SPINAT_DROP_FRAG_TABLE_FULL);
	DROPS(PIECE(17, 64, 64, true), SPINAT_DROP_FRAG_TABLE_FULL);
	/* those that are in go on, and make room when they are through */
	FOLLOWS(PIECE(3, 128, 64, true));
	FOLLOWS(PIECE(5, 64, 64, false));
	FIRST(PIECE(16, 0, 64, true));
	DROPS(PIECE(17, 64, 64, true), SPINAT_DROP_FRAG_TABLE_FULL);
	/* as does the oldest, once its time is over, without a call of expire */
	fx.now_ms += TIMEOUT_MS;
	HELD(PIECE(17, 64, 64, true));
	frag_assert_usage(16, 1);
}
END_TEST

/* Slots: the whole table together. */
START_TEST(held_count)
{
	for (uint16_t i = 0; i < 20; i++)
		HELD(PIECE(i / 2, 8 + i % 2 * 8, 8, true));
	frag_assert_usage(10, 20);
	DROPS(PIECE(1, 64, 8, true), SPINAT_DROP_FRAG_HOLD_FULL);
	DROPS(PIECE(99, 64, 8, true), SPINAT_DROP_FRAG_HOLD_FULL);
	frag_assert_usage(10, 20); /* nothing is kept of what was dropped */
	FIRST(PIECE(1, 0, 8, true));
	ck_assert_uint_eq(frag_learn(1, NULL), 2);
	frag_assert_usage(10, 18);
	FOLLOWS(PIECE(1, 64, 8, true));
	HELD(PIECE(99, 64, 8, true));
	HELD(PIECE(99, 72, 8, true));
	DROPS(PIECE(99, 80, 8, true), SPINAT_DROP_FRAG_HOLD_FULL);
	FOLLOWS(PIECE(1, 72, 8, true)); /* needs no slot */
	fx.now_ms += TIMEOUT_MS;
	ck_assert_uint_eq(frag_expire(64), 20);
	HELD(PIECE(99, 64, 8, true));
}
END_TEST

/* Bytes of whole frames: two of 1234 are 2468 of 3000. */
START_TEST(held_bytes)
{
	const uint16_t rest = 3000 - 2 * 1234 - 34;

	HELD(PIECE(1, 1200, 1200, true));
	HELD(PIECE(1, 2400, 1200, true));
	DROPS(PIECE(1, 3600, 1200, true), SPINAT_DROP_FRAG_HOLD_FULL);
	DROPS(PIECE(2, 1200, rest + 1, false), SPINAT_DROP_FRAG_HOLD_FULL);
	HELD(PIECE(2, 1200, rest, false));
	DROPS(PIECE(3, 8, 8, false), SPINAT_DROP_FRAG_HOLD_FULL);
	FIRST(PIECE(1, 0, 1200, true));
	ck_assert_uint_eq(frag_learn(1, NULL), 2);
	HELD(PIECE(3, 1200, 1200, true));
	HELD(PIECE(3, 2400, 1200, true));
	DROPS(PIECE(3, 8, 8, true), SPINAT_DROP_FRAG_HOLD_FULL);
}
END_TEST

START_TEST(held_per_datagram)
{
	uint32_t places[SPINAT_FRAG_HELD_MAX];

	for (uint16_t i = 0; i < SPINAT_FRAG_HELD_MAX; i++)
		HELD(PIECE(1, 8000 - 8 * i, 8, true));
	DROPS(PIECE(1, 8008, 8, true), SPINAT_DROP_FRAG_HOLD_FULL);
	HELD(PIECE(2, 8008, 8, true));
	FIRST(PIECE(1, 0, 8, true));
	ck_assert_uint_eq(frag_learn(1, places), SPINAT_FRAG_HELD_MAX);
	for (uint16_t i = 0; i < SPINAT_FRAG_HELD_MAX; i++)
		ck_assert_uint_eq(places[i], 8000 - 8 * i);
	frag_assert_usage(2, 1);
	FOLLOWS(PIECE(1, 8008, 8, true));
}
END_TEST

/* Eight islands are tracked; what joins them is welcome, a ninth is not. */
START_TEST(scattered)
{
	for (uint16_t i = 1; i <= 8; i++)
		HELD(PIECE(1, 32 * i, 8, true));
	DROPS(PIECE(1, 320, 8, true), SPINAT_DROP_FRAG_SCATTERED);
	DROPS(PIECE(1, 0, 8, true), SPINAT_DROP_FRAG_SCATTERED);
	DROPS(PIECE(1, 48, 8, true), SPINAT_DROP_FRAG_SCATTERED);
	HELD(PIECE(1, 40, 8, true)); /* longer to the right */
	HELD(PIECE(1, 88, 8, true)); /* longer to the left */
	HELD(PIECE(1, 264, 16, true)); /* longer at the end */
	HELD(PIECE(1, 48, 16, true)); /* joins two */
	HELD(PIECE(1, 320, 8, false));
	DROPS(PIECE(1, 16, 8, true), SPINAT_DROP_FRAG_SCATTERED);
	HELD(PIECE(1, 280, 40, true));
	FIRST(PIECE(1, 0, 16, true));
	ck_assert_uint_eq(frag_learn(1, NULL), 14);
	/* and the gaps that are left: 16-32, 72-88, 104-128, 136-160, 168-192, 200-224, 232-256 */
	FOLLOWS(PIECE(1, 200, 24, true));
	FOLLOWS(PIECE(1, 16, 16, true));
	FOLLOWS(PIECE(1, 72, 16, true));
	FOLLOWS(PIECE(1, 136, 24, true));
	FOLLOWS(PIECE(1, 104, 24, true));
	FOLLOWS(PIECE(1, 232, 24, true));
	frag_assert_usage(1, 0);
	FOLLOWS(PIECE(1, 168, 24, true));
	frag_assert_usage(0, 0);
}
END_TEST

/* Time runs from the first fragment seen, whichever it is, and is not prolonged. */
START_TEST(timeout)
{
	HELD(PIECE(1, 64, 64, true));
	fx.now_ms += TIMEOUT_MS - 1;
	HELD(PIECE(1, 128, 64, true));
	FIRST(PIECE(2, 0, 64, true));
	ck_assert_uint_eq(frag_learn(2, NULL), 0);
	ck_assert_uint_eq(frag_expire(64), 0);
	frag_assert_usage(2, 2);
	fx.now_ms += 1;
	/* what comes now begins anew, though expire has not been called */
	HELD(PIECE(1, 128, 64, true));
	frag_assert_usage(2, 3);
	ck_assert_uint_eq(frag_expire(64), 2);
	frag_assert_usage(2, 1);
	fx.now_ms += TIMEOUT_MS - 1;
	HELD(PIECE(2, 64, 64, true)); /* the decision is forgotten, too */
	ck_assert_uint_eq(frag_expire(64), 0);
	frag_assert_usage(2, 2);
	fx.now_ms += 1;
	ck_assert_uint_eq(frag_expire(64), 1);
	frag_assert_usage(1, 1);
	fx.now_ms += TIMEOUT_MS;
	ck_assert_uint_eq(frag_expire(64), 1);
	frag_assert_usage(0, 0);
}
END_TEST

/* Never more than asked for, in datagrams and in mbufs; the rest at the next calls. */
START_TEST(expire_bounded)
{
	for (uint16_t i = 0; i < 60; i++)
		HELD(PIECE(i / 6, 8 + i % 6 * 8, 8, true));
	for (uint16_t id = 10; id < 16; id++)
		FIRST(PIECE(id, 0, 8, true));
	fx.now_ms += TIMEOUT_MS;
	ck_assert_uint_eq(frag_expire(4), 4);
	frag_assert_usage(12, 56);
	ck_assert_uint_eq(frag_expire(0), 0);
	for (uint32_t left = 56; left > 0; left -= 4)
		ck_assert_uint_eq(frag_expire(4), 4);
	frag_assert_usage(0, 0);
	ck_assert_uint_eq(frag_expire(4), 0);
}
END_TEST

/* Far more datagrams than there is room for, from everywhere: bounded, and all well afterwards. */
START_TEST(flood)
{
	uint64_t state = test_seed;
	uint32_t datagrams, held, drops = 0;
	struct spinat_meta meta;
	struct rte_mbuf *m;

	for (int i = 0; i < 100000; i++) {
		uint64_t r = pkt_random(&state);

		m = frag_make(PIECE(r >> 16, (r >> 8 & 3) * 8, 8, true), &meta);
		meta.key.src = r >> 32;
		drops += frag_give_meta(m, &meta).action == SPINAT_FRAG_DROP;
		spinat_frag_usage(fx.table, &datagrams, &held);
		pkt_assert(datagrams <= 16 && held <= 20);
		if (i % 100 == 0)
			fx.now_ms += TIMEOUT_MS / 2;
		if (i % 7 == 0)
			frag_expire(4);
	}
	ck_assert_uint_gt(drops, 0);
	fx.now_ms += TIMEOUT_MS;
	frag_expire(16); /* every datagram, most of what they held */
	frag_expire(16);
	frag_assert_usage(0, 0);
	FIRST(PIECE(1, 0, 8, true));
}
END_TEST

START_TEST(freed_with_held)
{
	HELD(PIECE(1, 64, 64, true));
	HELD(PIECE(2, 64, 64, true));
	DROPS(PIECE(2, 72, 64, true), SPINAT_DROP_FRAG_OVERLAP);
	frag_assert_usage(2, 2); /* one in its datagram, one given up: the teardown counts both */
}
END_TEST

TCase *
test_frag_limits(void)
{
	TCase *tc = tcase_create("frag limits");

	tcase_add_checked_fixture(tc, small_setup, frag_teardown);
	tcase_set_timeout(tc, 60);
	tcase_add_test(tc, table_full);
	tcase_add_test(tc, held_count);
	tcase_add_test(tc, held_bytes);
	tcase_add_test(tc, flood);
	return tc;
}

TCase *
test_frag_time(void)
{
	TCase *tc = tcase_create("frag time");

	tcase_add_checked_fixture(tc, wide_setup, frag_teardown);
	tcase_add_test(tc, held_per_datagram);
	tcase_add_test(tc, scattered);
	tcase_add_test(tc, timeout);
	tcase_add_test(tc, expire_bounded);
	tcase_add_test(tc, freed_with_held);
	return tc;
}
