/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 the spinat authors
 */
#ifndef SPINAT_BENCH_DRIVER_H
#define SPINAT_BENCH_DRIVER_H

#include <stdint.h>

#include <rte_common.h>
#include <rte_config.h>

/*
 * Counts what goes in and out of the drivers, and the cycles that their functions take. It stands
 * between rte_eth_rx_burst(), rte_eth_tx_burst() and what these call.
 */

/** What the drivers did for one worker; written by its lcore alone. */
struct bench_driver {
	uint64_t cycles; /* TSC, of all calls; what timing takes is not in it */
	uint64_t calls;
	uint64_t received[RTE_MAX_ETHPORTS], sent[RTE_MAX_ETHPORTS]; /* by port of the ethdev */
} __rte_cache_aligned;

/**
 * Puts itself between a port that has started and its driver, until the port stops. The control
 * lcore, before the workers start.
 *
 * @param drivers one for each queue, and so for each worker
 * @return 0, or -1 without memory
 */
int bench_driver_attach(uint16_t port_id, uint16_t n_queues, struct bench_driver *drivers);

#endif
