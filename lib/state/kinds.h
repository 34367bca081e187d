/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 the spinat authors
 */
#ifndef SPINAT_STATE_KINDS_H
#define SPINAT_STATE_KINDS_H

#include "state/state.h"

/* Within lib/state: where the rows of each kind come from and where they go. */

struct state_source {
	const char *name;
	/** Indices of a worker's table that may hold a row are below this. */
	uint32_t (*count)(const struct spinat_worker *w);
	uint32_t rows; /* of one index, at most */
	/** Copies the rows of an index as they were at a time of the engine's clock; how many. */
	unsigned int (*save)(
		const struct spinat_worker *w, uint32_t index, uint64_t at_ms, void *rows);
	/** Puts a row back that was saved down_ms ago. */
	enum spinat_restored (*restore)(
		struct spinat_engine *e, const void *row, uint64_t now_ms, uint64_t down_ms);
};

extern const struct state_source state_sources[SPINAT_STATE_KINDS];

#endif
