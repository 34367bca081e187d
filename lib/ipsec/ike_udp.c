/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 the spinat authors
 */
#include "binder_internal.h"

/* IKE and ESP in UDP sessions: ports say whose they are, so all there is to do is to learn from them. */

/* Of the table of IKE SAs the last quarter is for those whose packets need them: all others know
 * their clients by ports. */
static bool
has_room(const struct spinat_binder *b)
{
	return b->stats.ike_sas < b->n_ikes_max - b->n_ikes_max / 4;
}

static struct ike_sa *
find(const struct spinat_binder *b, const struct spinat_udp_seen *s)
{
	const struct ike_key key = {
		.outside = s->outside, .gateway = s->gateway, .init_spi = s->hdr.init_spi};

	return ipsec_ike_find(b, &key);
}

static void
seen_out(struct spinat_binder *b, uint64_t now_ms, const struct spinat_udp_seen *s)
{
	const struct spinat_ipsec_pkt p = {
		.client = s->client, .outside = s->outside, .gateway = s->gateway};
	struct member *m;
	struct ike_sa *sa;

	/* nothing is inferred where a rule says whose all ESP is, and nothing where none permits it */
	if (find(b, s) == NULL &&
		(!has_room(b) || !ipsec_permitted(b->conf, s->client, s->outside, s->gateway)))
		return;
	m = ipsec_member_get(b, now_ms, &p);
	if (m == NULL)
		return;
	/* a client has one outside address with a gateway: this session is older than that */
	if (m->group->key.a != s->outside) {
		ipsec_member_release(b, m);
		return;
	}
	sa = ipsec_ike_of_sender(b, now_ms, m, &s->hdr);
	if (sa != NULL)
		ipsec_ike_follow(b, now_ms, sa, m, &s->hdr, s->natt ? IKE_NATT : IKE_TRANSLATED);
}

/* Nobody outside makes an IKE SA here: the client's answer does. */
static void
seen_in(struct spinat_binder *b, uint64_t now_ms, const struct spinat_udp_seen *s)
{
	struct ike_sa *sa = find(b, s);

	if (sa == NULL || sa->member == NULL || sa->member->host->client.addr != s->client.addr ||
		sa->member->host->client.realm != s->client.realm)
		return;
	sa->member->last_ms = now_ms;
	ipsec_ike_track(b, sa, now_ms, &s->hdr, SPINAT_IN);
}

/* Whether the client's ESP goes in UDP. What others say of it, and what says only that it knows of the
 * NAT, is no reason to doubt ESP without UDP that is there. */
static bool
shows_natt(const struct member *m, const struct spinat_udp_seen *s)
{
	if (s->what == SPINAT_IKE_UDP_ESP && s->dir == SPINAT_OUT)
		return true;
	return m->n_in == 0 && m->n_out == 0 &&
	       (s->what == SPINAT_IKE_UDP_ESP || s->dir == SPINAT_OUT);
}

static void
seen_natt(struct spinat_binder *b, uint64_t now_ms, const struct spinat_udp_seen *s)
{
	struct member *m = ipsec_member_find(b, s->client, s->gateway);

	if (m == NULL || m->group->key.a != s->outside || !shows_natt(m, s))
		return;
	m->last_ms = now_ms;
	ipsec_member_encapsulates(b, m);
}

void
spinat_binder_udp_seen(struct spinat_binder *b, const struct spinat_conf *conf, uint64_t now_ms,
	const struct spinat_udp_seen *s)
{
	ipsec_called(b, conf, now_ms);
	switch (s->what) {
	case SPINAT_IKE_UDP_IKE:
		(s->dir == SPINAT_OUT ? seen_out : seen_in)(b, now_ms, s);
		break;
	case SPINAT_IKE_UDP_ESP:
	case SPINAT_IKE_UDP_KEEPALIVE:
		seen_natt(b, now_ms, s);
		break;
	case SPINAT_IKE_UDP_NONE:
		break;
	}
}
