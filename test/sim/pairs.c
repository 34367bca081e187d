/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 the spinat authors
 */
#include <stdio.h>
#include <stdlib.h>

#include <rte_jhash.h>

#include "packet/packet.h"
#include "pairs.h"
#include "world.h"

struct spi_key {
	rte_be32_t addr, gateway, spi;
	uint32_t proto;
};

struct cookie_key {
	rte_be32_t outside, gateway;
	uint64_t cookie;
};

static struct rte_hash *
hash_create(const char *what, uint32_t entries, uint32_t key_len, uint64_t seed)
{
	static unsigned int serial; /* names of hashes are unique in a process */
	char name[RTE_HASH_NAMESIZE];
	const struct rte_hash_parameters p = {
		.name = name,
		.entries = entries,
		.key_len = key_len,
		.hash_func = rte_jhash,
		.hash_func_init_val = (uint32_t)seed,
		.socket_id = SOCKET_ID_ANY,
		.extra_flag = RTE_HASH_EXTRA_FLAGS_EXT_TABLE,
	};

	snprintf(name, sizeof(name), "%s%u", what, serial++);
	return rte_hash_create(&p);
}

bool
pairs_create(struct pairs *ps, const struct spinat_conf *conf, uint64_t seed)
{
	TAILQ_INIT(&ps->open);
	ps->max = conf->limits.bindings;
	ps->all = sim_alloc(ps->max * sizeof(*ps->all));
	ps->out = hash_create("out", ps->max, sizeof(struct spi_key), seed);
	ps->in = hash_create("in", ps->max, sizeof(struct spi_key), seed);
	ps->ike = hash_create("cookie", 4 * conf->limits.ike, sizeof(struct cookie_key), seed);
	return ps->out != NULL && ps->in != NULL && ps->ike != NULL;
}

void
pairs_free(struct pairs *ps)
{
	rte_hash_free(ps->out);
	rte_hash_free(ps->in);
	rte_hash_free(ps->ike);
	free(ps->all);
}

static struct pair *
find(const struct rte_hash *h, rte_be32_t addr, rte_be32_t gateway, rte_be32_t spi, uint8_t proto)
{
	const struct spi_key key = {addr, gateway, spi, proto};
	void *x;

	return rte_hash_lookup_data(h, &key, &x) < 0 ? NULL : x;
}

struct pair *
pairs_find_out(const struct pairs *ps, const struct spinat_ipsec_pkt *p)
{
	return find(ps->out, p->client.addr, p->gateway, p->spi, p->proto);
}

struct pair *
pairs_find_in(const struct pairs *ps, const struct spinat_ipsec_pkt *p)
{
	return find(ps->in, p->outside, p->gateway, p->spi, p->proto);
}

struct pair *
pairs_add(struct pairs *ps, uint64_t now_ms, struct spinat_client client, rte_be32_t outside,
	rte_be32_t gateway)
{
	struct pair *x;

	if (ps->n == ps->max)
		return NULL;
	x = &ps->all[ps->n++];
	*x = (struct pair){
		.client = client, .outside = outside, .gateway = gateway, .last_ms = now_ms};
	TAILQ_INSERT_TAIL(&ps->open, x, next);
	return x;
}

void
pairs_set_out(struct pairs *ps, struct pair *x, const struct spinat_ipsec_pkt *p)
{
	const struct spi_key key = {x->client.addr, x->gateway, p->spi, p->proto};

	x->so = p->spi;
	x->proto = p->proto;
	if (rte_hash_add_key_data(ps->out, &key, x) != 0)
		sim_fail("no room for an outbound SPI");
}

void
pairs_close(struct pairs *ps, struct pair *x)
{
	TAILQ_REMOVE(&ps->open, x, next);
}

void
pairs_set_in(struct pairs *ps, struct pair *x, const struct spinat_ipsec_pkt *p)
{
	const struct spi_key key = {x->outside, x->gateway, p->spi, p->proto};

	x->si = p->spi;
	x->proto = p->proto;
	if (rte_hash_add_key_data(ps->in, &key, x) != 0)
		sim_fail("no room for an inbound SPI");
	pairs_close(ps, x);
	ps->bound++;
}

bool
pairs_next(
	const struct pairs *ps, uint32_t *cursor, struct spinat_binding_row *row, const char *why)
{
	while (*cursor < ps->n) {
		const struct pair *x = &ps->all[(*cursor)++];

		if (x->si == 0)
			continue;
		*row = (struct spinat_binding_row){.client = x->client,
			.outside = x->outside,
			.gateway = x->gateway,
			.spi = x->si,
			.proto = x->proto,
			.dir = SPINAT_IN,
			.state = SPINAT_BINDING_SETTLED,
			.why = why,
			.last_ms = x->last_ms,
			.packets = x->packets};
		return true;
	}
	return false;
}

void
pairs_ike_out(struct pairs *ps, const struct spinat_ipsec_pkt *p, const struct spinat_ike_hdr *h,
	struct spinat_ipsec_decision *d)
{
	const struct cookie_key key = {p->outside, p->gateway, h->init_spi};

	*d = (struct spinat_ipsec_decision){.n = 1, .outside = p->outside};
	if (rte_hash_lookup(ps->ike, &key) < 0 &&
		rte_hash_add_key_data(ps->ike, &key, (void *)(uintptr_t)p->client.addr) != 0)
		sim_fail("no room for a cookie");
}

void
pairs_ike_in(struct pairs *ps, const struct spinat_ipsec_pkt *p, const struct spinat_ike_hdr *h,
	struct spinat_ipsec_decision *d)
{
	const struct cookie_key key = {p->outside, p->gateway, h->init_spi};
	void *addr;

	*d = (struct spinat_ipsec_decision){.outside = p->outside};
	if (rte_hash_lookup_data(ps->ike, &key, &addr) < 0) {
		d->drop = SPINAT_DROP_IKE_UNKNOWN;
		return;
	}
	d->n = 1;
	d->to[0].addr = (uint32_t)(uintptr_t)addr;
}
