/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 the spinat authors
 */
#ifndef SPINAT_PACKET_PACKET_H
#define SPINAT_PACKET_PACKET_H

#include <stdbool.h>
#include <stdint.h>

#include <rte_byteorder.h>
#include <rte_common.h>

#include "packet/drop.h"

/*
 * From headers to metadata. Pure functions of the bytes: no mbuf, no table, no time, any lcore.
 * Addresses, ports, SPIs and IKE SPIs stay in network byte order, lengths and offsets are in
 * host order and in bytes.
 */

#define SPINAT_IKE_PORT 500
#define SPINAT_NATT_PORT 4500

/** What the worker has to do with a packet. */
enum spinat_kind {
	SPINAT_KIND_BAD, /* malformed: meta.drop says how */
	SPINAT_KIND_ARP, /* for the control lcore */
	SPINAT_KIND_FLOW, /* UDP, TCP, ICMP query: key has the ports or the query identifier */
	SPINAT_KIND_SPI, /* ESP, AH: key has the SPI */
	SPINAT_KIND_IKE, /* UDP from port 500 to port 500 with a whole IKE header */
	SPINAT_KIND_ICMP_ERROR, /* destination unreachable, time exceeded, parameter problem, ... */
	SPINAT_KIND_OTHER, /* any other protocol: key has the addresses, ports are 0 */
};

/** Direction of a packet at the NAT. */
enum spinat_dir {
	SPINAT_OUT, /* from inside to outside */
	SPINAT_IN, /* from outside to inside */
};

/**
 * What the flow table is keyed by: 16 bytes, so that rte_hash compares them with one SSE load.
 * Addresses and ports are those of the packet as it arrives. ICMP queries have the identifier in
 * sport (request) or dport (reply) and 0 in the other. dir and realm are filled by the worker;
 * realm is 0 for SPINAT_IN, where the destination address alone says it.
 */
struct spinat_key {
	rte_be32_t src;
	rte_be32_t dst;
	union {
		struct {
			rte_be16_t sport;
			rte_be16_t dport;
		};
		rte_be32_t spi;
		uint32_t ports; /* both ports at once */
	};
	uint8_t proto;
	uint8_t dir;
	uint16_t realm;
} __rte_aligned(16);

/** Meta flags. */
#define SPINAT_META_FRAG 0x01 /* is a fragment (first or not) */
/* not the first fragment: kind is that of the protocol number alone, ports/SPI in the key are 0, l4
 * points to payload */
#define SPINAT_META_FRAG_LATER 0x02
#define SPINAT_META_ICMP_REQUEST 0x04 /* ICMP query request (echo, timestamp), else reply */
#define SPINAT_META_DF 0x08 /* don't fragment */
#define SPINAT_META_UDP_NOCSUM 0x10 /* UDP checksum 0: keep it (RFC 3022 4.1, RFC 3948 2.1) */

/** One packet's metadata: what every later stage reads in place of the headers. */
struct spinat_meta {
	struct spinat_key key;
	uint8_t kind; /* enum spinat_kind */
	uint8_t drop; /* enum spinat_drop, where kind is SPINAT_KIND_BAD */
	uint8_t flags; /* SPINAT_META_* */
	uint8_t tcp_flags; /* RTE_TCP_*_FLAG of a TCP segment */
	uint16_t l3; /* offset of the IPv4 header in the frame */
	uint16_t l4; /* offset of what follows the IPv4 header */
	uint16_t l3_len; /* IPv4 total length; the frame may be longer (padding) */
	uint16_t vlan; /* VLAN identifier, 0 where untagged */
	uint16_t frag_off; /* offset of a fragment's payload in its datagram, bytes */
	rte_be16_t ip_id;
	uint8_t ttl;
	uint8_t icmp_type;
	uint8_t icmp_code;
	uint8_t more_frags;
	uint32_t seq; /* ESP/AH sequence number, host order; TCP sequence number */
};

/**
 * Parses one frame.
 *
 * @param frame  first byte of the Ethernet header, contiguous
 * @param len    bytes that can be read at frame (first segment)
 * @param pkt_len bytes of the whole packet (all segments), >= len
 * @param verify_ip_csum false where the device has verified the IPv4 header checksum
 * @param meta   filled whole; on SPINAT_KIND_BAD only kind, drop (and vlan, l3, where known)
 *
 * Checks, each with a reason of its own: Ethernet, one 802.1Q tag, IPv4 version, header length,
 * total length against the frame, header checksum, source address that no host can have (0/8,
 * 127/8, 224/3), destination that is not unicast, the transport header, UDP length against the
 * IPv4 length (unfragmented), TCP data offset and impossible flags, AH length, SPI 0 and 1 to 255,
 * the ICMP type. A first fragment must hold the ports or SPI (8 bytes; 20 for TCP, 12 for AH),
 * RFC 1858. Bytes that the IPv4 length counts but the first segment does not hold are truncated.
 * IKE: kind IKE wants ports 500 to 500 and is BAD where the header is short (28 bytes) or bad (see
 * ike.h for its parser; here: initiator SPI not 0, major version 1 or 2, length >= 28 and <= the UDP
 * header's). UDP on 500 of one byte 0xFF (keepalive) is a KIND_FLOW.
 */
void spinat_parse(const uint8_t *frame, uint32_t len, uint32_t pkt_len, bool verify_ip_csum,
	struct spinat_meta *meta);

/**
 * Parses the packet quoted in an ICMP error: IPv4 header and at least 8 bytes after it, often cut
 * (RFC 792), so no lengths or checksums of it are trusted (RFC 5508 REQ-3).
 *
 * @param frame, len as for spinat_parse
 * @param outer metadata of the error itself
 * @param inner filled: key, kind (FLOW, SPI, IKE, OTHER), l3, l4 (offsets in frame), flags; l3_len is
 *              what can be read of the quote from its IPv4 header on, not what that header says.
 *              Kind IKE goes by the ports alone: l3_len tells whether the SPIs are there. A quoted
 *              later fragment has SPINAT_META_FRAG_LATER and no ports
 * @return 0, or -EINVAL where there is no readable IPv4 header and 8 bytes in the quote, or where it
 *         is itself an ICMP error or of an ICMP type that is not translated
 */
int spinat_parse_quote(const uint8_t *frame, uint32_t len, const struct spinat_meta *outer,
	struct spinat_meta *inner);

#endif
