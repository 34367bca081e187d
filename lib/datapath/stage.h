/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 the spinat authors
 */
#ifndef SPINAT_DATAPATH_STAGE_H
#define SPINAT_DATAPATH_STAGE_H

/*
 * Marks at which the bench takes the time, at the borders of a burst's stages. Only a library
 * compiled with -DSPINAT_STAGES has them; in the product a mark is nothing.
 */

/** What a mark ends: the time since the mark before is this stage's. */
enum spinat_stage {
	SPINAT_STAGE_RX, /* rte_eth_rx_burst */
	SPINAT_STAGE_PARSE, /* what the packets are */
	SPINAT_STAGE_LOOKUP, /* their flows */
	SPINAT_STAGE_RESOLVE, /* next hops of flows' plain packets */
	SPINAT_STAGE_REWRITE, /* translating, and all that packets without a flow take */
	SPINAT_STAGE_TX, /* rte_eth_tx_burst, also where a full queue is sent meanwhile */
	SPINAT_STAGE_REST, /* of a turn: clock, sweep, ring of other lcores, RCU */
	SPINAT_STAGE_COUNT
};

#ifdef SPINAT_STAGES
#include <stdint.h>

#include <rte_cycles.h>
#include <rte_per_lcore.h>

/** Of the lcore's thread, which alone reads and writes it. */
struct spinat_stages {
	uint64_t last; /* TSC at the last mark */
	uint64_t cycles[SPINAT_STAGE_COUNT]; /* TSC cycles; whoever reads them may clear them */
	uint64_t marks[SPINAT_STAGE_COUNT];
};

RTE_DECLARE_PER_LCORE(struct spinat_stages, spinat_stages);

/** Ends a stage, on the lcore that goes through it. */
static inline void
spinat_stage_end(enum spinat_stage stage)
{
	struct spinat_stages *s = &RTE_PER_LCORE(spinat_stages);
	const uint64_t now = rte_rdtsc();

	s->cycles[stage] += now - s->last;
	s->marks[stage]++;
	s->last = now;
}

#define SPINAT_STAGE_END(stage) spinat_stage_end(stage)
#else
#define SPINAT_STAGE_END(stage)
#endif

#endif
