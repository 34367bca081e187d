/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 the spinat authors
 */
#ifndef SPINAT_CONFIG_TEXT_H
#define SPINAT_CONFIG_TEXT_H

#include <stdbool.h>
#include <stdint.h>

#include <rte_byteorder.h>

#include "config/conf.h"

/*
 * Addresses to text and back. Within lib/config only. Parsers take exactly the dotted form, no
 * blanks, and return false for anything else.
 */

bool conf_parse_addr(const char *text, rte_be32_t *addr);

/** "192.0.2.2/24" */
bool conf_parse_prefix(const char *text, struct spinat_prefix *prefix);

/** "192.0.2.2", "192.0.2.2-192.0.2.9" or "192.0.2.8/29" (no host bits), in host order. */
bool conf_parse_range(const char *text, uint32_t *first, uint32_t *last);

/** An address that a host can have: not 0/8, 127/8, multicast or above. */
bool conf_is_host(uint32_t addr);

static inline uint32_t
conf_mask(uint8_t len)
{
	return len == 0 ? 0 : UINT32_MAX << (32 - len);
}

/** Whether an address lies in a prefix. */
static inline bool
conf_in_prefix(rte_be32_t addr, const struct spinat_prefix *prefix)
{
	return ((rte_be_to_cpu_32(addr) ^ rte_be_to_cpu_32(prefix->addr)) &
		       conf_mask(prefix->len)) == 0;
}

static inline bool
conf_prefixes_overlap(const struct spinat_prefix *a, const struct spinat_prefix *b)
{
	return a->len < b->len ? conf_in_prefix(b->addr, a) : conf_in_prefix(a->addr, b);
}

/** The first or the last address of a subnet in which they are not for hosts (RFC 3021). */
static inline bool
conf_is_subnet_edge(uint32_t addr, uint8_t len)
{
	uint32_t host = ~conf_mask(len);

	return len < 31 && ((addr & host) == 0 || (addr & host) == host);
}

/** Room for "255.255.255.255/32". */
struct conf_text {
	char s[20];
};

struct conf_text conf_addr_text(rte_be32_t addr);
struct conf_text conf_prefix_text(const struct spinat_prefix *prefix);

#endif
