/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 the spinat authors
 */
#ifndef SPINAT_SIM_SCENARIO_H
#define SPINAT_SIM_SCENARIO_H

#include <stdio.h>

#include "world.h"

/* Small worlds with a stated expectation. */
struct scenario;

/** NULL: no such scenario. */
const struct scenario *scenario_find(const char *name);
/** One a line: name, what it is, what covers its part on the wire; separated by tabs. */
void scenario_list(FILE *out);
/** Members of a JSON object: what it is, and what came of it. */
void scenario_print(FILE *out, const struct scenario *scenario, const char *failed);
/** Makes its worlds, runs them, and says what does not hold: NULL where all does. The last world
 * stays, to be reported. s->p, conf and box_ops are set. */
const char *scenario_run(struct sim *s, const struct scenario *scenario);

#endif
