/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 the spinat authors
 */
#include "ipsec/binder_state.h"
#include "test_ipsec_fixture.h"
#include "test_state.h"

/* What the binder knows, on its way out and back in. */

#define ROWS 512
#define SPI_IN(i) (0x10000000u + (i))
#define SPI_OUT(i) (0x20000000u + (i))
#define COOKIE(i) (0x1111000000000000ull + (i))
#define DOWN_MS 5000

struct saved {
	struct spinat_ike_sa_row ikes[ROWS];
	struct spinat_spi_row spis[ROWS];
	struct spinat_credit_row credits[ROWS + SPINAT_CREDIT_ROWS];
	uint32_t n_ikes, n_spis, n_credits;
};

static struct saved saved, again;

static void
save(const struct fixture *f, struct saved *s)
{
	uint32_t i;

	s->n_ikes = s->n_spis = s->n_credits = 0;
	for (i = 0; i < spinat_binder_ike_rows(f->b); i++)
		s->n_ikes += spinat_binder_save_ike(f->b, i, f->now, &s->ikes[s->n_ikes]);
	for (i = 0; i < spinat_binder_spi_rows(f->b); i++)
		s->n_spis += spinat_binder_save_spi(f->b, i, f->now, &s->spis[s->n_spis]);
	for (i = 0; i < spinat_binder_credit_rows(f->b); i++)
		s->n_credits +=
			spinat_binder_save_credits(f->b, i, f->now, &s->credits[s->n_credits]);
	ck_assert(s->n_ikes < ROWS && s->n_spis < ROWS && s->n_credits < ROWS);
}

/* How many rows were taken. */
static uint32_t
restore(struct fixture *f, const struct saved *s)
{
	uint32_t i, n = 0;

	for (i = s->n_ikes; i-- > 0;)
		n += spinat_binder_restore_ike(f->b, &f->conf, &s->ikes[i], f->now, DOWN_MS) ==
		     SPINAT_BINDER_RESTORED;
	for (i = s->n_spis; i-- > 0;)
		n += spinat_binder_restore_spi(f->b, &f->conf, &s->spis[i], f->now, DOWN_MS) ==
		     SPINAT_BINDER_RESTORED;
	for (i = s->n_credits; i-- > 0;)
		n += spinat_binder_restore_credit(f->b, &f->conf, &s->credits[i], f->now,
			     DOWN_MS) == SPINAT_BINDER_RESTORED;
	return n;
}

/* A client with IKE and a tunnel whose two SPIs are known to be its own. */
static void
settle(struct fixture *f, unsigned int i)
{
	struct spinat_ipsec_decision d;

	fx_ikev2(f, i, COOKIE(i));
	for (uint32_t seq = 1; seq <= 3; seq++) {
		ck_assert(fx_out(f, i, SPI_OUT(i), seq));
		f->now += 20;
		d = fx_in(f, SPI_IN(i), seq);
		ck_assert(fx_reaches(&d, i));
		f->now += 1000;
	}
}

static int
compare_spi(const void *a, const void *b)
{
	const struct spinat_spi_row *x = a, *y = b;

	return memcmp(&x->spi, &y->spi, sizeof(x->spi));
}

START_TEST(bindings_come_back)
{
	struct fixture *f = fx_create(256, 64, 1);
	struct spinat_ipsec_decision d;
	struct spinat_binder_stats stats;
	struct spinat_client client;
	unsigned int i;

	for (i = 0; i < 8; i++)
		settle(f, i);
	save(f, &saved);
	ck_assert_uint_eq(saved.n_ikes, 8);
	ck_assert_uint_eq(saved.n_spis, 16);
	fx_destroy(f);
	f = fx_create(256, 64, 2);
	ck_assert_uint_eq(restore(f, &saved), saved.n_ikes + saved.n_spis + saved.n_credits);
	ck_assert_uint_eq(f->n_shortcuts, 0);
	save(f, &again);
	ck_assert_uint_eq(again.n_spis, 16);
	qsort(saved.spis, 16, sizeof(saved.spis[0]), compare_spi);
	qsort(again.spis, 16, sizeof(again.spis[0]), compare_spi);
	for (i = 0; i < 16; i++) {
		saved.spis[i].idle_ms += DOWN_MS;
		saved.spis[i].age_ms += DOWN_MS;
		ck_assert_uint_ne(saved.spis[i].peer, 0);
		ck_assert_int_eq(memcmp(&saved.spis[i], &again.spis[i], sizeof(again.spis[i])), 0);
	}
	/* the gateway speaks first, far on in its sequence numbers */
	for (i = 8; i-- > 0;) {
		d = fx_in(f, SPI_IN(i), 5000);
		ck_assert(fx_only(&d, i));
		d = fx_ike_in(f, (struct fx_ike){.init_spi = COOKIE(i),
					 .resp_spi = ~COOKIE(i),
					 .major = 2,
					 .exchange = SPINAT_IKE2_INFORMATIONAL,
					 .encrypted = true});
		ck_assert(fx_only(&d, i));
		ck_assert(spinat_binder_quoted(f->b,
			&(struct spinat_ipsec_pkt){.outside = FX_P,
				.gateway = FX_G,
				.spi = rte_cpu_to_be_32(SPI_OUT(i)),
				.proto = IPPROTO_ESP},
			0, &client));
		ck_assert_uint_eq(client.addr, fx_client(i).addr);
		ck_assert(fx_out(f, i, SPI_OUT(i), 5000));
	}
	spinat_binder_stats_get(f->b, &stats);
	ck_assert_uint_eq(stats.copies, 0);
	ck_assert_uint_eq(stats.bindings, 16);
	ck_assert_uint_eq(stats.ike_sas, 8);
	/* a second time all of it is there already */
	ck_assert_uint_eq(restore(f, &saved), 0);
	fx_destroy(f);
}
END_TEST

/* What an operator has decided is still that, against what two restarts may have made of it. */
START_TEST(orders_come_back)
{
	const struct spinat_order o = {.client = fx_client(1),
		.outside = FX_P,
		.gateway = FX_G,
		.spi = RTE_BE32(SPI_IN(0))};
	struct fixture *f = fx_create(256, 64, 1);
	struct spinat_binding_row row;
	struct spinat_ipsec_decision d;
	unsigned int ordered = 0;
	uint32_t cursor = 0;

	settle(f, 0);
	settle(f, 1);
	ck_assert_int_eq(spinat_binder_order(f->b, &f->conf, f->now, &o), SPINAT_ORDER_DONE);
	for (unsigned int i = 0; i < 2; i++) {
		save(f, &saved);
		fx_destroy(f);
		f = fx_create(256, 64, 1);
		restore(f, &saved);
	}
	while (spinat_binder_next_binding(f->b, &cursor, &row))
		if (strcmp(row.why, "operator") == 0) {
			ordered++;
			ck_assert_uint_eq(row.spi, o.spi);
		}
	ck_assert_uint_eq(ordered, 1);
	d = fx_in(f, SPI_IN(0), 5000);
	ck_assert(fx_only(&d, 1));
	fx_destroy(f);
}
END_TEST

START_TEST(credits_come_back)
{
	struct fixture *f = fx_create(256, 64, 1);
	struct spinat_ipsec_decision d;

	settle(f, 0);
	settle(f, 2);
	fx_ikev2(f, 1, COOKIE(1));
	save(f, &saved);
	ck_assert_uint_ge(saved.n_credits, 1);
	fx_destroy(f);
	f = fx_create(256, 64, 1);
	ck_assert_uint_eq(restore(f, &saved), saved.n_ikes + saved.n_spis + saved.n_credits);
	d = fx_in(f, SPI_IN(1), 1);
	ck_assert(fx_only(&d, 1));
	fx_destroy(f);
	/* without the credits nobody expects it */
	f = fx_create(256, 64, 1);
	saved.n_credits = 0;
	restore(f, &saved);
	d = fx_in(f, SPI_IN(1), 1);
	ck_assert_uint_eq(d.n, 0);
	fx_destroy(f);
}
END_TEST

static struct spinat_binding_row
row_of(const struct fixture *f, uint32_t spi)
{
	struct spinat_binding_row row;
	uint32_t cursor = 0;

	while (spinat_binder_next_binding(f->b, &cursor, &row))
		if (row.spi == rte_cpu_to_be_32(spi))
			return row;
	ck_abort_msg("SPI 0x%x is not there", spi);
}

/* What has settled a short while ago may be wrong, and is not kept before its watch is over. */
START_TEST(watched_binding_stays_behind)
{
	static const unsigned int pauses[] = {170, 410, 240, 580, 330};
	struct fixture *f = fx_create(ROWS, ROWS, 3);
	uint32_t seq = 1;

	for (unsigned int i = 0; i < 2; i++)
		ck_assert(fx_out(f, i, SPI_OUT(i), 1));
	f->now += 20;
	do {
		fx_in(f, SPI_IN(0), seq++);
		f->now += 2;
		ck_assert(fx_out(f, 0, SPI_OUT(0), seq)); /* answers */
		f->now += pauses[seq % RTE_DIM(pauses)];
		ck_assert_uint_lt(seq, 100);
	} while (row_of(f, SPI_IN(0)).state != SPINAT_BINDING_SETTLED);
	ck_assert_uint_eq(row_of(f, SPI_IN(0)).n_candidates, 2);
	save(f, &saved);
	ck_assert_uint_eq(saved.n_spis, 2);
	while (row_of(f, SPI_IN(0)).n_candidates != 0) {
		fx_in(f, SPI_IN(0), seq++);
		f->now += 2;
		ck_assert(fx_out(f, 0, SPI_OUT(0), seq));
		f->now += pauses[seq % RTE_DIM(pauses)];
		ck_assert_uint_lt(seq, 200);
	}
	save(f, &saved);
	ck_assert_uint_eq(saved.n_spis, 3);
	fx_destroy(f);
}
END_TEST

static struct spinat_spi_row spi_row(unsigned int client, uint32_t spi, enum spinat_dir dir);

/* Two clients that chose the same SPI both get it again. */
START_TEST(shared_binding_comes_back)
{
	struct fixture *f = fx_create(16, 16, 1);
	struct spinat_spi_row row = spi_row(0, SPI_IN(0), SPINAT_IN);
	struct spinat_ipsec_decision d;

	row.second = fx_client(1).addr;
	ck_assert_int_eq(spinat_binder_restore_spi(f->b, &f->conf, &row, f->now, DOWN_MS),
		SPINAT_BINDER_RESTORED);
	row = spi_row(1, SPI_OUT(1), SPINAT_OUT);
	ck_assert_int_eq(spinat_binder_restore_spi(f->b, &f->conf, &row, f->now, DOWN_MS),
		SPINAT_BINDER_RESTORED);
	for (uint32_t seq = 100; seq < 103; seq++) {
		d = fx_in(f, SPI_IN(0), seq);
		ck_assert(d.n == 2 && fx_reaches(&d, 0) && fx_reaches(&d, 1));
	}
	save(f, &saved);
	ck_assert_uint_eq(saved.n_spis, 2);
	ck_assert_uint_eq(saved.spis[0].second + saved.spis[1].second, fx_client(1).addr);
	fx_destroy(f);
}
END_TEST

static struct spinat_spi_row
spi_row(unsigned int client, uint32_t spi, enum spinat_dir dir)
{
	return (struct spinat_spi_row){
		.owner = {.client = fx_client(client).addr,
			.outside = FX_P,
			.gateway = FX_G,
			.proto = IPPROTO_ESP,
			.flags = SPINAT_ROW_LIVE},
		.spi = rte_cpu_to_be_32(spi),
		.dir = dir,
		.seq_first = 1,
		.seq_last = 1,
	};
}

START_TEST(rows_that_can_not_be)
{
	struct fixture *f = fx_create(16, 16, 1);
	struct spinat_spi_row row = spi_row(0, SPI_IN(0), SPINAT_IN);
	unsigned int i;

#define RESTORE(row) spinat_binder_restore_spi(f->b, &f->conf, &(row), f->now, DOWN_MS)
	ck_assert_int_eq(RESTORE(row), SPINAT_BINDER_RESTORED);
	row.owner.client = fx_client(1).addr; /* an SPI has one client */
	ck_assert_int_eq(RESTORE(row), SPINAT_BINDER_CLASH);
	row = spi_row(2, SPI_IN(2), SPINAT_IN);
	row.owner.outside = RTE_BE32(0xc6336402);
	ck_assert_int_eq(RESTORE(row), SPINAT_BINDER_FORBIDDEN);
	fx_outside(f, row.owner.outside, 0);
	row.owner.client = fx_client(0).addr; /* and a client one outside address */
	ck_assert_int_eq(RESTORE(row), SPINAT_BINDER_CLASH);
	row = spi_row(2, SPI_IN(2), SPINAT_IN);
	row.owner.realm = 2;
	ck_assert_int_eq(RESTORE(row), SPINAT_BINDER_INVALID);
	row = spi_row(2, 255, SPINAT_IN);
	ck_assert_int_eq(RESTORE(row), SPINAT_BINDER_INVALID);
	row = spi_row(2, SPI_IN(2), 2);
	ck_assert_int_eq(RESTORE(row), SPINAT_BINDER_INVALID);
	row = spi_row(2, SPI_IN(2), SPINAT_OUT);
	row.owner.proto = IPPROTO_AH; /* this realm refuses it */
	ck_assert_int_eq(RESTORE(row), SPINAT_BINDER_FORBIDDEN);
	row = spi_row(2, SPI_IN(2), SPINAT_OUT);
	row.idle_ms = 3600 * 1000;
	ck_assert_int_eq(RESTORE(row), SPINAT_BINDER_EXPIRED);
	for (i = 1; i < 16; i++) {
		row = spi_row(i % 4, SPI_IN(i), SPINAT_IN);
		ck_assert_int_eq(RESTORE(row), SPINAT_BINDER_RESTORED);
	}
	row = spi_row(1, SPI_IN(16), SPINAT_IN);
	ck_assert_int_eq(RESTORE(row), SPINAT_BINDER_FULL);
	row = spi_row(9, SPI_IN(16), SPINAT_IN);
	ck_assert_int_eq(RESTORE(row), SPINAT_BINDER_FULL);
	fx_destroy(f);
}
END_TEST

/* Whatever stands in rows, nothing breaks, and all of it ages away. */
START_TEST(random_rows)
{
	struct fixture *f = fx_create(64, 32, 1);
	unsigned int restored = 0;
	union {
		struct spinat_row_owner owner;
		struct spinat_ike_sa_row ike;
		struct spinat_spi_row spi;
		struct spinat_credit_row credit;
		uint8_t bytes[96];
	} row;

	for (int i = 0; i < 100000; i++) {
		for (size_t k = 0; k < sizeof(row); k++)
			row.bytes[k] = fx_random(f, 4) == 0 ? fx_random(f, 256) : fx_random(f, 3);
		row.owner.client = fx_client(fx_random(f, 8)).addr;
		row.owner.outside = FX_P;
		row.owner.gateway = FX_G;
		row.owner.realm = fx_random(f, 20) == 0;
		row.owner.proto = fx_random(f, 8) == 0 ? fx_random(f, 256) : IPPROTO_ESP;
		switch (fx_random(f, 3)) {
		case 0:
			row.ike.idle_ms = row.ike.age_ms = fx_random(f, 100000000);
			row.ike.init_spi = fx_random(f, 40);
			restored += spinat_binder_restore_ike(f->b, &f->conf, &row.ike, f->now,
					    DOWN_MS) == SPINAT_BINDER_RESTORED;
			break;
		case 1:
			row.spi.idle_ms = row.spi.age_ms = fx_random(f, 10000000);
			row.spi.spi = rte_cpu_to_be_32(250 + fx_random(f, 60));
			row.spi.peer = rte_cpu_to_be_32(250 + fx_random(f, 60));
			restored += spinat_binder_restore_spi(f->b, &f->conf, &row.spi, f->now,
					    DOWN_MS) == SPINAT_BINDER_RESTORED;
			break;
		default:
			row.credit.age_ms = fx_random(f, 20000000);
			row.credit.init_spi = fx_random(f, 40);
			row.credit.spi = rte_cpu_to_be_32(250 + fx_random(f, 60));
			restored += spinat_binder_restore_credit(f->b, &f->conf, &row.credit,
					    f->now, DOWN_MS) == SPINAT_BINDER_RESTORED;
		}
		/* life goes on in between */
		f->now += fx_random(f, 20);
		fx_in(f, 250 + fx_random(f, 60), fx_random(f, 1000));
		fx_out(f, fx_random(f, 8), 250 + fx_random(f, 60), fx_random(f, 1000));
		if (i % 1000 == 0) {
			f->now += 2000000;
			spinat_binder_sweep(f->b, &f->conf, f->now, 1000);
		}
	}
	ck_assert_uint_gt(restored, 500);
	save(f, &saved);
	fx_destroy(f);
}
END_TEST

TCase *
test_state_binder(void)
{
	TCase *tc = tcase_create("binder");

	tcase_set_timeout(tc, 60);
	tcase_add_test(tc, bindings_come_back);
	tcase_add_test(tc, orders_come_back);
	tcase_add_test(tc, credits_come_back);
	tcase_add_test(tc, watched_binding_stays_behind);
	tcase_add_test(tc, shared_binding_comes_back);
	tcase_add_test(tc, rows_that_can_not_be);
	tcase_add_test(tc, random_rows);
	return tc;
}
