/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 the spinat authors
 */
#include <string.h>

#include <rte_common.h>
#include <rte_tcp.h>

#include "packet/checksum.h"
#include "packet/tcp_mss.h"

#define OPTION_END 0
#define OPTION_NOP 1
#define OPTION_MSS 2
#define OPTION_MSS_LEN 4

/* Writes a value at an offset of the TCP header and mends the checksum by difference. */
static void
put16(uint8_t *tcp, uint32_t at, rte_be16_t value)
{
	struct rte_tcp_hdr *hdr = (struct rte_tcp_hdr *)tcp;
	rte_be16_t old;
	uint16_t delta;

	memcpy(&old, tcp + at, sizeof(old));
	memcpy(tcp + at, &value, sizeof(value));
	delta = spinat_csum_delta16(old, value);
	/* at an odd offset its bytes stand in the other halves of two words (RFC 1071 2 B) */
	if (at % 2 != 0)
		delta = rte_bswap16(delta);
	hdr->cksum = spinat_csum_apply(hdr->cksum, delta);
}

bool
spinat_tcp_clamp_mss(uint8_t *tcp, uint32_t len, uint16_t mss)
{
	const uint32_t hlen = (((const struct rte_tcp_hdr *)tcp)->data_off >> 4) * 4;
	const uint32_t end = RTE_MIN(len, hlen);
	uint32_t at = sizeof(struct rte_tcp_hdr);
	rte_be16_t offered;

	while (at + 1 < end && tcp[at] != OPTION_END) {
		if (tcp[at] == OPTION_NOP) {
			at++;
			continue;
		}
		if (tcp[at] == OPTION_MSS) {
			if (tcp[at + 1] != OPTION_MSS_LEN || at + OPTION_MSS_LEN > end)
				return false;
			memcpy(&offered, tcp + at + 2, sizeof(offered));
			if (rte_be_to_cpu_16(offered) <= mss)
				return false;
			put16(tcp, at + 2, rte_cpu_to_be_16(mss));
			return true;
		}
		if (tcp[at + 1] < 2)
			return false;
		at += tcp[at + 1];
	}
	return false;
}
