/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 the spinat authors
 */
#include <errno.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>

#include "config/sections.h"
#include "config/text.h"

#define SPINAT_CONF_NATT_PORT 4500 /* of an ipsec redirection */

/*
 * Who claims which outside address. Pools and static rules are runs of addresses; sorted by their
 * first address, two runs that overlap stand beside each other.
 */

struct claims {
	struct conf_range *ranges;
	uint32_t n;
};

static int
compare_ranges(const void *a, const void *b)
{
	const struct conf_range *x = a, *y = b;

	if (x->first != y->first)
		return x->first < y->first ? -1 : 1;
	return (x->last > y->last) - (x->last < y->last);
}

/* Sorts the runs and refuses overlap, blaming the setting that stands later. */
static int
check_disjoint(struct conf_loader *l, struct claims *c)
{
	const config_setting_t *a, *b;
	uint32_t i;

	qsort(c->ranges, c->n, sizeof(*c->ranges), compare_ranges);
	for (i = 1; i < c->n; i++) {
		a = c->ranges[i - 1].s;
		b = c->ranges[i].s;
		if (c->ranges[i].first > c->ranges[i - 1].last)
			continue;
		if (config_setting_source_line(a) > config_setting_source_line(b))
			return conf_clash(l, a, "no overlap with", b);
		return conf_clash(l, b, "no overlap with", a);
	}
	return 0;
}

/* The run that holds an address, or NULL. */
static const struct conf_range *
claim_of(const struct claims *c, rte_be32_t addr)
{
	uint32_t lo = 0, hi = c->n, mid, host = rte_be_to_cpu_32(addr);

	while (lo < hi) {
		mid = lo + (hi - lo) / 2;
		if (c->ranges[mid].last < host)
			lo = mid + 1;
		else
			hi = mid;
	}
	return lo < c->n && c->ranges[lo].first <= host ? &c->ranges[lo] : NULL;
}

static void
add_range(
	struct claims *c, rte_be32_t addr, uint8_t len, uint64_t prefix, const config_setting_t *s)
{
	uint64_t first = prefix << 32 | rte_be_to_cpu_32(addr);

	c->ranges[c->n++] = (struct conf_range){
		.first = first, .last = first | (uint32_t)~conf_mask(len), .s = s};
}

static int
collect_claims(struct conf_loader *l, struct claims *c)
{
	const struct spinat_conf *conf = l->conf;
	uint32_t i;

	c->n = 0;
	c->ranges = malloc((l->n_pools + conf->n_statics) * sizeof(*c->ranges));
	if (c->ranges == NULL)
		return conf_no_memory(l);
	for (i = 0; i < l->n_pools; i++)
		c->ranges[c->n++] = l->pools[i];
	for (i = 0; i < conf->n_statics; i++)
		add_range(c, conf->statics[i].outside, conf->statics[i].len, 0,
			conf_at(conf_element(l, "static", i), "outside"));
	return 0;
}

/* A subnet must not hold claimed addresses where it is inside, nor have its network and broadcast
 * address claimed where it is outside. */
static int
check_claims_subnet(struct conf_loader *l, const struct claims *c, uint16_t index, uint16_t a)
{
	const struct spinat_iface_conf *iface = &l->conf->ifaces[index];
	const struct spinat_prefix *addr = &iface->addrs[a];
	uint32_t host = ~conf_mask(addr->len), first = rte_be_to_cpu_32(addr->addr) & ~host;
	const struct conf_range *claim;
	uint32_t i;

	for (i = 0; i < c->n; i++) {
		claim = &c->ranges[i];
		if (claim->first > (first | host) || claim->last < first)
			continue;
		if (iface->role == SPINAT_INSIDE)
			return conf_clash(l, claim->s,
				"outside addresses, none of the inside subnet of",
				conf_iface_addr(l, index, a));
		if (addr->len < 31 && (claim->first <= first || claim->last >= (first | host)))
			return conf_clash(l, claim->s,
				"hosts' addresses, not the network or broadcast address of",
				conf_iface_addr(l, index, a));
	}
	return 0;
}

static int
check_claims_neighbour(struct conf_loader *l, const struct claims *c, rte_be32_t addr,
	const config_setting_t *other)
{
	const struct conf_range *claim = claim_of(c, addr);

	if (claim == NULL)
		return 0;
	return conf_clash(l, claim->s, "addresses that nobody else has, unlike", other);
}

static int
check_claims(struct conf_loader *l, const struct claims *c)
{
	const struct spinat_conf *conf = l->conf;
	uint32_t i, a;

	for (i = 0; i < conf->n_ifaces; i++) {
		for (a = 0; a < conf->ifaces[i].n_addrs; a++) {
			if (check_claims_subnet(l, c, i, a) != 0)
				return -EINVAL;
		}
	}
	for (i = 0; i < conf->n_routes; i++) {
		if (check_claims_neighbour(l, c, conf->routes[i].via,
			    conf_at(conf_element(l, "routes", i), "via")) != 0)
			return -EINVAL;
	}
	for (i = 0; i < conf->n_neighs; i++) {
		if (check_claims_neighbour(l, c, conf->neighs[i].addr,
			    conf_at(conf_element(l, "neighbours", i), "address")) != 0)
			return -EINVAL;
	}
	return 0;
}

/* The setting of the outside interface's address that is in a range, or NULL. */
static const config_setting_t *
box_outside(const struct conf_loader *l, const struct spinat_prefix *range)
{
	const struct spinat_iface_conf *iface;
	uint16_t i, a;

	for (i = 0; i < l->conf->n_ifaces; i++) {
		iface = &l->conf->ifaces[i];
		for (a = 0; iface->role == SPINAT_OUTSIDE && a < iface->n_addrs; a++) {
			if (conf_in_prefix(iface->addrs[a].addr, range))
				return conf_iface_addr(l, i, a);
		}
	}
	return NULL;
}

/* A pool may hold the box's own address, a static rule may not: the box would be gone. */
static int
check_static_outside(struct conf_loader *l)
{
	const struct spinat_static_conf *rule;
	const config_setting_t *own;
	struct spinat_prefix outside;
	uint32_t i;

	for (i = 0; i < l->conf->n_statics; i++) {
		rule = &l->conf->statics[i];
		outside = (struct spinat_prefix){rule->outside, rule->len};
		own = box_outside(l, &outside);
		if (own != NULL)
			return conf_clash(l, conf_at(conf_element(l, "static", i), "outside"),
				"addresses for inside hosts alone, not the box's own", own);
	}
	return 0;
}

/* Somewhere on the inside, and not the box. */
static int
check_inside_host(struct conf_loader *l, const config_setting_t *s,
	const struct spinat_prefix *hosts, uint16_t realm)
{
	const struct spinat_iface_conf *iface;
	uint16_t i, a;

	for (i = 0; i < l->conf->n_ifaces; i++) {
		iface = &l->conf->ifaces[i];
		for (a = 0; a < iface->n_addrs; a++) {
			if (iface->role == SPINAT_OUTSIDE &&
				conf_prefixes_overlap(&iface->addrs[a], hosts))
				return conf_clash(l, s,
					"an address inside, none of the outside subnet of",
					conf_iface_addr(l, i, a));
			if (iface->role == SPINAT_INSIDE && iface->realm == realm &&
				hosts->len == 32 && iface->addrs[a].addr == hosts->addr)
				return conf_clash(l, s,
					"an inside host's address, not the box's own",
					conf_iface_addr(l, i, a));
		}
	}
	return 0;
}

static int
check_static_inside(struct conf_loader *l)
{
	const struct spinat_conf *conf = l->conf;
	const struct spinat_static_conf *rule;
	const config_setting_t *s;
	struct spinat_prefix hosts;
	struct claims c = {0};
	uint32_t i;
	int ret = 0;

	c.ranges = malloc((conf->n_statics + 1) * sizeof(*c.ranges));
	if (c.ranges == NULL)
		return conf_no_memory(l);
	for (i = 0; i < conf->n_statics && ret == 0; i++) {
		rule = &conf->statics[i];
		s = conf_at(conf_element(l, "static", i), "inside");
		add_range(&c, rule->inside, rule->len, rule->realm, s);
		hosts = (struct spinat_prefix){rule->inside, rule->len};
		ret = check_inside_host(l, s, &hosts, rule->realm);
	}
	if (ret == 0)
		ret = check_disjoint(l, &c);
	free(c.ranges);
	return ret;
}

/* An outside endpoint as one number, so that equal ones overlap. */
static void
add_endpoint(struct claims *c, const struct spinat_redirect_conf *rule, uint8_t proto,
	uint16_t port, const config_setting_t *s)
{
	const uint64_t protocol = (uint64_t)rte_be_to_cpu_32(rule->outside) << 32 | (uint32_t)proto
											    << 16;

	c->ranges[c->n++] = (struct conf_range){.first = protocol | port,
		.last = protocol | (port + RTE_MAX(rule->n_ports, 1) - 1),
		.s = s};
}

static int
check_duplicate_redirects(struct conf_loader *l)
{
	const struct spinat_conf *conf = l->conf;
	const struct spinat_redirect_conf *rule;
	const config_setting_t *e;
	struct claims c = {0};
	uint32_t i;
	int ret;

	c.ranges = malloc((3 * (size_t)conf->n_redirects + 1) * sizeof(*c.ranges));
	if (c.ranges == NULL)
		return conf_no_memory(l);
	for (i = 0; i < conf->n_redirects; i++) {
		rule = &conf->redirects[i];
		e = conf_element(l, "redirect", i);
		if (rule->proto != 0) {
			add_endpoint(&c, rule, rule->proto, rte_be_to_cpu_16(rule->outside_port),
				conf_at(e, rule->n_ports != 0 ? "port" : "protocol"));
			continue;
		}
		add_endpoint(&c, rule, 0, 0, conf_at(e, "protocol"));
		add_endpoint(&c, rule, IPPROTO_UDP, 500, conf_at(e, "protocol"));
		add_endpoint(&c, rule, IPPROTO_UDP, 4500, conf_at(e, "protocol"));
	}
	ret = check_disjoint(l, &c);
	free(c.ranges);
	return ret;
}

/* The ports of a client's block are that client's: so says the log, or the lack of one. */
static int
check_block_free(
	struct conf_loader *l, const config_setting_t *e, const struct spinat_redirect_conf *rule)
{
	const struct spinat_realm_conf *realm = &l->conf->realms[rule->realm];
	const uint32_t end = realm->block_first + (uint32_t)realm->blocks * realm->block_size;
	const uint32_t port =
		rule->proto == 0 ? SPINAT_CONF_NATT_PORT : rte_be_to_cpu_16(rule->outside_port);
	const uint32_t n = rule->proto == 0 ? 1 : rule->n_ports;

	if (realm->port_allocation == SPINAT_PORTS_ANY || n == 0 || port >= end ||
		port + n <= realm->block_first)
		return 0;
	return conf_clash(l, conf_at(e, rule->proto == 0 ? "protocol" : "port"),
		rule->proto == 0
			? "an address whose port 4500 is in none of the blocks that come of"
			: "a port in none of the blocks that come of",
		conf_at(l->realm_settings[rule->realm], "port_allocation"));
}

/* IPsec from outside to one address of a host that has another one for all that it sends. */
static int
check_redirected_ipsec(
	struct conf_loader *l, const config_setting_t *e, const struct spinat_redirect_conf *rule)
{
	const struct spinat_static_conf *s =
		spinat_conf_static_inside(l->conf, rule->realm, rule->inside);

	if (rule->proto != 0 || s == NULL)
		return 0;
	return conf_clash(l, conf_at(e, "inside"), "a host that has no outside address by",
		conf_at(conf_element(l, "static", s - l->conf->statics), "inside"));
}

static int
check_redirect(struct conf_loader *l, const struct claims *c, uint32_t i)
{
	const struct spinat_redirect_conf *rule = &l->conf->redirects[i];
	const config_setting_t *e = conf_element(l, "redirect", i);
	const struct spinat_prefix outside = {rule->outside, 32}, inside = {rule->inside, 32};
	const struct conf_range *claim = claim_of(c, rule->outside);

	if (claim != NULL && !claim->pool)
		return conf_clash(
			l, conf_at(e, "outside"), "an address without the static rule", claim->s);
	if (claim != NULL && claim->realm != rule->realm)
		return conf_fail(l, conf_at(e, "outside"),
			"found %s of the pool of realm %u (%s:%u), expected one of realm %u or of "
			"no pool",
			conf_addr_text(rule->outside).s, claim->realm,
			config_setting_source_file(claim->s), config_setting_source_line(claim->s),
			rule->realm);
	if (claim == NULL && box_outside(l, &outside) == NULL)
		return conf_expected(l, conf_at(e, "outside"),
			"an address of a pool or of an outside interface");
	if ((claim != NULL && check_block_free(l, e, rule) != 0) ||
		check_redirected_ipsec(l, e, rule) != 0)
		return -EINVAL;
	return check_inside_host(l, conf_at(e, "inside"), &inside, rule->realm);
}

static int
check_passthrough(struct conf_loader *l)
{
	const struct spinat_realm_conf *realm;
	struct spinat_prefix host;
	uint16_t i;

	for (i = 0; i < l->conf->n_realms; i++) {
		realm = &l->conf->realms[i];
		host = (struct spinat_prefix){realm->passthrough_host, 32};
		if (realm->passthrough == SPINAT_PASS_HOST &&
			check_inside_host(
				l, conf_at(l->realm_settings[i], "passthrough"), &host, i) != 0)
			return -EINVAL;
	}
	return 0;
}

int
conf_check_outside(struct conf_loader *l)
{
	struct claims c;
	uint32_t i;
	int ret;

	if (check_static_outside(l) != 0 || check_static_inside(l) != 0 ||
		check_duplicate_redirects(l) != 0 || check_passthrough(l) != 0 ||
		collect_claims(l, &c) != 0)
		return -EINVAL;
	ret = check_disjoint(l, &c);
	if (ret == 0)
		ret = check_claims(l, &c);
	for (i = 0; i < l->conf->n_redirects && ret == 0; i++)
		ret = check_redirect(l, &c, i);
	free(c.ranges);
	return ret;
}
