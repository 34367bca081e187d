/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 the spinat authors
 */
#include "telemetry/handlers.h"

/* /spinat/checkpoint */

static void
add_kinds(struct rte_tel_data *data, const char *name, const uint64_t rows[SPINAT_STATE_KINDS])
{
	struct rte_tel_data *d = rte_tel_data_alloc();

	if (d == NULL)
		return;
	rte_tel_data_start_dict(d);
	for (unsigned int k = 0; k < SPINAT_STATE_KINDS; k++)
		rte_tel_data_add_dict_u64(d, spinat_state_kind_name(k), rows[k]);
	rte_tel_data_add_dict_container(data, name, d, 0);
}

static void
add_skipped(struct rte_tel_data *data, const struct spinat_state_stats *s)
{
	struct rte_tel_data *d = rte_tel_data_alloc();

	if (d == NULL)
		return;
	rte_tel_data_start_dict(d);
	for (unsigned int r = SPINAT_RESTORED + 1; r < SPINAT_RESTORED_COUNT; r++)
		rte_tel_data_add_dict_u64(d, spinat_state_skip_name(r), s->skipped[r]);
	rte_tel_data_add_dict_container(data, "skipped", d, 0);
}

int
handle_checkpoint(const struct spinat_telemetry *t, const char *params, struct rte_tel_data *data)
{
	const struct spinat_conf *conf = t->engine->snapshot->conf;
	const struct spinat_state_stats *s = spinat_state_stats_get(t->state);
	const uint64_t now_ms = spinat_engine_now_ms(t->engine);
	struct filter f;

	if (filter_parse(params, "", &f) != 0)
		return answer_error(data, f.error);
	rte_tel_data_start_dict(data);
	rte_tel_data_add_dict_string(data, "file", conf->checkpoint.file);
	rte_tel_data_add_dict_u64(data, "interval_s", conf->checkpoint.interval);
	rte_tel_data_add_dict_u64(data, "written", s->written);
	rte_tel_data_add_dict_u64(data, "failures", s->failures);
	rte_tel_data_add_dict_string(data, "failure", s->error.text);
	if (s->ended_ms != 0) {
		rte_tel_data_add_dict_u64(
			data, "age_s", now_ms > s->ended_ms ? (now_ms - s->ended_ms) / 1000 : 0);
		rte_tel_data_add_dict_u64(data, "bytes", s->bytes);
		rte_tel_data_add_dict_u64(data, "gather_ms", s->gather_ms);
		rte_tel_data_add_dict_u64(data, "write_ms", s->write_ms);
		add_kinds(data, "rows", s->rows);
	}
	rte_tel_data_add_dict_string(data, "refused", s->refused.text);
	if (s->found) {
		rte_tel_data_add_dict_u64(data, "down_ms", s->down_ms);
		rte_tel_data_add_dict_u64(data, "restore_ms", s->restore_ms);
		add_kinds(data, "restored", s->restored);
		add_skipped(data, s);
	}
	return 0;
}
