/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 the spinat authors
 */
#include <netinet/in.h>
#include <string.h>

#include "binder_internal.h"
#include "binder_state.h"

/* A pending credit is given up by then; an IKE SA that nobody has answered, too. */
#define HALF_OPEN_MS 60000

/* Read once, though the owner writes it at any time: a pointer points into an array of the binder or
 * is NULL. */
#define READ_ONCE(x) (*(volatile __typeof__(x) *)&(x))

uint32_t
spinat_binder_ike_rows(const struct spinat_binder *b)
{
	return b->n_ikes_max;
}

uint32_t
spinat_binder_spi_rows(const struct spinat_binder *b)
{
	return b->n_spis_max;
}

uint32_t
spinat_binder_credit_rows(const struct spinat_binder *b)
{
	return b->n_members_max;
}

/* --- out ------------------------------------------------------------------------------------------ */

static uint32_t
age(uint64_t at_ms, uint64_t since_ms)
{
	return at_ms > since_ms ? (uint32_t)RTE_MIN(at_ms - since_ms, (uint64_t)UINT32_MAX) : 0;
}

/* False where the member is not, or not any more, a client of this group. */
static bool
owner_of(const struct member *m, struct spinat_row_owner *o)
{
	const struct group *g = m != NULL ? READ_ONCE(m->group) : NULL;
	const struct host *h = m != NULL ? READ_ONCE(m->host) : NULL;

	if (g == NULL || h == NULL)
		return false;
	o->client = h->client.addr;
	o->realm = h->client.realm;
	o->outside = g->key.a;
	o->gateway = g->key.b;
	o->flags = (m->live ? SPINAT_ROW_LIVE : 0) | (m->natt ? SPINAT_ROW_NATT : 0);
	return true;
}

static bool
ike_row(const struct ike_sa *sa, uint64_t at_ms, struct spinat_ike_sa_row *row)
{
	memset(row, 0, sizeof(*row));
	if (READ_ONCE(sa->group) == NULL || !owner_of(READ_ONCE(sa->member), &row->owner))
		return false;
	row->owner.flags |= (sa->client_initiated ? SPINAT_ROW_CLIENT_INITIATED : 0) |
			    (sa->established ? SPINAT_ROW_ESTABLISHED : 0) |
			    (sa->way == IKE_TRANSLATED ? SPINAT_ROW_PORT_OTHER : 0) |
			    (sa->way == IKE_NATT ? SPINAT_ROW_PORT_4500 : 0);
	row->init_spi = sa->key.init_spi;
	row->resp_spi = sa->resp_spi;
	row->packets = sa->packets;
	row->idle_ms = age(at_ms, sa->last_ms);
	row->age_ms = age(at_ms, sa->created_ms);
	row->major = sa->major;
	row->exchange = sa->exchange;
	return true;
}

/* Settled a short while ago: it may be wrong, and nothing would watch it after a restart. */
static bool
is_watched(const struct spi *s)
{
	const struct contest *c = READ_ONCE(s->contest);

	return c != NULL && !READ_ONCE(c->inquiry);
}

static bool
spi_row(const struct spinat_binder *b, const struct spi *s, uint64_t at_ms,
	struct spinat_spi_row *row)
{
	const uint32_t handle = READ_ONCE(s->handle);
	const struct spi *peer = READ_ONCE(s->peer);
	struct spinat_row_owner second = {.client = 0};
	uint64_t packets, bytes, last_ms = s->last_ms;

	memset(row, 0, sizeof(*row));
	if (READ_ONCE(s->state) != SPINAT_BINDING_SETTLED || is_watched(s) ||
		!owner_of(READ_ONCE(s->member), &row->owner))
		return false;
	row->owner.flags |=
		(s->doubt ? SPINAT_ROW_DOUBT : 0) | (s->ordered ? SPINAT_ROW_ORDERED : 0);
	row->owner.proto = s->key.proto;
	row->spi = s->key.spi;
	row->peer = peer != NULL ? peer->key.spi : 0;
	owner_of(READ_ONCE(s->second), &second);
	row->second = second.client;
	row->seq_first = s->seq_first;
	row->seq_last = s->seq_last;
	row->packets = s->packets;
	row->bytes = s->bytes;
	row->copies = s->copies;
	row->dir = s->dir;
	if (handle != SPINAT_SHORTCUT_NONE) {
		last_ms = RTE_MAX(last_ms, b->ops.last_used(b->ops.ctx, handle));
		b->ops.count(b->ops.ctx, handle, &packets, &bytes);
		row->packets += packets;
		row->bytes += bytes;
		if (s->dir == SPINAT_IN)
			row->seq_last = b->ops.last_seq(b->ops.ctx, handle);
	}
	row->idle_ms = age(at_ms, last_ms);
	row->age_ms = age(at_ms, s->created_ms);
	return true;
}

static bool
credit_row(const struct member *m, unsigned int i, uint64_t at_ms, struct spinat_credit_row *row)
{
	const struct credit *c = &m->credits[i];
	const struct spi *so = READ_ONCE(c->so);
	const struct ike_sa *ike = READ_ONCE(c->ike);

	memset(row, 0, sizeof(*row));
	if (i >= READ_ONCE(m->n_credits) || !owner_of(m, &row->owner))
		return false;
	row->owner.flags |= c->stale ? SPINAT_ROW_STALE : 0;
	row->owner.proto = so != NULL ? so->key.proto : 0;
	row->init_spi = ike != NULL ? ike->key.init_spi : 0;
	row->spi = so != NULL ? so->key.spi : 0;
	row->message_id = c->message_id;
	row->age_ms = age(at_ms, c->opened_ms);
	row->kind = c->kind;
	row->exchange = c->exchange;
	return true;
}

/* What is read alike twice was not being changed: elements are not changed back and forth. What an
 * SPI's own packets count is allowed to move. */
unsigned int
spinat_binder_save_ike(const struct spinat_binder *b, uint32_t index, uint64_t at_ms,
	struct spinat_ike_sa_row *row)
{
	struct spinat_ike_sa_row again;

	if (!ike_row(&b->ikes[index], at_ms, row))
		return 0;
	__atomic_thread_fence(__ATOMIC_ACQUIRE);
	return ike_row(&b->ikes[index], at_ms, &again) && memcmp(row, &again, sizeof(*row)) == 0;
}

unsigned int
spinat_binder_save_spi(
	const struct spinat_binder *b, uint32_t index, uint64_t at_ms, struct spinat_spi_row *row)
{
	struct spinat_spi_row again;

	if (!spi_row(b, &b->spis[index], at_ms, row))
		return 0;
	__atomic_thread_fence(__ATOMIC_ACQUIRE);
	if (!spi_row(b, &b->spis[index], at_ms, &again))
		return 0;
	row->packets = again.packets;
	row->bytes = again.bytes;
	row->copies = again.copies;
	row->seq_last = again.seq_last;
	row->idle_ms = again.idle_ms;
	return memcmp(row, &again, sizeof(*row)) == 0;
}

unsigned int
spinat_binder_save_credits(const struct spinat_binder *b, uint32_t index, uint64_t at_ms,
	struct spinat_credit_row *rows)
{
	const struct member *m = &b->members[index];
	struct spinat_credit_row again;
	unsigned int n = 0;

	_Static_assert(CREDITS_MAX <= SPINAT_CREDIT_ROWS, "there is room for all credits");
	for (unsigned int i = 0; i < CREDITS_MAX; i++) {
		if (!credit_row(m, i, at_ms, &rows[n]))
			break;
		__atomic_thread_fence(__ATOMIC_ACQUIRE);
		if (credit_row(m, i, at_ms, &again) && memcmp(&rows[n], &again, sizeof(again)) == 0)
			n++;
	}
	return n;
}

/* --- in ------------------------------------------------------------------------------------------- */

bool
ipsec_permitted(const struct spinat_conf *conf, struct spinat_client client, rte_be32_t outside,
	rte_be32_t gateway)
{
	const struct spinat_outside_addr *addr = spinat_conf_outside(conf, outside);
	const struct spinat_redirect_conf *r;

	if (addr == NULL || addr->kinds & SPINAT_OUTSIDE_STATIC ||
		spinat_conf_static_inside(conf, client.realm, client.addr) != NULL ||
		spinat_conf_exempt(conf, client.realm, client.addr, gateway))
		return false;
	if (addr->kinds & SPINAT_OUTSIDE_POOL && addr->realm == client.realm)
		return true;
	r = spinat_conf_redirect(conf, outside, IPPROTO_ESP, 0);
	return r != NULL && r->inside == client.addr && r->realm == client.realm;
}

bool
ipsec_proto_permitted(const struct spinat_conf *conf, uint16_t realm, uint8_t proto)
{
	return proto != IPPROTO_AH || conf->realms[realm].ah == SPINAT_AH_TRANSLATE;
}

static bool
permitted(const struct spinat_conf *conf, const struct spinat_row_owner *o)
{
	const struct spinat_client client = {.addr = o->client, .realm = o->realm};

	return ipsec_permitted(conf, client, o->outside, o->gateway) &&
	       ipsec_proto_permitted(conf, o->realm, o->proto);
}

/* The member of a row, found or made; NULL with the reason. */
static struct member *
member_of(struct spinat_binder *b, const struct spinat_conf *conf, const struct spinat_row_owner *o,
	uint64_t now_ms, enum spinat_binder_restored *why)
{
	const struct spinat_ipsec_pkt p = {
		.client = {.addr = o->client, .realm = o->realm},
		.outside = o->outside,
		.gateway = o->gateway,
	};
	struct member *m;

	*why = SPINAT_BINDER_INVALID;
	if (o->realm >= conf->n_realms || o->client == 0 || o->outside == 0 || o->gateway == 0)
		return NULL;
	*why = SPINAT_BINDER_FORBIDDEN;
	if (!permitted(conf, o))
		return NULL;
	*why = SPINAT_BINDER_FULL;
	ipsec_called(b, conf, now_ms);
	b->started_ms = 0; /* it knows of the time before */
	m = ipsec_member_get(b, now_ms, &p);
	if (m == NULL || m->group->key.a == o->outside)
		return m;
	*why = SPINAT_BINDER_CLASH; /* a client has one outside address with a gateway */
	return NULL;
}

static void
set_flags(struct spinat_binder *b, uint64_t now_ms, struct member *m, uint8_t flags)
{
	if (flags & SPINAT_ROW_LIVE && !m->live)
		ipsec_member_live(b, now_ms, m);
	ipsec_member_natt(m, flags & SPINAT_ROW_NATT);
}

static uint64_t
before(uint64_t now_ms, uint64_t ago_ms)
{
	return now_ms > ago_ms ? now_ms - ago_ms : 0;
}

enum spinat_binder_restored
spinat_binder_restore_ike(struct spinat_binder *b, const struct spinat_conf *conf,
	const struct spinat_ike_sa_row *row, uint64_t now_ms, uint64_t down_ms)
{
	const uint64_t idle_ms = row->idle_ms + down_ms;
	enum spinat_binder_restored why;
	struct ike_sa *sa;
	struct member *m;

	if (row->init_spi == 0 || (row->major != 1 && row->major != 2))
		return SPINAT_BINDER_INVALID;
	if (idle_ms > (row->owner.flags & SPINAT_ROW_ESTABLISHED
				      ? (uint64_t)conf->timeouts.ike * 1000
				      : HALF_OPEN_MS))
		return SPINAT_BINDER_EXPIRED;
	m = member_of(b, conf, &row->owner, now_ms, &why);
	if (m == NULL)
		return why;
	sa = ipsec_ike_restore(b, now_ms, m, row->init_spi, row->major);
	if (sa == NULL) {
		ipsec_member_release(b, m);
		return SPINAT_BINDER_FULL;
	}
	if (sa->member != m || sa->packets > 0)
		return SPINAT_BINDER_CLASH;
	sa->resp_spi = row->resp_spi;
	sa->packets = RTE_MAX(row->packets, 1u);
	sa->exchange = row->exchange;
	sa->client_initiated = row->owner.flags & SPINAT_ROW_CLIENT_INITIATED;
	sa->established = row->owner.flags & SPINAT_ROW_ESTABLISHED;
	sa->way = row->owner.flags & SPINAT_ROW_PORT_4500    ? IKE_NATT
		  : row->owner.flags & SPINAT_ROW_PORT_OTHER ? IKE_TRANSLATED
							     : IKE_KEPT;
	sa->last_ms = before(now_ms, idle_ms);
	sa->created_ms = before(now_ms, row->age_ms + down_ms);
	set_flags(b, now_ms, m, row->owner.flags);
	return SPINAT_BINDER_RESTORED;
}

static struct spi *
add_spi(struct spinat_binder *b, uint64_t now_ms, struct member *m,
	const struct spinat_ipsec_pkt *p, enum spinat_dir dir)
{
	struct spi *s;

	if (dir == SPINAT_OUT)
		return ipsec_spi_add_out(b, now_ms, m, p);
	s = ipsec_spi_add_in(b, now_ms, m->group, p);
	if (s == NULL)
		return NULL;
	if (!ipsec_spi_own(b, now_ms, s, m)) {
		ipsec_spi_free(b, s);
		return NULL;
	}
	s->state = SPINAT_BINDING_SETTLED;
	s->why = "kept over a restart";
	return s;
}

static void
pair(struct spinat_binder *b, struct member *m, struct spi *s, rte_be32_t peer_spi)
{
	struct spi *peer;

	if (peer_spi == 0)
		return;
	peer = s->dir == SPINAT_IN ? ipsec_spi_find_out(b, m, peer_spi, s->key.proto)
				   : ipsec_spi_find_in(b, m->group, peer_spi, s->key.proto);
	if (peer == NULL || peer->member != m || peer->peer != NULL)
		return;
	s->peer = peer;
	peer->peer = s;
}

/* The other client that chose the same SPI; without room for it, it is not known. */
static void
share(struct spinat_binder *b, const struct spinat_conf *conf, const struct spinat_spi_row *row,
	uint64_t now_ms, struct spi *s)
{
	struct spinat_row_owner o = row->owner;
	enum spinat_binder_restored why;
	struct member *m;

	if (row->second == 0 || row->second == o.client || row->dir != SPINAT_IN)
		return;
	o.client = row->second;
	m = member_of(b, conf, &o, now_ms, &why);
	if (m != NULL)
		ipsec_spi_share(s, m);
}

static bool
is_valid(const struct spinat_spi_row *row)
{
	return (row->owner.proto == IPPROTO_ESP || row->owner.proto == IPPROTO_AH) &&
	       row->dir <= SPINAT_IN && rte_be_to_cpu_32(row->spi) > SPI_RESERVED_LAST;
}

/* An SPI that is idle too long stays while an IKE SA of its client lives, as in the sweep. */
static bool
is_expired(const struct spinat_conf *conf, const struct member *m, uint64_t idle_ms)
{
	return idle_ms > (uint64_t)conf->timeouts.esp * 1000 && m->n_ikes == 0;
}

enum spinat_binder_restored
spinat_binder_restore_spi(struct spinat_binder *b, const struct spinat_conf *conf,
	const struct spinat_spi_row *row, uint64_t now_ms, uint64_t down_ms)
{
	const struct spinat_ipsec_pkt p = {
		.client = {.addr = row->owner.client, .realm = row->owner.realm},
		.outside = row->owner.outside,
		.gateway = row->owner.gateway,
		.spi = row->spi,
		.seq = row->seq_first,
		.proto = row->owner.proto,
	};
	const uint64_t idle_ms = row->idle_ms + down_ms;
	enum spinat_binder_restored why = SPINAT_BINDER_INVALID;
	struct member *m = is_valid(row) ? member_of(b, conf, &row->owner, now_ms, &why) : NULL;
	struct spi *s;

	if (m == NULL)
		return why;
	s = row->dir == SPINAT_OUT ? ipsec_spi_find_out(b, m, row->spi, row->owner.proto)
				   : ipsec_spi_find_in(b, m->group, row->spi, row->owner.proto);
	if (s != NULL || is_expired(conf, m, idle_ms)) {
		ipsec_member_release(b, m);
		return s != NULL ? SPINAT_BINDER_CLASH : SPINAT_BINDER_EXPIRED;
	}
	s = add_spi(b, now_ms, m, &p, row->dir);
	if (s == NULL) {
		ipsec_member_release(b, m);
		return SPINAT_BINDER_FULL;
	}
	s->seq_last = row->seq_last;
	s->packets = row->packets;
	s->bytes = row->bytes;
	s->copies = row->copies;
	s->last_ms = before(now_ms, idle_ms);
	s->created_ms = before(now_ms, row->age_ms + down_ms);
	pair(b, m, s, row->peer);
	share(b, conf, row, now_ms, s);
	if (row->dir == SPINAT_IN && row->owner.flags & SPINAT_ROW_DOUBT)
		ipsec_spi_doubt(s);
	if (row->owner.flags & SPINAT_ROW_ORDERED)
		ipsec_spi_ordered(s);
	set_flags(b, now_ms, m, row->owner.flags);
	return SPINAT_BINDER_RESTORED;
}

static struct ike_sa *
ike_of(const struct member *m, uint64_t init_spi)
{
	struct ike_sa *sa;

	TAILQ_FOREACH(sa, &m->ikes, next)
		if (sa->key.init_spi == init_spi)
			return sa;
	return NULL;
}

enum spinat_binder_restored
spinat_binder_restore_credit(struct spinat_binder *b, const struct spinat_conf *conf,
	const struct spinat_credit_row *row, uint64_t now_ms, uint64_t down_ms)
{
	const uint64_t age_ms = row->age_ms + down_ms;
	struct credit c = {
		.opened_ms = before(now_ms, age_ms),
		.message_id = row->message_id,
		.kind = row->kind,
		.exchange = row->exchange,
		.stale = row->owner.flags & SPINAT_ROW_STALE,
	};
	enum spinat_binder_restored why;
	struct member *m;

	if (row->kind == CREDIT_NONE || row->kind > CREDIT_RESUME)
		return SPINAT_BINDER_INVALID;
	if (age_ms > (row->kind == CREDIT_PENDING && row->spi == 0
				     ? HALF_OPEN_MS
				     : (uint64_t)conf->timeouts.ike * 1000))
		return SPINAT_BINDER_EXPIRED;
	m = member_of(b, conf, &row->owner, now_ms, &why);
	if (m == NULL)
		return why;
	if (row->spi != 0)
		c.so = ipsec_spi_find_out(b, m, row->spi, row->owner.proto);
	if (row->init_spi != 0)
		c.ike = ike_of(m, row->init_spi);
	/* what gave it is gone, or what it waited for has come, while the rows were saved */
	if ((c.so == NULL && c.ike == NULL) || (c.so != NULL && c.so->peer != NULL))
		why = SPINAT_BINDER_CLASH;
	else
		why = ipsec_credit_restore(m, &c) ? SPINAT_BINDER_RESTORED : SPINAT_BINDER_FULL;
	if (why == SPINAT_BINDER_RESTORED)
		set_flags(b, now_ms, m, row->owner.flags);
	else
		ipsec_member_release(b, m);
	return why;
}
