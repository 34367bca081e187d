/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 the spinat authors
 */
#ifndef SPINAT_APP_CONTROL_H
#define SPINAT_APP_CONTROL_H

#include "datapath/engine.h"
#include "state/state.h"

/*
 * The control lcore: ARP, reloads, checkpoints, what workers have noticed, until it is told to stop.
 */

struct spinat_control;

/** @return NULL without memory. */
struct spinat_control *spinat_control_create(struct spinat_engine *e);
void spinat_control_free(struct spinat_control *c);

/** The neighbours, for telemetry. */
struct spinat_neigh *spinat_control_neigh(struct spinat_control *c);

/** The checkpoint, for telemetry. */
struct spinat_state *spinat_control_state(struct spinat_control *c);

/** Puts back what the last checkpoint has kept. Before the workers start. */
void spinat_control_restore(struct spinat_control *c);

/** Runs until a SIGTERM or SIGINT; SIGHUP reloads. */
void spinat_control_run(struct spinat_control *c);

/** Asks for a reload and waits for its end. Any thread but the control lcore's. */
void spinat_control_reload(void *control, char *answer, size_t size);

/** Asks for a checkpoint and waits for its end. Any thread but the control lcore's. */
void spinat_control_checkpoint(void *control, char *answer, size_t size);

/** Has an operator's order about an SPI done and waits. Any thread but the control lcore's. */
void spinat_control_order(
	void *control, const struct spinat_order *order, char *answer, size_t size);

/** Writes the last checkpoint. The workers have stopped. */
void spinat_control_finish(struct spinat_control *c);

/** Installs the signal handlers. Before the EAL starts, so that no signal is lost. */
void spinat_control_signals(void);

#endif
