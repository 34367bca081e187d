/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 the spinat authors
 */
#include <arpa/inet.h>
#include <dirent.h>
#include <errno.h>
#include <libgen.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "test_config.h"

/* libconfig 1.5 loses the string that stands where a syntax error is. */
const char *__lsan_default_suppressions(void);

const char *
__lsan_default_suppressions(void)
{
	return "leak:strbuf_append\n";
}

rte_be32_t
addr(const char *text)
{
	struct in_addr in;

	ck_assert_int_eq(inet_pton(AF_INET, text, &in), 1);
	return in.s_addr;
}

char *
read_text(const char *path)
{
	FILE *f = fopen(path, "r");
	char *text = calloc(1, 65536);
	size_t n;

	ck_assert_msg(f != NULL, "%s: %s", path, strerror(errno));
	ck_assert_ptr_nonnull(text);
	n = fread(text, 1, 65535, f);
	ck_assert_uint_lt(n, 65535);
	fclose(f);
	return text;
}

static void
write_text(int fd, const char *text, size_t len)
{
	ck_assert_int_eq(write(fd, text, len), len);
	ck_assert_int_eq(close(fd), 0);
}

struct spinat_conf *
load(const char *path)
{
	struct spinat_conf_error err = {""};
	struct spinat_conf *conf = spinat_conf_load(path, &err);

	ck_assert_msg(conf != NULL, "%s", err.text);
	return conf;
}

struct spinat_conf *
load_text(const char *text, size_t len, struct spinat_conf_error *err)
{
	char path[] = "/tmp/spinat_test_config_XXXXXX";
	struct spinat_conf *conf;
	int fd = mkstemp(path);

	ck_assert_int_ge(fd, 0);
	write_text(fd, text, len);
	conf = spinat_conf_load(path, err);
	unlink(path);
	return conf;
}

unsigned int
each_file(const char *folder, const char *end, void (*call)(const char *path))
{
	DIR *dir = opendir(folder);
	struct dirent *entry;
	unsigned int n = 0;
	char path[PATH_MAX];

	ck_assert_msg(dir != NULL, "%s: %s", folder, strerror(errno));
	while ((entry = readdir(dir)) != NULL) {
		if (strlen(entry->d_name) < strlen(end) ||
			strcmp(entry->d_name + strlen(entry->d_name) - strlen(end), end) != 0)
			continue;
		snprintf(path, sizeof(path), "%s/%s", folder, entry->d_name);
		call(path);
		n++;
	}
	closedir(dir);
	return n;
}

/* This file's path is absolute or relative to the build directory, where tests run. */
static void
enter_data_folder(void)
{
	char path[PATH_MAX];

	snprintf(path, sizeof(path), "%s", __FILE__);
	if (chdir(dirname(path)) == 0 && chdir("conf") == 0)
		return;
	fprintf(stderr, "%s: %s: run this in the build directory\n", __FILE__, strerror(errno));
	exit(EXIT_FAILURE);
}

int
main(void)
{
	SRunner *runner;
	Suite *suite;
	int failed;

	enter_data_folder();
	suite = suite_create("config");
	suite_add_tcase(suite, test_load());
	suite_add_tcase(suite, test_outside());
	suite_add_tcase(suite, test_drivers());
	suite_add_tcase(suite, test_compatible());
	suite_add_tcase(suite, test_words());
	runner = srunner_create(suite);
	srunner_run_all(runner, CK_NORMAL);
	failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
