/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 the spinat authors
 */
#ifndef SPINAT_BENCH_PORTS_H
#define SPINAT_BENCH_PORTS_H

#include "config/conf.h"

/*
 * The engine between real devices, with whoever sends as the generator: workers run their loop, the
 * control lcore runs as in spinat, so that ARP is answered. Only turns that received something are
 * timed; what the drivers take of them is timed by itself.
 */

/**
 * Forwards for a while and prints, as JSON, what was received, sent and dropped, and what it took.
 *
 * @param conf    taken; the EAL runs
 * @param seconds from the moment that it forwards; SIGINT or SIGTERM end it earlier
 * @return 0, or -1 after a sentence on standard error
 */
int bench_ports(struct spinat_conf *conf, double seconds);

/** Installs the signal handlers that end it. Before the EAL starts. */
void bench_ports_signals(void);

#endif
