/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 the spinat authors
 */
#include <errno.h>

#include "ipsec/ike.h"
#include "test_ipsec.h"
#include "test_ipsec_fixture.h"

/* --- the IKE header ------------------------------------------------------------------------------ */

static const uint8_t ike2_auth[28] = {1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 46,
	0x20, 35, 0x08, 0, 0, 0, 1, 0, 0, 1, 0x2c};

START_TEST(ike_parse_reads_header)
{
	struct spinat_ike_hdr h;

	ck_assert_int_eq(spinat_ike_parse(ike2_auth, sizeof(ike2_auth), &h), 0);
	ck_assert_mem_eq(&h.init_spi, ike2_auth, 8);
	ck_assert_mem_eq(&h.resp_spi, ike2_auth + 8, 8);
	ck_assert_uint_eq(h.major, 2);
	ck_assert_uint_eq(h.exchange, SPINAT_IKE2_AUTH);
	ck_assert_uint_eq(h.message_id, 1);
	ck_assert_uint_eq(h.length, 300);
	ck_assert(h.initiator);
	ck_assert(!h.response);
	ck_assert(h.encrypted);
}
END_TEST

/* Offset changed, new value, expected result. */
static const struct {
	int at;
	uint8_t value;
	int result;
} ike_changes[] = {
	{0, 2, 0}, /* another cookie */
	{17, 0x10, 0}, /* IKEv1 */
	{17, 0x30, -EINVAL}, /* version 3 */
	{17, 0x00, -EINVAL}, /* version 0 */
	{26, 0, 0}, /* length 44 */
	{19, 0x20 | 0x08, 0}, /* response */
};

START_TEST(ike_parse_checks)
{
	struct spinat_ike_hdr h;
	uint8_t m[28];
	uint32_t len;

	memcpy(m, ike2_auth, sizeof(m));
	m[ike_changes[_i].at] = ike_changes[_i].value;
	ck_assert_int_eq(spinat_ike_parse(m, sizeof(m), &h), ike_changes[_i].result);
	for (len = 0; len < sizeof(m); len++)
		ck_assert_int_eq(spinat_ike_parse(m, len, &h), -EMSGSIZE);
	memset(m, 0, 8);
	ck_assert_int_eq(spinat_ike_parse(m, sizeof(m), &h), -EINVAL);
	memcpy(m, ike2_auth, sizeof(m));
	m[26] = 0;
	m[27] = 27;
	ck_assert_int_eq(spinat_ike_parse(m, sizeof(m), &h), -EINVAL);
}
END_TEST

START_TEST(ike_parse_v1_flags)
{
	struct spinat_ike_hdr h;
	uint8_t m[28];

	memcpy(m, ike2_auth, sizeof(m));
	m[17] = 0x10;
	m[19] = 0x01;
	ck_assert_int_eq(spinat_ike_parse(m, sizeof(m), &h), 0);
	ck_assert(h.encrypted);
	ck_assert(!h.initiator);
	ck_assert(!h.response);
	m[19] = 0x28; /* flags that mean something in IKEv2 only */
	ck_assert_int_eq(spinat_ike_parse(m, sizeof(m), &h), 0);
	ck_assert(!h.encrypted);
	ck_assert(!h.response);
}
END_TEST

/* --- one client ------------------------------------------------------------------------------------ */

START_TEST(sole_talker_gets_everything)
{
	struct fixture *f = fx_create(1024, 64, 1);
	struct spinat_ipsec_decision d;
	int i;

	d = fx_in(f, 0x5000, 1);
	ck_assert_int_eq(d.drop, SPINAT_DROP_SPI_UNKNOWN);
	f->now += 61000; /* no longer just started */
	fx_ikev2(f, 0, 11);
	/* the gateway speaks first; then a rekey; then an SA from before a restart */
	for (i = 0; i < 3; i++) {
		d = fx_in(f, 0x5000 + i, i == 2 ? 70000 : 1);
		ck_assert(fx_only(&d, 0));
		d = fx_in(f, 0x5000 + i, i == 2 ? 70001 : 2);
		ck_assert(fx_only(&d, 0));
		f->now += 1000;
	}
	ck_assert_uint_eq(f->n_shortcuts, 3);
	/* the second client comes: what was recorded stays with the first */
	fx_ikev2(f, 1, 22);
	for (i = 0; i < 3; i++) {
		d = fx_in(f, 0x5000 + i, 80000);
		ck_assert(fx_only(&d, 0));
	}
	d = fx_in(f, 0x6000, 1);
	ck_assert(fx_reaches(&d, 1));
	fx_destroy(f);
}
END_TEST

START_TEST(spi_reserved_and_zero)
{
	static const struct {
		uint32_t spi;
		enum spinat_drop drop;
	} cases[] = {{0, SPINAT_DROP_SPI_ZERO}, {1, SPINAT_DROP_SPI_RESERVED},
		{255, SPINAT_DROP_SPI_RESERVED}, {256, SPINAT_DROP_NONE}};
	struct fixture *f = fx_create(1024, 64, 1);
	struct spinat_ipsec_decision d;
	unsigned int i;

	fx_ikev2(f, 0, 11);
	for (i = 0; i < RTE_DIM(cases); i++) {
		d = fx_in(f, cases[i].spi, 1);
		ck_assert_int_eq(d.drop, cases[i].drop);
		ck_assert(fx_out(f, 0, cases[i].spi, 1) == (cases[i].drop == SPINAT_DROP_NONE));
	}
	fx_destroy(f);
}
END_TEST

/* --- many clients, one after another -------------------------------------------------------------- */

#define SI(i) (0xc0000000u + 7919 * (i))
#define SO(i) (0x0a000000u + 104729 * (i))

enum opening { BY_IKEV1, BY_IKEV2, BY_ESP, OPENINGS };

static void
open_client(struct fixture *f, unsigned int i, enum opening how)
{
	switch (how) {
	case BY_IKEV1:
		fx_ikev1(f, i, 1000 + i);
		fx_ikev1_last(f, i, 1000 + i);
		break;
	case BY_IKEV2:
		fx_ikev2(f, i, 1000 + i);
		break;
	default:
		break;
	}
}

static const struct {
	unsigned int clients;
	unsigned int idle_each; /* every so many clients one does IKE and then nothing */
	bool mixed; /* of the three ways to open, else ESP alone */
	bool gateway_first; /* some gateways speak first */
} sequential[] = {
	{50, 0, false, false},
	{200, 0, false, false},
	{50, 0, true, true},
	{200, 0, true, true},
	{50, 5, true, false},
	{200, 10, true, false},
};

/* Each opens and gets its first packet before the next opens; every reply reaches its client then
 * and in the random traffic afterwards. */
START_TEST(sequential_openings)
{
	struct fixture *f = fx_create(4096, 1024, 17 + _i);
	struct spinat_ipsec_decision d;
	unsigned int n = sequential[_i].clients, i, k, wrong = 0;
	bool idle[200] = {0};
	uint32_t seq[200] = {0};

	for (i = 0; i < n; i++) {
		enum opening how = sequential[_i].mixed ? fx_random(f, OPENINGS) : BY_ESP;

		idle[i] = sequential[_i].idle_each != 0 && i % sequential[_i].idle_each == 1;
		open_client(f, i, idle[i] ? BY_IKEV2 : how);
		f->now += 1 + fx_random(f, 100);
		if (idle[i])
			continue;
		if (how == BY_ESP || !sequential[_i].gateway_first || fx_random(f, 2))
			ck_assert(fx_out(f, i, SO(i), 1));
		f->now += 15 + fx_random(f, 10);
		d = fx_in(f, SI(i), ++seq[i]);
		ck_assert_msg(fx_reaches(&d, i), "opening of %u", i);
		wrong += d.n - 1;
		f->now += 1 + fx_random(f, 500);
	}
	for (k = 0; k < 40 * n; k++) {
		i = fx_random(f, n);
		if (idle[i])
			continue;
		if (fx_random(f, 2))
			ck_assert(fx_out(f, i, SO(i), 2));
		f->now += 15 + fx_random(f, 10);
		d = fx_in(f, SI(i), ++seq[i]);
		ck_assert_msg(fx_reaches(&d, i), "traffic of %u", i);
		wrong += d.n - 1;
		f->now += fx_random(f, 5);
		if (fx_random(f, 2))
			ck_assert(fx_out(f, i, SO(i), 2));
		f->now += fx_random(f, 20);
	}
	ck_assert_uint_le(wrong, sequential[_i].mixed ? 20 * n : n);
	fx_destroy(f);
}
END_TEST

/* A client that got no reply yet keeps its credit; the late reply is still its. */
START_TEST(late_reply)
{
	struct fixture *f = fx_create(4096, 1024, 5);
	struct spinat_ipsec_decision d;

	ck_assert(fx_out(f, 0, SO(0), 1));
	f->now += 5000;
	ck_assert(fx_out(f, 1, SO(1), 1));
	f->now += 20;
	d = fx_in(f, SI(1), 1);
	ck_assert(fx_reaches(&d, 1));
	f->now += 600000;
	d = fx_in(f, SI(0), 1);
	ck_assert(fx_reaches(&d, 0));
	fx_destroy(f);
}
END_TEST

/* Both ends may begin an exchange with the same number (RFC 7296 2.2): two SAs, two SPIs. */
START_TEST(exchanges_of_both_sides)
{
	struct fixture *f = fx_create(4096, 64, 5);
	struct fx_ike k = {.init_spi = 11,
		.resp_spi = ~11ull,
		.major = 2,
		.exchange = SPINAT_IKE2_CREATE_CHILD_SA,
		.message_id = 2,
		.encrypted = true};
	struct spinat_ipsec_decision d;
	unsigned int i;

	for (i = 0; i < 2; i++) {
		fx_ikev2(f, i, 11 + i);
		ck_assert(fx_out(f, i, SO(i), 1));
		f->now += 20;
		d = fx_in(f, SI(i), 1);
		ck_assert(fx_only(&d, i));
	}
	for (i = 2; i < 4; i++) {
		k.response = false;
		if (i == 2) /* the client begins */
			ck_assert(fx_ike_out(f, 0, k));
		else
			fx_ike_in(f, k);
		f->now += 20;
		k.response = true;
		if (i == 2)
			fx_ike_in(f, k);
		else
			ck_assert(fx_ike_out(f, 0, k));
		f->now += 20;
		d = fx_in(f, SI(i), 1);
		ck_assert_msg(fx_only(&d, 0), "SPI of exchange %u", i);
		f->now += 20;
		d = fx_in(f, SI(i), 2);
		ck_assert_msg(fx_only(&d, 0), "SPI of exchange %u", i);
	}
	fx_destroy(f);
}
END_TEST

/* A client gets another inside address and goes on (RFC 4555): its IKE SA names it by both SPIs. */
START_TEST(client_that_moves)
{
	struct fixture *f = fx_create(4096, 64, 5);
	struct fx_ike k = {.init_spi = 11,
		.resp_spi = ~11ull,
		.major = 2,
		.exchange = SPINAT_IKE2_INFORMATIONAL,
		.message_id = 2,
		.encrypted = true};
	const struct spinat_ipsec_pkt quoted = {
		.outside = FX_P, .gateway = FX_G, .spi = RTE_BE32(SO(0)), .proto = IPPROTO_ESP};
	struct spinat_ipsec_decision d;
	struct spinat_client client;
	unsigned int i;

	for (i = 0; i < 2; i++) {
		fx_ikev2(f, i, 11 + i);
		ck_assert(fx_out(f, i, SO(i), 1));
		for (uint32_t seq = 1; seq < 4; seq++) {
			f->now += 20;
			d = fx_in(f, SI(i), seq);
			ck_assert(fx_only(&d, i));
		}
		f->now += 1000;
	}
	/* somebody who knows one SPI of it only moves nothing */
	k.resp_spi = 99;
	fx_ike_out(f, 8, k);
	d = fx_in(f, SI(0), 4);
	ck_assert(fx_only(&d, 0));
	k.resp_spi = ~11ull;
	ck_assert(fx_ike_out(f, 5, k));
	k.response = true;
	d = fx_ike_in(f, k);
	ck_assert(fx_only(&d, 5));
	/* the gateway speaks first, and nothing has to be inferred again */
	d = fx_in(f, SI(0), 5);
	ck_assert(fx_only(&d, 5));
	ck_assert(fx_out(f, 5, SO(0), 2));
	ck_assert(spinat_binder_quoted(f->b, &quoted, 0, &client));
	ck_assert_uint_eq(client.addr, fx_client(5).addr);
	d = fx_in(f, SI(1), 5);
	ck_assert(fx_only(&d, 1));
	/* neither has a credit that was not spent: an SPI more is nobody's */
	d = fx_in(f, 0x777777, 1);
	ck_assert_int_eq(d.drop, SPINAT_DROP_SPI_UNKNOWN);
	fx_destroy(f);
}
END_TEST

/* --- what nobody can own ------------------------------------------------------------------------------ */

START_TEST(unknown_is_dropped_and_squelched)
{
	struct fixture *f = fx_create(4096, 64, 5);
	struct spinat_binder_stats stats;
	struct spinat_ipsec_decision d;
	unsigned int i;

	for (i = 0; i < 2; i++) {
		ck_assert(fx_out(f, i, SO(i), 1));
		f->now += 20;
		fx_in(f, SI(i), 1);
		f->now += 20;
		ck_assert(fx_out(f, i, SO(i), 2));
		f->now += 20;
		fx_in(f, SI(i), 2);
		f->now += 100;
		ck_assert(fx_out(f, i, SO(i), 3));
		f->now += 20;
		fx_in(f, SI(i), 3);
	}
	/* both credits are spent: a fresh SPI is nobody's */
	d = fx_in(f, 0x777777, 1);
	ck_assert_int_eq(d.drop, SPINAT_DROP_SPI_UNKNOWN);
	d = fx_in(f, 0x777778, 1);
	ck_assert_int_eq(d.drop, SPINAT_DROP_SPI_SQUELCHED);
	/* a new credit lifts the squelch at once */
	fx_ikev2(f, 2, 99);
	d = fx_in(f, 0x777779, 1);
	ck_assert(fx_only(&d, 2));
	spinat_binder_stats_get(f->b, &stats);
	ck_assert_uint_eq(stats.squelched, 1);
	fx_destroy(f);
}
END_TEST

START_TEST(passthrough_modes)
{
	struct fixture *f = fx_create(4096, 64, 5);
	struct spinat_ipsec_decision d;
	struct fx_ike k = {.init_spi = 5, .major = 2, .exchange = SPINAT_IKE2_SA_INIT};

	d = fx_in(f, 0x4000, 1);
	ck_assert_int_eq(d.drop, SPINAT_DROP_SPI_UNKNOWN);
	d = fx_ike_in(f, k);
	ck_assert_int_eq(d.drop, SPINAT_DROP_IKE_UNKNOWN);
	f->conf.realms[0].passthrough = SPINAT_PASS_HOST;
	f->conf.realms[0].passthrough_host = fx_client(9).addr;
	d = fx_in(f, 0x4000, 1);
	ck_assert(fx_only(&d, 9));
	d = fx_ike_in(f, k);
	ck_assert(fx_only(&d, 9));
	f->conf.realms[0].passthrough = SPINAT_PASS_SOLE;
	d = fx_in(f, 0x4000, 1);
	ck_assert_int_eq(d.drop, SPINAT_DROP_SPI_UNKNOWN);
	fx_destroy(f);
}
END_TEST

/* SOLE serves gateways that the client has not turned to. */
START_TEST(passthrough_sole)
{
	struct fixture *f = fx_create(4096, 64, 5);
	struct spinat_ipsec_pkt p = {.outside = FX_P,
		.gateway = RTE_BE32(0xcb00710a),
		.spi = RTE_BE32(0x9999),
		.seq = 1,
		.proto = IPPROTO_ESP};
	struct spinat_ipsec_decision d;

	f->conf.realms[0].passthrough = SPINAT_PASS_SOLE;
	fx_ikev2(f, 0, 3);
	spinat_binder_inbound(f->b, &f->conf, f->now, &p, &d);
	ck_assert(fx_only(&d, 0));
	fx_ikev2(f, 1, 4);
	spinat_binder_inbound(f->b, &f->conf, f->now, &p, &d);
	ck_assert_int_eq(d.drop, SPINAT_DROP_SPI_UNKNOWN);
	fx_destroy(f);
}
END_TEST

/* Random SPIs from a spoofed gateway neither fill the tables nor evict anything, nor keep the one
 * real newcomer out. */
START_TEST(spoofed_flood)
{
	struct fixture *f = fx_create(4096, 64, 5);
	struct spinat_binder_stats stats;
	struct spinat_ipsec_decision d;
	unsigned int i, delivered = 0;

	for (i = 0; i < 2; i++) {
		fx_ikev2(f, i, 10 + i);
		ck_assert(fx_out(f, i, SO(i), 1));
		f->now += 20;
		d = fx_in(f, SI(i), 1);
		ck_assert(fx_reaches(&d, i));
		fx_in(f, SI(i), 2);
	}
	fx_ikev2(f, 2, 12);
	for (i = 0; i < 20000; i++) {
		d = fx_in(f, 0x10000 + fx_random(f, 0x7fffffff), fx_random(f, 0x7fffffff) * 2u);
		delivered += d.n;
		f->now += i % 10 == 0;
	}
	spinat_binder_stats_get(f->b, &stats);
	ck_assert_uint_lt(stats.bindings, 200);
	ck_assert_uint_lt(delivered, 1000);
	ck_assert(fx_out(f, 2, SO(2), 1));
	f->now += 20;
	d = fx_in(f, SI(2), 1);
	ck_assert(fx_reaches(&d, 2));
	for (i = 0; i < 2; i++) {
		d = fx_in(f, SI(i), 3);
		ck_assert(fx_only(&d, i));
	}
	fx_destroy(f);
}
END_TEST

START_TEST(same_spi_of_two_protocols)
{
	struct fixture *f = fx_create(4096, 64, 5);
	struct spinat_ipsec_pkt p = {.client = fx_client(0),
		.outside = FX_P,
		.gateway = FX_G,
		.spi = RTE_BE32(0x4444),
		.seq = 1,
		.proto = IPPROTO_AH};
	struct spinat_ipsec_decision d;

	spinat_binder_outbound(f->b, &f->conf, f->now, &p, &d);
	ck_assert_uint_eq(d.n, 1);
	f->now += 20;
	spinat_binder_inbound(f->b, &f->conf, f->now, &p, &d);
	ck_assert(fx_only(&d, 0));
	ck_assert(fx_out(f, 1, 0x4445, 1));
	f->now += 20;
	d = fx_in(f, 0x4444, 1); /* ESP with the SPI of the AH SA */
	ck_assert(fx_reaches(&d, 1));
	fx_destroy(f);
}
END_TEST

/* The box has just started, and old SAs go on. The owner's IKE says that it is there: what came before
 * that for nobody else to own may be its own. */
START_TEST(client_that_shows_by_ike)
{
	struct fixture *f = fx_create(1024, 512, 1);
	struct spinat_ipsec_decision d;
	struct fx_ike k = {.init_spi = 0x77,
		.resp_spi = 0x88,
		.major = 2,
		.exchange = SPINAT_IKE2_INFORMATIONAL,
		.message_id = 9,
		.encrypted = true};

	ck_assert(fx_out(f, 0, 0x2000, 5000));
	f->now += 2000;
	d = fx_in(f, 0x3000, 7000);
	ck_assert(fx_only(&d, 0));
	f->now += 5000;
	ck_assert(fx_ike_out(f, 1, k));
	f->now += 1000;
	d = fx_in(f, 0x3000, 7001);
	ck_assert(fx_reaches(&d, 1));
	fx_destroy(f);
}
END_TEST

/* One negotiation at a time: the next client's turn has come when the SPI of the one before is seen,
 * although an idle client may own that SPI too. */
START_TEST(serialised_until_the_spi_is_seen)
{
	struct fixture *f = fx_create(64, 64, 7);
	struct fx_ike k = {.init_spi = 102, .major = 2, .exchange = SPINAT_IKE2_SA_INIT};
	struct spinat_ipsec_decision d;

	f->conf.realms[0].ambiguity = SPINAT_AMBIGUITY_SERIALISE;
	fx_ikev2(f, 0, 100);
	f->now += 10000;
	fx_ikev2(f, 1, 101);
	ck_assert(fx_ike_out(f, 2, k));
	f->now += 20;
	k = (struct fx_ike){.init_spi = 102,
		.resp_spi = 7,
		.major = 2,
		.exchange = SPINAT_IKE2_AUTH,
		.message_id = 1,
		.encrypted = true};
	ck_assert(!fx_ike_out(f, 2, k));
	ck_assert(fx_out(f, 1, 0x1001, 1));
	ck_assert(!fx_ike_out(f, 2, k));
	f->now += 20;
	d = fx_in(f, 0x5000, 1);
	ck_assert(fx_only(&d, 1));
	ck_assert(fx_ike_out(f, 2, k));
	fx_destroy(f);
}
END_TEST

static Suite *
ipsec_suite(void)
{
	Suite *s = suite_create("ipsec");
	TCase *t = tcase_create("ike header");

	tcase_add_test(t, ike_parse_reads_header);
	tcase_add_loop_test(t, ike_parse_checks, 0, RTE_DIM(ike_changes));
	tcase_add_test(t, ike_parse_v1_flags);
	suite_add_tcase(s, t);
	t = tcase_create("binder");
	tcase_set_timeout(t, 60);
	tcase_add_test(t, sole_talker_gets_everything);
	tcase_add_test(t, spi_reserved_and_zero);
	tcase_add_loop_test(t, sequential_openings, 0, RTE_DIM(sequential));
	tcase_add_test(t, late_reply);
	tcase_add_test(t, exchanges_of_both_sides);
	tcase_add_test(t, client_that_moves);
	tcase_add_test(t, unknown_is_dropped_and_squelched);
	tcase_add_test(t, passthrough_modes);
	tcase_add_test(t, passthrough_sole);
	tcase_add_test(t, spoofed_flood);
	tcase_add_test(t, same_spi_of_two_protocols);
	tcase_add_test(t, client_that_shows_by_ike);
	tcase_add_test(t, serialised_until_the_spi_is_seen);
	suite_add_tcase(s, t);
	suite_add_tcase(s, test_ipsec_hold());
	suite_add_tcase(s, test_ipsec_ike_port());
	suite_add_tcase(s, test_ipsec_order());
	suite_add_tcase(s, test_ipsec_outside());
	suite_add_tcase(s, test_ipsec_same());
	suite_add_tcase(s, test_ipsec_udp());
	return s;
}

int
main(void)
{
	return fx_main(ipsec_suite());
}
