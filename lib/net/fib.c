/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 the spinat authors
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include <rte_malloc.h>

#include "net/fib_control.h"

/* What a table is built from, gathered once for all realms. */
struct plan {
	struct spinat_prefix *holes; /* outside addresses of ours that are not the box's */
	uint32_t n_holes;
	uint32_t n_rules; /* LPM rules a realm has at most */
	uint32_t n_long; /* of these longer than /24: each takes a tbl8 group at most */
};

static int
add(struct rte_lpm *lpm, rte_be32_t addr, uint8_t len, uint32_t nh)
{
	uint32_t ip = rte_be_to_cpu_32(addr);

	if (len != 0)
		return rte_lpm_add(lpm, ip, len, nh);
	/* rte_lpm has no /0; its two halves are overwritten by a /1 of the same realm. */
	return rte_lpm_add(lpm, 0, 1, nh) != 0 ? -ENOSPC : rte_lpm_add(lpm, 1u << 31, 1, nh);
}

void
fib_changed(struct spinat_fib *fib)
{
	static uint32_t last;

	last = last == UINT32_MAX ? 1 : last + 1;
	__atomic_store_n(&fib->generation, last, __ATOMIC_RELEASE);
}

void
fib_nexthop_init(struct spinat_fib *fib, uint32_t index, uint16_t iface, rte_be32_t addr,
	enum spinat_nh_state state)
{
	const struct spinat_iface_conf *conf = &fib->control->conf->ifaces[iface];
	struct spinat_nexthop *nh = &fib->nexthops[index];
	struct rte_ether_hdr *eth = (struct rte_ether_hdr *)nh->l2;

	memset(nh, 0, sizeof(*nh));
	eth->src_addr = fib->control->ports[conf->device].mac;
	eth->ether_type = RTE_BE16(RTE_ETHER_TYPE_IPV4);
	nh->l2_len = RTE_ETHER_HDR_LEN;
	if (conf->vlan != 0) {
		struct rte_vlan_hdr *tag = (struct rte_vlan_hdr *)(eth + 1);

		eth->ether_type = RTE_BE16(RTE_ETHER_TYPE_VLAN);
		tag->vlan_tci = rte_cpu_to_be_16(conf->vlan);
		tag->eth_proto = RTE_BE16(RTE_ETHER_TYPE_IPV4);
		nh->l2_len += RTE_VLAN_HLEN;
	}
	nh->port = conf->device;
	nh->iface = iface;
	nh->mtu = conf->mtu;
	nh->role = conf->role;
	nh->addr = addr;
	__atomic_store_n(&nh->state, state, __ATOMIC_RELEASE);
}

static int
compare_u32(const void *a, const void *b)
{
	uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;

	return (x > y) - (x < y);
}

/* Covers sorted addresses with as few prefixes as there can be, at each the largest that fits. */
static uint32_t
aggregate(const uint32_t *addrs, uint32_t n, struct spinat_prefix *out)
{
	uint32_t n_out = 0;

	for (uint32_t i = 0; i < n;) {
		uint32_t size = 1;
		uint8_t len = 32;

		while (len > 1 && addrs[i] % (size * 2) == 0 && size * 2 <= n - i &&
			addrs[i + size * 2 - 1] - addrs[i] == size * 2 - 1) {
			size *= 2;
			len--;
		}
		out[n_out].addr = rte_cpu_to_be_32(addrs[i]);
		out[n_out++].len = len;
		i += size;
	}
	return n_out;
}

/*
 * Packets to a pool, static or redirected address that nobody uses now must not follow a default
 * route back outside, nor be asked for by ARP.
 */
static int
plan_holes(const struct spinat_conf *conf, struct plan *plan)
{
	uint32_t n = 0, *addrs;

	for (uint32_t i = 0; i <= conf->outside_mask; i++)
		n += conf->outside[i].kinds != 0;
	addrs = calloc(n + 1, sizeof(*addrs));
	plan->holes = calloc(n + 1, sizeof(*plan->holes));
	if (addrs == NULL || plan->holes == NULL) {
		free(addrs);
		return -ENOMEM;
	}
	n = 0;
	for (uint32_t i = 0; i <= conf->outside_mask; i++) {
		const struct spinat_outside_addr *o = &conf->outside[i];

		if (o->kinds != 0 && !(o->kinds & SPINAT_OUTSIDE_BOX))
			addrs[n++] = rte_be_to_cpu_32(o->addr);
	}
	qsort(addrs, n, sizeof(*addrs), compare_u32);
	plan->n_holes = aggregate(addrs, n, plan->holes);
	free(addrs);
	return 0;
}

static void
plan_size(const struct spinat_conf *conf, uint32_t n_neighs, struct plan *plan)
{
	plan->n_rules = plan->n_long = n_neighs;
	for (uint32_t i = 0; i < conf->n_routes; i++) {
		plan->n_rules += conf->routes[i].to.len == 0 ? 2 : 1;
		plan->n_long += conf->routes[i].to.len > 24;
	}
	for (uint32_t i = 0; i < plan->n_holes; i++)
		plan->n_long += plan->holes[i].len > 24;
	plan->n_rules += plan->n_holes;
	for (uint16_t i = 0; i < conf->n_ifaces; i++) {
		/* subnet, its first and last address, the box's own */
		plan->n_rules += 4 * conf->ifaces[i].n_addrs;
		plan->n_long += 4 * conf->ifaces[i].n_addrs;
	}
}

static int
add_routes(struct spinat_fib *fib, uint16_t realm, enum spinat_role role, bool defaults)
{
	const struct spinat_conf *conf = fib->control->conf;

	for (uint32_t i = 0; i < conf->n_routes; i++) {
		const struct spinat_route_conf *r = &conf->routes[i];
		const struct spinat_iface_conf *iface = &conf->ifaces[r->iface];
		int nh;

		if (iface->role != role || !fib_serves(iface, realm) ||
			(r->to.len == 0) != defaults)
			continue;
		nh = spinat_fib_neigh_find(fib, r->iface, r->via);
		if (nh < 0 || add(fib->lpm[realm], r->to.addr, r->to.len, nh) != 0)
			return -ENOSPC;
	}
	return 0;
}

static int
add_subnets(struct spinat_fib *fib, uint16_t realm, enum spinat_role role)
{
	const struct spinat_conf *conf = fib->control->conf;

	for (uint16_t i = 0; i < conf->n_ifaces; i++) {
		const struct spinat_iface_conf *iface = &conf->ifaces[i];

		if (iface->role != role || !fib_serves(iface, realm))
			continue;
		for (uint16_t a = 0; a < iface->n_addrs; a++) {
			if (add(fib->lpm[realm], iface->addrs[a].addr, iface->addrs[a].len,
				    fib_fixed(i, FIB_CONNECTED)) != 0)
				return -ENOSPC;
		}
	}
	return 0;
}

/* The first and last address of a subnet, RFC 1122 3.2.1.3; a /31 has neither (RFC 3021). */
static int
add_broadcasts(struct rte_lpm *lpm, const struct spinat_prefix *p, uint32_t blackhole)
{
	rte_be32_t hosts;

	if (p->len > 30)
		return 0;
	hosts = rte_cpu_to_be_32(UINT32_MAX >> p->len);
	return add(lpm, p->addr & ~hosts, 32, blackhole) != 0
		       ? -ENOSPC
		       : add(lpm, p->addr | hosts, 32, blackhole);
}

static int
add_own_addresses(struct spinat_fib *fib, uint16_t realm)
{
	const struct spinat_conf *conf = fib->control->conf;
	struct rte_lpm *lpm = fib->lpm[realm];

	for (uint16_t i = 0; i < conf->n_ifaces; i++) {
		const struct spinat_iface_conf *iface = &conf->ifaces[i];

		for (uint16_t a = 0; fib_serves(iface, realm) && a < iface->n_addrs; a++) {
			if (add_broadcasts(lpm, &iface->addrs[a], fib_fixed(i, FIB_BLACKHOLE)) != 0)
				return -ENOSPC;
		}
	}
	for (uint16_t i = 0; i < conf->n_ifaces; i++) {
		const struct spinat_iface_conf *iface = &conf->ifaces[i];

		for (uint16_t a = 0; fib_serves(iface, realm) && a < iface->n_addrs; a++) {
			if (add(lpm, iface->addrs[a].addr, 32, fib_fixed(i, FIB_BOX)) != 0)
				return -ENOSPC;
		}
	}
	return 0;
}

static int
add_holes(struct spinat_fib *fib, uint16_t realm, const struct plan *plan)
{
	const struct spinat_conf *conf = fib->control->conf;
	uint16_t outside = 0;

	while (outside < conf->n_ifaces && conf->ifaces[outside].role != SPINAT_OUTSIDE)
		outside++;
	if (outside == conf->n_ifaces)
		return 0;
	for (uint32_t i = 0; i < plan->n_holes; i++) {
		if (add(fib->lpm[realm], plan->holes[i].addr, plan->holes[i].len,
			    fib_fixed(outside, FIB_BLACKHOLE)) != 0)
			return -ENOSPC;
	}
	return 0;
}

/*
 * Of two equal prefixes the one added last stands: inside over outside, a subnet over a route, the
 * box's addresses over all.
 */
static int
build_realm(struct spinat_fib *fib, uint16_t realm, const struct plan *plan)
{
	static uint32_t serial; /* names of LPMs: the table in use has its own still */
	const struct rte_lpm_config config = {
		.max_rules = plan->n_rules + 1, .number_tbl8s = plan->n_long + 1};
	char name[RTE_LPM_NAMESIZE];

	snprintf(name, sizeof(name), "spinat_fib_%u", ++serial);
	fib->lpm[realm] = rte_lpm_create(name, SOCKET_ID_ANY, &config);
	if (fib->lpm[realm] == NULL)
		return -ENOMEM;
	for (int defaults = 1; defaults >= 0; defaults--) {
		if (add_routes(fib, realm, SPINAT_OUTSIDE, defaults) != 0 ||
			add_routes(fib, realm, SPINAT_INSIDE, defaults) != 0)
			return -ENOSPC;
	}
	if (add_subnets(fib, realm, SPINAT_OUTSIDE) != 0 ||
		add_subnets(fib, realm, SPINAT_INSIDE) != 0)
		return -ENOSPC;
	return add_holes(fib, realm, plan) != 0 ? -ENOSPC : add_own_addresses(fib, realm);
}

/* Realm 0 is where packets of no realm are looked up. */
static bool
realm_used(const struct spinat_conf *conf, uint16_t realm)
{
	for (uint16_t i = 0; i < conf->n_ifaces; i++) {
		if (conf->ifaces[i].role == SPINAT_INSIDE && conf->ifaces[i].realm == realm)
			return true;
	}
	return realm == 0;
}

static int
build(struct spinat_fib *fib, const struct spinat_fib *prev, struct plan *plan,
	struct spinat_conf_error *err)
{
	const struct spinat_conf *conf = fib->control->conf;
	int rc = fib_neighs_create(fib);

	if (rc == 0)
		rc = plan_holes(conf, plan);
	if (rc != 0) {
		snprintf(err->text, sizeof(err->text),
			"no memory for %u next hops: lower "
			"limits.neighbours or raise memory",
			fib->n_nexthops);
		return rc;
	}
	for (uint16_t i = 0; i < conf->n_ifaces; i++) {
		fib_nexthop_init(fib, fib_fixed(i, FIB_CONNECTED), i, 0, SPINAT_NH_CONNECTED);
		fib_nexthop_init(fib, fib_fixed(i, FIB_BOX), i, 0, SPINAT_NH_BOX);
		fib_nexthop_init(fib, fib_fixed(i, FIB_BLACKHOLE), i, 0, SPINAT_NH_BLACKHOLE);
	}
	plan_size(conf, fib->control->n_slots, plan);
	for (uint16_t realm = 0; rc == 0 && realm < fib->n_realms; realm++) {
		if (realm_used(conf, realm))
			rc = build_realm(fib, realm, plan);
		if (rc != 0)
			snprintf(err->text, sizeof(err->text),
				"no memory for the routes of realm "
				"%u: they take %u MiB, twice during a reload; raise memory",
				realm, 64 + (plan->n_long + plan->n_rules / 128) / 1024 + 1);
	}
	if (rc == 0 && (rc = fib_neighs_fill(fib, prev)) != 0)
		snprintf(err->text, sizeof(err->text), "neighbours do not fit in the table");
	return rc;
}

struct spinat_fib *
spinat_fib_create(const struct spinat_conf *conf, const struct spinat_port *ports,
	const struct spinat_fib *prev, struct rte_rcu_qsbr *qsbr, struct spinat_conf_error *err)
{
	struct spinat_fib *fib = rte_zmalloc("fib", sizeof(*fib), RTE_CACHE_LINE_SIZE);
	struct plan plan = {0};
	int rc;

	if (fib == NULL || (fib->control = calloc(1, sizeof(*fib->control))) == NULL) {
		snprintf(err->text, sizeof(err->text), "no memory for the routes: raise memory");
		rte_free(fib);
		return NULL;
	}
	fib->control->conf = conf;
	fib->control->ports = ports;
	fib->control->qsbr = qsbr;
	fib->n_realms = RTE_MAX(conf->n_realms, 1);
	rc = build(fib, prev, &plan, err);
	fib_changed(fib);
	free(plan.holes);
	if (rc != 0) {
		spinat_fib_free(fib);
		return NULL;
	}
	return fib;
}

void
spinat_fib_free(struct spinat_fib *fib)
{
	if (fib == NULL)
		return;
	for (uint16_t realm = 0; realm < fib->n_realms; realm++)
		rte_lpm_free(fib->lpm[realm]);
	fib_neighs_free(fib);
	free(fib->control);
	rte_free(fib);
}
