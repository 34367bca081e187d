/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 the spinat authors
 */
#ifndef SPINAT_PACKET_IPV4_H
#define SPINAT_PACKET_IPV4_H

#include <stdint.h>

#include <rte_byteorder.h>

/**
 * 1 for an address that no host can have: 0/8, 127/8 and 224/3 (RFC 1122 3.2.1.3), else 0. A number
 * without a branch in it, so that the parser asks about source and destination with one.
 */
static inline unsigned int
spinat_ipv4_no_host(rte_be32_t addr)
{
	uint8_t first = *(const uint8_t *)&addr;

	return (unsigned int)((uint8_t)(first - 1) >= 223) | (unsigned int)(first == 127);
}

#endif
