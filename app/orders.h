/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 the spinat authors
 */
#ifndef SPINAT_APP_ORDERS_H
#define SPINAT_APP_ORDERS_H

#include <stddef.h>

#include "datapath/engine.h"

/* Orders of an operator about SPIs, on their way from telemetry to the worker concerned. */

struct spinat_orders;

/** @return NULL without memory. */
struct spinat_orders *spinat_orders_create(struct spinat_engine *e);
void spinat_orders_free(struct spinat_orders *o);

/**
 * Has an order done and waits for its end. Any thread but the control lcore's.
 *
 * @param answer filled with "ok: ..." or "error: ..."
 */
void spinat_orders_ask(
	struct spinat_orders *o, const struct spinat_order *order, char *answer, size_t size);

/** Passes on what is asked for, answers what is done. Control lcore. */
void spinat_orders_serve(struct spinat_orders *o);

#endif
