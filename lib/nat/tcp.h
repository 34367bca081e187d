/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 the spinat authors
 */
#ifndef SPINAT_NAT_TCP_H
#define SPINAT_NAT_TCP_H

#include <stdbool.h>
#include <stdint.h>

#include <rte_tcp.h>

#include "nat/flow.h"
#include "packet/packet.h"

/*
 * What the flags of TCP segments mean for a flow (RFC 5382, RFC 6146 3.5.2, RFC 7857 2). Whoever sees
 * a segment calls these; the state is bits, and the owner's sweep reads it.
 *
 * Somebody outside who knows addresses and ports but does not see the connection must not be able to
 * end it. So RST and FIN from outside count only where their sequence number is near what the inside
 * host last acknowledged. That is kept as of the first segment of each second, not of each segment:
 * a store a packet would make the cache line wander between workers. A RST that is near but not the
 * very next one makes the inside host answer (RFC 5961 3.2), and any segment ends the closing again.
 */

/* How far behind and ahead of the sample a sequence number may be: retransmissions behind; ahead,
 * what a sender may have in flight or have sent since the sample. */
#define SPINAT_TCP_BEHIND (64u << 10)
#define SPINAT_TCP_AHEAD (256u << 10)

/** Whether a segment from outside can be part of the connection. */
static inline bool
spinat_tcp_expects(const struct spinat_flow *f, uint32_t seq)
{
	const uint32_t expected = __atomic_load_n(&f->tcp_expected, __ATOMIC_RELAXED);

	/* 0: nothing was acknowledged yet that it could be compared with */
	return expected == 0 ||
	       seq - expected + SPINAT_TCP_BEHIND < SPINAT_TCP_BEHIND + SPINAT_TCP_AHEAD;
}

/**
 * Takes the sample that the next RST or FIN is held against. Any worker, the first segment in each
 * second.
 *
 * @param ack acknowledgement number of the segment, host order
 */
static inline void
spinat_tcp_sample(struct spinat_flow *f, const struct spinat_meta *meta, uint32_t ack)
{
	/* the inside host is believed; the outside may only move on what is near */
	if (meta->key.dir == SPINAT_OUT) {
		if (meta->tcp_flags & RTE_TCP_ACK_FLAG)
			__atomic_store_n(&f->tcp_expected, ack, __ATOMIC_RELAXED);
	} else if (spinat_tcp_expects(f, meta->seq) && f->tcp_expected != 0) {
		__atomic_store_n(&f->tcp_expected, meta->seq, __ATOMIC_RELAXED);
	}
}

/** State of a new flow by the segment that made it. Owner only, before others can see the flow. */
void spinat_tcp_begin(struct spinat_flow *f, const struct spinat_meta *meta);

/**
 * Follows a segment with SYN, FIN or RST, or any of a flow that is not established. Any worker.
 *
 * @param ack acknowledgement number of the segment, host order
 * @return false where it is a RST or FIN that is not believed: it changes nothing
 */
bool spinat_tcp_track(struct spinat_flow *f, const struct spinat_meta *meta, uint32_t ack);

#endif
