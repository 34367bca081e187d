/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 the spinat authors
 */
#include <string.h>

#include <rte_ip.h>

#include "datapath/path.h"
#include "nat/hash.h"

/*
 * The outside address of a client that runs IPsec, where its pool has a choice. The owner of the
 * gateway knows which one is best, the owner of the host which one the host has. So the first packet
 * to a gateway makes a round: it carries a proposal to the host's owner and comes back with the
 * answer, which is the address that the host has, or the proposed one, kept for it from then on.
 */

/* A lease on its way to the host's owner. */
struct lease_note {
	struct spinat_client client;
	rte_be32_t outside;
};

static unsigned int
host_owner(const struct spinat_worker *w, struct spinat_client client)
{
	return spinat_owner(client.addr, client.realm, w->engine->n_workers);
}

static void
send_round(struct spinat_worker *w, struct spinat_slot *s, unsigned int owner, rte_be32_t proposal)
{
	struct spinat_mbuf_priv *priv = spinat_priv(s->m);

	priv->l3 = s->meta.l3;
	priv->realm = s->meta.key.realm;
	priv->outside = proposal;
	spinat_hand_off(w, owner, s, SPINAT_WHY_PROPOSED);
}

rte_be32_t
spinat_ipsec_outside(struct spinat_worker *w, struct spinat_slot *s, struct spinat_verdict *v)
{
	const struct spinat_conf *conf = w->snap->conf;
	const struct spinat_key *key = &s->meta.key;
	const struct spinat_client client = {.addr = key->src, .realm = key->realm};
	const unsigned int owner = host_owner(w, client);
	rte_be32_t outside;

	if (!spinat_nat_has_choice(conf, key->realm, key->src))
		return spinat_nat_outside_of(conf, key->realm, key->src);
	if (s->why == SPINAT_WHY_GIVEN)
		return spinat_priv(s->m)->outside;
	outside = spinat_binder_outside(w->binder, client, key->dst);
	if (outside != 0)
		return outside;
	outside = spinat_binder_propose(w->binder, conf, w->now_ms, client, key->dst);
	if (owner == w->id)
		return spinat_nat_lease(w->nat, conf, key->realm, key->src, outside, w->now_s);
	v->taken = true;
	send_round(w, s, owner, outside);
	return 0;
}

void
spinat_outside_proposed(struct spinat_worker *w, struct rte_mbuf *m)
{
	struct spinat_mbuf_priv *priv = spinat_priv(m);
	const struct rte_ipv4_hdr *ip =
		rte_pktmbuf_mtod_offset(m, const struct rte_ipv4_hdr *, priv->l3);
	const unsigned int owner = spinat_owner(ip->dst_addr, 0, w->engine->n_workers);

	priv->outside = spinat_nat_lease(
		w->nat, w->snap->conf, priv->realm, ip->src_addr, priv->outside, w->now_s);
	priv->why = SPINAT_WHY_GIVEN;
	if (rte_ring_enqueue(w->engine->workers[owner]->in, m) != 0)
		spinat_drop(w, m, SPINAT_DROP_HANDOFF_FULL);
	else
		w->stats.handed_off++;
}

void
spinat_outside_renew(void *ctx, struct spinat_client client, rte_be32_t outside)
{
	struct spinat_worker *w = ctx;
	const struct spinat_conf *conf = w->snap->conf;
	const struct lease_note note = {.client = client, .outside = outside};
	const unsigned int owner = host_owner(w, client);

	if (client.realm >= conf->n_realms ||
		!spinat_nat_has_choice(conf, client.realm, client.addr))
		return;
	if (owner == w->id)
		spinat_nat_lease(w->nat, conf, client.realm, client.addr, outside, w->now_s);
	else
		spinat_send_note(w, owner, SPINAT_WHY_LEASE, &note, sizeof(note));
}

void
spinat_outside_renewed(struct spinat_worker *w, struct rte_mbuf *m)
{
	const struct lease_note *note = rte_pktmbuf_mtod(m, const struct lease_note *);
	const struct spinat_conf *conf = w->snap->conf;

	if (note->client.realm < conf->n_realms)
		spinat_nat_lease(w->nat, conf, note->client.realm, note->client.addr, note->outside,
			w->now_s);
	rte_pktmbuf_free(m);
}
