/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 the spinat authors
 */
#include <errno.h>
#include <stdio.h>

#include <rte_branch_prediction.h>
#include <rte_cycles.h>
#include <rte_ring_elem.h>

#include "nat/record.h"

#define RECORDS 8192 /* what comes in while the control lcore is busy with something else */

int
spinat_recorder_create(
	struct spinat_recorder *r, const struct spinat_conf *conf, uint16_t worker, int socket_id)
{
	char name[RTE_RING_NAMESIZE];

	if (!spinat_conf_records(conf))
		return 0;
	snprintf(name, sizeof(name), "records%u", worker);
	r->ring = rte_ring_create_elem(name, sizeof(struct spinat_record), RECORDS, socket_id,
		RING_F_SP_ENQ | RING_F_SC_DEQ);
	if (r->ring == NULL)
		return -ENOMEM;
	spinat_recorder_update(r, conf);
	return 0;
}

void
spinat_recorder_free(struct spinat_recorder *r)
{
	rte_ring_free(r->ring);
}

void
spinat_recorder_update(struct spinat_recorder *r, const struct spinat_conf *conf)
{
	r->sessions = r->ring != NULL && conf->records.sessions;
	r->blocks = r->ring != NULL && conf->records.blocks;
}

static void
put(struct spinat_recorder *r, struct spinat_record *record)
{
	record->tsc = rte_rdtsc();
	if (rte_ring_sp_enqueue_elem(r->ring, record, sizeof(*record)) != 0)
		__atomic_store_n(&r->lost, r->lost + 1, __ATOMIC_RELAXED);
}

void
spinat_record_session(
	struct spinat_recorder *r, enum spinat_record_type type, const struct spinat_flow *f)
{
	struct spinat_record record;

	if (likely(!r->sessions))
		return;
	record = (struct spinat_record){
		.inside = f->new_addr[SPINAT_IN],
		.outside = f->new_addr[SPINAT_OUT],
		.remote = f->remote_addr,
		.inside_port = f->new_port[SPINAT_IN],
		.outside_port = f->new_port[SPINAT_OUT],
		.remote_port = f->remote_port,
		.realm = f->realm,
		.type = type,
		.proto = f->proto,
	};
	put(r, &record);
}

void
spinat_record_block(struct spinat_recorder *r, enum spinat_record_type type, uint16_t realm,
	rte_be32_t inside, rte_be32_t outside, uint16_t first, uint16_t size)
{
	struct spinat_record record = {
		.inside = inside,
		.outside = outside,
		.outside_port = rte_cpu_to_be_16(first),
		.block_size = size,
		.realm = realm,
		.type = type,
	};

	if (r->blocks)
		put(r, &record);
}

bool
spinat_recorder_take(struct spinat_recorder *r, struct spinat_record *record)
{
	return r->ring != NULL && rte_ring_sc_dequeue_elem(r->ring, record, sizeof(*record)) == 0;
}
