/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 the spinat authors
 */
#include <errno.h>
#include <netinet/in.h>
#include <string.h>

#include <rte_ether.h>
#include <rte_icmp.h>
#include <rte_ip.h>
#include <rte_tcp.h>
#include <rte_udp.h>

#include "packet.h"
#include "packet/checksum.h"

#define SEQ_MATURE 1000
#define L3 RTE_ETHER_HDR_LEN
#define L4 (L3 + sizeof(struct rte_ipv4_hdr))
#define UDP_LEN 8
#define ESP_LEN 8
#define IKE_LEN 28
#define TAG_LEN 4
#define SMALLEST 46 /* IPv4 bytes of a 64-byte frame */
#define FRAGMENT 32 /* bytes of a datagram in each of its two fragments */

/* a flow has one length, so that what leaves can be told from what came */
static const uint16_t imix_len[] = {SMALLEST, 576, SMALLEST, SMALLEST, 576, SMALLEST, 1500,
	SMALLEST, 576, SMALLEST, 576, SMALLEST};

/* What stands behind the IPv4 header. */
struct layer4 {
	uint8_t *at;
	uint16_t len; /* counted by the IPv4 header */
	uint16_t tag; /* offset of the tag */
	uint8_t proto;
};

static uint16_t
load16(const uint8_t *p)
{
	uint16_t value;

	memcpy(&value, p, sizeof(value));
	return value;
}

static uint32_t
sum32(uint32_t value)
{
	return (value & 0xffff) + (value >> 16);
}

/* One's complement sum of headers and tag; the zeros that follow add nothing. */
static uint32_t
sum_bytes(const uint8_t *p, uint16_t len)
{
	uint32_t sum = 0;

	for (uint16_t i = 0; i < len; i += 2)
		sum += load16(p + i);
	return sum;
}

static uint16_t
transport_csum(const struct layer4 *l, const struct bench_step *s, uint16_t len)
{
	uint32_t sum = sum_bytes(l->at, l->tag + TAG_LEN) + sum32(s->src) + sum32(s->dst) +
		       rte_cpu_to_be_16(l->proto) + rte_cpu_to_be_16(len);
	uint16_t csum = ~spinat_csum_fold(sum);

	return csum == 0 ? 0xffff : csum;
}

static void
put_tag(const struct layer4 *l, const struct bench_step *s)
{
	const uint32_t tag = s->flow;

	memcpy(l->at + l->tag, &tag, TAG_LEN);
}

static void
write_udp(struct layer4 *l, const struct bench_step *s, uint16_t len)
{
	struct rte_udp_hdr *udp = (struct rte_udp_hdr *)l->at;

	memcpy(udp, &s->ports, sizeof(s->ports));
	udp->dgram_len = rte_cpu_to_be_16(len);
	udp->dgram_cksum = transport_csum(l, s, len);
}

static void
write_tcp(struct layer4 *l, const struct bench_packet *p)
{
	struct rte_tcp_hdr *tcp = (struct rte_tcp_hdr *)l->at;
	uint16_t csum;

	memcpy(tcp, &p->step.ports, sizeof(p->step.ports));
	tcp->sent_seq = rte_cpu_to_be_32(p->epoch);
	tcp->data_off = sizeof(*tcp) / 4 << 4;
	tcp->tcp_flags = p->opening ? RTE_TCP_SYN_FLAG : 0;
	if (!p->opening || p->dir == SPINAT_IN)
		tcp->tcp_flags |= RTE_TCP_ACK_FLAG;
	tcp->rx_win = UINT16_MAX;
	csum = transport_csum(l, &p->step, l->len);
	tcp->cksum = csum == 0xffff ? 0 : csum;
}

static void
write_esp(const struct layer4 *l, const struct bench_packet *p)
{
	/* a number comes more than once, which the binder looks into while an SA is young */
	const rte_be32_t seq = rte_cpu_to_be_32(p->opening ? p->epoch : SEQ_MATURE + p->epoch);

	memcpy(l->at, &p->step.ports, sizeof(p->step.ports));
	memcpy(l->at + 4, &seq, sizeof(seq));
}

/* IKEv2: IKE_SA_INIT and its answer, then INFORMATIONAL requests of the initiator and answers. */
static void
write_ike(struct layer4 *l, const struct bench_packet *p)
{
	uint8_t *ike = l->at + UDP_LEN;
	const uint64_t initiator = UINT64_C(0xa11ce) << 40 | p->step.flow;
	const uint64_t responder = UINT64_C(0xb0b) << 40 | p->step.flow;
	const rte_be32_t id = rte_cpu_to_be_32(p->opening ? 0 : p->epoch);
	const rte_be32_t len = RTE_BE32(IKE_LEN + TAG_LEN);

	memcpy(ike, &initiator, sizeof(initiator));
	if (!p->opening || p->dir == SPINAT_IN)
		memcpy(ike + 8, &responder, sizeof(responder));
	ike[16] = p->opening ? 33 : 46; /* security association; encrypted and authenticated */
	ike[17] = 0x20; /* version 2.0 */
	ike[18] = p->opening ? 34 : 37;
	ike[19] = p->dir == SPINAT_OUT ? 0x08 : 0x20; /* initiator; response */
	memcpy(ike + 20, &id, sizeof(id));
	memcpy(ike + 24, &len, sizeof(len));
	write_udp(l, &p->step, l->len);
}

static uint16_t
write_ip(uint8_t *at, const struct bench_packet *p, const struct bench_step *s, uint8_t proto,
	uint16_t len)
{
	struct rte_ipv4_hdr *ip = (struct rte_ipv4_hdr *)at;

	ip->version_ihl = 0x45;
	ip->total_length = rte_cpu_to_be_16(len);
	/* tells the datagrams of a flow apart that can be on the way together */
	ip->packet_id = rte_cpu_to_be_16(s->flow + p->epoch * 7919);
	ip->time_to_live = p->ttl;
	ip->next_proto_id = proto;
	ip->src_addr = s->src;
	ip->dst_addr = s->dst;
	if (p->form == BENCH_FRAGMENTS)
		ip->fragment_offset =
			p->later ? RTE_BE16(FRAGMENT / 8) : RTE_BE16(RTE_IPV4_HDR_MF_FLAG);
	ip->hdr_checksum = ~spinat_csum_fold(sum_bytes(at, sizeof(*ip)));
	return len;
}

/* Port unreachable; it quotes what the sender of the error had got, which went the other way. */
static void
write_icmp(uint8_t *frame, const struct bench_packet *p, struct layer4 *l)
{
	const struct spinat_key key = {.ports = p->step.ports};
	const struct spinat_key back = {.sport = key.dport, .dport = key.sport};
	const struct bench_step quoted = {
		.src = p->step.dst, .dst = p->step.src, .ports = back.ports, .flow = p->step.flow};
	struct bench_packet inner = *p;
	struct rte_icmp_hdr *icmp = (struct rte_icmp_hdr *)l->at;
	uint8_t *quote = l->at + sizeof(*icmp);
	struct layer4 q = {
		quote + sizeof(struct rte_ipv4_hdr), SMALLEST - 20, UDP_LEN, IPPROTO_UDP};

	inner.ttl = 50; /* not touched by anyone */
	write_ip(quote, &inner, &quoted, IPPROTO_UDP, SMALLEST);
	put_tag(&q, &quoted);
	write_udp(&q, &quoted, q.len);
	l->proto = IPPROTO_ICMP;
	l->tag = sizeof(*icmp) + sizeof(struct rte_ipv4_hdr) + UDP_LEN;
	l->len = l->tag + TAG_LEN;
	icmp->icmp_type = 3;
	icmp->icmp_code = 3;
	icmp->icmp_cksum = ~spinat_csum_fold(sum_bytes(l->at, l->len));
	write_ip(frame + L3, p, &p->step, l->proto, sizeof(struct rte_ipv4_hdr) + l->len);
}

static void
write_fragment(const struct bench_packet *p, struct layer4 *l)
{
	struct rte_udp_hdr *udp = (struct rte_udp_hdr *)l->at;
	uint16_t csum;

	l->len = FRAGMENT;
	if (p->later) {
		l->tag = 0;
		put_tag(l, &p->step);
		return;
	}
	put_tag(l, &p->step);
	write_udp(l, &p->step, 2 * FRAGMENT);
	/* the second one's tag counts as well */
	csum = ~spinat_csum_fold((uint16_t)~udp->dgram_cksum + sum32(p->step.flow));
	udp->dgram_cksum = csum == 0 ? 0xffff : csum;
}

uint16_t
bench_packet_write(uint8_t *frame, const struct bench_packet *p)
{
	const uint16_t total =
		p->form == BENCH_IMIX ? imix_len[p->step.flow % RTE_DIM(imix_len)] : SMALLEST;
	struct layer4 l = {frame + L4, total - sizeof(struct rte_ipv4_hdr), UDP_LEN, IPPROTO_UDP};
	const rte_be16_t ethertype = RTE_BE16(RTE_ETHER_TYPE_IPV4);

	memset(frame + 2 * RTE_ETHER_ADDR_LEN, 0, BENCH_HEAD - 2 * RTE_ETHER_ADDR_LEN);
	memcpy(frame + 2 * RTE_ETHER_ADDR_LEN, &ethertype, sizeof(ethertype));
	if (p->form == BENCH_ICMP_ERRORS) {
		write_icmp(frame, p, &l);
		return L4 + l.len;
	}
	if (p->step.kind == BENCH_TCP) {
		l.proto = IPPROTO_TCP;
		l.tag = sizeof(struct rte_tcp_hdr);
	} else if (p->step.kind == BENCH_ESP) {
		l.proto = IPPROTO_ESP;
		l.tag = ESP_LEN;
	} else if (p->step.kind == BENCH_IKE) {
		l.tag = UDP_LEN + IKE_LEN;
		l.len = l.tag + TAG_LEN;
	}
	if (p->form != BENCH_FRAGMENTS)
		put_tag(&l, &p->step);
	if (p->form == BENCH_FRAGMENTS)
		write_fragment(p, &l);
	else if (p->step.kind == BENCH_TCP)
		write_tcp(&l, p);
	else if (p->step.kind == BENCH_ESP)
		write_esp(&l, p);
	else if (p->step.kind == BENCH_IKE)
		write_ike(&l, p);
	else
		write_udp(&l, &p->step, l.len);
	write_ip(frame + L3, p, &p->step, l.proto, sizeof(struct rte_ipv4_hdr) + l.len);
	return L4 + l.len;
}

int
bench_packet_read(
	const uint8_t *frame, uint16_t len, enum bench_form form, uint32_t *flow, bool *later)
{
	const struct rte_ipv4_hdr *ip = (const struct rte_ipv4_hdr *)(frame + L3);
	uint16_t at = L4 + UDP_LEN;

	if (len < L3 + SMALLEST)
		return -EINVAL;
	*later = form == BENCH_FRAGMENTS && ip->fragment_offset == RTE_BE16(FRAGMENT / 8);
	if (form == BENCH_ICMP_ERRORS)
		at = L4 + sizeof(struct rte_icmp_hdr) + sizeof(struct rte_ipv4_hdr) + UDP_LEN;
	else if (*later)
		at = L4;
	else if (ip->next_proto_id == IPPROTO_TCP)
		at = L4 + sizeof(struct rte_tcp_hdr);
	else if (ip->next_proto_id == IPPROTO_ESP)
		at = L4 + ESP_LEN;
	else if (load16(frame + L4) == RTE_BE16(SPINAT_IKE_PORT) &&
		 load16(frame + L4 + 2) == RTE_BE16(SPINAT_IKE_PORT))
		at = L4 + UDP_LEN + IKE_LEN;
	if (len < at + TAG_LEN)
		return -EINVAL;
	memcpy(flow, frame + at, TAG_LEN);
	return 0;
}

void
bench_packet_take_id(uint8_t *frame, const uint8_t *from)
{
	struct rte_ipv4_hdr *ip = (struct rte_ipv4_hdr *)(frame + L3);
	const rte_be16_t id = ((const struct rte_ipv4_hdr *)(from + L3))->packet_id;

	ip->hdr_checksum =
		spinat_csum_apply(ip->hdr_checksum, spinat_csum_delta16(ip->packet_id, id));
	ip->packet_id = id;
}
