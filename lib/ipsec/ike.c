/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 the spinat authors
 */
#include <errno.h>
#include <string.h>

#include <rte_byteorder.h>

#include "ipsec/ike.h"

/* Flags (RFC 2408 3.1, RFC 7296 3.1). */
#define IKE1_FLAG_ENCRYPTION 0x01
#define IKE2_FLAG_INITIATOR 0x08
#define IKE2_FLAG_RESPONSE 0x20

/* Encrypted payloads of IKEv2 (RFC 7296 3.14, RFC 7383 2.5). */
#define IKE2_PAYLOAD_SK 46
#define IKE2_PAYLOAD_SKF 53

/* Before IKE on port 4500, where ESP has its SPI (RFC 3948 2.2). */
#define NON_ESP_MARKER_LEN 4
/* ESP has an SPI and a sequence number, and SPIs up to this one are reserved (RFC 4303 2.1). */
#define ESP_HDR_LEN 8
#define SPI_RESERVED_MAX 255
#define KEEPALIVE 0xff /* the only byte of one (RFC 3948 2.3) */

struct ike_wire {
	uint64_t init_spi;
	uint64_t resp_spi;
	uint8_t next_payload;
	uint8_t version; /* major, minor: four bits each */
	uint8_t exchange;
	uint8_t flags;
	rte_be32_t message_id;
	rte_be32_t length;
} __rte_packed;

_Static_assert(sizeof(struct ike_wire) == SPINAT_IKE_HDR_LEN, "IKE header is 28 bytes");

int
spinat_ike_parse(const uint8_t *p, uint32_t len, struct spinat_ike_hdr *hdr)
{
	struct ike_wire w;

	if (len < sizeof(w))
		return -EMSGSIZE;
	memcpy(&w, p, sizeof(w));
	hdr->init_spi = w.init_spi;
	hdr->resp_spi = w.resp_spi;
	hdr->message_id = rte_be_to_cpu_32(w.message_id);
	hdr->length = rte_be_to_cpu_32(w.length);
	hdr->next_payload = w.next_payload;
	hdr->major = w.version >> 4;
	hdr->exchange = w.exchange;
	hdr->flags = w.flags;
	if (hdr->init_spi == 0 || hdr->length < sizeof(w))
		return -EINVAL;
	switch (hdr->major) {
	case 1:
		hdr->initiator = false;
		hdr->response = false;
		hdr->encrypted = (w.flags & IKE1_FLAG_ENCRYPTION) != 0;
		return 0;
	case 2:
		hdr->initiator = (w.flags & IKE2_FLAG_INITIATOR) != 0;
		hdr->response = (w.flags & IKE2_FLAG_RESPONSE) != 0;
		hdr->encrypted =
			w.next_payload == IKE2_PAYLOAD_SK || w.next_payload == IKE2_PAYLOAD_SKF;
		return 0;
	default:
		return -EINVAL;
	}
}

enum spinat_ike_udp
spinat_ike_udp_parse(
	bool natt, const uint8_t *p, uint32_t len, uint32_t whole, struct spinat_ike_hdr *hdr)
{
	rte_be32_t spi;

	if (natt) {
		if (whole == 1 && len == 1)
			return *p == KEEPALIVE ? SPINAT_IKE_UDP_KEEPALIVE : SPINAT_IKE_UDP_NONE;
		if (len < NON_ESP_MARKER_LEN)
			return SPINAT_IKE_UDP_NONE;
		memcpy(&spi, p, sizeof(spi));
		if (spi != 0)
			return len >= ESP_HDR_LEN && rte_be_to_cpu_32(spi) > SPI_RESERVED_MAX
				       ? SPINAT_IKE_UDP_ESP
				       : SPINAT_IKE_UDP_NONE;
		p += NON_ESP_MARKER_LEN;
		len -= NON_ESP_MARKER_LEN;
		whole -= NON_ESP_MARKER_LEN;
	}
	/* what is longer than its datagram is something else that looks like it */
	return spinat_ike_parse(p, len, hdr) == 0 && hdr->length <= whole ? SPINAT_IKE_UDP_IKE
									  : SPINAT_IKE_UDP_NONE;
}
