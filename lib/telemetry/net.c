/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 the spinat authors
 */
#include <stdio.h>
#include <string.h>

#include "telemetry/handlers.h"

/* /spinat/pools, /spinat/neighbours */

static void
pool_row(struct rte_tel_data *row, const struct spinat_engine *e,
	const struct spinat_outside_addr *o)
{
	const struct spinat_ports *ports = spinat_pools_find(e->pools, o->addr);
	char kinds[64];

	snprintf(kinds, sizeof(kinds), "%s%s%s%s", o->kinds & SPINAT_OUTSIDE_BOX ? "box " : "",
		o->kinds & SPINAT_OUTSIDE_POOL ? "pool " : "",
		o->kinds & SPINAT_OUTSIDE_STATIC ? "static " : "",
		o->kinds & SPINAT_OUTSIDE_REDIRECT ? "redirect " : "");
	kinds[strlen(kinds) - 1] = '\0';
	add_addr(row, "address", o->addr);
	rte_tel_data_add_dict_u64(row, "realm", o->realm);
	rte_tel_data_add_dict_string(row, "kinds", kinds);
	if (o->kinds & SPINAT_OUTSIDE_STATIC)
		add_addr(row, "inside", o->inside);
	if (!(o->kinds & SPINAT_OUTSIDE_POOL) || ports == NULL)
		return;
	rte_tel_data_add_dict_u64(row, "udp", spinat_ports_used(ports, SPINAT_UDP));
	rte_tel_data_add_dict_u64(row, "tcp", spinat_ports_used(ports, SPINAT_TCP));
	rte_tel_data_add_dict_u64(row, "icmp", spinat_ports_used(ports, SPINAT_ICMP));
	if (e->snapshot->conf->realms[o->realm].port_allocation == SPINAT_PORTS_BLOCK)
		rte_tel_data_add_dict_u64(row, "blocks", spinat_blocks_used(ports));
}

int
handle_pools(const struct spinat_telemetry *t, const char *params, struct rte_tel_data *data)
{
	const struct spinat_conf *conf = t->engine->snapshot->conf;
	struct rte_tel_data *row;
	struct filter f;
	struct list l;
	uint64_t i;

	if (filter_parse(params, "outside limit cursor", &f) != 0)
		return answer_error(data, f.error);
	if (list_start(&l, data, &f, ROWS_MAX) != 0)
		return -ENOMEM;
	for (i = f.cursor; i <= conf->outside_mask; i++) {
		const struct spinat_outside_addr *o = &conf->outside[i];

		if (o->kinds == 0 || (f.outside != 0 && f.outside != o->addr))
			continue;
		if (l.n == l.limit)
			break;
		row = list_row(&l);
		if (row != NULL)
			pool_row(row, t->engine, o);
	}
	list_end(&l, i <= conf->outside_mask, i);
	return 0;
}

static void
neighbour_row(
	struct rte_tel_data *row, const struct spinat_conf *conf, const struct spinat_nexthop *nh)
{
	const bool reachable = spinat_nexthop_state(nh) == SPINAT_NH_REACHABLE;
	uint8_t l2[SPINAT_L2_MAX];
	char mac[RTE_ETHER_ADDR_FMT_SIZE] = "";

	if (reachable) {
		spinat_nexthop_l2(nh, l2);
		rte_ether_format_addr(mac, sizeof(mac), (const struct rte_ether_addr *)l2);
	}
	rte_tel_data_add_dict_string(row, "interface", conf->ifaces[nh->iface].name);
	add_addr(row, "address", nh->addr);
	rte_tel_data_add_dict_string(row, "mac", mac);
	rte_tel_data_add_dict_string(row, "state",
		nh->is_static ? "static"
		: reachable   ? "reachable"
			      : "incomplete");
	rte_tel_data_add_dict_u64(row, "waiting", nh->waiting);
}

int
handle_neighbours(const struct spinat_telemetry *t, const char *params, struct rte_tel_data *data)
{
	const struct spinat_snapshot *snap = t->engine->snapshot;
	struct rte_tel_data *row;
	struct filter f;
	struct list l;
	uint64_t i;

	if (filter_parse(params, "remote limit cursor", &f) != 0)
		return answer_error(data, f.error);
	if (list_start(&l, data, &f, ROWS_MAX) != 0)
		return -ENOMEM;
	for (i = RTE_MAX(f.cursor, (uint64_t)snap->fib->first_neigh); i < snap->fib->n_nexthops;
		i++) {
		const struct spinat_nexthop *nh = &snap->fib->nexthops[i];

		if (spinat_nexthop_state(nh) == SPINAT_NH_FREE || nh->addr == 0 ||
			(f.remote != 0 && f.remote != nh->addr))
			continue;
		if (l.n == l.limit)
			break;
		row = list_row(&l);
		if (row != NULL)
			neighbour_row(row, snap->conf, nh);
	}
	list_end(&l, i < snap->fib->n_nexthops, i);
	return 0;
}
