/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 the spinat authors
 */
#include <stdbool.h>
#include <string.h>
#include <sys/queue.h>
#include <unistd.h>

#include <rte_branch_prediction.h>
#include <rte_hash.h>
#include <rte_jhash.h>
#include <rte_malloc.h>

#include "packet/frag.h"

#define RANGES_MAX 8 /* disjoint pieces of one datagram; in-order arrival needs one */
#define HASH_ENTRIES_MIN 16 /* rte_hash takes no table smaller than a bucket */

/* A fragment that waits for its first one. Slots come from a free list: no memory is taken later. */
struct held {
	STAILQ_ENTRY(held) next;
	struct rte_mbuf *m;
};
STAILQ_HEAD(held_list, held);

/* Bytes [begin, end) of a datagram's payload that have been seen. */
struct range {
	uint16_t begin;
	uint16_t end;
};

struct datagram {
	TAILQ_ENTRY(datagram) next; /* in order of age, which is the order of expiry */
	struct spinat_key key;
	uint64_t deadline_ms;
	struct held_list held;
	struct spinat_frag_verdict verdict;
	struct range ranges[RANGES_MAX]; /* sorted, neither overlapping nor touching */
	uint16_t end; /* of the last fragment; 0: not seen yet */
	uint8_t n_ranges;
	uint8_t n_held;
	bool decided; /* verdict is set */
	bool spoiled; /* fragments contradicted each other: nothing more of it passes */
};
TAILQ_HEAD(datagram_list, datagram);

struct spinat_frag_table {
	struct rte_hash *hash; /* key to index in datagrams[] */
	struct datagram *datagrams;
	struct held *slots;
	struct datagram_list by_age;
	struct held_list free;
	struct held_list given_up; /* wait for spinat_frag_expire to hand them out */
	struct spinat_frag_params params;
	uint32_t n_datagrams; /* written by the owner, read by any thread */
	uint32_t n_held;
	uint32_t held_bytes;
};

/* How a fragment fits to what has been seen of its datagram. */
enum fit {
	FIT_NEW,
	FIT_DUPLICATE, /* wholly inside one range: dropping it loses nothing */
	FIT_CONFLICT,
	FIT_SCATTERED,
};

static void
count(uint32_t *counter, int change)
{
	__atomic_store_n(counter, *counter + change, __ATOMIC_RELAXED);
}

/*
 * A datagram's key is that of its flow with the IPv4 identification in place of the ports, which
 * later fragments do not have.
 */
static struct spinat_key
datagram_key(const struct spinat_meta *meta)
{
	struct spinat_key key = meta->key;

	key.ports = meta->ip_id;
	return key;
}

struct spinat_frag_table *
spinat_frag_create(const char *name, const struct spinat_frag_params *p)
{
	struct rte_hash_parameters hash = {
		.name = name,
		.entries = RTE_MAX(p->datagrams, (uint32_t)HASH_ENTRIES_MIN),
		.key_len = sizeof(struct spinat_key),
		.hash_func = rte_jhash,
		.socket_id = p->socket_id,
		/* room for every entry, whatever the keys: full means full */
		.extra_flag = RTE_HASH_EXTRA_FLAGS_EXT_TABLE,
	};
	struct spinat_frag_table *t;

	/* secret, so that no sender can pick identifications that share a bucket */
	if (getentropy(&hash.hash_func_init_val, sizeof(hash.hash_func_init_val)) != 0)
		return NULL;
	t = rte_zmalloc_socket(name, sizeof(*t), RTE_CACHE_LINE_SIZE, p->socket_id);
	if (t == NULL)
		return NULL;
	t->params = *p;
	TAILQ_INIT(&t->by_age);
	STAILQ_INIT(&t->free);
	STAILQ_INIT(&t->given_up);
	t->hash = rte_hash_create(&hash);
	if (t->hash == NULL)
		goto fail;
	t->datagrams = rte_zmalloc_socket(name,
		(rte_hash_max_key_id(t->hash) + 1) * sizeof(t->datagrams[0]), RTE_CACHE_LINE_SIZE,
		p->socket_id);
	t->slots = rte_zmalloc_socket(
		name, p->held * sizeof(t->slots[0]), RTE_CACHE_LINE_SIZE, p->socket_id);
	if (t->datagrams == NULL || t->slots == NULL)
		goto fail;
	for (uint32_t i = 0; i < p->held; i++)
		STAILQ_INSERT_TAIL(&t->free, &t->slots[i], next);
	return t;
fail:
	spinat_frag_free(t);
	return NULL;
}

/* Moves held mbufs out of a list, oldest first. */
static unsigned int
take(struct spinat_frag_table *t, struct held_list *list, struct rte_mbuf **out, unsigned int max)
{
	struct held *slot;
	unsigned int n;

	for (n = 0; n < max && (slot = STAILQ_FIRST(list)) != NULL; n++) {
		out[n] = slot->m;
		t->held_bytes -= slot->m->pkt_len;
		STAILQ_REMOVE_HEAD(list, next);
		STAILQ_INSERT_HEAD(&t->free, slot, next);
	}
	count(&t->n_held, -(int)n);
	return n;
}

/* Forgets a datagram; what it held waits for spinat_frag_expire. */
static void
retire(struct spinat_frag_table *t, struct datagram *d)
{
	STAILQ_CONCAT(&t->given_up, &d->held);
	TAILQ_REMOVE(&t->by_age, d, next);
	rte_hash_del_key(t->hash, &d->key);
	count(&t->n_datagrams, -1);
}

void
spinat_frag_free(struct spinat_frag_table *t)
{
	struct rte_mbuf *m;

	if (t == NULL)
		return;
	while (!TAILQ_EMPTY(&t->by_age))
		retire(t, TAILQ_FIRST(&t->by_age));
	while (take(t, &t->given_up, &m, 1) != 0)
		rte_pktmbuf_free(m);
	rte_hash_free(t->hash);
	rte_free(t->datagrams);
	rte_free(t->slots);
	rte_free(t);
}

/* Returns a datagram that is still within its time, or NULL. */
static struct datagram *
find(struct spinat_frag_table *t, const struct spinat_key *key, uint64_t now_ms)
{
	int32_t i = rte_hash_lookup(t->hash, key);

	if (i < 0)
		return NULL;
	if (likely(now_ms < t->datagrams[i].deadline_ms))
		return &t->datagrams[i];
	retire(t, &t->datagrams[i]);
	return NULL;
}

static struct datagram *
add(struct spinat_frag_table *t, const struct spinat_key *key, uint64_t now_ms)
{
	struct datagram *d = TAILQ_FIRST(&t->by_age);
	int32_t i;

	if (t->n_datagrams == t->params.datagrams) {
		if (d == NULL || now_ms < d->deadline_ms)
			return NULL;
		retire(t, d);
	}
	i = rte_hash_add_key(t->hash, key);
	if (i < 0)
		return NULL;
	d = &t->datagrams[i];
	*d = (struct datagram){.key = *key, .deadline_ms = now_ms + t->params.timeout_ms};
	STAILQ_INIT(&d->held);
	TAILQ_INSERT_TAIL(&t->by_age, d, next);
	count(&t->n_datagrams, 1);
	return d;
}

/* Index of the first range that ends at or behind a place: the one to extend or to stand before. */
static unsigned int
range_at(const struct datagram *d, uint16_t begin)
{
	unsigned int i = 0;

	while (i < d->n_ranges && d->ranges[i].end < begin)
		i++;
	return i;
}

static enum fit
range_fit(const struct datagram *d, struct range r, bool more)
{
	unsigned int i = range_at(d, r.begin);
	bool touches_left;

	/* all fragments must agree where the datagram ends */
	if (d->end != 0 && (r.end > d->end || (r.end == d->end) == more))
		return FIT_CONFLICT;
	if (!more && d->n_ranges != 0 && d->ranges[d->n_ranges - 1].end > r.end)
		return FIT_CONFLICT;

	touches_left = i < d->n_ranges && d->ranges[i].end == r.begin;
	if (touches_left)
		i++;
	if (i == d->n_ranges || r.end < d->ranges[i].begin)
		return touches_left || d->n_ranges < RANGES_MAX ? FIT_NEW : FIT_SCATTERED;
	if (r.end == d->ranges[i].begin)
		return FIT_NEW;
	if (d->ranges[i].begin <= r.begin && r.end <= d->ranges[i].end)
		return FIT_DUPLICATE;
	return FIT_CONFLICT;
}

/* Adds a range that fits. */
static void
range_add(struct datagram *d, struct range r)
{
	unsigned int first = range_at(d, r.begin); /* [first, last) melts into the new one */
	unsigned int last = first;

	if (last < d->n_ranges && d->ranges[last].end == r.begin)
		r.begin = d->ranges[last++].begin;
	if (last < d->n_ranges && d->ranges[last].begin == r.end)
		r.end = d->ranges[last++].end;
	memmove(&d->ranges[first + 1], &d->ranges[last],
		(d->n_ranges - last) * sizeof(d->ranges[0]));
	d->ranges[first] = r;
	d->n_ranges += 1 + first - last;
}

/* All of it has been seen and sent on. A late duplicate starts anew, and waits in vain. */
static bool
is_done(const struct datagram *d)
{
	return !d->spoiled && d->n_held == 0 && d->end != 0 && d->n_ranges == 1 &&
	       d->ranges[0].begin == 0 && d->ranges[0].end == d->end;
}

static bool
can_hold(const struct spinat_frag_table *t, const struct datagram *d, const struct rte_mbuf *m)
{
	return d->n_held < SPINAT_FRAG_HELD_MAX && !STAILQ_EMPTY(&t->free) &&
	       m->pkt_len <= t->params.held_bytes - t->held_bytes;
}

static void
hold(struct spinat_frag_table *t, struct datagram *d, struct rte_mbuf *m)
{
	struct held *slot = STAILQ_FIRST(&t->free);

	STAILQ_REMOVE_HEAD(&t->free, next);
	slot->m = m;
	STAILQ_INSERT_TAIL(&d->held, slot, next);
	d->n_held++;
	t->held_bytes += m->pkt_len;
	count(&t->n_held, 1);
}

static enum spinat_drop
spoil(struct spinat_frag_table *t, struct datagram *d)
{
	d->spoiled = true;
	STAILQ_CONCAT(&t->given_up, &d->held);
	d->n_held = 0;
	return SPINAT_DROP_FRAG_OVERLAP;
}

/* Says whether a fragment may be taken in. Changes nothing but that a conflict spoils the datagram. */
static enum spinat_drop
admit(struct spinat_frag_table *t, struct datagram *d, const struct rte_mbuf *m, struct range r,
	bool more)
{
	if (d->spoiled)
		return SPINAT_DROP_FRAG_OVERLAP;
	switch (range_fit(d, r, more)) {
	case FIT_CONFLICT:
		return spoil(t, d);
	case FIT_DUPLICATE:
		return SPINAT_DROP_FRAG_OVERLAP;
	case FIT_SCATTERED:
		return SPINAT_DROP_FRAG_SCATTERED;
	case FIT_NEW:
		break;
	}
	if (r.begin != 0 && !d->decided && !can_hold(t, d, m))
		return SPINAT_DROP_FRAG_HOLD_FULL;
	return SPINAT_DROP_NONE;
}

enum spinat_frag_action
spinat_frag_input(struct spinat_frag_table *t, struct rte_mbuf *m, const struct spinat_meta *meta,
	uint64_t now_ms, struct spinat_frag_verdict *verdict, enum spinat_drop *drop)
{
	uint16_t len = meta->l3_len - (meta->l4 - meta->l3);
	struct range r = {.begin = meta->frag_off, .end = meta->frag_off + len};
	struct spinat_key key = datagram_key(meta);
	struct datagram *d = find(t, &key, now_ms);

	if (d == NULL)
		d = add(t, &key, now_ms);
	if (d == NULL) {
		*drop = SPINAT_DROP_FRAG_TABLE_FULL;
		return SPINAT_FRAG_DROP;
	}
	*drop = admit(t, d, m, r, meta->more_frags);
	if (*drop != SPINAT_DROP_NONE) {
		if (d->n_ranges == 0) /* begun for this fragment alone */
			retire(t, d);
		return SPINAT_FRAG_DROP;
	}
	range_add(d, r);
	if (!meta->more_frags)
		d->end = r.end;
	if (r.begin == 0)
		return SPINAT_FRAG_FIRST;
	if (!d->decided) {
		hold(t, d, m);
		return SPINAT_FRAG_HELD;
	}
	*verdict = d->verdict;
	if (is_done(d))
		retire(t, d);
	return SPINAT_FRAG_FOLLOW;
}

unsigned int
spinat_frag_learn(struct spinat_frag_table *t, const struct spinat_meta *meta, uint64_t now_ms,
	const struct spinat_frag_verdict *verdict, struct rte_mbuf **out, unsigned int max)
{
	struct spinat_key key = datagram_key(meta);
	struct datagram *d = find(t, &key, now_ms);
	unsigned int n;

	if (d == NULL)
		return 0;
	d->decided = true;
	d->verdict = *verdict;
	n = take(t, &d->held, out, max);
	d->n_held -= n;
	if (is_done(d))
		retire(t, d);
	return n;
}

unsigned int
spinat_frag_expire(
	struct spinat_frag_table *t, uint64_t now_ms, struct rte_mbuf **out, unsigned int max)
{
	struct datagram *d;

	for (unsigned int i = 0; i < max; i++) {
		d = TAILQ_FIRST(&t->by_age);
		if (d == NULL || now_ms < d->deadline_ms)
			break;
		retire(t, d);
	}
	return take(t, &t->given_up, out, max);
}

void
spinat_frag_usage(const struct spinat_frag_table *t, uint32_t *datagrams, uint32_t *held)
{
	*datagrams = __atomic_load_n(&t->n_datagrams, __ATOMIC_RELAXED);
	*held = __atomic_load_n(&t->n_held, __ATOMIC_RELAXED);
}
