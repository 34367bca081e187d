/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 the spinat authors
 */
#include <string.h>

#include <rte_byteorder.h>
#include <rte_ip.h>
#include <rte_tcp.h>

#include "packet/tcp_mss.h"
#include "test_packet.h"

/* The MSS option of a SYN, wherever it stands. */

static const struct {
	uint8_t options[12];
	uint8_t len; /* of the options in the header */
	int at; /* where the clamped value stands; -1: nothing is changed */
} cases[] = {
	{{2, 4, 0x05, 0xb4}, 4, 2},
	{{1, 2, 4, 0x05, 0xb4, 0, 0, 0}, 8, 3}, /* odd offset */
	{{4, 2, 8, 10, 1, 1, 1, 1, 1, 1, 1, 1}, 12, -1}, /* other options alone */
	{{3, 3, 7, 2, 4, 0x05, 0xb4, 1}, 8, 5},
	{{2, 4, 0x02, 0x18}, 4, -1}, /* 536: smaller */
	{{2, 4, 0x05, 0x50}, 4, -1}, /* 1360: as large */
	{{0, 2, 4, 0x05, 0xb4, 0, 0, 0}, 8, -1}, /* behind the end of the list */
	{{2, 3, 0x05, 0xb4}, 4, -1}, /* wrong length */
	{{5, 0, 2, 4, 0x05, 0xb4, 0, 0}, 8, -1}, /* an option without length */
	{{1, 1, 2, 4}, 4, -1}, /* cut off */
	{{0}, 0, -1},
};

START_TEST(mss_is_lowered)
{
	uint8_t tcp[sizeof(struct rte_tcp_hdr) + sizeof(cases[0].options)] = {0}, was[sizeof(tcp)];
	struct rte_tcp_hdr *hdr = (struct rte_tcp_hdr *)tcp;
	const uint32_t len = sizeof(*hdr) + cases[_i].len;

	hdr->data_off = len / 4 << 4;
	hdr->sent_seq = 0x12345678;
	memcpy(tcp + sizeof(*hdr), cases[_i].options, cases[_i].len);
	hdr->cksum = ~rte_raw_cksum(tcp, len);
	memcpy(was, tcp, sizeof(was));
	ck_assert_int_eq(spinat_tcp_clamp_mss(tcp, len, 1360), cases[_i].at >= 0);
	ck_assert_uint_eq(rte_raw_cksum(tcp, len), 0xffff);
	if (cases[_i].at >= 0) {
		const uint8_t *value = tcp + sizeof(*hdr) + cases[_i].at;

		ck_assert_uint_eq(value[0] << 8 | value[1], 1360);
		/* cut before the value, it is left alone */
		memcpy(tcp, was, sizeof(was));
		ck_assert(!spinat_tcp_clamp_mss(tcp, value + 1 - tcp, 1360));
	}
	ck_assert(cases[_i].at >= 0 || memcmp(was, tcp, sizeof(was)) == 0);
}
END_TEST

TCase *
test_mss(void)
{
	TCase *t = tcase_create("mss");

	tcase_add_loop_test(t, mss_is_lowered, 0, RTE_DIM(cases));
	return t;
}
