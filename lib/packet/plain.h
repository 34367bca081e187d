/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 the spinat authors
 */
#ifndef SPINAT_PACKET_PLAIN_H
#define SPINAT_PACKET_PLAIN_H

#include <netinet/in.h>
#include <string.h>

#include <rte_branch_prediction.h>
#include <rte_ether.h>
#include <rte_vect.h>

#include "packet/ipv4.h"
#include "packet/packet.h"

/*
 * The short way through spinat_parse for the frames that nearly all traffic is made of: to this
 * device's MAC address, no VLAN tag, IPv4 without options or fragments, UDP, TCP or ESP. What it
 * takes it describes as spinat_parse does, and passes over nothing that spinat_parse would refuse,
 * but for addresses that no host can have and SPIs below 256: no flow has those, so they are looked
 * at when no flow is found.
 */

/** Offsets in a plain frame, and the least length that is looked at: through a TCP header. */
#define SPINAT_PLAIN_L3 14
#define SPINAT_PLAIN_L4 34
#define SPINAT_PLAIN_MIN 54

/** What the first 16 bytes of a plain frame for a device are. */
struct spinat_plain {
#ifdef RTE_ARCH_X86
	__m128i head, mask;
#else
	int none;
#endif
};

static inline void
spinat_plain_init(struct spinat_plain *p, const struct rte_ether_addr *mac)
{
#ifdef RTE_ARCH_X86
	/* destination, source, EtherType, version and header length, type of service */
	uint8_t head[16] = {[12] = 0x08, [13] = 0x00, [14] = 0x45};
	static const uint8_t mask[16] = {
		255, 255, 255, 255, 255, 255, 0, 0, 0, 0, 0, 0, 255, 255, 255, 0};

	memcpy(head, mac, sizeof(*mac));
	p->head = _mm_loadu_si128((const __m128i *)head);
	p->mask = _mm_loadu_si128((const __m128i *)mask);
#else
	RTE_SET_USED(mac);
	p->none = 0;
#endif
}

#ifdef RTE_ARCH_X86
static inline uint16_t
spinat_plain_be16(const uint8_t *p)
{
	rte_be16_t value;

	memcpy(&value, p, sizeof(value));
	return __builtin_bswap16(value); /* rte_be_to_cpu_16 is three instructions, and volatile */
}

static inline uint32_t
spinat_plain_load32(const uint8_t *p)
{
	uint32_t value;

	memcpy(&value, p, sizeof(value));
	return value;
}

/* The 20 bytes sum to a multiple of 65535 (RFC 1071); they are not all 0. A number is one if its
 * product with the inverse of 65535 modulo 2^64 is small. */
static inline bool
spinat_plain_checksum(const uint8_t *ip)
{
	uint64_t sum = 0;

	for (int i = 0; i < 20; i += 4)
		sum += spinat_plain_load32(ip + i);
	return sum * UINT64_C(0xfffefffefffeffff) <= UINT64_MAX / 65535;
}
#endif

/** Whether a packet that spinat_parse_plain took has what only its addresses and SPI can lack. */
static inline bool
spinat_plain_is_good(const struct spinat_meta *meta)
{
	return !(spinat_ipv4_no_host(meta->key.src) | spinat_ipv4_no_host(meta->key.dst)) &&
	       (meta->kind != SPINAT_KIND_SPI || rte_be_to_cpu_32(meta->key.spi) > 255);
}

/**
 * @param tail what struct spinat_key ends with, protocol 0: direction and realm
 * @param meta filled where it returns true, key and all
 * @return false where spinat_parse has to look; frame, len and the others are as there
 */
static __rte_always_inline bool
spinat_parse_plain(const struct spinat_plain *p, const uint8_t *frame, uint32_t len,
	uint32_t pkt_len, bool verify_ip_csum, uint32_t tail, struct spinat_meta *meta)
{
#ifdef RTE_ARCH_X86
	const uint8_t *ip = frame + SPINAT_PLAIN_L3, *l4 = frame + SPINAT_PLAIN_L4;
	const uint8_t proto = ip[9];
	uint32_t total, rest, field;
	__m128i head, key;

	if (unlikely(len < SPINAT_PLAIN_MIN))
		return false;
	head = _mm_loadu_si128((const __m128i *)frame);
	head = _mm_and_si128(_mm_xor_si128(head, p->head), p->mask);
	field = spinat_plain_be16(ip + 6);
	total = spinat_plain_be16(ip + 2);
	/* at least 8 bytes behind the IPv4 header, and no more than there are */
	if (unlikely(!_mm_test_all_zeros(head, head) || (field & 0x3fff) != 0 ||
		     total - 28 > pkt_len - SPINAT_PLAIN_L3 - 28 ||
		     (verify_ip_csum && !spinat_plain_checksum(ip))))
		return false;
	rest = total - 20;
	memset((uint8_t *)meta + sizeof(meta->key), 0, sizeof(*meta) - sizeof(meta->key));
	meta->kind = SPINAT_KIND_FLOW;
	meta->flags = field >> 14 & 1 ? SPINAT_META_DF : 0;
	if (likely(proto == IPPROTO_UDP)) {
		const uint32_t length = spinat_plain_be16(l4 + 4);

		if (unlikely(length - 8 > rest - 8 ||
			     spinat_plain_load32(l4) ==
				     RTE_STATIC_BSWAP16(SPINAT_IKE_PORT) * UINT32_C(0x10001)))
			return false;
		meta->flags |= spinat_plain_be16(l4 + 6) == 0 ? SPINAT_META_UDP_NOCSUM : 0;
	} else if (proto == IPPROTO_TCP) {
		const uint32_t hlen = (l4[12] >> 4) * 4;
		const uint8_t flags = l4[13];

		/* a flag at least, and SYN neither with FIN nor with RST */
		if (unlikely(hlen - 20 > rest - 20 || rest < 20 || (flags & 0x3f) == 0 ||
			     (flags & 0x02 && flags & 0x05)))
			return false;
		meta->tcp_flags = flags;
		meta->seq = rte_be_to_cpu_32(spinat_plain_load32(l4 + 4));
	} else if (proto == IPPROTO_ESP) {
		meta->kind = SPINAT_KIND_SPI;
		meta->seq = rte_be_to_cpu_32(spinat_plain_load32(l4 + 4));
	} else {
		return false;
	}
	/* addresses and ports or SPI stand in the frame as in a key */
	key = _mm_loadu_si128((const __m128i *)(ip + 12));
	_mm_store_si128((__m128i *)&meta->key, _mm_insert_epi32(key, tail | proto, 3));
	meta->l3 = SPINAT_PLAIN_L3;
	meta->l4 = SPINAT_PLAIN_L4;
	meta->l3_len = total;
	meta->ip_id = spinat_plain_load32(ip + 4);
	meta->ttl = ip[8];
	return true;
#else
	RTE_SET_USED(p);
	RTE_SET_USED(frame);
	RTE_SET_USED(len);
	RTE_SET_USED(pkt_len);
	RTE_SET_USED(verify_ip_csum);
	RTE_SET_USED(tail);
	RTE_SET_USED(meta);
	return false;
#endif
}

#endif
