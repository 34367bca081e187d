/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 the spinat authors
 */
#ifndef SPINAT_PACKET_ICMP_ERROR_H
#define SPINAT_PACKET_ICMP_ERROR_H

#include <stdbool.h>
#include <stdint.h>

#include <rte_byteorder.h>

#include "packet/packet.h"

/**
 * How the packet quoted in an ICMP error, and the error's own header, are rewritten (RFC 5508 4.2).
 * An error that comes in quotes a packet that went out: its quoted source is the outside endpoint
 * and becomes the inside one. An error that goes out quotes a packet that came in: its quoted
 * destination is the inside endpoint and becomes the outside one.
 */
struct spinat_icmp_rewrite {
	rte_be32_t outer_src; /* new source of the error */
	rte_be32_t outer_dst; /* new destination of the error */
	rte_be32_t quoted_addr; /* new quoted source or destination */
	rte_be16_t quoted_port; /* new quoted port or query identifier; ignored unless KIND_FLOW */
	bool quoted_is_src; /* the quoted source changes, else the quoted destination */
};

/**
 * Verifies the ICMP checksum of an error (RFC 5508 REQ-3 a). Whole message in one segment.
 *
 * @return true where it is right
 */
bool spinat_icmp_error_verify(const uint8_t *frame, const struct spinat_meta *outer);

/**
 * Rewrites an ICMP error and its quote in place; IPv4, ICMP and quoted checksums are right
 * afterwards (the quoted transport checksum is updated where the quote holds it, UDP 0 stays 0).
 *
 * @param frame whole frame in one segment
 * @param outer, inner from spinat_parse and spinat_parse_quote
 */
void spinat_icmp_error_rewrite(uint8_t *frame, const struct spinat_meta *outer,
	const struct spinat_meta *inner, const struct spinat_icmp_rewrite *rw);

/**
 * Writes an ICMP error about a packet into a buffer: IPv4 header (TTL 64, DF clear, checksum set),
 * ICMP header, and the quote, up to 576 bytes of IPv4 in all (RFC 1812 4.3.2.3).
 *
 * @param buf  room for 576 bytes; the IPv4 header starts here
 * @param ip   IPv4 header of the offending packet
 * @param ip_len bytes of it that can be read
 * @param src  the box's own address on the interface the packet came from
 * @param type, code  ICMP type and code
 * @param mtu  next-hop MTU for 3/4, else 0
 * @return length in bytes of the IPv4 packet written, 0 where no error may be sent about this packet
 *         (an ICMP error, a later fragment, not unicast; RFC 1122 3.2.2)
 */
uint16_t spinat_icmp_error_build(uint8_t *buf, const uint8_t *ip, uint16_t ip_len, rte_be32_t src,
	uint8_t type, uint8_t code, uint16_t mtu);

#endif
