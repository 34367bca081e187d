/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 the spinat authors
 */
#include "ipsec/ike.h"
#include "test_ipsec.h"
#include "test_ipsec_fixture.h"

/* IKE in UDP sessions, with a translated port or on port 4500, and ESP in UDP. */

/* --- what a datagram is ---------------------------------------------------------------------------- */

#define IKE \
	1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 46, 0x20, 35, 8, 0, 0, 0, 1, 0, 0, 0

static const struct {
	uint8_t p[40];
	uint32_t len, whole;
	bool natt;
	enum spinat_ike_udp what;
} payloads[] = {
	{{IKE, 28}, 28, 28, false, SPINAT_IKE_UDP_IKE},
	{{0, 0, 0, 0, IKE, 28}, 32, 32, true, SPINAT_IKE_UDP_IKE},
	{{0, 0, 0, 0, IKE, 200}, 32, 204, true, SPINAT_IKE_UDP_IKE}, /* first fragment */
	{{0, 0, 0, 0, IKE, 200}, 32, 203, true, SPINAT_IKE_UDP_NONE}, /* longer than it can be */
	{{IKE, 29}, 28, 28, false, SPINAT_IKE_UDP_NONE},
	{{IKE, 28}, 27, 27, false, SPINAT_IKE_UDP_NONE},
	{{0, 0, 0, 0, IKE, 28}, 31, 31, true, SPINAT_IKE_UDP_NONE},
	{{0, 0, 0, 0, IKE, 28}, 32, 32, false, SPINAT_IKE_UDP_NONE}, /* no marker on 500 */
	{{IKE, 28}, 28, 28, true, SPINAT_IKE_UDP_ESP}, /* its SPI is what follows no marker */
	{{0, 0, 1, 0, 0, 0, 0, 1}, 8, 8, true, SPINAT_IKE_UDP_ESP},
	{{0, 0, 1, 0, 0, 0, 0}, 7, 7, true, SPINAT_IKE_UDP_NONE},
	{{0, 0, 0, 255, 0, 0, 0, 1}, 8, 8, true, SPINAT_IKE_UDP_NONE}, /* reserved SPI */
	{{0xff}, 1, 1, true, SPINAT_IKE_UDP_KEEPALIVE},
	{{0xff}, 1, 1, false, SPINAT_IKE_UDP_NONE},
	{{0xfe}, 1, 1, true, SPINAT_IKE_UDP_NONE},
	{{0xff}, 1, 2, true, SPINAT_IKE_UDP_NONE},
	{{0}, 4, 4, true, SPINAT_IKE_UDP_NONE}, /* a marker, and nothing */
	{{0}, 3, 3, true, SPINAT_IKE_UDP_NONE},
	{{0}, 0, 0, true, SPINAT_IKE_UDP_NONE},
	{{0}, 0, 0, false, SPINAT_IKE_UDP_NONE},
};

START_TEST(payload_is_read)
{
	struct spinat_ike_hdr h = {.length = 0};

	ck_assert_int_eq(spinat_ike_udp_parse(payloads[_i].natt, payloads[_i].p, payloads[_i].len,
				 payloads[_i].whole, &h),
		payloads[_i].what);
	if (payloads[_i].what == SPINAT_IKE_UDP_IKE)
		ck_assert_uint_eq(h.exchange, SPINAT_IKE2_AUTH);
}
END_TEST

/* --- what is learned from it ------------------------------------------------------------------------ */

enum way { KEPT, TRANSLATED, NATT };

static void
udp_seen(struct fixture *f, unsigned int client, enum spinat_dir dir, bool natt,
	enum spinat_ike_udp what, const struct spinat_ike_hdr *h)
{
	struct spinat_udp_seen s = {.client = fx_client(client),
		.outside = FX_P,
		.gateway = FX_G,
		.what = what,
		.dir = dir,
		.natt = natt};

	if (h != NULL)
		s.hdr = *h;
	spinat_binder_udp_seen(f->b, &f->conf, f->now, &s);
}

/* A message of an IKE SA that the client has begun, in whatever way it goes. */
static void
ike(struct fixture *f, unsigned int client, enum way way, enum spinat_dir dir, struct fx_ike k)
{
	const struct spinat_ike_hdr h = fx_ike_hdr(&k, dir == SPINAT_OUT);
	struct spinat_ipsec_decision d;

	if (way != KEPT) {
		udp_seen(f, client, dir, way == NATT, SPINAT_IKE_UDP_IKE, &h);
	} else if (dir == SPINAT_OUT) {
		ck_assert(fx_ike_out(f, client, k));
	} else {
		d = fx_ike_in(f, k);
		ck_assert(fx_only(&d, client));
	}
}

/* Request and answer. */
static void
pair(struct fixture *f, unsigned int client, enum way way, uint64_t init_spi, uint8_t exchange,
	uint32_t message_id)
{
	struct fx_ike k = {.init_spi = init_spi,
		.resp_spi = exchange == SPINAT_IKE2_SA_INIT ? 0 : ~init_spi,
		.major = 2,
		.exchange = exchange,
		.message_id = message_id,
		.encrypted = exchange != SPINAT_IKE2_SA_INIT};

	ike(f, client, way, SPINAT_OUT, k);
	f->now += 20;
	k.response = true;
	k.resp_spi = ~init_spi;
	ike(f, client, way, SPINAT_IN, k);
}

static void
opening(struct fixture *f, unsigned int client, uint64_t init_spi, enum way init, enum way auth)
{
	pair(f, client, init, init_spi, SPINAT_IKE2_SA_INIT, 0);
	pair(f, client, auth, init_spi, SPINAT_IKE2_AUTH, 1);
}

static void
esp_in_udp(struct fixture *f, unsigned int client, enum spinat_dir dir)
{
	udp_seen(f, client, dir, true, SPINAT_IKE_UDP_ESP, NULL);
}

static struct spinat_ike_row
only_row(const struct fixture *f)
{
	struct spinat_ike_row row, none;
	uint32_t cursor = 0;

	ck_assert(spinat_binder_next_ike(f->b, &cursor, &row));
	ck_assert(!spinat_binder_next_ike(f->b, &cursor, &none));
	return row;
}

/* Whether the client's ESP is in UDP, as all of its IKE SAs say. */
static bool
only_natt(const struct fixture *f, unsigned int client)
{
	struct spinat_ike_row row;
	uint32_t cursor = 0;
	bool natt = true;

	while (spinat_binder_next_ike(f->b, &cursor, &row))
		if (row.client.addr == fx_client(client).addr)
			natt = natt && row.esp_in_udp;
	return natt;
}

/* No longer just started: a packet with a low number is of a new SA. */
static struct fixture *
create(void)
{
	struct fixture *f = fx_create(1024, 64, 1);

	f->conf.realms[0].n_addrs = 1;
	fx_in(f, 0x7777, 1);
	f->now += 61000;
	return f;
}

START_TEST(sa_that_floats_is_one)
{
	struct fixture *f = create();
	struct spinat_ike_row row;

	pair(f, 0, KEPT, 11, SPINAT_IKE2_SA_INIT, 0);
	row = only_row(f);
	ck_assert(!row.natt);
	ck_assert(spinat_binder_has_ike(f->b, fx_client(0), FX_G, 11));
	f->now += 1000;
	pair(f, 0, NATT, 11, SPINAT_IKE2_AUTH, 1);
	row = only_row(f);
	ck_assert(row.natt && !row.esp_in_udp && row.client_initiated);
	ck_assert_uint_eq(row.exchange, SPINAT_IKE2_AUTH);
	ck_assert_uint_eq(row.packets, 4);
	ck_assert_uint_eq(row.last_ms, f->now);
	ck_assert_uint_eq(row.resp_spi, ~UINT64_C(11));
	ck_assert(!spinat_binder_has_ike(f->b, fx_client(0), FX_G, 11));
	esp_in_udp(f, 0, SPINAT_OUT);
	row = only_row(f);
	ck_assert(row.natt && row.esp_in_udp);
	fx_destroy(f);
}
END_TEST

/* A client with a tunnel that is settled. */
static void
beside_another(struct fixture *f)
{
	struct spinat_ipsec_decision d;

	opening(f, 0, 11, KEPT, KEPT);
	ck_assert(fx_out(f, 0, 0x9000, 1));
	for (unsigned int i = 1; i < 4; i++) {
		d = fx_in(f, 0x5000, i);
		ck_assert(fx_only(&d, 0));
	}
	f->now += 10000;
}

/* IKE says that an SA is there whatever its ports are: the gateway's first packet finds its client. */
START_TEST(credit_by_any_way)
{
	static const enum way ways[][2] = {{KEPT, KEPT}, {TRANSLATED, TRANSLATED}, {NATT, NATT},
		{KEPT, NATT}, {TRANSLATED, NATT}};
	struct fixture *f = create();
	struct spinat_ipsec_decision d;

	beside_another(f);
	opening(f, 1, 22, ways[_i][0], ways[_i][1]);
	f->now += 100;
	d = fx_in(f, 0x6000, 1);
	ck_assert(fx_only(&d, 1));
	/* without the exchange that makes an SA it is the other one's */
	pair(f, 2, ways[_i][0], 33, SPINAT_IKE2_SA_INIT, 0);
	pair(f, 1, ways[_i][1], 22, SPINAT_IKE2_INFORMATIONAL, 2);
	f->now += 10000;
	d = fx_in(f, 0x7000, 1);
	ck_assert(!fx_reaches(&d, 2));
	fx_destroy(f);
}
END_TEST

/* Of two that have finished IKE, one on 500 and one on 4500, either may be meant, the first one rather;
 * and it alone as soon as the other one shows that its ESP is in UDP. */
static const struct {
	enum spinat_dir dir;
	enum spinat_ike_udp what;
	bool ends;
} shown[] = {
	{SPINAT_OUT, SPINAT_IKE_UDP_ESP, true},
	{SPINAT_IN, SPINAT_IKE_UDP_ESP, true},
	{SPINAT_OUT, SPINAT_IKE_UDP_KEEPALIVE, true},
	{SPINAT_IN, SPINAT_IKE_UDP_KEEPALIVE, false},
	{SPINAT_OUT, SPINAT_IKE_UDP_NONE, false},
};

START_TEST(esp_in_udp_ends_it)
{
	struct fixture *f = create();
	struct spinat_ipsec_decision d;

	opening(f, 0, 11, KEPT, KEPT);
	opening(f, 1, 22, KEPT, NATT);
	udp_seen(f, 1, shown[_i].dir, true, shown[_i].what, NULL);
	f->now += 100;
	d = fx_in(f, 0x5000, 1);
	ck_assert(fx_reaches(&d, 0));
	ck_assert_int_eq(fx_reaches(&d, 1), !shown[_i].ends);
	fx_destroy(f);
}
END_TEST

/* Who has ESP without UDP loses nothing by what others say, nor by a keepalive. */
START_TEST(esp_without_udp_weighs_more)
{
	struct fixture *f = create();
	struct spinat_ipsec_decision d;

	beside_another(f);
	opening(f, 1, 22, KEPT, NATT);
	ck_assert(fx_out(f, 1, 0x9100, 1));
	pair(f, 1, NATT, 22, SPINAT_IKE2_CREATE_CHILD_SA, 2);
	udp_seen(f, 1, shown[_i].dir, true, shown[_i].what, NULL);
	f->now += 100;
	d = fx_in(f, 0x5100, 1);
	ck_assert_int_eq(
		fx_only(&d, 1), shown[_i].dir == SPINAT_IN || shown[_i].what != SPINAT_IKE_UDP_ESP);
	fx_destroy(f);
}
END_TEST

enum back { NOT, BY_ESP, BY_NEW_SA, BY_PORT_500, BACKS };

/* The rekeys of a client whose ESP is in UDP give nothing. Its own ESP does, or an IKE SA that begins. */
START_TEST(client_may_come_back)
{
	struct fixture *f = create();
	struct spinat_ipsec_decision d;

	beside_another(f);
	opening(f, 1, 22, KEPT, NATT);
	esp_in_udp(f, 1, SPINAT_OUT);
	pair(f, 1, NATT, 22, SPINAT_IKE2_CREATE_CHILD_SA, 2);
	pair(f, 1, NATT, 22, SPINAT_IKE2_INFORMATIONAL, 3);
	switch (_i) {
	case BY_ESP:
		ck_assert(fx_out(f, 1, 0x9100, 1));
		break;
	case BY_NEW_SA:
		opening(f, 1, 33, NATT, NATT);
		break;
	case BY_PORT_500:
		opening(f, 1, 33, KEPT, KEPT);
		break;
	default:
		break;
	}
	ck_assert_int_eq(only_natt(f, 1), _i == NOT);
	f->now += 100;
	d = fx_in(f, 0x5100, 1);
	ck_assert_int_eq(fx_reaches(&d, 1), _i != NOT);
	/* and once more the other way */
	esp_in_udp(f, 1, SPINAT_OUT);
	pair(f, 1, NATT, 33, SPINAT_IKE2_CREATE_CHILD_SA, 2);
	ck_assert(only_natt(f, 1));
	fx_destroy(f);
}
END_TEST

/* Strangers fill no table, and those whose ports tell them apart leave room for the others. */
START_TEST(room_is_kept)
{
	struct spinat_ike_hdr h = {.major = 2, .exchange = SPINAT_IKE2_AUTH, .length = 100};
	struct fixture *f = create();
	struct spinat_binder_stats stats;

	for (h.init_spi = 1; h.init_spi < 100; h.init_spi++)
		udp_seen(f, h.init_spi, SPINAT_IN, true, SPINAT_IKE_UDP_IKE, &h);
	spinat_binder_stats_get(f->b, &stats);
	ck_assert_uint_eq(stats.ike_sas, 0);
	ck_assert_uint_eq(stats.clients, 0);
	for (h.init_spi = 1; h.init_spi < 100; h.init_spi++)
		udp_seen(f, h.init_spi, SPINAT_OUT, true, SPINAT_IKE_UDP_IKE, &h);
	spinat_binder_stats_get(f->b, &stats);
	ck_assert_uint_eq(stats.ike_sas, 48);
	for (unsigned int i = 100; i < 116; i++)
		opening(f, i, 1000 + i, KEPT, KEPT);
	spinat_binder_stats_get(f->b, &stats);
	ck_assert_uint_eq(stats.ike_sas, 64);
	fx_destroy(f);
}
END_TEST

/* Another outside address than the client's own, or one of a static rule: nothing is learned. */
START_TEST(other_addresses_are_left_alone)
{
	struct spinat_ike_hdr h = {
		.init_spi = 5, .major = 2, .exchange = SPINAT_IKE2_AUTH, .length = 99};
	struct spinat_udp_seen s = {.client = fx_client(0),
		.outside = RTE_BE32(0xc6336402),
		.gateway = FX_G,
		.what = SPINAT_IKE_UDP_IKE,
		.hdr = h};
	struct fixture *f = create();
	struct spinat_binder_stats stats;

	spinat_binder_udp_seen(f->b, &f->conf, f->now, &s);
	fx_outside(f, s.outside, 0);
	opening(f, 0, 11, KEPT, KEPT);
	spinat_binder_udp_seen(f->b, &f->conf, f->now, &s);
	spinat_binder_stats_get(f->b, &stats);
	ck_assert_uint_eq(stats.ike_sas, 1);
	fx_destroy(f);
}
END_TEST

/* An IKE SA that goes on from another inside address takes its SPIs along (RFC 4555), on 4500 too. */
START_TEST(moved_client_is_followed)
{
	struct fixture *f = create();
	struct spinat_ipsec_decision d;

	beside_another(f);
	opening(f, 1, 22, NATT, NATT);
	for (unsigned int i = 1; i < 4; i++) {
		fx_out(f, 1, 0x9100, i);
		d = fx_in(f, 0x5100, i);
		ck_assert(fx_only(&d, 1));
	}
	pair(f, 2, NATT, 22, SPINAT_IKE2_INFORMATIONAL, 2);
	d = fx_in(f, 0x5100, 4);
	ck_assert(fx_only(&d, 2));
	/* what bears its number only is no reason */
	pair(f, 3, NATT, 22, SPINAT_IKE2_SA_INIT, 0);
	d = fx_in(f, 0x5100, 5);
	ck_assert(fx_only(&d, 2));
	fx_destroy(f);
}
END_TEST

TCase *
test_ipsec_udp(void)
{
	TCase *t = tcase_create("UDP sessions");

	tcase_add_loop_test(t, payload_is_read, 0, RTE_DIM(payloads));
	tcase_add_test(t, sa_that_floats_is_one);
	tcase_add_loop_test(t, credit_by_any_way, 0, 5);
	tcase_add_loop_test(t, esp_in_udp_ends_it, 0, RTE_DIM(shown));
	tcase_add_loop_test(t, esp_without_udp_weighs_more, 0, RTE_DIM(shown));
	tcase_add_loop_test(t, client_may_come_back, 0, BACKS);
	tcase_add_test(t, room_is_kept);
	tcase_add_test(t, other_addresses_are_left_alone);
	tcase_add_test(t, moved_client_is_followed);
	return t;
}
