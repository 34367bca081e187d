/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 the spinat authors
 */
#include "state/kinds.h"

static uint32_t
flow_count(const struct spinat_worker *w)
{
	return spinat_nat_rows(w->nat);
}

static bool
flow_save(const struct spinat_worker *w, uint32_t index, uint64_t at_ms, void *row)
{
	return spinat_nat_export(w->nat, index, at_ms / 1000, row);
}

static enum spinat_restored
flow_restore(struct spinat_engine *e, const void *row, uint64_t now_ms, uint64_t down_ms)
{
	struct spinat_worker *w = e->workers[spinat_nat_row_owner(row, e->n_workers)];

	return spinat_nat_restore(
		w->nat, e->snapshot->conf, row, now_ms / 1000, (down_ms + 999) / 1000);
}

const struct state_source state_sources[SPINAT_STATE_KINDS] = {
	[SPINAT_STATE_FLOWS] = {"sessions", flow_count, flow_save, flow_restore},
};

const char *
spinat_state_kind_name(enum spinat_state_kind kind)
{
	return state_sources[kind].name;
}

const char *
spinat_state_skip_name(enum spinat_restored reason)
{
	static const char *const names[SPINAT_RESTORED_COUNT] = {
		[SPINAT_RESTORED] = "restored",
		[SPINAT_SKIPPED_EXPIRED] = "expired",
		[SPINAT_SKIPPED_FORBIDDEN] = "forbidden",
		[SPINAT_SKIPPED_WORKER] = "worker",
		[SPINAT_SKIPPED_CLASH] = "clash",
		[SPINAT_SKIPPED_FULL] = "full",
		[SPINAT_SKIPPED_INVALID] = "invalid",
	};

	return names[reason];
}
