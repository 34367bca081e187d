/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 the spinat authors
 */
#include <stdlib.h>

#include "queue.h"
#include "world.h"

static bool
before(const struct event *a, const struct event *b)
{
	return a->at_us != b->at_us ? a->at_us < b->at_us : a->order < b->order;
}

void
queue_put(struct queue *q, uint64_t at_us, sim_action action, void *object, uint64_t arg)
{
	struct event e = {at_us, q->order++, action, object, arg};
	uint32_t i;

	if (q->n == q->size) {
		q->size = q->size > 0 ? 2 * q->size : 1024;
		q->heap = sim_alloc_again(q->heap, q->size * sizeof(e));
	}
	for (i = q->n++; i > 0 && before(&e, &q->heap[(i - 1) / 2]); i = (i - 1) / 2)
		q->heap[i] = q->heap[(i - 1) / 2];
	q->heap[i] = e;
}

bool
queue_take(struct queue *q, uint64_t until_us, struct event *e)
{
	struct event last;
	uint32_t i = 0, child;

	if (q->n == 0 || q->heap[0].at_us > until_us)
		return false;
	*e = q->heap[0];
	last = q->heap[--q->n];
	while ((child = 2 * i + 1) < q->n) {
		if (child + 1 < q->n && before(&q->heap[child + 1], &q->heap[child]))
			child++;
		if (!before(&q->heap[child], &last))
			break;
		q->heap[i] = q->heap[child];
		i = child;
	}
	q->heap[i] = last;
	return true;
}

void
queue_free(struct queue *q)
{
	free(q->heap);
}
