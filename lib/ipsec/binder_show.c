/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 the spinat authors
 */
#include <string.h>

#include "binder_internal.h"

/*
 * Telemetry: read by any thread while the owner changes what is read. Every pointer is read once
 * and points into an array of the binder or is NULL, so that a row may mix two bindings but never
 * leaves the arrays.
 */

#define READ_ONCE(x) (*(volatile __typeof__(x) *)&(x))

static void
client_of(const struct member *m, struct spinat_client *client)
{
	const struct host *h = m != NULL ? READ_ONCE(m->host) : NULL;

	if (h != NULL)
		*client = h->client;
}

static void
binding_candidates(const struct contest *c, struct spinat_binding_row *row)
{
	unsigned int i, n;

	if (c == NULL)
		return;
	n = READ_ONCE(c->n);
	row->n_candidates = RTE_MIN(n, (unsigned int)SPINAT_FANOUT_MAX);
	for (i = 0; i < RTE_MIN(n, (unsigned int)SPINAT_FANOUT_MAX); i++)
		client_of(READ_ONCE(c->cand[i].member), &row->candidates[i]);
}

static void
binding_row(const struct spinat_binder *b, const struct spi *s, const struct group *g,
	struct spinat_binding_row *row)
{
	uint32_t handle = READ_ONCE(s->handle);
	const struct spi *peer = READ_ONCE(s->peer);
	uint64_t packets, bytes;

	memset(row, 0, sizeof(*row));
	client_of(READ_ONCE(s->member), &row->client);
	binding_candidates(READ_ONCE(s->contest), row);
	row->outside = g->key.a;
	row->gateway = g->key.b;
	row->spi = s->key.spi;
	row->peer = peer != NULL ? peer->key.spi : 0;
	row->proto = s->key.proto;
	row->dir = s->dir;
	row->state = s->state;
	row->why = s->why != NULL ? s->why : "";
	row->created_ms = s->created_ms;
	row->last_ms = s->last_ms;
	row->packets = s->packets;
	row->bytes = s->bytes;
	row->copies = s->copies;
	if (handle == SPINAT_SHORTCUT_NONE)
		return;
	row->last_ms = RTE_MAX(row->last_ms, b->ops.last_used(b->ops.ctx, handle));
	b->ops.count(b->ops.ctx, handle, &packets, &bytes);
	row->packets += packets;
	row->bytes += bytes;
}

bool
spinat_binder_next_binding(
	const struct spinat_binder *b, uint32_t *cursor, struct spinat_binding_row *row)
{
	const struct spi *s;

	while (*cursor < b->n_spis_max) {
		const struct group *g;

		s = &b->spis[(*cursor)++];
		g = READ_ONCE(s->group);
		if (READ_ONCE(s->state) == SPINAT_BINDING_FREE || g == NULL)
			continue;
		binding_row(b, s, g, row);
		return true;
	}
	return false;
}

bool
spinat_binder_next_ike(const struct spinat_binder *b, uint32_t *cursor, struct spinat_ike_row *row)
{
	while (*cursor < b->n_ikes_max) {
		const struct ike_sa *sa = &b->ikes[(*cursor)++];
		const struct member *m = READ_ONCE(sa->member);

		if (READ_ONCE(sa->group) == NULL)
			continue;
		memset(row, 0, sizeof(*row));
		client_of(m, &row->client);
		row->outside = sa->key.outside;
		row->gateway = sa->key.gateway;
		row->init_spi = sa->key.init_spi;
		row->resp_spi = sa->resp_spi;
		row->major = sa->major;
		row->exchange = sa->exchange;
		row->client_initiated = sa->client_initiated;
		row->natt = sa->way == IKE_NATT;
		row->esp_in_udp = m != NULL && m->natt;
		row->created_ms = sa->created_ms;
		row->last_ms = sa->last_ms;
		row->packets = sa->packets;
		return true;
	}
	return false;
}

void
spinat_binder_stats_get(const struct spinat_binder *b, struct spinat_binder_stats *out)
{
	*out = b->stats;
}
