/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 the spinat authors
 */
#ifndef SPINAT_NAT_DETERMINISTIC_H
#define SPINAT_NAT_DETERMINISTIC_H

#include <stdbool.h>
#include <stdint.h>

#include <rte_byteorder.h>

#include "config/conf.h"

/*
 * Deterministic NAT (RFC 7422): the block of outside ports of an inside host follows from its address
 * alone, so that who it was can be computed afterwards without a log. Host number n of the realm's
 * `inside` prefix (0 is the prefix's first address) has block n % b of pool address n / b, where b is
 * the number of whole blocks between ports.first and ports.last, and block 0 begins at the first
 * multiple of block_size there. Pure functions of the configuration, any lcore.
 */

/** @return false where the host is not in the prefix. first: host order */
bool spinat_deterministic_block(const struct spinat_conf *conf, uint16_t realm, rte_be32_t inside,
	rte_be32_t *outside, uint16_t *first);

/** The host whose block holds an outside endpoint, or 0. @param o its address, of such a pool */
rte_be32_t spinat_deterministic_host(
	const struct spinat_conf *conf, const struct spinat_outside_addr *o, rte_be16_t port);

#endif
