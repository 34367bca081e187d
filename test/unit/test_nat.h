/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 the spinat authors
 */
#ifndef TEST_NAT_H
#define TEST_NAT_H

#include <check.h>

/* Test cases of lib/nat that stand in files of their own. */
TCase *nat_ahead_case(void);
TCase *nat_client_case(void);
TCase *nat_lease_case(void);
TCase *nat_tcp_case(void);

#endif
