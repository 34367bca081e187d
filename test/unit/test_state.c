/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 the spinat authors
 */
#include <arpa/inet.h>
#include <check.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <rte_eal.h>
#include <rte_malloc.h>
#include <rte_tcp.h>

#include "nat/hash.h"
#include "nat/restore.h"
#include "state/file.h"

/* The checkpoint's file, and flows on their way out of the tables and back in. */

#define NAME "unit"
#define N_ROWS 3

static char folder[] = "/tmp/spinat-test-state-XXXXXX";
static char path[64];
static struct rte_rcu_qsbr *qsbr;

/* --- the file ------------------------------------------------------------------------------------- */

/* A file of some rows, in memory, to be freed. */
static uint8_t *
new_data(void)
{
	const size_t len = sizeof(struct spinat_state_header) +
			   N_ROWS * sizeof(struct spinat_nat_row) + SPINAT_STATE_DIGEST_LEN;
	uint8_t *data = calloc(1, len);
	struct spinat_state_header *h = (struct spinat_state_header *)data;

	ck_assert_ptr_nonnull(data);
	spinat_state_header_init(h, NAME);
	h->owner_seed = 0x12345678;
	h->workers = 2;
	h->rows[SPINAT_STATE_FLOWS] = N_ROWS;
	h->length = len;
	for (size_t i = 0; i < N_ROWS * sizeof(struct spinat_nat_row); i++)
		data[sizeof(*h) + i] = (uint8_t)(i * 7 + 1);
	return data;
}

static void
put(const uint8_t *data, size_t len)
{
	/* not O_TRUNC: ext4 then waits for the disk at every close */
	int fd = open(path, O_WRONLY | O_CREAT, 0600);

	ck_assert_int_ge(fd, 0);
	ck_assert_int_eq(write(fd, data, len), len);
	ck_assert_int_eq(ftruncate(fd, len), 0);
	close(fd);
}

/* The file as it is must be refused, with a sentence. */
static int
refused(void)
{
	struct spinat_state_image image = {.header = NULL};
	struct spinat_conf_error err = {.text = ""};
	int rc = spinat_state_file_read(path, NAME, &image, &err);

	ck_assert_int_lt(rc, 0);
	ck_assert_ptr_null(image.header);
	ck_assert_int_eq(strncmp(err.text, path, strlen(path)), 0);
	ck_assert_ptr_nonnull(strstr(err.text, "expected"));
	return rc;
}

/* Writes a good file; its content, digest included, to be freed. */
static uint8_t *
write_good(void)
{
	struct spinat_conf_error err = {.text = ""};
	uint8_t *data = new_data();

	ck_assert_msg(spinat_state_file_write(path, data, &err) == 0, "%s", err.text);
	return data;
}

static size_t
length_of(const uint8_t *data)
{
	return ((const struct spinat_state_header *)data)->length;
}

START_TEST(file_comes_back)
{
	struct spinat_state_image image;
	struct spinat_conf_error err;
	uint8_t *data = write_good();
	char temporary[80];
	struct stat st;

	ck_assert_int_eq(stat(path, &st), 0);
	ck_assert_uint_eq(st.st_size, length_of(data));
	ck_assert_uint_eq(st.st_mode & 0777, 0600);
	snprintf(temporary, sizeof(temporary), "%s.new", path);
	ck_assert_int_eq(stat(temporary, &st), -1);
	ck_assert_int_eq(spinat_state_file_read(path, NAME, &image, &err), 0);
	ck_assert_int_eq(memcmp(image.header, data, sizeof(*image.header)), 0);
	ck_assert_uint_eq(image.header->owner_seed, 0x12345678);
	ck_assert_int_eq(memcmp(image.rows[SPINAT_STATE_FLOWS], data + sizeof(*image.header),
				 N_ROWS * sizeof(struct spinat_nat_row)),
		0);
	spinat_state_image_free(&image);
	free(data);
}
END_TEST

START_TEST(every_length_but_its_own_is_refused)
{
	uint8_t *data = write_good();
	const size_t len = length_of(data);
	uint8_t *longer = calloc(1, len + 2);

	memcpy(longer, data, len);
	for (size_t n = 0; n <= len + 2; n++) {
		put(longer, n);
		if (n != len)
			refused();
	}
	free(longer);
	free(data);
}
END_TEST

START_TEST(every_changed_bit_is_refused)
{
	uint8_t *data = write_good();
	const size_t len = length_of(data);

	for (size_t bit = 0; bit < 8 * len; bit++) {
		data[bit / 8] ^= 1 << bit % 8;
		put(data, len);
		refused();
		data[bit / 8] ^= 1 << bit % 8;
	}
	free(data);
}
END_TEST

/* Headers that are wrong in one thing, with a digest that is right. */
static void
change_order(struct spinat_state_header *h)
{
	h->order = __builtin_bswap32(h->order);
}

static void
change_version(struct spinat_state_header *h)
{
	h->version++;
}

static void
change_row_size(struct spinat_state_header *h)
{
	h->row_size[SPINAT_STATE_FLOWS]++;
}

static void
change_rows(struct spinat_state_header *h)
{
	h->rows[SPINAT_STATE_FLOWS] = UINT32_MAX;
}

static void
change_name(struct spinat_state_header *h)
{
	strcpy(h->name, "other");
}

static void
change_magic(struct spinat_state_header *h)
{
	h->magic[0]++;
}

static const struct {
	void (*change)(struct spinat_state_header *h);
	const char *says;
} headers[] = {
	{change_order, "other byte order"},
	{change_version, "format version 2, expected version 1"},
	{change_row_size, "rows of another layout"},
	{change_rows, "for its rows"},
	{change_name, "a checkpoint of instance \"other\", expected one of \"unit\""},
	{change_magic, "other data"},
};

START_TEST(another_header_is_refused)
{
	struct spinat_state_image image;
	struct spinat_conf_error err;
	uint8_t *data = new_data();

	headers[_i].change((struct spinat_state_header *)data);
	ck_assert_int_eq(spinat_state_file_write(path, data, &err), 0);
	ck_assert_int_lt(spinat_state_file_read(path, NAME, &image, &err), 0);
	ck_assert_msg(strstr(err.text, headers[_i].says) != NULL, "%s", err.text);
	free(data);
}
END_TEST

START_TEST(what_is_no_file)
{
	struct spinat_state_image image;
	struct spinat_conf_error err;
	char aside[80];

	unlink(path);
	ck_assert_int_eq(spinat_state_file_read(path, NAME, &image, &err), -ENOENT);
	ck_assert_int_eq(mkfifo(path, 0600), 0);
	refused();
	ck_assert_int_eq(spinat_state_file_put_aside(path), -EINVAL);
	unlink(path);
	put((const uint8_t *)"x", 1);
	ck_assert_int_eq(spinat_state_file_put_aside(path), 0);
	snprintf(aside, sizeof(aside), "%s.refused", path);
	ck_assert_int_eq(unlink(aside), 0);
}
END_TEST

START_TEST(a_failed_write_keeps_the_old_file)
{
	struct spinat_conf_error err = {.text = ""};
	uint8_t *good = write_good(), *data = new_data();
	struct spinat_state_image image;
	char temporary[80];

	/* the temporary file cannot be made where a folder has its name */
	snprintf(temporary, sizeof(temporary), "%s.new", path);
	ck_assert_int_eq(mkdir(temporary, 0700), 0);
	((struct spinat_state_header *)data)->owner_seed = 1;
	ck_assert_int_eq(spinat_state_file_write(path, data, &err), -EISDIR);
	ck_assert_ptr_nonnull(strstr(err.text, temporary));
	ck_assert_int_eq(rmdir(temporary), 0);
	ck_assert_int_eq(spinat_state_file_read(path, NAME, &image, &err), 0);
	ck_assert_uint_eq(image.header->owner_seed, 0x12345678);
	spinat_state_image_free(&image);
	ck_assert_int_eq(spinat_state_file_write("/nonexistent/state", data, &err), -ENOENT);
	free(data);
	free(good);
}
END_TEST

START_TEST(time_never_goes_back)
{
	struct spinat_state_header h;

	spinat_state_header_init(&h, NAME);
	ck_assert_uint_lt(spinat_state_since(&h), 60000);
	h.wall_ms -= 3600000; /* the calendar was set: within one boot nobody cares */
	ck_assert_uint_lt(spinat_state_since(&h), 60000);
	h.boot[0] ^= 1;
	ck_assert_uint_ge(spinat_state_since(&h), 3600000);
	h.wall_ms += 7200000;
	ck_assert_uint_eq(spinat_state_since(&h), 0);
}
END_TEST

/* --- flows ---------------------------------------------------------------------------------------- */

#define WORKERS_MAX 4
#define NOW 1000000u

static const char *const base =
	"interfaces = ( { name = \"lan\"; device = \"net_null0\"; role = \"inside\";"
	" addresses = [ \"10.0.0.1/8\" ]; },\n"
	" { name = \"wan\"; device = \"net_null1\"; role = \"outside\";"
	" addresses = [ \"192.0.2.2/24\" ]; } );\n";
static const char *const rules =
	"redirect = ( { protocol = \"tcp\"; port = 8080; inside = \"10.0.0.60\"; inside_port = 80; "
	"} );"
	"static = ( { inside = \"10.0.0.61\"; outside = \"192.0.2.61\"; } );"
	"limits = { sessions = 65536; clients = 1024; bindings = 16; };";

static rte_be32_t
ip(const char *text)
{
	rte_be32_t addr;

	ck_assert_int_eq(inet_pton(AF_INET, text, &addr), 1);
	return addr;
}

struct box {
	struct spinat_conf *conf;
	struct spinat_pools *pools;
	struct spinat_nat *nat[WORKERS_MAX];
	uint16_t n_workers;
};

static void
box_open(struct box *b, const char *more, uint16_t n_workers)
{
	struct spinat_conf_error err = {.text = ""};
	char file[80];
	FILE *f;

	snprintf(file, sizeof(file), "%s/conf", folder);
	f = fopen(file, "w");
	ck_assert_ptr_nonnull(f);
	fprintf(f, "%s%s", base, more);
	fclose(f);
	b->conf = spinat_conf_load(file, &err);
	ck_assert_msg(b->conf != NULL, "%s", err.text);
	b->pools = spinat_pools_create(64);
	ck_assert_int_eq(spinat_pools_attach(b->pools, b->conf), 0);
	b->n_workers = n_workers;
	for (uint16_t i = 0; i < n_workers; i++) {
		b->nat[i] = spinat_nat_create(b->conf, i, n_workers, b->pools, qsbr, SOCKET_ID_ANY);
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
		.key = {.src = ip(src),
			.dst = ip(dst),
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
			spinat_ports_used(spinat_pools_find(b->pools, ip("192.0.2.2")), tp);
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
		.in_addr = ip(inside),
		.out_addr = ip(outside),
		.remote_addr = ip("198.51.100.1"),
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
	row.remote_addr = ip("198.51.100.2");
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
		spinat_ports_used(spinat_pools_find(b.pools, ip("192.0.2.2")), SPINAT_UDP), 3);
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
			row.in_addr = ip(rand() % 3 ? "10.0.0.60" : "10.0.0.61");
			row.out_addr = ip(rand() % 3 ? "192.0.2.2" : "192.0.2.61");
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
			spinat_ports_used(spinat_pools_find(b.pools, ip("192.0.2.2")), tp), 0);
	box_close(&b);
}
END_TEST

static Suite *
state_suite(void)
{
	Suite *s = suite_create("state");
	TCase *file = tcase_create("file"), *flows = tcase_create("flows");

	tcase_set_timeout(file, 60);
	tcase_add_test(file, file_comes_back);
	tcase_add_test(file, every_length_but_its_own_is_refused);
	tcase_add_test(file, every_changed_bit_is_refused);
	tcase_add_loop_test(file, another_header_is_refused, 0, RTE_DIM(headers));
	tcase_add_test(file, what_is_no_file);
	tcase_add_test(file, a_failed_write_keeps_the_old_file);
	tcase_add_test(file, time_never_goes_back);
	suite_add_tcase(s, file);
	tcase_set_timeout(flows, 60);
	tcase_add_loop_test(flows, flows_come_back, 1, WORKERS_MAX + 1);
	tcase_add_loop_test(flows, workers_change, 0, 5);
	tcase_add_test(flows, rows_that_can_not_be);
	tcase_add_test(flows, random_rows);
	suite_add_tcase(s, flows);
	return s;
}

int
main(void)
{
	char *argv[] = {"test_state", "--no-huge", "--no-pci", "--no-shconf", "-m", "512", "-l",
		"0", "--file-prefix", "unit-state", "--no-telemetry", NULL};
	char clean[sizeof(folder) + 16];
	SRunner *runner;
	int failed;

	if (rte_eal_init(RTE_DIM(argv) - 1, argv) < 0 || mkdtemp(folder) == NULL)
		return EXIT_FAILURE;
	snprintf(path, sizeof(path), "%s/state", folder);
	spinat_hash_init();
	qsbr = rte_zmalloc("qsbr", rte_rcu_qsbr_get_memsize(4), RTE_CACHE_LINE_SIZE);
	if (qsbr == NULL)
		return EXIT_FAILURE;
	rte_rcu_qsbr_init(qsbr, 4);
	runner = srunner_create(state_suite());
	srunner_run_all(runner, CK_NORMAL);
	failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	rte_free(qsbr);
	unlink(path);
	snprintf(clean, sizeof(clean), "%s/conf", folder);
	unlink(clean);
	rmdir(folder);
	rte_eal_cleanup();
	return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
