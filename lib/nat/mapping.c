/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 the spinat authors
 */
#include <errno.h>
#include <netinet/in.h>

#include <rte_malloc.h>
#include <rte_prefetch.h>

#include "nat/ahead.h"
#include "nat/allowance.h"
#include "nat/flow.h"
#include "nat/hash.h"
#include "nat/index.h"
#include "nat/mapping.h"
#include "nat/mapping_rows.h"
#include "nat/permit.h"

struct spinat_mappings {
	struct spinat_mapping_rows rows;
	struct spinat_index index; /* of 2 * row + direction: inside endpoint, outside endpoint */
	struct spinat_permits permits;
	struct spinat_clients clients;
	uint32_t hold_generation; /* configuration that hold_realms is of */
	uint16_t hold_realms; /* bit i: ports of realm i wait before they are somebody else's */
};

_Static_assert(SPINAT_MAX_REALMS <= 16, "a bit each");

struct spinat_mappings *
spinat_mappings_create(const char *name, const struct spinat_mappings_size *size, int socket_id)
{
	const uint32_t capacity = size->mappings;
	struct spinat_mappings *m = rte_zmalloc_socket(name, sizeof(*m), 0, socket_id);

	if (m == NULL)
		return NULL;
	if (spinat_mapping_rows_create(&m->rows, name, capacity, size->ports_held, socket_id) !=
			0 ||
		spinat_index_create(&m->index, name, 2 * capacity, socket_id) != 0 ||
		spinat_permits_create(&m->permits, name, size->sessions, socket_id) != 0 ||
		spinat_clients_create(&m->clients, name, size->clients, socket_id) != 0) {
		spinat_mappings_free(m);
		return NULL;
	}
	return m;
}

void
spinat_mappings_free(struct spinat_mappings *m)
{
	if (m == NULL)
		return;
	spinat_clients_free(&m->clients);
	spinat_permits_free(&m->permits);
	spinat_index_free(&m->index);
	spinat_mapping_rows_free(&m->rows);
	rte_free(m);
}

/* By which an inside endpoint finds its mapping; with the remote one where the realm says so. */
static struct spinat_key
inside_key(const struct spinat_mapping *map)
{
	return (struct spinat_key){.src = map->in_addr,
		.dst = map->use == SPINAT_MAPPING_OF_REMOTE ? map->remote_addr : 0,
		.sport = map->in_port,
		.dport = map->remote_port,
		.proto = map->proto,
		.dir = SPINAT_OUT,
		.realm = map->realm};
}

static struct spinat_key
outside_key(rte_be32_t addr, rte_be16_t port, uint8_t proto)
{
	return (struct spinat_key){.dst = addr, .dport = port, .proto = proto, .dir = SPINAT_IN};
}

struct wanted {
	const struct spinat_mapping *rows;
	const struct spinat_key *key;
};

static bool
is_wanted(const void *ctx, uint32_t value)
{
	const struct wanted *w = ctx;
	const struct spinat_mapping *map = &w->rows[value >> 1];
	const struct spinat_key *key = w->key;

	if ((value & 1) != key->dir || map->proto != key->proto)
		return false;
	return key->dir == SPINAT_OUT
		       ? map->in_addr == key->src && map->in_port == key->sport &&
				 map->realm == key->realm && map->remote_port == key->dport &&
				 (map->use == SPINAT_MAPPING_OF_REMOTE ? map->remote_addr : 0) ==
					 key->dst
		       : map->out_addr == key->dst && map->out_port == key->dport;
}

/* Row of an inside or an outside endpoint, or SPINAT_MAPPING_NONE. */
static uint32_t
find(const struct spinat_mappings *m, const struct spinat_key *key, uint64_t hash)
{
	const struct wanted w = {m->rows.row, key};
	uint32_t value;

	return spinat_index_find(&m->index, hash, is_wanted, &w, &value) ? value >> 1
									 : SPINAT_MAPPING_NONE;
}

static uint64_t
inside_hash(const struct spinat_mapping *map, const struct spinat_ahead *ahead)
{
	const struct spinat_key key = inside_key(map);

	return ahead != NULL ? ahead->inside : spinat_hash_key(&key);
}

static uint64_t
outside_hash(const struct spinat_mapping *map, const struct spinat_ahead *ahead)
{
	const struct spinat_key key = outside_key(map->out_addr, map->out_port, map->proto);

	return ahead != NULL && ahead->outside_addr == map->out_addr &&
			       ahead->outside_port == map->out_port
		       ? ahead->outside
		       : spinat_hash_key(&key);
}

/* The mapping that a request is for, but for its outside endpoint. */
static struct spinat_mapping
wanted_mapping(const struct spinat_mapping_request *req)
{
	const enum spinat_mapping_mode mode = req->ctx->conf->realms[req->realm].mapping;

	return (struct spinat_mapping){
		.in_addr = req->in_addr,
		.in_port = req->in_port,
		.remote_addr = mode == SPINAT_MAP_ENDPOINT_INDEPENDENT ? 0 : req->remote_addr,
		.remote_port = mode == SPINAT_MAP_ADDRESS_PORT ? req->remote_port : 0,
		.realm = req->realm,
		.proto = req->proto,
		.use = mode == SPINAT_MAP_ENDPOINT_INDEPENDENT ? SPINAT_MAPPING_OF_ANY
							       : SPINAT_MAPPING_OF_REMOTE,
		.created = req->ctx->now_s,
	};
}

/* Enters a filled row in the index; all or nothing. */
static int
enter(struct spinat_mappings *m, uint32_t row, const struct spinat_ahead *ahead)
{
	const uint64_t in = inside_hash(&m->rows.row[row], ahead);

	if (spinat_index_add(&m->index, in, row << 1 | SPINAT_OUT) != 0)
		return -ENOSPC;
	if (spinat_index_add(
		    &m->index, outside_hash(&m->rows.row[row], ahead), row << 1 | SPINAT_IN) != 0) {
		spinat_index_del(&m->index, in, row << 1 | SPINAT_OUT);
		return -ENOSPC;
	}
	return 0;
}

/* A client that has no mapping left is forgotten. */
static void
drop_client(struct spinat_mappings *m, uint32_t client)
{
	if (m->clients.rows[client].mappings == 0)
		spinat_client_del(&m->clients, client);
}

/* Makes a mapping whose port has been taken; the port is given back where that fails. */
static enum spinat_drop
make(struct spinat_mappings *m, const struct spinat_mapping_request *req,
	const struct spinat_mapping *map, uint32_t *index)
{
	*index = spinat_mapping_row_take(&m->rows, req->ctx->pools);
	m->rows.row[*index] = *map;
	if (enter(m, *index, req->ctx->ahead) == 0)
		return SPINAT_DROP_NONE;
	spinat_mapping_row_put(&m->rows, *index);
	spinat_client_release(&m->clients.rows[map->client], req->ctx->pools, req->ctx->recorder,
		map->proto, map->out_addr, map->out_port, false);
	drop_client(m, map->client);
	return SPINAT_DROP_MAPPINGS_FULL;
}

/* Takes the outside port for a mapping: any, or the very one that is already in it. */
static enum spinat_drop
take_port(struct spinat_mappings *m, const struct spinat_mapping_request *req,
	struct spinat_mapping *map)
{
	struct spinat_nat_client *client = &m->clients.rows[map->client];
	enum spinat_drop drop = spinat_client_may_map(client, req->ctx, map->proto);

	if (drop != SPINAT_DROP_NONE)
		return drop;
	if (map->out_port == 0) {
		map->out_port = spinat_client_port(client, req->ctx, map->proto, map->in_port);
		return map->out_port != 0 ? SPINAT_DROP_NONE : SPINAT_DROP_PORTS_EXHAUSTED;
	}
	return spinat_client_take(client, req->ctx, map->proto, map->out_port)
		       ? SPINAT_DROP_NONE
		       : SPINAT_DROP_PORTS_EXHAUSTED;
}

/* Allocates what a mapping needs and makes it. Its outside endpoint is 0: any; or must be this one. */
static enum spinat_drop
allocate(struct spinat_mappings *m, const struct spinat_mapping_request *req,
	struct spinat_mapping *map, uint32_t *index)
{
	const rte_be32_t outside = map->out_addr;
	enum spinat_drop drop;

	if (spinat_mapping_rows_left(&m->rows) == 0)
		return SPINAT_DROP_MAPPINGS_FULL;
	drop = spinat_client_get(
		&m->clients, req->ctx, req->realm, req->in_addr, outside, &map->client);
	if (drop != SPINAT_DROP_NONE)
		return drop;
	map->out_addr = m->clients.rows[map->client].outside;
	drop = outside != 0 && map->out_addr != outside ? SPINAT_DROP_PORTS_EXHAUSTED
							: take_port(m, req, map);
	if (drop == SPINAT_DROP_NONE)
		return make(m, req, map, index);
	drop_client(m, map->client);
	return drop;
}

enum spinat_drop
spinat_mapping_get(
	struct spinat_mappings *m, const struct spinat_mapping_request *req, uint32_t *index)
{
	struct spinat_mapping map = wanted_mapping(req);
	const struct spinat_key in = inside_key(&map);

	*index = find(m, &in, inside_hash(&map, req->ctx->ahead));
	return *index != SPINAT_MAPPING_NONE ? SPINAT_DROP_NONE : allocate(m, req, &map, index);
}

/* The mapping of an outside endpoint where it is that of the inside one. */
static uint32_t
find_restored(const struct spinat_mappings *m, const struct spinat_mapping *map,
	rte_be32_t out_addr, rte_be16_t out_port)
{
	const uint32_t row = spinat_mapping_find(m, out_addr, out_port, map->proto);

	return row != SPINAT_MAPPING_NONE && m->rows.row[row].in_addr == map->in_addr &&
			       m->rows.row[row].in_port == map->in_port &&
			       m->rows.row[row].realm == map->realm
		       ? row
		       : SPINAT_MAPPING_NONE;
}

/* The remote that a mapping depends on was not known when it was restored: now it is. */
static void
set_remote(struct spinat_mappings *m, uint32_t row, const struct spinat_mapping *map)
{
	struct spinat_mapping *known = &m->rows.row[row];

	spinat_index_del(&m->index, inside_hash(known, NULL), row << 1 | SPINAT_OUT);
	known->remote_addr = map->remote_addr;
	known->remote_port = map->remote_port;
	/* there is room: one has just gone */
	spinat_index_add(&m->index, inside_hash(known, NULL), row << 1 | SPINAT_OUT);
}

enum spinat_drop
spinat_mapping_restore(struct spinat_mappings *m, const struct spinat_mapping_request *req,
	rte_be32_t out_addr, rte_be16_t out_port, bool opened_in, uint32_t *index)
{
	struct spinat_mapping map = wanted_mapping(req);
	struct spinat_key in;

	if (opened_in)
		map.remote_addr = map.remote_port = 0; /* not his: no remote at all has this one */
	*index = find_restored(m, &map, out_addr, out_port);
	if (*index != SPINAT_MAPPING_NONE) {
		if (!opened_in && map.use == SPINAT_MAPPING_OF_REMOTE)
			set_remote(m, *index, &map);
		return SPINAT_DROP_NONE;
	}
	in = inside_key(&map);
	if (!opened_in && find(m, &in, inside_hash(&map, NULL)) != SPINAT_MAPPING_NONE)
		return SPINAT_DROP_PORTS_EXHAUSTED;
	if (spinat_pools_find(req->ctx->pools, out_addr) == NULL)
		return SPINAT_DROP_NO_POOL;
	map.out_addr = out_addr;
	map.out_port = out_port;
	return allocate(m, req, &map, index);
}

/* The keys that the mapping and the client of a packet from inside are found by: first those that
 * follow from the packet, all hashed at once. */
static void
ahead_inside(const struct spinat_mappings *m, const struct spinat_conf *conf,
	const struct spinat_key *const *keys, unsigned int n, struct spinat_ahead *ahead)
{
	struct spinat_key key[2 * SPINAT_AHEAD_MAX];
	const struct spinat_key *p[2 * SPINAT_AHEAD_MAX];
	uint64_t hash[2 * SPINAT_AHEAD_MAX];

	for (unsigned int i = 0; i == 0 || i < n; i++) {
		const enum spinat_mapping_mode mode = conf->realms[keys[i]->realm].mapping;

		key[i] = *keys[i];
		if (mode == SPINAT_MAP_ENDPOINT_INDEPENDENT)
			key[i].dst = 0;
		if (mode != SPINAT_MAP_ADDRESS_PORT)
			key[i].dport = 0;
		key[n + i] = spinat_client_key(keys[i]->realm, keys[i]->src);
		p[i] = &key[i];
		p[n + i] = &key[n + i];
	}
	spinat_hash_burst(p, 2 * n, hash);
	for (unsigned int i = 0; i < n; i++) {
		ahead[i].inside = hash[i];
		ahead[i].client = hash[n + i];
		spinat_index_prefetch(&m->index, hash[i]);
		spinat_index_prefetch(&m->clients.index, hash[n + i]);
	}
}

/* Then the address that the client has, or will get. A new client often sends several packets. */
static void
ahead_client(const struct spinat_mappings *m, const struct spinat_client_ctx *ctx,
	const struct spinat_key *const *keys, unsigned int i, struct spinat_ahead *ahead)
{
	const struct spinat_key *key = keys[i];
	const struct spinat_nat_client *client = &m->clients.rows[ahead[i].client_row];

	if (ahead[i].client_row != SPINAT_CLIENT_NONE && client->inside == key->src &&
		client->realm == key->realm) {
		ahead[i].outside_addr = client->outside;
		return;
	}
	ahead[i].client_row = SPINAT_CLIENT_NONE;
	ahead[i].outside_addr = i > 0 && ahead[i - 1].client_row == SPINAT_CLIENT_NONE &&
						keys[i - 1]->src == key->src &&
						keys[i - 1]->realm == key->realm
					? ahead[i - 1].outside_addr
					: spinat_client_outside_new(ctx, key->realm, key->src);
}

/* Then the port that it is likely to get there. */
static void
ahead_outside(const struct spinat_mappings *m, const struct spinat_client_ctx *ctx,
	const struct spinat_key *const *keys, unsigned int n, struct spinat_ahead *ahead)
{
	struct spinat_key key[SPINAT_AHEAD_MAX];
	const struct spinat_key *p[SPINAT_AHEAD_MAX];
	uint64_t hash[SPINAT_AHEAD_MAX];

	for (unsigned int i = 0; i < n; i++) {
		ahead[i].ports = spinat_pools_find(ctx->pools, ahead[i].outside_addr);
		if (ahead[i].ports != NULL)
			spinat_port_prefetch(
				ahead[i].ports, spinat_transport(keys[i]->proto), keys[i]->sport);
	}
	for (unsigned int i = 0; i == 0 || i < n; i++) {
		ahead[i].outside_port = spinat_client_port_ahead(ctx, keys[i], &ahead[i]);
		key[i] = outside_key(ahead[i].outside_addr, ahead[i].outside_port, keys[i]->proto);
		p[i] = &key[i];
	}
	spinat_hash_burst(p, n, hash);
	for (unsigned int i = 0; i < n; i++) {
		ahead[i].outside = hash[i];
		spinat_index_prefetch(&m->index, hash[i]);
	}
}

void
spinat_mapping_ahead(const struct spinat_mappings *m, const struct spinat_client_ctx *ctx,
	const struct spinat_key *const *keys, unsigned int n, struct spinat_ahead *ahead)
{
	ahead_inside(m, ctx->conf, keys, n, ahead);
	for (unsigned int i = 0; i < n; i++) {
		ahead[i].client_row = spinat_index_first(&m->clients.index, ahead[i].client);
		if (ahead[i].client_row != SPINAT_CLIENT_NONE)
			rte_prefetch0(&m->clients.rows[ahead[i].client_row]);
	}
	for (unsigned int i = 0; i < n; i++)
		ahead_client(m, ctx, keys, i, ahead);
	ahead_outside(m, ctx, keys, n, ahead);
}

rte_be32_t
spinat_mapping_outside(const struct spinat_mappings *m, const struct spinat_client_ctx *ctx,
	uint16_t realm, rte_be32_t inside)
{
	const struct spinat_key key = spinat_client_key(realm, inside);
	const uint32_t row = spinat_client_find(&m->clients, spinat_hash_key(&key), realm, inside);

	return row != SPINAT_CLIENT_NONE ? spinat_client_outside(ctx, &m->clients.rows[row]) : 0;
}

uint32_t
spinat_mapping_find(
	const struct spinat_mappings *m, rte_be32_t out_addr, rte_be16_t out_port, uint8_t proto)
{
	const struct spinat_key key = outside_key(out_addr, out_port, proto);

	return find(m, &key, spinat_hash_key(&key));
}

struct spinat_mapping *
spinat_mapping_at(struct spinat_mappings *m, uint32_t index)
{
	return &m->rows.row[index];
}

/* The remote address that a mapping has room for in its own row. */
static bool
hold_first(struct spinat_mapping *map, rte_be32_t remote)
{
	if (map->remote_sessions == 0 && map->use == SPINAT_MAPPING_OF_ANY)
		map->remote_addr = remote;
	if (map->remote_addr != remote || map->remote_sessions == UINT16_MAX)
		return false;
	map->remote_sessions++;
	return true;
}

static bool
release_first(struct spinat_mapping *map, rte_be32_t remote)
{
	if (map->remote_addr != remote || map->remote_sessions == 0)
		return false;
	map->remote_sessions--;
	return true;
}

enum spinat_drop
spinat_mapping_hold(struct spinat_mappings *m, const struct spinat_client_ctx *ctx, uint32_t index,
	rte_be32_t remote, bool out)
{
	struct spinat_mapping *map = &m->rows.row[index];
	struct spinat_nat_client *client = &m->clients.rows[map->client];
	const enum spinat_drop drop = spinat_client_begin(client, ctx, out);

	if (drop != SPINAT_DROP_NONE)
		return drop;
	if (!hold_first(map, remote) && spinat_permit_hold(&m->permits, index, remote) != 0) {
		client->sessions--;
		return SPINAT_DROP_SESSIONS_FULL;
	}
	map->sessions++;
	return SPINAT_DROP_NONE;
}

/* Whether the port of a mapping that ends has to wait: whoever still sends to it would be let in. TCP
 * and ICMP are not let in without a session, and a deterministic port is always the same host's. */
static bool
has_to_wait(const struct spinat_mappings *m, const struct spinat_mapping *map)
{
	return map->proto == IPPROTO_UDP && m->hold_realms >> map->realm & 1;
}

static void
drop(struct spinat_mappings *m, struct spinat_pools *pools, struct spinat_recorder *recorder,
	uint32_t index, bool waits)
{
	struct spinat_mapping *map = &m->rows.row[index];

	spinat_index_del(&m->index, inside_hash(map, NULL), index << 1 | SPINAT_OUT);
	spinat_index_del(&m->index, outside_hash(map, NULL), index << 1 | SPINAT_IN);
	spinat_client_release(&m->clients.rows[map->client], pools, recorder, map->proto,
		map->out_addr, map->out_port, waits);
	drop_client(m, map->client);
	if (waits)
		spinat_mapping_row_wait(&m->rows, pools, index);
	else
		spinat_mapping_row_put(&m->rows, index);
}

void
spinat_mapping_prefetch(const struct spinat_mappings *m, uint32_t index)
{
	rte_prefetch0(&m->rows.row[index]);
}

void
spinat_mapping_prefetch_keys(const struct spinat_mappings *m, uint32_t index)
{
	const struct spinat_mapping *map = &m->rows.row[index];

	rte_prefetch0(&m->clients.rows[map->client]);
	if (map->sessions != 1) /* it stays */
		return;
	spinat_index_prefetch(&m->index, inside_hash(map, NULL));
	spinat_index_prefetch(&m->index, outside_hash(map, NULL));
}

void
spinat_mapping_release(struct spinat_mappings *m, struct spinat_pools *pools,
	struct spinat_recorder *recorder, uint32_t index, rte_be32_t remote)
{
	struct spinat_mapping *map = &m->rows.row[index];

	if (!release_first(map, remote))
		spinat_permit_release(&m->permits, index, remote);
	m->clients.rows[map->client].sessions--;
	if (--map->sessions == 0)
		drop(m, pools, recorder, index, has_to_wait(m, map));
}

void
spinat_mapping_drop_unused(struct spinat_mappings *m, struct spinat_pools *pools,
	struct spinat_recorder *recorder, uint32_t index)
{
	if (m->rows.row[index].sessions == 0)
		drop(m, pools, recorder, index, false);
}

static uint16_t
realms_that_hold(const struct spinat_conf *conf)
{
	uint16_t realms = 0;

	for (uint16_t i = 0; i < conf->n_realms; i++)
		if (conf->realms[i].filtering == SPINAT_FILTER_ENDPOINT_INDEPENDENT &&
			conf->realms[i].port_allocation != SPINAT_PORTS_DETERMINISTIC)
			realms |= 1u << i;
	return realms;
}

void
spinat_mappings_tick(struct spinat_mappings *m, struct spinat_pools *pools,
	const struct spinat_conf *conf, uint32_t now_s, unsigned int budget)
{
	if (m->hold_generation != conf->generation) {
		m->hold_generation = conf->generation;
		m->hold_realms = realms_that_hold(conf);
	}
	spinat_mapping_rows_tick(&m->rows, pools, conf->timeouts.port_reuse, now_s, budget);
}

uint32_t
spinat_mapping_ports_held(const struct spinat_mappings *m)
{
	return m->rows.n_waiting;
}

bool
spinat_mapping_permits(
	const struct spinat_mappings *m, const struct spinat_mapping *map, rte_be32_t remote)
{
	return (map->remote_addr == remote && map->remote_sessions > 0) ||
	       (map->sessions > map->remote_sessions &&
		       spinat_permit_has(&m->permits, map - m->rows.row, remote));
}

bool
spinat_mapping_row(const struct spinat_mappings *m, uint32_t i, struct spinat_mapping *row)
{
	*row = m->rows.row[i];
	return row->use != SPINAT_MAPPING_FREE;
}

uint32_t
spinat_mapping_capacity(const struct spinat_mappings *m)
{
	return m->rows.capacity;
}

uint32_t
spinat_mapping_used(const struct spinat_mappings *m)
{
	return m->rows.capacity - spinat_mapping_rows_left(&m->rows);
}

uint32_t
spinat_mapping_clients(const struct spinat_mappings *m)
{
	return m->clients.index.used;
}
