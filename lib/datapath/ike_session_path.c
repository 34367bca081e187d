/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 the spinat authors
 */
#include <rte_udp.h>

#include "datapath/path.h"
#include "nat/hash.h"

/*
 * IKE that is translated as other UDP, because its source port is or because it is on port 4500, and
 * ESP in UDP. Ports say whose it is, so the packet goes its way; the binder is shown IKE, and once
 * after each IKE message that there is ESP in UDP.
 */

static void
note_esp(struct spinat_flow *f, bool seen)
{
	const uint8_t state = __atomic_load_n(&f->state, __ATOMIC_RELAXED);

	if (seen == ((state & SPINAT_ESP_IN_UDP) != 0))
		return;
	if (seen)
		__atomic_fetch_or(&f->state, SPINAT_ESP_IN_UDP, __ATOMIC_RELAXED);
	else
		__atomic_fetch_and(&f->state, ~SPINAT_ESP_IN_UDP, __ATOMIC_RELAXED);
}

static bool
tell(struct spinat_worker *w, const struct spinat_udp_seen *seen)
{
	const unsigned int owner = spinat_owner(seen->gateway, 0, w->engine->n_workers);

	if (owner != w->id)
		return spinat_send_note(w, owner, SPINAT_WHY_IKE_SESSION, seen, sizeof(*seen));
	spinat_binder_udp_seen(w->binder, w->snap->conf, w->now_ms, seen);
	return true;
}

void
spinat_ike_session_told(struct spinat_worker *w, struct rte_mbuf *m)
{
	spinat_binder_udp_seen(w->binder, w->snap->conf, w->now_ms,
		rte_pktmbuf_mtod(m, const struct spinat_udp_seen *));
	rte_pktmbuf_free(m);
}

/* What the packet is; its payload ends with the datagram, whatever pads the frame. */
static enum spinat_ike_udp
read_payload(const struct spinat_slot *s, bool natt, struct spinat_ike_hdr *hdr)
{
	const struct rte_udp_hdr *udp =
		rte_pktmbuf_mtod_offset(s->m, const struct rte_udp_hdr *, s->meta.l4);
	const uint32_t whole = rte_be_to_cpu_16(udp->dgram_len) - sizeof(*udp);
	const uint32_t end = RTE_MIN(s->m->data_len, (uint32_t)s->meta.l3 + s->meta.l3_len);
	const uint32_t here = end - s->meta.l4 - sizeof(*udp);

	return spinat_ike_udp_parse(
		natt, (const uint8_t *)(udp + 1), RTE_MIN(here, whole), whole, hdr);
}

void
spinat_ike_session(struct spinat_worker *w, const struct spinat_slot *s, struct spinat_flow *f)
{
	struct spinat_udp_seen seen = {
		.client = {.addr = f->new_addr[SPINAT_IN], .realm = f->realm},
		.outside = f->new_addr[SPINAT_OUT],
		.gateway = f->remote_addr,
		.dir = s->meta.key.dir,
		.natt = f->remote_port == RTE_BE16(SPINAT_NATT_PORT),
	};

	seen.what = read_payload(s, seen.natt, &seen.hdr);
	if (seen.what == SPINAT_IKE_UDP_NONE)
		return;
	/* where the note found no room, the next packet of ESP tells it */
	if (tell(w, &seen) && seen.what != SPINAT_IKE_UDP_KEEPALIVE)
		note_esp(f, seen.what == SPINAT_IKE_UDP_ESP);
}
