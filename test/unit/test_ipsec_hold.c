/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 the spinat authors
 */
#include "test_ipsec.h"
#include "test_ipsec_fixture.h"

/* Packets that the caller keeps, as others than those who get them at once may be their owners. */

static struct spinat_client late[256];
static uint32_t n_late, n_kept, most_kept, n_told;
static bool kept[SPINAT_HELD_MAX + 1];

static void
on_late(void *ctx __rte_unused, uint32_t hold, const struct spinat_client *to, unsigned int n)
{
	ck_assert(kept[hold]);
	for (unsigned int i = 0; i < n; i++)
		late[n_late++ % RTE_DIM(late)] = to[i];
}

static void
on_forget(void *ctx __rte_unused, uint32_t hold)
{
	ck_assert(kept[hold]);
	kept[hold] = false;
	n_kept--;
}

static void
on_ambiguous(void *ctx __rte_unused, const struct spinat_ambiguous *a __rte_unused)
{
	n_told++;
}

static struct fixture *
create(void)
{
	struct fixture *f = fx_create(8192, 512, 5);

	memset(kept, 0, sizeof(kept));
	n_late = n_kept = most_kept = n_told = 0;
	f->conf.limits.copies = 63;
	f->conf.limits.copies_per_gateway = f->conf.limits.copies_per_second = 1000000;
	f->ops.late = on_late;
	f->ops.forget = on_forget;
	f->ops.ambiguous = on_ambiguous;
	spinat_binder_free(f->b);
	f->b = spinat_binder_create("hold",
		&(struct spinat_binder_params){.max_bindings = 8192,
			.max_ike = 512,
			.seed = 5,
			.socket_id = SOCKET_ID_ANY},
		&f->ops);
	ck_assert_ptr_nonnull(f->b);
	return f;
}

static struct spinat_ipsec_decision
in(struct fixture *f, uint32_t spi, uint32_t seq)
{
	const struct spinat_ipsec_pkt p = {.outside = FX_P,
		.gateway = FX_G,
		.spi = rte_cpu_to_be_32(spi),
		.seq = seq,
		.len = 100,
		.proto = IPPROTO_ESP,
		.ttl = 60,
		.may_wait = true};
	struct spinat_ipsec_decision d;

	spinat_binder_inbound(f->b, &f->conf, f->now, &p, &d);
	if (d.hold != 0) {
		ck_assert_uint_le(d.hold, SPINAT_HELD_MAX);
		ck_assert(!kept[d.hold]);
		kept[d.hold] = true;
		most_kept = RTE_MAX(most_kept, ++n_kept);
	}
	return d;
}

static void
wait_ms(struct fixture *f, unsigned int ms)
{
	while (ms-- > 0) {
		f->now++;
		spinat_binder_sweep(f->b, &f->conf, f->now, 64);
	}
}

/* Client 0 has opened a pair some time ago, client 1 just now; the answer is most likely to 1. */
static struct fixture *
one_likely(void)
{
	struct fixture *f = create();

	ck_assert(fx_out(f, 0, 0x1000, 1));
	f->now += 300;
	ck_assert(fx_out(f, 1, 0x1001, 1));
	f->now += 2;
	return f;
}

START_TEST(unlikely_one_gets_it_late)
{
	struct fixture *f = one_likely();
	struct spinat_ipsec_decision d = in(f, 0x5000, 1);

	ck_assert(fx_only(&d, 1));
	ck_assert_uint_ne(d.hold, 0);
	wait_ms(f, 250);
	ck_assert_uint_eq(n_late, 0);
	wait_ms(f, 100);
	ck_assert_uint_eq(n_late, 1);
	ck_assert_uint_eq(late[0].addr, fx_client(0).addr);
	ck_assert_uint_eq(n_kept, 0);
	fx_destroy(f);
}
END_TEST

/* The likely one answers: nobody else needs a copy. */
START_TEST(answer_spares_the_copy)
{
	struct fixture *f = one_likely();
	struct spinat_ipsec_decision d;

	for (uint32_t i = 1; i <= 4; i++) {
		d = in(f, 0x5000, i);
		ck_assert(fx_only(&d, 1));
		wait_ms(f, 2);
		ck_assert(fx_out(f, 1, 0x1001, 1 + i));
		wait_ms(f, 20);
	}
	wait_ms(f, 400);
	ck_assert_uint_eq(n_late, 0);
	ck_assert_uint_eq(n_kept, 0);
	fx_destroy(f);
}
END_TEST

/* The other one turns out to be the owner by what it sends: it gets what was kept, each packet once,
 * and before the time is over. */
START_TEST(owner_that_shows_gets_what_was_kept)
{
	struct fixture *f = one_likely();
	struct spinat_ipsec_decision d = in(f, 0x5000, 1);
	uint32_t at_once = 0, sent = 1;

	ck_assert(fx_only(&d, 1));
	for (uint32_t i = 2; i <= 8 && n_late == 0; i++) {
		f->now += 12;
		ck_assert(fx_out(f, 0, 0x1000, i)); /* asks, */
		f->now += 3;
		d = in(f, 0x5000, i); /* and is answered */
		at_once += fx_reaches(&d, 0);
		sent++;
	}
	ck_assert_uint_gt(n_late, 0);
	wait_ms(f, 400);
	for (uint32_t i = 0; i < n_late; i++)
		ck_assert_uint_eq(late[i].addr, fx_client(0).addr);
	ck_assert_uint_eq(n_late + at_once, sent);
	ck_assert_uint_eq(n_kept, 0);
	fx_destroy(f);
}
END_TEST

/* More than there is room for: the oldest go first, and none is left behind. */
START_TEST(room_for_so_many)
{
	struct fixture *f = create();
	uint32_t before;

	for (unsigned int i = 0; i < 400; i++) {
		ck_assert(fx_out(f, i, 0x10000 + i, 1));
		f->now += 1 + (i % 3);
	}
	for (uint32_t seq = 1; seq <= 40; seq++)
		for (unsigned int i = 0; i < 400; i++)
			in(f, 0x50000 + i, seq);
	ck_assert_uint_gt(most_kept, SPINAT_HELD_MAX / 2);
	ck_assert_uint_le(most_kept, SPINAT_HELD_MAX);
	/* a newer one in the place of the oldest keeps nothing longer */
	wait_ms(f, 200);
	before = n_kept;
	for (unsigned int i = 0; i < 8; i++)
		in(f, 0x50000 + i, 41);
	wait_ms(f, 120);
	ck_assert_uint_lt(n_kept, before);
	ck_assert_uint_le(n_kept, 8);
	wait_ms(f, 400);
	ck_assert_uint_eq(n_kept, 0);
	fx_destroy(f);
}
END_TEST

/* What can not wait goes to all that may own it, at once. */
START_TEST(not_for_what_can_not_wait)
{
	struct fixture *f = one_likely();
	struct spinat_ipsec_decision d = fx_in(f, 0x5000, 1);

	ck_assert(fx_reaches(&d, 0) && fx_reaches(&d, 1));
	ck_assert_uint_eq(d.hold, 0);
	fx_destroy(f);
}
END_TEST

/* Two clients have opened a pair each at the same time, and there are no copies. */
static struct fixture *
alike(void)
{
	struct fixture *f = create();

	f->conf.realms[0].ambiguity = SPINAT_AMBIGUITY_DROP;
	ck_assert(fx_out(f, 0, 0x1000, 1));
	ck_assert(fx_out(f, 1, 0x1001, 1));
	f->now += 2;
	return f;
}

START_TEST(kept_for_nobody)
{
	struct fixture *f = alike();
	struct spinat_ipsec_decision d = in(f, 0x5000, 1);

	ck_assert_uint_eq(d.n, 0);
	ck_assert_uint_eq(d.drop, SPINAT_DROP_NONE);
	ck_assert_uint_ne(d.hold, 0);
	ck_assert_uint_eq(n_told, 0);
	wait_ms(f, 350);
	ck_assert_uint_eq(n_late, 0);
	ck_assert_uint_eq(n_kept, 0);
	ck_assert_uint_eq(n_told, 1);
	fx_destroy(f);
}
END_TEST

/* The owner is clear before the time is over: it gets each packet once, and nobody else any. */
START_TEST(kept_until_it_is_clear)
{
	struct fixture *f = alike();
	struct spinat_ipsec_decision d = in(f, 0x5000, 1);
	struct spinat_binder_stats stats;
	static const unsigned int pauses[] = {17, 41, 24, 58, 33, 70, 29};
	uint32_t at_once = 0, sent = 1;

	ck_assert_uint_eq(d.n, 0);
	for (uint32_t i = 2; i <= 8 && n_late == 0; i++) {
		wait_ms(f, pauses[i - 2]);
		ck_assert(fx_out(f, 0, 0x1000, i)); /* asks, */
		wait_ms(f, 3);
		d = in(f, 0x5000, i); /* and is answered */
		ck_assert(d.n == 0 || fx_only(&d, 0));
		at_once += d.n;
		sent++;
	}
	ck_assert_uint_gt(n_late, 0);
	wait_ms(f, 400);
	for (uint32_t i = 0; i < n_late; i++)
		ck_assert_uint_eq(late[i].addr, fx_client(0).addr);
	ck_assert_uint_eq(n_late + at_once, sent);
	ck_assert_uint_eq(n_kept, 0);
	ck_assert_uint_eq(n_told, 0);
	spinat_binder_stats_get(f->b, &stats);
	ck_assert_uint_eq(stats.copies, 0);
	fx_destroy(f);
}
END_TEST

/* A reload has ended the copies: none is made of what was kept before it. */
START_TEST(no_copies_after_a_reload)
{
	static const enum spinat_ambiguity modes[] = {
		SPINAT_AMBIGUITY_SERIALISE, SPINAT_AMBIGUITY_NEWEST, SPINAT_AMBIGUITY_DROP};

	for (unsigned int i = 0; i < RTE_DIM(modes); i++) {
		struct fixture *f = one_likely();
		struct spinat_ipsec_decision d = in(f, 0x5000, 1);

		ck_assert(fx_only(&d, 1));
		ck_assert_uint_ne(d.hold, 0);
		f->conf.realms[0].ambiguity = modes[i];
		wait_ms(f, 350);
		ck_assert_uint_eq(n_late, 0);
		ck_assert_uint_eq(n_kept, 0);
		fx_destroy(f);
	}
}
END_TEST

TCase *
test_ipsec_hold(void)
{
	TCase *t = tcase_create("hold");

	tcase_add_test(t, unlikely_one_gets_it_late);
	tcase_add_test(t, answer_spares_the_copy);
	tcase_add_test(t, owner_that_shows_gets_what_was_kept);
	tcase_add_test(t, room_for_so_many);
	tcase_add_test(t, not_for_what_can_not_wait);
	tcase_add_test(t, kept_for_nobody);
	tcase_add_test(t, kept_until_it_is_clear);
	tcase_add_test(t, no_copies_after_a_reload);
	return t;
}
