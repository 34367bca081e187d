/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 the spinat authors
 */
#include <netinet/in.h>
#include <string.h>

#include <rte_tcp.h>

#include "nat/hash.h"
#include "nat/restore.h"

uint32_t
spinat_nat_rows(const struct spinat_nat *nat)
{
	return __atomic_load_n(&nat->table->high, __ATOMIC_RELAXED);
}

static bool
is_kept(const struct spinat_flow *f)
{
	return (f->type == SPINAT_FLOW_SESSION || f->type == SPINAT_FLOW_STATIC) &&
	       f->proto != IPPROTO_ESP && f->proto != IPPROTO_AH;
}

/*
 * The owner may be half way through filling or freeing the flow. One that is found by its key was
 * complete when the key was put in, and as the caller is a reader, it is not reused before he is
 * done; so what is copied after the look-up is whole.
 */
bool
spinat_nat_export(
	const struct spinat_nat *nat, uint32_t index, uint32_t now_s, struct spinat_nat_row *row)
{
	const struct spinat_flow *f = &nat->table->flows[index];
	struct spinat_key key, again;
	struct spinat_flow copy = *f;
	int32_t idle;

	if (!is_kept(&copy))
		return false;
	spinat_flow_key(&copy, SPINAT_OUT, &key);
	if (spinat_table_find(nat->table, &key) != f)
		return false;
	copy = *(const volatile struct spinat_flow *)f;
	spinat_flow_key(&copy, SPINAT_OUT, &again);
	if (!is_kept(&copy) || memcmp(&key, &again, sizeof(key)) != 0)
		return false;
	idle = now_s - copy.last_seen;
	*row = (struct spinat_nat_row){
		.in_addr = copy.new_addr[SPINAT_IN],
		.out_addr = copy.new_addr[SPINAT_OUT],
		.remote_addr = copy.remote_addr,
		.in_port = copy.new_port[SPINAT_IN],
		.out_port = copy.new_port[SPINAT_OUT],
		.remote_port = copy.remote_port,
		.realm = copy.realm,
		.proto = copy.proto,
		.type = copy.type,
		/* the binder has to be told of ESP in UDP again */
		.state = copy.proto == IPPROTO_TCP ? copy.state : 0,
		.tcp_expected = copy.proto == IPPROTO_TCP ? copy.tcp_expected : 0,
		.opened_in = (copy.flags & SPINAT_FLOW_OPENED_IN) != 0,
		.idle_s = RTE_MAX(idle, 0), /* the worker's clock may be a second ahead */
		.age_s = now_s - copy.created,
	};
	return true;
}

unsigned int
spinat_nat_row_owner(const struct spinat_nat_row *row, unsigned int n_workers)
{
	return spinat_owner(row->in_addr, row->realm, n_workers);
}

static bool
is_valid(const struct spinat_conf *conf, const struct spinat_nat_row *row)
{
	if (row->type == SPINAT_FLOW_SESSION) {
		if (spinat_transport(row->proto) < 0 || row->out_port == 0)
			return false;
	} else if (row->type != SPINAT_FLOW_STATIC || row->proto == IPPROTO_ESP ||
		   row->proto == IPPROTO_AH) {
		return false;
	}
	return row->realm < conf->n_realms && row->in_addr != 0 && row->remote_addr != 0;
}

static enum spinat_restored
outcome(enum spinat_drop drop)
{
	switch (drop) {
	case SPINAT_DROP_NONE:
		return SPINAT_RESTORED;
	case SPINAT_DROP_SESSIONS_FULL:
	case SPINAT_DROP_MAPPINGS_FULL:
	case SPINAT_DROP_CLIENTS_FULL:
	case SPINAT_DROP_CLIENT_SESSIONS:
	case SPINAT_DROP_CLIENT_MAPPINGS:
		return SPINAT_SKIPPED_FULL;
	case SPINAT_DROP_PORTS_EXHAUSTED:
		return SPINAT_SKIPPED_CLASH;
	default:
		return SPINAT_SKIPPED_FORBIDDEN;
	}
}

/* Whether a session goes through a mapping that need not be the one of its own remote. */
static bool
opened_from_outside(const struct spinat_conf *conf, const struct spinat_flow *want)
{
	return want->flags & SPINAT_FLOW_OPENED_IN &&
	       conf->realms[want->realm].mapping != SPINAT_MAP_ENDPOINT_INDEPENDENT;
}

/* The packet that opened the flow comes once more: all the rules of today apply to it. */
static enum spinat_drop
replay(struct spinat_nat *nat, const struct spinat_conf *conf, const struct spinat_flow *want,
	uint32_t now_s, struct spinat_flow **flow)
{
	const enum spinat_dir dir =
		want->type == SPINAT_FLOW_SESSION && !opened_from_outside(conf, want) ? SPINAT_OUT
										      : SPINAT_IN;
	struct spinat_meta meta = {
		.kind = spinat_transport(want->proto) >= 0 ? SPINAT_KIND_FLOW : SPINAT_KIND_OTHER,
		.tcp_flags = want->proto == IPPROTO_TCP ? RTE_TCP_SYN_FLAG : 0,
		.flags = want->proto == IPPROTO_ICMP ? SPINAT_META_ICMP_REQUEST : 0,
	};

	spinat_flow_key(want, dir, &meta.key);
	return dir == SPINAT_OUT ? spinat_nat_outbound(nat, conf, &meta, now_s, flow)
				 : spinat_nat_inbound(nat, conf, &meta, now_s, flow);
}

/* Makes the flow; removed again where today's rules would make it another one. */
static enum spinat_drop
make(struct spinat_nat *nat, const struct spinat_conf *conf, const struct spinat_flow *want,
	uint32_t now_s, struct spinat_flow **flow)
{
	enum spinat_drop drop = replay(nat, conf, want, now_s, flow);

	if (drop != SPINAT_DROP_NONE)
		return drop;
	if ((*flow)->type == want->type &&
		(*flow)->new_addr[SPINAT_OUT] == want->new_addr[SPINAT_OUT] &&
		(*flow)->new_addr[SPINAT_IN] == want->new_addr[SPINAT_IN] &&
		(*flow)->new_port[SPINAT_OUT] == want->new_port[SPINAT_OUT] &&
		(*flow)->new_port[SPINAT_IN] == want->new_port[SPINAT_IN])
		return SPINAT_DROP_NONE;
	spinat_nat_remove(nat, *flow);
	return SPINAT_DROP_NO_MAPPING;
}

static enum spinat_drop
make_session(struct spinat_nat *nat, const struct spinat_conf *conf, const struct spinat_flow *want,
	uint32_t now_s, struct spinat_flow **flow)
{
	const struct spinat_client_ctx ctx = {
		.conf = conf,
		.pools = nat->pools,
		.worker = nat->worker,
		.n_workers = nat->n_workers,
		.now_s = now_s,
		.recorder = &nat->recorder,
		.leases = nat->leases,
		.restoring = true,
	};
	const struct spinat_mapping_request req = {
		.ctx = &ctx,
		.in_addr = want->new_addr[SPINAT_IN],
		.in_port = want->new_port[SPINAT_IN],
		.remote_addr = want->remote_addr,
		.remote_port = want->remote_port,
		.realm = want->realm,
		.proto = want->proto,
	};
	struct spinat_mapping *map;
	enum spinat_drop drop;
	uint32_t mapping;

	drop = spinat_mapping_restore(nat->mappings, &req, want->new_addr[SPINAT_OUT],
		want->new_port[SPINAT_OUT], opened_from_outside(conf, want), &mapping);
	if (drop != SPINAT_DROP_NONE)
		return drop;
	drop = make(nat, conf, want, now_s, flow);
	map = spinat_mapping_at(nat->mappings, mapping);
	if (drop == SPINAT_DROP_NONE)
		map->created = RTE_MIN(map->created, want->created);
	else if (map->use != SPINAT_MAPPING_FREE)
		spinat_mapping_drop_unused(nat->mappings, nat->pools, &nat->recorder, mapping);
	return drop;
}

enum spinat_restored
spinat_nat_restore(struct spinat_nat *nat, const struct spinat_conf *conf,
	const struct spinat_nat_row *row, uint32_t now_s, uint32_t down_s)
{
	const uint64_t idle_s = (uint64_t)row->idle_s + down_s;
	const uint64_t age_s = (uint64_t)row->age_s + down_s;
	const struct spinat_flow want = {
		.new_addr = {[SPINAT_OUT] = row->out_addr, [SPINAT_IN] = row->in_addr},
		.new_port = {[SPINAT_OUT] = row->out_port, [SPINAT_IN] = row->in_port},
		.remote_addr = row->remote_addr,
		.remote_port = row->remote_port,
		.realm = row->realm,
		.proto = row->proto,
		.type = row->type,
		.state = row->state,
		.flags = row->opened_in == 1 ? SPINAT_FLOW_OPENED_IN : 0,
		.last_seen = now_s - (uint32_t)RTE_MIN(idle_s, now_s),
		.created = now_s - (uint32_t)RTE_MIN(age_s, now_s),
	};
	struct spinat_flow *f = NULL;
	struct spinat_key key;
	enum spinat_drop drop;

	if (!is_valid(conf, row))
		return SPINAT_SKIPPED_INVALID;
	if (!spinat_flow_permitted(conf, &want))
		return SPINAT_SKIPPED_FORBIDDEN;
	if (idle_s >= spinat_flow_timeout(conf, &want))
		return SPINAT_SKIPPED_EXPIRED;
	spinat_flow_key(&want, SPINAT_IN, &key);
	if (spinat_nat_owner_in(conf, &key, nat->n_workers) != nat->worker)
		return SPINAT_SKIPPED_WORKER;
	if (spinat_table_find(nat->table, &key) != NULL)
		return SPINAT_SKIPPED_CLASH;
	spinat_flow_key(&want, SPINAT_OUT, &key);
	if (spinat_table_find(nat->table, &key) != NULL)
		return SPINAT_SKIPPED_CLASH;
	nat->restoring = true;
	drop = want.type == SPINAT_FLOW_SESSION ? make_session(nat, conf, &want, now_s, &f)
						: make(nat, conf, &want, now_s, &f);
	nat->restoring = false;
	if (drop == SPINAT_DROP_NONE) {
		f->state = want.state;
		f->flags = (f->flags & ~SPINAT_FLOW_OPENED_IN) | want.flags;
		if (f->proto == IPPROTO_TCP)
			f->tcp_expected = row->tcp_expected;
		f->last_seen = want.last_seen;
		f->created = want.created;
	}
	return outcome(drop);
}
