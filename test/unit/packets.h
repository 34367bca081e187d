/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 the spinat authors
 */
#ifndef SPINAT_TEST_PACKETS_H
#define SPINAT_TEST_PACKETS_H

#include <check.h>
#include <netinet/in.h>
#include <stdbool.h>
#include <stdint.h>
#include <string.h>

#include <rte_byteorder.h>
#include <rte_esp.h>
#include <rte_ether.h>
#include <rte_icmp.h>
#include <rte_ip.h>
#include <rte_tcp.h>
#include <rte_udp.h>

/* Frames for the unit tests, and checksums as RFC 1071 says them, with nothing of the code under test. */

#define PKT_ADDR(a, b, c, d) \
	RTE_BE32(UINT32_C(a) << 24 | UINT32_C(b) << 16 | UINT32_C(c) << 8 | UINT32_C(d))
#define PKT_SRC PKT_ADDR(10, 0, 0, 2)
#define PKT_DST PKT_ADDR(198, 51, 100, 9)
#define PKT_ID RTE_BE16(0x1234)
#define PKT_VLAN 7

/* For loops: ck_assert writes a note to a file each time it holds. */
#define pkt_assert(condition)                                   \
	do {                                                    \
		if (!(condition))                               \
			ck_abort_msg("not so: %s", #condition); \
	} while (0)

struct pkt {
	uint8_t data[4096];
	uint32_t len;
	uint16_t l3;
	uint16_t l4;
};

/* xorshift64*: reproducible from a seed that is not 0. */
static inline uint64_t
pkt_random(uint64_t *state)
{
	*state ^= *state >> 12;
	*state ^= *state << 25;
	*state ^= *state >> 27;
	return *state * UINT64_C(2685821657736338717);
}

static inline uint32_t
ref_sum(uint32_t sum, const uint8_t *p, uint32_t len)
{
	for (uint32_t i = 0; i < len; i++)
		sum += i % 2 ? p[i] : (uint32_t)p[i] << 8;
	while (sum >> 16)
		sum = (sum & 0xffff) + (sum >> 16);
	return sum;
}

static inline void
ref_put16(uint8_t *p, uint16_t value)
{
	p[0] = value >> 8;
	p[1] = value & 0xff;
}

static inline uint32_t
ref_hdr_len(const uint8_t *ip)
{
	return (ip[0] & 0xf) * 4;
}

static inline uint32_t
ref_total_len(const uint8_t *ip)
{
	return (uint32_t)ip[2] << 8 | ip[3];
}

/* Offset of the checksum in a transport header, -1 where it has none. */
static inline int
ref_csum_offset(uint8_t proto)
{
	switch (proto) {
	case IPPROTO_UDP:
		return 6;
	case IPPROTO_TCP:
		return 16;
	case IPPROTO_ICMP:
		return 2;
	default:
		return -1;
	}
}

static inline bool
ref_ip_ok(const uint8_t *ip)
{
	return ref_sum(0, ip, ref_hdr_len(ip)) == 0xffff;
}

/* Sum of a whole transport segment and, but for ICMP, its pseudo header. */
static inline uint32_t
ref_l4_sum(const uint8_t *ip)
{
	uint32_t len = ref_total_len(ip) - ref_hdr_len(ip);
	uint32_t sum = ip[9] == IPPROTO_ICMP ? 0 : ref_sum(ip[9] + len, ip + 12, 8);

	return ref_sum(sum, ip + ref_hdr_len(ip), len);
}

/* Writes the IPv4 header checksum of a whole IPv4 packet. */
static inline void
ref_seal_ip(uint8_t *ip, uint32_t hdr_len)
{
	ref_put16(ip + 10, 0);
	ref_put16(ip + 10, ~ref_sum(0, ip, hdr_len));
}

/* Writes the transport checksum of a whole IPv4 packet. */
static inline void
ref_seal_l4(uint8_t *ip)
{
	int off = ref_csum_offset(ip[9]);
	uint8_t *csum = ip + ref_hdr_len(ip) + off;
	uint16_t value;

	if (off < 0)
		return;
	ref_put16(csum, 0);
	value = ~ref_l4_sum(ip);
	if (ip[9] == IPPROTO_UDP && value == 0)
		value = 0xffff;
	ref_put16(csum, value);
}

static inline struct rte_ipv4_hdr *
pkt_ip(struct pkt *p)
{
	return (struct rte_ipv4_hdr *)(p->data + p->l3);
}

/* Starts a frame: Ethernet, a tag if wanted, IPv4 with ip_options bytes of no-operation. */
static inline void
pkt_start(struct pkt *p, bool tagged, uint8_t ip_options, uint8_t proto)
{
	memset(p, 0, sizeof(*p));
	memset(p->data, 0x02, 2 * RTE_ETHER_ADDR_LEN);
	ref_put16(p->data + 12, RTE_ETHER_TYPE_IPV4);
	p->l3 = RTE_ETHER_HDR_LEN;
	if (tagged) {
		ref_put16(p->data + 12, RTE_ETHER_TYPE_VLAN);
		ref_put16(p->data + 14, 0xa000 | PKT_VLAN);
		ref_put16(p->data + 16, RTE_ETHER_TYPE_IPV4);
		p->l3 += RTE_VLAN_HLEN;
	}
	*pkt_ip(p) = (struct rte_ipv4_hdr){
		.version_ihl = 0x45 + ip_options / 4,
		.packet_id = PKT_ID,
		.time_to_live = 61,
		.next_proto_id = proto,
		.src_addr = PKT_SRC,
		.dst_addr = PKT_DST,
	};
	memset(pkt_ip(p) + 1, 0x01, ip_options);
	p->l4 = p->l3 + sizeof(struct rte_ipv4_hdr) + ip_options;
	p->len = p->l4;
}

/* Makes room for a header and returns it. */
static inline void *
pkt_append(struct pkt *p, uint32_t len)
{
	p->len += len;
	return p->data + p->len - len;
}

/* Appends bytes that all differ from their neighbours. */
static inline void
pkt_payload(struct pkt *p, uint32_t len)
{
	uint8_t *b = pkt_append(p, len);

	for (uint32_t i = 0; i < len; i++)
		b[i] = 0x11 + i * 7;
}

/* Sets lengths and checksums. */
static inline void
pkt_seal(struct pkt *p)
{
	pkt_ip(p)->total_length = rte_cpu_to_be_16(p->len - p->l3);
	ref_seal_l4(p->data + p->l3);
	ref_seal_ip(p->data + p->l3, p->l4 - p->l3);
}

static inline void
pkt_udp(struct pkt *p, uint16_t sport, uint16_t dport, uint16_t payload)
{
	*(struct rte_udp_hdr *)pkt_append(p, sizeof(struct rte_udp_hdr)) = (struct rte_udp_hdr){
		.src_port = rte_cpu_to_be_16(sport),
		.dst_port = rte_cpu_to_be_16(dport),
		.dgram_len = rte_cpu_to_be_16(sizeof(struct rte_udp_hdr) + payload),
	};
	pkt_payload(p, payload);
}

static inline void
pkt_tcp(struct pkt *p, uint16_t sport, uint16_t dport, uint8_t flags, uint8_t options,
	uint16_t payload)
{
	*(struct rte_tcp_hdr *)pkt_append(p, sizeof(struct rte_tcp_hdr)) = (struct rte_tcp_hdr){
		.src_port = rte_cpu_to_be_16(sport),
		.dst_port = rte_cpu_to_be_16(dport),
		.sent_seq = RTE_BE32(0x01020304),
		.data_off = (sizeof(struct rte_tcp_hdr) + options) / 4 << 4,
		.tcp_flags = flags,
		.rx_win = RTE_BE16(1000),
	};
	memset(pkt_append(p, options), 0x01, options);
	pkt_payload(p, payload);
}

static inline void
pkt_icmp(struct pkt *p, uint8_t type, uint8_t code, uint16_t ident, uint16_t payload)
{
	*(struct rte_icmp_hdr *)pkt_append(p, sizeof(struct rte_icmp_hdr)) = (struct rte_icmp_hdr){
		.icmp_type = type,
		.icmp_code = code,
		.icmp_ident = rte_cpu_to_be_16(ident),
		.icmp_seq_nb = RTE_BE16(1),
	};
	pkt_payload(p, payload);
}

static inline void
pkt_esp(struct pkt *p, uint32_t spi, uint32_t seq, uint16_t payload)
{
	*(struct rte_esp_hdr *)pkt_append(p, sizeof(struct rte_esp_hdr)) = (struct rte_esp_hdr){
		.spi = rte_cpu_to_be_32(spi),
		.seq = rte_cpu_to_be_32(seq),
	};
	pkt_payload(p, payload);
}

/* AH with an ICV of 12 bytes before a payload. */
static inline void
pkt_ah(struct pkt *p, uint32_t spi, uint32_t seq, uint16_t payload)
{
	const rte_be32_t words[2] = {rte_cpu_to_be_32(spi), rte_cpu_to_be_32(seq)};
	uint8_t *ah = pkt_append(p, 12);

	ah[0] = IPPROTO_UDP;
	ah[1] = 4; /* 6 words less 2 */
	memcpy(ah + 4, words, sizeof(words));
	pkt_payload(p, 12 + payload);
}

#define PKT_IKE_HDR 28

/* UDP with an IKE message behind marker bytes: 0 on port 500, 4 on port 4500. */
static inline void
pkt_ike(struct pkt *p, uint16_t port, uint8_t marker, uint8_t version, uint16_t body)
{
	uint8_t *ike;

	pkt_udp(p, port, port, marker + PKT_IKE_HDR + body);
	ike = p->data + p->l4 + sizeof(struct rte_udp_hdr);
	memset(ike, 0, marker);
	ike += marker;
	memset(ike, 0xc1, 8);
	memset(ike + 8, 0xc2, 8);
	ike[17] = version;
	ref_put16(ike + 24, 0);
	ref_put16(ike + 26, PKT_IKE_HDR + body);
}

#endif
