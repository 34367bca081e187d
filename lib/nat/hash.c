/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 the spinat authors
 */
#include <stdlib.h>
#include <sys/random.h>

#include <rte_cpuflags.h>
#include <rte_debug.h>
#include <rte_jhash.h>
#include <rte_vect.h>

#include "nat/hash.h"

uint32_t spinat_owner_seed;
static uint32_t seed[12] __rte_aligned(16);

static void
hash_burst_jhash(const struct spinat_key *const *keys, unsigned int n, uint64_t *hashes)
{
	for (unsigned int i = 0; i < n; i++) {
		uint32_t low = seed[0], high = seed[1];

		rte_jhash_32b_2hashes((const uint32_t *)keys[i], 4, &low, &high);
		hashes[i] = (uint64_t)high << 32 | low;
	}
}

void (*spinat_hash_burst)(
	const struct spinat_key *const *keys, unsigned int n, uint64_t *hashes) = hash_burst_jhash;

#ifdef RTE_ARCH_X86
/* Two AES rounds spread every key bit over the whole state; the third mixes in the last secret, so
 * that what an observer learns of one bucket says nothing of another. */
__attribute__((target("aes,sse4.1"))) static void
hash_burst_aes(const struct spinat_key *const *keys, unsigned int n, uint64_t *hashes)
{
	const __m128i k0 = _mm_load_si128((const __m128i *)&seed[0]);
	const __m128i k1 = _mm_load_si128((const __m128i *)&seed[4]);
	const __m128i k2 = _mm_load_si128((const __m128i *)&seed[8]);

	for (unsigned int i = 0; i < n; i++) {
		__m128i h = _mm_xor_si128(_mm_load_si128((const __m128i *)keys[i]), k0);

		h = _mm_aesenc_si128(h, k1);
		h = _mm_aesenc_si128(h, k2);
		h = _mm_aesenc_si128(h, k0);
		hashes[i] = _mm_cvtsi128_si64(h);
	}
}
#endif

void
spinat_hash_init(void)
{
	if (getrandom(seed, sizeof(seed), 0) != sizeof(seed) ||
		getrandom(&spinat_owner_seed, sizeof(spinat_owner_seed), 0) !=
			sizeof(spinat_owner_seed))
		rte_panic("no random seed to be had from the kernel\n");
#ifdef RTE_ARCH_X86
	if (rte_cpu_get_flag_enabled(RTE_CPUFLAG_AES) > 0)
		spinat_hash_burst = hash_burst_aes;
#endif
}
