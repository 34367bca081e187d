/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 the spinat authors
 */
#ifndef SPINAT_TEST_IPSEC_FIXTURE_H
#define SPINAT_TEST_IPSEC_FIXTURE_H

#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <check.h>
#include <rte_eal.h>

#include "ipsec/binder.h"
#include "packet/packet.h"

/*
 * A binder with a flow table of its own: packets take a shortcut where one is in, as in the data
 * path, else the binder. Every shortcut put in must be taken out, by the handle it was given.
 */

#define FX_SHORTCUTS 4096
#define FX_P RTE_BE32(0xc6336401) /* 198.51.100.1 */
#define FX_G RTE_BE32(0xcb007109) /* 203.0.113.9 */

struct fixture {
	struct spinat_conf conf;
	struct spinat_outside_addr outside[4];
	struct spinat_binder *b;
	struct spinat_binder_ops ops;
	struct {
		struct spinat_shortcut s;
		bool used, goes_back;
		uint64_t last_ms, packets, bytes;
	} shortcut[FX_SHORTCUTS];
	uint32_t n_shortcuts, max_shortcuts;
	uint32_t n_asked; /* inbound packets that no shortcut took */
	uint64_t now;
	uint64_t random;
};

static inline uint32_t
fx_random(struct fixture *f, uint32_t below)
{
	f->random = f->random * 6364136223846793005ull + 1442695040888963407ull;
	return (uint32_t)(f->random >> 33) % below;
}

static uint32_t
fx_install(void *ctx, const struct spinat_shortcut *s)
{
	struct spinat_shortcut was;
	struct fixture *f = ctx;
	uint32_t i;

	for (i = 0; i < f->max_shortcuts; i++) {
		if (f->shortcut[i].used) {
			was = f->shortcut[i].s;
			was.seq = s->seq;
			ck_assert_int_ne(memcmp(&was, s, sizeof(was)), 0);
			continue;
		}
		memset(&f->shortcut[i], 0, sizeof(f->shortcut[i]));
		f->shortcut[i].s = *s;
		f->shortcut[i].used = true;
		f->shortcut[i].last_ms = f->now;
		f->n_shortcuts++;
		return i;
	}
	return SPINAT_SHORTCUT_NONE;
}

static void
fx_remove(void *ctx, uint32_t handle)
{
	struct fixture *f = ctx;

	ck_assert_uint_lt(handle, FX_SHORTCUTS);
	ck_assert(f->shortcut[handle].used);
	f->shortcut[handle].used = false;
	f->n_shortcuts--;
}

static uint64_t
fx_last_used(void *ctx, uint32_t handle)
{
	struct fixture *f = ctx;

	ck_assert(f->shortcut[handle].used);
	return f->shortcut[handle].last_ms;
}

static void
fx_count(void *ctx, uint32_t handle, uint64_t *packets, uint64_t *bytes)
{
	struct fixture *f = ctx;

	ck_assert(f->shortcut[handle].used);
	*packets = f->shortcut[handle].packets;
	*bytes = f->shortcut[handle].bytes;
}

static uint32_t
fx_last_seq(void *ctx, uint32_t handle)
{
	struct fixture *f = ctx;

	ck_assert(f->shortcut[handle].used);
	ck_assert_int_eq(f->shortcut[handle].s.dir, SPINAT_IN);
	return f->shortcut[handle].s.seq;
}

static void
fx_set_seq(void *ctx, uint32_t handle, uint32_t seq)
{
	struct fixture *f = ctx;

	ck_assert(f->shortcut[handle].used);
	f->shortcut[handle].s.seq = seq;
	f->shortcut[handle].goes_back = true;
}

static inline void
fx_outside(struct fixture *f, rte_be32_t addr, uint16_t realm)
{
	uint32_t i = spinat_conf_outside_slot(&f->conf, addr);

	while (f->outside[i].kinds != 0)
		i = (i + 1) & f->conf.outside_mask;
	f->outside[i] = (struct spinat_outside_addr){
		.addr = addr, .kinds = SPINAT_OUTSIDE_POOL, .realm = realm};
}

static inline struct fixture *
fx_create(uint32_t max_bindings, uint32_t max_ike, uint64_t seed)
{
	/* a test that failed leaves its binder behind */
	static unsigned int serial;
	struct fixture *f = calloc(1, sizeof(*f));
	char name[16];
	struct spinat_binder_params params = {
		.max_bindings = max_bindings,
		.max_ike = max_ike,
		.seed = seed,
		.socket_id = SOCKET_ID_ANY,
	};

	ck_assert_ptr_nonnull(f);
	f->conf.n_realms = 2;
	f->conf.realms[0].esp_without_ike = true;
	f->conf.realms[1].id = 1;
	f->conf.realms[1].esp_without_ike = true;
	f->conf.timeouts.esp = 3600;
	f->conf.timeouts.ike = 14400;
	f->conf.timeouts.candidate = 14400;
	f->conf.limits.bindings_per_client = 64;
	f->conf.limits.bindings_per_gateway = 4096;
	f->conf.limits.copies = 16;
	f->conf.limits.copies_per_spi = 4096;
	f->conf.limits.copies_per_gateway = 5000;
	f->conf.limits.copies_per_second = 20000;
	f->conf.outside = f->outside;
	f->conf.outside_mask = RTE_DIM(f->outside) - 1;
	f->conf.outside_shift = 30;
	fx_outside(f, FX_P, 0);
	f->now = 1000000;
	f->random = seed;
	f->max_shortcuts = FX_SHORTCUTS;
	f->ops = (struct spinat_binder_ops){.install = fx_install,
		.remove = fx_remove,
		.last_used = fx_last_used,
		.count = fx_count,
		.last_seq = fx_last_seq,
		.set_seq = fx_set_seq,
		.ctx = f};
	snprintf(name, sizeof(name), "test%u", serial++);
	f->b = spinat_binder_create(name, &params, &f->ops);
	ck_assert_ptr_nonnull(f->b);
	return f;
}

/** Ages everything away: nothing may be left, no shortcut may leak. */
static inline void
fx_destroy(struct fixture *f)
{
	struct spinat_binder_stats stats;
	struct spinat_binding_row row;
	uint32_t cursor = 0;
	int i;

	for (i = 0; i < 4; i++) {
		f->now += 2ull * 14400 * 1000;
		spinat_binder_sweep(f->b, &f->conf, f->now, 1000000);
	}
	spinat_binder_stats_get(f->b, &stats);
	ck_assert_uint_eq(stats.bindings, 0);
	ck_assert_uint_eq(stats.ike_sas, 0);
	ck_assert_uint_eq(stats.clients, 0);
	ck_assert_uint_eq(stats.groups, 0);
	ck_assert(!spinat_binder_next_binding(f->b, &cursor, &row));
	ck_assert_uint_eq(f->n_shortcuts, 0);
	spinat_binder_free(f->b);
	free(f);
}

static inline struct spinat_client
fx_client(unsigned int i)
{
	return (struct spinat_client){.addr = rte_cpu_to_be_32(0x0a000001 + i)};
}

static inline bool
fx_shortcut(struct fixture *f, enum spinat_dir dir, struct spinat_client client, uint32_t spi,
	uint32_t seq, struct spinat_client *to)
{
	uint32_t i;

	for (i = 0; i < f->max_shortcuts; i++) {
		struct spinat_shortcut *s = &f->shortcut[i].s;

		if (!f->shortcut[i].used || s->dir != dir || s->spi != rte_cpu_to_be_32(spi))
			continue;
		if (dir == SPINAT_OUT && s->client.addr != client.addr)
			continue;
		if (dir == SPINAT_IN && spinat_seq_is_back(s->seq, seq, f->shortcut[i].goes_back))
			return false;
		s->seq = RTE_MAX(s->seq, seq);
		f->shortcut[i].last_ms = f->now;
		f->shortcut[i].packets++;
		*to = s->client;
		return true;
	}
	return false;
}

/** ESP from a client; true where it may go out. */
static inline bool
fx_out(struct fixture *f, unsigned int client, uint32_t spi, uint32_t seq)
{
	struct spinat_ipsec_pkt p = {.client = fx_client(client),
		.outside = FX_P,
		.gateway = FX_G,
		.spi = rte_cpu_to_be_32(spi),
		.seq = seq,
		.len = 100,
		.proto = IPPROTO_ESP,
		.ttl = 64};
	struct spinat_ipsec_decision d;
	struct spinat_client to;

	if (fx_shortcut(f, SPINAT_OUT, p.client, spi, seq, &to))
		return true;
	spinat_binder_outbound(f->b, &f->conf, f->now, &p, &d);
	ck_assert_int_eq(d.n, d.drop == SPINAT_DROP_NONE);
	return d.n == 1;
}

/** ESP from the gateway. */
static inline struct spinat_ipsec_decision
fx_in(struct fixture *f, uint32_t spi, uint32_t seq)
{
	struct spinat_ipsec_pkt p = {.outside = FX_P,
		.gateway = FX_G,
		.spi = rte_cpu_to_be_32(spi),
		.seq = seq,
		.len = 100,
		.proto = IPPROTO_ESP,
		.ttl = 60};
	struct spinat_ipsec_decision d = {.n = 1};

	if (fx_shortcut(f, SPINAT_IN, (struct spinat_client){0}, spi, seq, &d.to[0]))
		return d;
	f->n_asked++;
	spinat_binder_inbound(f->b, &f->conf, f->now, &p, &d);
	ck_assert((d.n > 0) == (d.drop == SPINAT_DROP_NONE));
	ck_assert_uint_le(d.n, SPINAT_FANOUT_MAX);
	return d;
}

static inline bool
fx_reaches(const struct spinat_ipsec_decision *d, unsigned int client)
{
	unsigned int i;

	for (i = 0; i < d->n; i++)
		if (d->to[i].addr == fx_client(client).addr)
			return true;
	return false;
}

static inline bool
fx_only(const struct spinat_ipsec_decision *d, unsigned int client)
{
	return d->n == 1 && fx_reaches(d, client);
}

/** An IKE header: what matters of a message. */
struct fx_ike {
	uint64_t init_spi, resp_spi;
	uint32_t message_id, length;
	uint8_t major, exchange;
	bool response, encrypted;
};

static inline struct spinat_ike_hdr
fx_ike_hdr(const struct fx_ike *k, bool from_initiator)
{
	return (struct spinat_ike_hdr){
		.init_spi = k->init_spi,
		.resp_spi = k->resp_spi,
		.message_id = k->message_id,
		.length = k->length != 0 ? k->length : 200,
		.major = k->major,
		.exchange = k->exchange,
		.response = k->response,
		.encrypted = k->encrypted,
		.initiator = k->major == 2 && from_initiator,
	};
}

static inline bool
fx_ike_out(struct fixture *f, unsigned int client, struct fx_ike k)
{
	struct spinat_ipsec_pkt p = {.client = fx_client(client),
		.outside = FX_P,
		.gateway = FX_G,
		.len = 300,
		.proto = IPPROTO_UDP,
		.ttl = 64};
	struct spinat_ike_hdr h = fx_ike_hdr(&k, true);
	struct spinat_ipsec_decision d;

	spinat_binder_ike_outbound(f->b, &f->conf, f->now, &p, &h, &d);
	return d.n == 1;
}

static inline struct spinat_ipsec_decision
fx_ike_in(struct fixture *f, struct fx_ike k)
{
	struct spinat_ipsec_pkt p = {
		.outside = FX_P, .gateway = FX_G, .len = 300, .proto = IPPROTO_UDP, .ttl = 60};
	struct spinat_ike_hdr h = fx_ike_hdr(&k, false);
	struct spinat_ipsec_decision d;

	spinat_binder_ike_inbound(f->b, &f->conf, f->now, &p, &h, &d);
	return d;
}

/** IKEv2 SA_INIT and IKE_AUTH of a client, 20 ms a round trip: one credit. */
static inline void
fx_ikev2(struct fixture *f, unsigned int client, uint64_t init_spi)
{
	struct fx_ike k = {.init_spi = init_spi, .major = 2, .exchange = SPINAT_IKE2_SA_INIT};
	struct spinat_ipsec_decision d;

	ck_assert(fx_ike_out(f, client, k));
	f->now += 20;
	k.response = true;
	k.resp_spi = ~init_spi;
	d = fx_ike_in(f, k);
	ck_assert(fx_only(&d, client));
	k = (struct fx_ike){.init_spi = init_spi,
		.resp_spi = ~init_spi,
		.major = 2,
		.exchange = SPINAT_IKE2_AUTH,
		.message_id = 1,
		.encrypted = true};
	ck_assert(fx_ike_out(f, client, k));
	f->now += 20;
	k.response = true;
	d = fx_ike_in(f, k);
	ck_assert(fx_only(&d, client));
}

/** IKEv1 Main Mode and Quick Mode of a client, up to but without the third Quick Mode message. */
static inline void
fx_ikev1(struct fixture *f, unsigned int client, uint64_t init_spi)
{
	struct fx_ike k = {.init_spi = init_spi, .major = 1, .exchange = SPINAT_IKE1_MAIN};
	struct spinat_ipsec_decision d;
	int i;

	for (i = 0; i < 3; i++) {
		k.encrypted = i == 2;
		ck_assert(fx_ike_out(f, client, k));
		f->now += 20;
		k.resp_spi = ~init_spi;
		d = fx_ike_in(f, k);
		ck_assert(fx_only(&d, client));
	}
	k.exchange = SPINAT_IKE1_QUICK;
	k.message_id = 77;
	ck_assert(fx_ike_out(f, client, k));
	f->now += 20;
	d = fx_ike_in(f, k);
	ck_assert(fx_only(&d, client));
}

static inline void
fx_ikev1_last(struct fixture *f, unsigned int client, uint64_t init_spi)
{
	ck_assert(fx_ike_out(f, client,
		(struct fx_ike){.init_spi = init_spi,
			.resp_spi = ~init_spi,
			.major = 1,
			.exchange = SPINAT_IKE1_QUICK,
			.message_id = 77,
			.length = 60,
			.encrypted = true}));
}

static inline int
fx_main(Suite *suite)
{
	char *argv[] = {"test", "--no-huge", "--no-shconf", "--no-pci", "--no-telemetry", "-m",
		"512", "-l", "0", "--log-level=error", NULL};
	SRunner *runner;
	int failed;

	if (rte_eal_init(RTE_DIM(argv) - 1, argv) < 0)
		return EXIT_FAILURE;
	runner = srunner_create(suite);
	srunner_set_fork_status(runner, CK_NOFORK);
	srunner_run_all(runner, CK_ENV);
	failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	rte_eal_cleanup();
	return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}

#endif
