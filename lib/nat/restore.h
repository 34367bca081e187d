/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 the spinat authors
 */
#ifndef SPINAT_NAT_RESTORE_H
#define SPINAT_NAT_RESTORE_H

#include <stdbool.h>
#include <stdint.h>

#include "nat/nat.h"

/*
 * Flows over a restart. A flow is kept as a row of its own that says all there is to know: its
 * mapping, the filtering of that and the outside port follow from it, since a mapping lives as long
 * as it has sessions. Flows of single SPIs are the binder's.
 */

/** A session or a flow under a static rule. Native byte order but for addresses and ports. */
struct spinat_nat_row {
	rte_be32_t in_addr, out_addr, remote_addr;
	rte_be16_t in_port, out_port, remote_port;
	uint16_t realm;
	uint8_t proto;
	uint8_t type; /* enum spinat_flow_type: SESSION or STATIC */
	uint8_t state; /* SPINAT_TCP_* */
	uint8_t opened_in; /* 1: by a packet from outside */
	uint32_t idle_s; /* since its last packet */
	uint32_t age_s; /* since its first */
	uint32_t tcp_expected; /* see struct spinat_flow */
};

_Static_assert(sizeof(struct spinat_nat_row) == 36, "rows are written to files as they are");

/** What became of a row. */
enum spinat_restored {
	SPINAT_RESTORED,
	SPINAT_SKIPPED_EXPIRED, /* its timeout has passed meanwhile */
	SPINAT_SKIPPED_FORBIDDEN, /* the configuration has no rule for it any more */
	SPINAT_SKIPPED_WORKER, /* its outside port belongs to another worker now */
	SPINAT_SKIPPED_CLASH, /* one of its endpoints is somebody else's */
	SPINAT_SKIPPED_FULL, /* no room in a table */
	SPINAT_SKIPPED_INVALID, /* no flow can be like this */
	SPINAT_RESTORED_COUNT
};

/** Rows that spinat_nat_export may give: indices below this. Any thread. */
uint32_t spinat_nat_rows(const struct spinat_nat *nat);

/**
 * Copies a flow while its owner goes on. The calling thread is an online reader of the table's RCU
 * variable, or the workers have stopped.
 *
 * @param index below spinat_nat_rows()
 * @return false where there is no session or static flow
 */
bool spinat_nat_export(
	const struct spinat_nat *nat, uint32_t index, uint32_t now_s, struct spinat_nat_row *row);

/** Worker that a row belongs to. */
unsigned int spinat_nat_row_owner(const struct spinat_nat_row *row, unsigned int n_workers);

/**
 * Puts a flow back. Control lcore, before the workers start. Where rows contradict each other the
 * one that comes first wins.
 *
 * @param nat state of the worker that owns the row
 * @param down_s seconds from the export until now: nobody could refresh the flow meanwhile
 */
enum spinat_restored spinat_nat_restore(struct spinat_nat *nat, const struct spinat_conf *conf,
	const struct spinat_nat_row *row, uint32_t now_s, uint32_t down_s);

#endif
