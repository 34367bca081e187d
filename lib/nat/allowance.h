/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 the spinat authors
 */
#ifndef SPINAT_NAT_ALLOWANCE_H
#define SPINAT_NAT_ALLOWANCE_H

#include <stdbool.h>
#include <stdint.h>

#include <rte_byteorder.h>

#include "config/conf.h"
#include "nat/ahead.h"
#include "nat/client.h"
#include "nat/lease.h"
#include "nat/pool.h"
#include "nat/record.h"
#include "packet/drop.h"

/*
 * What the realm of a client allows it: an outside address, ports from anywhere or from blocks, and
 * how many sessions and mappings (RFC 6888 REQ-2, REQ-4, REQ-5). Owner only.
 */

/** What allocates for a client: the same for all calls of one packet. */
struct spinat_client_ctx {
	const struct spinat_conf *conf;
	struct spinat_pools *pools;
	uint16_t worker, n_workers;
	uint32_t now_s;
	struct spinat_recorder *recorder;
	const struct spinat_leases *leases; /* where outside addresses of new clients may be */
	const struct spinat_ahead *ahead; /* what is known of the flow already, or NULL */
	bool restoring; /* from before a restart: does not count against the rate */
};

/**
 * The row of an inside host, a new one where it has none.
 *
 * @param outside its outside address where the row is new; 0: as its lease or the pool says
 * @return SPINAT_DROP_NONE; SPINAT_DROP_CLIENTS_FULL; SPINAT_DROP_NO_POOL
 */
enum spinat_drop spinat_client_get(struct spinat_clients *c, const struct spinat_client_ctx *ctx,
	uint16_t realm, rte_be32_t inside, rte_be32_t outside, uint32_t *row);

/** The outside address that a new client gets: of its lease, else the pool's choice; 0: none. */
rte_be32_t spinat_client_outside_new(
	const struct spinat_client_ctx *ctx, uint16_t realm, rte_be32_t inside);

/** The outside address of new mappings of a client. A reload may have taken the one that it had out of
 * its pool: then it gets another one, and has two while the old mappings end. */
rte_be32_t spinat_client_outside(
	const struct spinat_client_ctx *ctx, const struct spinat_nat_client *client);

/** Whether the limits of its realm let a host have one mapping more of this protocol. */
enum spinat_drop spinat_client_may_map(
	struct spinat_nat_client *client, const struct spinat_client_ctx *ctx, uint8_t proto);

/** A session begins: counts it, unless a limit of the realm forbids it. @param out from inside */
enum spinat_drop spinat_client_begin(
	struct spinat_nat_client *client, const struct spinat_client_ctx *ctx, bool out);

/**
 * Takes an outside port for a client the way its realm allocates them: from anywhere, from its
 * blocks, of which it may get another one, or from the one block that its address gives it. Ports that
 * it has count towards its mappings until it gives them back.
 *
 * @param in_port the inside port, whose number or parity is preferred
 * @return the port, 0 where there is none
 */
rte_be16_t spinat_client_port(struct spinat_nat_client *client, const struct spinat_client_ctx *ctx,
	uint8_t proto, rte_be16_t in_port);

/**
 * The port that spinat_client_port is likely to take, without a client yet; takes nothing.
 *
 * @param key   of a packet from inside
 * @param ahead where its outside address and the ports of that are known
 */
rte_be16_t spinat_client_port_ahead(const struct spinat_client_ctx *ctx,
	const struct spinat_key *key, const struct spinat_ahead *ahead);

/** Takes this very port, as it was before a restart. False where somebody has it. */
bool spinat_client_take(struct spinat_nat_client *client, const struct spinat_client_ctx *ctx,
	uint8_t proto, rte_be16_t port);

/**
 * Gives a port back, and the block that it was the last one in.
 *
 * @param waits whether the port stays taken for a while, see mapping_rows.h
 */
void spinat_client_release(struct spinat_nat_client *client, struct spinat_pools *pools,
	struct spinat_recorder *recorder, uint8_t proto, rte_be32_t outside, rte_be16_t port,
	bool waits);

#endif
