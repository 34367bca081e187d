/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 the spinat authors
 */
#include <errno.h>
#include <netinet/in.h>
#include <stdio.h>

#include <rte_malloc.h>
#include <rte_tcp.h>

#include "nat/deterministic.h"
#include "nat/hash.h"
#include "nat/nat.h"
#include "nat/tcp.h"

struct spinat_nat *
spinat_nat_create(const struct spinat_conf *conf, uint16_t worker, uint16_t n_workers,
	struct spinat_pools *pools, struct rte_rcu_qsbr *qsbr, int socket_id)
{
	/* inside hosts are spread by hash, not evenly: a quarter of slack where there are several */
	const uint32_t share = n_workers == 1 ? 4 : 5;
	const uint32_t sessions = (uint64_t)conf->limits.sessions * share / 4 / n_workers;
	const struct spinat_mappings_size size = {
		.mappings = conf->limits.mappings == 0
				    ? sessions
				    : (uint64_t)conf->limits.mappings * share / 4 / n_workers,
		.sessions = sessions,
		.clients = (uint64_t)conf->limits.clients * share / 4 / n_workers,
		.ports_held = conf->limits.ports_held / n_workers,
	};
	/* a shortcut a direction may stand beside the sessions; all bindings may meet at one gateway */
	const uint32_t shortcuts = conf->limits.bindings;
	struct spinat_nat *nat = rte_zmalloc_socket("spinat_nat", sizeof(*nat), 0, socket_id);
	char name[32];

	if (nat == NULL)
		return NULL;
	nat->worker = worker;
	nat->n_workers = n_workers;
	nat->pools = pools;
	nat->generation = conf->generation;
	snprintf(name, sizeof(name), "flows%u", worker);
	nat->table = spinat_table_create(name, sessions + shortcuts, qsbr, socket_id);
	snprintf(name, sizeof(name), "map%u", worker);
	nat->mappings = spinat_mappings_create(name, &size, socket_id);
	snprintf(name, sizeof(name), "lease%u", worker);
	nat->leases = spinat_leases_create(name, size.clients, socket_id);
	if (nat->table == NULL || nat->mappings == NULL || nat->leases == NULL ||
		spinat_recorder_create(&nat->recorder, conf, worker, socket_id) != 0) {
		spinat_nat_free(nat);
		return NULL;
	}
	nat->max_sessions = sessions;
	return nat;
}

void
spinat_nat_free(struct spinat_nat *nat)
{
	if (nat == NULL)
		return;
	spinat_table_free(nat->table);
	spinat_mappings_free(nat->mappings);
	spinat_leases_free(nat->leases);
	spinat_recorder_free(&nat->recorder);
	rte_free(nat);
}

/* Outside address of an inside one under a static rule: the prefix changes, host bits stay. */
static rte_be32_t
static_outside(const struct spinat_static_conf *s, rte_be32_t inside)
{
	uint32_t host = s->len == 32 ? 0 : UINT32_MAX >> s->len;

	return (s->outside & ~rte_cpu_to_be_32(host)) | (inside & rte_cpu_to_be_32(host));
}

/* The outside address that the configuration gives an inside host for IPsec, or 0. */
static rte_be32_t
configured_outside(const struct spinat_conf *conf, uint16_t realm, rte_be32_t inside)
{
	const struct spinat_static_conf *s = spinat_conf_static_inside(conf, realm, inside);

	if (s != NULL)
		return static_outside(s, inside);
	for (uint32_t i = 0; i < conf->n_redirects; i++)
		if (conf->redirects[i].proto == 0 && conf->redirects[i].inside == inside &&
			conf->redirects[i].realm == realm)
			return conf->redirects[i].outside;
	return 0;
}

rte_be32_t
spinat_nat_outside_of(const struct spinat_conf *conf, uint16_t realm, rte_be32_t inside)
{
	const rte_be32_t outside = configured_outside(conf, realm, inside);

	return outside != 0 ? outside : spinat_pool_address(conf, realm, inside);
}

bool
spinat_nat_has_choice(const struct spinat_conf *conf, uint16_t realm, rte_be32_t inside)
{
	const struct spinat_realm_conf *r = &conf->realms[realm];

	return r->n_addrs > 1 && r->port_allocation != SPINAT_PORTS_DETERMINISTIC &&
	       configured_outside(conf, realm, inside) == 0;
}

/* Redirection that an inside server's own packets fall under. */
static const struct spinat_redirect_conf *
redirect_of_server(const struct spinat_conf *conf, const struct spinat_key *key)
{
	for (uint32_t i = 0; i < conf->n_redirects; i++) {
		const struct spinat_redirect_conf *r = &conf->redirects[i];

		if (r->inside != key->src || r->realm != key->realm)
			continue;
		if (r->proto == key->proto &&
			(r->n_ports == 0 ||
				(uint16_t)(rte_be_to_cpu_16(key->sport) -
					   rte_be_to_cpu_16(r->inside_port)) < r->n_ports))
			return r;
		if (r->proto == 0 && key->proto == IPPROTO_UDP &&
			key->sport == RTE_BE16(SPINAT_NATT_PORT))
			return r;
	}
	return NULL;
}

unsigned int
spinat_nat_owner_in(
	const struct spinat_conf *conf, const struct spinat_key *key, unsigned int n_workers)
{
	const struct spinat_outside_addr *o;
	const struct spinat_redirect_conf *r;

	if (n_workers == 1)
		return 0;
	o = spinat_conf_outside(conf, key->dst);
	if (o == NULL)
		return 0;
	if (o->kinds & SPINAT_OUTSIDE_STATIC)
		return spinat_owner(o->inside, o->realm, n_workers);
	if (o->kinds & SPINAT_OUTSIDE_REDIRECT) {
		r = spinat_conf_redirect(conf, key->dst, key->proto, key->dport);
		if (r != NULL)
			return spinat_owner(r->inside, r->realm, n_workers);
	}
	if (o->kinds & SPINAT_OUTSIDE_DETERMINISTIC)
		return spinat_owner(
			spinat_deterministic_host(conf, o, key->dport), o->realm, n_workers);
	return spinat_port_owner(key->dport, n_workers);
}

static bool
is_opening_syn(const struct spinat_meta *meta)
{
	return (meta->tcp_flags & (RTE_TCP_SYN_FLAG | RTE_TCP_ACK_FLAG | RTE_TCP_RST_FLAG |
					  RTE_TCP_FIN_FLAG)) == RTE_TCP_SYN_FLAG;
}

/* Whether a segment from inside may go on with a connection that was there before us: its realm says
 * so, and it is data or an acknowledgement, not the end of something. */
static bool
may_pick_up(const struct spinat_conf *conf, const struct spinat_meta *meta)
{
	const uint8_t flags = meta->tcp_flags & (RTE_TCP_SYN_FLAG | RTE_TCP_ACK_FLAG |
							RTE_TCP_RST_FLAG | RTE_TCP_FIN_FLAG);

	return flags == RTE_TCP_ACK_FLAG && meta->key.dir == SPINAT_OUT &&
	       conf->realms[meta->key.realm].tcp_pickup;
}

/* Whether a packet of no flow may open one through a dynamic mapping or a redirection. */
static enum spinat_drop
may_open(const struct spinat_conf *conf, const struct spinat_meta *meta)
{
	switch (meta->key.proto) {
	case IPPROTO_UDP:
		return SPINAT_DROP_NONE;
	case IPPROTO_TCP:
		return is_opening_syn(meta) || may_pick_up(conf, meta) ? SPINAT_DROP_NONE
								       : SPINAT_DROP_TCP_NOT_SYN;
	case IPPROTO_ICMP:
		return meta->flags & SPINAT_META_ICMP_REQUEST ? SPINAT_DROP_NONE
							      : SPINAT_DROP_ICMP_REPLY;
	default:
		return SPINAT_DROP_PROTOCOL;
	}
}

/* The two ends of a new flow, inside and outside. */
struct ends {
	rte_be32_t in_addr, out_addr;
	rte_be16_t in_port, out_port;
	uint16_t realm;
	uint8_t type;
	uint32_t mapping;
};

/* Makes a new flow visible; the hashes of its keys may be known. */
static int
enter(struct spinat_nat *nat, struct spinat_flow *f, const struct spinat_ahead *ahead)
{
	uint64_t hash[2];

	/* an answer's key is known only where the outside endpoint is what was foreseen */
	if (ahead == NULL || f->new_addr[SPINAT_OUT] != ahead->outside_addr ||
		f->new_port[SPINAT_OUT] != ahead->outside_port)
		return spinat_table_insert(nat->table, f);
	hash[SPINAT_OUT] = ahead->key;
	hash[SPINAT_IN] = ahead->answer;
	return spinat_table_insert_hashed(nat->table, f, hash);
}

static enum spinat_drop
add_flow(struct spinat_nat *nat, const struct spinat_conf *conf, const struct spinat_meta *meta,
	const struct ends *e, const struct spinat_ahead *ahead, uint32_t now_s,
	struct spinat_flow **flow)
{
	const struct spinat_key *key = &meta->key;
	const bool out = key->dir == SPINAT_OUT;
	struct spinat_flow *f;

	if (nat->sessions >= nat->max_sessions || (f = spinat_table_alloc(nat->table)) == NULL)
		return SPINAT_DROP_SESSIONS_FULL;
	f->new_addr[SPINAT_OUT] = e->out_addr;
	f->new_addr[SPINAT_IN] = e->in_addr;
	f->new_port[SPINAT_OUT] = e->out_port;
	f->new_port[SPINAT_IN] = e->in_port;
	f->remote_addr = out ? key->dst : key->src;
	f->remote_port = out ? key->dport : key->sport;
	f->realm = e->realm;
	f->proto = key->proto;
	f->type = e->type;
	f->flags = SPINAT_FLOW_KEY_OUT | SPINAT_FLOW_KEY_IN;
	if (!out)
		f->flags |= SPINAT_FLOW_OPENED_IN;
	if (conf->realms[e->realm].inbound_refresh)
		f->flags |= SPINAT_FLOW_IN_REFRESH;
	if (spinat_conf_outside(conf, f->remote_addr) != NULL)
		f->flags |= SPINAT_FLOW_HAIRPIN;
	if (f->proto == IPPROTO_UDP && (f->remote_port == RTE_BE16(SPINAT_NATT_PORT) ||
					       f->remote_port == RTE_BE16(SPINAT_IKE_PORT)))
		f->flags |= SPINAT_FLOW_IKE;
	f->mapping = e->mapping;
	f->last_seen = f->created = now_s;
	spinat_flow_set_deltas(f);
	if (f->proto == IPPROTO_TCP)
		spinat_tcp_begin(f, meta);
	if (enter(nat, f, ahead) != 0)
		return SPINAT_DROP_SESSIONS_FULL;
	nat->sessions++;
	nat->created++;
	spinat_record_session(&nat->recorder, SPINAT_RECORD_SESSION_BEGIN, f);
	*flow = f;
	return SPINAT_DROP_NONE;
}

/* A flow under a static rule or a redirection. A flow of older rules may still have its key. */
static enum spinat_drop
add_static(struct spinat_nat *nat, const struct spinat_conf *conf, const struct spinat_meta *meta,
	struct ends *e, uint32_t now_s, struct spinat_flow **flow)
{
	const struct spinat_key *key = &meta->key;
	struct spinat_key other = {.proto = key->proto};
	struct spinat_flow *old;

	if (key->dir == SPINAT_OUT) {
		other.src = key->dst;
		other.sport = key->dport;
		other.dst = e->out_addr;
		other.dport = e->out_port;
		other.dir = SPINAT_IN;
	} else {
		other.src = e->in_addr;
		other.sport = e->in_port;
		other.dst = key->src;
		other.dport = key->sport;
		other.dir = SPINAT_OUT;
		other.realm = e->realm;
	}
	old = spinat_table_find(nat->table, &other);
	if (old != NULL && spinat_nat_remove(nat, old) != 0)
		return SPINAT_DROP_SESSIONS_FULL;
	e->type = SPINAT_FLOW_STATIC;
	e->mapping = SPINAT_MAPPING_NONE;
	return add_flow(nat, conf, meta, e, NULL, now_s, flow);
}

static struct spinat_client_ctx
client_ctx(struct spinat_nat *nat, const struct spinat_conf *conf, const struct spinat_ahead *ahead,
	uint32_t now_s)
{
	return (struct spinat_client_ctx){
		.conf = conf,
		.pools = nat->pools,
		.worker = nat->worker,
		.n_workers = nat->n_workers,
		.now_s = now_s,
		.restoring = nat->restoring,
		.recorder = &nat->recorder,
		.leases = nat->leases,
		.ahead = ahead,
	};
}

rte_be32_t
spinat_nat_lease(struct spinat_nat *nat, const struct spinat_conf *conf, uint16_t realm,
	rte_be32_t inside, rte_be32_t wish, uint32_t now_s)
{
	const struct spinat_client_ctx ctx = client_ctx(nat, conf, NULL, now_s);
	rte_be32_t outside = spinat_mapping_outside(nat->mappings, &ctx, realm, inside);

	if (outside == 0)
		outside = spinat_lease_find(nat->leases, conf, realm, inside);
	if (outside == 0)
		outside = wish;
	spinat_lease_renew(nat->leases, realm, inside, outside, now_s);
	return outside;
}

/* On failure a mapping that no other session holds is gone. */
static enum spinat_drop
add_session(struct spinat_nat *nat, const struct spinat_client_ctx *ctx,
	const struct spinat_meta *meta, uint32_t mapping, struct spinat_flow **flow)
{
	const struct spinat_key *key = &meta->key;
	const struct spinat_mapping *map = spinat_mapping_at(nat->mappings, mapping);
	const rte_be32_t remote = key->dir == SPINAT_OUT ? key->dst : key->src;
	const struct ends e = {
		.in_addr = map->in_addr,
		.in_port = map->in_port,
		.out_addr = map->out_addr,
		.out_port = map->out_port,
		.realm = map->realm,
		.type = SPINAT_FLOW_SESSION,
		.mapping = mapping,
	};
	enum spinat_drop drop;

	drop = spinat_mapping_hold(nat->mappings, ctx, mapping, remote, key->dir == SPINAT_OUT);
	if (drop != SPINAT_DROP_NONE) {
		spinat_mapping_drop_unused(nat->mappings, nat->pools, &nat->recorder, mapping);
		return drop;
	}
	drop = add_flow(nat, ctx->conf, meta, &e, ctx->ahead, ctx->now_s, flow);
	if (drop != SPINAT_DROP_NONE)
		spinat_mapping_release(nat->mappings, nat->pools, &nat->recorder, mapping, remote);
	return drop;
}

void
spinat_nat_ahead(struct spinat_nat *nat, const struct spinat_conf *conf,
	const struct spinat_key *const *keys, unsigned int n, struct spinat_ahead *ahead)
{
	const struct spinat_client_ctx ctx = client_ctx(nat, conf, NULL, 0);
	struct spinat_key answer[SPINAT_AHEAD_MAX];
	const struct spinat_key *p[SPINAT_AHEAD_MAX];
	uint64_t hash[SPINAT_AHEAD_MAX];

	spinat_mapping_ahead(nat->mappings, &ctx, keys, n, ahead);
	for (unsigned int i = 0; i == 0 || i < n; i++) {
		answer[i] = (struct spinat_key){.src = keys[i]->dst,
			.dst = ahead[i].outside_addr,
			.sport = keys[i]->dport,
			.dport = ahead[i].outside_port,
			.proto = keys[i]->proto,
			.dir = SPINAT_IN};
		p[i] = &answer[i];
	}
	spinat_hash_burst(p, n, hash);
	for (unsigned int i = 0; i < n; i++) {
		ahead[i].answer = hash[i];
		spinat_index_prefetch(&nat->table->index, hash[i]);
	}
}

enum spinat_drop
spinat_nat_outbound(struct spinat_nat *nat, const struct spinat_conf *conf,
	const struct spinat_meta *meta, uint32_t now_s, struct spinat_flow **flow)
{
	return spinat_nat_outbound_ahead(nat, conf, meta, NULL, now_s, flow);
}

enum spinat_drop
spinat_nat_outbound_ahead(struct spinat_nat *nat, const struct spinat_conf *conf,
	const struct spinat_meta *meta, const struct spinat_ahead *ahead, uint32_t now_s,
	struct spinat_flow **flow)
{
	const struct spinat_key *key = &meta->key;
	const struct spinat_static_conf *s = spinat_conf_static_inside(conf, key->realm, key->src);
	struct ends e = {.in_addr = key->src, .in_port = key->sport, .realm = key->realm};
	const struct spinat_redirect_conf *r;
	const struct spinat_client_ctx ctx = client_ctx(nat, conf, ahead, now_s);
	enum spinat_drop drop;
	uint32_t mapping;

	if (s != NULL) {
		e.out_addr = static_outside(s, key->src);
		e.out_port = key->sport;
		return add_static(nat, conf, meta, &e, now_s, flow);
	}
	r = redirect_of_server(conf, key);
	drop = r != NULL && meta->kind == SPINAT_KIND_OTHER ? SPINAT_DROP_NONE
							    : may_open(conf, meta);
	if (drop != SPINAT_DROP_NONE)
		return drop;
	if (r != NULL) {
		e.out_addr = r->outside;
		e.out_port = spinat_redirect_outside_port(r, key->sport);
		return add_static(nat, conf, meta, &e, now_s, flow);
	}
	drop = spinat_mapping_get(nat->mappings,
		&(struct spinat_mapping_request){
			.ctx = &ctx,
			.in_addr = key->src,
			.in_port = key->sport,
			.remote_addr = key->dst,
			.remote_port = key->dport,
			.realm = key->realm,
			.proto = key->proto,
		},
		&mapping);
	if (drop != SPINAT_DROP_NONE)
		return drop;
	return add_session(nat, &ctx, meta, mapping, flow);
}

/* The filtering of a mapping (RFC 4787 5). */
static bool
is_let_in(const struct spinat_nat *nat, const struct spinat_conf *conf,
	const struct spinat_mapping *map, rte_be32_t remote)
{
	if (nat->restoring) /* he was, and what let him in may be restored after him */
		return true;
	switch (conf->realms[map->realm].filtering) {
	case SPINAT_FILTER_ENDPOINT_INDEPENDENT:
		return true;
	case SPINAT_FILTER_ADDRESS:
		return spinat_mapping_permits(nat->mappings, map, remote);
	case SPINAT_FILTER_ADDRESS_PORT:
		return false; /* whoever is let in has a session */
	}
	return false;
}

static enum spinat_drop
inbound_mapping(struct spinat_nat *nat, const struct spinat_conf *conf,
	const struct spinat_meta *meta, uint32_t now_s, struct spinat_flow **flow)
{
	const struct spinat_key *key = &meta->key;
	const struct spinat_client_ctx ctx = client_ctx(nat, conf, NULL, now_s);
	enum spinat_drop drop;
	uint32_t mapping = spinat_mapping_find(nat->mappings, key->dst, key->dport, key->proto);

	if (mapping == SPINAT_MAPPING_NONE)
		return SPINAT_DROP_NO_MAPPING;
	if (!is_let_in(nat, conf, spinat_mapping_at(nat->mappings, mapping), key->src))
		return SPINAT_DROP_FILTERED;
	/* a mapping of queries takes replies only: no request from outside finds a host by it */
	if (key->proto == IPPROTO_ICMP)
		return SPINAT_DROP_FILTERED;
	drop = may_open(conf, meta);
	if (drop != SPINAT_DROP_NONE)
		return drop;
	return add_session(nat, &ctx, meta, mapping, flow);
}

enum spinat_drop
spinat_nat_inbound(struct spinat_nat *nat, const struct spinat_conf *conf,
	const struct spinat_meta *meta, uint32_t now_s, struct spinat_flow **flow)
{
	const struct spinat_key *key = &meta->key;
	const struct spinat_outside_addr *o = spinat_conf_outside(conf, key->dst);
	const struct spinat_redirect_conf *r = NULL;
	struct ends e = {.out_addr = key->dst, .out_port = key->dport};
	enum spinat_drop drop;

	if (o == NULL)
		return SPINAT_DROP_NOT_OURS;
	if (o->kinds & SPINAT_OUTSIDE_STATIC) {
		e.in_addr = o->inside;
		e.in_port = key->dport;
		e.realm = o->realm;
		return add_static(nat, conf, meta, &e, now_s, flow);
	}
	if (o->kinds & SPINAT_OUTSIDE_REDIRECT)
		r = spinat_conf_redirect(conf, key->dst, key->proto, key->dport);
	if (r == NULL)
		return inbound_mapping(nat, conf, meta, now_s, flow);
	drop = meta->kind == SPINAT_KIND_OTHER ? SPINAT_DROP_NONE : may_open(conf, meta);
	if (drop != SPINAT_DROP_NONE)
		return drop;
	e.in_addr = r->inside;
	e.in_port = spinat_redirect_inside_port(r, key->dport);
	e.realm = r->realm;
	return add_static(nat, conf, meta, &e, now_s, flow);
}

struct spinat_flow *
spinat_nat_install_spi(struct spinat_nat *nat, const struct spinat_spi_flow *s, uint32_t now_s)
{
	struct spinat_flow *f = spinat_table_alloc(nat->table);

	if (f == NULL)
		return NULL;
	f->new_addr[SPINAT_OUT] = s->outside;
	f->new_addr[SPINAT_IN] = s->client;
	f->remote_addr = s->remote;
	f->realm = s->realm;
	f->proto = s->proto;
	f->type = s->type;
	f->flags = SPINAT_FLOW_IN_REFRESH |
		   (s->dir == SPINAT_OUT ? SPINAT_FLOW_KEY_OUT : SPINAT_FLOW_KEY_IN) |
		   (s->hairpin ? SPINAT_FLOW_HAIRPIN : 0);
	f->last_seen = f->created = now_s;
	f->spi = s->spi;
	spinat_flow_set_deltas(f);
	f->spi_seq = s->seq;
	return spinat_table_insert(nat->table, f) == 0 ? f : NULL;
}

int
spinat_nat_remove(struct spinat_nat *nat, struct spinat_flow *f)
{
	const struct spinat_flow was = *f;
	int rc = spinat_table_remove(nat->table, f);

	if (rc != 0)
		return rc;
	if (was.type == SPINAT_FLOW_SESSION)
		spinat_mapping_release(
			nat->mappings, nat->pools, &nat->recorder, was.mapping, was.remote_addr);
	if (was.proto != IPPROTO_ESP && was.proto != IPPROTO_AH) {
		nat->sessions--;
		spinat_record_session(&nat->recorder, SPINAT_RECORD_SESSION_END, &was);
	}
	return 0;
}
