/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 the spinat authors
 */
#ifndef SPINAT_TEST_PACKET_SAMPLES_H
#define SPINAT_TEST_PACKET_SAMPLES_H

#include <stdlib.h>

#include "packet/icmp.h"
#include "packet/packet.h"
#include "packets.h"

/* One of each kind of packet, and the parser called as it is on the wire: with nothing behind it. */

#define SPI 0xc0ffee01

#define assert_drop(meta, reason, format, ...)                                      \
	ck_assert_msg((meta).kind == SPINAT_KIND_BAD && (meta).drop == (reason),    \
		"kind %u, drop %u, expected %s: " format, (meta).kind, (meta).drop, \
		spinat_drop_info[reason].name, ##__VA_ARGS__)

struct sample {
	const char *name;
	void (*build)(struct pkt *p); /* appends what follows the IPv4 header */
	uint8_t proto;
	uint8_t kind;
};

static inline void
build_udp(struct pkt *p)
{
	pkt_udp(p, 5000, 53, 18);
}

static inline void
build_natt_esp(struct pkt *p)
{
	pkt_udp(p, SPINAT_NATT_PORT, SPINAT_NATT_PORT, 40);
}

static inline void
build_natt_ike(struct pkt *p)
{
	pkt_ike(p, SPINAT_NATT_PORT, 4, 0x20, 12);
}

static inline void
build_keepalive_4500(struct pkt *p)
{
	pkt_udp(p, SPINAT_NATT_PORT, SPINAT_NATT_PORT, 1);
	p->data[p->len - 1] = 0xff;
}

static inline void
build_keepalive_500(struct pkt *p)
{
	pkt_udp(p, SPINAT_IKE_PORT, SPINAT_IKE_PORT, 1);
	p->data[p->len - 1] = 0xff;
}

static inline void
build_ike1(struct pkt *p)
{
	pkt_ike(p, SPINAT_IKE_PORT, 0, 0x10, 20);
}

static inline void
build_ike2(struct pkt *p)
{
	pkt_ike(p, SPINAT_IKE_PORT, 0, 0x20, 0);
}

static inline void
build_tcp(struct pkt *p)
{
	pkt_tcp(p, 40000, 443, RTE_TCP_ACK_FLAG, 12, 9);
}

static inline void
build_echo(struct pkt *p)
{
	pkt_icmp(p, SPINAT_ICMP_ECHO_REQUEST, 0, 0x4242, 11);
}

static inline void
build_timestamp_reply(struct pkt *p)
{
	pkt_icmp(p, SPINAT_ICMP_TIMESTAMP_REPLY, 0, 0x4242, 12);
}

static inline void
build_esp(struct pkt *p)
{
	pkt_esp(p, SPI, 77, 24);
}

static inline void
build_ah(struct pkt *p)
{
	pkt_ah(p, SPI, 78, 16);
}

static inline void
build_gre(struct pkt *p)
{
	pkt_payload(p, 16);
}

/* An error that quotes a UDP packet with IPv4 options. */
static inline void
build_error(struct pkt *p)
{
	struct pkt quoted;

	pkt_start(&quoted, false, 4, IPPROTO_UDP);
	pkt_udp(&quoted, 5000, 53, 20);
	pkt_seal(&quoted);
	pkt_icmp(p, SPINAT_ICMP_UNREACHABLE, 3, 0, 0);
	memcpy(pkt_append(p, quoted.len - quoted.l3), quoted.data + quoted.l3,
		quoted.len - quoted.l3);
}

enum sample_id {
	S_UDP,
	S_NATT_ESP,
	S_NATT_IKE,
	S_KEEPALIVE_4500,
	S_KEEPALIVE_500,
	S_IKE1,
	S_IKE2,
	S_TCP,
	S_ECHO,
	S_TIMESTAMP_REPLY,
	S_ERROR,
	S_ESP,
	S_AH,
	S_GRE,
	S_COUNT,
};

static const struct sample samples[S_COUNT] = {
	[S_UDP] = {"UDP", build_udp, IPPROTO_UDP, SPINAT_KIND_FLOW},
	[S_NATT_ESP] = {"ESP in UDP", build_natt_esp, IPPROTO_UDP, SPINAT_KIND_FLOW},
	[S_NATT_IKE] = {"IKE on 4500", build_natt_ike, IPPROTO_UDP, SPINAT_KIND_FLOW},
	[S_KEEPALIVE_4500] = {"keepalive", build_keepalive_4500, IPPROTO_UDP, SPINAT_KIND_FLOW},
	[S_KEEPALIVE_500] = {"keepalive 500", build_keepalive_500, IPPROTO_UDP, SPINAT_KIND_FLOW},
	[S_IKE1] = {"IKEv1", build_ike1, IPPROTO_UDP, SPINAT_KIND_IKE},
	[S_IKE2] = {"IKEv2", build_ike2, IPPROTO_UDP, SPINAT_KIND_IKE},
	[S_TCP] = {"TCP", build_tcp, IPPROTO_TCP, SPINAT_KIND_FLOW},
	[S_ECHO] = {"ICMP echo", build_echo, IPPROTO_ICMP, SPINAT_KIND_FLOW},
	[S_TIMESTAMP_REPLY] = {"ICMP timestamp reply", build_timestamp_reply, IPPROTO_ICMP,
		SPINAT_KIND_FLOW},
	[S_ERROR] = {"ICMP error", build_error, IPPROTO_ICMP, SPINAT_KIND_ICMP_ERROR},
	[S_ESP] = {"ESP", build_esp, IPPROTO_ESP, SPINAT_KIND_SPI},
	[S_AH] = {"AH", build_ah, IPPROTO_AH, SPINAT_KIND_SPI},
	[S_GRE] = {"GRE", build_gre, IPPROTO_GRE, SPINAT_KIND_OTHER},
};

static inline void
sample_build(struct pkt *p, enum sample_id id, bool tagged, uint8_t ip_options)
{
	pkt_start(p, tagged, ip_options, samples[id].proto);
	samples[id].build(p);
	pkt_seal(p);
}

/*
 * Parses a copy that ends where its allocation ends, so that AddressSanitizer sees any read beyond
 * len, and the quote of an ICMP error with it.
 */
static inline struct spinat_meta
parse_exact(const uint8_t *data, uint32_t len, uint32_t pkt_len)
{
	uint8_t *copy = malloc(len);
	struct spinat_meta meta, inner;

	pkt_assert(copy != NULL);
	memcpy(copy, data, len);
	memset(&meta, 0xa5, sizeof(meta));
	spinat_parse(copy, len, pkt_len, true, &meta);
	if (meta.kind == SPINAT_KIND_ICMP_ERROR)
		spinat_parse_quote(copy, len, &meta, &inner);
	free(copy);
	return meta;
}

static inline struct spinat_meta
parse_pkt(const struct pkt *p)
{
	return parse_exact(p->data, p->len, p->len);
}

#endif
