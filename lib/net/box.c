/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 the spinat authors
 */
#include <errno.h>
#include <netinet/in.h>
#include <stdbool.h>
#include <string.h>

#include <rte_ether.h>
#include <rte_icmp.h>
#include <rte_ip.h>

#include "net/box.h"
#include "packet/checksum.h"
#include "packet/icmp.h"
#include "packet/icmp_error.h"

#define BOX_TTL 64
#define ERROR_MAX 576 /* bytes of IPv4, RFC 1812 4.3.2.3 */

/* Only frames from one host to one host are answered. */
static bool
is_unicast_frame(const struct rte_ether_hdr *eth)
{
	return rte_is_unicast_ether_addr(&eth->dst_addr) &&
	       rte_is_unicast_ether_addr(&eth->src_addr);
}

static bool
is_whole_echo_request(const struct rte_mbuf *m, const struct spinat_meta *meta)
{
	return meta->kind == SPINAT_KIND_FLOW && meta->key.proto == IPPROTO_ICMP &&
	       meta->icmp_type == SPINAT_ICMP_ECHO_REQUEST && meta->icmp_code == 0 &&
	       !(meta->flags & SPINAT_META_FRAG) &&
	       meta->l4 == meta->l3 + sizeof(struct rte_ipv4_hdr) &&
	       meta->l4 + sizeof(struct rte_icmp_hdr) <= m->data_len &&
	       meta->l4 + sizeof(struct rte_icmp_hdr) <= (uint32_t)meta->l3 + meta->l3_len;
}

/* False as well where the packet is shorter than it says. */
static bool
icmp_checksum_right(const struct rte_mbuf *m, const struct spinat_meta *meta)
{
	uint16_t sum, len = meta->l3_len - (meta->l4 - meta->l3);

	return rte_raw_cksum_mbuf(m, meta->l4, len, &sum) == 0 && sum == 0xffff;
}

int
spinat_box_echo(struct rte_mbuf *m, const struct spinat_meta *meta)
{
	struct rte_ether_hdr *eth = rte_pktmbuf_mtod(m, struct rte_ether_hdr *);
	struct rte_ipv4_hdr *ip = rte_pktmbuf_mtod_offset(m, struct rte_ipv4_hdr *, meta->l3);
	struct rte_icmp_hdr *icmp = rte_pktmbuf_mtod_offset(m, struct rte_icmp_hdr *, meta->l4);
	struct rte_ether_addr mac;
	rte_be32_t addr;

	if (!is_whole_echo_request(m, meta) || !is_unicast_frame(eth) ||
		!icmp_checksum_right(m, meta))
		return -EINVAL;
	mac = eth->src_addr;
	eth->src_addr = eth->dst_addr;
	eth->dst_addr = mac;
	addr = ip->src_addr;
	ip->src_addr = ip->dst_addr;
	ip->dst_addr = addr;
	ip->time_to_live = BOX_TTL;
	ip->hdr_checksum = 0;
	ip->hdr_checksum = rte_ipv4_cksum(ip);
	icmp->icmp_type = SPINAT_ICMP_ECHO_REPLY;
	icmp->icmp_cksum = spinat_csum_apply(
		icmp->icmp_cksum, spinat_csum_delta16(RTE_BE16(SPINAT_ICMP_ECHO_REQUEST << 8),
					  RTE_BE16(SPINAT_ICMP_ECHO_REPLY << 8)));
	return 0;
}

/* Writes the Ethernet header that leads back where a frame came from; returns its length. */
static uint16_t
turn_round(uint8_t *out, const struct rte_ether_hdr *eth, uint16_t vlan)
{
	struct rte_ether_hdr *back = (struct rte_ether_hdr *)out;
	struct rte_vlan_hdr *tag = (struct rte_vlan_hdr *)(back + 1);

	back->dst_addr = eth->src_addr;
	back->src_addr = eth->dst_addr;
	back->ether_type = RTE_BE16(RTE_ETHER_TYPE_IPV4);
	if (vlan == 0)
		return sizeof(*back);
	back->ether_type = RTE_BE16(RTE_ETHER_TYPE_VLAN);
	tag->vlan_tci = rte_cpu_to_be_16(vlan);
	tag->eth_proto = RTE_BE16(RTE_ETHER_TYPE_IPV4);
	return sizeof(*back) + sizeof(*tag);
}

struct rte_mbuf *
spinat_box_error(const struct rte_mbuf *m, const struct spinat_meta *meta, rte_be32_t src,
	uint8_t type, uint8_t code, uint16_t mtu, struct rte_mempool *pool)
{
	const struct rte_ether_hdr *eth = rte_pktmbuf_mtod(m, const struct rte_ether_hdr *);
	uint8_t frame[SPINAT_L2_MAX + ERROR_MAX];
	struct rte_mbuf *error;
	uint16_t l2_len, len;
	char *room;

	if (m->data_len < meta->l3 || !is_unicast_frame(eth))
		return NULL;
	l2_len = turn_round(frame, eth, meta->vlan);
	len = spinat_icmp_error_build(frame + l2_len,
		rte_pktmbuf_mtod_offset(m, const uint8_t *, meta->l3),
		RTE_MIN(m->data_len - meta->l3, meta->l3_len), src, type, code, mtu);
	if (len == 0)
		return NULL;
	error = rte_pktmbuf_alloc(pool);
	if (error == NULL)
		return NULL;
	room = rte_pktmbuf_append(error, l2_len + len);
	if (room == NULL) {
		rte_pktmbuf_free(error);
		return NULL;
	}
	memcpy(room, frame, l2_len + len);
	return error;
}
