/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 the spinat authors
 */
#ifndef TEST_NAT_INDEX_H
#define TEST_NAT_INDEX_H

#include <check.h>

TCase *nat_index_cases(void);

#endif
