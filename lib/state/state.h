/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 the spinat authors
 */
#ifndef SPINAT_STATE_STATE_H
#define SPINAT_STATE_STATE_H

#include <stdbool.h>
#include <stdint.h>

#include "datapath/engine.h"
#include "nat/restore.h"
#include "state/file.h"

/*
 * State that survives a restart: the control lcore copies the workers' tables, some rows in each of
 * its turns, while they go on; a thread of its own writes the copy to the file that the
 * configuration names. All functions are the control lcore's.
 */

struct spinat_state;

/** Read by telemetry, under the engine's control_lock. */
struct spinat_state_stats {
	uint64_t written, failures; /* checkpoints since start */
	struct spinat_conf_error error; /* why the last one failed; empty where it did not */
	/* of the last one written; ended_ms 0: there was none */
	uint64_t ended_ms, bytes;
	uint64_t rows[SPINAT_STATE_KINDS];
	uint64_t gather_ms, write_ms;
	/* of the start */
	struct spinat_conf_error refused; /* why the file was refused; empty where it was not */
	bool found; /* there was a good file */
	uint64_t down_ms; /* from that checkpoint to the start */
	uint64_t restore_ms;
	uint64_t restored[SPINAT_STATE_KINDS];
	uint64_t skipped[SPINAT_RESTORED_COUNT]; /* by enum spinat_restored */
};

/** Names of kinds and of reasons why rows are skipped, for telemetry and the log. */
const char *spinat_state_kind_name(enum spinat_state_kind kind);
const char *spinat_state_skip_name(enum spinat_restored reason);

/** @return NULL without memory. */
struct spinat_state *spinat_state_create(struct spinat_engine *e);
void spinat_state_free(struct spinat_state *s);

const struct spinat_state_stats *spinat_state_stats_get(const struct spinat_state *s);

/**
 * Reads the file and puts back what the configuration still permits and time has not ended. A file
 * that is refused is moved aside. Before the workers start.
 *
 * @return 0, also where there is no file or none is configured; or negative errno with *err saying
 *         why nothing was restored
 */
int spinat_state_restore(struct spinat_state *s, struct spinat_conf_error *err);

/** Asks for a checkpoint that begins after now. */
void spinat_state_want(struct spinat_state *s);

/** What a turn has ended. */
enum spinat_state_end {
	SPINAT_STATE_GOES_ON, /* nothing */
	SPINAT_STATE_ENDED, /* a checkpoint, written or failed: the statistics say which */
	SPINAT_STATE_ENDED_WANTED, /* the same, and it is the one that was asked for */
};

/** A bounded piece of the work that is due: copies some rows, or looks whether they are written. */
enum spinat_state_end spinat_state_turn(struct spinat_state *s, uint64_t now_ms);

/**
 * Writes a last checkpoint, whole. The workers have stopped.
 *
 * @return 0, also where none is configured; or negative errno with the statistics' error
 */
int spinat_state_finish(struct spinat_state *s);

#endif
