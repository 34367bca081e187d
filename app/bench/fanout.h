/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 the spinat authors
 */
#ifndef SPINAT_BENCH_FANOUT_H
#define SPINAT_BENCH_FANOUT_H

#include "measure.h"

/*
 * ESP from gateways that several clients have opened a pair to, on SPIs that none of them has shown
 * to be its own: each packet goes to all of them.
 */

/**
 * Lets all clients send, then the gateways, again and again, and checks every copy.
 *
 * @param first a packet with an SPI not seen before; cycles a packet that came in, sending included
 * @param later the same of packets with an SPI that is still not settled
 * @return 0, or -1 after a sentence on standard error
 */
int bench_fanout(struct bench_meter *m, struct bench_rig *r, struct bench_figures *first,
	struct bench_figures *later);

#endif
