/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 the spinat authors
 */
#include <netinet/in.h>
#include <stdio.h>
#include <string.h>

#include <rte_jhash.h>
#include <rte_malloc.h>

#include "binder_internal.h"

/* A half-open IKE SA, or one that nobody has answered, goes after this time. */
#define HALF_OPEN_MS 60000
/* How often a client's outside address is said to be in use. */
#define RENEW_MS 60000
/* An SPI that never got an owner: seen once, or more often. */
#define CONTEST_ONCE_MS 30000
#define CONTEST_IDLE_MS 300000
/* Outbound packets that stay in sight while the client's inbound SPI is waited for. */
#define SIGHT_PACKETS 16
/* Packets with numbers that are back, and nobody else they can be for, before it goes without saying:
 * who replays or plays a capture again and again takes no time for it. */
#define BACKS_MAX 16

static struct rte_hash *
hash_create(const char *name, const char *what, uint32_t entries, uint32_t key_len, uint32_t seed,
	int socket_id)
{
	char full[RTE_HASH_NAMESIZE];
	struct rte_hash_parameters p = {
		.name = full,
		.entries = RTE_MAX(entries, 64u),
		.key_len = key_len,
		.hash_func = rte_jhash,
		.hash_func_init_val = seed,
		.socket_id = socket_id,
		/* no key is refused because its buckets are full */
		.extra_flag = RTE_HASH_EXTRA_FLAGS_EXT_TABLE,
	};

	snprintf(full, sizeof(full), "%s_%s", name, what);
	return rte_hash_create(&p);
}

static void *
array_create(const char *name, uint32_t n, size_t size, int socket_id)
{
	return rte_calloc_socket(name, n, size, RTE_CACHE_LINE_SIZE, socket_id);
}

/* Every client with an SPI has, as a rule, one in each direction. */
static uint32_t
members_max(const struct spinat_binder_params *p)
{
	return RTE_MAX(RTE_MAX(p->max_bindings / 2, p->max_ike), 16u);
}

static int
arrays_create(struct spinat_binder *b, const char *name, const struct spinat_binder_params *p)
{
	b->n_members_max = members_max(p);
	b->n_spis_max = 2 * p->max_bindings;
	b->n_contests_max = RTE_MAX(RTE_MIN(p->max_bindings / 8, 4096u), 16u);
	b->n_ikes_max = p->max_ike;
	b->hosts = array_create("ipsec_hosts", b->n_members_max, sizeof(*b->hosts), p->socket_id);
	b->groups =
		array_create("ipsec_groups", b->n_members_max, sizeof(*b->groups), p->socket_id);
	b->members =
		array_create("ipsec_members", b->n_members_max, sizeof(*b->members), p->socket_id);
	b->spis = array_create("ipsec_spis", b->n_spis_max, sizeof(*b->spis), p->socket_id);
	b->contests = array_create(
		"ipsec_contests", b->n_contests_max, sizeof(*b->contests), p->socket_id);
	b->ikes = array_create("ipsec_ikes", b->n_ikes_max, sizeof(*b->ikes), p->socket_id);
	/* hosts, groups, members, SPIs, and once more the outbound SPIs for quoted packets */
	b->index = hash_create(name, "spi", 3 * b->n_members_max + 3 * p->max_bindings,
		sizeof(struct ipsec_key), (uint32_t)p->seed, p->socket_id);
	b->ike_index = hash_create(name, "ike", p->max_ike, sizeof(struct ike_key),
		(uint32_t)(p->seed >> 32), p->socket_id);
	if (b->hosts == NULL || b->groups == NULL || b->members == NULL || b->spis == NULL ||
		b->contests == NULL || b->ikes == NULL || b->index == NULL || b->ike_index == NULL)
		return -1;
	return 0;
}

static void
free_lists_fill(struct spinat_binder *b)
{
	uint32_t i;

	TAILQ_INIT(&b->free_hosts);
	TAILQ_INIT(&b->free_groups);
	TAILQ_INIT(&b->free_members);
	TAILQ_INIT(&b->free_spis);
	TAILQ_INIT(&b->free_contests);
	TAILQ_INIT(&b->free_ikes);
	for (i = 0; i < SPINAT_MAX_REALMS; i++)
		TAILQ_INIT(&b->realm_hosts[i]);
	for (i = 0; i < b->n_members_max; i++) {
		TAILQ_INSERT_TAIL(&b->free_hosts, &b->hosts[i], next);
		TAILQ_INSERT_TAIL(&b->free_groups, &b->groups[i], next);
		TAILQ_INSERT_TAIL(&b->free_members, &b->members[i], of_group);
	}
	for (i = 0; i < b->n_spis_max; i++)
		TAILQ_INSERT_TAIL(&b->free_spis, &b->spis[i], next);
	for (i = 0; i < b->n_contests_max; i++)
		TAILQ_INSERT_TAIL(&b->free_contests, &b->contests[i], next);
	for (i = 0; i < b->n_ikes_max; i++)
		TAILQ_INSERT_TAIL(&b->free_ikes, &b->ikes[i], next);
}

struct spinat_binder *
spinat_binder_create(
	const char *name, const struct spinat_binder_params *p, const struct spinat_binder_ops *ops)
{
	struct spinat_binder *b =
		rte_zmalloc_socket(name, sizeof(*b), RTE_CACHE_LINE_SIZE, p->socket_id);

	if (b == NULL)
		return NULL;
	b->ops = *ops;
	b->salt = (uint32_t)(p->seed ^ p->seed >> 32);
	if (arrays_create(b, name, p) != 0) {
		spinat_binder_free(b);
		return NULL;
	}
	free_lists_fill(b);
	return b;
}

void
spinat_binder_free(struct spinat_binder *b)
{
	if (b == NULL)
		return;
	rte_hash_free(b->index);
	rte_hash_free(b->ike_index);
	rte_free(b->hosts);
	rte_free(b->groups);
	rte_free(b->members);
	rte_free(b->spis);
	rte_free(b->contests);
	rte_free(b->ikes);
	rte_free(b);
}

/* Clients of old SAs turn up one after the other, as they happen to send. */
#define STARTING_MS 60000

bool
ipsec_is_starting(const struct spinat_binder *b, uint64_t now_ms)
{
	return b->started_ms != 0 && now_ms - b->started_ms < STARTING_MS;
}

bool
ipsec_is_fresh(const struct spinat_binder *b, uint64_t now_ms, uint32_t seq)
{
	return seq <= (ipsec_is_starting(b, now_ms) ? SEQ_FIRST : SEQ_FRESH);
}

void
ipsec_called(struct spinat_binder *b, const struct spinat_conf *conf, uint64_t now_ms)
{
	b->conf = conf;
	if (!b->started)
		b->started_ms = now_ms;
	b->started = true;
}

static enum spinat_drop
check_spi(rte_be32_t spi)
{
	uint32_t n = rte_be_to_cpu_32(spi);

	if (n == 0)
		return SPINAT_DROP_SPI_ZERO;
	return n <= SPI_RESERVED_LAST ? SPINAT_DROP_SPI_RESERVED : SPINAT_DROP_NONE;
}

static bool
esp_without_ike(const struct spinat_conf *conf, uint16_t realm)
{
	return realm < conf->n_realms && conf->realms[realm].esp_without_ike;
}

/* The outbound SPI needs no watching once its inbound one is known, or does not come. */
static bool
out_of_sight(const struct spi *so)
{
	const struct member *m = so->member;

	return m->n_contests == 0 && (m->n_credits == 0 || so->packets >= SIGHT_PACKETS);
}

void
spinat_binder_outbound(struct spinat_binder *b, const struct spinat_conf *conf, uint64_t now_ms,
	const struct spinat_ipsec_pkt *p, struct spinat_ipsec_decision *d)
{
	struct member *m;
	struct spi *so;
	bool is_new;

	ipsec_called(b, conf, now_ms);
	*d = (struct spinat_ipsec_decision){.outside = p->outside, .drop = check_spi(p->spi)};
	if (d->drop != SPINAT_DROP_NONE)
		return;
	m = ipsec_member_get(b, now_ms, p);
	if (m == NULL) {
		d->drop = SPINAT_DROP_CLIENTS_FULL;
		return;
	}
	d->outside = m->group->key.a;
	so = m->n_out > 0 ? ipsec_spi_find_out(b, m, p->spi, p->proto) : NULL;
	is_new = so == NULL;
	if (is_new) {
		so = ipsec_spi_add_out(b, now_ms, m, p);
		if (so == NULL) {
			ipsec_member_release(b, m);
			d->drop = b->full;
			return;
		}
		if (m->n_ikes > 0 || esp_without_ike(conf, p->client.realm))
			ipsec_member_live(b, now_ms, m);
		ipsec_credit_outbound(m, now_ms, so, esp_without_ike(conf, p->client.realm));
	}
	ipsec_spi_seen(so, now_ms, p);
	ipsec_evidence_outbound(b, now_ms, so, p->len, is_new);
	if (out_of_sight(so))
		ipsec_spi_install(b, so);
	d->n = 1;
}

/* The only client that inbound ESP can be for: it gets what comes, and what comes is recorded, so
 * that it stays with it when another client turns up. */
static void
sole_talker(struct spinat_binder *b, uint64_t now_ms, struct member *m,
	const struct spinat_ipsec_pkt *p, struct spinat_ipsec_decision *d)
{
	struct spi *s;
	uint64_t gap;

	d->to[d->n++] = m->host->client;
	s = ipsec_spi_add_in(b, now_ms, m->group, p);
	if (s == NULL)
		return;
	if (!ipsec_spi_own(b, now_ms, s, m)) {
		ipsec_spi_free(b, s);
		return;
	}
	s->state = SPINAT_BINDING_SETTLED;
	s->why = "the only client of this gateway";
	ipsec_spi_doubt(s);
	b->stats.settled++;
	gap = ipsec_credit_gap(m, now_ms, s->fresh);
	ipsec_evidence_delay(m->group, gap);
	ipsec_spi_seen(s, now_ms, p);
	/* it has opened this pair itself, and this is the answer: no credit is left for others */
	if (gap != UINT64_MAX && ipsec_spi_confirm(s))
		ipsec_credit_spend(m, now_ms, s);
}

static void
settled_inbound(struct spinat_binder *b, uint64_t now_ms, struct spi *s,
	const struct spinat_ipsec_pkt *p, struct spinat_ipsec_decision *d)
{
	/* those of a burst that found no shortcut yet are not back */
	const bool back = spinat_seq_is_back(ipsec_spi_last_seq(b, s), p->seq, false);

	if (back)
		ipsec_inquire_same(b, now_ms, s, p->seq);
	if (s->contest != NULL) {
		ipsec_contest_inbound(b, b->conf, now_ms, s, p, d);
		return;
	}
	if (back && s->handle != SPINAT_SHORTCUT_NONE && ++s->seq_backs >= BACKS_MAX)
		b->ops.set_seq(b->ops.ctx, s->handle, p->seq);
	ipsec_spi_seen(s, now_ms, p);
	/* One packet may be anyone's; the second makes it a flow that has spent its credit. */
	if (ipsec_spi_confirm(s))
		ipsec_credit_spend(s->member, now_ms, s);
	if (!ipsec_credit_negotiating(s->member, now_ms))
		ipsec_spi_install(b, s);
	ipsec_spi_to_owners(s, d);
}

void
spinat_binder_inbound(struct spinat_binder *b, const struct spinat_conf *conf, uint64_t now_ms,
	const struct spinat_ipsec_pkt *p, struct spinat_ipsec_decision *d)
{
	const struct spinat_outside_addr *o = spinat_conf_outside(conf, p->outside);
	uint16_t realm = o != NULL ? o->realm : 0;
	struct group *g;
	struct member *m;
	struct spi *s;

	ipsec_called(b, conf, now_ms);
	*d = (struct spinat_ipsec_decision){.outside = p->outside, .drop = check_spi(p->spi)};
	if (d->drop != SPINAT_DROP_NONE)
		return;
	g = ipsec_group_find(b, realm, p->outside, p->gateway);
	if (g == NULL) {
		if (ipsec_passthrough(b, conf, realm, &d->to[0]))
			d->n = 1;
		else
			d->drop = SPINAT_DROP_SPI_UNKNOWN;
		return;
	}
	s = ipsec_spi_find_in(b, g, p->spi, p->proto);
	m = ipsec_group_sole(g);
	if (s == NULL && m != NULL &&
		(ipsec_is_fresh(b, now_ms, p->seq) || !ipsec_is_starting(b, now_ms)))
		sole_talker(b, now_ms, m, p, d);
	else if (s == NULL)
		ipsec_contest_open(b, conf, now_ms, g, p, d);
	else if (s->contest != NULL)
		ipsec_contest_inbound(b, conf, now_ms, s, p, d);
	else
		settled_inbound(b, now_ms, s, p, d);
}

bool
spinat_binder_quoted(const struct spinat_binder *b, const struct spinat_ipsec_pkt *p,
	uint64_t ike_init_spi, struct spinat_client *client)
{
	const struct member *m = p->proto == IPPROTO_UDP ? ipsec_ike_sender(b, p, ike_init_spi)
							 : ipsec_spi_sender(b, p);

	if (m == NULL)
		return false;
	*client = m->host->client;
	return true;
}

static bool
esp_alive(const struct spinat_binder *b, const struct spi_list *list, uint64_t since_ms)
{
	const struct spi *s;

	TAILQ_FOREACH(s, list, next)
		if (ipsec_spi_last_used(b, s) >= since_ms)
			return true;
	return false;
}

static bool
ike_alive(const struct member *m, uint64_t since_ms)
{
	const struct ike_sa *sa;

	TAILQ_FOREACH(sa, &m->ikes, next)
		if (sa->established && sa->last_ms >= since_ms)
			return true;
	return false;
}

/* Has the member a later SPI in the same direction that it used since? */
static bool
superseded(const struct spinat_binder *b, const struct spi *s)
{
	const struct spi *later = s;
	uint64_t used = ipsec_spi_last_used(b, s);

	while ((later = TAILQ_NEXT(later, next)) != NULL)
		if (ipsec_spi_last_used(b, later) > used)
			return true;
	return false;
}

static uint64_t
ago(uint64_t now_ms, uint64_t ms)
{
	return now_ms > ms ? now_ms - ms : 0;
}

static void
sweep_spi(struct spinat_binder *b, const struct spinat_conf *conf, uint64_t now_ms, struct spi *s,
	bool validate)
{
	struct member *m = s->member;
	uint64_t idle;

	if (s->state == SPINAT_BINDING_FREE)
		return;
	if (validate && !ipsec_proto_permitted(conf, s->group->key.realm, s->key.proto)) {
		ipsec_spi_free(b, s);
		if (m != NULL)
			ipsec_member_release(b, m);
		return;
	}
	idle = now_ms - RTE_MIN(ipsec_spi_last_used(b, s), now_ms);
	if (m == NULL) {
		if (idle > (s->packets > 1 ? CONTEST_IDLE_MS : CONTEST_ONCE_MS))
			ipsec_spi_free(b, s);
		return;
	}
	if (idle <= (uint64_t)conf->timeouts.esp * 1000)
		return;
	if (ike_alive(m, ago(now_ms, (uint64_t)conf->timeouts.ike * 1000)) && !superseded(b, s))
		return;
	ipsec_spi_free(b, s);
	ipsec_member_release(b, m);
}

static void
sweep_ike(
	struct spinat_binder *b, const struct spinat_conf *conf, uint64_t now_ms, struct ike_sa *sa)
{
	struct member *m = sa->member;
	uint64_t since = ago(now_ms, (uint64_t)conf->timeouts.esp * 1000);
	uint64_t idle = now_ms - sa->last_ms;

	if (sa->group == NULL)
		return;
	if (m != NULL && sa->established) {
		if (idle <= (uint64_t)conf->timeouts.ike * 1000 || esp_alive(b, &m->in, since) ||
			esp_alive(b, &m->out, since))
			return;
	} else if (idle <= HALF_OPEN_MS) {
		return;
	}
	ipsec_ike_free(b, sa);
	if (m != NULL)
		ipsec_member_release(b, m);
}

/* Whoever gives the client its outside address shall know that it is in use. */
static void
renew(struct spinat_binder *b, uint64_t now_ms, struct member *m)
{
	if (b->ops.renew == NULL || m->promised || now_ms - m->renewed_ms < RENEW_MS)
		return;
	m->renewed_ms = now_ms;
	b->ops.renew(b->ops.ctx, m->host->client, m->group->key.a);
}

static void
sweep_member(struct spinat_binder *b, const struct spinat_conf *conf, uint64_t now_ms,
	struct member *m, bool validate)
{
	if (m->group == NULL)
		return;
	/* a changed configuration may translate it otherwise, or not at all */
	if (validate && !ipsec_permitted(conf, m->host->client, m->group->key.a, m->group->key.b)) {
		ipsec_member_purge(b, m);
		return;
	}
	ipsec_credit_age(m, conf, now_ms);
	ipsec_inquire(b, now_ms, m);
	renew(b, now_ms, m);
	ipsec_member_release(b, m);
}

void
spinat_binder_sweep(struct spinat_binder *b, const struct spinat_conf *conf, uint64_t now_ms,
	unsigned int budget)
{
	uint32_t total = b->n_spis_max + b->n_ikes_max + b->n_members_max;

	ipsec_called(b, conf, now_ms);
	ipsec_hold_expire(b, now_ms);
	if (b->generation != conf->generation) {
		b->generation = conf->generation;
		b->validate_left = total;
	}
	for (; budget > 0; budget--) {
		const bool validate = b->validate_left > 0;
		uint32_t at = b->sweep_at++;

		b->validate_left -= validate;

		if (b->sweep_at == total)
			b->sweep_at = 0;
		if (at < b->n_spis_max) {
			sweep_spi(b, conf, now_ms, &b->spis[at], validate);
			continue;
		}
		at -= b->n_spis_max;
		if (at < b->n_ikes_max) {
			sweep_ike(b, conf, now_ms, &b->ikes[at]);
			continue;
		}
		at -= b->n_ikes_max;
		sweep_member(b, conf, now_ms, &b->members[at], validate);
	}
}
