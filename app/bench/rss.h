/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 the spinat authors
 */
#ifndef SPINAT_BENCH_RSS_H
#define SPINAT_BENCH_RSS_H

#include <stdbool.h>

#include "plan.h"

/*
 * Which worker a device's RSS gives the packets of a work's flows to, computed with the Toeplitz hash
 * that devices have, over addresses and ports (ESP: addresses) and a table of 128 entries.
 */

struct bench_rss {
	uint32_t flows; /* of the kind */
	double handed; /* share of first packets from inside that come to a worker not their owner */
	double handed_in; /* the same of first packets from outside: ESP and IKE have an owner */
	double met; /* share of flows whose answers come to the worker that has the other way */
	double met_chosen; /* the same where the outside port is chosen for it, out of eight */
};

/**
 * @param flows     whose outside addresses are known
 * @param kind      the only ones that are looked at
 * @param symmetric key, else the plain one
 */
void bench_rss_shares(const struct bench_flow *flows, uint32_t n, enum bench_kind kind,
	unsigned int workers, bool symmetric, struct bench_rss *shares);

#endif
