/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 the spinat authors
 */
#ifndef SPINAT_SIM_REPORT_H
#define SPINAT_SIM_REPORT_H

#include <stdio.h>

#include "world.h"

/** The figures of one run. Bindings are inbound SPIs that carried a packet at least. */
struct figures {
	uint32_t bindings, settled_right, settled_wrong, ambiguous;
	uint32_t ambiguous_few; /* of them, with three packets at most */
	uint32_t wrong_ever;
	double wrong_longest_s;
	uint64_t inbound, lost, copies;
	double copies_share; /* copies to wrong clients by inbound packets, 1 at most */
	double median_settle_rtts; /* of all bindings; negative: half of them never settled right */
	uint32_t clients_up; /* clients with an SA at some time */
	double median_up_s; /* from a client's start to its first SA */
};

struct figures report_figures(const struct sim *s);
/** Members of a JSON object, without its braces. */
void report_json(FILE *f, const struct sim *s);

#endif
