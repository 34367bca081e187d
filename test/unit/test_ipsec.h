/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 the spinat authors
 */
#ifndef SPINAT_TEST_IPSEC_H
#define SPINAT_TEST_IPSEC_H

#include <check.h>

/* Cases of the binder's test that have a file of their own. */
TCase *test_ipsec_hold(void);
TCase *test_ipsec_ike_port(void);
TCase *test_ipsec_order(void);
TCase *test_ipsec_outside(void);
TCase *test_ipsec_same(void);
TCase *test_ipsec_udp(void);

#endif
