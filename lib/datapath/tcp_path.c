/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 the spinat authors
 */
#include <netinet/in.h>

#include "datapath/path.h"
#include "nat/tcp.h"
#include "packet/tcp_mss.h"

/* TCP segments that are more than data: opening, closing, reset. Few of a connection's packets. */

void
spinat_tcp_segment(struct spinat_worker *w, struct spinat_slot *s, struct spinat_flow *f)
{
	const uint16_t mss = w->snap->conf->realms[f->realm].tcp_mss;
	uint8_t *l4 = rte_pktmbuf_mtod_offset(s->m, uint8_t *, s->meta.l4);
	const struct rte_tcp_hdr *tcp = (const struct rte_tcp_hdr *)l4;

	if (!spinat_tcp_track(f, &s->meta, rte_be_to_cpu_32(tcp->recv_ack)))
		w->stats.tcp_disbelieved++;
	if (mss != 0 && s->meta.tcp_flags & RTE_TCP_SYN_FLAG &&
		spinat_tcp_clamp_mss(l4, s->m->data_len - s->meta.l4, mss))
		w->stats.mss_clamped++;
}
