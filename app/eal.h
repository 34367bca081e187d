/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 the spinat authors
 */
#ifndef SPINAT_APP_EAL_H
#define SPINAT_APP_EAL_H

#include "config/conf.h"

/**
 * Starts the EAL as the configuration asks: lcores, memory, devices. Arguments of the user come
 * last, so that they win.
 *
 * @param argv user's EAL arguments, argc of them
 * @return 0, or negative errno with *err set
 */
int spinat_eal_start(
	const struct spinat_conf *conf, int argc, char **argv, struct spinat_conf_error *err);

/** Memory that a configuration takes, MiB, rounded up generously. */
uint32_t spinat_memory_wanted(const struct spinat_conf *conf);

#endif
