/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 the spinat authors
 */
#ifndef SPINAT_SIM_QUEUE_H
#define SPINAT_SIM_QUEUE_H

#include <stdbool.h>
#include <stdint.h>

struct sim;

/** What happens at a time. */
typedef void (*sim_action)(struct sim *s, void *object, uint64_t arg);

struct event {
	uint64_t at_us;
	uint64_t order; /* events of the same time happen in the order they were put in */
	sim_action action;
	void *object;
	uint64_t arg;
};

/** Future events, a binary heap. Zeroed: empty. */
struct queue {
	struct event *heap;
	uint32_t n, size;
	uint64_t order;
};

void queue_put(struct queue *q, uint64_t at_us, sim_action action, void *object, uint64_t arg);
/** The next event; false where there is none up to until_us. */
bool queue_take(struct queue *q, uint64_t until_us, struct event *e);
void queue_free(struct queue *q);

#endif
