/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 the spinat authors
 */
#include <string.h>

#include <rte_thash.h>

#include "nat/hash.h"
#include "rss.h"

#define KEY 40
#define TABLE_MASK 127
#define CHOICES 8

/* Microsoft's, which most drivers have by default; and the one that both ways hash alike with. */
static const uint8_t plain_key[KEY] = {0x6d, 0x5a, 0x56, 0xda, 0x25, 0x5b, 0x0e, 0xc2, 0x41, 0x67,
	0x25, 0x3d, 0x43, 0xa3, 0x8f, 0xb0, 0xd0, 0xca, 0x2b, 0xcb, 0xae, 0x7b, 0x30, 0xb4, 0x77,
	0xcb, 0x2d, 0xa3, 0x80, 0x30, 0xf2, 0x0c, 0x6a, 0x42, 0xb7, 0x3b, 0xbe, 0xac, 0x01, 0xfa};

static unsigned int
worker_of(const uint8_t *key, const struct bench_step *s, unsigned int workers)
{
	const struct spinat_key k = {.ports = s->ports};
	uint32_t tuple[3] = {rte_be_to_cpu_32(s->src), rte_be_to_cpu_32(s->dst),
		(uint32_t)rte_be_to_cpu_16(k.sport) << 16 | rte_be_to_cpu_16(k.dport)};
	const uint32_t len = s->kind == BENCH_ESP ? 2 : 3;

	return (rte_softrss(tuple, len, key) & TABLE_MASK) % workers;
}

static unsigned int
owner_of(const struct bench_flow *f, unsigned int workers)
{
	const bool ipsec = f->kind == BENCH_ESP || f->kind == BENCH_IKE;

	return spinat_owner(ipsec ? f->remote : f->inside, 0, workers);
}

void
bench_rss_shares(const struct bench_flow *flows, uint32_t n, enum bench_kind kind,
	unsigned int workers, bool symmetric, struct bench_rss *shares)
{
	uint64_t looked = 0, handed = 0, handed_in = 0, met = 0, chosen = 0;
	uint8_t key[KEY];

	memcpy(key, plain_key, sizeof(key));
	for (unsigned int i = 0; symmetric && i < KEY; i++)
		key[i] = i % 2 == 0 ? 0x6d : 0x5a;
	for (uint32_t i = 0; i < n; i++) {
		struct bench_flow f = flows[i];
		const struct bench_step out = bench_plan_step(&f, i, SPINAT_OUT, false);
		const unsigned int w = worker_of(key, &out, workers);
		bool same = false;

		if (f.kind != kind)
			continue;
		looked++;
		handed += w != owner_of(&f, workers);
		for (unsigned int c = 0; c < CHOICES && !same; c++) {
			const struct bench_step in = bench_plan_step(&f, i, SPINAT_IN, false);

			same = worker_of(key, &in, workers) == w;
			met += c == 0 && same;
			handed_in +=
				c == 0 && worker_of(key, &in, workers) != owner_of(&f, workers);
			/* the next one of the same parity */
			f.outside_port = rte_cpu_to_be_16(rte_be_to_cpu_16(f.outside_port) + 2);
		}
		chosen += same;
	}
	memset(shares, 0, sizeof(*shares));
	shares->flows = looked;
	if (looked == 0)
		return;
	shares->handed = (double)handed / looked;
	shares->handed_in = (double)handed_in / looked;
	shares->met = (double)met / looked;
	shares->met_chosen = (double)chosen / looked;
}
