/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 the spinat authors
 */
#ifndef SPINAT_BENCH_SCALE_H
#define SPINAT_BENCH_SCALE_H

#include "config/conf.h"
#include "plan.h"
#include "rss.h"

/*
 * What a packet costs with several workers: lanes.h. Any worker gets packets of any flow, whoever owns
 * it.
 */

/** Cycles a packet, medians over turns. */
struct bench_scale_figures {
	double alone,
		together; /* the first worker while the others wait; all at once, their mean */
	double mac_alone, mac_together; /* the same of forwarders that write MAC addresses */
	double lookup_alone, lookup_together; /* of such that look up every packet's flow, too */
	double own, foreign; /* packets of flows that the worker owns, and that another one does */
	double direct, handed; /* of a new session at its owner, and by way of another worker */
	struct bench_rss rss[2]; /* plain key, symmetric key */
	uint64_t packets; /* that were looked at byte by byte */
};

/**
 * Makes engine and flows, measures, and checks that every packet came out once and right.
 *
 * @param conf taken; has as many workers as there are to be
 * @return 0, or -1 after a sentence on standard error
 */
int bench_scale(const struct bench_work *work, uint32_t sessions, struct spinat_conf *conf,
	double seconds, struct bench_scale_figures *f);

#endif
