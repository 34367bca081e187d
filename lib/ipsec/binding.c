/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 the spinat authors
 */
#include <string.h>

#include "binder_internal.h"

/* What a binding in doubt weighs on its client's credits: a hundred to one that it takes one. */
#define DOUBT_CLAIM 100.0
/* The flow table tells the time of the last packet by the second. */
#define JUST_NOW_MS 2000

static struct ipsec_key
in_key(const struct group *g, rte_be32_t spi, uint8_t proto)
{
	return (struct ipsec_key){.a = g->key.a,
		.b = g->key.b,
		.spi = spi,
		.proto = proto,
		.kind = KEY_IN,
		.realm = g->key.realm};
}

static struct ipsec_key
out_key(const struct member *m, rte_be32_t spi, uint8_t proto)
{
	return (struct ipsec_key){.a = m->host->client.addr,
		.b = m->group->key.b,
		.spi = spi,
		.proto = proto,
		.kind = KEY_OUT,
		.realm = m->group->key.realm};
}

static struct ipsec_key
quote_key(rte_be32_t outside, rte_be32_t gateway, rte_be32_t spi, uint8_t proto)
{
	/* The realm is not known where it is looked up; P has one only. */
	return (struct ipsec_key){
		.a = outside, .b = gateway, .spi = spi, .proto = proto, .kind = KEY_QUOTE};
}

struct spi *
ipsec_spi_find_in(
	const struct spinat_binder *b, const struct group *g, rte_be32_t spi, uint8_t proto)
{
	struct ipsec_key key = in_key(g, spi, proto);

	return ipsec_index_find(b, &key);
}

struct spi *
ipsec_spi_find_out(
	const struct spinat_binder *b, const struct member *m, rte_be32_t spi, uint8_t proto)
{
	struct ipsec_key key = out_key(m, spi, proto);

	return ipsec_index_find(b, &key);
}

/* Outbound SPIs with the same (P, G, SPI), of different clients: a ring that the index points into,
 * for packets quoted in ICMP errors. A ring of one is the rule. */
static int
quote_link(struct spinat_binder *b, struct spi *s)
{
	struct ipsec_key key =
		quote_key(s->group->key.a, s->group->key.b, s->key.spi, s->key.proto);
	struct spi *ring = ipsec_index_find(b, &key);

	s->same_prev = s->same_next = s;
	if (ring == NULL)
		return ipsec_index_put(b, &key, s);
	s->same_next = ring;
	s->same_prev = ring->same_prev;
	ring->same_prev->same_next = s;
	ring->same_prev = s;
	return 0;
}

static void
quote_unlink(struct spinat_binder *b, struct spi *s)
{
	struct ipsec_key key =
		quote_key(s->group->key.a, s->group->key.b, s->key.spi, s->key.proto);

	if (s->same_next == s) {
		ipsec_index_del(b, &key);
		return;
	}
	s->same_prev->same_next = s->same_next;
	s->same_next->same_prev = s->same_prev;
	if (ipsec_index_find(b, &key) == s)
		ipsec_index_put(b, &key, s->same_next);
}

const struct member *
ipsec_spi_sender(const struct spinat_binder *b, const struct spinat_ipsec_pkt *p)
{
	struct ipsec_key key = quote_key(p->outside, p->gateway, p->spi, p->proto);
	const struct spi *s = ipsec_index_find(b, &key);

	return s != NULL && s->same_next == s ? s->member : NULL;
}

static struct spi *
spi_add(struct spinat_binder *b, uint64_t now_ms, const struct ipsec_key *key, struct group *g,
	enum spinat_dir dir, uint32_t seq)
{
	struct spi *s = TAILQ_FIRST(&b->free_spis);

	b->full = SPINAT_DROP_BINDINGS_FULL;
	if (s == NULL || b->n_dir[dir] >= b->n_spis_max / 2 || ipsec_index_put(b, key, s) != 0)
		return NULL;
	TAILQ_REMOVE(&b->free_spis, s, next);
	memset(s, 0, sizeof(*s));
	s->key = *key;
	s->group = g;
	s->dir = dir;
	s->handle = SPINAT_SHORTCUT_NONE;
	s->created_ms = s->last_ms = now_ms;
	s->seq_first = s->seq_last = seq;
	s->fresh = ipsec_is_fresh(b, now_ms, seq);
	b->n_dir[dir]++;
	b->stats.bindings++;
	return s;
}

struct spi *
ipsec_spi_add_in(
	struct spinat_binder *b, uint64_t now_ms, struct group *g, const struct spinat_ipsec_pkt *p)
{
	struct ipsec_key key = in_key(g, p->spi, p->proto);
	struct spi *s;

	b->full = SPINAT_DROP_BINDINGS_LIMIT;
	if (g->n_in >= b->conf->limits.bindings_per_gateway)
		return NULL;
	s = spi_add(b, now_ms, &key, g, SPINAT_IN, p->seq);
	if (s == NULL)
		return NULL;
	s->ttl = p->ttl;
	g->n_in++;
	return s;
}

/* An SPI that one packet has been seen of may be a stray one. */
static uint64_t
idle_needed(const struct spi *s)
{
	return s->dir == SPINAT_IN && s->packets <= 1 ? SPI_ONCE_MS : SPI_IDLE_MS;
}

/* Makes room among the SPIs of one member: its own most idle one goes, if it is idle. */
static bool
make_room(struct spinat_binder *b, struct spi_list *list, uint16_t n, uint64_t now_ms)
{
	struct spi *s, *oldest = NULL;
	uint64_t used, oldest_used = UINT64_MAX;

	b->full = SPINAT_DROP_BINDINGS_LIMIT;
	if (n < b->conf->limits.bindings_per_client)
		return true;
	TAILQ_FOREACH(s, list, next) {
		used = ipsec_spi_last_used(b, s) + idle_needed(s);
		if (used < oldest_used) {
			oldest = s;
			oldest_used = used;
		}
	}
	if (oldest == NULL || now_ms < oldest_used)
		return false;
	ipsec_spi_free(b, oldest);
	return true;
}

struct spi *
ipsec_spi_add_out(struct spinat_binder *b, uint64_t now_ms, struct member *m,
	const struct spinat_ipsec_pkt *p)
{
	struct ipsec_key key = out_key(m, p->spi, p->proto);
	struct spi *s;

	if (!make_room(b, &m->out, m->n_out, now_ms))
		return NULL;
	s = spi_add(b, now_ms, &key, m->group, SPINAT_OUT, p->seq);
	if (s == NULL)
		return NULL;
	s->member = m;
	s->state = SPINAT_BINDING_SETTLED;
	s->why = "sent by the client";
	TAILQ_INSERT_TAIL(&m->out, s, next);
	m->n_out++;
	if (quote_link(b, s) != 0) {
		ipsec_spi_free(b, s);
		return NULL;
	}
	return s;
}

bool
ipsec_spi_own(struct spinat_binder *b, uint64_t now_ms, struct spi *s, struct member *m)
{
	if (s->member == m)
		return true;
	if (m != NULL && !make_room(b, &m->in, m->n_in, now_ms))
		return false;
	if (s->member != NULL) {
		ipsec_spi_uninstall(b, s);
		ipsec_spi_confirm(s);
		TAILQ_REMOVE(&s->member->in, s, next);
		s->member->n_in--;
		if (s->peer != NULL) {
			s->peer->peer = NULL;
			s->peer = NULL;
		}
	}
	s->member = m;
	if (m != NULL) {
		TAILQ_INSERT_TAIL(&m->in, s, next);
		m->n_in++;
	}
	return true;
}

void
ipsec_spi_resend(struct spinat_binder *b, struct spi *s, struct member *to)
{
	struct member *from = s->member;
	struct ipsec_key key = out_key(to, s->key.spi, s->key.proto);

	if (ipsec_index_find(b, &key) != NULL || ipsec_index_put(b, &key, s) != 0) {
		ipsec_credit_forget_spi(to, s);
		ipsec_spi_free(b, s);
		return;
	}
	ipsec_spi_uninstall(b, s);
	ipsec_index_del(b, &s->key);
	s->key = key;
	TAILQ_REMOVE(&from->out, s, next);
	from->n_out--;
	s->member = to;
	TAILQ_INSERT_TAIL(&to->out, s, next);
	to->n_out++;
}

void
ipsec_spi_to_owners(const struct spi *s, struct spinat_ipsec_decision *d)
{
	d->to[d->n++] = s->member->host->client;
	if (s->second != NULL)
		d->to[d->n++] = s->second->host->client;
}

void
ipsec_spi_share(struct spi *s, struct member *second)
{
	s->second = second;
	second->n_second++;
	s->why = "two clients chose the same SPI, both get it";
}

void
ipsec_spi_unshare(struct spi *s)
{
	if (s->second != NULL)
		s->second->n_second--;
	s->second = NULL;
}

void
ipsec_spi_ordered(struct spi *s)
{
	s->ordered = true;
	s->why = "operator";
}

void
ipsec_spi_doubt(struct spi *s)
{
	s->doubt = true;
	ipsec_claim_change(s->member, 0.0, DOUBT_CLAIM);
}

bool
ipsec_spi_confirm(struct spi *s)
{
	bool was = s->doubt;

	if (was)
		ipsec_claim_change(s->member, DOUBT_CLAIM, 0.0);
	s->doubt = false;
	return was;
}

void
ipsec_spi_free(struct spinat_binder *b, struct spi *s)
{
	struct member *m = s->member;

	ipsec_spi_uninstall(b, s);
	if (s->contest != NULL)
		ipsec_contest_free(b, s->contest);
	if (s->peer != NULL)
		s->peer->peer = NULL;
	s->group->n_in -= s->dir == SPINAT_IN;
	if (s->dir == SPINAT_OUT) {
		ipsec_credit_forget_spi(m, s);
		TAILQ_REMOVE(&m->out, s, next);
		m->n_out--;
		quote_unlink(b, s);
	} else if (m != NULL) {
		ipsec_spi_confirm(s);
		TAILQ_REMOVE(&m->in, s, next);
		m->n_in--;
	}
	ipsec_spi_unshare(s);
	ipsec_index_del(b, &s->key);
	s->state = SPINAT_BINDING_FREE;
	b->n_dir[s->dir]--;
	b->stats.bindings--;
	TAILQ_INSERT_HEAD(&b->free_spis, s, next);
}

/* As a receiver's replay window (RFC 4303 3.4.3) sees it: what it would refuse is of another SA. */
static void
series_step(struct spi *s, uint32_t seq)
{
	uint32_t ahead = seq - s->seq_last, behind = s->seq_last - seq;

	if (s->packets == 0 || ahead - 1 < UINT32_MAX / 2) {
		s->seq_window = s->packets > 0 && ahead < SPINAT_SEQ_WINDOW
					? s->seq_window << ahead | 1
					: 1;
		s->seq_last = seq;
		return;
	}
	s->seq_other = seq;
	if (behind >= SPINAT_SEQ_WINDOW || (s->seq_window & RTE_BIT64(behind)) != 0) {
		s->seq_odd++;
		s->seq_ahead = SPINAT_SEQ_WINDOW;
	} else {
		s->seq_window |= RTE_BIT64(behind);
	}
}

void
ipsec_spi_seen(struct spi *s, uint64_t now_ms, const struct spinat_ipsec_pkt *p)
{
	if (s->gaps++ > 0) {
		double gap = (double)(now_ms - s->last_ms);

		s->gap_ms += (gap - s->gap_ms) / RTE_MIN(s->gaps, 8u);
		s->pause_ms = RTE_MAX(gap, 0.98 * s->pause_ms);
	}
	s->last_ms = now_ms;
	series_step(s, p->seq);
	s->packets++;
	s->bytes += p->len;
}

void
ipsec_spi_install(struct spinat_binder *b, struct spi *s)
{
	struct spinat_shortcut c = {
		.client = s->member->host->client,
		.outside = s->group->key.a,
		.gateway = s->group->key.b,
		.spi = s->key.spi,
		.seq = s->seq_last,
		.proto = s->key.proto,
		.dir = s->dir,
	};

	if (s->handle == SPINAT_SHORTCUT_NONE && s->second == NULL)
		s->handle = b->ops.install(b->ops.ctx, &c);
}

uint64_t
ipsec_spi_last_used(const struct spinat_binder *b, const struct spi *s)
{
	uint32_t handle = s->handle;
	uint64_t used = s->last_ms;

	if (handle != SPINAT_SHORTCUT_NONE)
		used = RTE_MAX(used, b->ops.last_used(b->ops.ctx, handle));
	return used;
}

uint32_t
ipsec_spi_last_seq(const struct spinat_binder *b, const struct spi *s)
{
	return s->handle == SPINAT_SHORTCUT_NONE ? s->seq_last
						 : b->ops.last_seq(b->ops.ctx, s->handle);
}

void
ipsec_spi_uninstall(struct spinat_binder *b, struct spi *s)
{
	uint64_t packets, bytes;

	if (s->handle == SPINAT_SHORTCUT_NONE)
		return;
	s->last_ms = ipsec_spi_last_used(b, s);
	b->ops.count(b->ops.ctx, s->handle, &packets, &bytes);
	if (s->dir == SPINAT_IN) {
		s->seq_last = ipsec_spi_last_seq(b, s);
		s->seq_window = 1;
	}
	b->ops.remove(b->ops.ctx, s->handle);
	s->handle = SPINAT_SHORTCUT_NONE;
	s->gaps = 0;
	s->gap_ms = s->pause_ms = 0.0;
	s->packets += packets;
	s->bytes += bytes;
}

void
ipsec_member_watch_in(struct spinat_binder *b, struct member *m)
{
	struct spi *s;

	TAILQ_FOREACH(s, &m->in, next)
		ipsec_spi_uninstall(b, s);
}

/* What went by unseen: the rate it had on average, where it has gone on until a moment ago. */
static void
catch_up(struct member *m, uint64_t now_ms, uint64_t since_ms, uint64_t packets, uint64_t last_ms)
{
	double rate = (double)packets / (double)(now_ms - since_ms + 1);

	if (now_ms - last_ms > JUST_NOW_MS)
		return;
	m->rhythm.rate = RTE_MAX(m->rhythm.rate, RTE_MIN(rate, 1.0 / ONSET_MS));
	m->rhythm.last_ms = now_ms;
	m->sent_ms = now_ms;
}

void
ipsec_member_watch(struct spinat_binder *b, struct member *m, uint64_t now_ms)
{
	struct spi *s;

	TAILQ_FOREACH(s, &m->out, next) {
		uint64_t before = s->packets, since_ms = s->last_ms;

		if (s->handle == SPINAT_SHORTCUT_NONE)
			continue;
		ipsec_spi_uninstall(b, s);
		catch_up(m, now_ms, since_ms, s->packets - before, s->last_ms);
	}
}
