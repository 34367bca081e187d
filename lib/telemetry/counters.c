/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 the spinat authors
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include <rte_version.h>

#include "telemetry/handlers.h"

/* /spinat/info, /spinat/stats, /spinat/drops, /spinat/config */

int
handle_info(const struct spinat_telemetry *t, const char *params, struct rte_tel_data *data)
{
	const struct spinat_engine *e = t->engine;
	const struct spinat_conf *conf = e->snapshot->conf;
	uint64_t sessions = 0, mappings = 0, clients = 0, created = 0, expired = 0, closed = 0,
		 lost = e->records_lost, ports_held = 0;
	struct filter f;

	if (filter_parse(params, "", &f) != 0)
		return answer_error(data, f.error);
	for (uint16_t i = 0; i < e->n_workers; i++) {
		const struct spinat_nat *nat = e->workers[i]->nat;

		sessions += nat->sessions;
		created += nat->created;
		expired += nat->expired;
		closed += nat->closed;
		lost += nat->recorder.lost;
		mappings += spinat_mapping_used(nat->mappings);
		ports_held += spinat_mapping_ports_held(nat->mappings);
		clients += spinat_mapping_clients(nat->mappings);
	}
	rte_tel_data_start_dict(data);
	rte_tel_data_add_dict_string(data, "version", SPINAT_VERSION);
	rte_tel_data_add_dict_string(data, "dpdk", rte_version());
	rte_tel_data_add_dict_string(data, "name", conf->name);
	rte_tel_data_add_dict_string(data, "config", conf->path);
	rte_tel_data_add_dict_u64(data, "generation", conf->generation);
	rte_tel_data_add_dict_u64(data, "pid", getpid());
	rte_tel_data_add_dict_u64(data, "workers", e->n_workers);
	rte_tel_data_add_dict_u64(
		data, "uptime_s", (spinat_engine_now_ms(e) - SPINAT_CLOCK_START_MS) / 1000);
	rte_tel_data_add_dict_u64(data, "sessions", sessions);
	rte_tel_data_add_dict_u64(data, "sessions_max", conf->limits.sessions);
	rte_tel_data_add_dict_u64(data, "sessions_created", created);
	rte_tel_data_add_dict_u64(data, "sessions_expired", expired);
	rte_tel_data_add_dict_u64(data, "sessions_closed", closed);
	rte_tel_data_add_dict_u64(data, "records_lost", lost);
	rte_tel_data_add_dict_u64(data, "mappings", mappings);
	rte_tel_data_add_dict_u64(data, "ports_held", ports_held);
	rte_tel_data_add_dict_u64(data, "clients", clients);
	rte_tel_data_add_dict_u64(data, "buffers_free", rte_mempool_avail_count(e->pool));
	rte_tel_data_add_dict_u64(data, "buffers", e->pool->size);
	return 0;
}

static uint64_t
sum_drops(const struct spinat_worker_stats *s)
{
	uint64_t sum = 0;

	for (unsigned int d = SPINAT_DROP_NONE + 1; d < SPINAT_DROP_COUNT; d++)
		sum += s->drops[d];
	return sum;
}

static void
sum_worker(const struct spinat_worker *w, struct spinat_iface_stats *out)
{
	for (unsigned int i = 0; i < SPINAT_MAX_IFACES; i++) {
		out->rx_packets += w->stats.ifaces[i].rx_packets;
		out->rx_bytes += w->stats.ifaces[i].rx_bytes;
		out->tx_packets += w->stats.ifaces[i].tx_packets;
		out->tx_bytes += w->stats.ifaces[i].tx_bytes;
	}
}

static void
add_traffic(struct rte_tel_data *d, const struct spinat_iface_stats *s)
{
	rte_tel_data_add_dict_u64(d, "rx_packets", s->rx_packets);
	rte_tel_data_add_dict_u64(d, "rx_bytes", s->rx_bytes);
	rte_tel_data_add_dict_u64(d, "tx_packets", s->tx_packets);
	rte_tel_data_add_dict_u64(d, "tx_bytes", s->tx_bytes);
}

static void
add_work(struct rte_tel_data *d, const struct spinat_worker_stats *s)
{
	rte_tel_data_add_dict_u64(d, "translated", s->translated);
	rte_tel_data_add_dict_u64(d, "routed", s->routed);
	rte_tel_data_add_dict_u64(d, "slow", s->slow);
	rte_tel_data_add_dict_u64(d, "handed_off", s->handed_off);
	rte_tel_data_add_dict_u64(d, "copies", s->copies);
	rte_tel_data_add_dict_u64(d, "copies_late", s->copies_late);
	rte_tel_data_add_dict_u64(d, "delayed", s->delayed);
	rte_tel_data_add_dict_u64(d, "kept", s->kept);
	rte_tel_data_add_dict_u64(d, "icmp_sent", s->icmp_sent);
	rte_tel_data_add_dict_u64(d, "fragmented", s->fragmented);
	rte_tel_data_add_dict_u64(d, "tcp_disbelieved", s->tcp_disbelieved);
	rte_tel_data_add_dict_u64(d, "mss_clamped", s->mss_clamped);
	rte_tel_data_add_dict_u64(d, "notes_lost", s->notes_lost);
	rte_tel_data_add_dict_u64(d, "events_lost", s->events_lost);
	rte_tel_data_add_dict_u64(d, "dropped", sum_drops(s));
}

static struct rte_tel_data *
worker_row(const struct spinat_worker *w)
{
	struct rte_tel_data *row = rte_tel_data_alloc();
	struct spinat_iface_stats traffic = {0};

	if (row == NULL)
		return NULL;
	sum_worker(w, &traffic);
	rte_tel_data_start_dict(row);
	rte_tel_data_add_dict_u64(row, "worker", w->id);
	rte_tel_data_add_dict_u64(row, "lcore", w->lcore);
	rte_tel_data_add_dict_u64(row, "loops", w->stats.loops);
	rte_tel_data_add_dict_u64(row, "idle_loops", w->stats.idle_loops);
	add_traffic(row, &traffic);
	add_work(row, &w->stats);
	return row;
}

static void
add_interfaces(const struct spinat_engine *e, struct rte_tel_data *data)
{
	const struct spinat_conf *conf = e->snapshot->conf;
	struct rte_tel_data *all = rte_tel_data_alloc();

	if (all == NULL)
		return;
	rte_tel_data_start_dict(all);
	for (uint16_t i = 0; i < conf->n_ifaces; i++) {
		struct rte_tel_data *one = rte_tel_data_alloc();
		struct spinat_iface_stats sum = {0};

		if (one == NULL)
			break;
		for (uint16_t n = 0; n < e->n_workers; n++) {
			const struct spinat_iface_stats *s = &e->workers[n]->stats.ifaces[i];

			sum.rx_packets += s->rx_packets;
			sum.rx_bytes += s->rx_bytes;
			sum.tx_packets += s->tx_packets;
			sum.tx_bytes += s->tx_bytes;
		}
		rte_tel_data_start_dict(one);
		add_traffic(one, &sum);
		rte_tel_data_add_dict_container(all, conf->ifaces[i].name, one, 0);
	}
	rte_tel_data_add_dict_container(data, "interfaces", all, 0);
}

static void
add_arp(const struct spinat_neigh *neigh, struct rte_tel_data *data)
{
	struct rte_tel_data *arp = rte_tel_data_alloc();
	struct spinat_neigh_stats s;

	if (arp == NULL)
		return;
	spinat_neigh_stats_get(neigh, &s);
	rte_tel_data_start_dict(arp);
	rte_tel_data_add_dict_u64(arp, "requests_in", s.requests_in);
	rte_tel_data_add_dict_u64(arp, "replies_in", s.replies_in);
	rte_tel_data_add_dict_u64(arp, "requests_out", s.requests_out);
	rte_tel_data_add_dict_u64(arp, "replies_out", s.replies_out);
	rte_tel_data_add_dict_u64(arp, "conflicts", s.conflicts);
	rte_tel_data_add_dict_u64(arp, "refused", s.refused);
	rte_tel_data_add_dict_u64(arp, "table_full", s.table_full);
	rte_tel_data_add_dict_container(data, "arp", arp, 0);
}

int
handle_stats(const struct spinat_telemetry *t, const char *params, struct rte_tel_data *data)
{
	const struct spinat_engine *e = t->engine;
	struct rte_tel_data *workers = rte_tel_data_alloc();
	struct spinat_worker_stats sum = {.loops = 0};
	struct spinat_iface_stats traffic = {0};
	char number[8];
	struct filter f;

	if (workers == NULL)
		return -ENOMEM;
	if (filter_parse(params, "", &f) != 0) {
		rte_tel_data_free(workers);
		return answer_error(data, f.error);
	}
	rte_tel_data_start_dict(workers);
	for (uint16_t i = 0; i < e->n_workers; i++) {
		const struct spinat_worker *w = e->workers[i];
		struct rte_tel_data *row = worker_row(w);

		snprintf(number, sizeof(number), "%u", i);
		if (row != NULL)
			rte_tel_data_add_dict_container(workers, number, row, 0);
		sum_worker(w, &traffic);
		sum.translated += w->stats.translated;
		sum.routed += w->stats.routed;
		sum.slow += w->stats.slow;
		sum.handed_off += w->stats.handed_off;
		sum.copies += w->stats.copies;
		sum.copies_late += w->stats.copies_late;
		sum.delayed += w->stats.delayed;
		sum.kept += w->stats.kept;
		sum.icmp_sent += w->stats.icmp_sent;
		sum.fragmented += w->stats.fragmented;
		sum.tcp_disbelieved += w->stats.tcp_disbelieved;
		sum.mss_clamped += w->stats.mss_clamped;
		sum.notes_lost += w->stats.notes_lost;
		sum.events_lost += w->stats.events_lost;
		for (unsigned int d = 0; d < SPINAT_DROP_COUNT; d++)
			sum.drops[d] += w->stats.drops[d];
	}
	for (unsigned int d = 0; d < SPINAT_DROP_COUNT; d++)
		sum.drops[d] += e->control_drops[d];
	rte_tel_data_start_dict(data);
	add_traffic(data, &traffic);
	add_work(data, &sum);
	rte_tel_data_add_dict_container(data, "workers", workers, 0);
	add_interfaces(e, data);
	add_arp(t->neigh, data);
	return 0;
}

int
handle_drops(const struct spinat_telemetry *t, const char *params, struct rte_tel_data *data)
{
	const struct spinat_engine *e = t->engine;
	struct filter f;

	if (filter_parse(params, "text", &f) != 0)
		return answer_error(data, f.error);
	rte_tel_data_start_dict(data);
	for (unsigned int d = SPINAT_DROP_NONE + 1; d < SPINAT_DROP_COUNT; d++) {
		uint64_t sum = e->control_drops[d];

		for (uint16_t i = 0; i < e->n_workers; i++)
			sum += e->workers[i]->stats.drops[d];
		if (f.text)
			rte_tel_data_add_dict_string(
				data, spinat_drop_info[d].name, spinat_drop_info[d].text);
		else
			rte_tel_data_add_dict_u64(data, spinat_drop_info[d].name, sum);
	}
	return 0;
}

int
handle_config(const struct spinat_telemetry *t, const char *params, struct rte_tel_data *data)
{
	struct filter f;
	char *text = NULL;
	size_t size;
	FILE *out;
	int rc;

	if (filter_parse(params, "", &f) != 0)
		return answer_error(data, f.error);
	out = open_memstream(&text, &size);
	if (out == NULL)
		return -ENOMEM;
	spinat_conf_print(t->engine->snapshot->conf, out);
	fclose(out);
	if (size >= RTE_TEL_MAX_SINGLE_STRING_LEN)
		text[RTE_TEL_MAX_SINGLE_STRING_LEN - 1] = '\0';
	rc = rte_tel_data_string(data, text);
	free(text);
	return rc;
}
