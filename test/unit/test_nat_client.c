/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 the spinat authors
 */
#include <arpa/inet.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include <rte_memory.h>

#include "nat/allowance.h"
#include "nat/deterministic.h"
#include "test_nat.h"

/* What one inside host gets: its outside address, its ports, its limits. */

struct fixture {
	struct spinat_conf *conf;
	struct spinat_pools *pools;
	struct spinat_clients clients;
	struct spinat_recorder recorder;
	struct spinat_leases *leases;
	struct spinat_client_ctx ctx;
};

static rte_be32_t
addr(const char *text)
{
	rte_be32_t a;

	ck_assert_int_eq(inet_pton(AF_INET, text, &a), 1);
	return a;
}

static void
fixture_open(struct fixture *f, const char *more, uint16_t worker, uint16_t n_workers)
{
	char path[] = "/tmp/spinat-test-client-XXXXXX";
	struct spinat_conf_error err = {.text = ""};
	int fd = mkstemp(path);

	ck_assert_int_ge(fd, 0);
	dprintf(fd,
		"interfaces = ( { name = \"lan\"; device = \"net_null0\"; role = \"inside\";"
		" addresses = [ \"10.0.0.1/8\" ]; },\n"
		" { name = \"wan\"; device = \"net_null1\"; role = \"outside\";"
		" addresses = [ \"192.0.2.2/24\" ]; } );\n%s",
		more);
	close(fd);
	f->conf = spinat_conf_load(path, &err);
	unlink(path);
	ck_assert_msg(f->conf != NULL, "%s", err.text);
	f->pools = spinat_pools_create(16);
	ck_assert_ptr_nonnull(f->pools);
	ck_assert_int_eq(spinat_clients_create(&f->clients, "client", 64, SOCKET_ID_ANY), 0);
	ck_assert_int_eq(spinat_pools_attach(f->pools, f->conf), 0);
	f->leases = spinat_leases_create("lease", 4, SOCKET_ID_ANY);
	ck_assert_ptr_nonnull(f->leases);
	f->ctx = (struct spinat_client_ctx){.conf = f->conf,
		.pools = f->pools,
		.worker = worker,
		.n_workers = n_workers,
		.now_s = 100,
		.recorder = &f->recorder,
		.leases = f->leases};
	f->recorder = (struct spinat_recorder){.ring = NULL};
}

static void
fixture_close(struct fixture *f)
{
	spinat_clients_free(&f->clients);
	spinat_leases_free(f->leases);
	spinat_pools_free(f->pools);
	spinat_conf_free(f->conf);
}

static struct spinat_nat_client *
client(struct fixture *f, const char *inside)
{
	uint32_t row;

	ck_assert_int_eq(spinat_client_get(&f->clients, &f->ctx, 0, addr(inside), 0, &row),
		SPINAT_DROP_NONE);
	f->clients.rows[row].mappings++;
	return &f->clients.rows[row];
}

START_TEST(blocks_are_one_clients_alone)
{
	struct spinat_nat_client *a, *b;
	struct spinat_ports *ports;
	rte_be16_t port[129];
	struct fixture f;

	fixture_open(&f,
		"realms = ( { id = 0; port_allocation = \"block\"; block_size = 64;"
		" client_blocks = 2; } );",
		1, 4);
	a = client(&f, "10.0.0.5");
	b = client(&f, "10.0.0.6");
	ports = spinat_pools_find(f.pools, a->outside);
	for (unsigned int i = 0; i < 128; i++) {
		port[i] = spinat_client_port(a, &f.ctx, IPPROTO_UDP, htons(5000 + i));
		ck_assert_uint_ne(port[i], 0);
		ck_assert_uint_eq(spinat_port_owner(port[i], 4), 1);
	}
	ck_assert_uint_eq(a->n_blocks, 2);
	ck_assert_uint_eq(spinat_client_port(a, &f.ctx, IPPROTO_UDP, htons(5000)), 0);
	/* a block serves all protocols */
	port[128] = spinat_client_port(a, &f.ctx, IPPROTO_TCP, htons(5000));
	ck_assert_uint_ne(port[128], 0);
	ck_assert_uint_ne(spinat_client_port(b, &f.ctx, IPPROTO_UDP, htons(5000)), 0);
	ck_assert_uint_eq(spinat_blocks_used(ports), 3);
	for (unsigned int i = 0; i < 128; i++)
		spinat_client_release(
			a, f.pools, &f.recorder, IPPROTO_UDP, a->outside, port[i], NULL);
	ck_assert_uint_eq(a->n_blocks, 1);
	spinat_client_release(a, f.pools, &f.recorder, IPPROTO_TCP, a->outside, port[128], NULL);
	ck_assert_uint_eq(a->n_blocks, 0);
	ck_assert_uint_eq(spinat_blocks_used(ports), 1);
	fixture_close(&f);
}
END_TEST

START_TEST(blocks_come_back_after_a_restart)
{
	struct spinat_nat_client *a, *b;
	struct fixture f;

	fixture_open(&f,
		"realms = ( { id = 0; port_allocation = \"block\"; client_blocks = 1; } );", 0, 1);
	a = client(&f, "10.0.0.5");
	b = client(&f, "10.0.0.6");
	ck_assert(spinat_client_take(a, &f.ctx, IPPROTO_UDP, htons(5000)));
	ck_assert(!spinat_client_take(a, &f.ctx, IPPROTO_UDP, htons(5000)));
	ck_assert(!spinat_client_take(b, &f.ctx, IPPROTO_UDP, htons(5001))); /* a's block */
	ck_assert(!spinat_client_take(a, &f.ctx, IPPROTO_UDP, htons(6000))); /* a second one */
	ck_assert(!spinat_client_take(b, &f.ctx, IPPROTO_UDP, htons(1000))); /* no whole block */
	ck_assert_uint_eq(b->n_blocks, 0);
	ck_assert(spinat_client_take(b, &f.ctx, IPPROTO_UDP, htons(6000)));
	fixture_close(&f);
}
END_TEST

/* RFC 7422: there and back again, for every host, and for no port twice. */
START_TEST(deterministic_is_reversible)
{
	static bool taken[2][65536];
	const struct spinat_outside_addr *o;
	struct fixture f;

	fixture_open(&f,
		"ports = { first = 1000; last = 60000; };\n"
		"realms = ( { id = 0; port_allocation = \"deterministic\"; block_size = 1024;"
		" inside = \"10.0.4.0/26\"; pool = [ \"192.0.2.10\", \"192.0.2.20\" ]; } );",
		0, 1);
	for (uint32_t host = 0; host < 64; host++) {
		const rte_be32_t inside = htonl(ntohl(addr("10.0.4.0")) + host);
		rte_be32_t outside;
		uint16_t first;

		ck_assert(spinat_deterministic_block(f.conf, 0, inside, &outside, &first));
		ck_assert_uint_eq(outside, addr(host < 57 ? "192.0.2.10" : "192.0.2.20"));
		ck_assert_uint_eq(first, 1024 + host % 57 * 1024);
		ck_assert_uint_eq(spinat_pool_address(f.conf, 0, inside), outside);
		o = spinat_conf_outside(f.conf, outside);
		for (uint32_t port = first; port < first + 1024u; port++) {
			ck_assert(!taken[host / 57][port]);
			taken[host / 57][port] = true;
			ck_assert_uint_eq(
				spinat_deterministic_host(f.conf, o, htons(port)), inside);
		}
	}
	o = spinat_conf_outside(f.conf, addr("192.0.2.20"));
	ck_assert_uint_eq(spinat_deterministic_host(f.conf, o, htons(1023)), 0);
	ck_assert_uint_eq(spinat_deterministic_host(f.conf, o, htons(8 * 1024)), 0);
	ck_assert_uint_eq(spinat_pool_address(f.conf, 0, addr("10.0.4.64")), 0);
	ck_assert_uint_eq(spinat_pool_address(f.conf, 0, addr("10.0.3.255")), 0);
	fixture_close(&f);
}
END_TEST

START_TEST(limits_hold)
{
	struct spinat_nat_client *a;
	struct fixture f;

	fixture_open(&f,
		"realms = ( { id = 0; client_sessions = 5; client_mappings = 2;"
		" client_rate = 3; } );",
		0, 1);
	a = client(&f, "10.0.0.5");
	ck_assert_int_eq(spinat_client_may_map(a, &f.ctx, IPPROTO_UDP), SPINAT_DROP_NONE);
	a->mappings = 2;
	ck_assert_int_eq(
		spinat_client_may_map(a, &f.ctx, IPPROTO_UDP), SPINAT_DROP_CLIENT_MAPPINGS);
	for (int i = 0; i < 3; i++)
		ck_assert_int_eq(spinat_client_begin(a, &f.ctx, true), SPINAT_DROP_NONE);
	ck_assert_int_eq(spinat_client_begin(a, &f.ctx, true), SPINAT_DROP_CLIENT_RATE);
	ck_assert_int_eq(spinat_client_may_map(a, &f.ctx, IPPROTO_UDP), SPINAT_DROP_CLIENT_RATE);
	/* what comes from outside is not held against it, but it counts */
	ck_assert_int_eq(spinat_client_begin(a, &f.ctx, false), SPINAT_DROP_NONE);
	f.ctx.now_s += 1000; /* however long: the bucket holds a second's worth */
	ck_assert_int_eq(spinat_client_begin(a, &f.ctx, true), SPINAT_DROP_NONE);
	ck_assert_uint_eq(a->tokens, 2);
	ck_assert_int_eq(spinat_client_begin(a, &f.ctx, true), SPINAT_DROP_CLIENT_SESSIONS);
	ck_assert_int_eq(spinat_client_begin(a, &f.ctx, false), SPINAT_DROP_CLIENT_SESSIONS);
	fixture_close(&f);
}
END_TEST

TCase *
nat_client_case(void)
{
	TCase *t = tcase_create("client");

	tcase_add_test(t, blocks_are_one_clients_alone);
	tcase_add_test(t, blocks_come_back_after_a_restart);
	tcase_add_test(t, deterministic_is_reversible);
	tcase_add_test(t, limits_hold);
	return t;
}
