/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 the spinat authors
 */
#include "datapath/stage.h"

RTE_DEFINE_PER_LCORE(struct spinat_stages, spinat_stages);
