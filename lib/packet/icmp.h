/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 the spinat authors
 */
#ifndef SPINAT_PACKET_ICMP_H
#define SPINAT_PACKET_ICMP_H

#include <stdbool.h>
#include <stdint.h>

/** ICMP types that spinat reads or sends (RFC 792, 2521). */
enum spinat_icmp_type {
	SPINAT_ICMP_ECHO_REPLY = 0,
	SPINAT_ICMP_UNREACHABLE = 3,
	SPINAT_ICMP_ECHO_REQUEST = 8,
	SPINAT_ICMP_TIME_EXCEEDED = 11,
	SPINAT_ICMP_PARAMETER = 12,
	SPINAT_ICMP_TIMESTAMP_REQUEST = 13,
	SPINAT_ICMP_TIMESTAMP_REPLY = 14,
	SPINAT_ICMP_SECURITY_FAILURE = 40, /* code 0: bad SPI; quotes the ESP or AH packet */
};

#define SPINAT_ICMP_HDR_LEN 8

/** True for a type among those of a bit mask: one comparison and one shift, no chain of tests. */
static inline bool
spinat_icmp_type_in(uint8_t type, uint64_t mask)
{
	return type < 64 && (mask >> type & 1) != 0;
}

/** Queries that are translated by their identifier, by direction (RFC 5508 3). */
#define SPINAT_ICMP_REQUESTS \
	(UINT64_C(1) << SPINAT_ICMP_ECHO_REQUEST | UINT64_C(1) << SPINAT_ICMP_TIMESTAMP_REQUEST)
#define SPINAT_ICMP_REPLIES \
	(UINT64_C(1) << SPINAT_ICMP_ECHO_REPLY | UINT64_C(1) << SPINAT_ICMP_TIMESTAMP_REPLY)

/**
 * Errors that are translated with the packet they quote (RFC 5508 4). Source quench is dead
 * (RFC 6633) and a redirect names a next hop of the other side: neither goes through.
 */
#define SPINAT_ICMP_ERRORS                                                                   \
	(UINT64_C(1) << SPINAT_ICMP_UNREACHABLE | UINT64_C(1) << SPINAT_ICMP_TIME_EXCEEDED | \
		UINT64_C(1) << SPINAT_ICMP_PARAMETER |                                       \
		UINT64_C(1) << SPINAT_ICMP_SECURITY_FAILURE)

#endif
