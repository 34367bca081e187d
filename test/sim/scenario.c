/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 the spinat authors
 */
#include "scenario.h"

const struct scenario *
scenario_find(const char *name __rte_unused)
{
	return NULL;
}

void
scenario_list(FILE *out __rte_unused)
{
}

const char *
scenario_run(struct sim *s __rte_unused, const struct scenario *scenario __rte_unused)
{
	return NULL;
}
