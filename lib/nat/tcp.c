/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 the spinat authors
 */
#include "nat/tcp.h"

#define SYNS (SPINAT_TCP_SYN_OUT | SPINAT_TCP_SYN_IN)
#define FINS (SPINAT_TCP_FIN_OUT | SPINAT_TCP_FIN_IN)

void
spinat_tcp_begin(struct spinat_flow *f, const struct spinat_meta *meta)
{
	if (!(meta->tcp_flags & RTE_TCP_SYN_FLAG))
		f->state = SYNS; /* picked up in the middle: the handshake was before our time */
	else
		f->state = meta->key.dir == SPINAT_OUT ? SPINAT_TCP_SYN_OUT : SPINAT_TCP_SYN_IN;
}

bool
spinat_tcp_track(struct spinat_flow *f, const struct spinat_meta *meta, uint32_t ack)
{
	const bool out = meta->key.dir == SPINAT_OUT;
	const uint8_t flags = meta->tcp_flags;
	uint8_t state = __atomic_load_n(&f->state, __ATOMIC_RELAXED);
	/* before it is established there is nothing that an ending could take away */
	const bool believed =
		out || !(state & SPINAT_TCP_ESTABLISHED) || spinat_tcp_expects(f, meta->seq);
	bool accepted = true;

	if (flags & RTE_TCP_RST_FLAG) {
		accepted = believed;
		if (believed)
			state = (state & ~SPINAT_TCP_ESTABLISHED) | SPINAT_TCP_RST;
	} else if (flags & RTE_TCP_SYN_FLAG) {
		/* the same ports once more, after the end of the connection before */
		if (!(flags & RTE_TCP_ACK_FLAG) &&
			(state & SPINAT_TCP_RST || (state & FINS) == FINS))
			state = 0;
		state |= out ? SPINAT_TCP_SYN_OUT : SPINAT_TCP_SYN_IN;
	} else {
		state &= ~SPINAT_TCP_RST; /* it goes on: the RST was lost or not for real */
		if ((state & SYNS) == SYNS || f->type == SPINAT_FLOW_STATIC)
			state |= SPINAT_TCP_ESTABLISHED;
		if (flags & RTE_TCP_FIN_FLAG) {
			accepted = believed;
			if (believed)
				state |= out ? SPINAT_TCP_FIN_OUT : SPINAT_TCP_FIN_IN;
		}
	}
	__atomic_store_n(&f->state, state, __ATOMIC_RELAXED);
	if (accepted)
		spinat_tcp_sample(f, meta, ack);
	return accepted;
}
