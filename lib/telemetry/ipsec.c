/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 the spinat authors
 */
#include <arpa/inet.h>
#include <inttypes.h>
#include <netinet/in.h>
#include <stdio.h>

#include "telemetry/handlers.h"

/* /spinat/bindings, /spinat/ike. A cursor is (worker, the binder's own cursor). */

static bool
matches(const struct filter *f, const struct spinat_client *client, rte_be32_t gateway,
	rte_be32_t outside)
{
	return (f->client == 0 || f->client == client->addr) &&
	       (f->remote == 0 || f->remote == gateway) &&
	       (f->outside == 0 || f->outside == outside) &&
	       (f->realm < 0 || f->realm == client->realm);
}

static void
add_parties(struct rte_tel_data *row, uint64_t worker, const struct spinat_client *client,
	rte_be32_t outside, rte_be32_t gateway)
{
	rte_tel_data_add_dict_u64(row, "worker", worker);
	rte_tel_data_add_dict_u64(row, "realm", client->realm);
	if (client->addr != 0)
		add_addr(row, "client", client->addr);
	else
		rte_tel_data_add_dict_string(row, "client", "");
	add_addr(row, "outside", outside);
	add_addr(row, "gateway", gateway);
}

static void
add_times(struct rte_tel_data *row, uint64_t now_ms, uint64_t created_ms, uint64_t last_ms)
{
	rte_tel_data_add_dict_u64(
		row, "age_s", now_ms > created_ms ? (now_ms - created_ms) / 1000 : 0);
	rte_tel_data_add_dict_u64(row, "idle_s", now_ms > last_ms ? (now_ms - last_ms) / 1000 : 0);
}

static void
add_candidates(struct rte_tel_data *row, const struct spinat_binding_row *b)
{
	struct rte_tel_data *list = rte_tel_data_alloc();
	char text[INET_ADDRSTRLEN];

	if (list == NULL)
		return;
	rte_tel_data_start_array(list, RTE_TEL_STRING_VAL);
	for (unsigned int i = 0; i < b->n_candidates; i++) {
		inet_ntop(AF_INET, &b->candidates[i].addr, text, sizeof(text));
		rte_tel_data_add_array_string(list, text);
	}
	rte_tel_data_add_dict_container(row, "candidates", list, 0);
}

static void
binding_row(struct rte_tel_data *row, uint64_t worker, const struct spinat_binding_row *b,
	uint64_t now_ms)
{
	static const char *const states[] = {
		[SPINAT_BINDING_FREE] = "free",
		[SPINAT_BINDING_PROVISIONAL] = "provisional",
		[SPINAT_BINDING_FANOUT] = "fanout",
		[SPINAT_BINDING_AMBIGUOUS] = "ambiguous",
		[SPINAT_BINDING_SETTLED] = "settled",
	};
	char text[16];

	add_parties(row, worker, &b->client, b->outside, b->gateway);
	rte_tel_data_add_dict_string(row, "protocol", protocol_name(b->proto, text, sizeof(text)));
	snprintf(text, sizeof(text), "0x%08x", rte_be_to_cpu_32(b->spi));
	rte_tel_data_add_dict_string(row, "spi", text);
	snprintf(text, sizeof(text), "0x%08x", rte_be_to_cpu_32(b->peer));
	rte_tel_data_add_dict_string(row, "peer_spi", b->peer != 0 ? text : "");
	rte_tel_data_add_dict_string(row, "direction", b->dir == SPINAT_OUT ? "out" : "in");
	rte_tel_data_add_dict_string(
		row, "state", b->state < RTE_DIM(states) ? states[b->state] : "free");
	rte_tel_data_add_dict_string(row, "why", b->why != NULL ? b->why : "");
	add_candidates(row, b);
	add_times(row, now_ms, b->created_ms, b->last_ms);
	rte_tel_data_add_dict_u64(row, "packets", b->packets);
	rte_tel_data_add_dict_u64(row, "bytes", b->bytes);
	rte_tel_data_add_dict_u64(row, "copies", b->copies);
}

int
handle_bindings(const struct spinat_telemetry *t, const char *params, struct rte_tel_data *data)
{
	const uint64_t now_ms = spinat_engine_now_ms(t->engine);
	struct spinat_binding_row b;
	struct rte_tel_data *row;
	struct filter f;
	struct list l;
	uint32_t at;

	if (filter_parse(params, "protocol client remote outside realm limit cursor", &f) != 0)
		return answer_error(data, f.error);
	if (list_start(&l, data, &f, ROWS_LONG_MAX) != 0)
		return -ENOMEM;
	at = (uint32_t)f.cursor;
	for (uint64_t w = f.cursor >> 32; w < t->engine->n_workers; w++, at = 0) {
		while (spinat_binder_next_binding(t->engine->workers[w]->binder, &at, &b)) {
			if (!matches(&f, &b.client, b.gateway, b.outside) ||
				(f.protocol != 0 && f.protocol != b.proto))
				continue;
			if (l.n == l.limit) {
				list_end(&l, true, w << 32 | (at - 1));
				return 0;
			}
			row = list_row(&l);
			if (row != NULL)
				binding_row(row, w, &b, now_ms);
		}
	}
	list_end(&l, false, 0);
	return 0;
}

static void
ike_row(struct rte_tel_data *row, uint64_t worker, const struct spinat_ike_row *s, uint64_t now_ms)
{
	char text[20];

	add_parties(row, worker, &s->client, s->outside, s->gateway);
	snprintf(text, sizeof(text), "%016" PRIx64, rte_be_to_cpu_64(s->init_spi));
	rte_tel_data_add_dict_string(row, "initiator_spi", text);
	snprintf(text, sizeof(text), "%016" PRIx64, rte_be_to_cpu_64(s->resp_spi));
	rte_tel_data_add_dict_string(row, "responder_spi", text);
	rte_tel_data_add_dict_u64(row, "version", s->major);
	rte_tel_data_add_dict_u64(row, "exchange", s->exchange);
	rte_tel_data_add_dict_string(row, "initiator", s->client_initiated ? "client" : "gateway");
	rte_tel_data_add_dict_u64(row, "natt", s->natt);
	rte_tel_data_add_dict_u64(row, "esp_in_udp", s->esp_in_udp);
	add_times(row, now_ms, s->created_ms, s->last_ms);
	rte_tel_data_add_dict_u64(row, "packets", s->packets);
}

int
handle_ike(const struct spinat_telemetry *t, const char *params, struct rte_tel_data *data)
{
	const uint64_t now_ms = spinat_engine_now_ms(t->engine);
	struct spinat_ike_row s;
	struct rte_tel_data *row;
	struct filter f;
	struct list l;
	uint32_t at;

	if (filter_parse(params, "client remote outside realm limit cursor", &f) != 0)
		return answer_error(data, f.error);
	if (list_start(&l, data, &f, ROWS_LONG_MAX) != 0)
		return -ENOMEM;
	at = (uint32_t)f.cursor;
	for (uint64_t w = f.cursor >> 32; w < t->engine->n_workers; w++, at = 0) {
		while (spinat_binder_next_ike(t->engine->workers[w]->binder, &at, &s)) {
			if (!matches(&f, &s.client, s.gateway, s.outside))
				continue;
			if (l.n == l.limit) {
				list_end(&l, true, w << 32 | (at - 1));
				return 0;
			}
			row = list_row(&l);
			if (row != NULL)
				ike_row(row, w, &s, now_ms);
		}
	}
	list_end(&l, false, 0);
	return 0;
}
