/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 the spinat authors
 */
#include <arpa/inet.h>
#include <netinet/in.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <rte_cycles.h>
#include <rte_random.h>

#include "datapath/engine.h"
#include "nat/hash.h"
#include "state/state.h"
#include "test_state.h"

/* A whole checkpoint, turn by turn, of an engine without devices, and one while a worker works. */

static const char *const settings =
	"limits = { sessions = 8192; clients = 1024; bindings = 64; ike = 64; };"
	"checkpoint = { file = \"%s\"; interval = 10; };";

static uint32_t
no_shortcut(void *ctx __rte_unused, const struct spinat_shortcut *s __rte_unused)
{
	return SPINAT_SHORTCUT_NONE;
}

static struct spinat_engine *
engine_open(const char *path)
{
	const struct spinat_binder_params params = {
		.max_bindings = 64, .max_ike = 64, .seed = 1, .socket_id = SOCKET_ID_ANY};
	const struct spinat_binder_ops ops = {.install = no_shortcut};
	struct spinat_engine *e = calloc(1, sizeof(*e));
	struct spinat_worker *w;
	char text[512];

	ck_assert_ptr_nonnull(e);
	ck_assert_int_eq(posix_memalign((void **)&w, RTE_CACHE_LINE_SIZE, sizeof(*w)), 0);
	memset(w, 0, sizeof(*w));
	e->workers[0] = w;
	pthread_mutex_init(&e->control_lock, NULL);
	e->snapshot = calloc(1, sizeof(*e->snapshot));
	snprintf(text, sizeof(text), settings, path);
	e->snapshot->conf = test_conf(text);
	e->n_workers = 1;
	e->qsbr = test_qsbr;
	e->pools = spinat_pools_create(64);
	ck_assert_int_eq(spinat_pools_attach(e->pools, e->snapshot->conf), 0);
	e->tsc_per_ms = rte_get_tsc_hz() / 1000;
	e->start_tsc = rte_rdtsc() - SPINAT_CLOCK_START_MS * e->tsc_per_ms;
	w->nat = spinat_nat_create(e->snapshot->conf, 0, 1, e->pools, e->qsbr, SOCKET_ID_ANY);
	w->binder = spinat_binder_create("state", &params, &ops);
	ck_assert(w->nat != NULL && w->binder != NULL);
	return e;
}

static void
engine_close(struct spinat_engine *e)
{
	spinat_binder_free(e->workers[0]->binder);
	spinat_nat_free(e->workers[0]->nat);
	free(e->workers[0]);
	spinat_pools_free(e->pools);
	spinat_conf_free(e->snapshot->conf);
	free(e->snapshot);
	pthread_mutex_destroy(&e->control_lock);
	free(e);
}

/* All fields of a flow follow from its number, so that a torn copy shows. */
static struct spinat_meta
numbered(uint16_t n)
{
	return (struct spinat_meta){
		.key = {.src = rte_cpu_to_be_32(0x0a000100u + n % 256),
			.dst = rte_cpu_to_be_32(0xc6330000u + n),
			.sport = rte_cpu_to_be_16(n),
			.dport = rte_cpu_to_be_16(n ^ 0x5555),
			.proto = IPPROTO_UDP,
			.dir = SPINAT_OUT},
		.kind = SPINAT_KIND_FLOW,
	};
}

static void
check_row(const struct spinat_nat_row *row)
{
	const uint16_t n = rte_be_to_cpu_16(row->in_port);
	const struct spinat_meta m = numbered(n);

	ck_assert_uint_eq(row->in_addr, m.key.src);
	ck_assert_uint_eq(row->remote_addr, m.key.dst);
	ck_assert_uint_eq(row->remote_port, m.key.dport);
	ck_assert_uint_eq(row->out_addr, test_ip("192.0.2.2"));
	ck_assert_uint_ne(row->out_port, 0);
	ck_assert_uint_eq(row->proto, IPPROTO_UDP);
	ck_assert_uint_lt(row->age_s, 1000000);
	ck_assert_uint_lt(row->idle_s, 1000000);
}

static enum spinat_drop
open_numbered(struct spinat_engine *e, uint16_t n)
{
	const struct spinat_meta m = numbered(n);
	struct spinat_flow *f = spinat_table_find(e->workers[0]->nat->table, &m.key);

	if (f != NULL)
		return SPINAT_DROP_NONE;
	return spinat_nat_outbound(
		e->workers[0]->nat, e->snapshot->conf, &m, spinat_engine_now_ms(e) / 1000, &f);
}

/* Turns until a checkpoint has ended. */
static enum spinat_state_end
run(struct spinat_state *s, uint64_t now_ms)
{
	enum spinat_state_end end;

	for (int turns = 0; turns < 1000000; turns++) {
		end = spinat_state_turn(s, now_ms);
		if (end != SPINAT_STATE_GOES_ON)
			return end;
		if (turns > 100)
			usleep(100);
	}
	ck_abort_msg("it never ends");
}

START_TEST(whole_checkpoint)
{
	struct spinat_engine *e = engine_open(test_path);
	struct spinat_state *s = spinat_state_create(e);
	const struct spinat_state_stats *stats = spinat_state_stats_get(s);
	const uint64_t now_ms = spinat_engine_now_ms(e);
	struct spinat_conf_error err;

	unlink(test_path);
	ck_assert_int_eq(spinat_state_restore(s, &err), 0); /* there is none */
	ck_assert(!stats->found);
	for (uint16_t n = 2000; n < 7000; n++)
		ck_assert_int_eq(open_numbered(e, n), SPINAT_DROP_NONE);
	for (int i = 0; i < 10000; i++) /* not due, not asked for */
		ck_assert_int_eq(spinat_state_turn(s, now_ms), SPINAT_STATE_GOES_ON);
	ck_assert_int_eq(run(s, now_ms + 11000), SPINAT_STATE_ENDED);
	ck_assert_uint_eq(stats->written, 1);
	ck_assert_uint_eq(stats->rows[SPINAT_STATE_FLOWS], 5000);
	ck_assert_int_eq(spinat_state_turn(s, now_ms + 12000), SPINAT_STATE_GOES_ON);
	spinat_state_want(s);
	ck_assert_int_eq(run(s, now_ms + 13000), SPINAT_STATE_ENDED_WANTED);
	/* asked for while one is under way: that one may miss what was before the request */
	spinat_state_turn(s, now_ms + 30000);
	spinat_state_want(s);
	ck_assert_int_eq(run(s, now_ms + 30000), SPINAT_STATE_ENDED);
	ck_assert_int_eq(run(s, now_ms + 30000), SPINAT_STATE_ENDED_WANTED);
	ck_assert_int_eq(open_numbered(e, 7000), SPINAT_DROP_NONE);
	ck_assert_int_eq(spinat_state_finish(s), 0);
	ck_assert_uint_eq(stats->written, 5);
	spinat_state_free(s);
	engine_close(e);

	e = engine_open(test_path);
	s = spinat_state_create(e);
	stats = spinat_state_stats_get(s);
	ck_assert_int_eq(spinat_state_restore(s, &err), 0);
	ck_assert(stats->found);
	ck_assert_uint_eq(stats->restored[SPINAT_STATE_FLOWS], 5001);
	ck_assert_uint_eq(e->workers[0]->nat->sessions, 5001);
	spinat_state_free(s);
	engine_close(e);
	unlink(test_path);
}
END_TEST

START_TEST(failed_checkpoint)
{
	struct spinat_engine *e = engine_open("/nonexistent/state");
	struct spinat_state *s = spinat_state_create(e);
	const struct spinat_state_stats *stats = spinat_state_stats_get(s);

	spinat_state_want(s);
	ck_assert_int_eq(run(s, spinat_engine_now_ms(e)), SPINAT_STATE_ENDED_WANTED);
	ck_assert_uint_eq(stats->written, 0);
	ck_assert_uint_eq(stats->failures, 1);
	ck_assert_ptr_nonnull(strstr(stats->error.text, "/nonexistent/state"));
	ck_assert_int_lt(spinat_state_finish(s), 0);
	ck_assert_uint_eq(stats->failures, 2);
	spinat_state_free(s);
	engine_close(e);
}
END_TEST

/* A worker that opens and closes flows as fast as it can, so that their memory is reused all the
 * time. */
struct churn {
	struct spinat_engine *e;
	bool stop;
	uint64_t closed;
};

static void *
churn(void *arg)
{
	struct churn *c = arg;
	struct spinat_nat *nat = c->e->workers[0]->nat;
	uint32_t at = 0;

	rte_rcu_qsbr_thread_online(test_qsbr, 0);
	while (!__atomic_load_n(&c->stop, __ATOMIC_RELAXED)) {
		for (int i = 0; i < 32; i++) /* the table may be full of what waits for readers */
			open_numbered(c->e, 2000 + rte_rand() % 4000);
		for (int i = 0; i < 32 && nat->sessions > 500; i++) {
			struct spinat_flow *f = &nat->table->flows[at++ % nat->table->high];

			if (f->type != SPINAT_FLOW_FREE && spinat_nat_remove(nat, f) == 0)
				c->closed++;
		}
		spinat_table_reclaim(nat->table, 64);
		rte_rcu_qsbr_quiescent(test_qsbr, 0);
	}
	rte_rcu_qsbr_thread_offline(test_qsbr, 0);
	return NULL;
}

/* Every row in the file is of one flow; how many there are. */
static uint32_t
check_file(void)
{
	struct spinat_state_image image;
	struct spinat_conf_error err;
	uint32_t n;

	ck_assert_int_eq(spinat_state_file_read(test_path, "unit", &image, &err), 0);
	n = image.header->rows[SPINAT_STATE_FLOWS];
	for (uint32_t i = 0; i < n; i++)
		check_row((const struct spinat_nat_row *)image.rows[SPINAT_STATE_FLOWS] + i);
	spinat_state_image_free(&image);
	return n;
}

START_TEST(rows_are_whole_while_flows_come_and_go)
{
	struct spinat_engine *e = engine_open(test_path);
	struct spinat_state *s = spinat_state_create(e);
	struct churn c = {.e = e};
	uint64_t rows = 0;
	pthread_t thread;

	rte_rcu_qsbr_thread_register(test_qsbr, 0);
	rte_rcu_qsbr_thread_register(test_qsbr, SPINAT_READER_CONTROL);
	ck_assert_int_eq(pthread_create(&thread, NULL, churn, &c), 0);
	while (rows < 20000) {
		spinat_state_want(s);
		ck_assert_int_eq(run(s, spinat_engine_now_ms(e)), SPINAT_STATE_ENDED_WANTED);
		rows += check_file();
	}
	__atomic_store_n(&c.stop, true, __ATOMIC_RELAXED);
	pthread_join(thread, NULL);
	ck_assert_uint_gt(c.closed, 1000);
	rte_rcu_qsbr_thread_unregister(test_qsbr, SPINAT_READER_CONTROL);
	rte_rcu_qsbr_thread_unregister(test_qsbr, 0);
	spinat_state_free(s);
	engine_close(e);
	unlink(test_path);
}
END_TEST

TCase *
test_state_save(void)
{
	TCase *tc = tcase_create("save");

	tcase_set_timeout(tc, 60);
	tcase_add_test(tc, whole_checkpoint);
	tcase_add_test(tc, failed_checkpoint);
	tcase_add_test(tc, rows_are_whole_while_flows_come_and_go);
	return tc;
}
