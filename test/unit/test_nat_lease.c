/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 the spinat authors
 */
#include <arpa/inet.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include <rte_memory.h>

#include "nat/lease.h"
#include "test_nat.h"

/* Outside addresses that hosts keep while they run IPsec. */

#define ROWS 8
#define HOST(i) RTE_BE32(0x0a000100 + (i))

static struct spinat_conf *
conf(const char *pool)
{
	char path[] = "/tmp/spinat-test-lease-XXXXXX";
	struct spinat_conf_error err = {.text = ""};
	int fd = mkstemp(path);
	struct spinat_conf *c;

	ck_assert_int_ge(fd, 0);
	dprintf(fd,
		"interfaces = ( { name = \"lan\"; device = \"net_null0\"; role = \"inside\";"
		" addresses = [ \"10.0.0.1/8\" ]; },\n"
		" { name = \"wan\"; device = \"net_null1\"; role = \"outside\";"
		" addresses = [ \"192.0.2.2/24\" ]; } );\n"
		"realms = ( { id = 0; pool = [ \"%s\" ]; } );\n",
		pool);
	close(fd);
	c = spinat_conf_load(path, &err);
	unlink(path);
	ck_assert_msg(c != NULL, "%s", err.text);
	return c;
}

static rte_be32_t
pool(const struct spinat_conf *c, unsigned int i)
{
	return c->pool_addrs[c->realms[0].first_addr + i];
}

START_TEST(lease_lasts_and_ends)
{
	struct spinat_conf *c = conf("192.0.2.10-192.0.2.13");
	struct spinat_leases *l = spinat_leases_create("test", ROWS, SOCKET_ID_ANY);
	const uint32_t now_s = 5000;

	ck_assert_ptr_nonnull(l);
	ck_assert_uint_eq(spinat_lease_find(l, c, 0, HOST(0)), 0);
	spinat_lease_renew(l, 0, HOST(0), pool(c, 1), now_s);
	spinat_lease_renew(l, 0, HOST(1), pool(c, 2), now_s + 100);
	ck_assert_uint_eq(spinat_lease_find(l, c, 0, HOST(0)), pool(c, 1));
	ck_assert_uint_eq(spinat_lease_find(l, c, 0, HOST(1)), pool(c, 2));
	ck_assert_uint_eq(spinat_lease_find(l, c, 1, HOST(0)), 0); /* of another realm */
	spinat_leases_sweep(l, now_s + SPINAT_LEASE_S - 1, ROWS);
	ck_assert_uint_eq(spinat_leases_used(l), 2);
	spinat_lease_renew(l, 0, HOST(0), pool(c, 1), now_s + 200);
	spinat_leases_sweep(l, now_s + 100 + SPINAT_LEASE_S, ROWS);
	ck_assert_uint_eq(spinat_leases_used(l), 1);
	ck_assert_uint_eq(spinat_lease_find(l, c, 0, HOST(0)), pool(c, 1));
	ck_assert_uint_eq(spinat_lease_find(l, c, 0, HOST(1)), 0);
	spinat_leases_sweep(l, now_s + 200 + SPINAT_LEASE_S, ROWS);
	ck_assert_uint_eq(spinat_leases_used(l), 0);
	spinat_leases_free(l);
	spinat_conf_free(c);
}
END_TEST

START_TEST(address_that_left_the_pool)
{
	struct spinat_conf *before = conf("192.0.2.10-192.0.2.13");
	struct spinat_conf *after = conf("192.0.2.20-192.0.2.23");
	struct spinat_leases *l = spinat_leases_create("test", ROWS, SOCKET_ID_ANY);

	spinat_lease_renew(l, 0, HOST(0), pool(before, 0), 1);
	ck_assert_uint_eq(spinat_lease_find(l, after, 0, HOST(0)), 0);
	spinat_lease_renew(l, 0, HOST(0), pool(after, 3), 1);
	ck_assert_uint_eq(spinat_lease_find(l, after, 0, HOST(0)), pool(after, 3));
	ck_assert_uint_eq(spinat_leases_used(l), 1);
	spinat_leases_free(l);
	spinat_conf_free(before);
	spinat_conf_free(after);
}
END_TEST

START_TEST(full_and_again)
{
	struct spinat_conf *c = conf("192.0.2.10-192.0.2.13");
	struct spinat_leases *l = spinat_leases_create("test", ROWS, SOCKET_ID_ANY);

	for (unsigned int round = 0; round < 3; round++) {
		const uint32_t now_s = 1 + round * SPINAT_LEASE_S;

		spinat_leases_sweep(l, now_s, ROWS);
		ck_assert_uint_eq(spinat_leases_used(l), 0);
		for (unsigned int i = 0; i < ROWS; i++)
			spinat_lease_renew(l, 0, HOST(i + round), pool(c, i % 4), now_s);
		spinat_lease_renew(l, 0, HOST(100), pool(c, 0), now_s); /* no room */
		ck_assert_uint_eq(spinat_leases_used(l), ROWS);
		ck_assert_uint_eq(spinat_lease_find(l, c, 0, HOST(100)), 0);
		for (unsigned int i = 0; i < ROWS; i++)
			ck_assert_uint_eq(
				spinat_lease_find(l, c, 0, HOST(i + round)), pool(c, i % 4));
	}
	spinat_leases_free(l);
	spinat_conf_free(c);
}
END_TEST

TCase *
nat_lease_case(void)
{
	TCase *t = tcase_create("lease");

	tcase_add_test(t, lease_lasts_and_ends);
	tcase_add_test(t, address_that_left_the_pool);
	tcase_add_test(t, full_and_again);
	return t;
}
