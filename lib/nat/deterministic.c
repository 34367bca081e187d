/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 the spinat authors
 */
#include <rte_common.h>

#include "nat/deterministic.h"

/* Hosts of the prefix, less one. */
static uint32_t
host_mask(const struct spinat_realm_conf *realm)
{
	return realm->inside.len == 32 ? 0 : UINT32_MAX >> realm->inside.len;
}

bool
spinat_deterministic_block(const struct spinat_conf *conf, uint16_t realm, rte_be32_t inside,
	rte_be32_t *outside, uint16_t *first)
{
	const struct spinat_realm_conf *r = &conf->realms[realm];
	const uint32_t host = rte_be_to_cpu_32(inside) ^ rte_be_to_cpu_32(r->inside.addr);
	const uint32_t addr = rte_reciprocal_divide(host & host_mask(r), r->per_addr);

	if (host > host_mask(r))
		return false;
	*outside = conf->pool_addrs[r->first_addr + addr];
	*first = r->block_first + (host - addr * r->blocks) * r->block_size;
	return true;
}

rte_be32_t
spinat_deterministic_host(
	const struct spinat_conf *conf, const struct spinat_outside_addr *o, rte_be16_t port)
{
	const struct spinat_realm_conf *r = &conf->realms[o->realm];
	const uint32_t offset = rte_be_to_cpu_16(port) - r->block_first;
	const uint32_t block = offset >> __builtin_ctz(r->block_size);
	const uint32_t host = (o->pool_index - r->first_addr) * r->blocks + block;

	if (rte_be_to_cpu_16(port) < r->block_first || block >= r->blocks || host > host_mask(r))
		return 0;
	return r->inside.addr | rte_cpu_to_be_32(host);
}
