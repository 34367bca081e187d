/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 the spinat authors
 */
#include <stdlib.h>

#include <rte_malloc.h>

#include "test_net_wire.h"

/* ARP frames that come in: what is answered, what is refused, announcements, defence. */

#define PROXIES                                                                               \
	"realms = ( { id = 0; pool = [ \"198.51.100.8-198.51.100.10\", \"192.0.2.8\" ]; } );" \
	"static = ( { inside = \"10.0.0.7\"; outside = \"198.51.100.77\"; } );"               \
	"redirect = ( { protocol = \"tcp\"; outside = \"198.51.100.10\"; port = 80;"          \
	"               inside = \"10.0.0.8\"; } );"

static const struct arp_frame question = {
	.dst = WIRE_BROADCAST,
	.src = WIRE_HOST,
	.op = RTE_ARP_OP_REQUEST,
	.sender_mac = WIRE_HOST,
	.sender_ip = "198.51.100.5",
	.target_ip = "198.51.100.1",
};

/* Asks for an address on an interface and says whether there was an answer. */
static bool
answered(struct wire *w, uint16_t iface, const char *target_ip)
{
	struct arp_frame f = question;
	unsigned int before = w->n_sent;

	f.target_ip = target_ip;
	wire_arp_in(w, iface, &f, 0);
	return w->n_sent > before;
}

START_TEST(answers)
{
	struct wire *w = wire_open(NET_SIMPLE PROXIES);
	const struct arp_frame reply = {
		.dst = WIRE_HOST,
		.src = WIRE_PORT(1),
		.op = RTE_ARP_OP_REPLY,
		.sender_mac = WIRE_PORT(1),
		.sender_ip = "198.51.100.1",
		.target_mac = WIRE_HOST,
		.target_ip = "198.51.100.5",
	};

	wire_arp_in(w, 1, &question, 0);
	wire_check_arp(w, 0, 1, &reply);
	ck_assert_uint_eq(w->n_sent, 1);
	/* the interface's own, and what NAT owns in the outside subnet */
	ck_assert(answered(w, 1, "198.51.100.8"));
	ck_assert(answered(w, 1, "198.51.100.10"));
	ck_assert(answered(w, 1, "198.51.100.77"));
	/* not: others, pools elsewhere, the other interface's */
	ck_assert(!answered(w, 1, "198.51.100.11"));
	ck_assert(!answered(w, 1, "192.0.2.8"));
	ck_assert(!answered(w, 1, "10.0.0.1"));
	ck_assert(!answered(w, 1, "198.51.100.255"));
	ck_assert(!answered(w, 0, "198.51.100.8"));
	ck_assert(!answered(w, 0, "198.51.100.1"));
	ck_assert(answered(w, 0, "10.0.0.1"));
	wire_check_stats(w, (struct spinat_neigh_stats){.requests_in = 11, .replies_out = 5});
	wire_close(w);
}
END_TEST

/* RFC 5227 2.1.1: who probes has no address yet, and is not learned. */
START_TEST(probe)
{
	struct wire *w = wire_open(NET_SIMPLE);
	struct arp_frame f = question;

	f.sender_ip = "0.0.0.0";
	wire_arp_in(w, 1, &f, 0);
	wire_check_arp(w, 0, 1,
		&(struct arp_frame){
			.dst = WIRE_HOST,
			.src = WIRE_PORT(1),
			.op = RTE_ARP_OP_REPLY,
			.sender_mac = WIRE_PORT(1),
			.sender_ip = "198.51.100.1",
			.target_mac = WIRE_HOST,
			.target_ip = "0.0.0.0",
		});
	wire_check_stats(w, (struct spinat_neigh_stats){.requests_in = 1, .replies_out = 1});
	wire_close(w);
}
END_TEST

START_TEST(vlan)
{
	struct wire *w =
		wire_open("interfaces = ( " NET_IFACES ","
			  "{ name = \"in9\"; device = \"net_null10\"; vlan = 9; role = \"inside\";"
			  "  addresses = [ \"10.9.0.1/24\" ]; } );");
	struct arp_frame f = question;

	f.sender_ip = "10.9.0.5";
	f.target_ip = "10.9.0.1";
	f.tag = 0xa009; /* a priority is none of ours */
	wire_arp_in(w, 2, &f, 0);
	wire_check_arp(w, 0, 0,
		&(struct arp_frame){
			.tag = 9,
			.dst = WIRE_HOST,
			.src = WIRE_PORT(0),
			.op = RTE_ARP_OP_REPLY,
			.sender_mac = WIRE_PORT(0),
			.sender_ip = "10.9.0.1",
			.target_mac = WIRE_HOST,
			.target_ip = "10.9.0.5",
		});
	f.tag = 0;
	wire_arp_in(w, 2, &f, 0);
	f.tag = 8;
	wire_arp_in(w, 2, &f, 0);
	f.tag = 9;
	f.target_ip = "10.0.0.1";
	wire_arp_in(w, 0, &f, 0);
	ck_assert_uint_eq(w->n_sent, 1);
	ck_assert_uint_eq(w->drops[SPINAT_DROP_ARP_BAD], 3);
	f.tag = 0xe000; /* tagged for the priority alone: untagged */
	wire_arp_in(w, 0, &f, 0);
	ck_assert_uint_eq(w->n_sent, 2);
	wire_close(w);
}
END_TEST

static void
free_bytes(void *addr __rte_unused, void *bytes)
{
	free(bytes);
}

/* An mbuf whose bytes end where the heap's do, so that a read past them is seen. */
static struct rte_mbuf *
tight_mbuf(const uint8_t *bytes, uint16_t len)
{
	struct rte_mbuf_ext_shared_info *shared = malloc(sizeof(*shared));
	struct rte_mbuf *m = rte_pktmbuf_alloc(net_pool);
	uint8_t *heap = malloc(len);

	ck_assert(shared != NULL && m != NULL && (heap != NULL || len == 0));
	memcpy(heap, bytes, len);
	shared->free_cb = free_bytes;
	shared->fcb_opaque = heap;
	rte_mbuf_ext_refcnt_set(shared, 1);
	rte_pktmbuf_attach_extbuf(m, heap, RTE_BAD_IOVA, len, shared);
	rte_pktmbuf_append(m, len);
	return m;
}

START_TEST(truncated)
{
	uint16_t tag = _i == 0 ? 0 : 9;
	struct wire *w =
		wire_open(_i == 0 ? NET_SIMPLE
				  : "interfaces = ("
				    "{ name = \"in9\"; device = \"net_null10\"; vlan = 9;"
				    "  role = \"inside\"; addresses = [ \"10.0.0.1/24\" ]; },"
				    "{ name = \"out0\"; device = \"net_null11\";"
				    "  role = \"outside\";"
				    "  addresses = [ \"198.51.100.1/24\" ]; } );");
	const uint16_t whole = RTE_ETHER_HDR_LEN + (tag != 0 ? RTE_VLAN_HLEN : 0) + 28;
	struct arp_frame f = question;
	uint8_t bytes[ARP_FRAME_MAX];

	f.tag = tag;
	f.sender_ip = "10.0.0.5";
	f.target_ip = "10.0.0.1";
	arp_frame_write(&f, bytes);
	for (uint16_t len = 0; len < whole; len++) {
		struct rte_mbuf *m = tight_mbuf(bytes, len);
		struct rte_mbuf_ext_shared_info *shared = m->shinfo;

		spinat_neigh_input(w->neigh, m, 0, 0);
		ck_assert_uint_eq(w->drops[SPINAT_DROP_ARP_BAD], len + 1u);
		free(shared);
	}
	ck_assert_uint_eq(w->n_sent, 0);
	wire_check_stats(w, (struct spinat_neigh_stats){0});
	spinat_neigh_input(w->neigh, net_mbuf(bytes, whole), 0, 0);
	ck_assert_uint_eq(w->n_sent, 1);
	wire_close(w);
}
END_TEST

/* One field wrong at a time. */
START_TEST(malformed)
{
	static const struct {
		uint16_t offset; /* in the untagged frame */
		uint8_t len, value[6];
	} wrong[] = {
		{12, 2, {0x08, 0x00}}, /* EtherType */
		{14, 2, {0, 6}}, /* hardware type */
		{16, 2, {0x86, 0xdd}}, /* protocol type */
		{18, 1, {8}}, /* address lengths */
		{19, 1, {16}},
		{20, 2, {0, 0}}, /* operation */
		{20, 2, {0, 3}},
		{20, 2, {1, 1}},
		{22, 6, {0x03, 0, 0, 0, 0, 1}}, /* sender's MAC */
		{22, 6, {0xff, 0xff, 0xff, 0xff, 0xff, 0xff}},
		{22, 6, {0, 0, 0, 0, 0, 0}},
		{28, 4, {127, 0, 0, 1}}, /* sender's address */
		{28, 4, {224, 0, 0, 1}},
		{28, 4, {255, 255, 255, 255}},
		{28, 4, {0, 0, 0, 1}},
	};
	struct wire *w = wire_open(NET_SIMPLE);
	struct arp_frame reply = question;
	uint8_t bytes[ARP_FRAME_MAX];

	for (uint32_t i = 0; i < RTE_DIM(wrong); i++) {
		uint16_t len = arp_frame_write(&question, bytes);

		memcpy(bytes + wrong[i].offset, wrong[i].value, wrong[i].len);
		spinat_neigh_input(w->neigh, net_mbuf(bytes, len), 1, 0);
		ck_assert_uint_eq(w->drops[SPINAT_DROP_ARP_BAD], i + 1);
	}
	reply.op = RTE_ARP_OP_REPLY;
	reply.sender_ip = "0.0.0.0";
	wire_arp_in(w, 1, &reply, 0);
	wire_arp_in(w, 2, &question, 0); /* no such interface */
	ck_assert_uint_eq(w->drops[SPINAT_DROP_ARP_BAD], RTE_DIM(wrong) + 2);
	ck_assert_uint_eq(w->n_sent, 0);
	wire_close(w);
}
END_TEST

/* RFC 5227 2.4 (c): keep the address, say so, but not in a duel. */
START_TEST(conflict)
{
	struct wire *w = wire_open(NET_SIMPLE PROXIES);
	struct arp_frame claim = question, own = question;
	struct arp_frame defence = {
		.dst = WIRE_BROADCAST,
		.src = WIRE_PORT(1),
		.op = RTE_ARP_OP_REQUEST,
		.sender_mac = WIRE_PORT(1),
		.sender_ip = "198.51.100.1",
		.target_ip = "198.51.100.1",
	};

	claim.sender_ip = "198.51.100.1";
	wire_arp_in(w, 1, &claim, 5000);
	ck_assert_uint_eq(w->n_sent, 1);
	wire_check_arp(w, 0, 1, &defence);
	claim.op = RTE_ARP_OP_REPLY;
	wire_arp_in(w, 1, &claim, 5001);
	wire_arp_in(w, 1, &claim, 14999);
	ck_assert_uint_eq(w->n_sent, 1);
	claim.sender_ip = defence.sender_ip = defence.target_ip = "198.51.100.9";
	wire_arp_in(w, 1, &claim, 15000);
	ck_assert_uint_eq(w->n_sent, 2);
	wire_check_arp(w, 1, 1, &defence);
	/* our own frame come back is none, nor is the address on another wire */
	own.src = own.sender_mac = (struct rte_ether_addr)WIRE_PORT(1);
	own.sender_ip = "198.51.100.1";
	wire_arp_in(w, 1, &own, 30000);
	claim.sender_ip = "198.51.100.1";
	wire_arp_in(w, 0, &claim, 30000);
	ck_assert_uint_eq(w->n_sent, 2);
	wire_check_stats(w, (struct spinat_neigh_stats){
				    .requests_in = 2,
				    .replies_in = 4,
				    .requests_out = 2,
				    .conflicts = 4,
			    });
	wire_close(w);
}
END_TEST

/* Every address once a round, two rounds, the pool's in parts. */
START_TEST(announcement)
{
	struct wire *w =
		wire_open("interfaces = ( " NET_IFACES ","
			  "{ name = \"out1\"; device = \"net_null12\"; role = \"outside\";"
			  "  addresses = [ \"203.0.112.1/22\" ]; } );"
			  "realms = ( { id = 0; pool = [ \"203.0.113.0/24\", \"203.0.114.0/24\","
			  "             \"198.51.100.200\", \"192.0.2.1\" ]; } );");
	uint8_t seen[4][1024] = {0};
	uint32_t n = 0;
	struct arp_frame f;

	spinat_neigh_announce(w->neigh, 1000);
	ck_assert_uint_le(w->n_sent, 3 + 256);
	for (uint64_t now = 1100; now < 5000; now += 100)
		spinat_neigh_tick(w->neigh, now);
	for (uint32_t i = 0; i < w->n_sent; i++) {
		rte_be32_t addr;

		arp_frame_read(w->sent[i], &f);
		addr = net_ip(f.sender_ip);
		ck_assert_str_eq(f.sender_ip, f.target_ip);
		ck_assert_uint_eq(f.op, RTE_ARP_OP_REQUEST);
		seen[w->sent_port[i]][rte_be_to_cpu_32(addr) & 0x3ff]++;
	}
	ck_assert_uint_eq(seen[0][1], 2); /* 10.0.0.1 */
	ck_assert_uint_eq(seen[1][1], 2); /* 198.51.100.1, whose third byte ends in 00 */
	ck_assert_uint_eq(seen[1][200], 2);
	for (uint32_t i = 0; i < 1024; i++) {
		bool expected = i == 1 || (i >= 256 && i < 768);

		ck_assert_uint_eq(seen[2][i], expected ? 2 : 0);
		n += seen[2][i];
	}
	ck_assert_uint_eq(w->n_sent, n + 6); /* nothing for 192.0.2.1, which has no subnet here */
	wire_close(w);
}
END_TEST

TCase *
test_net_arp(void)
{
	TCase *tc = tcase_create("arp");

	tcase_add_test(tc, answers);
	tcase_add_test(tc, probe);
	tcase_add_test(tc, vlan);
	tcase_add_loop_test(tc, truncated, 0, 2);
	tcase_add_test(tc, malformed);
	tcase_add_test(tc, conflict);
	tcase_add_test(tc, announcement);
	return tc;
}
