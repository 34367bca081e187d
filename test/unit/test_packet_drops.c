/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 the spinat authors
 */
#include "packet_samples.h"
#include "test_packet.h"

/* Each reason for which the parser drops, by one change of a good packet. */

enum base { FRAME, L3, L4 };

struct bad {
	enum spinat_drop drop;
	enum sample_id sample;
	int cut; /* bytes left behind the IPv4 header, -1: all */
	enum base base;
	uint8_t offset;
	uint8_t width; /* bytes written, 0: none */
	uint32_t value;
};

#define IKE(offset) (8 + (offset))
#define MF RTE_IPV4_HDR_MF_FLAG

static const struct bad bad[] = {
	{SPINAT_DROP_ETH_TYPE, S_UDP, -1, FRAME, 12, 2, RTE_ETHER_TYPE_IPV6},
	{SPINAT_DROP_ETH_TYPE, S_UDP, -1, FRAME, 12, 2, RTE_ETHER_TYPE_QINQ},
	{SPINAT_DROP_ARP_BAD, S_UDP, -1, FRAME, 12, 2, RTE_ETHER_TYPE_ARP},
	{SPINAT_DROP_IP_VERSION, S_UDP, -1, L3, 0, 1, 0x65},
	{SPINAT_DROP_IP_VERSION, S_UDP, -1, L3, 0, 1, 0x05},
	{SPINAT_DROP_IP_VERSION, S_UDP, -1, L3, 0, 1, 0x44},
	{SPINAT_DROP_IP_SHORT, S_UDP, 0, L3, 0, 1, 0x46},
	{SPINAT_DROP_IP_SHORT, S_UDP, -1, L3, 2, 2, 47},
	{SPINAT_DROP_IP_SHORT, S_UDP, -1, L3, 2, 2, 0xffff},
	{SPINAT_DROP_IP_LENGTH, S_UDP, -1, L3, 2, 2, 19},
	{SPINAT_DROP_IP_LENGTH, S_UDP, -1, L3, 2, 2, 0},
	{SPINAT_DROP_IP_CHECKSUM, S_UDP, -1, L3, 10, 2, 0},
	{SPINAT_DROP_IP_CHECKSUM, S_UDP, -1, L3, 10, 2, 0xffff},
	{SPINAT_DROP_IP_SOURCE, S_UDP, -1, L3, 12, 4, 0},
	{SPINAT_DROP_IP_SOURCE, S_UDP, -1, L3, 12, 4, 0xffffffff},
	{SPINAT_DROP_IP_DESTINATION, S_UDP, -1, L3, 16, 4, 0xe0000005},
	{SPINAT_DROP_IP_DESTINATION, S_UDP, -1, L3, 16, 4, 0xffffffff},
	{SPINAT_DROP_UDP_SHORT, S_UDP, 7, L4, 0, 0, 0},
	{SPINAT_DROP_UDP_LENGTH, S_UDP, -1, L4, 4, 2, 7},
	{SPINAT_DROP_UDP_LENGTH, S_UDP, -1, L4, 4, 2, 0},
	{SPINAT_DROP_UDP_LENGTH, S_UDP, -1, L4, 4, 2, 27},
	{SPINAT_DROP_TCP_SHORT, S_TCP, 19, L4, 0, 0, 0},
	{SPINAT_DROP_TCP_OFFSET, S_TCP, -1, L4, 12, 1, 0x40},
	{SPINAT_DROP_TCP_OFFSET, S_TCP, -1, L4, 12, 1, 0xf0},
	{SPINAT_DROP_TCP_FLAGS, S_TCP, -1, L4, 13, 1, 0},
	{SPINAT_DROP_TCP_FLAGS, S_TCP, -1, L4, 13, 1, RTE_TCP_SYN_FLAG | RTE_TCP_FIN_FLAG},
	{SPINAT_DROP_TCP_FLAGS, S_TCP, -1, L4, 13, 1, RTE_TCP_SYN_FLAG | RTE_TCP_RST_FLAG},
	{SPINAT_DROP_ICMP_SHORT, S_ECHO, 7, L4, 0, 0, 0},
	{SPINAT_DROP_ICMP_TYPE, S_ECHO, -1, L4, 0, 1, 5},
	{SPINAT_DROP_ICMP_TYPE, S_ECHO, -1, L4, 0, 1, 4},
	{SPINAT_DROP_ICMP_TYPE, S_ECHO, -1, L4, 0, 1, 255},
	{SPINAT_DROP_ESP_SHORT, S_ESP, 7, L4, 0, 0, 0},
	{SPINAT_DROP_SPI_ZERO, S_ESP, -1, L4, 0, 4, 0},
	{SPINAT_DROP_SPI_RESERVED, S_ESP, -1, L4, 0, 4, 1},
	{SPINAT_DROP_SPI_RESERVED, S_ESP, -1, L4, 0, 4, 255},
	{SPINAT_DROP_NONE, S_ESP, -1, L4, 0, 4, 256},
	{SPINAT_DROP_AH_SHORT, S_AH, 11, L4, 0, 0, 0},
	{SPINAT_DROP_AH_LENGTH, S_AH, -1, L4, 1, 1, 0},
	{SPINAT_DROP_AH_LENGTH, S_AH, -1, L4, 1, 1, 9},
	{SPINAT_DROP_NONE, S_AH, -1, L4, 1, 1, 8},
	{SPINAT_DROP_SPI_ZERO, S_AH, -1, L4, 4, 4, 0},
	{SPINAT_DROP_SPI_RESERVED, S_AH, -1, L4, 4, 4, 200},
	{SPINAT_DROP_IKE_SHORT, S_IKE2, -1, L4, 4, 2, 35},
	{SPINAT_DROP_IKE_SHORT, S_KEEPALIVE_500, -1, L4, 8, 1, 0xfe},
	{SPINAT_DROP_IKE_BAD, S_IKE2, -1, L4, IKE(17), 1, 0x00},
	{SPINAT_DROP_IKE_BAD, S_IKE2, -1, L4, IKE(17), 1, 0x30},
	{SPINAT_DROP_NONE, S_IKE2, -1, L4, IKE(17), 1, 0x2f},
	{SPINAT_DROP_IKE_BAD, S_IKE2, -1, L4, IKE(24), 4, 27},
	{SPINAT_DROP_IKE_BAD, S_IKE2, -1, L4, IKE(24), 4, 29},
	{SPINAT_DROP_IKE_BAD, S_IKE2, -1, L4, IKE(24), 4, 0xffffffff},
	{SPINAT_DROP_FRAG_BAD, S_UDP, -1, L3, 6, 2, MF}, /* 26 bytes */
	{SPINAT_DROP_FRAG_BAD, S_UDP, 0, L3, 6, 2, MF},
	{SPINAT_DROP_FRAG_BAD, S_UDP, 0, L3, 6, 2, 1},
	{SPINAT_DROP_FRAG_BAD, S_UDP, 24, L3, 6, 2, 0x1fff},
	{SPINAT_DROP_FRAG_BAD, S_UDP, 4, L3, 6, 2, 8190}, /* 20 + 65520 is the greatest length */
	{SPINAT_DROP_NONE, S_UDP, 4, L3, 6, 2, 8188},
	{SPINAT_DROP_FRAG_TINY, S_TCP, 16, L3, 6, 2, MF},
	{SPINAT_DROP_FRAG_TINY, S_AH, 8, L3, 6, 2, MF},
	{SPINAT_DROP_NONE, S_ESP, 8, L3, 6, 2, MF},
};

/* Bad by what they write into the IPv4 header, where a right checksum is not to be put over it. */
static bool
seals(const struct bad *b)
{
	return b->drop != SPINAT_DROP_IP_CHECKSUM;
}

START_TEST(one_change)
{
	const struct bad *b = &bad[_i];
	struct spinat_meta m;
	struct pkt p;
	uint8_t *at;

	sample_build(&p, b->sample, false, 0);
	if (b->cut >= 0) {
		p.len = p.l4 + b->cut;
		pkt_ip(&p)->total_length = rte_cpu_to_be_16(p.len - p.l3);
	}
	at = p.data + b->offset + (b->base == FRAME ? 0 : b->base == L3 ? p.l3 : p.l4);
	for (int i = 0; i < b->width; i++)
		at[i] = b->value >> 8 * (b->width - 1 - i);
	if (seals(b))
		ref_seal_ip(p.data + p.l3, p.l4 - p.l3);
	m = parse_pkt(&p);
	if (b->drop == SPINAT_DROP_NONE)
		ck_assert_msg(m.kind != SPINAT_KIND_BAD, "row %d: drop %u", _i, m.drop);
	else
		assert_drop(m, b->drop, "row %d", _i);
}
END_TEST

/* Reasons of these groups that later stages find. */
static bool
is_later(enum spinat_drop drop)
{
	return drop == SPINAT_DROP_ETH_DESTINATION || drop == SPINAT_DROP_VLAN_UNKNOWN ||
	       drop == SPINAT_DROP_TTL || drop == SPINAT_DROP_ICMP_CHECKSUM ||
	       drop == SPINAT_DROP_ICMP_QUOTE || drop == SPINAT_DROP_ICMP_UNKNOWN;
}

/* The table above has every reason, so that a new one can not go without its test. */
START_TEST(every_reason)
{
	bool seen[SPINAT_DROP_COUNT] = {false};

	seen[SPINAT_DROP_ETH_SHORT] = true; /* every cut frame in test_packet_parse.c */
	for (unsigned int i = 0; i < RTE_DIM(bad); i++)
		seen[bad[i].drop] = true;
	for (int drop = SPINAT_DROP_ETH_SHORT; drop <= SPINAT_DROP_FRAG_TINY; drop++)
		ck_assert_msg(
			seen[drop] || is_later(drop), "no row for %s", spinat_drop_info[drop].name);
}
END_TEST

/* Names are keys of counters: each its own, no blanks; texts are there. */
START_TEST(names)
{
	for (int i = 0; i < SPINAT_DROP_COUNT; i++) {
		const char *name = spinat_drop_info[i].name;

		ck_assert_uint_eq(
			strspn(name, "abcdefghijklmnopqrstuvwxyz0123456789_"), strlen(name));
		ck_assert_uint_gt(strlen(spinat_drop_info[i].text), 0);
		for (int j = 0; j < i; j++)
			ck_assert_str_ne(name, spinat_drop_info[j].name);
	}
}
END_TEST

/* Noise in every place of every sample: never more read than there is, never a kind out of range. */
START_TEST(noise)
{
	uint64_t state = test_seed + _i;
	struct spinat_meta m;
	struct pkt p;

	for (int n = 0; n < 20000; n++) {
		uint64_t r = pkt_random(&state);

		sample_build(&p, r % S_COUNT, r >> 8 & 1, (r >> 9 & 1) * 8);
		for (unsigned int i = 0; i < (r >> 10 & 3); i++)
			p.data[12 + pkt_random(&state) % (p.len - 12)] = pkt_random(&state);
		if (r >> 12 & 1)
			p.len = pkt_random(&state) % p.len;
		if (p.len >= p.l4 && r >> 13 & 1)
			ref_seal_ip(p.data + p.l3, p.l4 - p.l3);
		m = parse_pkt(&p);
		pkt_assert(m.kind <= SPINAT_KIND_OTHER);
		pkt_assert((m.kind == SPINAT_KIND_BAD) == (m.drop != SPINAT_DROP_NONE));
		if (m.kind == SPINAT_KIND_BAD || m.kind == SPINAT_KIND_ARP)
			continue;
		pkt_assert(m.l3 + m.l3_len <= p.len);
		pkt_assert(m.l4 <= m.l3 + m.l3_len);
	}
}
END_TEST

TCase *
test_parse_drops(void)
{
	TCase *tc = tcase_create("parse drops");

	tcase_set_timeout(tc, 60);
	tcase_add_loop_test(tc, one_change, 0, RTE_DIM(bad));
	tcase_add_test(tc, every_reason);
	tcase_add_test(tc, names);
	tcase_add_loop_test(tc, noise, 0, 5);
	return tc;
}
