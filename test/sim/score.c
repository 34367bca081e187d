/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 the spinat authors
 */
#include <stdlib.h>

#include <rte_jhash.h>

#include "packet/packet.h"
#include "world.h"

/* Who got what, against who should have; and what the box believes, looked at whenever it changes
 * its mind. */

struct binding_key {
	rte_be32_t outside, gateway, spi;
	uint32_t proto;
};

void
score_create(struct sim *s)
{
	static unsigned int serial; /* names of hashes are unique in a process */
	char name[RTE_HASH_NAMESIZE];
	const struct rte_hash_parameters p = {
		.name = name,
		.entries = 64 * s->p.clients + 1024,
		.key_len = sizeof(struct binding_key),
		.hash_func = rte_jhash,
		.socket_id = SOCKET_ID_ANY,
		.extra_flag = RTE_HASH_EXTRA_FLAGS_EXT_TABLE,
	};

	snprintf(name, sizeof(name), "score%u", serial++);
	s->score.index = rte_hash_create(&p);
	s->score.max_bindings = p.entries;
	s->score.bindings = sim_alloc(p.entries * sizeof(*s->score.bindings));
	if (s->score.index == NULL)
		sim_fail("no memory for the score");
}

static struct binding *
find(const struct sim *s, const struct binding_key *key)
{
	void *b;

	return rte_hash_lookup_data(s->score.index, key, &b) < 0 ? NULL : b;
}

void
score_add(struct sim *s, struct sa *sa)
{
	const struct binding_key key = {
		sa->client->outside, sa->client->gateway, rte_cpu_to_be_32(sa->si), s->p.proto};
	struct binding *b = find(s, &key);

	if (b != NULL) {
		b->shared |= b->sa->client != sa->client;
		sa->binding = b;
		return;
	}
	if (s->score.n_bindings == s->score.max_bindings)
		sim_fail("more SAs than the score has room for");
	b = &s->score.bindings[s->score.n_bindings++];
	b->sa = sa;
	b->why = "";
	sa->binding = b;
	if (rte_hash_add_key_data(s->score.index, &key, b) != 0)
		sim_fail("no room in the score");
}

bool
score_receives(const struct spinat_ipsec_decision *d, const struct client *c)
{
	unsigned int i;

	for (i = 0; i < d->n; i++)
		if (d->to[i].addr == c->id.addr && d->to[i].realm == c->id.realm)
			return true;
	return false;
}

void
score_copies(struct sim *s, struct binding *b, uint32_t copies)
{
	const uint64_t second = (s->now_us - s->begin_us) / 1000000;

	b->copies += copies;
	s->score.copies += copies;
	if (second < SCORE_SECONDS)
		s->score.copies_by_s[second] += copies;
}

void
score_missed(struct sim *s, const struct packet *p, enum spinat_drop why)
{
	struct score *sc = &s->score;

	p->sa->binding->lost++;
	sc->lost++;
	sc->lost_unseen += !p->client->seen;
	sc->lost_why[why]++;
}

void
score_inbound(struct sim *s, const struct packet *p, const struct spinat_ipsec_decision *d)
{
	struct score *sc = &s->score;
	struct binding *b = p->sa->binding;
	const bool got = score_receives(d, p->client);
	const uint64_t second = (s->now_us - s->begin_us) / 1000000;

	if (b->packets++ == 0)
		b->first_us = s->now_us;
	b->last_us = s->now_us;
	sc->inbound++;
	if (second < SCORE_SECONDS)
		sc->inbound_by_s[second]++;
	score_copies(s, b, d->n - got);
	if (!p->sa->can_receive[SIM_CLIENT])
		sc->early += !got;
	else if (!got && d->hold == 0)
		score_missed(s, p, d->drop);
}

void
score_ike_in(struct sim *s, const struct packet *p, const struct spinat_ipsec_decision *d)
{
	struct score *sc = &s->score;
	const bool got = score_receives(d, p->client);

	sc->ike_in++;
	sc->ike_lost += !got;
	sc->ike_wrong += d->n - got;
	sc->ike_most = RTE_MAX(sc->ike_most, d->n);
}

static void
right_or_wrong(struct sim *s, struct binding *b, bool wrong)
{
	b->wrong_ever |= wrong;
	if (wrong && b->wrong_since_us == 0 && !b->retired) {
		b->wrong_since_us = s->now_us;
	} else if (!wrong && b->wrong_since_us != 0) {
		b->wrong_longest_us = RTE_MAX(b->wrong_longest_us, s->now_us - b->wrong_since_us);
		b->wrong_since_us = 0;
	}
}

void
score_retire(struct sim *s, struct sa *sa)
{
	if (!sa->binding->shared)
		right_or_wrong(s, sa->binding, false);
	sa->binding->retired = true;
}

static void
look_at(struct sim *s, const struct spinat_binding_row *row)
{
	const struct binding_key key = {row->outside, row->gateway, row->spi, row->proto};
	const bool settled = row->state == SPINAT_BINDING_SETTLED;
	struct binding *b = find(s, &key);

	if (b == NULL)
		return; /* nobody's: a stray */
	b->look = s->score.look;
	b->state = row->state;
	b->why = row->why;
	b->bound_to = row->client.addr;
	b->right = settled && (b->shared || row->client.addr == b->sa->client->id.addr);
	if (b->right && b->right_us == 0)
		b->right_us = s->now_us;
	right_or_wrong(s, b, settled && !b->right);
}

void
score_look(struct sim *s, bool anyway)
{
	struct score *sc = &s->score;
	const uint64_t changes = s->box_ops->changes(s->box);
	struct spinat_binding_row row;
	uint32_t i, n, cursor = 0;

	if (changes == sc->changes && !anyway)
		return;
	sc->changes = changes;
	sc->look++;
	n = s->box_ops->bindings(s->box);
	sc->peak_bindings = RTE_MAX(sc->peak_bindings, n);
	/* there are no more than n, and what comes after them is long to pass */
	for (i = 0; i < n && s->box_ops->next(s->box, &cursor, &row); i++)
		if (row.dir == SPINAT_IN)
			look_at(s, &row);
	if (!anyway)
		return;
	sc->looked_us = s->now_us;
	for (i = 0; i < sc->n_bindings; i++) {
		struct binding *b = &sc->bindings[i];

		if (b->look == sc->look)
			continue;
		b->state = SPINAT_BINDING_FREE;
		b->right = false;
		right_or_wrong(s, b, false);
	}
}
