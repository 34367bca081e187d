/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 the spinat authors
 */
#include <netinet/in.h>

#include "nat/allowance.h"
#include "nat/deterministic.h"
#include "nat/hash.h"
#include "packet/packet.h"

#define WELL_KNOWN_LAST 1023

rte_be32_t
spinat_client_outside(const struct spinat_client_ctx *ctx, const struct spinat_nat_client *client)
{
	const struct spinat_outside_addr *o = spinat_conf_outside(ctx->conf, client->outside);

	if (o != NULL && o->kinds & SPINAT_OUTSIDE_POOL && o->realm == client->realm)
		return client->outside;
	return spinat_pool_address(ctx->conf, client->realm, client->inside);
}

rte_be32_t
spinat_client_outside_new(const struct spinat_client_ctx *ctx, uint16_t realm, rte_be32_t inside)
{
	const rte_be32_t outside = spinat_lease_find(ctx->leases, ctx->conf, realm, inside);

	if (outside != 0)
		return outside;
	/* the choice among many addresses takes its time: once is enough */
	return ctx->ahead != NULL && ctx->ahead->client_row == SPINAT_CLIENT_NONE
		       ? ctx->ahead->outside_addr
		       : spinat_pool_address(ctx->conf, realm, inside);
}

/* Gives a block back. */
static void
drop_block(struct spinat_nat_client *client, struct spinat_pools *pools,
	struct spinat_recorder *recorder, unsigned int i)
{
	spinat_record_block(recorder, SPINAT_RECORD_BLOCK_END, client->realm, client->inside,
		client->outside, client->block[i], client->block_size);
	spinat_block_free(spinat_pools_find(pools, client->outside), client->block[i]);
	client->n_blocks--;
	client->block[i] = client->block[client->n_blocks];
	client->in_block[i] = client->in_block[client->n_blocks];
}

/* What is new from now on has the other address; what is old keeps its ports, but no block. */
static void
move_client(
	struct spinat_nat_client *client, const struct spinat_client_ctx *ctx, rte_be32_t outside)
{
	while (client->n_blocks > 0)
		drop_block(client, ctx->pools, ctx->recorder, client->n_blocks - 1);
	client->outside = outside;
}

/* The row that was seen ahead, if it is still this host's, or the one that it has meanwhile. */
static uint32_t
find_client(const struct spinat_clients *c, const struct spinat_ahead *ahead, uint64_t hash,
	uint16_t realm, rte_be32_t inside)
{
	if (ahead != NULL && ahead->client_row != SPINAT_CLIENT_NONE &&
		c->rows[ahead->client_row].inside == inside &&
		c->rows[ahead->client_row].realm == realm)
		return ahead->client_row;
	return spinat_client_find(c, hash, realm, inside);
}

enum spinat_drop
spinat_client_get(struct spinat_clients *c, const struct spinat_client_ctx *ctx, uint16_t realm,
	rte_be32_t inside, rte_be32_t outside, uint32_t *row)
{
	const struct spinat_key key = spinat_client_key(realm, inside);
	const uint64_t hash = ctx->ahead != NULL ? ctx->ahead->client : spinat_hash_key(&key);
	rte_be32_t now;

	*row = find_client(c, ctx->ahead, hash, realm, inside);
	if (*row != SPINAT_CLIENT_NONE) {
		now = spinat_client_outside(ctx, &c->rows[*row]);
		if (now != c->rows[*row].outside)
			move_client(&c->rows[*row], ctx, now);
		return now != 0 ? SPINAT_DROP_NONE : SPINAT_DROP_NO_POOL;
	}
	if (outside == 0)
		outside = spinat_client_outside_new(ctx, realm, inside);
	if (outside == 0)
		return SPINAT_DROP_NO_POOL;
	*row = spinat_client_add(c, hash, realm, inside, outside);
	if (*row == SPINAT_CLIENT_NONE)
		return SPINAT_DROP_CLIENTS_FULL;
	c->rows[*row].tokens = ctx->conf->realms[realm].client_rate;
	c->rows[*row].second = ctx->now_s;
	return SPINAT_DROP_NONE;
}

/* Token bucket: as many new sessions as come in a second fit in, and it fills as time goes on. */
static bool
has_token(struct spinat_nat_client *client, uint32_t rate, const struct spinat_client_ctx *ctx)
{
	const uint64_t gained = (uint64_t)(ctx->now_s - client->second) * rate;

	client->tokens = RTE_MIN(client->tokens + gained, (uint64_t)rate);
	client->second = ctx->now_s;
	return client->tokens > 0 || ctx->restoring;
}

enum spinat_drop
spinat_client_may_map(
	struct spinat_nat_client *client, const struct spinat_client_ctx *ctx, uint8_t proto)
{
	const struct spinat_realm_conf *realm = &ctx->conf->realms[client->realm];
	const int tp = spinat_transport(proto);
	const uint32_t of_proto = realm->client_mappings_of[tp];

	if (realm->client_rate != 0 && !has_token(client, realm->client_rate, ctx))
		return SPINAT_DROP_CLIENT_RATE;
	if ((realm->client_mappings != 0 && client->mappings >= realm->client_mappings) ||
		(of_proto != 0 && client->mappings_of[tp] >= of_proto))
		return SPINAT_DROP_CLIENT_MAPPINGS;
	return SPINAT_DROP_NONE;
}

enum spinat_drop
spinat_client_begin(struct spinat_nat_client *client, const struct spinat_client_ctx *ctx, bool out)
{
	const struct spinat_realm_conf *realm = &ctx->conf->realms[client->realm];

	if (realm->client_sessions != 0 && client->sessions >= realm->client_sessions)
		return SPINAT_DROP_CLIENT_SESSIONS;
	/* what strangers begin is not the client's doing */
	if (out && realm->client_rate != 0) {
		if (!has_token(client, realm->client_rate, ctx))
			return SPINAT_DROP_CLIENT_RATE;
		client->tokens -= !ctx->restoring;
	}
	client->sessions++;
	return SPINAT_DROP_NONE;
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

/* The block of a client that holds a port, or its number of blocks. */
static unsigned int
block_of(const struct spinat_nat_client *client, uint16_t port)
{
	unsigned int i = 0;

	while (i < client->n_blocks && (uint16_t)(port - client->block[i]) >= client->block_size)
		i++;
	return i;
}

static void
add_block(struct spinat_nat_client *client, const struct spinat_client_ctx *ctx, uint16_t first)
{
	client->block_size = ctx->conf->realms[client->realm].block_size;
	client->block[client->n_blocks] = first;
	client->in_block[client->n_blocks++] = 0;
	spinat_record_block(ctx->recorder, SPINAT_RECORD_BLOCK_BEGIN, client->realm, client->inside,
		client->outside, first, client->block_size);
}

static rte_be16_t
port_in_block(const struct spinat_nat_client *client, const struct spinat_client_ctx *ctx,
	struct spinat_ports *ports, uint8_t proto, uint16_t first, struct spinat_port_wish *wish)
{
	wish->first = first;
	wish->last = first + ctx->conf->realms[client->realm].block_size - 1;
	return spinat_port_alloc_block(ports, spinat_transport(proto), wish);
}

/* From the blocks that it has, then from another one. */
static rte_be16_t
port_of_blocks(struct spinat_nat_client *client, const struct spinat_client_ctx *ctx,
	struct spinat_ports *ports, uint8_t proto, struct spinat_port_wish *wish)
{
	const struct spinat_realm_conf *realm = &ctx->conf->realms[client->realm];
	rte_be16_t port;
	uint16_t first;

	for (unsigned int i = 0; i < client->n_blocks; i++) {
		port = port_in_block(client, ctx, ports, proto, client->block[i], wish);
		if (port != 0) {
			client->in_block[i]++;
			return port;
		}
	}
	if (client->n_blocks >= realm->client_blocks)
		return 0;
	first = spinat_block_alloc(ports, realm, ctx->worker, ctx->n_workers);
	if (first == 0)
		return 0;
	port = port_in_block(client, ctx, ports, proto, first, wish);
	if (port == 0) {
		spinat_block_free(ports, first);
		return 0;
	}
	add_block(client, ctx, first);
	client->in_block[client->n_blocks - 1] = 1;
	return port;
}

/* Well-known ports are for well-known ports, where the file lets mappings have any (RFC 4787 REQ-3 a);
 * where none is left, another one is better than none. */
static rte_be16_t
port_of_any(const struct spinat_ports *ports, uint8_t proto, struct spinat_port_wish *wish)
{
	const bool well_known = rte_be_to_cpu_16(wish->port) <= WELL_KNOWN_LAST;
	const uint16_t first = wish->first, last = wish->last;
	rte_be16_t port;

	if (proto == IPPROTO_ICMP || first > WELL_KNOWN_LAST || last <= WELL_KNOWN_LAST)
		return spinat_port_find(ports, spinat_transport(proto), wish);
	if (well_known) {
		wish->last = WELL_KNOWN_LAST;
		port = spinat_port_find(ports, spinat_transport(proto), wish);
		if (port != 0)
			return port;
		wish->last = last;
	}
	wish->first = WELL_KNOWN_LAST + 1;
	return spinat_port_find(ports, spinat_transport(proto), wish);
}

static struct spinat_port_wish
wish_of(const struct spinat_client_ctx *ctx, uint16_t realm, const struct reservation *reservation,
	rte_be16_t in_port)
{
	const bool icmp = reservation->proto == IPPROTO_ICMP;

	return (struct spinat_port_wish){
		.port = in_port,
		.same = ctx->conf->realms[realm].port_preservation,
		/* identifiers of ICMP queries have no well-known range to stay out of */
		.first = icmp ? 1 : ctx->conf->port_first,
		.last = icmp ? UINT16_MAX : ctx->conf->port_last,
		.worker = ctx->worker,
		.n_workers = ctx->n_workers,
		.reserved = port_reserved,
		.ctx = reservation,
	};
}

rte_be16_t
spinat_client_port_ahead(const struct spinat_client_ctx *ctx, const struct spinat_key *key,
	const struct spinat_ahead *ahead)
{
	const struct reservation reservation = {
		.conf = ctx->conf, .addr = ahead->outside_addr, .proto = key->proto};
	struct spinat_port_wish wish = wish_of(ctx, key->realm, &reservation, key->sport);

	/* which block a port will be from is not looked for */
	if (ahead->ports == NULL ||
		ctx->conf->realms[key->realm].port_allocation != SPINAT_PORTS_ANY)
		return key->sport;
	return port_of_any(ahead->ports, key->proto, &wish);
}

static rte_be16_t
find_port(struct spinat_nat_client *client, const struct spinat_client_ctx *ctx, uint8_t proto,
	rte_be16_t in_port)
{
	const struct spinat_realm_conf *realm = &ctx->conf->realms[client->realm];
	const struct reservation reservation = {
		.conf = ctx->conf, .addr = client->outside, .proto = proto};
	const bool seen = ctx->ahead != NULL && ctx->ahead->outside_addr == client->outside;
	struct spinat_ports *ports =
		seen ? ctx->ahead->ports : spinat_pools_find(ctx->pools, client->outside);
	struct spinat_port_wish wish = wish_of(ctx, client->realm, &reservation, in_port);
	rte_be32_t outside;
	rte_be16_t port;
	uint16_t first;

	if (ports == NULL)
		return 0;
	switch (realm->port_allocation) {
	case SPINAT_PORTS_ANY:
		wish.found = seen ? ctx->ahead->outside_port : 0;
		port = port_of_any(ports, proto, &wish);
		return port != 0 && spinat_port_take(ports, spinat_transport(proto), port) ? port
											   : 0;
	case SPINAT_PORTS_BLOCK:
		return port_of_blocks(client, ctx, ports, proto, &wish);
	case SPINAT_PORTS_DETERMINISTIC:
		if (!spinat_deterministic_block(
			    ctx->conf, client->realm, client->inside, &outside, &first))
			return 0;
		return port_in_block(client, ctx, ports, proto, first, &wish);
	}
	return 0;
}

static void
count_mapping(struct spinat_nat_client *client, uint8_t proto)
{
	client->mappings++;
	client->mappings_of[spinat_transport(proto)]++;
}

rte_be16_t
spinat_client_port(struct spinat_nat_client *client, const struct spinat_client_ctx *ctx,
	uint8_t proto, rte_be16_t in_port)
{
	const rte_be16_t port = find_port(client, ctx, proto, in_port);

	if (port != 0)
		count_mapping(client, proto);
	return port;
}

static bool
take_port(struct spinat_nat_client *client, const struct spinat_client_ctx *ctx, uint8_t proto,
	rte_be16_t port)
{
	const struct spinat_realm_conf *realm = &ctx->conf->realms[client->realm];
	struct spinat_ports *ports = spinat_pools_find(ctx->pools, client->outside);
	const uint16_t first = rte_be_to_cpu_16(port) & ~(realm->block_size - 1);
	unsigned int i;

	if (ports == NULL)
		return false;
	if (realm->port_allocation != SPINAT_PORTS_BLOCK)
		return spinat_port_take(ports, spinat_transport(proto), port);
	i = block_of(client, rte_be_to_cpu_16(port));
	if (i == client->n_blocks &&
		(i >= realm->client_blocks || !spinat_block_take(ports, realm, first)))
		return false;
	if (!spinat_port_take(ports, spinat_transport(proto), port)) {
		if (i == client->n_blocks)
			spinat_block_free(ports, first);
		return false;
	}
	if (i == client->n_blocks)
		add_block(client, ctx, first);
	client->in_block[i]++;
	return true;
}

bool
spinat_client_take(struct spinat_nat_client *client, const struct spinat_client_ctx *ctx,
	uint8_t proto, rte_be16_t port)
{
	const bool taken = take_port(client, ctx, proto, port);

	if (taken)
		count_mapping(client, proto);
	return taken;
}

void
spinat_client_release(struct spinat_nat_client *client, struct spinat_pools *pools,
	struct spinat_recorder *recorder, uint8_t proto, rte_be32_t outside, rte_be16_t port,
	bool waits)
{
	unsigned int i = block_of(client, rte_be_to_cpu_16(port));

	if (!waits)
		spinat_port_free(spinat_pools_find(pools, outside), spinat_transport(proto), port);
	client->mappings--;
	client->mappings_of[spinat_transport(proto)]--;
	if (outside != client->outside || i == client->n_blocks || --client->in_block[i] != 0)
		return;
	drop_block(client, pools, recorder, i);
}
