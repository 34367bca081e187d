/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 the spinat authors
 */
#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>

#include <rte_ip.h>

#include "packet/icmp_error.h"

/*
 * Any bytes as a frame: parsed, and an ICMP error also read, translated and translated back, which
 * must leave right checksums right and the flow that it is about. The first byte says how it is given.
 */

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define SEGMENT_CUT 1 /* the first segment ends before the packet does */
#define FIX_CHECKSUMS 2 /* put right IPv4 and ICMP checksums on it, to get behind them */

static void
require(bool condition)
{
	if (!condition)
		abort();
}

/* What the next stages rely on without looking again. */
static void
check_meta(const struct spinat_meta *meta, uint32_t len, uint32_t pkt_len)
{
	require(meta->kind <= SPINAT_KIND_OTHER);
	require((meta->kind == SPINAT_KIND_BAD) == (meta->drop != SPINAT_DROP_NONE));
	if (meta->kind == SPINAT_KIND_BAD || meta->kind == SPINAT_KIND_ARP)
		return;
	require(meta->l4 <= len && meta->l3 + meta->l3_len <= pkt_len);
	require(meta->l3 + 20 <= meta->l4 && meta->l4 <= meta->l3 + meta->l3_len);
	require(!(meta->flags & SPINAT_META_FRAG_LATER) || (meta->flags & SPINAT_META_FRAG));
}

static void
fix_checksums(uint8_t *frame, uint32_t len)
{
	struct rte_ipv4_hdr *ip = (struct rte_ipv4_hdr *)(frame + 14);
	uint32_t hlen, total;

	if (len < 34)
		return;
	hlen = rte_ipv4_hdr_len(ip);
	total = rte_be_to_cpu_16(ip->total_length);
	if (hlen < 20 || total < hlen + 8 || len < 14 + total)
		return;
	ip->hdr_checksum = 0;
	ip->hdr_checksum = rte_ipv4_cksum(ip);
	if (ip->next_proto_id == IPPROTO_ICMP) {
		memset(frame + 14 + hlen + 2, 0, 2);
		hlen += 14;
		total = ~rte_raw_cksum(frame + hlen, 14 + total - hlen);
		memcpy(frame + hlen + 2, &total, 2);
	}
}

static bool
ip_checksum_ok(const uint8_t *frame, const struct spinat_meta *meta)
{
	return rte_raw_cksum(frame + meta->l3, meta->l4 - meta->l3) == 0xffff;
}

/* There and back: the quoted source or destination, its port, and both outer addresses. */
static void
translate(uint8_t *frame, const struct spinat_meta *outer, const struct spinat_meta *inner,
	bool is_src)
{
	const struct spinat_icmp_rewrite there = {RTE_BE32(0xc0000201), RTE_BE32(0xc0000202),
		RTE_BE32(0xc0000203), RTE_BE16(4660), is_src};
	const struct spinat_icmp_rewrite back = {outer->key.src, outer->key.dst,
		is_src ? inner->key.src : inner->key.dst,
		inner->key.proto == IPPROTO_ICMP ? inner->key.sport | inner->key.dport
		: is_src                         ? inner->key.sport
						 : inner->key.dport,
		is_src};
	const bool icmp_ok = spinat_icmp_error_verify(frame, outer);
	const bool ip_ok = ip_checksum_ok(frame, outer);
	struct spinat_meta again;

	spinat_icmp_error_rewrite(frame, outer, inner, &there);
	require(spinat_icmp_error_verify(frame, outer) == icmp_ok);
	require(ip_checksum_ok(frame, outer) == ip_ok);
	spinat_icmp_error_rewrite(frame, outer, inner, &back);
	require(spinat_icmp_error_verify(frame, outer) == icmp_ok);
	require(ip_checksum_ok(frame, outer) == ip_ok);
	require(spinat_parse_quote(frame, outer->l3 + outer->l3_len, outer, &again) == 0);
	require(memcmp(&again.key, &inner->key, sizeof(again.key)) == 0);
}

static void
fuzz_error(uint8_t *frame, uint32_t len, const struct spinat_meta *outer)
{
	struct spinat_meta inner;

	if (spinat_parse_quote(frame, len, outer, &inner) != 0)
		return;
	require(inner.kind != SPINAT_KIND_BAD && inner.kind != SPINAT_KIND_ICMP_ERROR);
	require(inner.l4 + 8u <= len && inner.l3 + inner.l3_len <= len);
	/* the callers make sure that the message is whole */
	if (outer->l3 + outer->l3_len > len || (outer->flags & SPINAT_META_FRAG))
		return;
	translate(frame, outer, &inner, true);
	translate(frame, outer, &inner, false);
}

static void
fuzz_build(const uint8_t *frame, uint32_t len)
{
	uint8_t buf[576];
	uint16_t built;

	if (len < 14)
		return;
	built = spinat_icmp_error_build(
		buf, frame + 14, RTE_MIN(len - 14, 65535u), RTE_BE32(0xc0000201), 3, 4, 1400);
	require(built == 0 || (built >= 48 && built <= sizeof(buf)));
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct spinat_meta meta;
	uint32_t len, pkt_len;
	uint8_t *frame;

	if (size < 2)
		return 0;
	pkt_len = size - 1;
	len = data[0] & SEGMENT_CUT ? pkt_len / 2 : pkt_len;
	frame = malloc(len);
	require(frame != NULL);
	memcpy(frame, data + 1, len);
	if (data[0] & FIX_CHECKSUMS)
		fix_checksums(frame, len);
	spinat_parse(frame, len, pkt_len, true, &meta);
	check_meta(&meta, len, pkt_len);
	spinat_parse(frame, len, pkt_len, false, &meta);
	check_meta(&meta, len, pkt_len);
	fuzz_build(frame, len);
	if (meta.kind == SPINAT_KIND_ICMP_ERROR)
		fuzz_error(frame, len, &meta);
	free(frame);
	return 0;
}
