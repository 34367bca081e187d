/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 the spinat authors
 */
#include <errno.h>

#include <rte_arp.h>

#include "packet_samples.h"
#include "test_packet.h"

static const uint8_t option_lengths[] = {0, 4, 40};

START_TEST(fields)
{
	const bool tagged = _i % 2 != 0;
	const uint8_t options = option_lengths[_i / 2 % RTE_DIM(option_lengths)];
	const enum sample_id id = _i / 2 / RTE_DIM(option_lengths);
	struct spinat_meta m;
	struct pkt p;

	sample_build(&p, id, tagged, options);
	pkt_ip(&p)->fragment_offset = RTE_BE16(RTE_IPV4_HDR_DF_FLAG);
	ref_seal_ip(p.data + p.l3, p.l4 - p.l3);
	m = parse_pkt(&p);
	ck_assert_msg(m.kind == samples[id].kind, "%s: kind %u drop %u", samples[id].name, m.kind,
		m.drop);
	ck_assert_uint_eq(m.drop, SPINAT_DROP_NONE);
	ck_assert_uint_eq(m.key.src, PKT_SRC);
	ck_assert_uint_eq(m.key.dst, PKT_DST);
	ck_assert_uint_eq(m.key.proto, samples[id].proto);
	ck_assert_uint_eq(m.key.dir, 0);
	ck_assert_uint_eq(m.key.realm, 0);
	ck_assert_uint_eq(m.l3, tagged ? 18 : 14);
	ck_assert_uint_eq(m.l4, m.l3 + 20 + options);
	ck_assert_uint_eq(m.l3_len, p.len - p.l3);
	ck_assert_uint_eq(m.vlan, tagged ? PKT_VLAN : 0);
	ck_assert_uint_eq(m.frag_off, 0);
	ck_assert_uint_eq(m.more_frags, 0);
	ck_assert_uint_eq(m.ip_id, PKT_ID);
	ck_assert_uint_eq(m.ttl, 61);
	ck_assert_uint_eq(m.flags & (SPINAT_META_FRAG | SPINAT_META_FRAG_LATER | SPINAT_META_DF),
		SPINAT_META_DF);
	ck_assert_uint_eq(m.tcp_flags, id == S_TCP ? RTE_TCP_ACK_FLAG : 0);
}
END_TEST

START_TEST(ports)
{
	struct spinat_meta m;
	struct pkt p;

	sample_build(&p, S_UDP, false, 0);
	m = parse_pkt(&p);
	ck_assert_uint_eq(m.key.sport, RTE_BE16(5000));
	ck_assert_uint_eq(m.key.dport, RTE_BE16(53));
	ck_assert_uint_eq(m.seq, 0);
	ck_assert(!(m.flags & SPINAT_META_UDP_NOCSUM));
	ref_put16(p.data + p.l4 + 6, 0);
	ck_assert(parse_pkt(&p).flags & SPINAT_META_UDP_NOCSUM);

	sample_build(&p, S_TCP, false, 0);
	m = parse_pkt(&p);
	ck_assert_uint_eq(m.key.sport, RTE_BE16(40000));
	ck_assert_uint_eq(m.key.dport, RTE_BE16(443));
	ck_assert_uint_eq(m.seq, 0x01020304);

	sample_build(&p, S_IKE2, false, 0);
	m = parse_pkt(&p);
	ck_assert_uint_eq(m.key.sport, RTE_BE16(500));
	ck_assert_uint_eq(m.key.dport, RTE_BE16(500));
}
END_TEST

START_TEST(spis)
{
	struct spinat_meta m;
	struct pkt p;

	sample_build(&p, S_ESP, false, 0);
	m = parse_pkt(&p);
	ck_assert_uint_eq(m.key.spi, RTE_BE32(SPI));
	ck_assert_uint_eq(m.seq, 77);
	sample_build(&p, S_AH, false, 0);
	m = parse_pkt(&p);
	ck_assert_uint_eq(m.key.spi, RTE_BE32(SPI));
	ck_assert_uint_eq(m.seq, 78);
	sample_build(&p, S_GRE, false, 0);
	ck_assert_uint_eq(parse_pkt(&p).key.ports, 0);
}
END_TEST

/* Every type: translated queries by direction, errors, and the rest refused. */
START_TEST(icmp_types)
{
	const uint8_t type = _i;
	const bool request = type == 8 || type == 13;
	const bool reply = type == 0 || type == 14;
	const bool error = type == 3 || type == 11 || type == 12 || type == 40;
	struct spinat_meta m;
	struct pkt p;

	pkt_start(&p, false, 0, IPPROTO_ICMP);
	pkt_icmp(&p, type, 9, 0x4242, 40);
	pkt_seal(&p);
	m = parse_pkt(&p);
	if (!request && !reply && !error) {
		assert_drop(m, SPINAT_DROP_ICMP_TYPE, "type %u", type);
		return;
	}
	ck_assert_uint_eq(m.kind, error ? SPINAT_KIND_ICMP_ERROR : SPINAT_KIND_FLOW);
	ck_assert_uint_eq(m.icmp_type, type);
	ck_assert_uint_eq(m.icmp_code, 9);
	ck_assert_uint_eq(m.key.sport, request ? RTE_BE16(0x4242) : 0);
	ck_assert_uint_eq(m.key.dport, reply ? RTE_BE16(0x4242) : 0);
	ck_assert_uint_eq(
		m.flags & SPINAT_META_ICMP_REQUEST, request ? SPINAT_META_ICMP_REQUEST : 0);
}
END_TEST

START_TEST(tcp_flags)
{
	const uint8_t flags = _i;
	const bool bad =
		(flags & 0x3f) == 0 ||
		((flags & RTE_TCP_SYN_FLAG) && (flags & (RTE_TCP_FIN_FLAG | RTE_TCP_RST_FLAG)));
	struct spinat_meta m;
	struct pkt p;

	pkt_start(&p, false, 0, IPPROTO_TCP);
	pkt_tcp(&p, 1, 2, flags, 0, 0);
	pkt_seal(&p);
	m = parse_pkt(&p);
	if (bad) {
		assert_drop(m, SPINAT_DROP_TCP_FLAGS, "flags %02x", flags);
	} else {
		ck_assert_uint_eq(m.kind, SPINAT_KIND_FLOW);
		ck_assert_uint_eq(m.tcp_flags, flags);
	}
}
END_TEST

/* Every first octet of both addresses. */
START_TEST(addresses)
{
	const bool no_host = _i == 0 || _i == 127 || _i >= 224;
	struct spinat_meta m;
	struct pkt p;

	sample_build(&p, S_UDP, false, 0);
	p.data[p.l3 + 12] = _i;
	ref_seal_ip(p.data + p.l3, 20);
	m = parse_pkt(&p);
	if (no_host)
		assert_drop(m, SPINAT_DROP_IP_SOURCE, "source %d/8", _i);
	else
		ck_assert_uint_eq(m.kind, SPINAT_KIND_FLOW);

	sample_build(&p, S_UDP, false, 0);
	p.data[p.l3 + 16] = _i;
	ref_seal_ip(p.data + p.l3, 20);
	m = parse_pkt(&p);
	if (no_host)
		assert_drop(m, SPINAT_DROP_IP_DESTINATION, "destination %d/8", _i);
	else
		ck_assert_uint_eq(m.kind, SPINAT_KIND_FLOW);
}
END_TEST

/* The frame may be longer than the packet in it, and the IPv4 packet longer than the UDP datagram. */
START_TEST(padding)
{
	struct spinat_meta m;
	struct pkt p;

	sample_build(&p, S_KEEPALIVE_500, false, 0);
	m = parse_exact(p.data, 60, 60);
	ck_assert_uint_eq(m.kind, SPINAT_KIND_FLOW);
	ck_assert_uint_eq(m.l3_len, 29);

	sample_build(&p, S_KEEPALIVE_500, false, 0);
	pkt_payload(&p, 30); /* behind the datagram: not looked at */
	pkt_seal(&p);
	ck_assert_uint_eq(parse_pkt(&p).kind, SPINAT_KIND_FLOW);
}
END_TEST

START_TEST(checksum_by_device)
{
	struct spinat_meta m;
	struct pkt p;

	sample_build(&p, S_UDP, false, 0);
	p.data[p.l3 + 10] ^= 0x40;
	spinat_parse(p.data, p.len, p.len, false, &m);
	ck_assert_uint_eq(m.kind, SPINAT_KIND_FLOW);
	spinat_parse(p.data, p.len, p.len, true, &m);
	assert_drop(m, SPINAT_DROP_IP_CHECKSUM, "changed");
}
END_TEST

/* What the parser says of a packet whose frame ends too early, IPv4 length as it was. */
static enum spinat_drop
cut_frame(const struct pkt *p, uint32_t len)
{
	return len < p->l3 ? SPINAT_DROP_ETH_SHORT : SPINAT_DROP_IP_SHORT;
}

/* The same where the IPv4 length agrees with the frame, by bytes behind the IPv4 header. */
static enum spinat_drop
cut_datagram(enum sample_id id, uint32_t payload)
{
	switch (samples[id].proto) {
	case IPPROTO_UDP:
		return payload < 8 ? SPINAT_DROP_UDP_SHORT : SPINAT_DROP_UDP_LENGTH;
	case IPPROTO_TCP:
		return payload < 20   ? SPINAT_DROP_TCP_SHORT
		       : payload < 32 ? SPINAT_DROP_TCP_OFFSET
				      : SPINAT_DROP_NONE;
	case IPPROTO_ICMP:
		return payload < 8 ? SPINAT_DROP_ICMP_SHORT : SPINAT_DROP_NONE;
	case IPPROTO_ESP:
		return payload < 8 ? SPINAT_DROP_ESP_SHORT : SPINAT_DROP_NONE;
	case IPPROTO_AH:
		return payload < 12   ? SPINAT_DROP_AH_SHORT
		       : payload < 24 ? SPINAT_DROP_AH_LENGTH
				      : SPINAT_DROP_NONE;
	default:
		return SPINAT_DROP_NONE;
	}
}

/* The same where only the first segment ends there. */
static enum spinat_drop
cut_segment(enum sample_id id, uint32_t readable)
{
	switch (samples[id].proto) {
	case IPPROTO_UDP:
		if (readable < 8)
			return SPINAT_DROP_UDP_SHORT;
		if (id == S_KEEPALIVE_500)
			return readable < 9 ? SPINAT_DROP_IKE_SHORT : SPINAT_DROP_NONE;
		return samples[id].kind == SPINAT_KIND_IKE && readable < 36 ? SPINAT_DROP_IKE_SHORT
									    : SPINAT_DROP_NONE;
	case IPPROTO_TCP:
		return readable < 20 ? SPINAT_DROP_TCP_SHORT : SPINAT_DROP_NONE;
	case IPPROTO_AH:
		return readable < 12 ? SPINAT_DROP_AH_SHORT : SPINAT_DROP_NONE;
	default:
		return readable < 8 ? cut_datagram(id, readable) : SPINAT_DROP_NONE;
	}
}

static void
assert_cut(struct spinat_meta m, enum sample_id id, enum spinat_drop drop, const char *how,
	uint32_t len)
{
	if (drop != SPINAT_DROP_NONE)
		assert_drop(m, drop, "%s, %s at %u", samples[id].name, how, len);
	else
		ck_assert_msg(m.kind == samples[id].kind, "%s, %s at %u: kind %u drop %u",
			samples[id].name, how, len, m.kind, m.drop);
}

/* Every sample, tagged or not, with and without IPv4 options, cut at every length in four ways. */
START_TEST(truncated)
{
	const bool tagged = _i % 2 != 0;
	const uint8_t options = option_lengths[_i / 2 % RTE_DIM(option_lengths)];
	const enum sample_id id = _i / 2 / RTE_DIM(option_lengths);
	enum spinat_drop drop;
	struct pkt whole, p;

	sample_build(&whole, id, tagged, options);
	for (uint32_t len = 0; len < whole.len; len++) {
		drop = cut_frame(&whole, len);
		assert_cut(parse_exact(whole.data, len, len), id, drop, "frame cut", len);
		if (len >= whole.l4)
			drop = cut_segment(id, len - whole.l4);
		assert_cut(parse_exact(whole.data, len, whole.len), id, drop, "segment cut", len);
		if (len < whole.l4)
			continue;
		p = whole;
		pkt_ip(&p)->total_length = rte_cpu_to_be_16(len - p.l3);
		ref_seal_ip(p.data + p.l3, p.l4 - p.l3);
		drop = cut_datagram(id, len - whole.l4);
		assert_cut(parse_exact(p.data, len, len), id, drop, "datagram cut", len);
		/* what pads the frame is not of the datagram */
		assert_cut(parse_exact(p.data, p.len, p.len), id, drop, "datagram padded", len);
	}
	assert_cut(parse_pkt(&whole), id, SPINAT_DROP_NONE, "whole", whole.len);
}
END_TEST

/* A first and a later fragment of every sample, of every length. */
static enum spinat_drop
first_fragment_drop(enum sample_id id, uint32_t payload)
{
	uint32_t least = samples[id].proto == IPPROTO_TCP   ? 20
			 : samples[id].proto == IPPROTO_AH  ? 12
			 : samples[id].proto == IPPROTO_GRE ? 0
							    : 8;

	if (payload == 0 || payload % 8 != 0)
		return SPINAT_DROP_FRAG_BAD;
	if (payload < least)
		return SPINAT_DROP_FRAG_TINY;
	/* an IKE message starts with its header in the first fragment */
	if (samples[id].kind == SPINAT_KIND_IKE && payload < 36)
		return SPINAT_DROP_IKE_SHORT;
	return id == S_KEEPALIVE_500 && payload < 9 ? SPINAT_DROP_IKE_SHORT : SPINAT_DROP_NONE;
}

START_TEST(fragments)
{
	const enum sample_id id = _i;
	const uint8_t proto = samples[id].proto;
	struct spinat_meta m;
	struct pkt whole, p;

	sample_build(&whole, id, true, 4);
	for (uint32_t len = whole.l4; len <= whole.len; len++) {
		p = whole;
		p.len = len;
		pkt_ip(&p)->total_length = rte_cpu_to_be_16(len - p.l3);
		pkt_ip(&p)->fragment_offset = RTE_BE16(RTE_IPV4_HDR_MF_FLAG);
		ref_seal_ip(p.data + p.l3, p.l4 - p.l3);
		m = parse_pkt(&p);
		assert_cut(m, id, first_fragment_drop(id, len - p.l4), "first fragment", len);
		if (m.kind != SPINAT_KIND_BAD)
			ck_assert_uint_eq(m.flags & (SPINAT_META_FRAG | SPINAT_META_FRAG_LATER),
				SPINAT_META_FRAG);

		pkt_ip(&p)->fragment_offset = RTE_BE16(185);
		ref_seal_ip(p.data + p.l3, p.l4 - p.l3);
		m = parse_pkt(&p);
		if (len == p.l4) {
			assert_drop(m, SPINAT_DROP_FRAG_BAD, "%s, empty", samples[id].name);
			continue;
		}
		ck_assert_uint_eq(m.kind, proto == IPPROTO_GRE ? SPINAT_KIND_OTHER
					  : proto == IPPROTO_ESP || proto == IPPROTO_AH
						  ? SPINAT_KIND_SPI
						  : SPINAT_KIND_FLOW);
		ck_assert_uint_eq(m.key.ports, 0);
		ck_assert_uint_eq(m.frag_off, 1480);
		ck_assert_uint_eq(m.more_frags, 0);
		ck_assert_uint_eq(m.flags & SPINAT_META_FRAG_LATER, SPINAT_META_FRAG_LATER);
	}
}
END_TEST

/* Nothing that follows the ports on 4500 matters: runts, marker, SPI 0, keepalive (RFC 3948 2). */
START_TEST(natt_payload)
{
	struct spinat_meta m;
	struct pkt p;

	for (uint16_t len = 0; len < 12; len++) {
		for (int fill = 0; fill <= 0xff; fill += 0xff) {
			pkt_start(&p, false, 0, IPPROTO_UDP);
			pkt_udp(&p, 4500, 4500, len);
			memset(p.data + p.l4 + 8, fill, len);
			pkt_seal(&p);
			m = parse_pkt(&p);
			ck_assert_uint_eq(m.kind, SPINAT_KIND_FLOW);
			ck_assert_uint_eq(m.key.sport, RTE_BE16(4500));
		}
	}
}
END_TEST

START_TEST(arp)
{
	const bool tagged = _i != 0;
	const uint32_t l3 = tagged ? 18 : 14;
	struct rte_arp_hdr *hdr;
	struct spinat_meta m;
	struct pkt p, bad;

	pkt_start(&p, tagged, 0, 0);
	ref_put16(p.data + l3 - 2, RTE_ETHER_TYPE_ARP);
	hdr = (struct rte_arp_hdr *)(p.data + l3);
	hdr->arp_hardware = RTE_BE16(RTE_ARP_HRD_ETHER);
	hdr->arp_protocol = RTE_BE16(RTE_ETHER_TYPE_IPV4);
	hdr->arp_hlen = 6;
	hdr->arp_plen = 4;
	hdr->arp_opcode = RTE_BE16(RTE_ARP_OP_REQUEST);
	for (uint32_t len = l3; len < l3 + 28; len++)
		assert_drop(parse_exact(p.data, len, len), SPINAT_DROP_ARP_BAD, "length %u", len);
	m = parse_exact(p.data, l3 + 28, l3 + 28);
	ck_assert_uint_eq(m.kind, SPINAT_KIND_ARP);
	ck_assert_uint_eq(m.l3, l3);
	ck_assert_uint_eq(m.vlan, tagged ? PKT_VLAN : 0);
	for (uint32_t i = 0; i < 6; i++) { /* hardware, protocol and their lengths */
		bad = p;
		bad.data[l3 + i] ^= 0x10;
		assert_drop(parse_exact(bad.data, l3 + 28, l3 + 28), SPINAT_DROP_ARP_BAD,
			"byte %u changed", i);
	}
}
END_TEST

/* A packet of the greatest length, in a frame that is longer than 64 KiB. */
START_TEST(giant)
{
	uint32_t len = 14 + UINT16_MAX;
	uint8_t *frame = calloc(1, len);
	struct spinat_meta m;
	struct pkt p;

	ck_assert_ptr_nonnull(frame);
	sample_build(&p, S_ESP, false, 0);
	pkt_ip(&p)->total_length = UINT16_MAX;
	ref_seal_ip(p.data + p.l3, 20);
	memcpy(frame, p.data, p.len);
	spinat_parse(frame, len, len, true, &m);
	ck_assert_uint_eq(m.kind, SPINAT_KIND_SPI);
	ck_assert_uint_eq(m.l3_len, UINT16_MAX);
	free(frame);
}
END_TEST

TCase *
test_parse(void)
{
	const int shapes = 2 * RTE_DIM(option_lengths);
	TCase *tc = tcase_create("parse");

	tcase_add_loop_test(tc, fields, 0, S_COUNT * shapes);
	tcase_add_test(tc, ports);
	tcase_add_test(tc, spis);
	tcase_add_loop_test(tc, icmp_types, 0, 256);
	tcase_add_loop_test(tc, tcp_flags, 0, 256);
	tcase_add_loop_test(tc, addresses, 0, 256);
	tcase_add_test(tc, padding);
	tcase_add_test(tc, checksum_by_device);
	tcase_add_loop_test(tc, truncated, 0, S_COUNT * shapes);
	tcase_add_loop_test(tc, fragments, 0, S_COUNT);
	tcase_add_test(tc, natt_payload);
	tcase_add_loop_test(tc, arp, 0, 2);
	tcase_add_test(tc, giant);
	return tc;
}
