/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 the spinat authors
 */
#include <errno.h>
#include <stdbool.h>
#include <string.h>

#include "net/arp.h"

#define FRAME_MIN (RTE_ETHER_MIN_LEN - RTE_ETHER_CRC_LEN)

/* Reads the Ethernet header and tag; returns where the ARP packet begins, 0 where there is none. */
static uint16_t
parse_l2(const uint8_t *frame, uint32_t len, uint16_t vlan)
{
	const struct rte_ether_hdr *eth = (const struct rte_ether_hdr *)frame;
	const struct rte_vlan_hdr *tag = (const struct rte_vlan_hdr *)(eth + 1);

	if (len < sizeof(*eth))
		return 0;
	if (eth->ether_type == RTE_BE16(RTE_ETHER_TYPE_ARP))
		return vlan == 0 ? sizeof(*eth) : 0;
	if (eth->ether_type != RTE_BE16(RTE_ETHER_TYPE_VLAN) || len < sizeof(*eth) + sizeof(*tag) ||
		(rte_be_to_cpu_16(tag->vlan_tci) & 0xfff) != vlan ||
		tag->eth_proto != RTE_BE16(RTE_ETHER_TYPE_ARP))
		return 0;
	return sizeof(*eth) + sizeof(*tag);
}

/* A sender may have no address yet (RFC 5227 2.1.1), but only to ask. */
static bool
can_send(const struct spinat_arp *arp)
{
	uint32_t ip = rte_be_to_cpu_32(arp->sender_ip);

	if (!rte_is_valid_assigned_ether_addr(&arp->sender_mac))
		return false;
	if (ip == 0)
		return arp->op == RTE_ARP_OP_REQUEST;
	return ip >> 24 != 0 && ip >> 24 != 127 && ip >> 28 < 0xe;
}

int
spinat_arp_parse(const uint8_t *frame, uint32_t len, uint16_t vlan, struct spinat_arp *arp)
{
	uint16_t l2_len = parse_l2(frame, len, vlan);
	const struct rte_arp_hdr *hdr = (const struct rte_arp_hdr *)(frame + l2_len);

	if (l2_len == 0 || len < l2_len + sizeof(*hdr))
		return -EINVAL;
	if (hdr->arp_hardware != RTE_BE16(RTE_ARP_HRD_ETHER) ||
		hdr->arp_protocol != RTE_BE16(RTE_ETHER_TYPE_IPV4) ||
		hdr->arp_hlen != RTE_ETHER_ADDR_LEN || hdr->arp_plen != sizeof(rte_be32_t))
		return -EINVAL;
	arp->op = rte_be_to_cpu_16(hdr->arp_opcode);
	if (arp->op != RTE_ARP_OP_REQUEST && arp->op != RTE_ARP_OP_REPLY)
		return -EINVAL;
	arp->sender_mac = hdr->arp_data.arp_sha;
	arp->sender_ip = hdr->arp_data.arp_sip;
	arp->target_mac = hdr->arp_data.arp_tha;
	arp->target_ip = hdr->arp_data.arp_tip;
	return can_send(arp) ? 0 : -EINVAL;
}

struct rte_mbuf *
spinat_arp_build(struct rte_mempool *pool, const struct rte_ether_addr *dst, uint16_t vlan,
	const struct spinat_arp *arp)
{
	struct rte_mbuf *m = rte_pktmbuf_alloc(pool);
	struct rte_ether_hdr *eth;
	struct rte_vlan_hdr *tag;
	struct rte_arp_hdr *hdr;

	if (m == NULL)
		return NULL;
	eth = (struct rte_ether_hdr *)rte_pktmbuf_append(m, FRAME_MIN);
	if (eth == NULL) {
		rte_pktmbuf_free(m);
		return NULL;
	}
	memset(eth, 0, FRAME_MIN);
	tag = (struct rte_vlan_hdr *)(eth + 1);
	eth->dst_addr = *dst;
	eth->src_addr = arp->sender_mac;
	if (vlan == 0) {
		eth->ether_type = RTE_BE16(RTE_ETHER_TYPE_ARP);
		hdr = (struct rte_arp_hdr *)(eth + 1);
	} else {
		eth->ether_type = RTE_BE16(RTE_ETHER_TYPE_VLAN);
		tag->vlan_tci = rte_cpu_to_be_16(vlan);
		tag->eth_proto = RTE_BE16(RTE_ETHER_TYPE_ARP);
		hdr = (struct rte_arp_hdr *)(tag + 1);
	}
	hdr->arp_hardware = RTE_BE16(RTE_ARP_HRD_ETHER);
	hdr->arp_protocol = RTE_BE16(RTE_ETHER_TYPE_IPV4);
	hdr->arp_hlen = RTE_ETHER_ADDR_LEN;
	hdr->arp_plen = sizeof(rte_be32_t);
	hdr->arp_opcode = rte_cpu_to_be_16(arp->op);
	hdr->arp_data.arp_sha = arp->sender_mac;
	hdr->arp_data.arp_sip = arp->sender_ip;
	hdr->arp_data.arp_tha = arp->target_mac;
	hdr->arp_data.arp_tip = arp->target_ip;
	return m;
}
