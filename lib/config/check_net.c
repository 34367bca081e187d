/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 the spinat authors
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "config/sections.h"
#include "config/text.h"

/* Interfaces, routes and neighbours against each other. */

static const config_setting_t *
iface_setting(const struct conf_loader *l, uint16_t i)
{
	return conf_element(l, "interfaces", i);
}

const config_setting_t *
conf_iface_addr(const struct conf_loader *l, uint16_t i, uint16_t a)
{
	return config_setting_get_elem(conf_at(iface_setting(l, i), "addresses"), a);
}

/* Whether two interfaces meet in one forwarding table: outside is in all of them. */
static bool
share_table(const struct spinat_iface_conf *a, const struct spinat_iface_conf *b)
{
	return a->role == SPINAT_OUTSIDE || b->role == SPINAT_OUTSIDE || a->realm == b->realm;
}

/* Address a of interface j against all before it. */
static int
check_addr(struct conf_loader *l, uint16_t j, uint16_t b)
{
	const struct spinat_iface_conf *ifaces = l->conf->ifaces;
	const struct spinat_prefix *later = &ifaces[j].addrs[b], *earlier;
	uint16_t i, a;

	for (i = 0; i <= j; i++) {
		for (a = 0; a < (i == j ? b : ifaces[i].n_addrs); a++) {
			earlier = &ifaces[i].addrs[a];
			if (i != j && !share_table(&ifaces[i], &ifaces[j]))
				continue;
			/* One interface may well have several addresses in one subnet. */
			if (i == j ? earlier->addr == later->addr
				   : conf_prefixes_overlap(earlier, later))
				return conf_clash(l, conf_iface_addr(l, j, b), "no overlap with",
					conf_iface_addr(l, i, a));
		}
	}
	return 0;
}

static int
check_iface_pair(struct conf_loader *l, uint16_t i, uint16_t j)
{
	const struct spinat_iface_conf *a = &l->conf->ifaces[i], *b = &l->conf->ifaces[j];
	const config_setting_t *s = iface_setting(l, j), *other = iface_setting(l, i);

	if (strcmp(a->name, b->name) == 0)
		return conf_clash(l, conf_at(s, "name"), "anything but", conf_at(other, "name"));
	if (a->device != b->device || a->vlan != b->vlan)
		return 0;
	if (b->vlan == 0)
		return conf_clash(
			l, conf_at(s, "device"), "a vlan here or beside", conf_at(other, "device"));
	return conf_clash(
		l, conf_at(s, "vlan"), "anything but the same device's", conf_at(other, "vlan"));
}

int
conf_check_interfaces(struct conf_loader *l)
{
	const struct spinat_conf *conf = l->conf;
	uint32_t roles = 0;
	uint16_t i, j;

	for (j = 0; j < conf->n_ifaces; j++) {
		roles |= 1u << conf->ifaces[j].role;
		for (i = 0; i < j; i++) {
			if (check_iface_pair(l, i, j) != 0)
				return -EINVAL;
		}
		for (i = 0; i < conf->ifaces[j].n_addrs; i++) {
			if (check_addr(l, j, i) != 0)
				return -EINVAL;
		}
	}
	if ((roles & 1u << SPINAT_INSIDE) == 0)
		return conf_fail(l, config_lookup(&l->cfg, "interfaces"),
			"found no interface with role \"inside\", expected one at least");
	if ((roles & 1u << SPINAT_OUTSIDE) == 0)
		return conf_fail(l, config_lookup(&l->cfg, "interfaces"),
			"found no interface with role \"outside\", expected one at least");
	return 0;
}

/* The subnet of an interface that holds an address; the longest, as forwarding takes it. */
static const struct spinat_prefix *
subnet_of(const struct spinat_iface_conf *iface, rte_be32_t addr)
{
	const struct spinat_prefix *found = NULL;
	uint16_t i;

	for (i = 0; i < iface->n_addrs; i++) {
		if (conf_in_prefix(addr, &iface->addrs[i]) &&
			(found == NULL || found->len < iface->addrs[i].len))
			found = &iface->addrs[i];
	}
	return found;
}

/* A next hop or a neighbour: some other host in the subnet. */
static int
check_other_host(struct conf_loader *l, const config_setting_t *s,
	const struct spinat_iface_conf *iface, rte_be32_t addr)
{
	uint16_t i;

	for (i = 0; i < iface->n_addrs; i++) {
		if (iface->addrs[i].addr == addr)
			return conf_expected(l, s,
				"another host's address: interface %s itself has this one",
				iface->name);
	}
	if (conf_is_subnet_edge(rte_be_to_cpu_32(addr), subnet_of(iface, addr)->len))
		return conf_expected(
			l, s, "a host's address, not the subnet's network or broadcast address");
	return 0;
}

/* The order of two routes by destination, those that share a forwarding table together. */
static int
compare_routes(const void *a, const void *b, void *arg)
{
	const struct spinat_conf *conf = arg;
	const struct spinat_route_conf *x = &conf->routes[*(const uint32_t *)a];
	const struct spinat_route_conf *y = &conf->routes[*(const uint32_t *)b];
	enum spinat_role x_role = conf->ifaces[x->iface].role, y_role = conf->ifaces[y->iface].role;

	if (x->to.addr != y->to.addr)
		return x->to.addr < y->to.addr ? -1 : 1;
	if (x->to.len != y->to.len)
		return x->to.len < y->to.len ? -1 : 1;
	if (x_role != y_role)
		return x_role == SPINAT_OUTSIDE ? -1 : 1;
	if (x->realm != y->realm)
		return x->realm < y->realm ? -1 : 1;
	return *(const uint32_t *)a < *(const uint32_t *)b ? -1 : 1;
}

static bool
same_route(const struct spinat_conf *conf, uint32_t a, uint32_t b)
{
	const struct spinat_route_conf *x = &conf->routes[a], *y = &conf->routes[b];

	return x->to.addr == y->to.addr && x->to.len == y->to.len &&
	       share_table(&conf->ifaces[x->iface], &conf->ifaces[y->iface]);
}

static int
route_collision(struct conf_loader *l, uint32_t a, uint32_t b)
{
	return conf_clash(l, conf_at(conf_element(l, "routes", RTE_MAX(a, b)), "to"),
		"anything but", conf_at(conf_element(l, "routes", RTE_MIN(a, b)), "to"));
}

static int
check_duplicate_routes(struct conf_loader *l)
{
	struct spinat_conf *conf = l->conf;
	uint32_t i, first = 0, *order = malloc((conf->n_routes + 1) * sizeof(*order));
	int ret = 0;

	if (order == NULL)
		return conf_no_memory(l);
	for (i = 0; i < conf->n_routes; i++)
		order[i] = i;
	qsort_r(order, conf->n_routes, sizeof(*order), compare_routes, conf);
	/* An outside route stands first among those to one destination and excludes all others. */
	for (i = 1; i < conf->n_routes && ret == 0; i++) {
		if (same_route(conf, order[first], order[i]))
			ret = route_collision(l, order[first], order[i]);
		else if (same_route(conf, order[i - 1], order[i]))
			ret = route_collision(l, order[i - 1], order[i]);
		else if (conf->routes[order[first]].to.addr != conf->routes[order[i]].to.addr ||
			 conf->routes[order[first]].to.len != conf->routes[order[i]].to.len)
			first = i;
	}
	free(order);
	return ret;
}

/* A route must not take a connected subnet away from its interface. */
static int
check_route_subnets(
	struct conf_loader *l, const config_setting_t *s, const struct spinat_route_conf *route)
{
	const struct spinat_conf *conf = l->conf;
	const struct spinat_iface_conf *iface;
	uint16_t i, a;

	for (i = 0; i < conf->n_ifaces; i++) {
		iface = &conf->ifaces[i];
		for (a = 0; a < iface->n_addrs; a++) {
			if (share_table(iface, &conf->ifaces[route->iface]) &&
				route->to.len == iface->addrs[a].len &&
				conf_in_prefix(route->to.addr, &iface->addrs[a]))
				return conf_expected(l, conf_at(s, "to"),
					"a destination elsewhere: interface %s is in this subnet",
					iface->name);
		}
	}
	return 0;
}

static int
compare_neighs(const void *a, const void *b, void *arg)
{
	const struct spinat_conf *conf = arg;
	const struct spinat_neigh_conf *x = &conf->neighs[*(const uint32_t *)a];
	const struct spinat_neigh_conf *y = &conf->neighs[*(const uint32_t *)b];

	if (x->iface != y->iface)
		return x->iface < y->iface ? -1 : 1;
	if (x->addr != y->addr)
		return x->addr < y->addr ? -1 : 1;
	return *(const uint32_t *)a < *(const uint32_t *)b ? -1 : 1;
}

static int
check_duplicate_neighs(struct conf_loader *l)
{
	struct spinat_conf *conf = l->conf;
	uint32_t i, *order = malloc((conf->n_neighs + 1) * sizeof(*order));
	const struct spinat_neigh_conf *x, *y;
	int ret = 0;

	if (order == NULL)
		return conf_no_memory(l);
	for (i = 0; i < conf->n_neighs; i++)
		order[i] = i;
	qsort_r(order, conf->n_neighs, sizeof(*order), compare_neighs, conf);
	for (i = 1; i < conf->n_neighs && ret == 0; i++) {
		x = &conf->neighs[order[i - 1]];
		y = &conf->neighs[order[i]];
		if (x->iface == y->iface && x->addr == y->addr)
			ret = conf_clash(l,
				conf_at(conf_element(l, "neighbours", order[i]), "address"),
				"anything but",
				conf_at(conf_element(l, "neighbours", order[i - 1]), "address"));
	}
	free(order);
	return ret;
}

int
conf_check_routes(struct conf_loader *l)
{
	const struct spinat_conf *conf = l->conf;
	const config_setting_t *s;
	uint32_t i;

	for (i = 0; i < conf->n_routes; i++) {
		s = conf_element(l, "routes", i);
		if (check_other_host(l, conf_at(s, "via"), &conf->ifaces[conf->routes[i].iface],
			    conf->routes[i].via) != 0 ||
			check_route_subnets(l, s, &conf->routes[i]) != 0)
			return -EINVAL;
	}
	for (i = 0; i < conf->n_neighs; i++) {
		s = conf_element(l, "neighbours", i);
		if (check_other_host(l, conf_at(s, "address"), &conf->ifaces[conf->neighs[i].iface],
			    conf->neighs[i].addr) != 0)
			return -EINVAL;
	}
	if (check_duplicate_routes(l) != 0)
		return -EINVAL;
	return check_duplicate_neighs(l);
}
