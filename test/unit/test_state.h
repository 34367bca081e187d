/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 the spinat authors
 */
#ifndef TEST_STATE_H
#define TEST_STATE_H

#include <check.h>

#include <rte_rcu_qsbr.h>

#include "nat/nat.h"

/* Shared by the tests of lib/state. */

#define TEST_READERS 17 /* of the RCU variable, as in the engine */

/** A folder of this run, and the checkpoint's file in it. */
extern char test_folder[];
extern char test_path[64];
extern struct rte_rcu_qsbr *test_qsbr;

/** A configuration of two interfaces with more settings behind, to be freed. */
struct spinat_conf *test_conf(const char *more);

/** An address of text. */
rte_be32_t test_ip(const char *text);

TCase *test_state_flows(void);
TCase *test_state_binder(void);
TCase *test_state_save(void);

#endif
