/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 the spinat authors
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <rte_hash.h>
#include <rte_jhash.h>

#include "box.h"
#include "ipsec/binder_state.h"
#include "packet/packet.h"
#include "world.h"

/*
 * spinat: the binder, and before it the part of the flow table that belongs to it. A packet whose
 * SPI has a shortcut is translated unseen by the binder; its time is kept to the second, as flows
 * keep it.
 */

/* Entries aged in a millisecond, as the worker loop does. */
#define SWEEP_A_MS 64

struct shortcut_key {
	rte_be32_t addr; /* outbound: client; inbound: P */
	rte_be32_t gateway;
	rte_be32_t spi;
	uint16_t realm;
	uint8_t proto;
	uint8_t dir;
};

struct shortcut {
	struct shortcut_key key;
	struct spinat_client client;
	rte_be32_t outside;
	uint64_t last_ms, packets, bytes;
	uint32_t seq;
	bool goes_back;
	uint32_t next_free;
};

struct binder_box {
	struct box_held_ops held;
	const struct spinat_conf *conf;
	struct spinat_binder *binder;
	struct rte_hash *index;
	struct shortcut *shortcuts;
	uint32_t n_max, first_free;
	uint64_t now_ms;
};

static struct shortcut_key
out_key(const struct spinat_ipsec_pkt *p)
{
	return (struct shortcut_key){
		p->client.addr, p->gateway, p->spi, p->client.realm, p->proto, SPINAT_OUT};
}

static struct shortcut_key
in_key(const struct spinat_ipsec_pkt *p)
{
	return (struct shortcut_key){p->outside, p->gateway, p->spi, 0, p->proto, SPINAT_IN};
}

static uint32_t
install(void *ctx, const struct spinat_shortcut *sc)
{
	struct binder_box *b = ctx;
	const bool out = sc->dir == SPINAT_OUT;
	uint32_t handle = b->first_free;
	struct shortcut *x;

	if (handle == SPINAT_SHORTCUT_NONE)
		return handle;
	x = &b->shortcuts[handle];
	b->first_free = x->next_free;
	*x = (struct shortcut){
		.key = {out ? sc->client.addr : sc->outside, sc->gateway, sc->spi,
			out ? sc->client.realm : 0, sc->proto, sc->dir},
		.client = sc->client,
		.outside = sc->outside,
		.last_ms = b->now_ms / 1000 * 1000,
		.seq = sc->seq,
	};
	if (rte_hash_lookup(b->index, &x->key) >= 0)
		sim_fail("the binder put a shortcut in twice");
	if (rte_hash_add_key_data(b->index, &x->key, x) != 0)
		sim_fail("no room for a shortcut");
	return handle;
}

static void
uninstall(void *ctx, uint32_t handle)
{
	struct binder_box *b = ctx;

	if (handle >= b->n_max || rte_hash_del_key(b->index, &b->shortcuts[handle].key) < 0)
		sim_fail("the binder took out a shortcut that was not in");
	b->shortcuts[handle].next_free = b->first_free;
	b->first_free = handle;
}

static uint64_t
last_used(void *ctx, uint32_t handle)
{
	const struct binder_box *b = ctx;

	return b->shortcuts[handle].last_ms;
}

static void
count(void *ctx, uint32_t handle, uint64_t *packets, uint64_t *bytes)
{
	const struct binder_box *b = ctx;

	*packets = b->shortcuts[handle].packets;
	*bytes = b->shortcuts[handle].bytes;
}

static uint32_t
last_seq(void *ctx, uint32_t handle)
{
	const struct binder_box *b = ctx;

	return b->shortcuts[handle].seq;
}

static void
set_seq(void *ctx, uint32_t handle, uint32_t seq)
{
	struct binder_box *b = ctx;

	b->shortcuts[handle].seq = seq;
	b->shortcuts[handle].goes_back = true;
}

static void
late(void *ctx, uint32_t hold, const struct spinat_client *to, unsigned int n)
{
	const struct binder_box *b = ctx;

	b->held.late(b->held.ctx, hold, to, n);
}

static void
forget(void *ctx, uint32_t hold)
{
	const struct binder_box *b = ctx;

	b->held.forget(b->held.ctx, hold);
}

static struct shortcut *
take(struct binder_box *b, uint64_t now_ms, const struct shortcut_key *key,
	const struct spinat_ipsec_pkt *p)
{
	struct shortcut *x;

	b->now_ms = now_ms;
	if (rte_hash_lookup_data(b->index, key, (void **)&x) < 0)
		return NULL;
	if (key->dir == SPINAT_IN && spinat_seq_is_back(x->seq, p->seq, x->goes_back))
		return NULL;
	x->seq = RTE_MAX(x->seq, p->seq);
	x->last_ms = now_ms / 1000 * 1000;
	x->packets++;
	x->bytes += p->len;
	return x;
}

static void
box_free(void *box)
{
	struct binder_box *b = box;

	spinat_binder_free(b->binder);
	rte_hash_free(b->index);
	free(b->shortcuts);
	free(b);
}

static void *
box_create(const struct spinat_conf *conf, uint64_t seed, const struct box_held_ops *held)
{
	static unsigned int serial; /* names of hashes are unique in a process */
	struct binder_box *b = sim_alloc(sizeof(*b));
	const struct spinat_binder_ops ops = {.install = install,
		.remove = uninstall,
		.last_used = last_used,
		.count = count,
		.last_seq = last_seq,
		.set_seq = set_seq,
		.late = late,
		.forget = forget,
		.ctx = b};
	const struct spinat_binder_params params = {
		.max_bindings = conf->limits.bindings,
		.max_ike = conf->limits.ike,
		.seed = seed,
		.socket_id = SOCKET_ID_ANY,
	};
	struct rte_hash_parameters hash = {
		.entries = 2 * conf->limits.bindings,
		.key_len = sizeof(struct shortcut_key),
		.hash_func = rte_jhash,
		.hash_func_init_val = (uint32_t)seed,
		.socket_id = SOCKET_ID_ANY,
		.extra_flag = RTE_HASH_EXTRA_FLAGS_EXT_TABLE,
	};
	char name[RTE_HASH_NAMESIZE];

	b->conf = conf;
	b->held = *held;
	b->n_max = 2 * conf->limits.bindings;
	b->shortcuts = sim_alloc(b->n_max * sizeof(*b->shortcuts));
	for (uint32_t i = 0; i < b->n_max; i++)
		b->shortcuts[i].next_free = i + 1 < b->n_max ? i + 1 : SPINAT_SHORTCUT_NONE;
	snprintf(name, sizeof(name), "flows%u", serial);
	hash.name = name;
	b->index = rte_hash_create(&hash);
	snprintf(name, sizeof(name), "binder%u", serial++);
	b->binder = spinat_binder_create(name, &params, &ops);
	if (b->index != NULL && b->binder != NULL)
		return b;
	box_free(b);
	return NULL;
}

/* A checkpoint written and read in the same moment, in the order that the appliance keeps. */
static void
restore(void *box, const void *before, uint64_t now_ms)
{
	struct binder_box *b = box;
	const struct spinat_binder *old = ((const struct binder_box *)before)->binder;
	struct spinat_credit_row credits[SPINAT_CREDIT_ROWS];
	struct spinat_ike_sa_row ike;
	struct spinat_spi_row spi;
	unsigned int n;

	b->now_ms = now_ms;
	for (uint32_t i = 0; i < spinat_binder_ike_rows(old); i++)
		if (spinat_binder_save_ike(old, i, now_ms, &ike) > 0)
			spinat_binder_restore_ike(b->binder, b->conf, &ike, now_ms, 0);
	for (uint32_t i = 0; i < spinat_binder_spi_rows(old); i++)
		if (spinat_binder_save_spi(old, i, now_ms, &spi) > 0)
			spinat_binder_restore_spi(b->binder, b->conf, &spi, now_ms, 0);
	for (uint32_t i = 0; i < spinat_binder_credit_rows(old); i++) {
		n = spinat_binder_save_credits(old, i, now_ms, credits);
		while (n-- > 0)
			spinat_binder_restore_credit(b->binder, b->conf, &credits[n], now_ms, 0);
	}
}

static void
esp_out(void *box, uint64_t now_ms, const struct spinat_ipsec_pkt *p,
	struct spinat_ipsec_decision *d)
{
	struct binder_box *b = box;
	const struct shortcut_key key = out_key(p);
	const struct shortcut *x = take(b, now_ms, &key, p);

	if (x == NULL)
		spinat_binder_outbound(b->binder, b->conf, now_ms, p, d);
	else
		*d = (struct spinat_ipsec_decision){.n = 1, .outside = x->outside};
}

/* What every decision must be. */
static void
check(const struct spinat_ipsec_decision *d)
{
	unsigned int i, j;

	if ((d->n > 0 || d->hold != 0) != (d->drop == SPINAT_DROP_NONE) || d->n > SPINAT_FANOUT_MAX)
		sim_fail("a decision that is neither to deliver nor to drop");
	for (i = 0; i < d->n; i++)
		for (j = i + 1; j < d->n; j++)
			if (d->to[i].addr == d->to[j].addr)
				sim_fail("two copies to one client");
}

static void
esp_in(void *box, uint64_t now_ms, const struct spinat_ipsec_pkt *p,
	struct spinat_ipsec_decision *d)
{
	struct binder_box *b = box;
	const struct shortcut_key key = in_key(p);
	const struct shortcut *x = take(b, now_ms, &key, p);

	if (x == NULL) {
		spinat_binder_inbound(b->binder, b->conf, now_ms, p, d);
		check(d);
	} else {
		*d = (struct spinat_ipsec_decision){.n = 1, .to = {x->client}};
	}
}

static void
ike_out(void *box, uint64_t now_ms, const struct spinat_ipsec_pkt *p,
	const struct spinat_ike_hdr *h, struct spinat_ipsec_decision *d)
{
	struct binder_box *b = box;

	b->now_ms = now_ms;
	spinat_binder_ike_outbound(b->binder, b->conf, now_ms, p, h, d);
}

static void
ike_in(void *box, uint64_t now_ms, const struct spinat_ipsec_pkt *p, const struct spinat_ike_hdr *h,
	struct spinat_ipsec_decision *d)
{
	struct binder_box *b = box;

	b->now_ms = now_ms;
	spinat_binder_ike_inbound(b->binder, b->conf, now_ms, p, h, d);
	check(d);
}

static void
udp_seen(void *box, uint64_t now_ms, const struct spinat_udp_seen *seen)
{
	struct binder_box *b = box;

	b->now_ms = now_ms;
	spinat_binder_udp_seen(b->binder, b->conf, now_ms, seen);
}

static bool
quoted(void *box, const struct spinat_ipsec_pkt *p, uint64_t ike_init_spi,
	struct spinat_client *client)
{
	const struct binder_box *b = box;

	return spinat_binder_quoted(b->binder, p, ike_init_spi, client);
}

static void
tick(void *box, uint64_t now_ms)
{
	struct binder_box *b = box;

	b->now_ms = now_ms;
	spinat_binder_sweep(b->binder, b->conf, now_ms, BOX_TICK_MS * SWEEP_A_MS);
}

static bool
next(void *box, uint32_t *cursor, struct spinat_binding_row *row)
{
	const struct binder_box *b = box;

	return spinat_binder_next_binding(b->binder, cursor, row);
}

static uint64_t
changes(void *box)
{
	const struct binder_box *b = box;
	struct spinat_binder_stats stats;

	spinat_binder_stats_get(b->binder, &stats);
	return stats.settled + stats.reopened;
}

static uint32_t
bindings(void *box)
{
	const struct binder_box *b = box;
	struct spinat_binder_stats stats;

	spinat_binder_stats_get(b->binder, &stats);
	return stats.bindings;
}

const struct box_ops box_binder = {
	.create = box_create,
	.free = box_free,
	.restore = restore,
	.esp_out = esp_out,
	.esp_in = esp_in,
	.ike_out = ike_out,
	.ike_in = ike_in,
	.udp_seen = udp_seen,
	.quoted = quoted,
	.tick = tick,
	.next = next,
	.changes = changes,
	.bindings = bindings,
};
