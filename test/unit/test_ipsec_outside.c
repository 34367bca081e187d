/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 the spinat authors
 */
#include "test_ipsec.h"
#include "test_ipsec_fixture.h"

/* Which outside address a client gets that turns to a gateway. */

#define POOL_MAX 128
#define G2 RTE_BE32(0xcb007110)

static rte_be32_t pool[POOL_MAX];
static struct spinat_outside_addr slots[256];

/* Outside addresses as the configuration knows them, those of the pool. */
static void
announce(struct spinat_conf *conf, unsigned int n_addrs)
{
	memset(slots, 0, sizeof(slots));
	conf->outside = slots;
	conf->outside_mask = RTE_DIM(slots) - 1;
	conf->outside_shift = 24;
	for (unsigned int i = 0; i < n_addrs; i++) {
		uint32_t at = spinat_conf_outside_slot(conf, pool[i]);

		while (slots[at].kinds != 0)
			at = (at + 1) & conf->outside_mask;
		slots[at] =
			(struct spinat_outside_addr){.addr = pool[i], .kinds = SPINAT_OUTSIDE_POOL};
	}
}

static struct fixture *
create(unsigned int n_addrs)
{
	struct fixture *f = fx_create(1024, 512, 3);

	for (unsigned int i = 0; i < n_addrs; i++)
		pool[i] = rte_cpu_to_be_32(0xc6336440 + i);
	f->conf.pool_addrs = pool;
	f->conf.n_pool_addrs = n_addrs;
	f->conf.realms[0].n_addrs = n_addrs;
	announce(&f->conf, n_addrs);
	return f;
}

static rte_be32_t
propose(struct fixture *f, unsigned int client, rte_be32_t gateway)
{
	return spinat_binder_propose(f->b, &f->conf, f->now, fx_client(client), gateway);
}

/* The client's first ESP, with this outside address; the one that it left with. */
static rte_be32_t
send_from(struct fixture *f, unsigned int client, rte_be32_t gateway, rte_be32_t outside)
{
	const struct spinat_ipsec_pkt p = {.client = fx_client(client),
		.outside = outside,
		.gateway = gateway,
		.spi = rte_cpu_to_be_32(0x1000 + client),
		.seq = 1,
		.proto = IPPROTO_ESP};
	struct spinat_ipsec_decision d;

	spinat_binder_outbound(f->b, &f->conf, f->now, &p, &d);
	ck_assert_uint_eq(d.n, 1);
	return d.outside;
}

static unsigned int
in_pool(rte_be32_t addr, unsigned int n)
{
	for (unsigned int i = 0; i < n; i++)
		if (pool[i] == addr)
			return i;
	ck_abort_msg("an address that is in no pool");
}

START_TEST(clients_of_a_gateway_are_spread_evenly)
{
	static const unsigned int sizes[] = {2, 3, 7, 64};
	const unsigned int n = sizes[_i];
	unsigned int count[POOL_MAX] = {0};
	struct fixture *f = create(n);

	for (unsigned int i = 0; i < 2 * n; i++) {
		const rte_be32_t outside = propose(f, i, FX_G);
		const unsigned int at = in_pool(outside, n);

		ck_assert_uint_eq(count[at], i / n);
		count[at]++;
		if (i % 2 == 0)
			ck_assert_uint_eq(send_from(f, i, FX_G, outside), outside);
	}
	/* another gateway's clients do not count */
	for (unsigned int i = 0; i < n; i++)
		in_pool(propose(f, i, G2), n);
	fx_destroy(f);
}
END_TEST

START_TEST(promise_is_kept_or_moved)
{
	struct fixture *f = create(2);
	const rte_be32_t first = propose(f, 0, FX_G);
	const rte_be32_t other = first == pool[0] ? pool[1] : pool[0];
	struct spinat_binder_stats stats;

	/* asked again before the answer has come */
	ck_assert_uint_eq(propose(f, 0, FX_G), first);
	ck_assert_uint_eq(spinat_binder_outside(f->b, fx_client(0), FX_G), 0);
	/* the client has another address: there it is then, and stays */
	ck_assert_uint_eq(send_from(f, 0, FX_G, other), other);
	ck_assert_uint_eq(spinat_binder_outside(f->b, fx_client(0), FX_G), other);
	ck_assert_uint_eq(send_from(f, 0, FX_G, first), other);
	ck_assert_uint_eq(propose(f, 1, FX_G), first);
	/* whose packet never comes is forgotten */
	spinat_binder_sweep(f->b, &f->conf, f->now, 100000);
	spinat_binder_stats_get(f->b, &stats);
	ck_assert_uint_eq(stats.clients, 1);
	ck_assert_uint_eq(stats.groups, 1);
	fx_destroy(f);
}
END_TEST

START_TEST(who_has_left_for_nat_t_does_not_count)
{
	struct fixture *f = create(2);
	const rte_be32_t first = propose(f, 0, FX_G);
	const rte_be32_t second = propose(f, 1, FX_G);
	struct fx_ike k = {.init_spi = 7, .major = 2, .exchange = SPINAT_IKE2_SA_INIT};
	const struct spinat_ike_hdr h = fx_ike_hdr(&k, true);
	struct spinat_ipsec_decision d;

	ck_assert_uint_ne(first, second);
	send_from(f, 0, FX_G, first);
	for (unsigned int i = 1; i < 3; i++) {
		const struct spinat_ipsec_pkt p = {.client = fx_client(i),
			.outside = second,
			.gateway = FX_G,
			.proto = IPPROTO_UDP};

		spinat_binder_ike_outbound(f->b, &f->conf, f->now, &p, &h, &d);
		k.init_spi++;
	}
	ck_assert_uint_eq(propose(f, 3, FX_G), first);
	spinat_binder_sweep(f->b, &f->conf, f->now, 100000); /* takes the promise back */
	for (unsigned int i = 1; i < 3; i++) {
		const struct spinat_udp_seen seen = {.client = fx_client(i),
			.outside = second,
			.gateway = FX_G,
			.what = SPINAT_IKE_UDP_ESP,
			.dir = SPINAT_OUT,
			.natt = true};

		spinat_binder_udp_seen(f->b, &f->conf, f->now, &seen);
	}
	ck_assert_uint_eq(propose(f, 3, FX_G), second);
	fx_destroy(f);
}
END_TEST

static struct spinat_client renewed;
static rte_be32_t renewed_outside;
static unsigned int n_renewed;

static void
renew(void *ctx __rte_unused, struct spinat_client client, rte_be32_t outside)
{
	renewed = client;
	renewed_outside = outside;
	n_renewed++;
}

START_TEST(lease_is_renewed_while_there_is_state)
{
	const struct spinat_binder_params params = {
		.max_bindings = 1024, .max_ike = 64, .seed = 1, .socket_id = SOCKET_ID_ANY};
	struct fixture *f = create(2);
	rte_be32_t outside;

	spinat_binder_free(f->b);
	f->ops.renew = renew;
	f->b = spinat_binder_create("renewer", &params, &f->ops);
	n_renewed = 0;
	outside = propose(f, 4, FX_G);
	send_from(f, 4, FX_G, outside);
	propose(f, 5, FX_G); /* only a promise */
	for (unsigned int s = 0; s < 600; s++) {
		spinat_binder_sweep(f->b, &f->conf, f->now, 10000);
		f->now += 1000;
	}
	ck_assert_uint_eq(n_renewed, 10);
	ck_assert_uint_eq(renewed.addr, fx_client(4).addr);
	ck_assert_uint_eq(renewed_outside, outside);
	fx_destroy(f);
	ck_assert_uint_le(n_renewed, 12);
}
END_TEST

TCase *
test_ipsec_outside(void)
{
	TCase *t = tcase_create("outside address");

	tcase_add_loop_test(t, clients_of_a_gateway_are_spread_evenly, 0, 4);
	tcase_add_test(t, promise_is_kept_or_moved);
	tcase_add_test(t, who_has_left_for_nat_t_does_not_count);
	tcase_add_test(t, lease_is_renewed_while_there_is_state);
	return t;
}
