/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 the spinat authors
 */
#include <stdlib.h>

#include <rte_common.h>

#include "packet/checksum.h"
#include "packets.h"
#include "test_packet.h"

/* Incremental checksums against those computed anew over the whole packet. */

struct change {
	rte_be32_t src, dst;
	rte_be16_t sport, dport;
};

/* One random UDP or TCP packet with right checksums. */
static void
random_pkt(struct pkt *p, uint64_t *state)
{
	uint64_t r = pkt_random(state);
	uint16_t payload = r % 64;

	pkt_start(p, false, 0, r >> 8 & 1 ? IPPROTO_UDP : IPPROTO_TCP);
	pkt_ip(p)->src_addr = pkt_random(state);
	pkt_ip(p)->dst_addr = pkt_random(state);
	pkt_ip(p)->packet_id = pkt_random(state);
	if (pkt_ip(p)->next_proto_id == IPPROTO_UDP)
		pkt_udp(p, r >> 16, r >> 32, payload);
	else
		pkt_tcp(p, r >> 16, r >> 32, RTE_TCP_ACK_FLAG, 0, payload);
	for (uint16_t i = 0; i < payload; i++)
		p->data[p->len - 1 - i] = pkt_random(state);
	pkt_seal(p);
}

static struct change
random_change(const struct pkt *p, uint64_t *state)
{
	const struct rte_ipv4_hdr *ip = (const struct rte_ipv4_hdr *)(p->data + p->l3);
	const struct rte_udp_hdr *l4 = (const struct rte_udp_hdr *)(p->data + p->l4);
	uint64_t r = pkt_random(state);

	return (struct change){
		.src = r & 1 ? (rte_be32_t)pkt_random(state) : ip->src_addr,
		.dst = r & 2 ? (rte_be32_t)pkt_random(state) : ip->dst_addr,
		.sport = r & 4 ? (rte_be16_t)pkt_random(state) : l4->src_port,
		.dport = r & 8 ? (rte_be16_t)pkt_random(state) : l4->dst_port,
	};
}

/* Rewrites a packet as the data path does: deltas, then one addition each. */
static void
apply(struct pkt *p, const struct change *c)
{
	struct rte_ipv4_hdr *ip = pkt_ip(p);
	struct rte_udp_hdr *udp = (struct rte_udp_hdr *)(p->data + p->l4);
	struct rte_tcp_hdr *tcp = (struct rte_tcp_hdr *)(p->data + p->l4);
	uint16_t l3 = spinat_csum_delta_add(spinat_csum_delta32(ip->src_addr, c->src),
		spinat_csum_delta32(ip->dst_addr, c->dst));
	uint16_t l4 = spinat_csum_delta_add(
		l3, spinat_csum_delta_add(spinat_csum_delta16(udp->src_port, c->sport),
			    spinat_csum_delta16(udp->dst_port, c->dport)));

	ip->src_addr = c->src;
	ip->dst_addr = c->dst;
	udp->src_port = c->sport;
	udp->dst_port = c->dport;
	ip->hdr_checksum = spinat_csum_apply(ip->hdr_checksum, l3);
	if (ip->next_proto_id == IPPROTO_UDP)
		udp->dgram_cksum = spinat_csum_apply_udp(udp->dgram_cksum, l4);
	else
		tcp->cksum = spinat_csum_apply(tcp->cksum, l4);
}

START_TEST(recomputed)
{
	uint64_t state = test_seed;
	struct change c;
	struct pkt p, expected;

	for (int i = 0; i < 100000; i++) {
		random_pkt(&p, &state);
		c = random_change(&p, &state);
		apply(&p, &c);
		expected = p;
		pkt_seal(&expected);
		pkt_assert(memcmp(expected.data, p.data, p.len) == 0);
	}
}
END_TEST

START_TEST(udp_none)
{
	uint64_t state = test_seed;
	struct change c;
	struct pkt p;

	for (int i = 0; i < 1000; i++) {
		struct rte_udp_hdr *udp;

		random_pkt(&p, &state);
		if (pkt_ip(&p)->next_proto_id != IPPROTO_UDP)
			continue;
		udp = (struct rte_udp_hdr *)(p.data + p.l4);
		udp->dgram_cksum = 0;
		c = random_change(&p, &state);
		apply(&p, &c);
		pkt_assert(udp->dgram_cksum == 0);
	}
}
END_TEST

/* A checksum that comes out as 0 goes out as 0xffff in UDP, and as 0 in TCP. */
START_TEST(result_zero)
{
	const uint8_t proto = _i == 0 ? IPPROTO_UDP : IPPROTO_TCP;
	uint64_t state = test_seed;
	struct change c;
	struct pkt p, changed;
	int csum;

	for (int i = 0; i < 1000; i++) {
		do
			random_pkt(&p, &state);
		while (pkt_ip(&p)->next_proto_id != proto || (p.len - p.l4) % 2 != 0 ||
			p.len - p.l4 < 22);
		csum = p.l4 + ref_csum_offset(proto);
		c = random_change(&p, &state);
		/* put into the last word what the sum lacks after the change */
		ref_put16(p.data + p.len - 2, 0);
		changed = p;
		apply(&changed, &c);
		ref_put16(changed.data + csum, 0);
		ref_put16(p.data + p.len - 2, ~ref_l4_sum(changed.data + changed.l3));
		pkt_seal(&p);
		apply(&p, &c);
		ck_assert_uint_eq(
			p.data[csum] << 8 | p.data[csum + 1], proto == IPPROTO_UDP ? 0xffff : 0);
		ck_assert_uint_eq(ref_l4_sum(p.data + p.l3), 0xffff);
	}
}
END_TEST

/* A change to itself, and there and back, leave every checksum as it was. */
START_TEST(there_and_back)
{
	for (uint32_t csum = 0; csum <= 0xffff; csum++) {
		uint16_t d = spinat_csum_delta16(0x1234, csum);
		uint16_t back = spinat_csum_delta16(csum, 0x1234);

		/* 0xffff is the checksum of nothing but zeros, which no header is */
		if (csum == 0xffff)
			continue;
		pkt_assert(spinat_csum_apply(csum, spinat_csum_delta16(7, 7)) == csum);
		pkt_assert(spinat_csum_apply(spinat_csum_apply(csum, d), back) == csum);
		pkt_assert(spinat_csum_apply(csum, spinat_csum_delta_add(d, back)) == csum);
	}
}
END_TEST

TCase *
test_checksum(void)
{
	TCase *tc = tcase_create("checksum");

	tcase_set_timeout(tc, 60);
	tcase_add_test(tc, recomputed);
	tcase_add_test(tc, udp_none);
	tcase_add_loop_test(tc, result_zero, 0, 2);
	tcase_add_test(tc, there_and_back);
	return tc;
}
