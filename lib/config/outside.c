/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 the spinat authors
 */
#include <errno.h>
#include <netinet/in.h>
#include <stdlib.h>

#include <rte_common.h>

#include "config/sections.h"
#include "config/text.h"

/* The table of outside addresses, and the walks over the rules on them. */

static struct spinat_outside_addr *
claim(struct spinat_conf *conf, rte_be32_t addr, enum spinat_outside_kind kind)
{
	struct spinat_outside_addr *entry =
		(struct spinat_outside_addr *)(uintptr_t)spinat_conf_outside(conf, addr);
	uint32_t i;

	if (entry == NULL) {
		i = spinat_conf_outside_slot(conf, addr);
		while (conf->outside[i].kinds != 0)
			i = (i + 1) & conf->outside_mask;
		entry = &conf->outside[i];
		entry->addr = addr;
	}
	entry->kinds |= kind;
	return entry;
}

/* Pool addresses one realm after the other, each in the file's order. */
static void
expand_pools(const struct conf_loader *l)
{
	struct spinat_conf *conf = l->conf;
	struct spinat_outside_addr *entry;
	uint32_t realm, i;
	uint64_t addr;

	for (realm = 0; realm < conf->n_realms; realm++) {
		conf->realms[realm].first_addr = conf->n_pool_addrs;
		for (i = 0; i < l->n_pools; i++) {
			if (l->pools[i].realm != realm)
				continue;
			for (addr = l->pools[i].first; addr <= l->pools[i].last; addr++) {
				entry = claim(conf, rte_cpu_to_be_32(addr), SPINAT_OUTSIDE_POOL);
				if (conf->realms[realm].port_allocation ==
					SPINAT_PORTS_DETERMINISTIC)
					entry->kinds |= SPINAT_OUTSIDE_DETERMINISTIC;
				entry->realm = realm;
				entry->pool_index = conf->n_pool_addrs;
				conf->pool_addrs[conf->n_pool_addrs++] = entry->addr;
			}
		}
		conf->realms[realm].n_addrs = conf->n_pool_addrs - conf->realms[realm].first_addr;
	}
}

static void
expand_statics(struct spinat_conf *conf)
{
	const struct spinat_static_conf *rule;
	struct spinat_outside_addr *entry;
	uint32_t i, host;

	for (i = 0; i < conf->n_statics; i++) {
		rule = &conf->statics[i];
		for (host = 0; host <= (uint32_t)~conf_mask(rule->len); host++) {
			entry = claim(conf, rule->outside | rte_cpu_to_be_32(host),
				SPINAT_OUTSIDE_STATIC);
			entry->realm = rule->realm;
			entry->inside = rule->inside | rte_cpu_to_be_32(host);
		}
	}
}

static void
expand_box(struct spinat_conf *conf)
{
	uint32_t i, a;

	for (i = 0; i < conf->n_ifaces; i++) {
		for (a = 0; conf->ifaces[i].role == SPINAT_OUTSIDE && a < conf->ifaces[i].n_addrs;
			a++)
			claim(conf, conf->ifaces[i].addrs[a].addr, SPINAT_OUTSIDE_BOX);
	}
	for (i = 0; i < conf->n_redirects; i++)
		claim(conf, conf->redirects[i].outside, SPINAT_OUTSIDE_REDIRECT);
}

int
conf_build_outside(struct conf_loader *l)
{
	struct spinat_conf *conf = l->conf;
	uint64_t n = l->n_pool_addrs;
	uint32_t i, size;

	for (i = 0; i < conf->n_ifaces; i++)
		n += conf->ifaces[i].n_addrs;
	for (i = 0; i < conf->n_statics; i++)
		n += (uint64_t)(uint32_t)~conf_mask(conf->statics[i].len) + 1;
	if (n > SPINAT_MAX_OUTSIDE_ADDRS)
		return conf_fail(l, config_lookup(&l->cfg, "static"),
			"found %llu addresses with those of pools and interfaces, expected %u at "
			"most",
			(unsigned long long)n, SPINAT_MAX_OUTSIDE_ADDRS);
	size = rte_align32pow2(2 * n);
	conf->outside_mask = size - 1;
	conf->outside_shift = 32 - rte_bsf32(size);
	conf->outside = calloc(size, sizeof(*conf->outside));
	conf->pool_addrs = calloc(l->n_pool_addrs, sizeof(*conf->pool_addrs));
	if (conf->outside == NULL || conf->pool_addrs == NULL)
		return conf_no_memory(l);
	expand_pools(l);
	expand_statics(conf);
	expand_box(conf);
	return 0;
}

const struct spinat_static_conf *
spinat_conf_static_inside(const struct spinat_conf *conf, uint16_t realm, rte_be32_t inside)
{
	const struct spinat_static_conf *rule;
	struct spinat_prefix prefix;
	uint32_t i;

	for (i = 0; i < conf->n_statics; i++) {
		rule = &conf->statics[i];
		prefix.addr = rule->inside;
		prefix.len = rule->len;
		if (rule->realm == realm && conf_in_prefix(inside, &prefix))
			return rule;
	}
	return NULL;
}

static bool
is_ipsec(uint8_t proto, rte_be16_t port)
{
	return proto == IPPROTO_ESP || proto == IPPROTO_AH ||
	       (proto == IPPROTO_UDP &&
		       (port == rte_cpu_to_be_16(500) || port == rte_cpu_to_be_16(4500)));
}

bool
spinat_conf_exempt(
	const struct spinat_conf *conf, uint16_t realm, rte_be32_t inside, rte_be32_t remote)
{
	const struct spinat_exempt_conf *rule;
	uint32_t i;

	for (i = 0; i < conf->n_exempts; i++) {
		rule = &conf->exempts[i];
		if (rule->realm == realm && conf_in_prefix(inside, &rule->from) &&
			conf_in_prefix(remote, &rule->to))
			return true;
	}
	return false;
}

static bool
has_port(const struct spinat_redirect_conf *rule, rte_be16_t port)
{
	return rule->n_ports == 0 ||
	       (uint16_t)(rte_be_to_cpu_16(port) - rte_be_to_cpu_16(rule->outside_port)) <
		       rule->n_ports;
}

const struct spinat_redirect_conf *
spinat_conf_redirect(
	const struct spinat_conf *conf, rte_be32_t outside, uint8_t proto, rte_be16_t port)
{
	const struct spinat_redirect_conf *rule;
	uint32_t i;

	for (i = 0; i < conf->n_redirects; i++) {
		rule = &conf->redirects[i];
		if (rule->outside != outside)
			continue;
		if (rule->proto == 0 ? is_ipsec(proto, port)
				     : rule->proto == proto && has_port(rule, port))
			return rule;
	}
	return NULL;
}
