/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 the spinat authors
 */
#ifndef SPINAT_NET_ARP_H
#define SPINAT_NET_ARP_H

#include <stdint.h>

#include <rte_arp.h>
#include <rte_byteorder.h>
#include <rte_ether.h>
#include <rte_mbuf.h>

/* ARP frames (RFC 826) on Ethernet for IPv4: bytes to meaning and back. No state. */

struct spinat_arp {
	uint16_t op; /* RTE_ARP_OP_REQUEST or _REPLY */
	struct rte_ether_addr sender_mac, target_mac;
	rte_be32_t sender_ip, target_ip;
};

/**
 * Reads an ARP frame.
 *
 * @param len  bytes that can be read at frame
 * @param vlan VLAN identifier that the frame must have, 0: untagged or priority-tagged
 * @return 0, or -EINVAL: too short, other VLAN, not Ethernet and IPv4, neither request nor reply,
 *         or a sender that no host can be (group MAC, RFC 1812 3.3.2; no host's address; none in a
 *         reply)
 */
int spinat_arp_parse(const uint8_t *frame, uint32_t len, uint16_t vlan, struct spinat_arp *arp);

/**
 * Makes an ARP frame of 60 bytes, the shortest that Ethernet has (without its check sequence).
 *
 * @param dst  destination MAC; the source is arp->sender_mac
 * @param vlan VLAN identifier, 0: untagged
 * @return the frame, or NULL where no buffer is left
 */
struct rte_mbuf *spinat_arp_build(struct rte_mempool *pool, const struct rte_ether_addr *dst,
	uint16_t vlan, const struct spinat_arp *arp);

#endif
