/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 the spinat authors
 */
#include "test_ipsec.h"
#include "test_ipsec_fixture.h"

/* What an operator decides about an SPI. */

#define SPI 0x5000

static struct spinat_ambiguous told;
static unsigned int n_told;

static void
hear(void *ctx __rte_unused, const struct spinat_ambiguous *a)
{
	told = *a;
	n_told++;
}

/* A binder that says what it can not decide. */
static struct fixture *
create(void)
{
	struct fixture *f = fx_create(1024, 64, 1);
	const struct spinat_binder_params params = {
		.max_bindings = 1024, .max_ike = 64, .seed = 1, .socket_id = SOCKET_ID_ANY};

	spinat_binder_free(f->b);
	f->ops.ambiguous = hear;
	f->b = spinat_binder_create("order", &params, &f->ops);
	ck_assert_ptr_nonnull(f->b);
	n_told = 0;
	return f;
}

static enum spinat_order_result
order(struct fixture *f, const struct spinat_client *client, uint32_t spi)
{
	const struct spinat_order o = {
		.client = client != NULL ? *client : (struct spinat_client){.realm = 0},
		.outside = FX_P,
		.gateway = FX_G,
		.spi = rte_cpu_to_be_32(spi),
	};

	return spinat_binder_order(f->b, &f->conf, f->now, &o);
}

static enum spinat_order_result
order_to(struct fixture *f, unsigned int client, uint32_t spi)
{
	const struct spinat_client c = fx_client(client);

	return order(f, &c, spi);
}

static struct spinat_binding_row
binding(const struct fixture *f, uint32_t spi)
{
	struct spinat_binding_row row;
	uint32_t cursor = 0;

	while (spinat_binder_next_binding(f->b, &cursor, &row))
		if (row.spi == rte_cpu_to_be_32(spi))
			return row;
	ck_abort_msg("SPI 0x%x is not there", spi);
}

/* Clients that have all finished IKE and are silent: nothing tells whose the SPI is. */
static uint32_t
undecided(struct fixture *f, unsigned int clients)
{
	struct spinat_ipsec_decision d;
	uint32_t seq;

	f->conf.limits.copies_per_spi = 8;
	for (unsigned int i = 0; i < clients; i++)
		fx_ikev2(f, i, 100 + i);
	f->now += 10000;
	for (seq = 1; seq <= 20; seq++) {
		d = fx_in(f, SPI, seq);
		ck_assert_uint_ge(d.n, 1);
		f->now += 100;
	}
	return seq;
}

START_TEST(undecided_is_told_once)
{
	struct fixture *f = create();
	uint32_t seq = undecided(f, 10);

	ck_assert_uint_eq(n_told, 1);
	ck_assert_uint_eq(told.spi, RTE_BE32(SPI));
	ck_assert_uint_eq(told.outside, FX_P);
	ck_assert_uint_eq(told.gateway, FX_G);
	ck_assert_uint_eq(told.proto, IPPROTO_ESP);
	ck_assert_uint_eq(told.n_candidates, 10);
	for (unsigned int i = 0; i < SPINAT_AMBIGUOUS_NAMED; i++) {
		ck_assert_uint_ne(told.candidates[i], 0);
		for (unsigned int k = 0; k < i; k++)
			ck_assert_uint_ne(told.candidates[i], told.candidates[k]);
	}
	ck_assert_int_eq(binding(f, SPI).state, SPINAT_BINDING_AMBIGUOUS);
	for (unsigned int i = 0; i < 100; i++)
		fx_in(f, SPI, seq++);
	ck_assert_uint_eq(n_told, 1);
	fx_destroy(f);
}
END_TEST

START_TEST(drop_mode_tells_too)
{
	struct fixture *f = create();
	struct spinat_ipsec_decision d;

	f->conf.realms[0].ambiguity = SPINAT_AMBIGUITY_DROP;
	fx_ikev2(f, 0, 100);
	fx_ikev2(f, 1, 101);
	f->now += 10000;
	for (uint32_t seq = 1; seq <= 3; seq++) {
		d = fx_in(f, SPI, seq);
		ck_assert_int_eq(d.drop, SPINAT_DROP_SPI_AMBIGUOUS);
	}
	ck_assert_uint_eq(n_told, 1);
	ck_assert_uint_eq(told.n_candidates, 2);
	ck_assert_int_eq(binding(f, SPI).state, SPINAT_BINDING_AMBIGUOUS);
	ck_assert_int_eq(order_to(f, 1, SPI), SPINAT_ORDER_DONE);
	d = fx_in(f, SPI, 4);
	ck_assert(fx_only(&d, 1));
	fx_destroy(f);
}
END_TEST

START_TEST(bound_goes_to_one_alone)
{
	struct fixture *f = create();
	uint32_t seq = undecided(f, 3);
	struct spinat_ipsec_decision d;
	struct spinat_binding_row row;

	ck_assert_int_eq(order_to(f, 2, SPI), SPINAT_ORDER_DONE);
	for (unsigned int i = 0; i < 20; i++) {
		d = fx_in(f, SPI, seq++);
		ck_assert(fx_only(&d, 2));
		f->now += 100;
	}
	row = binding(f, SPI);
	ck_assert_int_eq(row.state, SPINAT_BINDING_SETTLED);
	ck_assert_str_eq(row.why, "operator");
	ck_assert_uint_eq(row.client.addr, fx_client(2).addr);
	ck_assert_uint_eq(f->n_shortcuts, 1);
	/* its credit is spent: the next unknown SPI is another's */
	d = fx_in(f, SPI + 1, 1);
	ck_assert(!fx_reaches(&d, 2));
	ck_assert(fx_reaches(&d, 0) && fx_reaches(&d, 1));
	fx_destroy(f);
}
END_TEST

/* A second decision takes the first one back, packets that flow through the shortcut included. */
START_TEST(bound_again)
{
	struct fixture *f = create();
	uint32_t seq = undecided(f, 3);
	struct spinat_ipsec_decision d;

	for (unsigned int i = 0; i < 6; i++) {
		ck_assert_int_eq(order_to(f, i % 3, SPI), SPINAT_ORDER_DONE);
		for (unsigned int k = 0; k < 3; k++) {
			d = fx_in(f, SPI, seq++);
			ck_assert(fx_only(&d, i % 3));
		}
		f->now += 5000;
		d = fx_in(f, SPI, seq++);
		ck_assert(fx_only(&d, i % 3));
	}
	/* those who lost it expect one again */
	d = fx_in(f, SPI + 1, 1);
	ck_assert(fx_reaches(&d, 0) && fx_reaches(&d, 1) && !fx_reaches(&d, 2));
	fx_destroy(f);
}
END_TEST

/* Client 1 answers what comes on the SPI, a round trip after each packet, and hears nothing itself;
 * client 0, whom the operator has given it, is silent. With false, without an order. */
static bool
contrary(bool ordered)
{
	struct fixture *f = create();
	uint32_t seq, sent = 1;
	struct spinat_ipsec_decision d;
	bool flipped;

	fx_ikev2(f, 0, 100);
	fx_ikev2(f, 1, 101);
	f->now += 500;
	seq = 1;
	d = fx_in(f, SPI, seq++);
	ck_assert(fx_reaches(&d, 1));
	if (ordered)
		ck_assert_int_eq(order_to(f, 0, SPI), SPINAT_ORDER_DONE);
	for (unsigned int i = 0; i < 600; i++) {
		f->now += 200 + fx_random(f, 300);
		d = fx_in(f, SPI, seq++);
		f->now += 20;
		ck_assert(fx_out(f, 1, 0x7000, sent++));
		spinat_binder_sweep(f->b, &f->conf, f->now, 4096);
	}
	d = fx_in(f, SPI, seq);
	flipped = fx_only(&d, 1);
	ck_assert(flipped || fx_only(&d, 0));
	fx_destroy(f);
	return flipped;
}

START_TEST(evidence_does_not_flip_it)
{
	ck_assert(contrary(false)); /* it would */
	ck_assert(!contrary(true));
}
END_TEST

START_TEST(unbound_is_open_again)
{
	struct fixture *f = create();
	uint32_t seq = undecided(f, 3);
	struct spinat_ipsec_decision d;

	ck_assert_int_eq(order_to(f, 2, SPI), SPINAT_ORDER_DONE);
	d = fx_in(f, SPI, seq++);
	ck_assert(fx_only(&d, 2));
	f->conf.limits.copies_per_spi = 4096;
	ck_assert_int_eq(order(f, NULL, SPI), SPINAT_ORDER_DONE);
	ck_assert_uint_eq(f->n_shortcuts, 0);
	d = fx_in(f, SPI, seq++);
	ck_assert_uint_eq(d.n, 3);
	ck_assert_int_eq(order(f, NULL, SPI), SPINAT_ORDER_DONE);
	ck_assert_int_eq(order(f, NULL, SPI), SPINAT_ORDER_NO_SPI);
	fx_destroy(f);
}
END_TEST

START_TEST(refusals)
{
	struct fixture *f = create();
	struct spinat_client elsewhere = {.addr = fx_client(0).addr, .realm = 1};

	ck_assert_int_eq(order_to(f, 0, SPI), SPINAT_ORDER_NO_SPI); /* no such group */
	undecided(f, 2);
	ck_assert_int_eq(order_to(f, 0, SPI + 1), SPINAT_ORDER_NO_SPI);
	ck_assert_int_eq(order_to(f, 5, SPI), SPINAT_ORDER_NO_CLIENT);
	ck_assert_int_eq(order(f, &elsewhere, SPI), SPINAT_ORDER_NO_SPI);
	ck_assert_int_eq(binding(f, SPI).state, SPINAT_BINDING_AMBIGUOUS);
	/* as many as it may have, and all in use */
	f->conf.limits.bindings_per_client = 1;
	ck_assert_int_eq(order_to(f, 0, SPI), SPINAT_ORDER_DONE);
	fx_in(f, SPI, 100);
	fx_in(f, SPI + 1, 1);
	fx_in(f, SPI + 1, 2);
	ck_assert_int_eq(order_to(f, 0, SPI + 1), SPINAT_ORDER_LIMIT);
	ck_assert_uint_eq(binding(f, SPI).client.addr, fx_client(0).addr);
	fx_destroy(f);
}
END_TEST

TCase *
test_ipsec_order(void)
{
	TCase *t = tcase_create("orders");

	tcase_add_test(t, undecided_is_told_once);
	tcase_add_test(t, drop_mode_tells_too);
	tcase_add_test(t, bound_goes_to_one_alone);
	tcase_add_test(t, bound_again);
	tcase_add_test(t, evidence_does_not_flip_it);
	tcase_add_test(t, unbound_is_open_again);
	tcase_add_test(t, refusals);
	return t;
}
