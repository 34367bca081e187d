/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 the spinat authors
 */
#include "test_ipsec.h"
#include "test_ipsec_fixture.h"

/* Two clients have chosen the same SPI, and the first one's packets do not pass the binder any more. */

#define SPI 0x1234567

/* The first client's SA, so many packets old, translated without the binder. */
static struct fixture *
one_in_use(uint32_t packets)
{
	struct fixture *f = fx_create(64, 64, 1);
	struct spinat_ipsec_decision d;

	fx_ikev2(f, 0, 100);
	for (uint32_t seq = 1; seq <= packets; seq++) {
		ck_assert(fx_out(f, 0, 0x111, seq));
		f->now += 20;
		d = fx_in(f, SPI, seq);
		ck_assert(fx_only(&d, 0));
		f->now += 100;
	}
	f->now += 10000;
	d = fx_in(f, SPI, packets + 1);
	ck_assert(fx_only(&d, 0));
	f->now += 20;
	return f;
}

static bool
has_shortcut(const struct fixture *f)
{
	for (uint32_t i = 0; i < FX_SHORTCUTS; i++)
		if (f->shortcut[i].used && f->shortcut[i].s.dir == SPINAT_IN)
			return true;
	return false;
}

/* How many packets the first SA is ahead by. */
static const uint32_t aheads[] = {10, 60, 100, 500};

START_TEST(second_client_loses_nothing)
{
	const uint32_t ahead = aheads[_i];
	struct fixture *f = one_in_use(ahead);
	struct spinat_ipsec_decision d;

	ck_assert(has_shortcut(f));
	fx_ikev2(f, 1, 200);
	for (uint32_t seq = 1; seq <= 300; seq++) {
		ck_assert(fx_out(f, 1, 0x222, seq));
		f->now += 20 + fx_random(f, 3);
		d = fx_in(f, SPI, seq);
		ck_assert_msg(fx_reaches(&d, 1), "its packet %u", seq);
		f->now += 50 + fx_random(f, 50);
		ck_assert(fx_out(f, 0, 0x111, ahead + 1 + seq));
		f->now += 20 + fx_random(f, 3);
		d = fx_in(f, SPI, ahead + 1 + seq);
		ck_assert_msg(fx_reaches(&d, 0), "packet %u of the first one", seq);
		f->now += 50 + fx_random(f, 50);
	}
	fx_destroy(f);
}
END_TEST

START_TEST(numbers_go_back_and_nobody_waits)
{
	struct fixture *f = one_in_use(300);
	const uint32_t asked = f->n_asked;
	struct spinat_ipsec_decision d;

	for (uint32_t seq = 1; seq <= 20; seq++) {
		d = fx_in(f, SPI, seq);
		ck_assert(fx_only(&d, 0));
		d = fx_in(f, SPI, seq);
		ck_assert(fx_only(&d, 0));
		ck_assert(has_shortcut(f));
	}
	ck_assert_uint_eq(f->n_asked, asked + 16); /* then it is known */
	fx_destroy(f);
}
END_TEST

/* A replay, or a packet that took a long way: what waits for something else gets it, but not what
 * comes after it for ever. */
START_TEST(one_old_packet_is_forgotten)
{
	struct fixture *f = one_in_use(300);
	struct spinat_ipsec_decision d;

	fx_ikev2(f, 1, 200);
	f->now += 5000;
	d = fx_in(f, SPI, 7);
	ck_assert(fx_reaches(&d, 0) && fx_reaches(&d, 1));
	for (uint32_t seq = 302; seq <= 500; seq++) {
		f->now += 100;
		d = fx_in(f, SPI, seq);
		ck_assert(fx_reaches(&d, 0));
	}
	ck_assert(fx_only(&d, 0));
	ck_assert(has_shortcut(f));
	fx_destroy(f);
}
END_TEST

TCase *
test_ipsec_same(void)
{
	TCase *t = tcase_create("same");

	tcase_add_loop_test(t, second_client_loses_nothing, 0, RTE_DIM(aheads));
	tcase_add_test(t, numbers_go_back_and_nobody_waits);
	tcase_add_test(t, one_old_packet_is_forgotten);
	return t;
}
