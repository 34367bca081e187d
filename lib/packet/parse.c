/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 the spinat authors
 */
#include <errno.h>
#include <netinet/in.h>
#include <string.h>

#include <rte_arp.h>
#include <rte_branch_prediction.h>
#include <rte_esp.h>
#include <rte_ether.h>
#include <rte_icmp.h>
#include <rte_ip.h>
#include <rte_tcp.h>
#include <rte_udp.h>

#include "packet/checksum.h"
#include "packet/icmp.h"
#include "packet/ipv4.h"
#include "packet/packet.h"

#define UDP_HDR_LEN 8
#define TCP_HDR_LEN 20
#define IKE_HDR_LEN 28 /* RFC 2408 3.1, RFC 7296 3.1 */
#define IKE_PORTS (RTE_STATIC_BSWAP16(SPINAT_IKE_PORT) * UINT32_C(0x10001))
#define SPI_RESERVED_MAX 255
#define QUOTE_L4_MIN 8 /* RFC 792: 64 bits of the original datagram's data */

/* Authentication header up to where the ICV starts (RFC 4302 2). */
struct ah_hdr {
	uint8_t next_header;
	uint8_t payload_len; /* 32-bit words of the whole header, less 2 */
	rte_be16_t reserved;
	rte_be32_t spi;
	rte_be32_t seq;
} __rte_packed;

/* ISAKMP and IKEv2 message header (RFC 2408 3.1, RFC 7296 3.1). */
struct ike_hdr {
	uint64_t init_spi;
	uint64_t resp_spi;
	uint8_t next_payload;
	uint8_t version; /* major in the upper four bits */
	uint8_t exchange;
	uint8_t flags;
	rte_be32_t message_id;
	rte_be32_t length;
} __rte_packed;

/* What follows the IPv4 header: how much there is, and how much of it stands in the first segment. */
struct transport {
	const uint8_t *data;
	uint32_t len;
	uint32_t readable;
	bool whole; /* no fragment, so that lengths can be held against each other */
};

/*
 * TCP flag combinations that no state allows, a bit each, indexed by URG ACK PSH RST SYN FIN: none of
 * the six, or SYN together with FIN or RST. A bit is set for 0, and for all x with x & 2 and x & 5.
 */
#define BAD4 UINT64_C(0xc8) /* x = 3, 6, 7 of the lower three bits */
#define TCP_BAD_FLAGS ((BAD4 * UINT64_C(0x0101010101010101)) | 1)

static inline uint32_t
load32(const void *p)
{
	uint32_t value;

	memcpy(&value, p, sizeof(value));
	return value;
}

/* The header sums to all ones (RFC 1071). hlen is a multiple of 4, 20 to 60. */
static inline bool
ip_checksum_ok(const uint8_t *ip, uint32_t hlen)
{
	uint64_t sum = 0;

	for (uint32_t i = 0; i < sizeof(struct rte_ipv4_hdr); i += 4)
		sum += load32(ip + i);
	for (uint32_t i = sizeof(struct rte_ipv4_hdr); unlikely(i < hlen); i += 4)
		sum += load32(ip + i);
	sum = (sum & 0xffffffff) + (sum >> 32);
	sum = (sum & 0xffff) + (sum >> 16 & 0xffff) + (sum >> 32);
	return spinat_csum_fold((uint32_t)sum) == 0xffff;
}

/* udp_len, 8 or more, is of the whole datagram; only readable bytes of it are there to read. */
static __rte_noinline enum spinat_drop
parse_ike(const uint8_t *udp, uint32_t udp_len, uint32_t readable, struct spinat_meta *meta)
{
	const struct ike_hdr *ike = (const struct ike_hdr *)(udp + UDP_HDR_LEN);
	uint32_t have = RTE_MIN(readable, udp_len) - UDP_HDR_LEN;
	uint32_t length;
	uint8_t major;

	/* NAT-keepalive of a peer that sends them to port 500 (RFC 3948 2.3) */
	if (udp_len == UDP_HDR_LEN + 1 && have == 1 && udp[UDP_HDR_LEN] == 0xff)
		return SPINAT_DROP_NONE;
	if (have < IKE_HDR_LEN)
		return SPINAT_DROP_IKE_SHORT;
	major = ike->version >> 4;
	length = rte_be_to_cpu_32(ike->length);
	if (ike->init_spi == 0 || (major != 1 && major != 2) || length < IKE_HDR_LEN ||
		length > udp_len - UDP_HDR_LEN)
		return SPINAT_DROP_IKE_BAD;
	meta->kind = SPINAT_KIND_IKE;
	return SPINAT_DROP_NONE;
}

static __rte_always_inline enum spinat_drop
parse_udp(const struct transport *t, struct spinat_meta *meta)
{
	const struct rte_udp_hdr *udp = (const struct rte_udp_hdr *)t->data;
	uint32_t length;

	if (unlikely(t->readable < UDP_HDR_LEN))
		return SPINAT_DROP_UDP_SHORT;
	length = rte_be_to_cpu_16(udp->dgram_len);
	if (unlikely(length < UDP_HDR_LEN || (t->whole && length > t->len)))
		return SPINAT_DROP_UDP_LENGTH;
	meta->key.ports = load32(t->data);
	meta->flags |= udp->dgram_cksum == 0 ? SPINAT_META_UDP_NOCSUM : 0;
	meta->kind = SPINAT_KIND_FLOW;
	if (unlikely(meta->key.ports == IKE_PORTS))
		return parse_ike(t->data, length, t->readable, meta);
	return SPINAT_DROP_NONE;
}

static __rte_always_inline enum spinat_drop
parse_tcp(const struct transport *t, struct spinat_meta *meta)
{
	const struct rte_tcp_hdr *tcp = (const struct rte_tcp_hdr *)t->data;
	uint32_t hlen;

	if (unlikely(t->readable < TCP_HDR_LEN))
		return SPINAT_DROP_TCP_SHORT;
	hlen = (tcp->data_off >> 4) * 4;
	if (unlikely(hlen < TCP_HDR_LEN || (t->whole && hlen > t->len)))
		return SPINAT_DROP_TCP_OFFSET;
	if (unlikely(TCP_BAD_FLAGS >> (tcp->tcp_flags & 0x3f) & 1))
		return SPINAT_DROP_TCP_FLAGS;
	meta->key.ports = load32(t->data);
	meta->tcp_flags = tcp->tcp_flags;
	meta->seq = rte_be_to_cpu_32(tcp->sent_seq);
	meta->kind = SPINAT_KIND_FLOW;
	return SPINAT_DROP_NONE;
}

/* Kind, direction and identifier of an ICMP message; false where the type is not translated. */
static inline bool
classify_icmp(const struct rte_icmp_hdr *icmp, struct spinat_meta *meta)
{
	meta->icmp_type = icmp->icmp_type;
	meta->icmp_code = icmp->icmp_code;
	meta->kind = SPINAT_KIND_FLOW;
	if (spinat_icmp_type_in(icmp->icmp_type, SPINAT_ICMP_REQUESTS)) {
		meta->key.sport = icmp->icmp_ident;
		meta->flags |= SPINAT_META_ICMP_REQUEST;
	} else if (spinat_icmp_type_in(icmp->icmp_type, SPINAT_ICMP_REPLIES)) {
		meta->key.dport = icmp->icmp_ident;
	} else if (spinat_icmp_type_in(icmp->icmp_type, SPINAT_ICMP_ERRORS)) {
		meta->kind = SPINAT_KIND_ICMP_ERROR;
	} else {
		return false;
	}
	return true;
}

static __rte_always_inline enum spinat_drop
parse_icmp(const struct transport *t, struct spinat_meta *meta)
{
	if (unlikely(t->readable < SPINAT_ICMP_HDR_LEN))
		return SPINAT_DROP_ICMP_SHORT;
	if (unlikely(!classify_icmp((const struct rte_icmp_hdr *)t->data, meta)))
		return SPINAT_DROP_ICMP_TYPE;
	return SPINAT_DROP_NONE;
}

static __rte_always_inline enum spinat_drop
parse_spi(rte_be32_t spi, rte_be32_t seq, struct spinat_meta *meta)
{
	if (unlikely(rte_be_to_cpu_32(spi) <= SPI_RESERVED_MAX))
		return spi == 0 ? SPINAT_DROP_SPI_ZERO : SPINAT_DROP_SPI_RESERVED;
	meta->key.spi = spi;
	meta->seq = rte_be_to_cpu_32(seq);
	meta->kind = SPINAT_KIND_SPI;
	return SPINAT_DROP_NONE;
}

static __rte_always_inline enum spinat_drop
parse_esp(const struct transport *t, struct spinat_meta *meta)
{
	const struct rte_esp_hdr *esp = (const struct rte_esp_hdr *)t->data;

	if (unlikely(t->readable < sizeof(*esp)))
		return SPINAT_DROP_ESP_SHORT;
	return parse_spi(esp->spi, esp->seq, meta);
}

static __rte_always_inline enum spinat_drop
parse_ah(const struct transport *t, struct spinat_meta *meta)
{
	const struct ah_hdr *ah = (const struct ah_hdr *)t->data;
	uint32_t length;

	if (unlikely(t->readable < sizeof(*ah)))
		return SPINAT_DROP_AH_SHORT;
	length = (ah->payload_len + 2u) * 4;
	if (unlikely(length < sizeof(*ah) || (t->whole && length > t->len)))
		return SPINAT_DROP_AH_LENGTH;
	return parse_spi(ah->spi, ah->seq, meta);
}

static __rte_always_inline enum spinat_drop
parse_transport(const struct transport *t, struct spinat_meta *meta)
{
	switch (meta->key.proto) {
	case IPPROTO_UDP:
		return parse_udp(t, meta);
	case IPPROTO_TCP:
		return parse_tcp(t, meta);
	case IPPROTO_ESP:
		return parse_esp(t, meta);
	case IPPROTO_ICMP:
		return parse_icmp(t, meta);
	case IPPROTO_AH:
		return parse_ah(t, meta);
	default:
		meta->kind = SPINAT_KIND_OTHER;
		return SPINAT_DROP_NONE;
	}
}

/* What a protocol number alone says. */
static uint8_t
kind_of_proto(uint8_t proto)
{
	switch (proto) {
	case IPPROTO_UDP:
	case IPPROTO_TCP:
	case IPPROTO_ICMP:
		return SPINAT_KIND_FLOW;
	case IPPROTO_ESP:
	case IPPROTO_AH:
		return SPINAT_KIND_SPI;
	default:
		return SPINAT_KIND_OTHER;
	}
}

/* Least payload of a first fragment: what the translation and the filters read (RFC 1858 3). */
static uint32_t
first_fragment_min(uint8_t proto)
{
	switch (proto) {
	case IPPROTO_TCP:
		return TCP_HDR_LEN;
	case IPPROTO_AH:
		return sizeof(struct ah_hdr);
	case IPPROTO_UDP:
	case IPPROTO_ICMP:
	case IPPROTO_ESP:
		return 8;
	default:
		return 0;
	}
}

static __rte_noinline enum spinat_drop
parse_fragment(struct transport *t, uint16_t field, struct spinat_meta *meta)
{
	uint32_t offset = (field & RTE_IPV4_HDR_OFFSET_MASK) * RTE_IPV4_HDR_OFFSET_UNITS;
	bool more = (field & RTE_IPV4_HDR_MF_FLAG) != 0;
	uint32_t hlen = meta->l4 - meta->l3;

	if (t->len == 0 || (more && t->len % RTE_IPV4_HDR_OFFSET_UNITS != 0) ||
		hlen + offset + t->len > UINT16_MAX)
		return SPINAT_DROP_FRAG_BAD;
	meta->flags |= SPINAT_META_FRAG;
	meta->frag_off = (uint16_t)offset;
	meta->more_frags = more;
	if (offset != 0) {
		meta->flags |= SPINAT_META_FRAG_LATER;
		meta->kind = kind_of_proto(meta->key.proto);
		return SPINAT_DROP_NONE;
	}
	if (t->len < first_fragment_min(meta->key.proto))
		return SPINAT_DROP_FRAG_TINY;
	t->whole = false;
	return parse_transport(t, meta);
}

static __rte_noinline enum spinat_drop
parse_arp(const uint8_t *frame, uint32_t len, struct spinat_meta *meta)
{
	const struct rte_arp_hdr *arp = (const struct rte_arp_hdr *)(frame + meta->l3);

	if (len - meta->l3 < sizeof(*arp) ||
		arp->arp_hardware != rte_cpu_to_be_16(RTE_ARP_HRD_ETHER) ||
		arp->arp_protocol != rte_cpu_to_be_16(RTE_ETHER_TYPE_IPV4) ||
		arp->arp_hlen != RTE_ETHER_ADDR_LEN || arp->arp_plen != sizeof(rte_be32_t))
		return SPINAT_DROP_ARP_BAD;
	meta->kind = SPINAT_KIND_ARP;
	return SPINAT_DROP_NONE;
}

/*
 * All that is not an untagged frame with IPv4 in it. Returns the offset of the IPv4 header, or 0
 * where nothing is left to do but to look at *drop.
 */
static __rte_noinline uint32_t
parse_link(const uint8_t *frame, uint32_t len, struct spinat_meta *meta, enum spinat_drop *drop)
{
	const struct rte_ether_hdr *eth = (const struct rte_ether_hdr *)frame;
	const struct rte_vlan_hdr *tag = (const struct rte_vlan_hdr *)(eth + 1);
	rte_be16_t type;

	*drop = SPINAT_DROP_ETH_SHORT;
	if (len < sizeof(*eth))
		return 0;
	type = eth->ether_type;
	meta->l3 = sizeof(*eth);
	if (type == RTE_BE16(RTE_ETHER_TYPE_VLAN)) {
		if (len < sizeof(*eth) + sizeof(*tag))
			return 0;
		type = tag->eth_proto;
		meta->vlan = rte_be_to_cpu_16(tag->vlan_tci) & 0xfff;
		meta->l3 = sizeof(*eth) + sizeof(*tag);
	}
	if (type == RTE_BE16(RTE_ETHER_TYPE_IPV4))
		return meta->l3;
	*drop = type == RTE_BE16(RTE_ETHER_TYPE_ARP) ? parse_arp(frame, len, meta)
						     : SPINAT_DROP_ETH_TYPE;
	return 0;
}

/* Which of the two addresses no host has. */
static __rte_noinline enum spinat_drop
bad_address(const struct spinat_meta *meta)
{
	return spinat_ipv4_no_host(meta->key.src) ? SPINAT_DROP_IP_SOURCE
						  : SPINAT_DROP_IP_DESTINATION;
}

static __rte_always_inline enum spinat_drop
parse_ipv4(const uint8_t *ip, uint32_t len, uint32_t pkt_len, bool verify, struct spinat_meta *meta)
{
	const struct rte_ipv4_hdr *hdr = (const struct rte_ipv4_hdr *)ip;
	uint32_t hlen = sizeof(*hdr);
	struct transport t;
	uint32_t total;
	uint16_t frag;

	if (unlikely(len < sizeof(*hdr)))
		return SPINAT_DROP_IP_SHORT;
	if (unlikely(hdr->version_ihl != RTE_IPV4_VHL_DEF)) {
		hlen = (hdr->version_ihl & RTE_IPV4_HDR_IHL_MASK) * RTE_IPV4_IHL_MULTIPLIER;
		if (hdr->version_ihl >> 4 != IPVERSION || hlen < sizeof(*hdr))
			return SPINAT_DROP_IP_VERSION;
		if (len < hlen)
			return SPINAT_DROP_IP_SHORT;
	}
	total = rte_be_to_cpu_16(hdr->total_length);
	if (unlikely(total < hlen))
		return SPINAT_DROP_IP_LENGTH;
	if (unlikely(total > pkt_len))
		return SPINAT_DROP_IP_SHORT;
	if (verify && unlikely(!ip_checksum_ok(ip, hlen)))
		return SPINAT_DROP_IP_CHECKSUM;

	meta->key.src = hdr->src_addr;
	meta->key.dst = hdr->dst_addr;
	meta->key.proto = hdr->next_proto_id;
	meta->l3_len = (uint16_t)total;
	meta->l4 = (uint16_t)(meta->l3 + hlen);
	meta->ip_id = hdr->packet_id;
	meta->ttl = hdr->time_to_live;
	if (unlikely(spinat_ipv4_no_host(hdr->src_addr) | spinat_ipv4_no_host(hdr->dst_addr)))
		return bad_address(meta);

	t.data = ip + hlen;
	t.len = total - hlen;
	t.readable = RTE_MIN(t.len, len - hlen);
	t.whole = true;
	frag = rte_be_to_cpu_16(hdr->fragment_offset);
	meta->flags = frag & RTE_IPV4_HDR_DF_FLAG ? SPINAT_META_DF : 0;
	if (unlikely(frag & (RTE_IPV4_HDR_MF_FLAG | RTE_IPV4_HDR_OFFSET_MASK)))
		return parse_fragment(&t, frag, meta);
	return parse_transport(&t, meta);
}

void
spinat_parse(const uint8_t *frame, uint32_t len, uint32_t pkt_len, bool verify_ip_csum,
	struct spinat_meta *meta)
{
	const struct rte_ether_hdr *eth = (const struct rte_ether_hdr *)frame;
	uint32_t l3 = sizeof(*eth);
	enum spinat_drop drop;

	*meta = (struct spinat_meta){.l3 = sizeof(*eth)};
	if (unlikely(len < sizeof(*eth) || eth->ether_type != RTE_BE16(RTE_ETHER_TYPE_IPV4))) {
		l3 = parse_link(frame, len, meta, &drop);
		if (l3 == 0)
			goto done;
	}
	drop = parse_ipv4(frame + l3, len - l3, pkt_len - l3, verify_ip_csum, meta);
done:
	if (unlikely(drop != SPINAT_DROP_NONE)) {
		meta->kind = SPINAT_KIND_BAD;
		meta->drop = (uint8_t)drop;
	}
}

/* Ports, identifier or SPI out of the 8 bytes that every quote has. */
static int
parse_quoted_transport(const uint8_t *l4, struct spinat_meta *inner)
{
	switch (inner->key.proto) {
	case IPPROTO_UDP:
		inner->key.ports = load32(l4);
		if (((const struct rte_udp_hdr *)l4)->dgram_cksum == 0)
			inner->flags |= SPINAT_META_UDP_NOCSUM;
		if (inner->key.ports == IKE_PORTS)
			inner->kind = SPINAT_KIND_IKE;
		return 0;
	case IPPROTO_TCP:
		inner->key.ports = load32(l4);
		inner->seq = rte_be_to_cpu_32(((const struct rte_tcp_hdr *)l4)->sent_seq);
		return 0;
	case IPPROTO_ICMP:
		/* no error is sent about an error (RFC 1122 3.2.2) */
		if (!classify_icmp((const struct rte_icmp_hdr *)l4, inner) ||
			inner->kind == SPINAT_KIND_ICMP_ERROR)
			return -EINVAL;
		return 0;
	case IPPROTO_ESP:
		inner->key.spi = ((const struct rte_esp_hdr *)l4)->spi;
		inner->seq = rte_be_to_cpu_32(((const struct rte_esp_hdr *)l4)->seq);
		return 0;
	case IPPROTO_AH:
		inner->key.spi = ((const struct ah_hdr *)l4)->spi;
		return 0;
	default:
		return 0;
	}
}

int
spinat_parse_quote(const uint8_t *frame, uint32_t len, const struct spinat_meta *outer,
	struct spinat_meta *inner)
{
	uint32_t l3 = outer->l4 + SPINAT_ICMP_HDR_LEN;
	uint32_t end = RTE_MIN(len, (uint32_t)outer->l3 + outer->l3_len);
	const struct rte_ipv4_hdr *hdr = (const struct rte_ipv4_hdr *)(frame + l3);
	uint32_t hlen;
	uint16_t frag;

	if (end < l3 + sizeof(*hdr))
		return -EINVAL;
	hlen = (hdr->version_ihl & RTE_IPV4_HDR_IHL_MASK) * RTE_IPV4_IHL_MULTIPLIER;
	if (hdr->version_ihl >> 4 != IPVERSION || hlen < sizeof(*hdr) ||
		end < l3 + hlen + QUOTE_L4_MIN)
		return -EINVAL;
	frag = rte_be_to_cpu_16(hdr->fragment_offset);
	*inner = (struct spinat_meta){
		.key = {.src = hdr->src_addr, .dst = hdr->dst_addr, .proto = hdr->next_proto_id},
		.kind = kind_of_proto(hdr->next_proto_id),
		.flags = frag & RTE_IPV4_HDR_DF_FLAG ? SPINAT_META_DF : 0,
		.l3 = (uint16_t)l3,
		.l4 = (uint16_t)(l3 + hlen),
		.l3_len = (uint16_t)(end - l3),
		.vlan = outer->vlan,
		.frag_off = (frag & RTE_IPV4_HDR_OFFSET_MASK) * RTE_IPV4_HDR_OFFSET_UNITS,
		.ip_id = hdr->packet_id,
		.ttl = hdr->time_to_live,
		.more_frags = (frag & RTE_IPV4_HDR_MF_FLAG) != 0,
	};
	if (inner->frag_off != 0 || inner->more_frags)
		inner->flags |= SPINAT_META_FRAG;
	if (inner->frag_off != 0) {
		inner->flags |= SPINAT_META_FRAG_LATER;
		return 0;
	}
	return parse_quoted_transport(frame + inner->l4, inner);
}
