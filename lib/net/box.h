/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 the spinat authors
 */
#ifndef SPINAT_NET_BOX_H
#define SPINAT_NET_BOX_H

#include <stdint.h>

#include <rte_mbuf.h>

#include "net/fib.h"
#include "packet/packet.h"

/*
 * What the box itself answers: echo requests, and errors about packets it does not forward. Called
 * by workers on the slow path. Answers go back where the packet came from, to the MAC it came from,
 * so that they need neither route nor ARP. Nothing that came by Ethernet broadcast or multicast is
 * answered (RFC 1122 3.2.2, 3.2.2.6).
 */

/**
 * Turns an ICMP echo request to one of the box's addresses into its reply, in place: addresses and
 * MACs swapped, TTL 64, checksums right.
 *
 * @return 0, or -EINVAL where the packet is no whole echo request with a right checksum, or has
 *         IPv4 options, which would have to be reversed (RFC 1122 3.2.2.6); it is unchanged then
 */
int spinat_box_echo(struct rte_mbuf *m, const struct spinat_meta *meta);

/**
 * Makes the ICMP error about a packet (RFC 792, 1812, 1191).
 *
 * @param m    offending packet, left alone
 * @param meta its metadata
 * @param src  address of the box to send it from
 * @param pool where to take the new packet from
 * @return the error as a whole frame to be sent on m's own port with m's VLAN, or NULL where no
 *         error may be sent about this packet or no buffer is left
 */
struct rte_mbuf *spinat_box_error(const struct rte_mbuf *m, const struct spinat_meta *meta,
	rte_be32_t src, uint8_t type, uint8_t code, uint16_t mtu, struct rte_mempool *pool);

#endif
