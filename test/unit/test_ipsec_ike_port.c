/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 the spinat authors
 */
#include "ipsec/ike_port.h"
#include "test_ipsec.h"
#include "test_ipsec_fixture.h"

/* Source port policy "auto": when a gateway is found to insist on port 500, and who is remembered. */

#define CLIENT RTE_BE32(0x0a000001)

static bool
try(struct spinat_ike_ports *p, uint64_t now_ms, uint64_t init_spi, uint64_t resp_spi,
	uint32_t length)
{
	const struct spinat_ike_hdr h = {.init_spi = init_spi,
		.resp_spi = resp_spi,
		.length = length,
		.major = 2,
		.exchange = SPINAT_IKE2_SA_INIT};

	return spinat_ike_ports_try(p, now_ms, CLIENT, FX_G, &h);
}

START_TEST(two_retransmissions_without_an_answer)
{
	struct spinat_ike_ports *p = spinat_ike_ports_create(SOCKET_ID_ANY);
	uint64_t now = 1000000;

	ck_assert_ptr_nonnull(p);
	/* the message and two retransmissions; the third shows that nothing came back */
	for (unsigned int i = 0; i < 3; i++, now += 500)
		ck_assert(!try(p, now, 7, 0, 300));
	ck_assert(try(p, now, 7, 0, 300));
	/* an answer that asks for a cookie makes the message another one */
	for (unsigned int i = 0; i < 3; i++, now += 500)
		ck_assert(!try(p, now, 8, 0, 300));
	for (unsigned int i = 0; i < 3; i++, now += 500)
		ck_assert(!try(p, now, 8, 0, 340));
	ck_assert(try(p, now, 8, 0, 340));
	/* copies made on the way are none of the client's */
	ck_assert(!try(p, now, 9, 0, 300));
	for (unsigned int i = 0; i < 10; i++, now += 9)
		ck_assert(!try(p, now, 9, 0, 300));
	/* nor are retransmissions in an SA that the gateway has answered */
	for (unsigned int i = 0; i < 10; i++, now += 500)
		ck_assert(!try(p, now, 10, 11, 300));
	/* a new try long after */
	for (unsigned int i = 0; i < 10; i++, now += 200000)
		ck_assert(!try(p, now, 12, 0, 300));
	spinat_ike_ports_free(p);
}
END_TEST

START_TEST(gateways_are_remembered_and_bounded)
{
	struct spinat_ike_ports *p = spinat_ike_ports_create(SOCKET_ID_ANY);
	const uint32_t now_s = 3000000;
	unsigned int known = 0;

	ck_assert(!spinat_ike_ports_has(p, FX_G, now_s));
	ck_assert(spinat_ike_ports_remember(p, FX_G, now_s));
	ck_assert(!spinat_ike_ports_remember(p, FX_G, now_s + 10));
	ck_assert(spinat_ike_ports_has(p, FX_G, now_s + 9)); /* a worker that is behind */
	ck_assert(spinat_ike_ports_has(p, FX_G, now_s + 9 + SPINAT_IKE_FORGET_S));
	ck_assert(!spinat_ike_ports_has(p, FX_G, now_s + 10 + SPINAT_IKE_FORGET_S));
	for (uint32_t i = 0; i < 100 * SPINAT_IKE_GATEWAYS; i++) {
		spinat_ike_ports_remember(p, rte_cpu_to_be_32(0x0b000000 + i), now_s + i);
		spinat_ike_ports_remember(p, FX_G, now_s + i); /* who is in use stays */
	}
	ck_assert(spinat_ike_ports_has(p, FX_G, now_s));
	for (uint32_t i = 0; i < 100 * SPINAT_IKE_GATEWAYS; i++)
		known += spinat_ike_ports_has(p, rte_cpu_to_be_32(0x0b000000 + i), now_s);
	ck_assert_uint_lt(known, SPINAT_IKE_GATEWAYS);
	ck_assert_uint_gt(known, SPINAT_IKE_GATEWAYS * 9 / 10);
	spinat_ike_ports_free(p);
}
END_TEST

TCase *
test_ipsec_ike_port(void)
{
	TCase *t = tcase_create("ike port");

	tcase_add_test(t, two_retransmissions_without_an_answer);
	tcase_add_test(t, gateways_are_remembered_and_bounded);
	return t;
}
