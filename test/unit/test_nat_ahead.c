/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 the spinat authors
 */
#include <arpa/inet.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include <rte_ip.h>
#include <rte_malloc.h>
#include <rte_random.h>
#include <rte_tcp.h>

#include "nat/nat.h"
#include "test_nat.h"

/*
 * Flows made a burst at a time, with what was known of them before the first one was made: the
 * earlier ones of a burst make much of that wrong for the later ones. All that must hold of flows
 * made one by one has to hold.
 */

#define BURST 32

static const char *const confs[] = {
	"limits = { sessions = 500; mappings = 300; clients = 32; };",
	"realms = ({ id = 0; pool = [ \"198.51.101.0-198.51.101.4\" ]; mapping = \"address\"; });",
	"realms = ( { id = 0; mapping = \"address-port\"; client_sessions = 20; } );",
	"realms = ( { id = 0; port_allocation = \"block\"; block_size = 64; } );",
	"ports = { first = 1; last = 12; };", /* mostly taken */
};

struct bench {
	struct spinat_conf *conf;
	struct spinat_pools *pools;
	struct rte_rcu_qsbr *qsbr;
	struct spinat_nat *nat;
	uint32_t now;
	uint64_t made;
};

static void
open_bench(struct bench *b, const char *more)
{
	char path[] = "/tmp/spinat-test-ahead-XXXXXX";
	struct spinat_conf_error err = {.text = ""};
	int fd = mkstemp(path);

	ck_assert_int_ge(fd, 0);
	dprintf(fd,
		"interfaces = ( { name = \"lan\"; device = \"net_null0\"; role = \"inside\";"
		" addresses = [ \"10.0.0.1/8\" ]; },\n"
		" { name = \"wan\"; device = \"net_null1\"; role = \"outside\";"
		" addresses = [ \"192.0.2.2/24\" ]; } );\n"
		"timeouts = { udp = 20; icmp = 5; tcp_opening = 9; };\n%s",
		more);
	close(fd);
	*b = (struct bench){.conf = spinat_conf_load(path, &err), .now = 1};
	unlink(path);
	ck_assert_msg(b->conf != NULL, "%s", err.text);
	b->conf->generation = 1;
	b->qsbr = rte_zmalloc("qsbr", rte_rcu_qsbr_get_memsize(1), RTE_CACHE_LINE_SIZE);
	ck_assert_ptr_nonnull(b->qsbr);
	rte_rcu_qsbr_init(b->qsbr, 1);
	b->pools = spinat_pools_create(16);
	ck_assert_ptr_nonnull(b->pools);
	ck_assert_int_eq(spinat_pools_attach(b->pools, b->conf), 0);
	b->nat = spinat_nat_create(b->conf, 0, 1, b->pools, b->qsbr, SOCKET_ID_ANY);
	ck_assert_ptr_nonnull(b->nat);
}

static void
close_bench(struct bench *b)
{
	spinat_nat_free(b->nat);
	spinat_pools_free(b->pools);
	rte_free(b->qsbr);
	spinat_conf_free(b->conf);
}

static struct spinat_meta
any_packet(void)
{
	static const uint8_t protos[] = {IPPROTO_UDP, IPPROTO_TCP, IPPROTO_ICMP};
	const uint8_t proto = protos[rte_rand_max(RTE_DIM(protos))];

	return (struct spinat_meta){
		.key = {.src = htonl(RTE_IPV4(10, 0, 1, rte_rand_max(40))),
			.dst = htonl(RTE_IPV4(198u, 51, 100, rte_rand_max(10))),
			.sport = htons(rte_rand_max(20) + 1),
			.dport = proto == IPPROTO_ICMP ? 0 : htons(rte_rand_max(3) + 1),
			.proto = proto,
			.dir = SPINAT_OUT},
		.kind = SPINAT_KIND_FLOW,
		.tcp_flags = proto == IPPROTO_TCP ? RTE_TCP_SYN_FLAG : 0,
		.flags = proto == IPPROTO_ICMP ? SPINAT_META_ICMP_REQUEST : 0,
	};
}

/* As a burst of packets comes: all are looked up, all looked ahead for, then flows are made. */
static void
send_burst(struct bench *b)
{
	struct spinat_ahead ahead[BURST];
	struct spinat_meta meta[BURST];
	const struct spinat_key *keys[BURST];
	struct spinat_flow *flows[BURST];
	uint64_t hashes[BURST];
	const unsigned int n = 1 + rte_rand_max(BURST);

	for (unsigned int i = 0; i < n; i++) {
		meta[i] = any_packet();
		keys[i] = &meta[i].key;
	}
	spinat_table_find_burst(b->nat->table, keys, n, hashes, flows);
	for (unsigned int i = 0; i < n; i++)
		ahead[i].key = hashes[i];
	spinat_nat_ahead(b->nat, b->conf, keys, n, ahead);
	for (unsigned int i = 0; i < n; i++) {
		struct spinat_flow *f = spinat_table_find_hashed(b->nat->table, keys[i], hashes[i]);
		struct spinat_key back;

		ck_assert(flows[i] == NULL || flows[i] == f);
		if (f == NULL && spinat_nat_outbound_ahead(b->nat, b->conf, &meta[i], &ahead[i],
					 b->now, &f) != SPINAT_DROP_NONE)
			continue;
		b->made++;
		spinat_flow_key(f, SPINAT_IN, &back);
		ck_assert_ptr_eq(spinat_table_find(b->nat->table, keys[i]), f);
		ck_assert_ptr_eq(spinat_table_find(b->nat->table, &back), f);
		ck_assert_uint_eq(spinat_mapping_find(b->nat->mappings, f->new_addr[SPINAT_OUT],
					  f->new_port[SPINAT_OUT], f->proto),
			f->mapping);
		ck_assert(spinat_mapping_permits(b->nat->mappings,
			spinat_mapping_at(b->nat->mappings, f->mapping), f->remote_addr));
	}
}

START_TEST(looking_ahead_changes_nothing)
{
	const uint64_t seed = rte_rand();
	struct bench b;

	printf("looking_ahead_changes_nothing: seed %lu\n", (unsigned long)seed);
	rte_srand(seed);
	open_bench(&b, confs[_i]);
	for (int step = 0; step < 2000; step++) {
		send_burst(&b);
		if (rte_rand_max(3) == 0) {
			b.now += rte_rand_max(4);
			spinat_nat_sweep(b.nat, b.conf, b.now, b.nat->table->high + 1);
			spinat_table_reclaim(b.nat->table, UINT32_MAX);
		}
		ck_assert_uint_eq(b.nat->table->index.used, 2 * b.nat->sessions);
	}
	ck_assert_uint_gt(b.made, 2000);
	spinat_nat_sweep(b.nat, b.conf, b.now + 10000, b.nat->table->high + 1);
	ck_assert_uint_eq(b.nat->sessions, 0);
	ck_assert_uint_eq(spinat_mapping_used(b.nat->mappings), 0);
	ck_assert_uint_eq(spinat_mapping_clients(b.nat->mappings), 0);
	for (uint32_t i = 0; i < b.conf->n_pool_addrs; i++) {
		const struct spinat_ports *p = spinat_pools_find(b.pools, b.conf->pool_addrs[i]);

		ck_assert_uint_eq(spinat_blocks_used(p), 0);
		for (int tp = 0; tp < SPINAT_TRANSPORTS; tp++)
			ck_assert_uint_eq(spinat_ports_used(p, tp), 0);
	}
	close_bench(&b);
}
END_TEST

TCase *
nat_ahead_case(void)
{
	TCase *t = tcase_create("ahead");

	tcase_set_timeout(t, 60);
	tcase_add_loop_test(t, looking_ahead_changes_nothing, 0, RTE_DIM(confs));
	return t;
}
