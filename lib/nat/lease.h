/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 the spinat authors
 */
#ifndef SPINAT_NAT_LEASE_H
#define SPINAT_NAT_LEASE_H

#include <stdbool.h>
#include <stdint.h>

#include <rte_byteorder.h>

#include "config/conf.h"

/*
 * Outside addresses that inside hosts keep while they run IPsec, with mappings or without. The state
 * of IPsec is with the owner of the gateway, which may be another worker: it renews the lease every
 * now and then, and where it does so no more the lease ends. Owner of the host only.
 */

struct spinat_leases;

/** Seconds that a lease lasts: some renewals may get lost. */
#define SPINAT_LEASE_S 900

/** @return NULL without memory. Control lcore, before the workers start. */
struct spinat_leases *spinat_leases_create(const char *name, uint32_t capacity, int socket_id);
void spinat_leases_free(struct spinat_leases *l);

/** Address of a host that has a lease, as long as it is in the pool of its realm; else 0. */
rte_be32_t spinat_lease_find(const struct spinat_leases *l, const struct spinat_conf *conf,
	uint16_t realm, rte_be32_t inside);

/** Begins or renews the lease of a host. Without room there is none. */
void spinat_lease_renew(struct spinat_leases *l, uint16_t realm, rte_be32_t inside,
	rte_be32_t outside, uint32_t now_s);

/** Ends those that are over, of the next `budget` rows. */
void spinat_leases_sweep(struct spinat_leases *l, uint32_t now_s, unsigned int budget);

/** Leases there are. Any thread. */
uint32_t spinat_leases_used(const struct spinat_leases *l);

#endif
