/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 the spinat authors
 */
#include "aging.h"

/* As many flows as a turn of the worker looks at. */
#define BUDGET 32

static void
sweep(struct bench_rig *r)
{
	spinat_nat_sweep(r->worker->nat, r->engine->snapshot->conf, r->worker->now_s, BUDGET);
}

void
bench_age_look(struct bench_rig *r, struct bench_samples *s)
{
	for (uint32_t looked = 0; looked < r->worker->nat->table->high; looked += BUDGET) {
		const uint64_t from = rte_rdtsc_precise();

		sweep(r);
		bench_samples_add(s, from, rte_rdtsc_precise(), BUDGET);
	}
}

void
bench_age_out(struct bench_rig *r, struct bench_samples *s)
{
	struct spinat_nat *nat = r->worker->nat;

	r->worker->now_ms += (BENCH_TIMEOUT_S + 1) * UINT64_C(1000);
	r->worker->now_s = r->worker->now_ms / 1000;
	while (nat->sessions > 0) {
		const uint32_t before = nat->sessions;
		const uint64_t from = rte_rdtsc_precise();

		sweep(r);
		if (nat->sessions < before)
			bench_samples_add(s, from, rte_rdtsc_precise(), before - nat->sessions);
		/* nobody reads what has ended any more */
		rte_rcu_qsbr_quiescent(r->engine->qsbr, r->worker->id);
	}
	/* the flows wait in two lots at most */
	for (unsigned int lot = 0; lot < 2; lot++) {
		spinat_table_reclaim(nat->table, nat->table->capacity);
		rte_rcu_qsbr_quiescent(r->engine->qsbr, r->worker->id);
	}
	spinat_table_reclaim(nat->table, nat->table->capacity);
}
