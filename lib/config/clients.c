/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 the spinat authors
 */
#include <errno.h>

#include "config/sections.h"
#include "config/text.h"

/* What a realm gives each of its clients: port blocks and limits. */

/* A limit of one client above that of the whole table would never be met. */
static int
check_limit(struct conf_loader *l, const config_setting_t *s, const char *key, uint32_t value,
	const char *table, uint32_t size)
{
	const config_setting_t *other = config_lookup(&l->cfg, table);

	if (value <= size)
		return 0;
	if (other == NULL)
		return conf_expected(
			l, conf_at(s, key), "at most %s, which is %u by default", table, size);
	return conf_clash(l, conf_at(s, key), "at most", other);
}

static int
check_limits(
	struct conf_loader *l, const config_setting_t *s, const struct spinat_realm_conf *realm)
{
	static const char *const keys[] = {
		[SPINAT_UDP] = "udp", [SPINAT_TCP] = "tcp", [SPINAT_ICMP] = "icmp"};
	const uint32_t sessions = l->conf->limits.sessions;
	const bool own = l->conf->limits.mappings != 0;
	const uint32_t mappings = own ? l->conf->limits.mappings : sessions;
	const char *table = own ? "limits.mappings" : "limits.sessions";
	const config_setting_t *of = conf_at(s, "client_mappings");
	unsigned int i;

	if (check_limit(l, s, "client_sessions", realm->client_sessions, "limits.sessions",
		    sessions) != 0 ||
		check_limit(l, of, "all", realm->client_mappings, table, mappings) != 0)
		return -EINVAL;
	for (i = 0; i < SPINAT_TRANSPORTS; i++)
		if (check_limit(l, of, keys[i], realm->client_mappings_of[i], table, mappings) != 0)
			return -EINVAL;
	return 0;
}

static int
check_blocks(struct conf_loader *l, const config_setting_t *s, struct spinat_realm_conf *realm)
{
	const uint32_t size = realm->block_size;
	const uint32_t first = (l->conf->port_first + size - 1) / size * size;
	const uint32_t end = (l->conf->port_last + 1) / size * size;

	if ((size & (size - 1)) != 0)
		return conf_expected(l, conf_at(s, "block_size"), "a power of two");
	if (first >= end)
		return conf_expected(l, conf_at(s, "block_size"),
			"less: no whole block begins at a multiple of it between ports.first, "
			"which is %u, and ports.last, which is %u",
			l->conf->port_first, l->conf->port_last);
	realm->block_first = first;
	realm->blocks = (end - first) / size;
	realm->per_addr = rte_reciprocal_value(realm->blocks);
	if (config_setting_get_member(s, "client_blocks") != NULL &&
		realm->client_blocks > realm->blocks)
		return conf_expected(l, conf_at(s, "client_blocks"),
			"at most %u: so many blocks of %u ports an address has between ports.first "
			"and ports.last",
			realm->blocks, size);
	return 0;
}

/* Every host of the prefix has a block, and no other host has one. */
static int
check_deterministic(
	struct conf_loader *l, const config_setting_t *s, struct spinat_realm_conf *realm)
{
	const config_setting_t *inside = config_setting_get_member(s, "inside");
	const uint64_t hosts = UINT64_C(1) << (32 - realm->inside.len);
	const config_setting_t *pool = config_setting_get_member(s, "pool");
	uint64_t blocks = 0;
	uint32_t i;

	if (inside == NULL)
		return conf_expected(l, conf_at(s, "port_allocation"),
			"with it the key inside, the prefix of the hosts that get a block");
	for (i = 0; i < l->n_pools; i++) {
		if (l->pools[i].realm == realm->id)
			blocks += (l->pools[i].last - l->pools[i].first + 1) * realm->blocks;
	}
	if (hosts <= blocks)
		return 0;
	if (pool == NULL)
		return conf_expected(l, inside,
			"at most %llu hosts, as many as the default pool has blocks",
			(unsigned long long)blocks);
	return conf_expected(l, inside,
		"at most %llu hosts, as many as the pool has blocks of %u ports (%s:%u)",
		(unsigned long long)blocks, realm->block_size, config_setting_source_file(pool),
		config_setting_source_line(pool));
}

int
conf_finish_client_rules(struct conf_loader *l, uint16_t i)
{
	struct spinat_realm_conf *realm = &l->conf->realms[i];
	const config_setting_t *s = l->realm_settings[i];

	if (s == NULL)
		return 0; /* all defaults */
	if (check_limits(l, s, realm) != 0)
		return -EINVAL;
	if (realm->port_allocation != SPINAT_PORTS_DETERMINISTIC &&
		config_setting_get_member(s, "inside") != NULL)
		return conf_expected(l, conf_at(s, "inside"),
			"no such key, for port_allocation is not \"deterministic\"");
	if (realm->port_allocation == SPINAT_PORTS_ANY)
		return 0;
	if (check_blocks(l, s, realm) != 0)
		return -EINVAL;
	return realm->port_allocation == SPINAT_PORTS_DETERMINISTIC
		       ? check_deterministic(l, s, realm)
		       : 0;
}
