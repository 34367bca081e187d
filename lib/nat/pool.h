/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 the spinat authors
 */
#ifndef SPINAT_NAT_POOL_H
#define SPINAT_NAT_POOL_H

#include <stdbool.h>
#include <stdint.h>

#include <rte_byteorder.h>
#include <rte_common.h>

#include "config/conf.h"

/*
 * Outside ports. An outside address has 65536 ports (ICMP: identifiers) a protocol, a bit each. They
 * are dealt to the workers in runs of blocks of 512, one cache line of bits, so that every line has
 * one writer and every worker can tell from a port alone who owns its mapping.
 */

#define SPINAT_PORT_BLOCK_SHIFT 9
#define SPINAT_PORT_BLOCKS (65536 >> SPINAT_PORT_BLOCK_SHIFT)

/** IPPROTO_* to transport; -1 where it has no ports. */
int spinat_transport(uint8_t proto);

struct spinat_ports; /* ports of one outside address */
struct spinat_pools; /* of all outside addresses ever configured */

/**
 * @param max_addrs outside addresses that may ever be configured while the process runs
 * @return NULL without memory. Control lcore.
 */
struct spinat_pools *spinat_pools_create(uint32_t max_addrs);
void spinat_pools_free(struct spinat_pools *p);

/**
 * Makes room for the pool addresses of a snapshot before workers see it. Known addresses keep what
 * is allocated in them. Control lcore only.
 *
 * @return 0; -ENOSPC beyond max_addrs; -ENOMEM
 */
int spinat_pools_attach(struct spinat_pools *p, const struct spinat_conf *conf);

/** Ports of an address, NULL where it was never in a pool. Any lcore, no locks. */
struct spinat_ports *spinat_pools_find(const struct spinat_pools *p, rte_be32_t addr);

/** Worker that owns an outside port. Any lcore. */
static inline unsigned int
spinat_port_owner(rte_be16_t port, unsigned int n_workers)
{
	unsigned int block = rte_be_to_cpu_16(port) >> SPINAT_PORT_BLOCK_SHIFT;

	return block * n_workers / SPINAT_PORT_BLOCKS; /* a shift: the number is a power of two */
}

/** What a new mapping wants of its port. */
struct spinat_port_wish {
	rte_be16_t port; /* the same number, else the same parity (RFC 4787 REQ-3, REQ-4) */
	bool same; /* whether the same number will do: else a random one (RFC 6056) */
	rte_be16_t found; /* for this wish before: to be had again if it is still free; 0: none */
	uint16_t first, last; /* host order, inclusive */
	uint16_t worker, n_workers;
	/** Says that a port is spoken for by configuration. */
	bool (*reserved)(const void *ctx, rte_be16_t port);
	const void *ctx;
};

/**
 * Finds a port that is free, to be taken then. Owner of the blocks only.
 *
 * @return the port, or 0 where none of the worker's is free
 */
rte_be16_t spinat_port_find(const struct spinat_ports *p, enum spinat_transport tp,
	const struct spinat_port_wish *wish);

/** Brings nearer what finding reads first. @param port that is wished for */
void spinat_port_prefetch(const struct spinat_ports *p, enum spinat_transport tp, rte_be16_t port);

/** Takes this very port; false where it is in use. Owner of the block only. */
bool spinat_port_take(struct spinat_ports *p, enum spinat_transport tp, rte_be16_t port);

/**
 * Finds and takes one from anywhere between first and last, which one client has for itself.
 *
 * @return the port, or 0 where none is free
 */
rte_be16_t spinat_port_alloc_block(
	struct spinat_ports *p, enum spinat_transport tp, const struct spinat_port_wish *wish);

/**
 * Takes a block of ports of all protocols for one client, one of the worker's own.
 *
 * @return its first port, host order; 0 where none is left
 */
uint16_t spinat_block_alloc(struct spinat_ports *p, const struct spinat_realm_conf *realm,
	uint16_t worker, uint16_t n_workers);

/** Takes this very block. False where somebody has it or it is none. */
bool spinat_block_take(
	struct spinat_ports *p, const struct spinat_realm_conf *realm, uint16_t first);

/** Gives a block back. */
void spinat_block_free(struct spinat_ports *p, uint16_t first);

/** Blocks in use; any thread, a snapshot. */
uint32_t spinat_blocks_used(const struct spinat_ports *p);

/** Gives a port back. Owner of the block only. */
void spinat_port_free(struct spinat_ports *p, enum spinat_transport tp, rte_be16_t port);

/** Ports in use; any thread, a snapshot. */
uint32_t spinat_ports_used(const struct spinat_ports *p, enum spinat_transport tp);

/**
 * Pool address of an inside host by paired pooling (RFC 4787 REQ-2): the same for all its traffic,
 * chosen without state, so that every worker comes to the same one. Removing or adding an address
 * moves only the hosts it had or gets (rendezvous hashing).
 *
 * @return the address, or 0 where the realm has none
 */
rte_be32_t spinat_pool_address(const struct spinat_conf *conf, uint16_t realm, rte_be32_t inside);

#endif
