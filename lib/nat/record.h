/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 the spinat authors
 */
#ifndef SPINAT_NAT_RECORD_H
#define SPINAT_NAT_RECORD_H

#include <stdbool.h>
#include <stdint.h>

#include <rte_byteorder.h>
#include <rte_ring.h>

#include "config/conf.h"
#include "nat/flow.h"

/*
 * What operators have to be able to tell afterwards: who had which outside endpoint when (RFC 6888
 * REQ-12 to REQ-14). Each worker puts records into a bounded ring of its own, the control lcore takes
 * them out. What a full ring could not take is counted, and holds nothing up.
 */

enum spinat_record_type {
	SPINAT_RECORD_SESSION_BEGIN,
	SPINAT_RECORD_SESSION_END,
	SPINAT_RECORD_BLOCK_BEGIN,
	SPINAT_RECORD_BLOCK_END,
};

struct spinat_record {
	uint64_t tsc; /* when it happened */
	rte_be32_t inside, outside, remote;
	rte_be16_t inside_port, outside_port,
		remote_port; /* of a block: outside_port is the first */
	uint16_t block_size;
	uint16_t realm;
	uint8_t type; /* enum spinat_record_type */
	uint8_t proto;
};

/** A worker's end of it. */
struct spinat_recorder {
	struct rte_ring *ring; /* NULL: the configuration has no records */
	bool sessions, blocks; /* what the configuration in force wants */
	uint64_t lost; /* written by the worker, read by anyone */
};

/** @return 0, or -ENOMEM. Control lcore, before the workers start. */
int spinat_recorder_create(
	struct spinat_recorder *r, const struct spinat_conf *conf, uint16_t worker, int socket_id);
void spinat_recorder_free(struct spinat_recorder *r);

/** Takes over what a new configuration wants. Owner only. */
void spinat_recorder_update(struct spinat_recorder *r, const struct spinat_conf *conf);

/** Records the begin or end of a session, where that is wanted. Owner only. */
void spinat_record_session(
	struct spinat_recorder *r, enum spinat_record_type type, const struct spinat_flow *f);

/** The same of a client's block of ports. @param first host order */
void spinat_record_block(struct spinat_recorder *r, enum spinat_record_type type, uint16_t realm,
	rte_be32_t inside, rte_be32_t outside, uint16_t first, uint16_t size);

/** Takes the oldest record out. Control lcore. False where there is none. */
bool spinat_recorder_take(struct spinat_recorder *r, struct spinat_record *record);

#endif
