/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 the spinat authors
 */
#ifndef SPINAT_STATE_SAVE_H
#define SPINAT_STATE_SAVE_H

#include <pthread.h>

#include "state/state.h"

/* Within lib/state. */

enum state_phase { STATE_IDLE, STATE_GATHERS, STATE_WRITES };

struct spinat_state {
	struct spinat_engine *engine;
	struct spinat_state_stats stats; /* changed under control_lock */
	enum state_phase phase;
	bool wanted; /* asked for, and not begun */
	bool serving; /* the one under way was asked for */
	uint64_t due_ms;
	/* the checkpoint under way: header, rows, room for the digest */
	uint8_t *data;
	size_t len, room;
	enum spinat_state_kind kind; /* where it has come to */
	uint16_t worker;
	uint32_t index;
	uint64_t begin_ms; /* and the time that its rows are of */
	uint64_t gathered_ms;
	char path[SPINAT_STATE_PATH_LEN];
	/* shared with the thread that writes */
	pthread_t thread;
	bool written; /* release by the thread: it is done */
	int result;
	struct spinat_conf_error error;
};

#endif
