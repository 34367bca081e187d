/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 the spinat authors
 */
#include <string.h>

#include <rte_jhash.h>

#include "binder_internal.h"

/* Addresses of a pool that are compared for one client. */
#define POOL_LOOKED_AT 64u

static struct ipsec_key
host_key(struct spinat_client c)
{
	return (struct ipsec_key){.a = c.addr, .kind = KEY_HOST, .realm = c.realm};
}

static struct ipsec_key
member_key(struct spinat_client c, rte_be32_t gateway)
{
	return (struct ipsec_key){.a = c.addr, .b = gateway, .kind = KEY_MEMBER, .realm = c.realm};
}

static struct ipsec_key
group_key(uint16_t realm, rte_be32_t outside, rte_be32_t gateway)
{
	return (struct ipsec_key){.a = outside, .b = gateway, .kind = KEY_GROUP, .realm = realm};
}

struct group *
ipsec_group_find(
	const struct spinat_binder *b, uint16_t realm, rte_be32_t outside, rte_be32_t gateway)
{
	struct ipsec_key key = group_key(realm, outside, gateway);

	return ipsec_index_find(b, &key);
}

struct member *
ipsec_member_find(const struct spinat_binder *b, struct spinat_client client, rte_be32_t gateway)
{
	struct ipsec_key key = member_key(client, gateway);

	return ipsec_index_find(b, &key);
}

static struct host *
host_get(struct spinat_binder *b, struct spinat_client client)
{
	struct ipsec_key key = host_key(client);
	struct host *h = ipsec_index_find(b, &key);

	if (h != NULL)
		return h;
	h = TAILQ_FIRST(&b->free_hosts);
	if (h == NULL || ipsec_index_put(b, &key, h) != 0)
		return NULL;
	TAILQ_REMOVE(&b->free_hosts, h, next);
	h->client = client;
	h->refs = 0;
	TAILQ_INSERT_TAIL(&b->realm_hosts[client.realm], h, next);
	b->stats.clients++;
	return h;
}

static void
host_put(struct spinat_binder *b, struct host *h)
{
	struct ipsec_key key = host_key(h->client);

	if (h->refs > 0)
		return;
	ipsec_index_del(b, &key);
	TAILQ_REMOVE(&b->realm_hosts[h->client.realm], h, next);
	TAILQ_INSERT_HEAD(&b->free_hosts, h, next);
	b->stats.clients--;
}

static struct group *
group_get(struct spinat_binder *b, const struct spinat_ipsec_pkt *p)
{
	struct ipsec_key key = group_key(p->client.realm, p->outside, p->gateway);
	struct group *g = ipsec_index_find(b, &key);

	if (g != NULL)
		return g;
	g = TAILQ_FIRST(&b->free_groups);
	if (g == NULL || ipsec_index_put(b, &key, g) != 0)
		return NULL;
	TAILQ_REMOVE(&b->free_groups, g, next);
	memset(g, 0, sizeof(*g));
	g->key = key;
	TAILQ_INIT(&g->members);
	TAILQ_INIT(&g->open);
	TAILQ_INIT(&g->contests);
	TAILQ_INIT(&g->offered);
	b->stats.groups++;
	return g;
}

static void
group_put(struct spinat_binder *b, struct group *g)
{
	struct contest *c;
	struct ike_sa *sa;

	if (g->n_members > 0)
		return;
	while ((c = TAILQ_FIRST(&g->contests)) != NULL)
		ipsec_spi_free(b, c->spi);
	while ((sa = TAILQ_FIRST(&g->offered)) != NULL)
		ipsec_ike_free(b, sa);
	ipsec_index_del(b, &g->key);
	TAILQ_INSERT_HEAD(&b->free_groups, g, next);
	b->stats.groups--;
}

struct member *
ipsec_member_get(struct spinat_binder *b, uint64_t now_ms, const struct spinat_ipsec_pkt *p)
{
	struct ipsec_key key = member_key(p->client, p->gateway);
	struct member *m = ipsec_index_find(b, &key);
	struct host *h;
	struct group *g;

	if (m != NULL && m->promised && m->group->key.a != p->outside) {
		/* it had another address already */
		ipsec_member_release(b, m);
		m = ipsec_index_find(b, &key);
	}
	if (m != NULL) {
		m->promised = false;
		m->last_ms = now_ms;
		return m;
	}
	if (p->client.realm >= SPINAT_MAX_REALMS)
		return NULL;
	m = TAILQ_FIRST(&b->free_members);
	if (m == NULL)
		return NULL;
	h = host_get(b, p->client);
	if (h == NULL)
		return NULL;
	g = group_get(b, p);
	if (g == NULL || ipsec_index_put(b, &key, m) != 0) {
		host_put(b, h);
		if (g != NULL)
			group_put(b, g);
		return NULL;
	}
	TAILQ_REMOVE(&b->free_members, m, of_group);
	memset(m, 0, sizeof(*m));
	m->host = h;
	m->group = g;
	m->last_ms = now_ms;
	TAILQ_INIT(&m->in);
	TAILQ_INIT(&m->out);
	TAILQ_INIT(&m->ikes);
	h->refs++;
	g->n_members++;
	TAILQ_INSERT_TAIL(&g->members, m, of_group);
	return m;
}

void
ipsec_member_natt(struct member *m, bool natt)
{
	m->group->n_natt += (uint32_t)natt - (uint32_t)m->natt;
	m->natt = natt;
}

void
ipsec_member_live(struct spinat_binder *b, uint64_t now_ms, struct member *m)
{
	ipsec_member_natt(m, false);
	if (m->live)
		return;
	m->live = true;
	m->group->n_live++;
	/* Live members stand first. */
	TAILQ_REMOVE(&m->group->members, m, of_group);
	TAILQ_INSERT_HEAD(&m->group->members, m, of_group);
	ipsec_contest_join(b, now_ms, m);
}

static void
member_dead(struct member *m)
{
	if (!m->live)
		return;
	m->live = false;
	m->group->n_live--;
	TAILQ_REMOVE(&m->group->members, m, of_group);
	TAILQ_INSERT_TAIL(&m->group->members, m, of_group);
}

void
ipsec_member_release(struct spinat_binder *b, struct member *m)
{
	struct ipsec_key key = member_key(m->host->client, m->group->key.b);
	struct group *g = m->group;

	if (m->n_in > 0 || m->n_out > 0 || m->n_ikes > 0 || m->n_credits > 0 || m->n_second > 0)
		return;
	member_dead(m);
	ipsec_member_natt(m, false);
	ipsec_contest_forget(b, m);
	ipsec_ike_forget(m);
	ipsec_index_del(b, &key);
	TAILQ_REMOVE(&g->members, m, of_group);
	m->group = NULL;
	TAILQ_INSERT_HEAD(&b->free_members, m, of_group);
	m->host->refs--;
	host_put(b, m->host);
	g->n_members--;
	group_put(b, g);
}

/* Its inbound SPI goes with it, and stays the pair of the outbound one. */
static void
move_in(struct spinat_binder *b, uint64_t now_ms, struct spi *s, struct member *to)
{
	struct spi *peer = s->peer;

	ipsec_spi_confirm(s);
	if (s->second == to)
		ipsec_spi_unshare(s);
	if (!ipsec_spi_own(b, now_ms, s, to)) {
		ipsec_spi_free(b, s);
		return;
	}
	s->peer = peer;
	if (peer != NULL)
		peer->peer = s;
}

void
ipsec_member_move(struct spinat_binder *b, uint64_t now_ms, struct member *from, struct member *to)
{
	unsigned int i;
	struct spi *s;

	ipsec_contest_forget(b, from);
	while ((s = TAILQ_FIRST(&from->in)) != NULL)
		move_in(b, now_ms, s, to);
	for (i = 0; i < from->n_credits; i++)
		ipsec_credit_restore(to, &from->credits[i]);
	while (from->n_credits > 0)
		ipsec_credit_drop(from, 0);
	while ((s = TAILQ_FIRST(&from->out)) != NULL)
		ipsec_spi_resend(b, s, to);
	if (from->live)
		ipsec_member_live(b, now_ms, to);
	ipsec_member_release(b, from);
}

void
ipsec_member_purge(struct spinat_binder *b, struct member *m)
{
	struct ike_sa *sa;
	struct spi *s;

	ipsec_contest_forget(b, m);
	while ((s = TAILQ_FIRST(&m->in)) != NULL || (s = TAILQ_FIRST(&m->out)) != NULL)
		ipsec_spi_free(b, s);
	while ((sa = TAILQ_FIRST(&m->ikes)) != NULL)
		ipsec_ike_free(b, sa);
	while (m->n_credits > 0)
		ipsec_credit_drop(m, 0);
	ipsec_member_release(b, m);
}

struct member *
ipsec_group_sole(const struct group *g)
{
	return g->n_live == 1 ? TAILQ_FIRST(&g->members) : NULL;
}

bool
ipsec_passthrough(const struct spinat_binder *b, const struct spinat_conf *conf, uint16_t realm,
	struct spinat_client *to)
{
	const struct spinat_realm_conf *r;
	const struct host *h;

	if (realm >= conf->n_realms || realm >= SPINAT_MAX_REALMS)
		return false;
	r = &conf->realms[realm];
	switch (r->passthrough) {
	case SPINAT_PASS_HOST:
		*to = (struct spinat_client){.addr = r->passthrough_host, .realm = realm};
		return true;
	case SPINAT_PASS_SOLE:
		h = TAILQ_FIRST(&b->realm_hosts[realm]);
		if (h == NULL || TAILQ_NEXT(h, next) != NULL)
			return false;
		*to = h->client;
		return true;
	case SPINAT_PASS_OFF:
		break;
	}
	return false;
}

rte_be32_t
spinat_binder_outside(
	const struct spinat_binder *b, struct spinat_client client, rte_be32_t gateway)
{
	const struct member *m = ipsec_member_find(b, client, gateway);

	return m != NULL && !m->promised ? m->group->key.a : 0;
}

/* Clients of a gateway through an outside address that may need their SPIs told apart. */
static uint32_t
crowd(const struct spinat_binder *b, uint16_t realm, rte_be32_t outside, rte_be32_t gateway)
{
	const struct group *g = ipsec_group_find(b, realm, outside, gateway);

	return g != NULL ? g->n_members - g->n_natt : 0;
}

rte_be32_t
spinat_binder_propose(struct spinat_binder *b, const struct spinat_conf *conf, uint64_t now_ms,
	struct spinat_client client, rte_be32_t gateway)
{
	const struct spinat_realm_conf *r = &conf->realms[client.realm];
	const uint32_t start = rte_jhash_3words(client.addr, client.realm, gateway, b->salt);
	struct spinat_ipsec_pkt p = {.client = client, .gateway = gateway};
	struct member *m = ipsec_member_find(b, client, gateway);
	uint32_t i, n, least = UINT32_MAX;

	if (m != NULL)
		return m->group->key.a;
	for (i = 0; i < RTE_MIN(r->n_addrs, POOL_LOOKED_AT) && least > 0; i++) {
		const rte_be32_t *addrs = &conf->pool_addrs[r->first_addr];
		const rte_be32_t addr = addrs[(start % r->n_addrs + i) % r->n_addrs];

		/* a gateway on the inside has an address of the pool itself: any other is better */
		n = addr == gateway ? UINT32_MAX - 1 : crowd(b, client.realm, addr, gateway);
		if (n < least) {
			least = n;
			p.outside = addr;
		}
	}
	/* who asks next must see it: without room it is proposed all the same */
	m = ipsec_member_get(b, now_ms, &p);
	if (m != NULL)
		m->promised = true;
	return p.outside;
}

void
ipsec_member_encapsulates(struct spinat_binder *b, struct member *m)
{
	struct ike_sa *sa;

	ipsec_member_natt(m, true);
	TAILQ_FOREACH(sa, &m->ikes, next)
		sa->begun = false;
	while (m->n_credits > 0)
		ipsec_credit_drop(m, 0);
	ipsec_contest_forget(b, m);
	if (m->n_in == 0)
		member_dead(m);
	ipsec_member_release(b, m);
}
