/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 the spinat authors
 */
#ifndef SPINAT_BENCH_RECORD_H
#define SPINAT_BENCH_RECORD_H

#include <stdint.h>

/*
 * Which cache lines a thread has read and written. Compiled with -fsanitize=thread and linked without
 * its library, a program calls the functions of record.c for every access to memory that is more than
 * a local variable. What shared libraries do is not seen.
 */

/** What a thread did with one line. */
struct bench_line {
	uintptr_t line; /* address / 64; 0: none */
	uint32_t reads, writes;
	uintptr_t reader,
		writer; /* return addresses of the first ones, from the begin of the image */
};

struct bench_record {
	struct bench_line *lines; /* open addressing, mask + 1 of them */
	uint32_t mask, used;
	uint32_t lost; /* accesses for which there was no room */
};

/** @return 0, or -1 without memory */
int bench_record_create(struct bench_record *r, uint32_t lines);

void bench_record_clear(struct bench_record *r);

/** What this thread does from now on is recorded there; NULL: nowhere. */
void bench_record_to(struct bench_record *r);

/** A line of a record, or NULL. */
const struct bench_line *bench_record_find(const struct bench_record *r, uintptr_t line);

#endif
