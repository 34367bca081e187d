/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 the spinat authors
 */
#ifndef SPINAT_PACKET_CHECKSUM_H
#define SPINAT_PACKET_CHECKSUM_H

#include <stdint.h>

#include <rte_byteorder.h>

/*
 * Incremental Internet checksums (RFC 1624 equation 3: HC' = ~(~HC + ~m + m')).
 * A delta is the folded one's complement sum of ~m + m' over all 16-bit words that change. It is a
 * property of the session, computed once; a packet costs one addition and one fold.
 * Everything is in the byte order of the wire: one's complement sums do not care (RFC 1071 2 B).
 */

/** Folds a 32-bit one's complement sum to 16 bits. */
static inline uint16_t
spinat_csum_fold(uint32_t sum)
{
	/* the sum of the halves stands in the upper one, with the carry of the lower one's */
	return (uint16_t)((sum + (sum << 16 | sum >> 16)) >> 16);
}

/** Delta of changing one 16-bit word. */
static inline uint16_t
spinat_csum_delta16(rte_be16_t from, rte_be16_t to)
{
	return spinat_csum_fold((uint32_t)(uint16_t)~from + to);
}

/** Delta of changing one 32-bit word (an address). */
static inline uint16_t
spinat_csum_delta32(rte_be32_t from, rte_be32_t to)
{
	from = ~from;
	return spinat_csum_fold((from & 0xffff) + (from >> 16) + (to & 0xffff) + (to >> 16));
}

/** Delta of two deltas. */
static inline uint16_t
spinat_csum_delta_add(uint16_t a, uint16_t b)
{
	return spinat_csum_fold((uint32_t)a + b);
}

/** Applies a delta to a checksum field. */
static inline uint16_t
spinat_csum_apply(uint16_t csum, uint16_t delta)
{
	return ~spinat_csum_fold((uint32_t)(uint16_t)~csum + delta);
}

/**
 * Applies a delta to a UDP checksum field: 0 means "none" and stays (RFC 768, RFC 3948 2.1), and a
 * computed 0 is sent as 0xffff.
 */
static inline uint16_t
spinat_csum_apply_udp(uint16_t csum, uint16_t delta)
{
	if (csum == 0)
		return 0;
	csum = spinat_csum_apply(csum, delta);
	return csum == 0 ? 0xffff : csum;
}

#endif
