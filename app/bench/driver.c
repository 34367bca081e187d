/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 the spinat authors
 */
#include <stdlib.h>

#include <rte_ethdev.h>

#include "driver.h"
#include "samples.h"

struct queue {
	struct bench_driver *driver;
	uint16_t port_id;
	void *rx_queue, *tx_queue; /* the driver's own */
	eth_rx_burst_t rx;
	eth_tx_burst_t tx;
};

static void
add_call(struct bench_driver *d, uint64_t from)
{
	const uint64_t cycles = rte_rdtsc_precise() - from;

	d->cycles += cycles > bench_timer_cycles ? cycles - bench_timer_cycles : 0;
	d->calls++;
}

static uint16_t
timed_rx(void *queue, struct rte_mbuf **mbufs, uint16_t n)
{
	struct queue *q = queue;
	const uint64_t from = rte_rdtsc_precise();

	n = q->rx(q->rx_queue, mbufs, n);
	add_call(q->driver, from);
	q->driver->received[q->port_id] += n;
	return n;
}

static uint16_t
timed_tx(void *queue, struct rte_mbuf **mbufs, uint16_t n)
{
	struct queue *q = queue;
	const uint64_t from = rte_rdtsc_precise();

	n = q->tx(q->tx_queue, mbufs, n);
	add_call(q->driver, from);
	q->driver->sent[q->port_id] += n;
	return n;
}

int
bench_driver_attach(uint16_t port_id, uint16_t n_queues, struct bench_driver *drivers)
{
	/* what the inline functions of rte_ethdev.h call; starting and stopping a port sets it */
	struct rte_eth_fp_ops *ops = &rte_eth_fp_ops[port_id];
	struct queue *queues = calloc(n_queues, sizeof(*queues));
	void **data = calloc(n_queues, sizeof(*data));

	/* they are used until the process ends */
	if (queues == NULL || data == NULL) {
		free(queues);
		free(data);
		return -1;
	}
	for (uint16_t i = 0; i < n_queues; i++) {
		queues[i] = (struct queue){.driver = &drivers[i],
			.port_id = port_id,
			.rx_queue = ops->rxq.data[i],
			.tx_queue = ops->txq.data[i],
			.rx = ops->rx_pkt_burst,
			.tx = ops->tx_pkt_burst};
		data[i] = &queues[i];
	}
	ops->rxq.data = data;
	ops->txq.data = data;
	ops->rx_pkt_burst = timed_rx;
	ops->tx_pkt_burst = timed_tx;
	return 0;
}
