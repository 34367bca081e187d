/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 the spinat authors
 */
#include <netinet/in.h>
#include <string.h>

#include "datapath/path.h"
#include "nat/hash.h"

/*
 * Whether IKE from inside keeps source port 500, by the realm's policy. With "auto" the worker that
 * polls a packet follows the trial, since a flow's packets come by one queue; the worker that owns
 * the gateway remembers the outcome, and everyone reads that.
 */

static unsigned int
owner_of(const struct spinat_worker *w, rte_be32_t gateway)
{
	return spinat_owner(gateway, 0, w->engine->n_workers);
}

bool
spinat_ike_keeps_port(const struct spinat_worker *w, rte_be32_t gateway)
{
	return spinat_ike_ports_has(
		w->engine->workers[owner_of(w, gateway)]->ike_ports, gateway, w->now_s);
}

static void
remember(struct spinat_worker *w, rte_be32_t client, rte_be32_t gateway, uint16_t realm)
{
	const struct spinat_event event = {
		.type = SPINAT_EVENT_IKE_PORT,
		.ike_port = {.client = client, .gateway = gateway, .realm = realm},
	};

	if (spinat_ike_ports_remember(w->ike_ports, gateway, w->now_s))
		spinat_tell_control(w, &event);
}

/* A trial that failed, on its way to the gateway's owner. */
struct port_note {
	rte_be32_t client, gateway;
	uint32_t realm;
};

void
spinat_ike_port_told(struct spinat_worker *w, struct rte_mbuf *m)
{
	const struct port_note *note = rte_pktmbuf_mtod(m, const struct port_note *);

	remember(w, note->client, note->gateway, note->realm);
	rte_pktmbuf_free(m);
}

/* Whether this message shows that the gateway does not answer a translated port. */
static bool
trial_failed(struct spinat_worker *w, const struct spinat_slot *s)
{
	const struct port_note note = {
		.client = s->meta.key.src, .gateway = s->meta.key.dst, .realm = s->meta.key.realm};
	const unsigned int owner = owner_of(w, note.gateway);
	struct spinat_ike_hdr hdr;

	if (spinat_slot_ike(s, &hdr) != 0 ||
		!spinat_ike_ports_try(w->ike_ports, w->now_ms, note.client, note.gateway, &hdr))
		return false;
	if (owner == w->id)
		remember(w, note.client, note.gateway, s->meta.key.realm);
	else
		spinat_send_note(w, owner, SPINAT_WHY_IKE_PORT, &note, sizeof(note));
	return true;
}

bool
spinat_ike_as_udp(struct spinat_worker *w, const struct spinat_slot *s, bool received)
{
	switch (w->snap->conf->realms[s->meta.key.realm].ike_port) {
	case SPINAT_IKE_KEEP:
		return false;
	case SPINAT_IKE_TRANSLATE:
		return true;
	case SPINAT_IKE_AUTO:
		break;
	}
	if (spinat_ike_keeps_port(w, s->meta.key.dst))
		return false;
	return !received || !trial_failed(w, s);
}

struct spinat_flow *
spinat_ike_older_flow(
	struct spinat_worker *w, const struct spinat_slot *s, const struct spinat_ike_hdr *hdr)
{
	const struct spinat_key *key = &s->meta.key;

	/* whatever the policy is: a reload may change it, and what has port 500 must keep it */
	spinat_ike_ports_remember(w->ike_ports, key->dst, w->now_s);
	if (w->snap->conf->realms[key->realm].ike_port != SPINAT_IKE_AUTO)
		return NULL;
	if (hdr->resp_spi == 0 ||
		spinat_binder_has_ike(w->binder,
			(struct spinat_client){.addr = key->src, .realm = key->realm}, key->dst,
			hdr->init_spi))
		return NULL;
	return spinat_table_find(
		w->tables[spinat_owner(key->src, key->realm, w->engine->n_workers)], key);
}
