/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 the spinat authors
 */
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "telemetry/handlers.h"

/* Filters, rows and cursors: what the list commands share. */

static const struct {
	const char *name;
	uint8_t number;
} protocols[] = {
	{"udp", IPPROTO_UDP},
	{"tcp", IPPROTO_TCP},
	{"icmp", IPPROTO_ICMP},
	{"esp", IPPROTO_ESP},
	{"ah", IPPROTO_AH},
	{"gre", IPPROTO_GRE},
};

const char *
protocol_name(uint8_t protocol, char *buf, size_t size)
{
	for (unsigned int i = 0; i < RTE_DIM(protocols); i++)
		if (protocols[i].number == protocol)
			return protocols[i].name;
	snprintf(buf, size, "%u", protocol);
	return buf;
}

static bool
parse_number(const char *value, uint64_t max, uint64_t *out)
{
	char *end;

	errno = 0;
	*out = strtoull(value, &end, 10);
	return value[0] >= '0' && value[0] <= '9' && *end == '\0' && errno == 0 && *out <= max;
}

static bool
parse_protocol(const char *value, uint8_t *out)
{
	uint64_t number;

	for (unsigned int i = 0; i < RTE_DIM(protocols); i++) {
		if (strcmp(protocols[i].name, value) == 0) {
			*out = protocols[i].number;
			return true;
		}
	}
	if (!parse_number(value, UINT8_MAX, &number) || number == 0)
		return false;
	*out = number;
	return true;
}

static bool
parse_addr(const char *value, rte_be32_t *out)
{
	return inet_pton(AF_INET, value, out) == 1 && *out != 0;
}

static bool
set_key(struct filter *f, const char *key, const char *value)
{
	uint64_t number = 0;
	bool ok = true;

	if (strcmp(key, "cursor") == 0) {
		ok = parse_number(value, UINT64_MAX, &f->cursor);
	} else if (strcmp(key, "limit") == 0) {
		ok = parse_number(value, UINT32_MAX, &number) && number > 0;
		f->limit = number;
	} else if (strcmp(key, "realm") == 0) {
		ok = parse_number(value, UINT16_MAX, &number);
		f->realm = number;
	} else if (strcmp(key, "protocol") == 0) {
		ok = parse_protocol(value, &f->protocol);
	} else if (strcmp(key, "client") == 0) {
		ok = parse_addr(value, &f->client);
	} else if (strcmp(key, "remote") == 0) {
		ok = parse_addr(value, &f->remote);
	} else if (strcmp(key, "outside") == 0) {
		ok = parse_addr(value, &f->outside);
	} else if (strcmp(key, "text") == 0) {
		f->text = true;
	}
	return ok;
}

static bool
is_allowed(const char *key, const char *allowed)
{
	const size_t len = strlen(key);
	const char *at = len > 0 ? strstr(allowed, key) : NULL;

	while (at != NULL) {
		if ((at == allowed || at[-1] == ' ') && (at[len] == ' ' || at[len] == '\0'))
			return true;
		at = strstr(at + 1, key);
	}
	return false;
}

int
filter_parse(const char *params, const char *allowed, struct filter *f)
{
	char copy[256], *save, *word, *value;

	*f = (struct filter){.realm = -1, .limit = ROWS_MAX};
	if (params == NULL)
		return 0;
	if (snprintf(copy, sizeof(copy), "%s", params) >= (int)sizeof(copy)) {
		snprintf(f->error, sizeof(f->error), "parameters longer than %zu bytes",
			sizeof(copy) - 1);
		return -EINVAL;
	}
	for (word = strtok_r(copy, ",", &save); word != NULL; word = strtok_r(NULL, ",", &save)) {
		value = strchr(word, '=');
		if (value != NULL)
			*value++ = '\0';
		if (!is_allowed(word, allowed)) {
			snprintf(f->error, sizeof(f->error),
				"unknown parameter '%.16s', expected: %.70s", word,
				allowed[0] == '\0' ? "none" : allowed);
			return -EINVAL;
		}
		if (!set_key(f, word, value != NULL ? value : "")) {
			snprintf(f->error, sizeof(f->error), "bad value '%.32s' for '%.16s'",
				value != NULL ? value : "", word);
			return -EINVAL;
		}
	}
	return 0;
}

int
answer_error(struct rte_tel_data *data, const char *text)
{
	rte_tel_data_start_dict(data);
	return rte_tel_data_add_dict_string(data, "error", text);
}

void
add_addr(struct rte_tel_data *row, const char *name, rte_be32_t addr)
{
	char text[INET_ADDRSTRLEN];

	inet_ntop(AF_INET, &addr, text, sizeof(text));
	rte_tel_data_add_dict_string(row, name, text);
}

void
add_endpoint(struct rte_tel_data *row, const char *name, rte_be32_t addr, rte_be16_t port)
{
	char text[INET_ADDRSTRLEN + 8];
	size_t len;

	inet_ntop(AF_INET, &addr, text, INET_ADDRSTRLEN);
	len = strlen(text);
	snprintf(text + len, sizeof(text) - len, ":%u", rte_be_to_cpu_16(port));
	rte_tel_data_add_dict_string(row, name, text);
}

int
list_start(struct list *l, struct rte_tel_data *data, const struct filter *f, uint32_t max)
{
	l->data = data;
	l->n = 0;
	l->limit = RTE_MIN(f->limit, max);
	l->rows = rte_tel_data_alloc();
	if (l->rows == NULL)
		return -ENOMEM;
	rte_tel_data_start_dict(data);
	return rte_tel_data_start_dict(l->rows);
}

struct rte_tel_data *
list_row(struct list *l)
{
	struct rte_tel_data *row = rte_tel_data_alloc();
	char number[16];

	if (row == NULL)
		return NULL;
	/* the library prints no array of containers inside a container: rows are numbered members */
	snprintf(number, sizeof(number), "%u", l->n++);
	rte_tel_data_start_dict(row);
	rte_tel_data_add_dict_container(l->rows, number, row, 0);
	return row;
}

void
list_end(struct list *l, bool more, uint64_t next)
{
	rte_tel_data_add_dict_container(l->data, "rows", l->rows, 0);
	if (more)
		rte_tel_data_add_dict_u64(l->data, "next", next);
}
