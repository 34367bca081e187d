/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 the spinat authors
 */
#ifndef SPINAT_TEST_NET_WIRE_H
#define SPINAT_TEST_NET_WIRE_H

#include <arpa/inet.h>
#include <stdio.h>
#include <string.h>

#include <rte_arp.h>
#include <rte_ether.h>
#include <rte_mbuf.h>

#include "test_net.h"

/* A wire around lib/net's neighbours: what they send is kept, what they drop is counted. */

#define WIRE_MAX 4096
#define ARP_FRAME_MAX 60

#define WIRE_BROADCAST                                     \
	{                                                  \
		{                                          \
			0xff, 0xff, 0xff, 0xff, 0xff, 0xff \
		}                                          \
	}
#define WIRE_HOST                                 \
	{                                         \
		{                                 \
			0x02, 0xcc, 0, 0, 0, 0x01 \
		}                                 \
	}
#define WIRE_OTHER                                \
	{                                         \
		{                                 \
			0x02, 0xcc, 0, 0, 0, 0x02 \
		}                                 \
	}
#define WIRE_PORT(i)                                 \
	{                                            \
		{                                    \
			0x02, 0, 0, 0, 0, 0x10 + (i) \
		}                                    \
	}

/* An ARP frame in words. */
struct arp_frame {
	uint16_t tag; /* whole tag control information, 0: untagged */
	struct rte_ether_addr dst, src;
	uint16_t op;
	struct rte_ether_addr sender_mac, target_mac;
	const char *sender_ip, *target_ip;
	char text[2][INET_ADDRSTRLEN]; /* arp_frame_read: what these point to */
};

struct wire {
	struct spinat_conf *conf;
	struct spinat_fib *fib;
	struct spinat_neigh *neigh;
	struct rte_mbuf *sent[WIRE_MAX];
	uint16_t sent_port[WIRE_MAX];
	unsigned int n_sent;
	uint64_t drops[SPINAT_DROP_COUNT];
};

/* The wire of a configuration. */
struct wire *wire_open(const char *text);

/* Goes over to another configuration as a reload does. */
void wire_reload(struct wire *w, const char *text);

/* Frees all; fails where an mbuf is missing. */
void wire_close(struct wire *w);

/* Frees what was sent until now and forgets it. */
void wire_clear(struct wire *w);

/* Bytes of a frame, as RFC 826 says them; returns their number, at most ARP_FRAME_MAX. */
uint16_t arp_frame_write(const struct arp_frame *f, uint8_t *bytes);

/* Reads a frame back; fails where it is no ARP frame of 60 bytes. */
void arp_frame_read(const struct rte_mbuf *m, struct arp_frame *f);

void wire_arp_in(struct wire *w, uint16_t iface, const struct arp_frame *f, uint64_t now_ms);

/* Fails unless the i-th frame that was sent is this one, on this port. */
void wire_check_arp(struct wire *w, unsigned int i, uint16_t port, const struct arp_frame *f);

/* Fails unless the counters stand so. */
void wire_check_stats(struct wire *w, struct spinat_neigh_stats expected);

#endif
