/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 the spinat authors
 */
#include <arpa/inet.h>
#include <check.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <rte_eal.h>
#include <rte_malloc.h>

#include "nat/hash.h"
#include "nat/restore.h"
#include "state/file.h"
#include "test_state.h"

/* The checkpoint's file, and what the tests of this folder share. */

#define NAME "unit"
#define N_ROWS 3

char test_folder[] = "/tmp/spinat-test-state-XXXXXX";
char test_path[64];
struct rte_rcu_qsbr *test_qsbr;

static const char *const base =
	"name = \"unit\";\n"
	"interfaces = ( { name = \"lan\"; device = \"net_null0\"; role = \"inside\";"
	" addresses = [ \"10.0.0.1/8\" ]; },\n"
	" { name = \"wan\"; device = \"net_null1\"; role = \"outside\";"
	" addresses = [ \"192.0.2.2/24\" ]; } );\n";

rte_be32_t
test_ip(const char *text)
{
	rte_be32_t addr;

	ck_assert_int_eq(inet_pton(AF_INET, text, &addr), 1);
	return addr;
}

struct spinat_conf *
test_conf(const char *more)
{
	struct spinat_conf_error err = {.text = ""};
	struct spinat_conf *conf;
	char file[80];
	FILE *f;

	snprintf(file, sizeof(file), "%s/conf", test_folder);
	f = fopen(file, "w");
	ck_assert_ptr_nonnull(f);
	fprintf(f, "%s%s", base, more);
	fclose(f);
	conf = spinat_conf_load(file, &err);
	ck_assert_msg(conf != NULL, "%s", err.text);
	return conf;
}

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
	int fd = open(test_path, O_WRONLY | O_CREAT, 0600);

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
	int rc = spinat_state_file_read(test_path, NAME, &image, &err);

	ck_assert_int_lt(rc, 0);
	ck_assert_ptr_null(image.header);
	ck_assert_int_eq(strncmp(err.text, test_path, strlen(test_path)), 0);
	ck_assert_ptr_nonnull(strstr(err.text, "expected"));
	return rc;
}

/* Writes a good file; its content, digest included, to be freed. */
static uint8_t *
write_good(void)
{
	struct spinat_conf_error err = {.text = ""};
	uint8_t *data = new_data();

	ck_assert_msg(spinat_state_file_write(test_path, data, &err) == 0, "%s", err.text);
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

	ck_assert_int_eq(stat(test_path, &st), 0);
	ck_assert_uint_eq(st.st_size, length_of(data));
	ck_assert_uint_eq(st.st_mode & 0777, 0600);
	snprintf(temporary, sizeof(temporary), "%s.new", test_path);
	ck_assert_int_eq(stat(temporary, &st), -1);
	ck_assert_int_eq(spinat_state_file_read(test_path, NAME, &image, &err), 0);
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
	{change_version, "format version 3, expected version 2"},
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
	ck_assert_int_eq(spinat_state_file_write(test_path, data, &err), 0);
	ck_assert_int_lt(spinat_state_file_read(test_path, NAME, &image, &err), 0);
	ck_assert_msg(strstr(err.text, headers[_i].says) != NULL, "%s", err.text);
	free(data);
}
END_TEST

START_TEST(what_is_no_file)
{
	struct spinat_state_image image;
	struct spinat_conf_error err;
	char aside[80];

	unlink(test_path);
	ck_assert_int_eq(spinat_state_file_read(test_path, NAME, &image, &err), -ENOENT);
	ck_assert_int_eq(mkfifo(test_path, 0600), 0);
	refused();
	ck_assert_int_eq(spinat_state_file_put_aside(test_path), -EINVAL);
	unlink(test_path);
	put((const uint8_t *)"x", 1);
	ck_assert_int_eq(spinat_state_file_put_aside(test_path), 0);
	snprintf(aside, sizeof(aside), "%s.refused", test_path);
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
	snprintf(temporary, sizeof(temporary), "%s.new", test_path);
	ck_assert_int_eq(mkdir(temporary, 0700), 0);
	((struct spinat_state_header *)data)->owner_seed = 1;
	ck_assert_int_eq(spinat_state_file_write(test_path, data, &err), -EEXIST);
	ck_assert_ptr_nonnull(strstr(err.text, temporary));
	ck_assert_int_eq(rmdir(temporary), 0);
	ck_assert_int_eq(spinat_state_file_read(test_path, NAME, &image, &err), 0);
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

static Suite *
state_suite(void)
{
	Suite *s = suite_create("state");
	TCase *file = tcase_create("file");

	tcase_set_timeout(file, 60);
	tcase_add_test(file, file_comes_back);
	tcase_add_test(file, every_length_but_its_own_is_refused);
	tcase_add_test(file, every_changed_bit_is_refused);
	tcase_add_loop_test(file, another_header_is_refused, 0, RTE_DIM(headers));
	tcase_add_test(file, what_is_no_file);
	tcase_add_test(file, a_failed_write_keeps_the_old_file);
	tcase_add_test(file, time_never_goes_back);
	suite_add_tcase(s, file);
	suite_add_tcase(s, test_state_flows());
	suite_add_tcase(s, test_state_binder());
	suite_add_tcase(s, test_state_save());
	return s;
}

int
main(void)
{
	char *argv[] = {"test_state", "--no-huge", "--no-pci", "--no-shconf", "-m", "512", "-l",
		"0", "--file-prefix", "unit-state", "--no-telemetry", NULL};
	char clean[sizeof(test_folder) + 16];
	SRunner *runner;
	int failed;

	if (rte_eal_init(RTE_DIM(argv) - 1, argv) < 0 || mkdtemp(test_folder) == NULL)
		return EXIT_FAILURE;
	snprintf(test_path, sizeof(test_path), "%s/state", test_folder);
	spinat_hash_init();
	test_qsbr =
		rte_zmalloc("qsbr", rte_rcu_qsbr_get_memsize(TEST_READERS), RTE_CACHE_LINE_SIZE);
	if (test_qsbr == NULL)
		return EXIT_FAILURE;
	rte_rcu_qsbr_init(test_qsbr, TEST_READERS);
	runner = srunner_create(state_suite());
	srunner_run_all(runner, CK_NORMAL);
	failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	rte_free(test_qsbr);
	unlink(test_path);
	snprintf(clean, sizeof(clean), "%s/conf", test_folder);
	unlink(clean);
	rmdir(test_folder);
	rte_eal_cleanup();
	return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
