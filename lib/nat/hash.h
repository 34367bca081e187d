/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 the spinat authors
 */
#ifndef SPINAT_NAT_HASH_H
#define SPINAT_NAT_HASH_H

#include <stdint.h>

#include <rte_byteorder.h>

#include "packet/packet.h"

/*
 * Keyed hashing of 16-byte keys. Not linear in its random seed (as CRC32C is), so that an outsider
 * who picks addresses, ports and SPIs can not build long buckets: AES rounds where the CPU has
 * AES-NI, Jenkins' hash otherwise.
 */

/** Draws the seed and chooses the function. Once, control lcore, before any other call. */
void spinat_hash_init(void);

/** Hashes n keys. Any lcore. */
extern void (*spinat_hash_burst)(
	const struct spinat_key *const *keys, unsigned int n, uint64_t *hashes);

/** Hashes one key. Any lcore. */
static inline uint64_t
spinat_hash_key(const struct spinat_key *key)
{
	uint64_t hash;

	spinat_hash_burst(&key, 1, &hash);
	return hash;
}

/**
 * Which of n owners has the state of an address. Spread by a seed of the process, so that nobody
 * outside can aim at one worker. Any lcore.
 */
extern uint32_t spinat_owner_seed;
static inline unsigned int
spinat_owner(rte_be32_t addr, uint16_t realm, unsigned int n)
{
	uint64_t h = ((uint64_t)addr << 16 | realm) ^ spinat_owner_seed;

	h *= 0x9e3779b97f4a7c15u;
	h ^= h >> 32;
	h *= 0xd6e8feb86659fd93u;
	return (unsigned int)(((h >> 32) * n) >> 32);
}

#endif
