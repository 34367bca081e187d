/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 the spinat authors
 */
#ifndef SPINAT_TEST_NET_H
#define SPINAT_TEST_NET_H

#include <check.h>
#include <stdint.h>

#include <rte_mempool.h>
#include <rte_rcu_qsbr.h>

#include "config/conf.h"
#include "net/fib.h"
#include "net/neigh.h"
#include "net/port.h"

/* What the tests of lib/net share. Devices 0 to 3 have the MACs 02:00:00:00:00:10 to :13. */

#define NET_DEVICES 4
#define NET_READERS 2 /* threads that the RCU variable knows, none registered */
#define NET_POOL_SIZE 4095

extern struct rte_mempool *net_pool;
extern struct spinat_port net_ports[NET_DEVICES];
extern struct rte_rcu_qsbr *net_qsbr;

/* Loads a configuration from text; fails the test with the loader's sentence where it is bad. */
struct spinat_conf *net_conf(const char *text);

/* The simplest one: inside 10.0.0.1/24 on device 0, outside 198.51.100.1/24 on device 1. */
#define NET_IFACES                                                        \
	"{ name = \"in0\"; device = \"net_null10\"; role = \"inside\";"   \
	"  addresses = [ \"10.0.0.1/24\" ]; },"                           \
	"{ name = \"out0\"; device = \"net_null11\"; role = \"outside\";" \
	"  addresses = [ \"198.51.100.1/24\" ]; }"
#define NET_SIMPLE "interfaces = ( " NET_IFACES " );"

rte_be32_t net_ip(const char *text);

/* Host order; unlike RTE_IPV4 without a signed shift into the sign. */
#define NET_IP(a, b, c, d) \
	((uint32_t)(a) << 24 | (uint32_t)(b) << 16 | (uint32_t)(c) << 8 | (uint32_t)(d))

/* A forwarding table that must come to be. */
struct spinat_fib *net_fib(const struct spinat_conf *conf, const struct spinat_fib *prev);

/* An mbuf with these bytes in it. */
struct rte_mbuf *net_mbuf(const void *bytes, uint32_t len);

/* Fails where some mbuf has not come back. */
void net_check_pool(void);

TCase *test_net_fib(void);
TCase *test_net_fib_rcu(void);
TCase *test_net_arp(void);
TCase *test_net_neigh(void);
TCase *test_net_neigh_age(void);
TCase *test_net_box(void);
TCase *test_net_port(void);

#endif
