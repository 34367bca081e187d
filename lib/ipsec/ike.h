/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 the spinat authors
 */
#ifndef SPINAT_IPSEC_IKE_H
#define SPINAT_IPSEC_IKE_H

#include <stdbool.h>
#include <stdint.h>

/* The clear part of an IKE message (RFC 2408 3.1, RFC 7296 3.1): all that a NAT can and may read. */

#define SPINAT_IKE_HDR_LEN 28

/* Exchange types: IKEv1 (RFC 2408, 2409) and IKEv2 (RFC 7296, 9242). */
enum spinat_ike_exchange {
	SPINAT_IKE1_BASE = 1,
	SPINAT_IKE1_MAIN = 2,
	SPINAT_IKE1_AUTH_ONLY = 3,
	SPINAT_IKE1_AGGRESSIVE = 4,
	SPINAT_IKE1_INFORMATIONAL = 5,
	SPINAT_IKE1_CONFIG = 6, /* mode-config, XAUTH */
	SPINAT_IKE1_QUICK = 32,
	SPINAT_IKE1_NEW_GROUP = 33,
	SPINAT_IKE2_SA_INIT = 34,
	SPINAT_IKE2_AUTH = 35,
	SPINAT_IKE2_CREATE_CHILD_SA = 36,
	SPINAT_IKE2_INFORMATIONAL = 37,
	SPINAT_IKE2_INTERMEDIATE = 43,
};

struct spinat_ike_hdr {
	uint64_t init_spi; /* initiator's SPI / cookie, as on the wire */
	uint64_t resp_spi; /* 0 in the first message */
	uint32_t message_id; /* host order */
	uint32_t length; /* host order, of the whole message */
	uint8_t next_payload;
	uint8_t major; /* 1 or 2 */
	uint8_t exchange; /* enum spinat_ike_exchange, or another number */
	uint8_t flags;
	bool initiator; /* v2: sent by the original initiator; v1: not known, false */
	bool response; /* v2: a response; v1: not known, false */
	bool encrypted; /* v1: E flag; v2: next payload is SK or SKF */
};

/**
 * Reads an IKE header.
 *
 * @param p, len UDP payload (behind the non-ESP marker on port 4500)
 * @return 0; -EMSGSIZE where it is shorter than the header; -EINVAL where initiator SPI is 0, the
 *         version is neither 1 nor 2, or the length is under 28
 */
int spinat_ike_parse(const uint8_t *p, uint32_t len, struct spinat_ike_hdr *hdr);

/** What a client and port 500 or 4500 of a gateway say to each other over UDP (RFC 3948 2). */
enum spinat_ike_udp {
	SPINAT_IKE_UDP_NONE, /* nothing of IPsec, or malformed */
	SPINAT_IKE_UDP_IKE, /* an IKE message */
	SPINAT_IKE_UDP_ESP, /* on port 4500: ESP in UDP */
	SPINAT_IKE_UDP_KEEPALIVE, /* on port 4500: said by who has found a NAT before itself */
};

/**
 * Reads the payload of a UDP datagram.
 *
 * @param natt the gateway's port is 4500, else 500
 * @param p, len what can be read of it
 * @param whole bytes of it in all, at least len; more than that of a first fragment
 * @param hdr filled where it is an IKE message
 */
enum spinat_ike_udp spinat_ike_udp_parse(
	bool natt, const uint8_t *p, uint32_t len, uint32_t whole, struct spinat_ike_hdr *hdr);

#endif
