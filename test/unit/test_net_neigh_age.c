/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 the spinat authors
 */
#include "test_net_wire.h"

/* What becomes of a neighbour's MAC: refreshed, asked for again, defended against strangers. */

#define ARP_10S "timeouts = { arp = 10; };" NET_SIMPLE
#define GATEWAY "routes = ( { to = \"0.0.0.0/0\"; via = \"198.51.100.5\"; } );"

static const struct rte_ether_addr host = WIRE_HOST, other = WIRE_OTHER;

/* ARP from a station on the outside wire, to the box. */
static void
says(struct wire *w, uint16_t op, const struct rte_ether_addr *mac, const char *ip, uint64_t now_ms)
{
	const struct arp_frame f = {
		.dst = WIRE_PORT(1),
		.src = *mac,
		.op = op,
		.sender_mac = *mac,
		.sender_ip = ip,
		.target_mac = WIRE_PORT(1),
		.target_ip = ip, /* gratuitous where it is a request */
	};

	wire_arp_in(w, 1, &f, now_ms);
}

/* Makes 198.51.100.5 a neighbour, with the host's MAC, and forgets the frames. */
static const struct spinat_nexthop *
learn(struct wire *w, uint64_t now_ms)
{
	int nh = spinat_fib_neigh_find(w->fib, 1, net_ip("198.51.100.5"));

	if (nh < 0)
		nh = spinat_fib_neigh_add(w->fib, 1, net_ip("198.51.100.5"));
	ck_assert_int_ge(nh, 0);
	says(w, RTE_ARP_OP_REPLY, &host, "198.51.100.5", now_ms);
	ck_assert_int_eq(spinat_nexthop_state(&w->fib->nexthops[nh]), SPINAT_NH_REACHABLE);
	wire_clear(w);
	return &w->fib->nexthops[nh];
}

static void
check_mac(const struct spinat_nexthop *nh, const struct rte_ether_addr *mac)
{
	uint8_t l2[SPINAT_L2_MAX];

	spinat_nexthop_l2(nh, l2);
	ck_assert_int_eq(spinat_nexthop_state(nh), SPINAT_NH_REACHABLE);
	ck_assert_mem_eq(l2, mac, sizeof(*mac));
}

/* Fails unless the i-th frame asks this MAC whether it still has 198.51.100.5. */
static void
check_asked(struct wire *w, unsigned int i, const struct rte_ether_addr *dst)
{
	const struct arp_frame f = {
		.dst = *dst,
		.src = WIRE_PORT(1),
		.op = RTE_ARP_OP_REQUEST,
		.sender_mac = WIRE_PORT(1),
		.sender_ip = "198.51.100.1",
		.target_ip = "198.51.100.5",
	};

	wire_check_arp(w, i, 1, &f);
}

static void
ticks(struct wire *w, uint64_t from, uint64_t to)
{
	for (uint64_t now = from; now <= to; now += 100)
		spinat_neigh_tick(w->neigh, now);
}

/* After timeouts.arp by unicast; an answer makes it young again. */
START_TEST(refreshed)
{
	struct wire *w = wire_open(ARP_10S);
	const struct spinat_nexthop *nh = learn(w, 1000);

	ticks(w, 1100, 10900);
	ck_assert_uint_eq(w->n_sent, 0);
	ticks(w, 11000, 11900);
	ck_assert_uint_eq(w->n_sent, 1);
	check_asked(w, 0, &host);
	check_mac(nh, &host); /* in use meanwhile */
	says(w, RTE_ARP_OP_REPLY, &host, "198.51.100.5", 11950);
	ticks(w, 12000, 20900);
	ck_assert_uint_eq(w->n_sent, 1);
	/* its own request does as well as an answer */
	says(w, RTE_ARP_OP_REQUEST, &host, "198.51.100.5", 20950);
	ticks(w, 21000, 29900);
	ck_assert_uint_eq(w->n_sent, 1);
	ticks(w, 30000, 30000);
	ck_assert_uint_eq(w->n_sent, 2);
	wire_close(w);
}
END_TEST

/* Three questions by unicast, then a host is forgotten, a gateway without MAC until asked for. */
START_TEST(silent)
{
	struct wire *w = wire_open(_i == 0 ? ARP_10S : ARP_10S GATEWAY);
	const struct spinat_nexthop *nh = learn(w, 0);

	ticks(w, 100, 12900);
	ck_assert_uint_eq(w->n_sent, 3);
	for (unsigned int i = 0; i < 3; i++)
		check_asked(w, i, &host);
	check_mac(nh, &host);
	ticks(w, 13000, 20000);
	ck_assert_uint_eq(w->n_sent, 3);
	nh = spinat_fib_lookup(w->fib, 0, net_ip("198.51.100.5"));
	ck_assert_int_eq(
		spinat_nexthop_state(nh), _i == 0 ? SPINAT_NH_CONNECTED : SPINAT_NH_INCOMPLETE);
	wire_close(w);
}
END_TEST

/* No ARP of a stranger takes a confirmed address over, and the owner is asked once for many. */
START_TEST(stranger_refused)
{
	const uint16_t ops[] = {RTE_ARP_OP_REPLY, RTE_ARP_OP_REQUEST, RTE_ARP_OP_REPLY};
	struct wire *w = wire_open(ARP_10S);
	const struct spinat_nexthop *nh = learn(w, 5000);

	for (uint32_t i = 0; i < RTE_DIM(ops); i++) {
		says(w, ops[i], &other, "198.51.100.5", 6000 + i);
		check_mac(nh, &host);
	}
	ck_assert_uint_eq(w->n_sent, 1);
	check_asked(w, 0, &host);
	says(w, RTE_ARP_OP_REPLY, &host, "198.51.100.5", 6100);
	says(w, RTE_ARP_OP_REPLY, &other, "198.51.100.5", 6200);
	ck_assert_uint_eq(w->n_sent, 1); /* not again within the second */
	ticks(w, 6200, 9000);
	check_mac(nh, &host);
	wire_check_stats(w, (struct spinat_neigh_stats){
				    .replies_in = 5,
				    .requests_in = 1,
				    .requests_out = 1,
				    .refused = 4,
			    });
	wire_close(w);
}
END_TEST

/* A router fails over to another MAC: refused at first, then the old one is silent. */
START_TEST(failover)
{
	struct wire *w = wire_open(ARP_10S GATEWAY);
	const struct spinat_nexthop *nh = learn(w, 5000);

	says(w, RTE_ARP_OP_REQUEST, &other, "198.51.100.5", 6000);
	check_mac(nh, &host);
	ticks(w, 6100, 8900);
	ck_assert_uint_eq(w->n_sent, 3);
	ticks(w, 9000, 9000);
	ck_assert_int_eq(spinat_nexthop_state(nh), SPINAT_NH_INCOMPLETE);
	says(w, RTE_ARP_OP_REPLY, &other, "198.51.100.5", 9050);
	check_mac(nh, &other);
	wire_close(w);
}
END_TEST

/* Once too old, an entry takes another MAC even from a gratuitous ARP. */
START_TEST(unconfirmed_changes)
{
	struct wire *w = wire_open(ARP_10S);
	const struct spinat_nexthop *nh = learn(w, 0);

	says(w, RTE_ARP_OP_REQUEST, &other, "198.51.100.5", 9999);
	check_mac(nh, &host);
	says(w, RTE_ARP_OP_REQUEST, &other, "198.51.100.5", 10000);
	check_mac(nh, &other);
	wire_check_stats(w, (struct spinat_neigh_stats){
				    .replies_in = 1,
				    .requests_in = 2,
				    .requests_out = 1,
				    .refused = 1,
			    });
	wire_close(w);
}
END_TEST

/* Nobody gets an entry by talking. */
START_TEST(unwanted)
{
	struct wire *w = wire_open(ARP_10S);

	says(w, RTE_ARP_OP_REPLY, &host, "198.51.100.5", 0);
	says(w, RTE_ARP_OP_REQUEST, &host, "198.51.100.5", 0);
	ck_assert_int_eq(spinat_fib_neigh_find(w->fib, 1, net_ip("198.51.100.5")), -ENOENT);
	ck_assert_int_eq(
		spinat_fib_lookup(w->fib, 0, net_ip("198.51.100.5"))->state, SPINAT_NH_CONNECTED);
	ck_assert_uint_eq(w->n_sent, 0);
	wire_close(w);
}
END_TEST

/* What the configuration says is neither overwritten nor asked for. */
START_TEST(static_stays)
{
	struct wire *w = wire_open(
		ARP_10S "neighbours = ( { interface = \"out0\"; address = \"198.51.100.5\";"
			"                 mac = \"02:cc:00:00:00:01\"; } );");
	const struct spinat_nexthop *nh = spinat_fib_lookup(w->fib, 0, net_ip("198.51.100.5"));

	check_mac(nh, &host);
	says(w, RTE_ARP_OP_REPLY, &other, "198.51.100.5", 100000);
	says(w, RTE_ARP_OP_REQUEST, &other, "198.51.100.5", 100000);
	ticks(w, 100000, 140000);
	check_mac(nh, &host);
	ck_assert_uint_eq(w->n_sent, 0);
	wire_check_stats(
		w, (struct spinat_neigh_stats){.replies_in = 1, .requests_in = 1, .refused = 2});
	wire_close(w);
}
END_TEST

/* 300 entries that grow old at once are asked for in more than one tick. */
START_TEST(tick_bounded)
{
	struct wire *w = wire_open(
		"timeouts = { arp = 10; };"
		"interfaces = ( { name = \"in0\"; device = \"net_null10\"; role = \"inside\";"
		"  addresses = [ \"10.0.0.1/16\" ]; },"
		"{ name = \"out0\"; device = \"net_null11\"; role = \"outside\";"
		"  addresses = [ \"198.51.100.1/24\" ]; } );");

	for (uint32_t i = 0; i < 300; i++) {
		int nh = spinat_fib_neigh_add(w->fib, 0, rte_cpu_to_be_32(NET_IP(10, 0, 1, 0) + i));

		ck_assert_int_ge(nh, 0);
		spinat_fib_neigh_set(w->fib, nh, &host);
	}
	spinat_neigh_tick(w->neigh, 10000);
	ck_assert_uint_eq(w->n_sent, 256);
	spinat_neigh_tick(w->neigh, 10100);
	ck_assert_uint_eq(w->n_sent, 300);
	spinat_neigh_tick(w->neigh, 10200);
	ck_assert_uint_eq(w->n_sent, 300);
	wire_close(w);
}
END_TEST

TCase *
test_net_neigh_age(void)
{
	TCase *tc = tcase_create("neigh_age");

	tcase_add_test(tc, refreshed);
	tcase_add_loop_test(tc, silent, 0, 2);
	tcase_add_test(tc, stranger_refused);
	tcase_add_test(tc, failover);
	tcase_add_test(tc, unconfirmed_changes);
	tcase_add_test(tc, unwanted);
	tcase_add_test(tc, static_stays);
	tcase_add_test(tc, tick_bounded);
	return tc;
}
