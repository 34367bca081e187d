/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 the spinat authors
 */
#ifndef SPINAT_BENCH_COUNTERS_H
#define SPINAT_BENCH_COUNTERS_H

#include <stdbool.h>
#include <stdint.h>

/*
 * What the processor counts, by perf_event_open(2), of one thread and in user space alone. Many
 * machines count nothing, virtual ones above all: then there are no numbers, and an error says why.
 */

struct bench_event {
	const char *name;
	uint32_t type; /* as in <linux/perf_event.h>, with config */
	uint64_t config;
};

/** What is counted of a packet, if the machine can. */
enum bench_event_id {
	BENCH_EVENT_INSTRUCTIONS,
	BENCH_EVENT_L1D_MISSES, /* loads that were not in the first level */
	BENCH_EVENT_LLC_MISSES, /* loads that were in no level */
	BENCH_EVENT_CACHE_MISSES, /* what the processor calls so: mostly those of the last level */
	BENCH_EVENTS
};
extern const struct bench_event bench_events[BENCH_EVENTS];

#define BENCH_COUNTERS_MAX 8

struct bench_counters {
	int fd[BENCH_COUNTERS_MAX]; /* -1: not counted */
	unsigned int n;
	int leader; /* through which all are read at once; -1: nothing is counted */
	int error; /* errno of the first that is not counted; 0: all are */
};

/**
 * Opens those of the events that the kernel gives, for the calling thread.
 *
 * @param n at most BENCH_COUNTERS_MAX
 */
void bench_counters_open(
	struct bench_counters *c, const struct bench_event *events, unsigned int n);
void bench_counters_close(struct bench_counters *c);

/**
 * Reads how often each event has been so far; 0 where it is not counted.
 *
 * @param value as many as events were given
 * @return false where others used the processor's counters meanwhile, or nothing is counted
 */
bool bench_counters_read(const struct bench_counters *c, uint64_t *value);

#endif
