/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 the spinat authors
 */
#ifndef SPINAT_NAT_NAT_H
#define SPINAT_NAT_NAT_H

#include <stdbool.h>
#include <stdint.h>

#include "config/conf.h"
#include "nat/flow.h"
#include "nat/lease.h"
#include "nat/mapping.h"
#include "nat/pool.h"
#include "nat/record.h"
#include "nat/table.h"
#include "packet/drop.h"
#include "packet/packet.h"

/*
 * Translation state of one worker: its flows, its mappings, its share of the outside ports. Flows
 * are made here, on the slow path, by the owner; packets find them through the table. Time is
 * passed in, seconds since start.
 */

struct spinat_nat {
	struct spinat_table *table;
	struct spinat_mappings *mappings;
	struct spinat_leases *leases;
	struct spinat_pools *pools; /* shared; this worker writes its own blocks only */
	uint16_t worker, n_workers;
	uint32_t sessions, max_sessions; /* SPI flows are counted by the binder's limits */
	uint32_t sweep_at; /* next index the sweep looks at */
	uint32_t generation; /* configuration that flows are checked against */
	uint32_t validate_left; /* flows still to be checked against it */
	struct spinat_recorder recorder;
	bool restoring; /* flows are made that were there before a restart */
	uint64_t created, expired, closed; /* closed: no longer permitted after a reload */
};

/** @return NULL without memory. Control lcore, before the workers start. */
struct spinat_nat *spinat_nat_create(const struct spinat_conf *conf, uint16_t worker,
	uint16_t n_workers, struct spinat_pools *pools, struct rte_rcu_qsbr *qsbr, int socket_id);
void spinat_nat_free(struct spinat_nat *nat);

/**
 * Makes the flow for a packet from inside of which there is none: by static rule, else by
 * redirection (a server's own packets), else by a dynamic mapping. Owner only.
 *
 * @param meta kind FLOW or OTHER, key as it arrived, dir OUT
 * @param flow the new flow
 * @return SPINAT_DROP_NONE or why there can be none
 */
enum spinat_drop spinat_nat_outbound(struct spinat_nat *nat, const struct spinat_conf *conf,
	const struct spinat_meta *meta, uint32_t now_s, struct spinat_flow **flow);

/** The same where something is known of the flow already. @param ahead of spinat_nat_ahead, or NULL */
enum spinat_drop spinat_nat_outbound_ahead(struct spinat_nat *nat, const struct spinat_conf *conf,
	const struct spinat_meta *meta, const struct spinat_ahead *ahead, uint32_t now_s,
	struct spinat_flow **flow);

/**
 * Looks ahead for packets from inside that found no flow, see ahead.h. Owner only.
 *
 * @param keys  of n packets, 1 <= n <= SPINAT_AHEAD_MAX
 * @param ahead of each; its `key` is filled already
 */
void spinat_nat_ahead(struct spinat_nat *nat, const struct spinat_conf *conf,
	const struct spinat_key *const *keys, unsigned int n, struct spinat_ahead *ahead);

/**
 * The same for a packet from outside: static rule, else redirection, else the filtering of its
 * mapping (RFC 4787 5) decides. Owner only.
 */
enum spinat_drop spinat_nat_inbound(struct spinat_nat *nat, const struct spinat_conf *conf,
	const struct spinat_meta *meta, uint32_t now_s, struct spinat_flow **flow);

/** One SPI in one direction. */
struct spinat_spi_flow {
	rte_be32_t client, outside, remote, spi;
	uint32_t seq; /* highest sequence number so far, host order */
	uint16_t realm;
	uint8_t proto; /* IPPROTO_ESP or IPPROTO_AH */
	uint8_t dir; /* enum spinat_dir */
	uint8_t type; /* SPINAT_FLOW_SHORTCUT (aged by the binder) or SPINAT_FLOW_STATIC */
	bool hairpin; /* the remote is an outside address of ours, whose host is inside */
};

/** Puts in a flow of one SPI. NULL where the table is full. Owner of the gateway only. */
struct spinat_flow *spinat_nat_install_spi(
	struct spinat_nat *nat, const struct spinat_spi_flow *s, uint32_t now_s);

/** Outside address of an inside host: static, IPsec redirection, else pool; 0 where none. The pool's
 * is the one that it gets where nothing else has given it another one. */
rte_be32_t spinat_nat_outside_of(const struct spinat_conf *conf, uint16_t realm, rte_be32_t inside);

/** Whether the pool has a choice for this host, so that it may have another address than that. */
bool spinat_nat_has_choice(const struct spinat_conf *conf, uint16_t realm, rte_be32_t inside);

/**
 * The outside address of a host that runs IPsec, kept for it from now on for SPINAT_LEASE_S (paired
 * pooling, RFC 4787 REQ-2): the one that it has, else the one wished for. Owner of the host only.
 */
rte_be32_t spinat_nat_lease(struct spinat_nat *nat, const struct spinat_conf *conf, uint16_t realm,
	rte_be32_t inside, rte_be32_t wish, uint32_t now_s);

/** Worker that owns the state a packet from outside meets (kinds FLOW, OTHER). Any lcore. */
unsigned int spinat_nat_owner_in(
	const struct spinat_conf *conf, const struct spinat_key *key, unsigned int n_workers);

/** Whether the rules that a session or static flow was made under are still there. Any lcore. */
bool spinat_flow_permitted(const struct spinat_conf *conf, const struct spinat_flow *f);

/** Timeout of a flow now, seconds. */
uint32_t spinat_flow_timeout(const struct spinat_conf *conf, const struct spinat_flow *f);

/** Name of the state for telemetry: "open", "established", ... */
const char *spinat_flow_state(const struct spinat_flow *f);

/** Takes a flow out, and its session off its mapping. Owner only. -EAGAIN: try later. */
int spinat_nat_remove(struct spinat_nat *nat, struct spinat_flow *f);

/**
 * Ages: looks at `budget` flows, removes those idle too long or no longer permitted by a changed
 * configuration. Shortcuts are the binder's to age. Owner only.
 */
void spinat_nat_sweep(struct spinat_nat *nat, const struct spinat_conf *conf, uint32_t now_s,
	unsigned int budget);

#endif
