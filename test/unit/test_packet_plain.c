/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 the spinat authors
 */
#include <stddef.h>
#include <stdlib.h>

#include "packet/plain.h"
#include "packet_samples.h"
#include "test_packet.h"

/* The short way takes what it should, and says of it what the parser says. */

#define META_BYTES (offsetof(struct spinat_meta, seq) + sizeof(uint32_t))

static bool
parse_short(const struct pkt *p, bool other_mac, struct spinat_meta *meta)
{
	struct rte_ether_addr mac;
	struct spinat_plain plain;
	uint8_t *copy = malloc(p->len);
	bool taken;

	pkt_assert(copy != NULL);
	memcpy(copy, p->data, p->len);
	memcpy(&mac, copy, sizeof(mac));
	mac.addr_bytes[5] ^= other_mac;
	spinat_plain_init(&plain, &mac);
	memset(meta, 0xa5, sizeof(*meta));
	taken = spinat_parse_plain(&plain, copy, p->len, p->len, true, 0, meta);
	free(copy);
	return taken;
}

/* Drops that only what has no flow can meet with. */
static bool
looked_at_later(const struct spinat_meta *full)
{
	return full->drop == SPINAT_DROP_IP_SOURCE || full->drop == SPINAT_DROP_IP_DESTINATION ||
	       full->drop == SPINAT_DROP_SPI_ZERO || full->drop == SPINAT_DROP_SPI_RESERVED;
}

static bool
should_take(const struct pkt *p, const struct spinat_meta *full)
{
	return full->kind != SPINAT_KIND_BAD && p->len >= SPINAT_PLAIN_MIN &&
	       full->l3 == SPINAT_PLAIN_L3 && full->l4 == SPINAT_PLAIN_L4 &&
	       !(full->flags & SPINAT_META_FRAG) &&
	       (full->key.proto == IPPROTO_TCP || full->key.proto == IPPROTO_ESP ||
		       (full->key.proto == IPPROTO_UDP &&
			       full->key.ports != RTE_STATIC_BSWAP16(SPINAT_IKE_PORT) * 0x10001u));
}

#ifdef RTE_ARCH_X86
START_TEST(short_way_says_what_the_parser_says)
{
	unsigned int taken = 0;

	srand48(test_seed);
	for (int i = 0; i < 400000; i++) {
		struct spinat_meta full, brief;
		struct pkt p;

		sample_build(
			&p, lrand48() % S_COUNT, lrand48() % 8 == 0, lrand48() % 8 == 0 ? 4 : 0);
		/* up to three bytes changed, mostly of headers; mostly with a right checksum */
		for (int n = lrand48() % 4; n > 0; n--)
			p.data[12 + lrand48() % (p.len - 12) % 48] = lrand48();
		if (lrand48() % 8 != 0 && p.l4 > p.l3)
			ref_seal_ip(p.data + p.l3, p.l4 - p.l3);
		full = parse_pkt(&p);
		if (!parse_short(&p, false, &brief)) {
			ck_assert(!should_take(&p, &full));
			continue;
		}
		taken++;
		ck_assert(!parse_short(&p, true, &full));
		full = parse_pkt(&p);
		ck_assert(spinat_plain_is_good(&brief) == (full.kind != SPINAT_KIND_BAD));
		if (full.kind == SPINAT_KIND_BAD)
			ck_assert(looked_at_later(&full));
		else
			ck_assert_mem_eq(&full, &brief, META_BYTES);
	}
	ck_assert_uint_gt(taken, 50000);
}
END_TEST
#endif

TCase *
test_plain(void)
{
	TCase *t = tcase_create("plain");

	tcase_set_timeout(t, 60);
#ifdef RTE_ARCH_X86
	tcase_add_test(t, short_way_says_what_the_parser_says);
#endif
	return t;
}
