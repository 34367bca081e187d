/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 the spinat authors
 */
#include "telemetry/handlers.h"

/* /spinat/sessions, /spinat/mappings. A cursor is (worker, index of the table). */

static bool
session_matches(const struct spinat_flow *s, const struct filter *f)
{
	return (s->type == SPINAT_FLOW_SESSION || s->type == SPINAT_FLOW_STATIC) &&
	       (f->protocol == 0 || f->protocol == s->proto) &&
	       (f->client == 0 || f->client == s->new_addr[SPINAT_IN]) &&
	       (f->outside == 0 || f->outside == s->new_addr[SPINAT_OUT]) &&
	       (f->remote == 0 || f->remote == s->remote_addr) &&
	       (f->realm < 0 || f->realm == s->realm);
}

static void
session_row(struct rte_tel_data *row, const struct spinat_worker *w, const struct spinat_conf *conf,
	const struct spinat_flow *s, uint32_t now_s)
{
	/* the worker may have seen a packet since now was read */
	const uint32_t idle = now_s > s->last_seen ? now_s - s->last_seen : 0;
	char buf[8];

	rte_tel_data_add_dict_u64(row, "worker", w->id);
	rte_tel_data_add_dict_u64(row, "realm", s->realm);
	rte_tel_data_add_dict_string(row, "protocol", protocol_name(s->proto, buf, sizeof(buf)));
	add_endpoint(row, "inside", s->new_addr[SPINAT_IN], s->new_port[SPINAT_IN]);
	add_endpoint(row, "outside", s->new_addr[SPINAT_OUT], s->new_port[SPINAT_OUT]);
	add_endpoint(row, "remote", s->remote_addr, s->remote_port);
	rte_tel_data_add_dict_string(row, "state", spinat_flow_state(s));
	rte_tel_data_add_dict_u64(row, "idle_s", idle);
	rte_tel_data_add_dict_u64(row, "timeout_s", spinat_flow_timeout(conf, s));
}

int
handle_sessions(const struct spinat_telemetry *t, const char *params, struct rte_tel_data *data)
{
	const struct spinat_engine *e = t->engine;
	const uint32_t now_s = spinat_engine_now_ms(e) / 1000;
	uint32_t scanned = 0;
	struct filter f;
	struct list l;
	uint64_t w;
	uint32_t i;

	if (filter_parse(params, "protocol client remote outside realm limit cursor", &f) != 0)
		return answer_error(data, f.error);
	if (list_start(&l, data, &f, ROWS_MAX) != 0)
		return -ENOMEM;
	i = (uint32_t)f.cursor;
	for (w = f.cursor >> 32; w < e->n_workers; w++, i = 0) {
		const struct spinat_table *table = e->workers[w]->nat->table;

		for (; i < table->high; i++) {
			const struct spinat_flow flow = table->flows[i];
			struct rte_tel_data *row;

			if (l.n == l.limit || ++scanned > SCAN_MAX) {
				list_end(&l, true, w << 32 | i);
				return 0;
			}
			if (!session_matches(&flow, &f) || (row = list_row(&l)) == NULL)
				continue;
			session_row(row, e->workers[w], e->snapshot->conf, &flow, now_s);
		}
	}
	list_end(&l, false, 0);
	return 0;
}

static bool
mapping_matches(const struct spinat_mapping *m, const struct filter *f)
{
	return (f->protocol == 0 || f->protocol == m->proto) &&
	       (f->client == 0 || f->client == m->in_addr) &&
	       (f->outside == 0 || f->outside == m->out_addr) &&
	       (f->realm < 0 || f->realm == m->realm);
}

static void
mapping_row(
	struct rte_tel_data *row, uint64_t worker, const struct spinat_mapping *m, uint32_t now_s)
{
	char buf[8];

	rte_tel_data_add_dict_u64(row, "worker", worker);
	rte_tel_data_add_dict_u64(row, "realm", m->realm);
	rte_tel_data_add_dict_string(row, "protocol", protocol_name(m->proto, buf, sizeof(buf)));
	add_endpoint(row, "inside", m->in_addr, m->in_port);
	add_endpoint(row, "outside", m->out_addr, m->out_port);
	if (m->use == SPINAT_MAPPING_OF_REMOTE)
		add_endpoint(row, "remote", m->remote_addr, m->remote_port);
	rte_tel_data_add_dict_u64(row, "sessions", m->sessions);
	rte_tel_data_add_dict_u64(row, "age_s", now_s > m->created ? now_s - m->created : 0);
}

int
handle_mappings(const struct spinat_telemetry *t, const char *params, struct rte_tel_data *data)
{
	const struct spinat_engine *e = t->engine;
	const uint32_t now_s = spinat_engine_now_ms(e) / 1000;
	uint32_t scanned = 0;
	struct filter f;
	struct list l;
	uint64_t w;
	uint32_t i;

	if (filter_parse(params, "protocol client outside realm limit cursor", &f) != 0)
		return answer_error(data, f.error);
	if (list_start(&l, data, &f, ROWS_MAX) != 0)
		return -ENOMEM;
	i = (uint32_t)f.cursor;
	for (w = f.cursor >> 32; w < e->n_workers; w++, i = 0) {
		const struct spinat_mappings *table = e->workers[w]->nat->mappings;

		for (; i < spinat_mapping_capacity(table); i++) {
			struct spinat_mapping m;
			struct rte_tel_data *row;

			if (l.n == l.limit || ++scanned > SCAN_MAX) {
				list_end(&l, true, w << 32 | i);
				return 0;
			}
			if (!spinat_mapping_row(table, i, &m) || !mapping_matches(&m, &f) ||
				(row = list_row(&l)) == NULL)
				continue;
			mapping_row(row, w, &m, now_s);
		}
	}
	list_end(&l, false, 0);
	return 0;
}
