/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 the spinat authors
 */
#ifndef SPINAT_DATAPATH_REWRITE_H
#define SPINAT_DATAPATH_REWRITE_H

#include <netinet/in.h>
#include <string.h>

#include <rte_branch_prediction.h>
#include <rte_ip.h>

#include "nat/flow.h"
#include "packet/checksum.h"
#include "packet/packet.h"

/* What a translation changes in a packet. Internal to datapath/. */

#define UDP_CSUM_OFFSET 6
#define TCP_CSUM_OFFSET 16
#define ICMP_CSUM_OFFSET 2
#define ICMP_ID_OFFSET 4

/* Unaligned fields of a packet. */
static inline void
spinat_store16(uint8_t *p, uint16_t value)
{
	memcpy(p, &value, sizeof(value));
}

static inline uint16_t
spinat_load16(const uint8_t *p)
{
	uint16_t value;

	memcpy(&value, p, sizeof(value));
	return value;
}

static inline void
spinat_rewrite_l4(uint8_t *l4, const struct spinat_flow *f, enum spinat_dir dir)
{
	uint8_t *port = l4 + (dir == SPINAT_OUT ? 0 : 2);

	switch (f->proto) {
	case IPPROTO_UDP:
		spinat_store16(port, f->new_port[dir]);
		spinat_store16(l4 + UDP_CSUM_OFFSET,
			spinat_csum_apply_udp(
				spinat_load16(l4 + UDP_CSUM_OFFSET), f->l4_delta[dir]));
		break;
	case IPPROTO_TCP:
		spinat_store16(port, f->new_port[dir]);
		spinat_store16(l4 + TCP_CSUM_OFFSET,
			spinat_csum_apply(spinat_load16(l4 + TCP_CSUM_OFFSET), f->l4_delta[dir]));
		break;
	case IPPROTO_ICMP:
		/* the identifier is only in the key of the one who asked */
		if (f->new_port[SPINAT_OUT] == f->new_port[SPINAT_IN])
			break;
		spinat_store16(l4 + ICMP_ID_OFFSET, f->new_port[dir]);
		spinat_store16(l4 + ICMP_CSUM_OFFSET,
			spinat_csum_apply(spinat_load16(l4 + ICMP_CSUM_OFFSET), f->l4_delta[dir]));
		break;
	default:
		break;
	}
}

/* Addresses, TTL and checksum of an IPv4 header. more: sum of the deltas of what has changed already,
 * at most a few. */
static inline void
spinat_rewrite_ip(
	struct rte_ipv4_hdr *ip, const struct spinat_flow *f, enum spinat_dir dir, uint32_t more)
{
	ip->time_to_live--;
	if (dir == SPINAT_OUT)
		ip->src_addr = f->new_addr[SPINAT_OUT];
	else
		ip->dst_addr = f->new_addr[SPINAT_IN];
	ip->hdr_checksum = ~spinat_csum_fold((uint16_t)~ip->hdr_checksum + f->l3_delta[dir] + more);
}

/** Translates a packet by a flow; without one only its TTL goes down. more: see spinat_rewrite_ip */
static inline void
spinat_rewrite(
	uint8_t *frame, const struct spinat_meta *meta, const struct spinat_flow *f, uint32_t more)
{
	struct rte_ipv4_hdr *ip = (struct rte_ipv4_hdr *)(frame + meta->l3);
	const enum spinat_dir dir = meta->key.dir;

	if (unlikely(f == NULL)) {
		ip->time_to_live--;
		ip->hdr_checksum = spinat_csum_apply(ip->hdr_checksum, RTE_BE16(0xfeff));
		return;
	}
	spinat_rewrite_ip(ip, f, dir, more);
	if (!(meta->flags & SPINAT_META_FRAG_LATER))
		spinat_rewrite_l4(frame + meta->l4, f, dir);
}

#endif
