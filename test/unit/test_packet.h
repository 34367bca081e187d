/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 the spinat authors
 */
#ifndef SPINAT_TEST_PACKET_H
#define SPINAT_TEST_PACKET_H

#include <check.h>
#include <stdint.h>

/* Seed of all that is random in these tests; printed, and set by the variable SPINAT_TEST_SEED. */
extern uint64_t test_seed;

TCase *test_parse(void);
TCase *test_parse_drops(void);
TCase *test_plain(void);
TCase *test_checksum(void);
TCase *test_icmp_error(void);
TCase *test_frag(void);
TCase *test_frag_limits(void);
TCase *test_frag_time(void);
TCase *test_mss(void);

#endif
