/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 the spinat authors
 */
#ifndef SPINAT_NET_PORT_H
#define SPINAT_NET_PORT_H

#include <stdbool.h>
#include <stdint.h>

#include <rte_ether.h>
#include <rte_mempool.h>

#include "config/conf.h"

/*
 * Ethernet devices. Probed, configured and started by the control lcore before the workers run;
 * read-only afterwards. One receive and one transmit queue a worker.
 */

struct spinat_port {
	uint16_t port_id; /* of the ethdev */
	uint16_t device; /* index in conf->devices */
	char driver[64];
	struct rte_ether_addr mac;
	bool hw_rx_ip_checksum; /* the device verifies IPv4 header checksums */
	bool hw_tx_ip_checksum; /* the device can write IPv4 header checksums */
	uint16_t n_rx_queues, n_tx_queues;
};

/**
 * Probes every device of the configuration (rte_dev_probe), applies its driver's values, sets up
 * n_queues receive and transmit queues each, checks the MTU, starts it.
 *
 * @param ports   filled, one for each of conf->devices, in order
 * @param err     one clear sentence on failure: device missing, driver not bound, too few queues
 *                (how many it has, how many workers want), MTU too large for it, no memory
 * @return 0 or negative errno
 */
int spinat_ports_start(const struct spinat_conf *conf, uint16_t n_queues, struct rte_mempool *pool,
	struct spinat_port *ports, struct spinat_conf_error *err);

/** Stops and closes the devices. Control lcore, after the workers have stopped. */
void spinat_ports_stop(struct spinat_port *ports, uint16_t n);

#endif
