/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 the spinat authors
 */
#ifndef SPINAT_BENCH_AGING_H
#define SPINAT_BENCH_AGING_H

#include "rig.h"
#include "samples.h"

/*
 * What the worker's sweep costs: to look at a flow that stays, and to end one. Called between the
 * worker's turns, on its lcore.
 */

/** Sweeps the table once, no flow being old enough. @param s cycles for each flow looked at */
void bench_age_look(struct bench_rig *r, struct bench_samples *s);

/**
 * Lets so much time pass for the worker that all flows end, and sweeps until they have.
 *
 * @param s cycles for each flow that ended
 */
void bench_age_out(struct bench_rig *r, struct bench_samples *s);

#endif
