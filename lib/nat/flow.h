/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 the spinat authors
 */
#ifndef SPINAT_NAT_FLOW_H
#define SPINAT_NAT_FLOW_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <rte_byteorder.h>
#include <rte_common.h>
#include <rte_vect.h>

#include "packet/checksum.h"
#include "packet/packet.h"

/* What a flow is: decides its timeout and what telemetry calls it. */
enum spinat_flow_type {
	SPINAT_FLOW_FREE,
	SPINAT_FLOW_SESSION, /* through a dynamic mapping */
	SPINAT_FLOW_STATIC, /* under a static rule or a redirection */
	SPINAT_FLOW_SHORTCUT, /* one SPI in one direction, put in by the binder */
};

/* Constant flags of a flow. */
#define SPINAT_FLOW_HAIRPIN 0x01 /* outbound packets turn round to another inside host */
#define SPINAT_FLOW_IN_REFRESH 0x02 /* inbound packets keep it alive */
#define SPINAT_FLOW_KEY_OUT 0x04 /* has an entry for packets from inside */
#define SPINAT_FLOW_KEY_IN 0x08 /* has an entry for packets from outside */
#define SPINAT_FLOW_IKE 0x10 /* with remote UDP port 500 or 4500: the binder looks at it */
#define SPINAT_FLOW_OPENED_IN 0x20 /* a packet from outside has made it */

/* State bits, set by whoever sees the packet (relaxed), read by the owner's sweep. TCP: */
#define SPINAT_TCP_SYN_OUT 0x01
#define SPINAT_TCP_SYN_IN 0x02
#define SPINAT_TCP_FIN_OUT 0x04
#define SPINAT_TCP_FIN_IN 0x08
#define SPINAT_TCP_RST 0x10 /* a believed one was the last segment */
#define SPINAT_TCP_ESTABLISHED 0x20 /* the handshake is complete, no RST since */
/* The same for UDP: there was ESP in it since the last IKE message, and the binder has been told. */
#define SPINAT_ESP_IN_UDP 0x01
/* ESP and AH: sequence numbers go back by themselves, there is no second SA with this SPI. */
#define SPINAT_SPI_GOES_BACK 0x01

/**
 * One flow: all that a packet needs to be translated, in one cache line. Packets only read it, but
 * for last_seen (stored when the second changes), the next hops (when routes or neighbours have come
 * or gone), the state bits, and, on SPI flows, the two
 * counts and the sequence number (one SA is received by one worker). Arrays are indexed by enum spinat_dir: [SPINAT_OUT] is
 * what replaces the source of a packet from inside, [SPINAT_IN] what replaces the destination of a
 * packet from outside, so new_addr[SPINAT_IN] is the inside address and new_addr[SPINAT_OUT] the
 * outside one.
 */
struct spinat_flow {
	/* what both keys are made of, in this order: spinat_flow_has_key() */
	rte_be32_t new_addr[2];
	rte_be32_t remote_addr;
	rte_be32_t spi; /* of ESP and AH, 0 of all others */
	rte_be16_t new_port[2]; /* also ICMP query identifier; 0 of ESP and AH */
	rte_be16_t remote_port;
	uint16_t realm;
	uint8_t proto;
	uint8_t type; /* enum spinat_flow_type */
	uint8_t flags;
	uint8_t state; /* SPINAT_TCP_*, SPINAT_ESP_IN_UDP or SPINAT_SPI_GOES_BACK */
	uint16_t l3_delta[2]; /* IPv4 checksum delta, TTL decrement included */
	union {
		uint16_t l4_delta[2]; /* transport checksum delta; not of ESP and AH */
		uint32_t spi_seq; /* of ESP and AH: highest sequence number, host order. Relaxed. */
	};
	uint32_t last_seen; /* seconds since start */
	uint32_t created; /* seconds since start */
	union {
		uint32_t mapping; /* index, or SPINAT_MAPPING_NONE; not of ESP and AH */
		uint32_t packets; /* of ESP and AH */
	};
	union {
		uint64_t bytes; /* of ESP and AH */
		/* TCP: sequence number that the inside host expected lately from outside, host
		 * order; 0: none yet. See nat/tcp.h */
		uint32_t tcp_expected;
	};
	/* next hops by direction, 16 bits each from bit 32 on, and below the generation of the
	 * forwarding table that they are of; the datapath's alone. Relaxed. */
	uint64_t next_hops;
} __rte_cache_aligned;

#define SPINAT_MAPPING_NONE UINT32_MAX

_Static_assert(sizeof(struct spinat_flow) == 64, "a flow is one cache line");

/** Fills the checksum deltas from the addresses, ports and protocol. */
void spinat_flow_set_deltas(struct spinat_flow *f);

/** Writes the key by which packets of a direction find the flow. */
void spinat_flow_key(const struct spinat_flow *f, enum spinat_dir dir, struct spinat_key *key);

#ifdef RTE_ARCH_X86
/* Where the bytes of a key come from, by direction: the first and the second 16 of a flow, -1: none;
 * and what is in no flow. */
extern const int8_t spinat_flow_shuffle[2][3][16];
#endif

/** Whether that key is this one. */
static inline bool
spinat_flow_has_key(const struct spinat_flow *f, enum spinat_dir dir, const struct spinat_key *key)
{
#ifdef RTE_ARCH_X86
	const __m128i *shuffle = (const __m128i *)spinat_flow_shuffle[dir];
	const __m128i *half = (const __m128i *)f;
	__m128i own = _mm_or_si128(
		_mm_shuffle_epi8(half[0], shuffle[0]), _mm_shuffle_epi8(half[1], shuffle[1]));

	own = _mm_xor_si128(_mm_or_si128(own, shuffle[2]), *(const __m128i *)key);
	return _mm_test_all_zeros(own, own);
#else
	struct spinat_key own;

	spinat_flow_key(f, dir, &own);
	return memcmp(&own, key, sizeof(own)) == 0;
#endif
}

#endif
