/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 the spinat authors
 */
#include <errno.h>
#include <netinet/in.h>

#include <rte_malloc.h>
#include <rte_random.h>

#include "nat/client.h"
#include "nat/flow.h"
#include "nat/hash.h"
#include "nat/index.h"
#include "nat/mapping.h"
#include "nat/permit.h"

struct spinat_mappings {
	struct spinat_mapping *rows;
	uint32_t capacity, n_free;
	uint32_t free; /* first free row, plus one; the next one in its `sessions`; 0: none */
	struct spinat_index index; /* of 2 * row + direction: inside endpoint, outside endpoint */
	struct spinat_permits permits;
	struct spinat_clients clients;
};

struct spinat_mappings *
spinat_mappings_create(
	const char *name, uint32_t capacity, uint32_t sessions, uint32_t clients, int socket_id)
{
	struct spinat_mappings *m = rte_zmalloc_socket(name, sizeof(*m), 0, socket_id);

	if (m == NULL)
		return NULL;
	m->capacity = m->n_free = capacity;
	m->rows = rte_zmalloc_socket(name, capacity * sizeof(*m->rows), 0, socket_id);
	if (m->rows == NULL || spinat_index_create(&m->index, name, 2 * capacity, socket_id) != 0 ||
		spinat_permits_create(&m->permits, name, sessions, socket_id) != 0 ||
		spinat_clients_create(&m->clients, name, clients, socket_id) != 0) {
		spinat_mappings_free(m);
		return NULL;
	}
	for (uint32_t i = 0; i + 1 < capacity; i++)
		m->rows[i].sessions = i + 2;
	m->free = 1;
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
	rte_free(m->rows);
	rte_free(m);
}

static struct spinat_key
inside_key(uint16_t realm, rte_be32_t addr, rte_be16_t port, uint8_t proto)
{
	return (struct spinat_key){
		.src = addr, .sport = port, .proto = proto, .dir = SPINAT_OUT, .realm = realm};
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
	return key->dir == SPINAT_OUT ? map->in_addr == key->src && map->in_port == key->sport &&
						map->realm == key->realm
				      : map->out_addr == key->dst && map->out_port == key->dport;
}

/* Row of an inside or an outside endpoint, or SPINAT_MAPPING_NONE. */
static uint32_t
find(const struct spinat_mappings *m, const struct spinat_key *key)
{
	const struct wanted w = {m->rows, key};
	uint32_t value;

	return spinat_index_find(&m->index, spinat_hash_key(key), is_wanted, &w, &value)
		       ? value >> 1
		       : SPINAT_MAPPING_NONE;
}

/*
 * Outside address of a client: the one it has while any mapping of it lives (paired pooling,
 * RFC 4787 REQ-2, RFC 6888 REQ-2), else the one its address is hashed to.
 */
static rte_be32_t
client_address(
	const struct spinat_mappings *m, const struct spinat_mapping_request *req, uint32_t client)
{
	const struct spinat_outside_addr *o;
	rte_be32_t outside;

	if (client != SPINAT_CLIENT_NONE) {
		outside = m->clients.rows[client].outside;
		o = spinat_conf_outside(req->conf, outside);
		if (o != NULL && o->kinds & SPINAT_OUTSIDE_POOL && o->realm == req->realm)
			return outside;
	}
	return spinat_pool_address(req->conf, req->realm, req->in_addr);
}

struct reservation {
	const struct spinat_conf *conf;
	rte_be32_t addr;
	uint8_t proto;
};

/* IKE is told apart by cookies on 500, and redirected ports belong to their servers. */
static bool
port_reserved(const void *ctx, rte_be16_t port)
{
	const struct reservation *r = ctx;

	return (r->proto == IPPROTO_UDP && port == RTE_BE16(SPINAT_IKE_PORT)) ||
	       spinat_conf_redirect(r->conf, r->addr, r->proto, port) != NULL;
}

static rte_be16_t
take_port(const struct spinat_mapping_request *req, rte_be32_t outside, struct spinat_ports *ports)
{
	const struct reservation reservation = {
		.conf = req->conf, .addr = outside, .proto = req->proto};
	const struct spinat_port_wish wish = {
		.port = req->in_port,
		/* identifiers of ICMP queries have no well-known range to stay out of */
		.first = req->proto == IPPROTO_ICMP ? 1 : req->conf->port_first,
		.last = req->proto == IPPROTO_ICMP ? UINT16_MAX : req->conf->port_last,
		.worker = req->worker,
		.n_workers = req->n_workers,
		.random = (uint32_t)rte_rand(),
		.reserved = port_reserved,
		.ctx = &reservation,
	};

	return spinat_port_alloc(ports, spinat_transport(req->proto), &wish);
}

/* Enters a filled row in the index; all or nothing. */
static int
enter(struct spinat_mappings *m, uint32_t row)
{
	const struct spinat_mapping *map = &m->rows[row];
	const struct spinat_key in = inside_key(map->realm, map->in_addr, map->in_port, map->proto);
	const struct spinat_key out = outside_key(map->out_addr, map->out_port, map->proto);

	if (spinat_index_add(&m->index, spinat_hash_key(&in), row << 1 | SPINAT_OUT) != 0)
		return -ENOSPC;
	if (spinat_index_add(&m->index, spinat_hash_key(&out), row << 1 | SPINAT_IN) != 0) {
		spinat_index_del(&m->index, spinat_hash_key(&in), row << 1 | SPINAT_OUT);
		return -ENOSPC;
	}
	return 0;
}

static void
put_row(struct spinat_mappings *m, uint32_t row)
{
	m->rows[row].used = 0;
	m->rows[row].sessions = m->free;
	m->free = row + 1;
	m->n_free++;
}

static void
release_client(struct spinat_mappings *m, uint32_t client)
{
	if (--m->clients.rows[client].mappings == 0)
		spinat_client_del(&m->clients, client);
}

/* Makes the mapping of a port that has been taken; the port is given back where that fails. */
static enum spinat_drop
make(struct spinat_mappings *m, const struct spinat_mapping_request *req, uint32_t client,
	rte_be32_t outside, rte_be16_t port, uint32_t *index)
{
	enum spinat_drop drop = SPINAT_DROP_CLIENTS_FULL;
	struct spinat_mapping *map;

	if (client == SPINAT_CLIENT_NONE)
		client = spinat_client_add(&m->clients, req->realm, req->in_addr, outside);
	if (client == SPINAT_CLIENT_NONE)
		goto give_back;
	m->clients.rows[client].mappings++;
	*index = m->free - 1;
	map = &m->rows[*index];
	m->free = map->sessions;
	m->n_free--;
	*map = (struct spinat_mapping){
		.in_addr = req->in_addr,
		.out_addr = outside,
		.in_port = req->in_port,
		.out_port = port,
		.realm = req->realm,
		.proto = req->proto,
		.used = 1,
		.client = client,
		.created = req->now_s,
	};
	if (enter(m, *index) == 0)
		return SPINAT_DROP_NONE;
	drop = SPINAT_DROP_MAPPINGS_FULL;
	release_client(m, client);
	put_row(m, *index);
give_back:
	spinat_port_free(
		spinat_pools_find(req->pools, outside), spinat_transport(req->proto), port);
	return drop;
}

enum spinat_drop
spinat_mapping_get(
	struct spinat_mappings *m, const struct spinat_mapping_request *req, uint32_t *index)
{
	const struct spinat_key in = inside_key(req->realm, req->in_addr, req->in_port, req->proto);
	struct spinat_ports *ports;
	rte_be32_t outside;
	rte_be16_t port;
	uint32_t client;

	*index = find(m, &in);
	if (*index != SPINAT_MAPPING_NONE)
		return SPINAT_DROP_NONE;
	if (m->n_free == 0)
		return SPINAT_DROP_MAPPINGS_FULL;
	client = spinat_client_find(&m->clients, req->realm, req->in_addr);
	outside = client_address(m, req, client);
	ports = outside != 0 ? spinat_pools_find(req->pools, outside) : NULL;
	if (ports == NULL)
		return SPINAT_DROP_NO_POOL;
	port = take_port(req, outside, ports);
	if (port == 0)
		return SPINAT_DROP_PORTS_EXHAUSTED;
	if (client != SPINAT_CLIENT_NONE)
		m->clients.rows[client].outside = outside; /* its old one may have left the pool */
	return make(m, req, client, outside, port, index);
}

enum spinat_drop
spinat_mapping_restore(struct spinat_mappings *m, const struct spinat_mapping_request *req,
	rte_be32_t out_addr, rte_be16_t out_port, uint32_t *index)
{
	const struct spinat_key in = inside_key(req->realm, req->in_addr, req->in_port, req->proto);
	struct spinat_ports *ports = spinat_pools_find(req->pools, out_addr);
	uint32_t client;

	*index = find(m, &in);
	if (*index != SPINAT_MAPPING_NONE)
		return m->rows[*index].out_addr == out_addr && m->rows[*index].out_port == out_port
			       ? SPINAT_DROP_NONE
			       : SPINAT_DROP_PORTS_EXHAUSTED;
	if (m->n_free == 0)
		return SPINAT_DROP_MAPPINGS_FULL;
	if (ports == NULL)
		return SPINAT_DROP_NO_POOL;
	if (!spinat_port_take(ports, spinat_transport(req->proto), out_port))
		return SPINAT_DROP_PORTS_EXHAUSTED;
	client = spinat_client_find(&m->clients, req->realm, req->in_addr);
	return make(m, req, client, out_addr, out_port, index);
}

void
spinat_mapping_prefetch(const struct spinat_mappings *m, const struct spinat_key *key)
{
	const struct spinat_key in = inside_key(key->realm, key->src, key->sport, key->proto);

	spinat_index_prefetch(&m->index, spinat_hash_key(&in));
	spinat_client_prefetch(&m->clients, key->realm, key->src);
}

uint32_t
spinat_mapping_find(
	const struct spinat_mappings *m, rte_be32_t out_addr, rte_be16_t out_port, uint8_t proto)
{
	const struct spinat_key key = outside_key(out_addr, out_port, proto);

	return find(m, &key);
}

struct spinat_mapping *
spinat_mapping_at(struct spinat_mappings *m, uint32_t index)
{
	return &m->rows[index];
}

int
spinat_mapping_hold(struct spinat_mappings *m, uint32_t index, rte_be32_t remote)
{
	struct spinat_mapping *map = &m->rows[index];

	if (spinat_permit_hold(&m->permits, index, remote, map->sessions == 0) != 0)
		return -ENOSPC;
	map->sessions++;
	return 0;
}

void
spinat_mapping_release(
	struct spinat_mappings *m, struct spinat_pools *pools, uint32_t index, rte_be32_t remote)
{
	struct spinat_mapping *map = &m->rows[index];

	spinat_permit_release(&m->permits, index, remote);
	if (--map->sessions == 0)
		spinat_mapping_drop_unused(m, pools, index);
}

void
spinat_mapping_drop_unused(struct spinat_mappings *m, struct spinat_pools *pools, uint32_t index)
{
	struct spinat_mapping *map = &m->rows[index];
	const struct spinat_key in = inside_key(map->realm, map->in_addr, map->in_port, map->proto);
	const struct spinat_key out = outside_key(map->out_addr, map->out_port, map->proto);

	if (map->sessions != 0)
		return;
	spinat_index_del(&m->index, spinat_hash_key(&in), index << 1 | SPINAT_OUT);
	spinat_index_del(&m->index, spinat_hash_key(&out), index << 1 | SPINAT_IN);
	release_client(m, map->client);
	spinat_port_free(spinat_pools_find(pools, map->out_addr), spinat_transport(map->proto),
		map->out_port);
	put_row(m, index);
}

bool
spinat_mapping_permits(
	const struct spinat_mappings *m, const struct spinat_mapping *map, rte_be32_t remote)
{
	return spinat_permit_has(&m->permits, map - m->rows, remote);
}

bool
spinat_mapping_row(const struct spinat_mappings *m, uint32_t i, struct spinat_mapping *row)
{
	*row = m->rows[i];
	return row->used;
}

uint32_t
spinat_mapping_capacity(const struct spinat_mappings *m)
{
	return m->capacity;
}

uint32_t
spinat_mapping_used(const struct spinat_mappings *m)
{
	return m->capacity - m->n_free;
}

uint32_t
spinat_mapping_clients(const struct spinat_mappings *m)
{
	return m->clients.index.used;
}
