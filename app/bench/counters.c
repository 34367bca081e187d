/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 the spinat authors
 */
#include <errno.h>
#include <linux/perf_event.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "counters.h"

#define LOADS_THAT_MISS (PERF_COUNT_HW_CACHE_OP_READ << 8 | PERF_COUNT_HW_CACHE_RESULT_MISS << 16)

const struct bench_event bench_events[BENCH_EVENTS] = {
	[BENCH_EVENT_INSTRUCTIONS] = {"instructions", PERF_TYPE_HARDWARE,
		PERF_COUNT_HW_INSTRUCTIONS},
	[BENCH_EVENT_L1D_MISSES] = {"l1d_misses", PERF_TYPE_HW_CACHE,
		PERF_COUNT_HW_CACHE_L1D | LOADS_THAT_MISS},
	[BENCH_EVENT_LLC_MISSES] = {"llc_misses", PERF_TYPE_HW_CACHE,
		PERF_COUNT_HW_CACHE_LL | LOADS_THAT_MISS},
	[BENCH_EVENT_CACHE_MISSES] = {"cache_misses", PERF_TYPE_HARDWARE,
		PERF_COUNT_HW_CACHE_MISSES},
};

/* What read() gives of a group. */
struct group {
	uint64_t n, enabled_ns, running_ns;
	uint64_t value[BENCH_COUNTERS_MAX];
};

static int
open_one(const struct bench_event *e, int leader)
{
	struct perf_event_attr attr = {
		.type = e->type,
		.size = sizeof(attr),
		.config = e->config,
		.read_format = PERF_FORMAT_GROUP | PERF_FORMAT_TOTAL_TIME_ENABLED |
			       PERF_FORMAT_TOTAL_TIME_RUNNING,
		.exclude_kernel = 1,
		.exclude_hv = 1,
	};

	return syscall(SYS_perf_event_open, &attr, 0, -1, leader, PERF_FLAG_FD_CLOEXEC);
}

void
bench_counters_open(struct bench_counters *c, const struct bench_event *events, unsigned int n)
{
	memset(c, 0, sizeof(*c));
	c->n = n;
	c->leader = -1;
	for (unsigned int i = 0; i < n; i++) {
		c->fd[i] = open_one(&events[i], c->leader);
		if (c->fd[i] < 0 && c->error == 0)
			c->error = errno;
		if (c->leader < 0)
			c->leader = c->fd[i];
	}
}

void
bench_counters_close(struct bench_counters *c)
{
	for (unsigned int i = 0; i < c->n; i++)
		if (c->fd[i] >= 0)
			close(c->fd[i]);
	c->n = 0;
	c->leader = -1;
}

bool
bench_counters_read(const struct bench_counters *c, uint64_t *value)
{
	struct group g;
	unsigned int k = 0;

	memset(value, 0, c->n * sizeof(*value));
	if (c->leader < 0 || read(c->leader, &g, sizeof(g)) < 0)
		return false;
	for (unsigned int i = 0; i < c->n; i++)
		if (c->fd[i] >= 0)
			value[i] = g.value[k++];
	return g.running_ns == g.enabled_ns;
}
