/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 the spinat authors
 */
#ifndef SPINAT_BENCH_OPTIONS_H
#define SPINAT_BENCH_OPTIONS_H

#include <stdbool.h>
#include <stdint.h>

#include "plan.h"

/* The command line of spinat-bench. */

struct bench_options {
	const struct bench_work *work;
	double seconds;
	unsigned int cpu, generator_cpu;
	bool split, memory, count, latency;
	uint32_t batches;
	unsigned int rss; /* workers to share the flows; 0: not asked */
	const char *during;
	const char *config; /* of the user, or NULL */
	struct bench_box box;
	int eal_argc;
	char **eal_argv;
};

/** Reads it over what stands in o. @return -1 to go on, else the exit status */
int bench_options_parse(int argc, char **argv, struct bench_options *o);

/** Whether devices of the user are used, in place of rings. */
bool bench_options_ports(const struct bench_options *o);

#endif
