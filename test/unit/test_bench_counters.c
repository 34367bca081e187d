/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 the spinat authors
 */
#include <check.h>
#include <errno.h>
#include <linux/perf_event.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

#include "bench/counters.h"

#define PAGES 64
#define SKIPPED 77 /* meson's */

/* Events that any kernel counts, and one in between that none does. */
enum { FAULTS, NONE, MINOR, EVENTS };
static const struct bench_event events[EVENTS] = {
	[FAULTS] = {"page faults", PERF_TYPE_SOFTWARE, PERF_COUNT_SW_PAGE_FAULTS},
	[NONE] = {"nothing", PERF_TYPE_SOFTWARE, PERF_COUNT_SW_MAX + 1000},
	[MINOR] = {"minor faults", PERF_TYPE_SOFTWARE, PERF_COUNT_SW_PAGE_FAULTS_MIN},
};

static void
touch_fresh_pages(void)
{
	const size_t size = PAGES * sysconf(_SC_PAGESIZE);
	volatile char *p =
		mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	ck_assert(p != MAP_FAILED);
	ck_assert_int_eq(madvise((void *)p, size, MADV_NOHUGEPAGE), 0);
	for (size_t i = 0; i < size; i += sysconf(_SC_PAGESIZE))
		p[i] = 1;
	munmap((void *)p, size);
}

START_TEST(counts_what_the_kernel_gives)
{
	struct bench_counters c;
	uint64_t before[EVENTS], after[EVENTS];

	bench_counters_open(&c, events, EVENTS);
	ck_assert(bench_counters_read(&c, before));
	touch_fresh_pages();
	ck_assert(bench_counters_read(&c, after));
	bench_counters_close(&c);
	ck_assert_uint_ge(after[FAULTS] - before[FAULTS], PAGES);
	ck_assert_uint_ge(after[MINOR] - before[MINOR], PAGES);
	ck_assert_uint_eq(after[NONE], 0);
	ck_assert_int_eq(c.error, ENOENT);
}
END_TEST

START_TEST(says_why_nothing_is_counted)
{
	struct bench_counters c;
	uint64_t value = 1;

	bench_counters_open(&c, &events[NONE], 1);
	ck_assert_int_eq(c.error, ENOENT);
	ck_assert(!bench_counters_read(&c, &value));
	ck_assert_uint_eq(value, 0);
	bench_counters_close(&c);
}
END_TEST

int
main(void)
{
	struct bench_counters c;
	Suite *s = suite_create("bench_counters");
	TCase *t = tcase_create("counters");
	SRunner *runner = srunner_create(s);
	bool allowed;
	int failed;

	/* kernel.perf_event_paranoid and containers may forbid all of it */
	bench_counters_open(&c, events, 1);
	allowed = c.leader >= 0;
	bench_counters_close(&c);
	suite_add_tcase(s, t);
	tcase_add_test(t, counts_what_the_kernel_gives);
	tcase_add_test(t, says_why_nothing_is_counted);
	if (allowed)
		srunner_run_all(runner, CK_NORMAL);
	failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return !allowed ? SKIPPED : failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
