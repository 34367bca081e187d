/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 the spinat authors
 */
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include <rte_common.h>
#include <rte_eal.h>

#include "test_packet.h"

uint64_t test_seed;

int
main(int argc, char **argv)
{
	char *eal[] = {argv[0], "--no-huge", "--no-pci", "--no-shconf", "-m", "64", "-l", "0",
		"--no-telemetry", "--log-level=error", NULL};
	const char *seed = getenv("SPINAT_TEST_SEED");
	SRunner *runner;
	Suite *suite;
	int failed;

	(void)argc;
	test_seed = seed != NULL ? strtoull(seed, NULL, 0) : (uint64_t)time(NULL);
	test_seed |= 1; /* the generator takes no 0 */
	printf("SPINAT_TEST_SEED=%llu\n", (unsigned long long)test_seed);
	if (rte_eal_init(RTE_DIM(eal) - 1, eal) < 0)
		return EXIT_FAILURE;
	suite = suite_create("packet");
	suite_add_tcase(suite, test_parse());
	suite_add_tcase(suite, test_parse_drops());
	suite_add_tcase(suite, test_plain());
	suite_add_tcase(suite, test_checksum());
	suite_add_tcase(suite, test_icmp_error());
	suite_add_tcase(suite, test_frag());
	suite_add_tcase(suite, test_frag_limits());
	suite_add_tcase(suite, test_frag_time());
	suite_add_tcase(suite, test_mss());
	runner = srunner_create(suite);
	srunner_run_all(runner, CK_NORMAL);
	failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	rte_eal_cleanup();
	return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
