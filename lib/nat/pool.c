/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 the spinat authors
 */
#include <errno.h>
#include <netinet/in.h>
#include <stdatomic.h>

#include <rte_branch_prediction.h>
#include <rte_malloc.h>
#include <rte_prefetch.h>
#include <rte_random.h>

#include "nat/deterministic.h"
#include "nat/hash.h"
#include "nat/pool.h"

#define WORDS (65536 / 64)
#define BLOCK_WORDS (1 << (SPINAT_PORT_BLOCK_SHIFT - 6))

struct spinat_ports {
	uint64_t used[SPINAT_TRANSPORTS][WORDS] __rte_cache_aligned;
	/* a bit for every 64 ports: a client's block begins there. 64 blocks of 64 ports are the
	 * least that a worker has, so no two workers write one word */
	uint64_t blocks[WORDS / 64];
};

struct slot {
	_Atomic(struct spinat_ports *) ports; /* NULL: free, and the address means nothing */
	rte_be32_t addr;
};

struct spinat_pools {
	uint32_t max, n, mask;
	struct slot slots[]; /* open addressing by address, never removed */
};

int
spinat_transport(uint8_t proto)
{
	switch (proto) {
	case IPPROTO_UDP:
		return SPINAT_UDP;
	case IPPROTO_TCP:
		return SPINAT_TCP;
	case IPPROTO_ICMP:
		return SPINAT_ICMP;
	default:
		return -1;
	}
}

struct spinat_pools *
spinat_pools_create(uint32_t max_addrs)
{
	uint32_t slots = rte_align32pow2(2 * max_addrs);
	struct spinat_pools *p =
		rte_zmalloc("spinat_pools", sizeof(*p) + slots * sizeof(p->slots[0]), 0);

	if (p == NULL)
		return NULL;
	p->max = max_addrs;
	p->mask = slots - 1;
	return p;
}

void
spinat_pools_free(struct spinat_pools *p)
{
	if (p == NULL)
		return;
	for (uint32_t i = 0; i <= p->mask; i++)
		rte_free(atomic_load_explicit(&p->slots[i].ports, memory_order_relaxed));
	rte_free(p);
}

static uint32_t
slot_of(const struct spinat_pools *p, rte_be32_t addr)
{
	return ((uint32_t)addr * 0x9e3779b1u) >> 7 & p->mask;
}

struct spinat_ports *
spinat_pools_find(const struct spinat_pools *p, rte_be32_t addr)
{
	uint32_t i = slot_of(p, addr);
	struct spinat_ports *ports;

	while ((ports = atomic_load_explicit(&p->slots[i].ports, memory_order_acquire)) != NULL) {
		if (p->slots[i].addr == addr)
			return ports;
		i = (i + 1) & p->mask;
	}
	return NULL;
}

int
spinat_pools_attach(struct spinat_pools *p, const struct spinat_conf *conf)
{
	for (uint32_t n = 0; n < conf->n_pool_addrs; n++) {
		rte_be32_t addr = conf->pool_addrs[n];
		uint32_t i = slot_of(p, addr);
		struct spinat_ports *ports;

		if (spinat_pools_find(p, addr) != NULL)
			continue;
		if (p->n == p->max)
			return -ENOSPC;
		ports = rte_zmalloc("spinat_ports", sizeof(*ports), RTE_CACHE_LINE_SIZE);
		if (ports == NULL)
			return -ENOMEM;
		while (atomic_load_explicit(&p->slots[i].ports, memory_order_relaxed) != NULL)
			i = (i + 1) & p->mask;
		p->slots[i].addr = addr;
		atomic_store_explicit(&p->slots[i].ports, ports, memory_order_release);
		p->n++;
	}
	return 0;
}

/* Bits of word w that lie in [first, last] (host order ports). */
static uint64_t
range_mask(unsigned int w, uint16_t first, uint16_t last)
{
	uint64_t mask = UINT64_MAX;

	if (w == first / 64u)
		mask &= UINT64_MAX << first % 64;
	if (w == last / 64u)
		mask &= UINT64_MAX >> (63 - last % 64);
	return w < first / 64u || w > last / 64u ? 0 : mask;
}

/* First free port of one word at or after a random bit, or 0. */
static uint16_t
pick_in_word(uint64_t word, unsigned int w, uint64_t allowed, unsigned int start,
	const struct spinat_port_wish *wish)
{
	uint64_t free = ~word & allowed;

	while (free != 0) {
		uint64_t ahead = free & UINT64_MAX << start;
		unsigned int bit = __builtin_ctzll(ahead != 0 ? ahead : free);
		uint16_t port = w * 64 + bit;

		if (port != 0 && !wish->reserved(wish->ctx, rte_cpu_to_be_16(port)))
			return port;
		free &= ~(UINT64_C(1) << bit);
	}
	return 0;
}

static uint16_t
search(const uint64_t *used, const struct spinat_port_wish *wish, uint64_t parity)
{
	/* where to begin: hard to guess (RFC 6056) */
	const uint32_t random = (uint32_t)rte_rand();
	unsigned int start = random % SPINAT_PORT_BLOCKS;

	for (unsigned int b = 0; b < SPINAT_PORT_BLOCKS; b++) {
		unsigned int block = (start + b) % SPINAT_PORT_BLOCKS;

		if (spinat_port_owner(rte_cpu_to_be_16(block << SPINAT_PORT_BLOCK_SHIFT),
			    wish->n_workers) != wish->worker)
			continue;
		for (unsigned int i = 0; i < BLOCK_WORDS; i++) {
			unsigned int w = block * BLOCK_WORDS + (i + (random >> 8)) % BLOCK_WORDS;
			uint64_t allowed = range_mask(w, wish->first, wish->last) & parity;
			uint16_t port = pick_in_word(used[w], w, allowed, random >> 16 & 63, wish);

			if (port != 0)
				return port;
		}
	}
	return 0;
}

static bool
is_free(const uint64_t *used, rte_be16_t port)
{
	const uint16_t n = rte_be_to_cpu_16(port);

	return !(used[n / 64] >> n % 64 & 1);
}

rte_be16_t
spinat_port_find(
	const struct spinat_ports *p, enum spinat_transport tp, const struct spinat_port_wish *wish)
{
	const uint64_t *used = p->used[tp];
	const uint16_t want = rte_be_to_cpu_16(wish->port);
	const uint64_t parity = want & 1 ? 0xaaaaaaaaaaaaaaaau : 0x5555555555555555u;
	uint16_t port;

	if (wish->same && want >= wish->first && want <= wish->last && want != 0 &&
		spinat_port_owner(wish->port, wish->n_workers) == wish->worker &&
		is_free(used, wish->port) && !wish->reserved(wish->ctx, wish->port))
		return wish->port;
	if (wish->found != 0 && is_free(used, wish->found))
		return wish->found;
	port = search(used, wish, parity);
	if (port == 0)
		port = search(used, wish, ~parity);
	return rte_cpu_to_be_16(port);
}

bool
spinat_port_take(struct spinat_ports *p, enum spinat_transport tp, rte_be16_t port)
{
	uint16_t n = rte_be_to_cpu_16(port);
	uint64_t bit = UINT64_C(1) << n % 64;

	if (p->used[tp][n / 64] & bit)
		return false;
	p->used[tp][n / 64] |= bit;
	return true;
}

void
spinat_port_prefetch(const struct spinat_ports *p, enum spinat_transport tp, rte_be16_t port)
{
	rte_prefetch0(&p->used[tp][rte_be_to_cpu_16(port) / 64]);
}

rte_be16_t
spinat_port_alloc_block(
	struct spinat_ports *p, enum spinat_transport tp, const struct spinat_port_wish *wish)
{
	const unsigned int first = wish->first / 64, n = wish->last / 64u - first + 1;
	const uint16_t want = rte_be_to_cpu_16(wish->port);
	const uint64_t parity = want & 1 ? 0xaaaaaaaaaaaaaaaau : 0x5555555555555555u;
	const uint64_t *used = p->used[tp];
	unsigned int start;
	uint32_t random;

	if (wish->same && want >= wish->first && want <= wish->last &&
		!wish->reserved(wish->ctx, wish->port) && spinat_port_take(p, tp, wish->port))
		return wish->port;
	random = (uint32_t)rte_rand();
	start = (uint64_t)random * n >> 32;
	for (unsigned int i = 0; i < 2 * n; i++) {
		/* once round for ports of the same parity, once more for the others */
		const unsigned int at = start + (i < n ? i : i - n);
		const unsigned int w = first + (at < n ? at : at - n);
		uint16_t port = pick_in_word(used[w], w,
			range_mask(w, wish->first, wish->last) & (i < n ? parity : ~parity),
			random & 63, wish);
		if (port != 0 && spinat_port_take(p, tp, rte_cpu_to_be_16(port)))
			return rte_cpu_to_be_16(port);
	}
	return 0;
}

bool
spinat_block_take(struct spinat_ports *p, const struct spinat_realm_conf *realm, uint16_t first)
{
	const uint64_t bit = UINT64_C(1) << (first / 64 % 64);

	if (first < realm->block_first ||
		(uint32_t)(first - realm->block_first) >=
			(uint32_t)realm->blocks * realm->block_size ||
		p->blocks[first / 64 / 64] & bit)
		return false;
	p->blocks[first / 64 / 64] |= bit;
	return true;
}

uint16_t
spinat_block_alloc(struct spinat_ports *p, const struct spinat_realm_conf *realm, uint16_t worker,
	uint16_t n_workers)
{
	const unsigned int n = realm->blocks, start = (uint64_t)(uint32_t)rte_rand() * n >> 32;

	for (unsigned int i = 0; i < n; i++) {
		const unsigned int at = start + i < n ? start + i : start + i - n;
		const uint16_t first = realm->block_first + at * realm->block_size;

		if (spinat_port_owner(rte_cpu_to_be_16(first), n_workers) == worker &&
			spinat_block_take(p, realm, first))
			return first;
	}
	return 0;
}

void
spinat_block_free(struct spinat_ports *p, uint16_t first)
{
	p->blocks[first / 64 / 64] &= ~(UINT64_C(1) << (first / 64 % 64));
}

uint32_t
spinat_blocks_used(const struct spinat_ports *p)
{
	uint32_t n = 0;

	for (unsigned int w = 0; w < RTE_DIM(p->blocks); w++)
		n += __builtin_popcountll(p->blocks[w]);
	return n;
}

void
spinat_port_free(struct spinat_ports *p, enum spinat_transport tp, rte_be16_t port)
{
	uint16_t n = rte_be_to_cpu_16(port);

	p->used[tp][n / 64] &= ~(UINT64_C(1) << n % 64);
}

uint32_t
spinat_ports_used(const struct spinat_ports *p, enum spinat_transport tp)
{
	uint32_t n = 0;

	for (unsigned int w = 0; w < WORDS; w++)
		n += __builtin_popcountll(p->used[tp][w]);
	return n;
}

rte_be32_t
spinat_pool_address(const struct spinat_conf *conf, uint16_t realm, rte_be32_t inside)
{
	const struct spinat_realm_conf *r = &conf->realms[realm];
	const rte_be32_t *addrs = &conf->pool_addrs[r->first_addr];
	uint64_t best_weight = 0;
	rte_be32_t best = 0;
	uint16_t first;

	if (r->port_allocation == SPINAT_PORTS_DETERMINISTIC)
		return spinat_deterministic_block(conf, realm, inside, &best, &first) ? best : 0;
	if (r->n_addrs == 1)
		return addrs[0];
	for (uint32_t i = 0; i < r->n_addrs; i++) {
		uint64_t weight = ((uint64_t)inside << 32 | addrs[i]) ^ spinat_owner_seed ^ realm;

		weight *= 0x9e3779b97f4a7c15u;
		weight ^= weight >> 32;
		weight *= 0xd6e8feb86659fd93u;
		weight ^= weight >> 32;
		if (best == 0 || weight > best_weight) {
			best_weight = weight;
			best = addrs[i];
		}
	}
	return best;
}
