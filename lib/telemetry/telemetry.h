/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 the spinat authors
 */
#ifndef SPINAT_TELEMETRY_TELEMETRY_H
#define SPINAT_TELEMETRY_TELEMETRY_H

#include <stddef.h>

#include "datapath/engine.h"
#include "net/neigh.h"
#include "state/state.h"

/*
 * The /spinat/... commands of the DPDK telemetry socket. Handlers run on threads of the telemetry
 * library: they read counters and tables that workers write, and never stall one. Lists are paged
 * by a cursor, since an answer has at most 16 KiB.
 */

struct spinat_telemetry {
	struct spinat_engine *engine;
	struct spinat_neigh *neigh;
	struct spinat_state *state;
	/**
	 * Asks the control lcore for a reload and waits for its answer.
	 *
	 * @param answer filled with "ok: ..." or "error: ..."
	 */
	void (*reload)(void *ctx, char *answer, size_t size);
	/** The same for a checkpoint. */
	void (*checkpoint)(void *ctx, char *answer, size_t size);
	/** The same for what an operator decides about an SPI. */
	void (*order)(void *ctx, const struct spinat_order *order, char *answer, size_t size);
	void *ctx;
};

/** Registers the commands. Control lcore, once. @return 0 or negative errno */
int spinat_telemetry_start(const struct spinat_telemetry *t);

/** From now on every command answers with an error: the engine is about to go. */
void spinat_telemetry_stop(void);

#endif
