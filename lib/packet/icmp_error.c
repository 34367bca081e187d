/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 the spinat authors
 */
#include <netinet/in.h>
#include <stddef.h>
#include <string.h>

#include <rte_icmp.h>
#include <rte_ip.h>
#include <rte_tcp.h>
#include <rte_udp.h>

#include "packet/checksum.h"
#include "packet/icmp.h"
#include "packet/icmp_error.h"
#include "packet/ipv4.h"

#define ERROR_MAX 576 /* RFC 1812 4.3.2.3 */
#define ERROR_TTL 64
#define ERROR_TOS 0xc0 /* precedence 6, internetwork control (RFC 1812 4.3.2.5) */

/* Errors of any kind, translated or not: nobody is told about them (RFC 1122 3.2.2). */
#define ANY_ERROR                                                    \
	(SPINAT_ICMP_ERRORS | UINT64_C(1) << 4 /* source quench */ | \
		UINT64_C(1) << 5 /* redirect */)

bool
spinat_icmp_error_verify(const uint8_t *frame, const struct spinat_meta *outer)
{
	uint16_t len = outer->l3_len - (outer->l4 - outer->l3);

	/* the checksum of a fragment's message can not be known before all of it is there */
	if (outer->flags & SPINAT_META_FRAG)
		return false;
	return rte_raw_cksum(frame + outer->l4, len) == 0xffff;
}

static rte_be16_t
get16(const void *p)
{
	rte_be16_t value;

	memcpy(&value, p, sizeof(value));
	return value;
}

/* Writes a 16-bit word and returns the delta of what it is part of. */
static uint16_t
set16(void *p, rte_be16_t value)
{
	uint16_t delta = spinat_csum_delta16(get16(p), value);

	memcpy(p, &value, sizeof(value));
	return delta;
}

static uint16_t
set32(void *p, rte_be32_t value)
{
	rte_be32_t from;

	memcpy(&from, p, sizeof(from));
	memcpy(p, &value, sizeof(value));
	return spinat_csum_delta32(from, value);
}

/* Where a quoted transport header has what changes; -1 where it does not. */
struct quoted_transport {
	int port;
	int csum;
	bool pseudo_header; /* checksum covers the addresses */
};

static struct quoted_transport
quoted_transport(const struct spinat_meta *inner, bool is_src)
{
	uint16_t l4_len = inner->l3_len - (inner->l4 - inner->l3);
	struct quoted_transport t = {.port = -1, .csum = -1};

	if (inner->flags & SPINAT_META_FRAG_LATER)
		return t;
	switch (inner->key.proto) {
	case IPPROTO_UDP:
		t.port = is_src ? offsetof(struct rte_udp_hdr, src_port)
				: offsetof(struct rte_udp_hdr, dst_port);
		t.csum = offsetof(struct rte_udp_hdr, dgram_cksum);
		t.pseudo_header = true;
		break;
	case IPPROTO_TCP:
		t.port = is_src ? offsetof(struct rte_tcp_hdr, src_port)
				: offsetof(struct rte_tcp_hdr, dst_port);
		if (l4_len >= offsetof(struct rte_tcp_hdr, tcp_urp))
			t.csum = offsetof(struct rte_tcp_hdr, cksum);
		t.pseudo_header = true;
		break;
	case IPPROTO_ICMP:
		t.port = offsetof(struct rte_icmp_hdr, icmp_ident);
		t.csum = offsetof(struct rte_icmp_hdr, icmp_cksum);
		break;
	default: /* ESP, AH and the rest have no port, and no checksum that covers an address */
		break;
	}
	if (inner->kind == SPINAT_KIND_IKE)
		t.port = -1;
	return t;
}

/* Rewrites the quote and returns the delta of all its words together. */
static uint16_t
rewrite_quote(uint8_t *frame, const struct spinat_meta *inner, const struct spinat_icmp_rewrite *rw)
{
	struct rte_ipv4_hdr *ip = (struct rte_ipv4_hdr *)(frame + inner->l3);
	struct quoted_transport t = quoted_transport(inner, rw->quoted_is_src);
	uint8_t *l4 = frame + inner->l4;
	uint16_t addr, port, sum, delta; /* sum: of what the transport checksum covers */
	rte_be16_t csum;

	addr = set32(rw->quoted_is_src ? &ip->src_addr : &ip->dst_addr, rw->quoted_addr);
	delta = spinat_csum_delta_add(
		addr, set16(&ip->hdr_checksum, spinat_csum_apply(ip->hdr_checksum, addr)));
	sum = t.pseudo_header ? addr : 0;
	if (t.port >= 0) {
		port = set16(l4 + t.port, rw->quoted_port);
		delta = spinat_csum_delta_add(delta, port);
		sum = spinat_csum_delta_add(sum, port);
	}
	if (t.csum < 0)
		return delta;
	csum = get16(l4 + t.csum);
	csum = inner->key.proto == IPPROTO_UDP ? spinat_csum_apply_udp(csum, sum)
					       : spinat_csum_apply(csum, sum);
	return spinat_csum_delta_add(delta, set16(l4 + t.csum, csum));
}

void
spinat_icmp_error_rewrite(uint8_t *frame, const struct spinat_meta *outer,
	const struct spinat_meta *inner, const struct spinat_icmp_rewrite *rw)
{
	struct rte_ipv4_hdr *ip = (struct rte_ipv4_hdr *)(frame + outer->l3);
	struct rte_icmp_hdr *icmp = (struct rte_icmp_hdr *)(frame + outer->l4);
	uint16_t delta;

	delta = rewrite_quote(frame, inner, rw);
	icmp->icmp_cksum = spinat_csum_apply(icmp->icmp_cksum, delta);
	delta = set32(&ip->src_addr, rw->outer_src);
	delta = spinat_csum_delta_add(delta, set32(&ip->dst_addr, rw->outer_dst));
	ip->hdr_checksum = spinat_csum_apply(ip->hdr_checksum, delta);
}

/* Bytes of a packet to quote, 0 where no error may be sent about it. */
static uint16_t
quotable(const uint8_t *ip, uint16_t ip_len)
{
	const struct rte_ipv4_hdr *hdr = (const struct rte_ipv4_hdr *)ip;
	uint16_t hlen, len;

	if (ip_len < sizeof(*hdr) || hdr->version_ihl >> 4 != IPVERSION)
		return 0;
	hlen = rte_ipv4_hdr_len(hdr);
	len = RTE_MIN(ip_len, rte_be_to_cpu_16(hdr->total_length));
	if (hlen < sizeof(*hdr) || len < hlen)
		return 0;
	if (hdr->fragment_offset & RTE_BE16(RTE_IPV4_HDR_OFFSET_MASK))
		return 0;
	if (spinat_ipv4_no_host(hdr->src_addr) || spinat_ipv4_no_host(hdr->dst_addr))
		return 0;
	if (hdr->next_proto_id == IPPROTO_ICMP &&
		(len == hlen || spinat_icmp_type_in(ip[hlen], ANY_ERROR)))
		return 0;
	return len;
}

uint16_t
spinat_icmp_error_build(uint8_t *buf, const uint8_t *ip, uint16_t ip_len, rte_be32_t src,
	uint8_t type, uint8_t code, uint16_t mtu)
{
	const struct rte_ipv4_hdr *offending = (const struct rte_ipv4_hdr *)ip;
	struct rte_ipv4_hdr *hdr = (struct rte_ipv4_hdr *)buf;
	struct rte_icmp_hdr *icmp = (struct rte_icmp_hdr *)(hdr + 1);
	uint16_t quote = quotable(ip, ip_len);

	if (quote == 0)
		return 0;
	quote = RTE_MIN(quote, ERROR_MAX - sizeof(*hdr) - sizeof(*icmp));
	*icmp = (struct rte_icmp_hdr){
		.icmp_type = type,
		.icmp_code = code,
		.icmp_seq_nb = rte_cpu_to_be_16(mtu), /* next-hop MTU (RFC 1191 4) */
	};
	memcpy(icmp + 1, ip, quote);
	icmp->icmp_cksum = ~rte_raw_cksum(icmp, sizeof(*icmp) + quote);
	*hdr = (struct rte_ipv4_hdr){
		.version_ihl = RTE_IPV4_VHL_DEF,
		.type_of_service = ERROR_TOS,
		.total_length = rte_cpu_to_be_16(sizeof(*hdr) + sizeof(*icmp) + quote),
		.fragment_offset = RTE_BE16(RTE_IPV4_HDR_DF_FLAG), /* so needs no identification */
		.time_to_live = ERROR_TTL,
		.next_proto_id = IPPROTO_ICMP,
		.src_addr = src,
		.dst_addr = offending->src_addr,
	};
	hdr->hdr_checksum = rte_ipv4_cksum(hdr);
	return sizeof(*hdr) + sizeof(*icmp) + quote;
}
