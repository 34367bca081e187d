/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 the spinat authors
 */
#include <arpa/inet.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <rte_tcp.h>

#include "nat/hash.h"
#include "nat/restore.h"
#include "test_state.h"

/* Flows on their way out of the tables and back in. */

#define WORKERS_MAX 4
#define NOW 1000000u

static const char *const rules =
	"redirect = ( { protocol = \"tcp\"; port = 8080; inside = \"10.0.0.60\"; inside_port = 80; "
	"} );"
	"static = ( { inside = \"10.0.0.61\"; outside = \"192.0.2.61\"; } );"
	"limits = { sessions = 65536; clients = 1024; bindings = 16; };";

struct box {
	struct spinat_conf *conf;
	struct spinat_pools *pools;
	struct spinat_nat *nat[WORKERS_MAX];
	uint16_t n_workers;
};

static void
box_open(struct box *b, const char *more, uint16_t n_workers)
{
	b->conf = test_conf(more);
	b->pools = spinat_pools_create(64);
	ck_assert_int_eq(spinat_pools_attach(b->pools, b->conf), 0);
	b->n_workers = n_workers;
	for (uint16_t i = 0; i < n_workers; i++) {
		b->nat[i] = spinat_nat_create(
			b->conf, i, n_workers, b->pools, test_qsbr, SOCKET_ID_ANY);
		ck_assert_ptr_nonnull(b->nat[i]);
	}
}

static void
box_close(struct box *b)
{
	for (uint16_t i = 0; i < b->n_workers; i++)
		spinat_nat_free(b->nat[i]);
	spinat_pools_free(b->pools);
	spinat_conf_free(b->conf);
}

static struct spinat_flow *
open_flow(struct box *b, uint8_t proto, enum spinat_dir dir, const char *src, uint16_t sport,
	const char *dst, uint16_t dport)
{
	const struct spinat_meta m = {
		.key = {.src = test_ip(src),
			.dst = test_ip(dst),
			.sport = htons(sport),
			.dport = htons(dport),
			.proto = proto,
			.dir = dir},
		.kind = SPINAT_KIND_FLOW,
		.tcp_flags = proto == IPPROTO_TCP ? RTE_TCP_SYN_FLAG : 0,
		.flags = proto == IPPROTO_ICMP ? SPINAT_META_ICMP_REQUEST : 0,
	};
	const unsigned int owner = dir == SPINAT_OUT
					   ? spinat_owner(m.key.src, 0, b->n_workers)
					   : spinat_nat_owner_in(b->conf, &m.key, b->n_workers);
	struct spinat_nat *nat = b->nat[owner];
	struct spinat_flow *f = NULL;

	ck_assert_int_eq(dir == SPINAT_OUT ? spinat_nat_outbound(nat, b->conf, &m, NOW, &f)
					   : spinat_nat_inbound(nat, b->conf, &m, NOW, &f),
		SPINAT_DROP_NONE);
	return f;
}

/* Copies all rows of all workers; how many. */
static uint32_t
export_all(const struct box *b, uint32_t now_s, struct spinat_nat_row *rows, uint32_t max)
{
	uint32_t n = 0;

	for (uint16_t w = 0; w < b->n_workers; w++) {
		for (uint32_t i = 0; i < spinat_nat_rows(b->nat[w]); i++) {
			ck_assert_uint_lt(n, max);
			n += spinat_nat_export(b->nat[w], i, now_s, &rows[n]);
		}
	}
	return n;
}

static enum spinat_restored
restore(struct box *b, const struct spinat_nat_row *row, uint32_t down_s)
{
	return spinat_nat_restore(
		b->nat[spinat_nat_row_owner(row, b->n_workers)], b->conf, row, NOW, down_s);
}

static int
compare(const void *a, const void *b)
{
	return memcmp(a, b, sizeof(struct spinat_nat_row));
}

static void
open_many(struct box *b)
{
	char client[INET_ADDRSTRLEN];

	for (int i = 0; i < 200; i++) {
		snprintf(client, sizeof(client), "10.0.%d.%d", i % 3, 2 + i % 50);
		open_flow(b, IPPROTO_UDP, SPINAT_OUT, client, 5000 + i, "198.51.100.1", 53);
		open_flow(b, IPPROTO_UDP, SPINAT_OUT, client, 5000 + i, "198.51.100.2", 53);
		open_flow(b, IPPROTO_TCP, SPINAT_OUT, client, 5000, "198.51.100.1", 80 + i)->state =
			SPINAT_TCP_SYN_OUT | SPINAT_TCP_SYN_IN | SPINAT_TCP_ESTABLISHED;
		open_flow(b, IPPROTO_ICMP, SPINAT_OUT, client, 77, "198.51.100.1", 77 + i);
	}
	open_flow(b, IPPROTO_TCP, SPINAT_IN, "198.51.100.1", 999, "192.0.2.2", 8080);
	open_flow(b, IPPROTO_UDP, SPINAT_IN, "198.51.100.1", 999, "192.0.2.61", 9);
	open_flow(b, IPPROTO_SCTP, SPINAT_OUT, "10.0.0.61", 0, "198.51.100.3", 0);
}

struct books {
	uint32_t mappings[WORKERS_MAX], clients[WORKERS_MAX], ports[SPINAT_TRANSPORTS];
};

static void
read_books(const struct box *b, struct books *books)
{
	memset(books, 0, sizeof(*books));
	for (uint16_t w = 0; w < b->n_workers; w++) {
		books->mappings[w] = spinat_mapping_used(b->nat[w]->mappings);
		books->clients[w] = spinat_mapping_clients(b->nat[w]->mappings);
	}
	for (int tp = 0; tp < SPINAT_TRANSPORTS; tp++)
		books->ports[tp] =
			spinat_ports_used(spinat_pools_find(b->pools, test_ip("192.0.2.2")), tp);
}

/* What goes out comes back the same: keys, mappings, ports, states, ages. */
START_TEST(flows_come_back)
{
	static struct spinat_nat_row rows[1000], again[1000];
	struct books before, after;
	struct box b;
	uint32_t n;

	box_open(&b, rules, _i);
	open_many(&b);
	n = export_all(&b, NOW + 5, rows, RTE_DIM(rows));
	ck_assert_uint_eq(n, 803);
	read_books(&b, &before);
	box_close(&b);
	box_open(&b, rules, _i);
	for (uint32_t i = n; i-- > 0;)
		ck_assert_int_eq(restore(&b, &rows[i], 2), SPINAT_RESTORED);
	ck_assert_uint_eq(export_all(&b, NOW, again, RTE_DIM(again)), n);
	read_books(&b, &after);
	ck_assert_int_eq(memcmp(&before, &after, sizeof(before)), 0);
	for (uint32_t i = 0; i < n; i++) {
		ck_assert_uint_eq(rows[i].idle_s, 5);
		rows[i].idle_s += 2;
		rows[i].age_s += 2;
	}
	qsort(rows, n, sizeof(rows[0]), compare);
	qsort(again, n, sizeof(again[0]), compare);
	ck_assert_int_eq(memcmp(rows, again, n * sizeof(rows[0])), 0);
	/* a second time every one of them is there already */
	for (uint32_t i = 0; i < n; i++)
		ck_assert_int_eq(restore(&b, &rows[i], 0), SPINAT_SKIPPED_CLASH);
	box_close(&b);
}
END_TEST

/* Half as many workers own what twice as many did; the other way round a row is in its place or
 * nowhere. */
START_TEST(workers_change)
{
	static struct spinat_nat_row rows[1000];
	static const uint16_t from_to[][2] = {{4, 2}, {2, 1}, {1, 2}, {2, 4}, {3, 2}};
	const uint16_t from = from_to[_i][0], to = from_to[_i][1];
	uint32_t n, restored = 0, moved = 0;
	struct spinat_key key;
	struct box b;

	box_open(&b, rules, from);
	open_many(&b);
	n = export_all(&b, NOW, rows, RTE_DIM(rows));
	box_close(&b);
	box_open(&b, rules, to);
	for (uint32_t i = 0; i < n; i++) {
		enum spinat_restored done = restore(&b, &rows[i], 0);

		restored += done == SPINAT_RESTORED;
		moved += done == SPINAT_SKIPPED_WORKER;
	}
	ck_assert_uint_eq(restored + moved, n);
	if (from % to == 0)
		ck_assert_uint_eq(moved, 0);
	else
		ck_assert(restored > 0 && moved > 0);
	/* what is there is found where packets of either direction look for it */
	n = export_all(&b, NOW, rows, RTE_DIM(rows));
	ck_assert_uint_eq(n, restored);
	for (uint32_t i = 0; i < n; i++) {
		const struct spinat_flow f = {
			.new_addr =
				{[SPINAT_OUT] = rows[i].out_addr, [SPINAT_IN] = rows[i].in_addr},
			.new_port =
				{[SPINAT_OUT] = rows[i].out_port, [SPINAT_IN] = rows[i].in_port},
			.remote_addr = rows[i].remote_addr,
			.remote_port = rows[i].remote_port,
			.proto = rows[i].proto,
		};

		spinat_flow_key(&f, SPINAT_OUT, &key);
		ck_assert_ptr_nonnull(spinat_table_find(
			b.nat[spinat_owner(rows[i].in_addr, 0, to)]->table, &key));
		spinat_flow_key(&f, SPINAT_IN, &key);
		ck_assert_ptr_nonnull(spinat_table_find(
			b.nat[spinat_nat_owner_in(b.conf, &key, to)]->table, &key));
	}
	box_close(&b);
}
END_TEST

static struct spinat_nat_row
udp_row(const char *inside, uint16_t in_port, const char *outside, uint16_t out_port)
{
	return (struct spinat_nat_row){
		.in_addr = test_ip(inside),
		.out_addr = test_ip(outside),
		.remote_addr = test_ip("198.51.100.1"),
		.in_port = htons(in_port),
		.out_port = htons(out_port),
		.remote_port = htons(53),
		.proto = IPPROTO_UDP,
		.type = SPINAT_FLOW_SESSION,
	};
}

START_TEST(rows_that_can_not_be)
{
	struct spinat_nat_row row;
	struct box b;

	box_open(&b,
		"limits = { sessions = 64; mappings = 3; bindings = 16; }; timeouts = { udp = 10; "
		"};",
		1);
	row = udp_row("10.0.0.5", 5000, "192.0.2.2", 6000);
	ck_assert_int_eq(restore(&b, &row, 0), SPINAT_RESTORED);
	row.remote_port = htons(54);
	ck_assert_int_eq(restore(&b, &row, 0), SPINAT_RESTORED);
	row.remote_port = htons(55);
	row.out_port = htons(6001); /* an endpoint has one mapping */
	ck_assert_int_eq(restore(&b, &row, 0), SPINAT_SKIPPED_CLASH);
	row = udp_row("10.0.0.6", 5000, "192.0.2.2", 6000); /* and a port one owner */
	row.remote_addr = test_ip("198.51.100.2");
	ck_assert_int_eq(restore(&b, &row, 0), SPINAT_SKIPPED_CLASH);
	row = udp_row("10.0.0.7", 5000, "192.0.2.3", 6000);
	ck_assert_int_eq(restore(&b, &row, 0), SPINAT_SKIPPED_FORBIDDEN);
	row = udp_row("10.0.0.7", 5000, "192.0.2.2", 6002);
	row.idle_s = 4;
	ck_assert_int_eq(restore(&b, &row, 6), SPINAT_SKIPPED_EXPIRED);
	ck_assert_int_eq(restore(&b, &row, 5), SPINAT_RESTORED);
	row.realm = 1;
	ck_assert_int_eq(restore(&b, &row, 0), SPINAT_SKIPPED_INVALID);
	row.realm = 0;
	row.proto = IPPROTO_ESP;
	ck_assert_int_eq(restore(&b, &row, 0), SPINAT_SKIPPED_INVALID);
	row.proto = IPPROTO_UDP;
	row.type = SPINAT_FLOW_SHORTCUT;
	ck_assert_int_eq(restore(&b, &row, 0), SPINAT_SKIPPED_INVALID);
	row = udp_row("10.0.0.8", 5000, "192.0.2.2", 6004);
	ck_assert_int_eq(restore(&b, &row, 0), SPINAT_RESTORED);
	row = udp_row("10.0.0.9", 5000, "192.0.2.2", 6006);
	ck_assert_int_eq(restore(&b, &row, 0), SPINAT_SKIPPED_FULL);
	ck_assert_uint_eq(spinat_mapping_used(b.nat[0]->mappings), 3);
	ck_assert_uint_eq(
		spinat_ports_used(spinat_pools_find(b.pools, test_ip("192.0.2.2")), SPINAT_UDP), 3);
	box_close(&b);
}
END_TEST

/* Whatever stands in a row, the books balance. */
START_TEST(random_rows)
{
	struct spinat_nat_row row;
	uint32_t used, restored = 0;
	struct box b;

	srand(7);
	box_open(&b, rules, 2);
	for (int i = 0; i < 200000; i++) {
		uint8_t *bytes = (uint8_t *)&row;

		for (size_t k = 0; k < sizeof(row); k++)
			bytes[k] = rand() >> 8;
		if (i % 4 != 0) {
			row = udp_row("10.0.0.60", 80, "192.0.2.2", 8080);
			row.proto = rand() % 2 ? IPPROTO_TCP : rand();
			row.type = rand() % 4;
			row.in_addr = test_ip(rand() % 3 ? "10.0.0.60" : "10.0.0.61");
			row.out_addr = test_ip(rand() % 3 ? "192.0.2.2" : "192.0.2.61");
			row.remote_port = rand();
			row.out_port = htons(rand() % 3 ? 8080 : rand());
		}
		restored += restore(&b, &row, rand() % 100) == SPINAT_RESTORED;
	}
	ck_assert_uint_gt(restored, 1000);
	used = b.nat[0]->table->used + b.nat[1]->table->used;
	ck_assert_uint_eq(used, restored);
	ck_assert_uint_eq(b.nat[0]->sessions + b.nat[1]->sessions, restored);
	for (int w = 0; w < 2; w++) {
		spinat_nat_sweep(b.nat[w], b.conf, NOW + 1000000, b.nat[w]->table->high + 1);
		ck_assert_uint_eq(b.nat[w]->sessions, 0);
		ck_assert_uint_eq(spinat_mapping_used(b.nat[w]->mappings), 0);
		ck_assert_uint_eq(spinat_mapping_clients(b.nat[w]->mappings), 0);
	}
	for (int tp = 0; tp < SPINAT_TRANSPORTS; tp++)
		ck_assert_uint_eq(
			spinat_ports_used(spinat_pools_find(b.pools, test_ip("192.0.2.2")), tp), 0);
	box_close(&b);
}
END_TEST

TCase *
test_state_flows(void)
{
	TCase *tc = tcase_create("flows");

	tcase_set_timeout(tc, 60);
	tcase_add_loop_test(tc, flows_come_back, 1, WORKERS_MAX + 1);
	tcase_add_loop_test(tc, workers_change, 0, 5);
	tcase_add_test(tc, rows_that_can_not_be);
	tcase_add_test(tc, random_rows);
	return tc;
}
