/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 the spinat authors
 */
#include <errno.h>
#include <netinet/in.h>
#include <stdio.h>
#include <string.h>

#include <rte_hash.h>
#include <rte_malloc.h>
#include <rte_random.h>

#include "nat/flow.h"
#include "nat/hash.h"
#include "nat/mapping.h"

struct spinat_mappings {
	struct spinat_mapping *rows;
	uint32_t *free;
	uint32_t capacity, n_free;
	struct rte_hash *index; /* inside endpoint, and outside endpoint, to row */
	struct rte_hash *permits; /* (outside endpoint, remote address) to number of sessions */
	struct rte_hash *clients; /* inside address to its outside address and number of mappings */
};

/* A client's value in its hash: outside address and number of mappings, in one pointer. */
union client_value {
	void *data;
	struct {
		rte_be32_t outside;
		uint32_t mappings;
	};
};

static uint32_t
hash_one(const void *key, uint32_t len __rte_unused, uint32_t init __rte_unused)
{
	return spinat_hash_key(key);
}

static struct rte_hash *
create_hash(const char *name, const char *what, uint32_t entries, int socket_id)
{
	char full[RTE_HASH_NAMESIZE];
	struct rte_hash_parameters params = {
		.name = full,
		.entries = RTE_MAX(entries, 16u),
		.key_len = sizeof(struct spinat_key),
		.hash_func = hash_one,
		.socket_id = socket_id,
		/* owner only: no concurrency flag; never refuse below capacity */
		.extra_flag = RTE_HASH_EXTRA_FLAGS_EXT_TABLE,
	};

	snprintf(full, sizeof(full), "%s_%s", name, what);
	return rte_hash_create(&params);
}

struct spinat_mappings *
spinat_mappings_create(
	const char *name, uint32_t capacity, uint32_t sessions, uint32_t clients, int socket_id)
{
	struct spinat_mappings *m = rte_zmalloc_socket(name, sizeof(*m), 0, socket_id);

	if (m == NULL)
		return NULL;
	m->capacity = m->n_free = capacity;
	m->rows = rte_zmalloc_socket(name, capacity * sizeof(*m->rows), 0, socket_id);
	m->free = rte_malloc_socket(name, capacity * sizeof(*m->free), 0, socket_id);
	m->index = create_hash(name, "idx", 2 * capacity, socket_id);
	m->permits = create_hash(name, "prm", sessions, socket_id);
	m->clients = create_hash(name, "cli", clients, socket_id);
	if (m->rows == NULL || m->free == NULL || m->index == NULL || m->permits == NULL ||
		m->clients == NULL) {
		spinat_mappings_free(m);
		return NULL;
	}
	for (uint32_t i = 0; i < capacity; i++)
		m->free[i] = capacity - 1 - i;
	return m;
}

void
spinat_mappings_free(struct spinat_mappings *m)
{
	if (m == NULL)
		return;
	rte_hash_free(m->index);
	rte_hash_free(m->permits);
	rte_hash_free(m->clients);
	rte_free(m->rows);
	rte_free(m->free);
	rte_free(m);
}

static struct spinat_key
inside_key(uint16_t realm, rte_be32_t addr, rte_be16_t port, uint8_t proto)
{
	return (struct spinat_key){
		.src = addr, .sport = port, .proto = proto, .dir = SPINAT_OUT, .realm = realm};
}

static struct spinat_key
outside_key(rte_be32_t addr, rte_be16_t port, uint8_t proto, rte_be32_t remote)
{
	return (struct spinat_key){
		.src = remote, .dst = addr, .dport = port, .proto = proto, .dir = SPINAT_IN};
}

static int
find(const struct rte_hash *h, const struct spinat_key *key, void **data)
{
	return rte_hash_lookup_with_hash_data(h, key, spinat_hash_key(key), data);
}

static int
put(struct rte_hash *h, const struct spinat_key *key, void *data)
{
	return rte_hash_add_key_with_hash_data(h, key, spinat_hash_key(key), data);
}

static void
del(struct rte_hash *h, const struct spinat_key *key)
{
	rte_hash_del_key_with_hash(h, key, spinat_hash_key(key));
}

/*
 * Outside address of a client: the one it has while any mapping of it lives (paired pooling,
 * RFC 4787 REQ-2, RFC 6888 REQ-2), else the one its address is hashed to.
 */
static rte_be32_t
client_address(const struct spinat_mappings *m, const struct spinat_mapping_request *req,
	union client_value *value)
{
	struct spinat_key key = inside_key(req->realm, req->in_addr, 0, 0);
	const struct spinat_outside_addr *o;

	value->outside = 0;
	value->mappings = 0;
	if (find(m->clients, &key, &value->data) >= 0) {
		o = spinat_conf_outside(req->conf, value->outside);
		if (o != NULL && o->kinds & SPINAT_OUTSIDE_POOL && o->realm == req->realm)
			return value->outside;
	}
	value->outside = spinat_pool_address(req->conf, req->realm, req->in_addr);
	return value->outside;
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

/* Enters a filled row in the hashes; all or nothing. */
static int
enter(struct spinat_mappings *m, uint32_t i)
{
	const struct spinat_mapping *map = &m->rows[i];
	struct spinat_key in = inside_key(map->realm, map->in_addr, map->in_port, map->proto);
	struct spinat_key out = outside_key(map->out_addr, map->out_port, map->proto, 0);
	void *data = (void *)(uintptr_t)i;

	if (put(m->index, &in, data) != 0)
		return -ENOSPC;
	if (put(m->index, &out, data) != 0) {
		del(m->index, &in);
		return -ENOSPC;
	}
	return 0;
}

/* Makes the mapping of a port that has been taken; the port is given back where that fails. */
static enum spinat_drop
make(struct spinat_mappings *m, const struct spinat_mapping_request *req, union client_value value,
	rte_be32_t outside, rte_be16_t port, uint32_t *index)
{
	struct spinat_key client = inside_key(req->realm, req->in_addr, 0, 0);

	value.mappings++;
	if (put(m->clients, &client, value.data) != 0) {
		spinat_port_free(
			spinat_pools_find(req->pools, outside), spinat_transport(req->proto), port);
		return SPINAT_DROP_CLIENTS_FULL;
	}
	*index = m->free[--m->n_free];
	m->rows[*index] = (struct spinat_mapping){
		.in_addr = req->in_addr,
		.out_addr = outside,
		.in_port = req->in_port,
		.out_port = port,
		.realm = req->realm,
		.proto = req->proto,
		.used = 1,
		.created = req->now_s,
	};
	if (enter(m, *index) != 0) {
		spinat_mapping_drop_unused(m, req->pools, *index);
		return SPINAT_DROP_MAPPINGS_FULL;
	}
	return SPINAT_DROP_NONE;
}

enum spinat_drop
spinat_mapping_get(
	struct spinat_mappings *m, const struct spinat_mapping_request *req, uint32_t *index)
{
	struct spinat_key in = inside_key(req->realm, req->in_addr, req->in_port, req->proto);
	union client_value value;
	struct spinat_ports *ports;
	rte_be32_t outside;
	rte_be16_t port;
	void *data;

	if (find(m->index, &in, &data) >= 0) {
		*index = (uintptr_t)data;
		return SPINAT_DROP_NONE;
	}
	if (m->n_free == 0)
		return SPINAT_DROP_MAPPINGS_FULL;
	outside = client_address(m, req, &value);
	ports = outside != 0 ? spinat_pools_find(req->pools, outside) : NULL;
	if (ports == NULL)
		return SPINAT_DROP_NO_POOL;
	port = take_port(req, outside, ports);
	if (port == 0)
		return SPINAT_DROP_PORTS_EXHAUSTED;
	return make(m, req, value, outside, port, index);
}

enum spinat_drop
spinat_mapping_restore(struct spinat_mappings *m, const struct spinat_mapping_request *req,
	rte_be32_t out_addr, rte_be16_t out_port, uint32_t *index)
{
	struct spinat_key in = inside_key(req->realm, req->in_addr, req->in_port, req->proto);
	struct spinat_key client = inside_key(req->realm, req->in_addr, 0, 0);
	struct spinat_ports *ports = spinat_pools_find(req->pools, out_addr);
	union client_value value = {.data = NULL};
	void *data;

	if (find(m->index, &in, &data) >= 0) {
		*index = (uintptr_t)data;
		return m->rows[*index].out_addr == out_addr && m->rows[*index].out_port == out_port
			       ? SPINAT_DROP_NONE
			       : SPINAT_DROP_PORTS_EXHAUSTED;
	}
	if (m->n_free == 0)
		return SPINAT_DROP_MAPPINGS_FULL;
	if (ports == NULL)
		return SPINAT_DROP_NO_POOL;
	if (!spinat_port_take(ports, spinat_transport(req->proto), out_port))
		return SPINAT_DROP_PORTS_EXHAUSTED;
	if (find(m->clients, &client, &value.data) < 0)
		value.outside = out_addr;
	return make(m, req, value, out_addr, out_port, index);
}

uint32_t
spinat_mapping_find(
	const struct spinat_mappings *m, rte_be32_t out_addr, rte_be16_t out_port, uint8_t proto)
{
	struct spinat_key key = outside_key(out_addr, out_port, proto, 0);
	void *data;

	return find(m->index, &key, &data) >= 0 ? (uintptr_t)data : SPINAT_MAPPING_NONE;
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
	struct spinat_key key = outside_key(map->out_addr, map->out_port, map->proto, remote);
	void *count = NULL;

	find(m->permits, &key, &count);
	if (put(m->permits, &key, (void *)((uintptr_t)count + 1)) != 0)
		return -ENOSPC;
	map->sessions++;
	return 0;
}

void
spinat_mapping_release(
	struct spinat_mappings *m, struct spinat_pools *pools, uint32_t index, rte_be32_t remote)
{
	struct spinat_mapping *map = &m->rows[index];
	struct spinat_key key = outside_key(map->out_addr, map->out_port, map->proto, remote);
	void *count = NULL;

	find(m->permits, &key, &count);
	if ((uintptr_t)count > 1)
		put(m->permits, &key, (void *)((uintptr_t)count - 1));
	else
		del(m->permits, &key);
	if (--map->sessions == 0)
		spinat_mapping_drop_unused(m, pools, index);
}

void
spinat_mapping_drop_unused(struct spinat_mappings *m, struct spinat_pools *pools, uint32_t index)
{
	struct spinat_mapping *map = &m->rows[index];
	struct spinat_key in = inside_key(map->realm, map->in_addr, map->in_port, map->proto);
	struct spinat_key out = outside_key(map->out_addr, map->out_port, map->proto, 0);
	struct spinat_key client = inside_key(map->realm, map->in_addr, 0, 0);
	union client_value value = {.data = NULL};

	if (map->sessions != 0)
		return;
	del(m->index, &in);
	del(m->index, &out);
	find(m->clients, &client, &value.data);
	if (value.mappings > 1) {
		value.mappings--;
		put(m->clients, &client, value.data);
	} else {
		del(m->clients, &client);
	}
	spinat_port_free(spinat_pools_find(pools, map->out_addr), spinat_transport(map->proto),
		map->out_port);
	map->used = 0;
	m->free[m->n_free++] = index;
}

bool
spinat_mapping_permits(
	const struct spinat_mappings *m, const struct spinat_mapping *map, rte_be32_t remote)
{
	struct spinat_key key = outside_key(map->out_addr, map->out_port, map->proto, remote);
	void *count;

	return find(m->permits, &key, &count) >= 0;
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
	return rte_hash_count(m->clients);
}
