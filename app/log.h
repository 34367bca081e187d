/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 the spinat authors
 */
#ifndef SPINAT_APP_LOG_H
#define SPINAT_APP_LOG_H

#include <rte_log.h>

/* One event a line, key=value, through rte_log. Control lcore only: workers never log. */

extern int spinat_logtype;

#define LOG(level, fmt, ...) \
	rte_log(RTE_LOG_##level, spinat_logtype, "spinat: " fmt "\n", ##__VA_ARGS__)

#endif
