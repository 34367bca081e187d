/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 the spinat authors
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include <rte_malloc.h>
#include <rte_random.h>

#include "net/fib_control.h"

/* Neighbours of a forwarding table: their slots, and the /32s that lead to them. */

struct neigh_key {
	rte_be32_t addr;
	uint32_t iface;
};

static int
compare_u64(const void *a, const void *b)
{
	uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;

	return (x > y) - (x < y);
}

/* How many neighbours the configuration itself names: gateways and static ones, each once. */
static int
count_configured(const struct spinat_conf *conf, uint32_t *count)
{
	uint32_t n = 0;
	uint64_t *keys = calloc((size_t)conf->n_routes + conf->n_neighs + 1, sizeof(*keys));

	if (keys == NULL)
		return -ENOMEM;
	for (uint32_t i = 0; i < conf->n_routes; i++)
		keys[n++] = (uint64_t)conf->routes[i].iface << 32 | conf->routes[i].via;
	for (uint32_t i = 0; i < conf->n_neighs; i++)
		keys[n++] = (uint64_t)conf->neighs[i].iface << 32 | conf->neighs[i].addr;
	qsort(keys, n, sizeof(*keys), compare_u64);
	*count = 0;
	for (uint32_t i = 0; i < n; i++)
		*count += i == 0 || keys[i] != keys[i - 1];
	free(keys);
	return 0;
}

/* A slot with its place in the index, but no /32 yet. */
static int
slot_new(struct spinat_fib *fib, uint16_t iface, rte_be32_t addr)
{
	struct spinat_fib_control *c = fib->control;
	const struct neigh_key key = {.addr = addr, .iface = iface};
	uint32_t nh;

	if (c->n_free == 0)
		return -ENOSPC;
	nh = c->free[c->n_free - 1];
	if (rte_hash_add_key_data(c->neighs, &key, (void *)(uintptr_t)nh) != 0)
		return -ENOSPC;
	c->n_free--;
	fib_nexthop_init(fib, nh, iface, addr, SPINAT_NH_INCOMPLETE);
	return nh;
}

/*
 * True where a realm leads to an address over its interface's subnet. Where it does not, a more
 * specific route or one of the box's own addresses stands there, and stays.
 */
static bool
wants_neigh(const struct spinat_fib *fib, uint16_t realm, uint16_t iface, rte_be32_t addr)
{
	return spinat_fib_lookup(fib, realm, addr) ==
	       &fib->nexthops[fib_fixed(iface, FIB_CONNECTED)];
}

static bool
wanted_anywhere(const struct spinat_fib *fib, uint16_t iface, rte_be32_t addr)
{
	for (uint16_t realm = 0; realm < fib->n_realms; realm++) {
		if (wants_neigh(fib, realm, iface, addr))
			return true;
	}
	return false;
}

static int
link_neigh(struct spinat_fib *fib, uint32_t index)
{
	const struct spinat_nexthop *nh = &fib->nexthops[index];

	for (uint16_t realm = 0; realm < fib->n_realms; realm++) {
		if (wants_neigh(fib, realm, nh->iface, nh->addr) &&
			rte_lpm_add(fib->lpm[realm], rte_be_to_cpu_32(nh->addr), 32, index) != 0)
			return -ENOSPC;
	}
	fib_changed(fib);
	return 0;
}

static void
unlink_neigh(struct spinat_fib *fib, uint32_t index)
{
	struct spinat_nexthop *nh = &fib->nexthops[index];

	for (uint16_t realm = 0; realm < fib->n_realms; realm++) {
		if (spinat_fib_lookup(fib, realm, nh->addr) == nh)
			rte_lpm_delete(fib->lpm[realm], rte_be_to_cpu_32(nh->addr), 32);
	}
	fib_changed(fib);
}

int
spinat_fib_neigh_find(const struct spinat_fib *fib, uint16_t iface, rte_be32_t addr)
{
	const struct neigh_key key = {.addr = addr, .iface = iface};
	void *data;

	if (rte_hash_lookup_data(fib->control->neighs, &key, &data) < 0)
		return -ENOENT;
	return (int)(uintptr_t)data;
}

int
spinat_fib_neigh_add(struct spinat_fib *fib, uint16_t iface, rte_be32_t addr)
{
	struct spinat_fib_control *c = fib->control;
	int nh;

	if (!wanted_anywhere(fib, iface, addr))
		return -ENETUNREACH;
	if (c->freed && rte_rcu_qsbr_check(c->qsbr, c->token, false) == 0)
		return -EAGAIN;
	c->freed = false;
	nh = slot_new(fib, iface, addr);
	if (nh < 0)
		return nh;
	if (link_neigh(fib, nh) != 0) {
		spinat_fib_neigh_del(fib, nh);
		return -ENOSPC;
	}
	return nh;
}

void
spinat_fib_neigh_set(struct spinat_fib *fib, uint32_t index, const struct rte_ether_addr *mac)
{
	struct spinat_nexthop *nh = &fib->nexthops[index];
	uint64_t head = nh->l2_head;

	memcpy(&head, mac, sizeof(*mac));
	__atomic_store_n(&nh->l2_head, head, __ATOMIC_RELAXED);
	__atomic_store_n(&nh->state, SPINAT_NH_REACHABLE, __ATOMIC_RELEASE);
}

void
spinat_fib_neigh_unset(struct spinat_fib *fib, uint32_t nh)
{
	__atomic_store_n(&fib->nexthops[nh].state, SPINAT_NH_INCOMPLETE, __ATOMIC_RELEASE);
}

void
spinat_fib_neigh_del(struct spinat_fib *fib, uint32_t index)
{
	struct spinat_fib_control *c = fib->control;
	struct spinat_nexthop *nh = &fib->nexthops[index];
	const struct neigh_key key = {.addr = nh->addr, .iface = nh->iface};

	unlink_neigh(fib, index);
	rte_hash_del_key(c->neighs, &key);
	spinat_fib_neigh_unset(fib, index);
	nh->addr = 0;
	c->free[c->n_free++] = index;
	c->freed = true;
	c->token = rte_rcu_qsbr_start(c->qsbr);
}

static int
reserve_configured(struct spinat_fib *fib)
{
	const struct spinat_conf *conf = fib->control->conf;

	for (uint32_t i = 0; i < conf->n_routes; i++) {
		const struct spinat_route_conf *r = &conf->routes[i];
		int nh = spinat_fib_neigh_find(fib, r->iface, r->via);

		if (nh < 0 && (nh = slot_new(fib, r->iface, r->via)) < 0)
			return nh;
		fib->nexthops[nh].is_gateway = 1;
	}
	for (uint32_t i = 0; i < conf->n_neighs; i++) {
		const struct spinat_neigh_conf *s = &conf->neighs[i];
		int nh = spinat_fib_neigh_find(fib, s->iface, s->addr);

		if (nh < 0 && (nh = slot_new(fib, s->iface, s->addr)) < 0)
			return nh;
		fib->nexthops[nh].is_static = 1;
		spinat_fib_neigh_set(fib, nh, &s->mac);
	}
	return 0;
}

int
fib_neighs_create(struct spinat_fib *fib)
{
	static uint32_t serial; /* names of hashes: the table in use has its own still */
	struct spinat_fib_control *c = fib->control;
	char name[RTE_HASH_NAMESIZE];
	struct rte_hash_parameters params = {
		.name = name,
		.key_len = sizeof(struct neigh_key),
		.hash_func_init_val = (uint32_t)rte_rand(),
		.socket_id = SOCKET_ID_ANY,
		.extra_flag = RTE_HASH_EXTRA_FLAGS_EXT_TABLE,
	};

	if (count_configured(c->conf, &c->n_slots) != 0)
		return -ENOMEM;
	c->n_slots += c->conf->limits.neighbours;
	fib->first_neigh = fib_fixed(c->conf->n_ifaces, 0);
	fib->n_nexthops = fib->first_neigh + c->n_slots;
	params.entries = RTE_MAX(c->n_slots, 64u);
	snprintf(name, sizeof(name), "spinat_nb_%u", ++serial);
	fib->nexthops = rte_zmalloc(
		"nexthops", sizeof(*fib->nexthops) * fib->n_nexthops, RTE_CACHE_LINE_SIZE);
	c->neighs = rte_hash_create(&params);
	c->free = calloc(c->n_slots, sizeof(*c->free));
	if (fib->nexthops == NULL || c->neighs == NULL || c->free == NULL)
		return -ENOMEM;
	while (c->n_free < c->n_slots) {
		c->free[c->n_free] = fib->n_nexthops - 1 - c->n_free;
		c->n_free++;
	}
	return reserve_configured(fib);
}

void
fib_neighs_free(struct spinat_fib *fib)
{
	rte_hash_free(fib->control->neighs);
	free(fib->control->free);
	rte_free(fib->nexthops);
}

/* The interface on the same wire as one of another snapshot; -1 where there is none. */
static int
same_iface(const struct spinat_conf *conf, const struct spinat_iface_conf *other)
{
	for (uint16_t i = 0; i < conf->n_ifaces; i++) {
		if (conf->ifaces[i].device == other->device && conf->ifaces[i].vlan == other->vlan)
			return i;
	}
	return -1;
}

int
spinat_fib_neigh_same(const struct spinat_fib *fib, const struct spinat_fib *other, uint32_t index)
{
	const struct spinat_nexthop *nh = &other->nexthops[index];
	int iface = same_iface(fib->control->conf, &other->control->conf->ifaces[nh->iface]);

	return iface < 0 ? -ENOENT : spinat_fib_neigh_find(fib, iface, nh->addr);
}

/* Neighbours whose subnet is gone stay behind; a MAC in the configuration is the better one. */
static void
carry_over(struct spinat_fib *fib, const struct spinat_fib *prev, uint32_t prev_index)
{
	const struct spinat_nexthop *old = &prev->nexthops[prev_index];
	int iface = same_iface(fib->control->conf, &prev->control->conf->ifaces[old->iface]);
	struct rte_ether_addr mac;
	struct spinat_nexthop *nh;
	int index;

	if (iface < 0 || old->is_static)
		return;
	index = spinat_fib_neigh_find(fib, iface, old->addr);
	if (index < 0)
		index = spinat_fib_neigh_add(fib, iface, old->addr);
	if (index < 0 || fib->nexthops[index].is_static)
		return;
	nh = &fib->nexthops[index];
	nh->confirmed_s = old->confirmed_s;
	nh->asked_ms = old->asked_ms;
	nh->tries = old->tries;
	memcpy(&mac, old->l2, sizeof(mac));
	if (old->state == SPINAT_NH_REACHABLE)
		spinat_fib_neigh_set(fib, index, &mac);
}

int
fib_neighs_fill(struct spinat_fib *fib, const struct spinat_fib *prev)
{
	const void *key;
	void *data;
	uint32_t next = 0;

	for (uint32_t i = fib->first_neigh; i < fib->n_nexthops; i++) {
		if (fib->nexthops[i].state != SPINAT_NH_FREE && link_neigh(fib, i) != 0)
			return -ENOSPC;
	}
	if (prev == NULL)
		return 0;
	while (rte_hash_iterate(prev->control->neighs, &key, &data, &next) >= 0)
		carry_over(fib, prev, (uintptr_t)data);
	return 0;
}
