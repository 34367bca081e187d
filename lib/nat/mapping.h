/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 the spinat authors
 */
#ifndef SPINAT_NAT_MAPPING_H
#define SPINAT_NAT_MAPPING_H

#include <stdbool.h>
#include <stdint.h>

#include <rte_byteorder.h>

#include "config/conf.h"
#include "nat/ahead.h"
#include "nat/allowance.h"
#include "nat/pool.h"
#include "packet/drop.h"
#include "packet/packet.h"

/*
 * Mappings of one worker: inside endpoint to outside endpoint, independent of the remote one
 * (RFC 4787 REQ-1) unless the realm says else, with the remote addresses that address-dependent
 * filtering lets in. A mapping lives as long as it has sessions. Owner only, but for the telemetry
 * reads marked so.
 */

enum spinat_mapping_use {
	SPINAT_MAPPING_FREE,
	SPINAT_MAPPING_OF_ANY, /* independent of the remote */
	SPINAT_MAPPING_OF_REMOTE, /* depends on the remote endpoint, or on its address alone */
};

struct spinat_mapping {
	rte_be32_t in_addr;
	rte_be32_t out_addr;
	rte_be16_t in_port;
	rte_be16_t out_port;
	uint16_t realm;
	uint8_t proto;
	uint8_t use; /* enum spinat_mapping_use */
	uint32_t client; /* row, see nat/client.h */
	uint32_t sessions;
	uint32_t created; /* seconds since start */
	/* what it depends on; or a remote address that sessions go to, and how many of them: most
	 * mappings know no other, and need no permit then */
	rte_be32_t remote_addr;
	rte_be16_t remote_port; /* what it depends on, else 0 */
	uint16_t remote_sessions;
};

struct spinat_mappings;

/** How many of each there may be. */
struct spinat_mappings_size {
	uint32_t mappings, sessions, clients;
	uint32_t ports_held; /* see nat/mapping_rows.h */
};

/** @return NULL without memory. Control lcore, before the workers start. */
struct spinat_mappings *spinat_mappings_create(
	const char *name, const struct spinat_mappings_size *size, int socket_id);
void spinat_mappings_free(struct spinat_mappings *m);

/** What a packet from inside needs a mapping for. */
struct spinat_mapping_request {
	const struct spinat_client_ctx *ctx;
	rte_be32_t in_addr, remote_addr;
	rte_be16_t in_port, remote_port;
	uint16_t realm;
	uint8_t proto;
};

/**
 * Finds or makes the mapping of an inside endpoint.
 *
 * @param index  the mapping; a new one has no session yet
 * @return SPINAT_DROP_NONE, or why there can be none
 */
enum spinat_drop spinat_mapping_get(
	struct spinat_mappings *m, const struct spinat_mapping_request *req, uint32_t *index);

/**
 * The same with the outside endpoint that the mapping had before a restart.
 *
 * @param opened_in whether the remote endpoint is that of a session that was opened from outside, through
 *        a mapping that may have been made for another remote
 * @return SPINAT_DROP_NONE; SPINAT_DROP_PORTS_EXHAUSTED where the inside endpoint has another one
 *         or somebody else has this one; or what spinat_mapping_get returns
 */
enum spinat_drop spinat_mapping_restore(struct spinat_mappings *m,
	const struct spinat_mapping_request *req, rte_be32_t out_addr, rte_be16_t out_port,
	bool opened_in, uint32_t *index);

/**
 * Looks ahead for packets that may need new mappings: finds what can be known of them, and brings
 * nearer what making them will read.
 *
 * @param keys  of n packets from inside, 1 <= n <= SPINAT_AHEAD_MAX
 * @param ahead filled but for `key` and `answer`, for the context of spinat_mapping_get
 */
void spinat_mapping_ahead(const struct spinat_mappings *m, const struct spinat_client_ctx *ctx,
	const struct spinat_key *const *keys, unsigned int n, struct spinat_ahead *ahead);

/** Outside address of a host that has mappings, or 0. */
rte_be32_t spinat_mapping_outside(const struct spinat_mappings *m,
	const struct spinat_client_ctx *ctx, uint16_t realm, rte_be32_t inside);

/** Mapping of an outside endpoint, or SPINAT_MAPPING_NONE. */
uint32_t spinat_mapping_find(
	const struct spinat_mappings *m, rte_be32_t out_addr, rte_be16_t out_port, uint8_t proto);

struct spinat_mapping *spinat_mapping_at(struct spinat_mappings *m, uint32_t index);

/**
 * A session begins: counts it and lets its remote address in.
 *
 * @param out whether the client began it
 * @return SPINAT_DROP_NONE, or why there can be none: nothing is counted then
 */
enum spinat_drop spinat_mapping_hold(struct spinat_mappings *m, const struct spinat_client_ctx *ctx,
	uint32_t index, rte_be32_t remote, bool out);

/** A session is gone. The last one takes the mapping and its port with it. */
void spinat_mapping_release(struct spinat_mappings *m, struct spinat_pools *pools,
	struct spinat_recorder *recorder, uint32_t index, rte_be32_t remote);

/** Brings nearer what releasing reads: first the mapping itself, then what it is found by. */
void spinat_mapping_prefetch(const struct spinat_mappings *m, uint32_t index);
void spinat_mapping_prefetch_keys(const struct spinat_mappings *m, uint32_t index);

/** Gives a mapping up that never had a session; one that has some stays. */
void spinat_mapping_drop_unused(struct spinat_mappings *m, struct spinat_pools *pools,
	struct spinat_recorder *recorder, uint32_t index);

/** Time goes on: ports that have waited long enough can be had again, up to budget of them. */
void spinat_mappings_tick(struct spinat_mappings *m, struct spinat_pools *pools,
	const struct spinat_conf *conf, uint32_t now_s, unsigned int budget);

/** Ports that wait; telemetry, any thread. */
uint32_t spinat_mapping_ports_held(const struct spinat_mappings *m);

/** Whether any session of the mapping goes to this remote address. */
bool spinat_mapping_permits(
	const struct spinat_mappings *m, const struct spinat_mapping *map, rte_be32_t remote);

/** Telemetry, any thread: row i (torn at worst), or false where it is free. */
bool spinat_mapping_row(const struct spinat_mappings *m, uint32_t i, struct spinat_mapping *row);
uint32_t spinat_mapping_capacity(const struct spinat_mappings *m);
uint32_t spinat_mapping_used(const struct spinat_mappings *m);
uint32_t spinat_mapping_clients(const struct spinat_mappings *m);

#endif
