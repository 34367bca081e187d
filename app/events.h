/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 the spinat authors
 */
#ifndef SPINAT_APP_EVENTS_H
#define SPINAT_APP_EVENTS_H

#include "records.h"
#include "datapath/engine.h"

/* What workers have noticed, as lines of the log. Control lcore only. */

struct spinat_events;

/** @return NULL without memory. */
struct spinat_events *spinat_events_create(struct spinat_engine *e);
void spinat_events_free(struct spinat_events *v);

/** Logs what is in the engine's ring of events, some of it, and records what is to be recorded. */
void spinat_events_serve(struct spinat_events *v, struct spinat_records *records);

#endif
