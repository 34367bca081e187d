/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 the spinat authors
 */
#include "ipsec/binder_state.h"
#include "nat/hash.h"
#include "state/kinds.h"

/* --- sessions ------------------------------------------------------------------------------------- */

static uint32_t
flow_count(const struct spinat_worker *w)
{
	return spinat_nat_rows(w->nat);
}

static unsigned int
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

/* --- what the binder has ---------------------------------------------------------------------------- */

static struct spinat_binder *
binder_of(const struct spinat_engine *e, const struct spinat_row_owner *o)
{
	return e->workers[spinat_owner(o->gateway, 0, e->n_workers)]->binder;
}

/* The client keeps its outside address, whichever of its packets comes first. */
static void
keep_outside(struct spinat_engine *e, const struct spinat_row_owner *o, uint64_t now_ms)
{
	const struct spinat_conf *conf = e->snapshot->conf;

	if (spinat_nat_has_choice(conf, o->realm, o->client))
		spinat_nat_lease(e->workers[spinat_owner(o->client, o->realm, e->n_workers)]->nat,
			conf, o->realm, o->client, o->outside, now_ms / 1000);
}

/* The same; and where IKE with the gateway has port 500, it keeps it. */
static void
keep_ike(struct spinat_engine *e, const struct spinat_row_owner *o, uint64_t now_ms)
{
	keep_outside(e, o, now_ms);
	if (o->flags & (SPINAT_ROW_PORT_OTHER | SPINAT_ROW_PORT_4500))
		return;
	spinat_ike_ports_remember(e->workers[spinat_owner(o->gateway, 0, e->n_workers)]->ike_ports,
		o->gateway, now_ms / 1000);
}

static enum spinat_restored
outcome(enum spinat_binder_restored done)
{
	static const enum spinat_restored outcomes[] = {
		[SPINAT_BINDER_RESTORED] = SPINAT_RESTORED,
		[SPINAT_BINDER_EXPIRED] = SPINAT_SKIPPED_EXPIRED,
		[SPINAT_BINDER_FORBIDDEN] = SPINAT_SKIPPED_FORBIDDEN,
		[SPINAT_BINDER_CLASH] = SPINAT_SKIPPED_CLASH,
		[SPINAT_BINDER_FULL] = SPINAT_SKIPPED_FULL,
		[SPINAT_BINDER_INVALID] = SPINAT_SKIPPED_INVALID,
	};

	return outcomes[done];
}

#define BINDER_SOURCE(what, type, count, save_, restore_, keep_)                                  \
	static uint32_t what##_count(const struct spinat_worker *w)                               \
	{                                                                                         \
		return count(w->binder);                                                          \
	}                                                                                         \
	static unsigned int what##_save(                                                          \
		const struct spinat_worker *w, uint32_t index, uint64_t at_ms, void *rows)        \
	{                                                                                         \
		return save_(w->binder, index, at_ms, rows);                                      \
	}                                                                                         \
	static enum spinat_restored what##_restore(                                               \
		struct spinat_engine *e, const void *row, uint64_t now_ms, uint64_t down_ms)      \
	{                                                                                         \
		const type *r = row;                                                              \
		enum spinat_binder_restored done =                                                \
			restore_(binder_of(e, &r->owner), e->snapshot->conf, r, now_ms, down_ms); \
                                                                                                  \
		if (done == SPINAT_BINDER_RESTORED)                                               \
			keep_(e, &r->owner, now_ms);                                              \
		return outcome(done);                                                             \
	}

BINDER_SOURCE(ike, struct spinat_ike_sa_row, spinat_binder_ike_rows, spinat_binder_save_ike,
	spinat_binder_restore_ike, keep_ike)
BINDER_SOURCE(spi, struct spinat_spi_row, spinat_binder_spi_rows, spinat_binder_save_spi,
	spinat_binder_restore_spi, keep_outside)
BINDER_SOURCE(credit, struct spinat_credit_row, spinat_binder_credit_rows,
	spinat_binder_save_credits, spinat_binder_restore_credit, keep_outside)

const struct state_source state_sources[SPINAT_STATE_KINDS] = {
	[SPINAT_STATE_FLOWS] = {"sessions", flow_count, 1, flow_save, flow_restore},
	[SPINAT_STATE_IKE] = {"ike", ike_count, 1, ike_save, ike_restore},
	[SPINAT_STATE_SPIS] = {"bindings", spi_count, 1, spi_save, spi_restore},
	[SPINAT_STATE_CREDITS] = {"credits", credit_count, SPINAT_CREDIT_ROWS, credit_save,
		credit_restore},
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
