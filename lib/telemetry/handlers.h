/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 the spinat authors
 */
#ifndef SPINAT_TELEMETRY_HANDLERS_H
#define SPINAT_TELEMETRY_HANDLERS_H

#include <rte_telemetry.h>

#include "telemetry/telemetry.h"

/* Internal to telemetry/: a handler fills data; the engine and its snapshot stay while it runs. */

/** Rows in one answer at most; fewer where a row is long. */
#define ROWS_MAX 40
#define ROWS_LONG_MAX 20
/** Table entries one request looks at, so that a filter that fits nothing ends soon. */
#define SCAN_MAX (1u << 20)

struct filter {
	uint64_t cursor;
	uint32_t limit;
	int32_t realm; /* negative: any */
	uint8_t protocol; /* 0: any */
	rte_be32_t client, remote, outside; /* 0: any */
	bool text;
	char error[RTE_TEL_MAX_STRING_LEN];
};

/**
 * Reads "key=value,key=value".
 *
 * @param allowed keys that the command knows, separated by spaces
 * @return 0, or -EINVAL with filter->error set
 */
int filter_parse(const char *params, const char *allowed, struct filter *filter);

/**
 * Reads "SPI,gateway,outside,client[,realm]", or the same without the client.
 *
 * @param bind with a client
 * @param error filled with "error: ..." on failure
 * @return 0 or -EINVAL
 */
int order_parse(const char *params, bool bind, const struct spinat_conf *conf,
	struct spinat_order *order, char *error, size_t size);

/** Answers {"error": text}. */
int answer_error(struct rte_tel_data *data, const char *text);

/** Row helpers. */
void add_addr(struct rte_tel_data *row, const char *name, rte_be32_t addr);
void add_endpoint(struct rte_tel_data *row, const char *name, rte_be32_t addr, rte_be16_t port);
const char *protocol_name(uint8_t protocol, char *buf, size_t size);

/** A list under construction: rows, then next where there are more. */
struct list {
	struct rte_tel_data *data, *rows;
	uint32_t n, limit;
};
int list_start(struct list *l, struct rte_tel_data *data, const struct filter *f, uint32_t max);
/** A new row to fill, NULL without memory. */
struct rte_tel_data *list_row(struct list *l);
void list_end(struct list *l, bool more, uint64_t next);

typedef int (*command_fn)(
	const struct spinat_telemetry *t, const char *params, struct rte_tel_data *data);

int handle_info(const struct spinat_telemetry *t, const char *params, struct rte_tel_data *data);
int handle_stats(const struct spinat_telemetry *t, const char *params, struct rte_tel_data *data);
int handle_drops(const struct spinat_telemetry *t, const char *params, struct rte_tel_data *data);
int handle_config(const struct spinat_telemetry *t, const char *params, struct rte_tel_data *data);
int handle_checkpoint(
	const struct spinat_telemetry *t, const char *params, struct rte_tel_data *data);
int handle_sessions(
	const struct spinat_telemetry *t, const char *params, struct rte_tel_data *data);
int handle_mappings(
	const struct spinat_telemetry *t, const char *params, struct rte_tel_data *data);
int handle_bindings(
	const struct spinat_telemetry *t, const char *params, struct rte_tel_data *data);
int handle_ike(const struct spinat_telemetry *t, const char *params, struct rte_tel_data *data);
int handle_pools(const struct spinat_telemetry *t, const char *params, struct rte_tel_data *data);
int handle_neighbours(
	const struct spinat_telemetry *t, const char *params, struct rte_tel_data *data);

#endif
