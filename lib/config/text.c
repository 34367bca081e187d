/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 the spinat authors
 */
#include "config/text.h"

#include <arpa/inet.h>
#include <ctype.h>
#include <stdio.h>
#include <string.h>

#define ADDR_LEN_MAX 15 /* "255.255.255.255" */

bool
conf_parse_addr(const char *text, rte_be32_t *addr)
{
	return inet_pton(AF_INET, text, addr) == 1;
}

/* Parses text[0..len). */
static bool
parse_addr_n(const char *text, size_t len, rte_be32_t *addr)
{
	char copy[ADDR_LEN_MAX + 1];

	if (len > ADDR_LEN_MAX)
		return false;
	memcpy(copy, text, len);
	copy[len] = '\0';
	return conf_parse_addr(copy, addr);
}

bool
conf_parse_prefix(const char *text, struct spinat_prefix *prefix)
{
	const char *slash = strchr(text, '/');
	const char *p;
	unsigned int len = 0;

	if (slash == NULL || !parse_addr_n(text, slash - text, &prefix->addr))
		return false;
	for (p = slash + 1; isdigit((unsigned char)*p) && len <= 32; p++)
		len = len * 10 + (*p - '0');
	if (p == slash + 1 || p > slash + 3 || *p != '\0' || len > 32)
		return false;
	prefix->len = len;
	return true;
}

bool
conf_parse_range(const char *text, uint32_t *first, uint32_t *last)
{
	const char *dash = strchr(text, '-');
	struct spinat_prefix prefix;
	rte_be32_t from, to;

	if (dash != NULL) {
		if (!parse_addr_n(text, dash - text, &from) || !conf_parse_addr(dash + 1, &to))
			return false;
	} else if (conf_parse_addr(text, &from)) {
		to = from;
	} else {
		if (!conf_parse_prefix(text, &prefix))
			return false;
		from = prefix.addr;
		to = from | rte_cpu_to_be_32(~conf_mask(prefix.len));
		if ((from & rte_cpu_to_be_32(~conf_mask(prefix.len))) != 0)
			return false;
	}
	*first = rte_be_to_cpu_32(from);
	*last = rte_be_to_cpu_32(to);
	return *first <= *last;
}

bool
conf_is_host(uint32_t addr)
{
	uint32_t top = addr >> 24;

	return top != 0 && top != 127 && top < 224;
}

struct conf_text
conf_addr_text(rte_be32_t addr)
{
	struct conf_text text;

	inet_ntop(AF_INET, &addr, text.s, sizeof(text.s));
	return text;
}

struct conf_text
conf_prefix_text(const struct spinat_prefix *prefix)
{
	struct conf_text text = conf_addr_text(prefix->addr);
	size_t len = strlen(text.s);

	snprintf(text.s + len, sizeof(text.s) - len, "/%u", prefix->len);
	return text;
}
