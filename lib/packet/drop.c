/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 the spinat authors
 */
#include "packet/drop.h"

const struct spinat_drop_info spinat_drop_info[SPINAT_DROP_COUNT] = {
	[SPINAT_DROP_NONE] = {"none", "not dropped"},
#define SPINAT_DROP_ROW(name, id, text) [SPINAT_DROP_##name] = {id, text},
	SPINAT_DROPS(SPINAT_DROP_ROW)
#undef SPINAT_DROP_ROW
};
