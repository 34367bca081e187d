/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 the spinat authors
 */
#include <pthread.h>
#include <stdlib.h>

#include <rte_cycles.h>

#include "packets.h"
#include "test_net.h"

/* What workers see of a table that changes under them, and what a reload carries over. */

#define READER 0

static void
set_mac(struct spinat_fib *fib, int nh, uint32_t number)
{
	struct rte_ether_addr mac = {{0x02, 0xbb}};

	memcpy(&mac.addr_bytes[2], &number, sizeof(number));
	spinat_fib_neigh_set(fib, nh, &mac);
}

static uint32_t
mac_number(const uint8_t *frame)
{
	uint32_t number;

	memcpy(&number, frame + 2, sizeof(number));
	return number;
}

/* A freed slot, and a tbl8 group, stay as they are until the reader has passed. */
START_TEST(grace_period)
{
	struct spinat_conf *conf = net_conf("limits = { neighbours = 16; };" NET_SIMPLE);
	struct spinat_fib *fib = net_fib(conf, NULL);
	const struct spinat_nexthop *held;
	uint8_t before[SPINAT_L2_MAX] = {0}, after[SPINAT_L2_MAX] = {0};
	int slots[16], again;

	for (uint32_t i = 0; i < 16; i++) {
		slots[i] = spinat_fib_neigh_add(fib, 0, rte_cpu_to_be_32(NET_IP(10, 0, 0, 2 + i)));
		ck_assert_int_ge(slots[i], 0);
	}
	set_mac(fib, slots[3], 3);
	rte_rcu_qsbr_thread_register(net_qsbr, READER);
	rte_rcu_qsbr_thread_online(net_qsbr, READER);
	held = spinat_fib_lookup(fib, 0, net_ip("10.0.0.5"));
	ck_assert_int_eq(spinat_nexthop_state(held), SPINAT_NH_REACHABLE);
	spinat_nexthop_l2(held, before);

	spinat_fib_neigh_del(fib, slots[3]);
	ck_assert_ptr_ne(spinat_fib_lookup(fib, 0, net_ip("10.0.0.5")), held);
	ck_assert_int_eq(spinat_fib_neigh_add(fib, 0, net_ip("10.0.0.99")), -EAGAIN);
	ck_assert_int_eq(spinat_nexthop_state(held), SPINAT_NH_INCOMPLETE);
	spinat_nexthop_l2(held, after);
	ck_assert_mem_eq(before, after, sizeof(before));

	rte_rcu_qsbr_quiescent(net_qsbr, READER);
	again = spinat_fib_neigh_add(fib, 0, net_ip("10.0.0.99"));
	ck_assert_int_eq(again, slots[3]); /* the only one free */
	rte_rcu_qsbr_thread_offline(net_qsbr, READER);
	rte_rcu_qsbr_thread_unregister(net_qsbr, READER);
	spinat_fib_free(fib);
	spinat_conf_free(conf);
}
END_TEST

struct reader {
	const struct spinat_fib *fib;
	bool stop;
	uint64_t reachable, lost, wrong;
};

/* A worker: bursts of lookups, then a quiescent state. The MAC of a neighbour says its address. */
static void *
read_neighbours(void *arg)
{
	struct reader *r = arg;
	uint64_t seed = 7;

	rte_rcu_qsbr_thread_register(net_qsbr, READER);
	rte_rcu_qsbr_thread_online(net_qsbr, READER);
	while (!__atomic_load_n(&r->stop, __ATOMIC_ACQUIRE)) {
		const struct spinat_nexthop *nh[32];
		rte_be32_t dst[32];

		for (uint32_t i = 0; i < RTE_DIM(nh); i++) {
			dst[i] = rte_cpu_to_be_32(
				NET_IP(10, 0, 0, 2) + (pkt_random(&seed) >> 32) % 64 * 15);
			nh[i] = spinat_fib_lookup(r->fib, 0, dst[i]);
		}
		for (uint32_t i = 0; i < RTE_DIM(nh); i++) {
			uint8_t l2[SPINAT_L2_MAX];

			r->lost += nh[i] == NULL;
			if (nh[i] == NULL || spinat_nexthop_state(nh[i]) != SPINAT_NH_REACHABLE)
				continue;
			spinat_nexthop_l2(nh[i], l2);
			r->reachable++;
			r->wrong += mac_number(l2) != dst[i];
		}
		rte_rcu_qsbr_quiescent(net_qsbr, READER);
	}
	rte_rcu_qsbr_thread_offline(net_qsbr, READER);
	rte_rcu_qsbr_thread_unregister(net_qsbr, READER);
	return NULL;
}

/* For a second neighbours come and go, slots and tbl8 groups with them; no lookup is ever wrong. */
START_TEST(lookups_during_change)
{
	struct spinat_conf *conf = net_conf(
		"limits = { neighbours = 24; };"
		"interfaces = ( { name = \"in0\"; device = \"net_null10\"; role = \"inside\";"
		"  addresses = [ \"10.0.0.1/22\" ]; },"
		"{ name = \"out0\"; device = \"net_null11\"; role = \"outside\";"
		"  addresses = [ \"198.51.100.1/24\" ]; } );");
	struct spinat_fib *fib = net_fib(conf, NULL);
	struct reader r = {.fib = fib};
	uint64_t seed = 3, end = rte_get_tsc_cycles() + rte_get_tsc_hz(), changes = 0;
	pthread_t thread;

	ck_assert_int_eq(pthread_create(&thread, NULL, read_neighbours, &r), 0);
	while (rte_get_tsc_cycles() < end) {
		rte_be32_t addr =
			rte_cpu_to_be_32(NET_IP(10, 0, 0, 2) + (pkt_random(&seed) >> 32) % 64 * 15);
		int nh = spinat_fib_neigh_find(fib, 0, addr);

		if (nh >= 0) {
			spinat_fib_neigh_del(fib, nh);
		} else {
			nh = spinat_fib_neigh_add(fib, 0, addr);
			ck_assert(nh >= 0 || nh == -EAGAIN || nh == -ENOSPC);
			if (nh < 0)
				continue;
			set_mac(fib, nh, addr);
		}
		changes++;
	}
	__atomic_store_n(&r.stop, true, __ATOMIC_RELEASE);
	pthread_join(thread, NULL);
	ck_assert_uint_eq(r.lost, 0);
	ck_assert_uint_eq(r.wrong, 0);
	ck_assert_uint_gt(changes, 100);
	ck_assert_uint_gt(r.reachable, 100);
	spinat_fib_free(fib);
	spinat_conf_free(conf);
}
END_TEST

struct l2_reader {
	const struct spinat_nexthop *nh;
	bool stop;
	uint64_t torn, seen[2];
};

static void *
read_l2(void *arg)
{
	struct l2_reader *r = arg;
	uint8_t l2[SPINAT_L2_MAX];

	while (!__atomic_load_n(&r->stop, __ATOMIC_ACQUIRE)) {
		uint32_t number;

		spinat_nexthop_l2(r->nh, l2);
		number = mac_number(l2);
		r->torn += number != 0 && number != UINT32_MAX;
		r->seen[number != 0]++;
	}
	return NULL;
}

/* A live entry's MAC changes: no frame has some bytes of each. */
START_TEST(mac_never_torn)
{
	struct spinat_conf *conf = net_conf(NET_SIMPLE);
	struct spinat_fib *fib = net_fib(conf, NULL);
	int nh = spinat_fib_neigh_add(fib, 0, net_ip("10.0.0.5"));
	struct l2_reader r = {.nh = &fib->nexthops[nh]};
	uint64_t end = rte_get_tsc_cycles() + rte_get_tsc_hz() / 2;
	pthread_t thread;

	set_mac(fib, nh, 0);
	ck_assert_int_eq(pthread_create(&thread, NULL, read_l2, &r), 0);
	for (uint32_t i = 0; rte_get_tsc_cycles() < end; i++)
		set_mac(fib, nh, i % 2 == 0 ? UINT32_MAX : 0);
	__atomic_store_n(&r.stop, true, __ATOMIC_RELEASE);
	pthread_join(thread, NULL);
	ck_assert_uint_eq(r.torn, 0);
	ck_assert(r.seen[0] != 0 && r.seen[1] != 0);
	spinat_fib_free(fib);
	spinat_conf_free(conf);
}
END_TEST

/* After a reload with interfaces in another order, another gateway, and a subnet less. */
START_TEST(reload)
{
	struct spinat_conf *old_conf =
		net_conf("interfaces = ( " NET_IFACES ","
			 "{ name = \"in1\"; device = \"net_null10\"; vlan = 7; role = \"inside\";"
			 "  addresses = [ \"10.7.0.1/24\", \"10.8.0.1/24\" ]; } );"
			 "routes = ( { to = \"0.0.0.0/0\"; via = \"198.51.100.2\"; } );"
			 "neighbours = ( { interface = \"in0\"; address = \"10.0.0.33\";"
			 "                 mac = \"02:33:00:00:00:01\"; } );");
	struct spinat_conf *new_conf = net_conf(
		"interfaces = ("
		"{ name = \"renamed\"; device = \"net_null10\"; vlan = 7; role = \"inside\";"
		"  addresses = [ \"10.7.0.1/24\" ]; }," NET_IFACES ");"
		"routes = ( { to = \"0.0.0.0/0\"; via = \"198.51.100.3\"; } );"
		"neighbours = ( { interface = \"in0\"; address = \"10.0.0.34\";"
		"                 mac = \"02:34:00:00:00:01\"; } );");
	struct spinat_fib *old = net_fib(old_conf, NULL), *fib;
	const rte_be32_t stays = net_ip("10.7.0.9"), goes = net_ip("10.8.0.9");
	const rte_be32_t fixed = net_ip("10.0.0.34"), was_fixed = net_ip("10.0.0.33");
	const struct spinat_nexthop *nh;
	uint8_t l2[SPINAT_L2_MAX];
	int gw, index;

	set_mac(old, spinat_fib_neigh_add(old, 2, stays), stays);
	set_mac(old, spinat_fib_neigh_add(old, 2, goes), goes);
	set_mac(old, spinat_fib_neigh_add(old, 0, fixed), fixed);
	gw = spinat_fib_neigh_find(old, 1, net_ip("198.51.100.2"));
	set_mac(old, gw, 22);
	old->nexthops[gw].confirmed_s = 1234;
	fib = net_fib(new_conf, old);

	nh = spinat_fib_lookup(fib, 0, stays);
	ck_assert_int_eq(spinat_nexthop_state(nh), SPINAT_NH_REACHABLE);
	ck_assert_uint_eq(nh->iface, 0);
	spinat_nexthop_l2(nh, l2);
	ck_assert_uint_eq(mac_number(l2), stays);
	index = spinat_fib_neigh_find(old, 2, stays);
	ck_assert_ptr_eq(&fib->nexthops[spinat_fib_neigh_same(fib, old, index)], nh);
	/* a gateway no more, but a neighbour still; the new one has no MAC */
	nh = spinat_fib_lookup(fib, 0, net_ip("198.51.100.2"));
	ck_assert_int_eq(spinat_nexthop_state(nh), SPINAT_NH_REACHABLE);
	ck_assert(!nh->is_gateway);
	ck_assert_uint_eq(nh->confirmed_s, 1234);
	nh = spinat_fib_lookup(fib, 0, net_ip("9.9.9.9"));
	ck_assert_uint_eq(nh->addr, net_ip("198.51.100.3"));
	ck_assert_int_eq(spinat_nexthop_state(nh), SPINAT_NH_INCOMPLETE);
	/* gone with its subnet, or with its line in the file */
	index = spinat_fib_neigh_find(old, 2, goes);
	ck_assert_int_eq(spinat_fib_neigh_same(fib, old, index), -ENOENT);
	ck_assert_uint_eq(spinat_fib_lookup(fib, 0, goes)->addr, net_ip("198.51.100.3"));
	ck_assert_int_eq(spinat_fib_lookup(fib, 0, was_fixed)->state, SPINAT_NH_CONNECTED);
	/* learned before, in the file now */
	spinat_nexthop_l2(spinat_fib_lookup(fib, 0, fixed), l2);
	ck_assert_uint_eq(l2[1], 0x34);
	/* the old table still stands */
	ck_assert_uint_eq(
		spinat_fib_lookup(old, 0, net_ip("9.9.9.9"))->addr, net_ip("198.51.100.2"));
	spinat_fib_free(old);
	spinat_fib_free(fib);
	spinat_conf_free(old_conf);
	spinat_conf_free(new_conf);
}
END_TEST

TCase *
test_net_fib_rcu(void)
{
	TCase *tc = tcase_create("fib_rcu");

	tcase_set_timeout(tc, 60);
	tcase_add_test(tc, grace_period);
	tcase_add_test(tc, lookups_during_change);
	tcase_add_test(tc, mac_never_torn);
	tcase_add_test(tc, reload);
	return tc;
}
