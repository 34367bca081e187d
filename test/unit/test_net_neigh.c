/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 the spinat authors
 */
#include <rte_ip.h>

#include "test_net_wire.h"

/* Packets that wait for a neighbour: asked for, queued, sent, given up. */

#define GATEWAY "routes = ( { to = \"0.0.0.0/0\"; via = \"198.51.100.5\"; } );"
#define L3 RTE_ETHER_HDR_LEN

/* A packet to an address, numbered; what stands before its IPv4 header is of no use any more. */
static struct rte_mbuf *
packet(const char *dst, uint16_t number)
{
	uint8_t bytes[L3 + sizeof(struct rte_ipv4_hdr) + 8] = {0};
	struct rte_ipv4_hdr ip = {
		.version_ihl = RTE_IPV4_VHL_DEF,
		.packet_id = number,
		.dst_addr = net_ip(dst),
	};

	memset(bytes, 0xdd, L3);
	memcpy(bytes + L3, &ip, sizeof(ip));
	return net_mbuf(bytes, sizeof(bytes));
}

static void
resolve(struct wire *w, const char *dst, uint16_t number, uint64_t now_ms)
{
	spinat_neigh_resolve(w->neigh, packet(dst, number), L3, 0, now_ms);
}

/* Fails unless the i-th frame sent is packet number behind this Ethernet header. */
static void
check_packet(struct wire *w, unsigned int i, uint16_t port, uint16_t tag,
	const struct rte_ether_addr *mac, uint16_t number)
{
	uint16_t l2_len = tag == 0 ? 14 : 18;
	uint8_t l2[18] = {0}, *p = l2 + 12;

	ck_assert_uint_lt(i, w->n_sent);
	memcpy(l2, mac, 6);
	memcpy(l2 + 6, &net_ports[port].mac, 6);
	if (tag != 0) {
		memcpy(p, (uint8_t[]){0x81, 0x00, tag >> 8, tag & 0xff}, 4);
		p += 4;
	}
	memcpy(p, (uint8_t[]){0x08, 0x00}, 2);
	ck_assert_uint_eq(w->sent_port[i], port);
	ck_assert_uint_eq(w->sent[i]->pkt_len, l2_len + sizeof(struct rte_ipv4_hdr) + 8);
	ck_assert_mem_eq(rte_pktmbuf_mtod(w->sent[i], uint8_t *), l2, l2_len);
	ck_assert_uint_eq(
		rte_pktmbuf_mtod_offset(w->sent[i], struct rte_ipv4_hdr *, l2_len)->packet_id,
		number);
}

static const struct rte_ether_addr host = WIRE_HOST;

static struct arp_frame
request(uint16_t port, const char *sender_ip, const char *target_ip)
{
	return (struct arp_frame){
		.dst = WIRE_BROADCAST,
		.src = net_ports[port].mac,
		.op = RTE_ARP_OP_REQUEST,
		.sender_mac = net_ports[port].mac,
		.sender_ip = sender_ip,
		.target_ip = target_ip,
	};
}

static struct arp_frame
reply(uint16_t port, const char *sender_ip, const char *target_ip)
{
	return (struct arp_frame){
		.dst = net_ports[port].mac,
		.src = WIRE_HOST,
		.op = RTE_ARP_OP_REPLY,
		.sender_mac = WIRE_HOST,
		.sender_ip = sender_ip,
		.target_mac = net_ports[port].mac,
		.target_ip = target_ip,
	};
}

static enum spinat_nh_state
state_of(struct wire *w, const char *dst)
{
	return spinat_nexthop_state(spinat_fib_lookup(w->fib, 0, net_ip(dst)));
}

START_TEST(host_resolved)
{
	struct wire *w = wire_open(NET_SIMPLE);
	struct arp_frame ask = request(0, "10.0.0.1", "10.0.0.9");
	struct arp_frame answer = reply(0, "10.0.0.9", "10.0.0.1");

	for (uint16_t i = 0; i < 3; i++)
		resolve(w, "10.0.0.9", i, 100 + i);
	ck_assert_uint_eq(w->n_sent, 1);
	wire_check_arp(w, 0, 0, &ask);
	ck_assert_int_eq(state_of(w, "10.0.0.9"), SPINAT_NH_INCOMPLETE);
	ck_assert_uint_eq(spinat_fib_lookup(w->fib, 0, net_ip("10.0.0.9"))->waiting, 3);
	wire_arp_in(w, 0, &answer, 150);
	ck_assert_uint_eq(w->n_sent, 4);
	for (uint16_t i = 0; i < 3; i++)
		check_packet(w, 1 + i, 0, 0, &host, i);
	ck_assert_int_eq(state_of(w, "10.0.0.9"), SPINAT_NH_REACHABLE);
	/* one that was on its way to the control lcore meanwhile */
	resolve(w, "10.0.0.9", 7, 160);
	check_packet(w, 4, 0, 0, &host, 7);
	wire_check_stats(w, (struct spinat_neigh_stats){.requests_out = 1, .replies_in = 1});
	wire_close(w);
}
END_TEST

/* Packets to anywhere wait for the one gateway; here its own request says where it is. */
START_TEST(gateway_resolved)
{
	struct wire *w = wire_open(NET_SIMPLE GATEWAY);
	struct arp_frame ask = request(1, "198.51.100.1", "198.51.100.5");
	struct arp_frame its = reply(1, "198.51.100.5", "198.51.100.1");

	resolve(w, "8.8.8.8", 1, 100);
	resolve(w, "9.9.9.9", 2, 100);
	resolve(w, "198.51.100.5", 3, 100);
	ck_assert_uint_eq(w->n_sent, 1);
	wire_check_arp(w, 0, 1, &ask);
	its.op = RTE_ARP_OP_REQUEST;
	wire_arp_in(w, 1, &its, 101);
	ck_assert_uint_eq(w->n_sent, 5); /* its answer, then what waited */
	for (uint16_t i = 0; i < 3; i++)
		check_packet(w, 2 + i, 1, 0, &host, 1 + i);
	ck_assert_int_eq(state_of(w, "77.7.7.7"), SPINAT_NH_REACHABLE);
	wire_close(w);
}
END_TEST

START_TEST(vlan)
{
	struct wire *w =
		wire_open("interfaces = ( " NET_IFACES ","
			  "{ name = \"in9\"; device = \"net_null10\"; vlan = 9; role = \"inside\";"
			  "  addresses = [ \"10.9.0.1/16\", \"10.9.8.1/24\" ]; } );");
	struct arp_frame ask = request(0, "10.9.8.1", "10.9.8.7"); /* from the nearest address */
	struct arp_frame answer = reply(0, "10.9.8.7", "10.9.8.1");

	resolve(w, "10.9.8.7", 1, 0);
	ask.tag = answer.tag = 9;
	wire_check_arp(w, 0, 0, &ask);
	wire_arp_in(w, 2, &answer, 1);
	check_packet(w, 1, 0, 9, &host, 1);
	wire_close(w);
}
END_TEST

/* The oldest makes room. */
START_TEST(queue_bounded)
{
	struct wire *w = wire_open("limits = { neighbour_queue = 4; };" NET_SIMPLE);
	struct arp_frame answer = reply(0, "10.0.0.9", "10.0.0.1");

	for (uint16_t i = 0; i < 10; i++)
		resolve(w, "10.0.0.9", i, 100);
	ck_assert_uint_eq(w->drops[SPINAT_DROP_NEIGH_QUEUE_FULL], 6);
	wire_arp_in(w, 0, &answer, 150);
	ck_assert_uint_eq(w->n_sent, 1 + 4);
	for (uint16_t i = 0; i < 4; i++)
		check_packet(w, 1 + i, 0, 0, &host, 6 + i);
	wire_close(w);
}
END_TEST

/* Whoever scans a subnet holds SPINAT_NEIGH_HELD_MAX packets and no more. */
START_TEST(held_bounded)
{
	const uint16_t per_neigh = 16, full = SPINAT_NEIGH_HELD_MAX / 16;
	struct wire *w = wire_open(NET_SIMPLE);
	struct arp_frame answer = reply(0, "10.0.0.2", "10.0.0.1");
	char dst[INET_ADDRSTRLEN];

	for (uint16_t i = 0; i < full * per_neigh; i++) {
		snprintf(dst, sizeof(dst), "10.0.0.%u", 2 + i / per_neigh);
		resolve(w, dst, i, 100);
	}
	ck_assert_uint_eq(w->drops[SPINAT_DROP_NEIGH_QUEUE_FULL], 0);
	resolve(w, "10.0.0.200", 0, 100); /* holds none: the new one goes */
	ck_assert_uint_eq(w->drops[SPINAT_DROP_NEIGH_QUEUE_FULL], 1);
	ck_assert_uint_eq(spinat_fib_lookup(w->fib, 0, net_ip("10.0.0.200"))->waiting, 0);
	ck_assert_uint_eq(rte_mempool_in_use_count(net_pool), SPINAT_NEIGH_HELD_MAX + w->n_sent);
	wire_arp_in(w, 0, &answer, 101); /* gives 16 places back */
	resolve(w, "10.0.0.200", 0, 102);
	ck_assert_uint_eq(spinat_fib_lookup(w->fib, 0, net_ip("10.0.0.200"))->waiting, 1);
	wire_close(w); /* with all that waits */
}
END_TEST

START_TEST(table_full)
{
	struct wire *w = wire_open("limits = { neighbours = 16; };" NET_SIMPLE GATEWAY);
	char dst[INET_ADDRSTRLEN];

	for (uint16_t i = 0; i < 20; i++) {
		snprintf(dst, sizeof(dst), "10.0.0.%u", 2 + i);
		resolve(w, dst, i, 100);
	}
	ck_assert_uint_eq(w->drops[SPINAT_DROP_NEIGH_QUEUE_FULL], 4);
	wire_check_stats(w, (struct spinat_neigh_stats){.requests_out = 16, .table_full = 4});
	resolve(w, "8.8.8.8", 0, 100); /* the gateway's place is its own */
	ck_assert_uint_eq(w->n_sent, 17);
	wire_close(w);
}
END_TEST

/* Three requests 1 s apart, all dropped at 3 s, dropped at once until 4 s, then from the start. */
START_TEST(nobody_answers)
{
	const char *dst = _i == 0 ? "10.0.0.9" : "8.8.8.8";
	struct wire *w = wire_open(NET_SIMPLE GATEWAY);
	static const unsigned int requests[] = {1, 2, 3, 3}, drops[] = {0, 0, 0, 2};

	resolve(w, dst, 1, 0);
	resolve(w, dst, 2, 0);
	for (uint64_t now = 0; now < 4000; now += 100) {
		spinat_neigh_tick(w->neigh, now);
		ck_assert_uint_eq(w->n_sent, requests[now / 1000]);
		if (now == 3500)
			resolve(w, dst, 3, now);
		ck_assert_uint_eq(
			w->drops[SPINAT_DROP_NEIGH_UNRESOLVED], now < 3500 ? drops[now / 1000] : 3);
	}
	spinat_neigh_tick(w->neigh, 4000);
	ck_assert_int_eq(state_of(w, dst), _i == 0 ? SPINAT_NH_CONNECTED : SPINAT_NH_INCOMPLETE);
	ck_assert_uint_eq(w->n_sent, 3);
	resolve(w, dst, 4, 4100);
	ck_assert_uint_eq(w->n_sent, 4);
	ck_assert_uint_eq(w->drops[SPINAT_DROP_NEIGH_UNRESOLVED], 3);
	wire_close(w);
}
END_TEST

/* What leads nowhere is dropped with its reason, whatever the worker thought. */
START_TEST(not_neighbours)
{
	struct wire *w =
		wire_open(NET_SIMPLE "realms = ( { id = 0; pool = [ \"198.51.100.9\" ]; } );");

	resolve(w, "8.8.8.8", 0, 0);
	ck_assert_uint_eq(w->drops[SPINAT_DROP_NO_ROUTE], 1);
	resolve(w, "198.51.100.9", 0, 0);
	resolve(w, "10.0.0.255", 0, 0);
	ck_assert_uint_eq(w->drops[SPINAT_DROP_BLACKHOLE], 2);
	resolve(w, "10.0.0.1", 0, 0);
	ck_assert_uint_eq(w->drops[SPINAT_DROP_TO_BOX], 1);
	spinat_neigh_resolve(w->neigh, net_mbuf("too short", 9), 4, 0, 0);
	ck_assert_uint_eq(w->drops[SPINAT_DROP_IP_SHORT], 1);
	ck_assert_uint_eq(w->n_sent, 0);
	wire_close(w);
}
END_TEST

/* No buffer is left for the request: the packet waits all the same and the next try asks. */
START_TEST(no_buffer)
{
	struct wire *w = wire_open(NET_SIMPLE);
	struct rte_mbuf *m = packet("10.0.0.9", 1), *all[NET_POOL_SIZE - 1];
	struct arp_frame ask = request(0, "10.0.0.1", "10.0.0.9");

	ck_assert_int_eq(rte_pktmbuf_alloc_bulk(net_pool, all, RTE_DIM(all)), 0);
	spinat_neigh_resolve(w->neigh, m, L3, 0, 0);
	ck_assert_uint_eq(w->n_sent, 0);
	rte_pktmbuf_free_bulk(all, RTE_DIM(all));
	spinat_neigh_tick(w->neigh, 1000);
	ck_assert_uint_eq(w->n_sent, 1);
	wire_check_arp(w, 0, 0, &ask);
	wire_check_stats(w, (struct spinat_neigh_stats){.requests_out = 1});
	wire_close(w);
}
END_TEST

/* Packets wait across a reload: on, out, or gone with their subnet. */
START_TEST(reload)
{
	struct wire *w =
		wire_open("interfaces = ( " NET_IFACES ","
			  "{ name = \"in1\"; device = \"net_null10\"; vlan = 7; role = \"inside\";"
			  "  addresses = [ \"10.7.0.1/24\", \"10.8.0.1/24\" ]; } );");
	struct arp_frame answer = reply(0, "10.0.0.9", "10.0.0.1");
	const struct rte_ether_addr fixed = {{0x02, 0x33, 0, 0, 0, 1}};

	resolve(w, "10.0.0.9", 1, 0);
	resolve(w, "10.0.0.9", 2, 0);
	resolve(w, "10.7.0.9", 3, 0);
	resolve(w, "10.8.0.9", 4, 0);
	wire_clear(w);
	wire_reload(w, "interfaces = ( "
		       "{ name = \"in1\"; device = \"net_null10\"; vlan = 7; role = \"inside\";"
		       "  addresses = [ \"10.7.0.1/24\" ]; }," NET_IFACES ");"
		       "neighbours = ( { interface = \"in1\"; address = \"10.7.0.9\";"
		       "                 mac = \"02:33:00:00:00:01\"; } );");
	ck_assert_uint_eq(w->drops[SPINAT_DROP_NEIGH_UNRESOLVED], 1); /* 4 */
	ck_assert_uint_eq(w->n_sent, 1);
	check_packet(w, 0, 0, 7, &fixed, 3);
	resolve(w, "10.0.0.9", 5, 100);
	spinat_neigh_tick(w->neigh, 200);
	ck_assert_uint_eq(w->n_sent, 1); /* it is still the first second */
	wire_arp_in(w, 1, &answer, 300);
	ck_assert_uint_eq(w->n_sent, 4);
	check_packet(w, 1, 0, 0, &host, 1);
	check_packet(w, 2, 0, 0, &host, 2);
	check_packet(w, 3, 0, 0, &host, 5);
	wire_close(w);
}
END_TEST

TCase *
test_net_neigh(void)
{
	TCase *tc = tcase_create("neigh");

	tcase_add_test(tc, host_resolved);
	tcase_add_test(tc, gateway_resolved);
	tcase_add_test(tc, vlan);
	tcase_add_test(tc, queue_bounded);
	tcase_add_test(tc, held_bounded);
	tcase_add_test(tc, table_full);
	tcase_add_loop_test(tc, nobody_answers, 0, 2);
	tcase_add_test(tc, not_neighbours);
	tcase_add_test(tc, no_buffer);
	tcase_add_test(tc, reload);
	return tc;
}
