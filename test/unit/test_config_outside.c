/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 the spinat authors
 */
#include <netinet/in.h>
#include <string.h>

#include <rte_common.h>

#include "test_config.h"

/* Who an outside address belongs to. */

START_TEST(outside_addresses)
{
	struct spinat_conf *conf = load("good/full.conf");
	const struct spinat_outside_addr *o;
	uint32_t i, n = 0;

	ck_assert_uint_eq(conf->n_pool_addrs, 13);
	for (i = 0; i < conf->n_pool_addrs; i++) {
		o = spinat_conf_outside(conf, conf->pool_addrs[i]);
		ck_assert_ptr_nonnull(o);
		ck_assert(o->kinds & SPINAT_OUTSIDE_POOL);
		ck_assert_uint_eq(o->pool_index, i);
	}
	for (i = 0; i <= conf->outside_mask; i++)
		n += conf->outside[i].kinds != 0;
	ck_assert_uint_eq(n, 13 + 1 + 1 + 256);
	ck_assert_uint_le(2 * n, conf->outside_mask + 1);
	o = spinat_conf_outside(conf, addr("192.0.2.2"));
	ck_assert_uint_eq(
		o->kinds, SPINAT_OUTSIDE_BOX | SPINAT_OUTSIDE_POOL | SPINAT_OUTSIDE_REDIRECT);
	o = spinat_conf_outside(conf, addr("192.0.2.3"));
	ck_assert_uint_eq(o->kinds, SPINAT_OUTSIDE_BOX | SPINAT_OUTSIDE_REDIRECT);
	o = spinat_conf_outside(conf, addr("198.51.100.77"));
	ck_assert_uint_eq(o->kinds, SPINAT_OUTSIDE_STATIC);
	ck_assert_uint_eq(o->inside, addr("10.0.8.77"));
	ck_assert_ptr_null(spinat_conf_outside(conf, addr("192.0.2.1")));
	ck_assert_ptr_null(spinat_conf_outside(conf, addr("10.0.0.1")));
	ck_assert_ptr_null(spinat_conf_outside(conf, 0));
	spinat_conf_free(conf);
}
END_TEST

/* Runs of addresses, which is what a configuration has, must not pile up in the table. */
START_TEST(outside_table_is_even)
{
	static const char text[] =
		"interfaces = ("
		"{ name = \"a\"; device = \"net_tap0\"; role = \"inside\"; addresses = [ "
		"\"10.0.0.1/8\" ]; },"
		"{ name = \"b\"; device = \"net_tap1\"; role = \"outside\"; addresses = [ "
		"\"192.0.2.2/24\" ]; });"
		"realms = ({ id = 0; pool = [ \"198.18.0.0/17\", \"203.0.113.0/24\" ]; });"
		"static = ({ inside = \"172.16.0.0/16\"; outside = \"100.64.0.0/16\"; });";
	struct spinat_conf_error err = {""};
	struct spinat_conf *conf = load_text(text, strlen(text), &err);
	uint32_t i, run = 0, longest = 0;

	ck_assert_msg(conf != NULL, "%s", err.text);
	for (i = 0; i <= conf->outside_mask; i++) {
		run = conf->outside[i].kinds != 0 ? run + 1 : 0;
		longest = RTE_MAX(longest, run);
	}
	ck_assert_uint_le(longest, 8);
	spinat_conf_free(conf);
}
END_TEST

START_TEST(redirects)
{
	struct spinat_conf *conf = load("good/full.conf");
	const struct spinat_redirect_conf *r = conf->redirects;
	const struct {
		const char *outside;
		uint8_t proto;
		uint16_t port;
		const struct spinat_redirect_conf *expect;
	} cases[] = {
		{"192.0.2.3", IPPROTO_TCP, 8080, &r[0]},
		{"192.0.2.3", IPPROTO_TCP, 80, NULL},
		{"192.0.2.3", IPPROTO_UDP, 8080, NULL},
		{"192.0.2.3", IPPROTO_ESP, 0, NULL},
		{"192.0.2.2", IPPROTO_TCP, 8080, NULL},
		{"192.0.2.2", IPPROTO_UDP, 53, &r[1]},
		{"192.0.2.2", IPPROTO_UDP, 500, &r[2]},
		{"192.0.2.2", IPPROTO_UDP, 4500, &r[2]},
		{"192.0.2.2", IPPROTO_TCP, 500, NULL},
		{"192.0.2.2", IPPROTO_ESP, 1234, &r[2]},
		{"192.0.2.2", IPPROTO_AH, 0, &r[2]},
		{"192.0.2.10", IPPROTO_UDP, 4500, &r[3]},
		{"192.0.2.10", IPPROTO_ESP, 0, NULL},
	};

	for (size_t i = 0; i < RTE_DIM(cases); i++)
		ck_assert_ptr_eq(spinat_conf_redirect(conf, addr(cases[i].outside), cases[i].proto,
					 htons(cases[i].port)),
			cases[i].expect);
	spinat_conf_free(conf);
}
END_TEST

TCase *
test_outside(void)
{
	TCase *tc = tcase_create("outside");

	tcase_add_test(tc, outside_addresses);
	tcase_add_test(tc, outside_table_is_even);
	tcase_add_test(tc, redirects);
	return tc;
}
