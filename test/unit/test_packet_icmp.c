/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 the spinat authors
 */
#include <errno.h>

#include "packet/icmp_error.h"
#include "packet_samples.h"
#include "test_packet.h"

/* ICMP errors, translated and made: each result is compared with one built from nothing. */

enum quoted {
	Q_UDP,
	Q_UDP_NOCSUM,
	Q_UDP_FIRST, /* first fragment */
	Q_UDP_LATER, /* later fragment: no ports */
	Q_NATT,
	Q_IKE,
	Q_TCP,
	Q_REQUEST,
	Q_REPLY,
	Q_ESP,
	Q_AH,
	Q_GRE,
	Q_COUNT,
};

struct endpoint {
	rte_be32_t addr;
	uint16_t port;
};

static uint8_t
quoted_proto(enum quoted what)
{
	static const uint8_t protos[Q_COUNT] = {[Q_TCP] = IPPROTO_TCP,
		[Q_REQUEST] = IPPROTO_ICMP,
		[Q_REPLY] = IPPROTO_ICMP,
		[Q_ESP] = IPPROTO_ESP,
		[Q_AH] = IPPROTO_AH,
		[Q_GRE] = IPPROTO_GRE};

	return protos[what] != 0 ? protos[what] : IPPROTO_UDP;
}

static void
build_quoted_transport(struct pkt *q, enum quoted what, uint16_t sport, uint16_t dport)
{
	switch (what) {
	case Q_UDP:
	case Q_UDP_NOCSUM:
	case Q_UDP_FIRST:
		pkt_udp(q, sport, dport, 25);
		break;
	case Q_NATT:
		pkt_ike(q, SPINAT_NATT_PORT, 4, 0x20, 3);
		break;
	case Q_IKE:
		pkt_ike(q, SPINAT_IKE_PORT, 0, 0x20, 3);
		break;
	case Q_TCP:
		pkt_tcp(q, sport, dport, RTE_TCP_ACK_FLAG, 4, 7);
		break;
	case Q_REQUEST:
		pkt_icmp(q, SPINAT_ICMP_ECHO_REQUEST, 0, sport, 17);
		break;
	case Q_REPLY:
		pkt_icmp(q, SPINAT_ICMP_ECHO_REPLY, 0, dport, 17);
		break;
	case Q_ESP:
		pkt_esp(q, SPI, 9, 20);
		break;
	case Q_AH:
		pkt_ah(q, SPI, 9, 20);
		break;
	case Q_UDP_LATER:
	case Q_GRE:
	case Q_COUNT:
		pkt_payload(q, 33);
		break;
	}
}

/* The packet that an error quotes, as it is on the wire on one side of the NAT. */
static void
build_quoted(
	struct pkt *q, enum quoted what, struct endpoint src, struct endpoint dst, uint8_t options)
{
	pkt_start(q, false, options, quoted_proto(what));
	pkt_ip(q)->src_addr = src.addr;
	pkt_ip(q)->dst_addr = dst.addr;
	build_quoted_transport(q, what, src.port, dst.port);
	pkt_ip(q)->total_length = rte_cpu_to_be_16(q->len - q->l3);
	if (what != Q_UDP_LATER)
		ref_seal_l4(q->data + q->l3);
	if (what == Q_UDP_NOCSUM)
		ref_put16(q->data + q->l4 + 6, 0);
	if (what == Q_UDP_FIRST)
		pkt_ip(q)->fragment_offset = RTE_BE16(RTE_IPV4_HDR_MF_FLAG);
	if (what == Q_UDP_LATER)
		pkt_ip(q)->fragment_offset = RTE_BE16(100);
	ref_seal_ip(q->data + q->l3, q->l4 - q->l3);
}

/* An error that quotes the first bytes of a packet; next-hop MTU 1400. */
static void
build_error_about(struct pkt *e, const struct pkt *q, uint32_t quote_len, bool tagged,
	rte_be32_t src, rte_be32_t dst)
{
	pkt_start(e, tagged, tagged ? 4 : 0, IPPROTO_ICMP);
	pkt_ip(e)->src_addr = src;
	pkt_ip(e)->dst_addr = dst;
	pkt_icmp(e, SPINAT_ICMP_UNREACHABLE, 4, 0, 0);
	ref_put16(e->data + e->l4 + 6, 1400);
	memcpy(pkt_append(e, quote_len), q->data + q->l3, quote_len);
	pkt_seal(e);
}

/* Both sides of one translation: what the quoted endpoint is before and after. */
struct scene {
	enum quoted what;
	bool is_src; /* error comes in, its quoted source changes */
	bool tagged;
	uint8_t options; /* of the quoted packet */
	struct endpoint remote, from, to;
	rte_be32_t router;
};

static struct scene
random_scene(int i, uint64_t *state)
{
	struct scene s = {
		.what = i / 4,
		.is_src = i % 2 != 0,
		.tagged = i / 2 % 2 != 0,
		.options = pkt_random(state) % 3 * 4,
		.remote = {pkt_random(state), pkt_random(state)},
		.from = {pkt_random(state), pkt_random(state)},
		.to = {pkt_random(state), pkt_random(state)},
	};

	/* those no host has do not come as far as this */
	s.remote.addr = (s.remote.addr & ~RTE_BE32(0xff000000)) | RTE_BE32(0x0b000000);
	s.from.addr = (s.from.addr & ~RTE_BE32(0xff000000)) | RTE_BE32(0x0c000000);
	s.router = s.remote.addr ^ RTE_BE32(1);
	return s;
}

static void
build_scene(struct pkt *e, const struct scene *s, bool after, uint32_t behind_ip)
{
	const struct endpoint here = after ? s->to : s->from;
	struct endpoint there = s->remote;
	struct pkt q;

	/* the one identifier of a query belongs to the endpoint that is translated */
	if (s->what == Q_REQUEST || s->what == Q_REPLY)
		there.port = here.port;
	build_quoted(&q, s->what, s->is_src ? here : there, s->is_src ? there : here, s->options);
	build_error_about(e, &q, q.l4 - q.l3 + RTE_MIN(behind_ip, q.len - q.l4), s->tagged,
		s->is_src ? s->router : here.addr, s->is_src ? here.addr : s->router);
}

/* Frames in a block of their own size, so that no write goes unnoticed. */
static void
translate_exact(const struct pkt *e, const struct scene *s, const struct pkt *expected)
{
	uint8_t *frame = malloc(e->len);
	struct spinat_icmp_rewrite rw = {
		.outer_src = s->is_src ? s->router : s->to.addr,
		.outer_dst = s->is_src ? s->to.addr : s->router,
		.quoted_addr = s->to.addr,
		.quoted_port = rte_cpu_to_be_16(s->to.port),
		.quoted_is_src = s->is_src,
	};
	struct spinat_meta outer, inner;

	pkt_assert(frame != NULL);
	memcpy(frame, e->data, e->len);
	spinat_parse(frame, e->len, e->len, true, &outer);
	pkt_assert(outer.kind == SPINAT_KIND_ICMP_ERROR);
	pkt_assert(spinat_icmp_error_verify(frame, &outer));
	pkt_assert(spinat_parse_quote(frame, e->len, &outer, &inner) == 0);
	spinat_icmp_error_rewrite(frame, &outer, &inner, &rw);
	pkt_assert(spinat_icmp_error_verify(frame, &outer));
	for (uint32_t i = 0; i < e->len; i++)
		if (frame[i] != expected->data[i])
			ck_abort_msg("quoted %d, %s: byte %u is %02x, expected %02x, of %u",
				s->what, s->is_src ? "in" : "out", i, frame[i], expected->data[i],
				e->len);
	free(frame);
}

/* Every kind of quote, cut at every length from 8 bytes on, both ways. */
START_TEST(rewritten)
{
	uint64_t state = test_seed + _i;
	struct pkt before, after;
	struct scene s;

	for (int round = 0; round < 20; round++) {
		s = random_scene(_i, &state);
		if (s.what == Q_NATT) /* port 4500 both ways; only the address changes */
			s.to.port = SPINAT_NATT_PORT;
		for (uint32_t behind_ip = 8; behind_ip <= 60; behind_ip++) {
			if (s.what == Q_TCP && behind_ip == 17) /* half a checksum */
				continue;
			build_scene(&before, &s, false, behind_ip);
			build_scene(&after, &s, true, behind_ip);
			translate_exact(&before, &s, &after);
		}
	}
}
END_TEST

START_TEST(quote_fields)
{
	const struct endpoint src = {PKT_ADDR(198, 51, 100, 9), 1111};
	const struct endpoint dst = {PKT_ADDR(203, 0, 113, 5), 2222};
	const enum quoted what = _i;
	struct spinat_meta outer, inner;
	struct pkt e, q;
	uint8_t kind;

	build_quoted(&q, what, src, dst, 8);
	build_error_about(&e, &q, 28 + 8, true, dst.addr, src.addr);
	outer = parse_pkt(&e);
	ck_assert_int_eq(spinat_parse_quote(e.data, e.len, &outer, &inner), 0);
	ck_assert_uint_eq(inner.key.src, src.addr);
	ck_assert_uint_eq(inner.key.dst, dst.addr);
	ck_assert_uint_eq(inner.key.proto, quoted_proto(what));
	ck_assert_uint_eq(inner.l3, 18 + 24 + 8);
	ck_assert_uint_eq(inner.l4, inner.l3 + 28);
	ck_assert_uint_eq(inner.l3_len, 36);
	ck_assert_uint_eq((inner.flags & SPINAT_META_UDP_NOCSUM) != 0, what == Q_UDP_NOCSUM);
	ck_assert_uint_eq((inner.flags & SPINAT_META_FRAG_LATER) != 0, what == Q_UDP_LATER);
	ck_assert_uint_eq(
		(inner.flags & SPINAT_META_FRAG) != 0, what == Q_UDP_LATER || what == Q_UDP_FIRST);
	kind = what == Q_IKE                   ? SPINAT_KIND_IKE
	       : what == Q_ESP || what == Q_AH ? SPINAT_KIND_SPI
	       : what == Q_GRE                 ? SPINAT_KIND_OTHER
					       : SPINAT_KIND_FLOW;
	ck_assert_uint_eq(inner.kind, kind);
	if (kind == SPINAT_KIND_SPI)
		ck_assert_uint_eq(inner.key.spi, RTE_BE32(SPI));
	if (what == Q_UDP || what == Q_TCP) {
		ck_assert_uint_eq(inner.key.sport, RTE_BE16(1111));
		ck_assert_uint_eq(inner.key.dport, RTE_BE16(2222));
	}
	if (what == Q_REQUEST || what == Q_REPLY) {
		ck_assert_uint_eq(inner.key.sport, what == Q_REQUEST ? RTE_BE16(1111) : 0);
		ck_assert_uint_eq(inner.key.dport, what == Q_REPLY ? RTE_BE16(2222) : 0);
	}
	if (what == Q_UDP_LATER || what == Q_GRE)
		ck_assert_uint_eq(inner.key.ports, 0);
}
END_TEST

/* Less than an IPv4 header and 8 bytes can not be read, whichever of the lengths says so. */
START_TEST(quote_short)
{
	struct spinat_meta outer, inner;
	struct pkt e, q;

	build_quoted(&q, Q_TCP, (struct endpoint){PKT_SRC, 1}, (struct endpoint){PKT_DST, 2}, 4);
	for (uint32_t len = 0; len < 24 + 8; len++) {
		build_error_about(&e, &q, len, false, PKT_DST, PKT_SRC);
		outer = parse_pkt(&e);
		ck_assert_uint_eq(outer.kind, SPINAT_KIND_ICMP_ERROR);
		ck_assert_int_eq(spinat_parse_quote(e.data, e.len, &outer, &inner), -EINVAL);
		/* padding of the frame is no quote */
		ck_assert_int_eq(spinat_parse_quote(e.data, 200, &outer, &inner), -EINVAL);
	}
	build_error_about(&e, &q, 24 + 8, false, PKT_DST, PKT_SRC);
	outer = parse_pkt(&e);
	ck_assert_int_eq(spinat_parse_quote(e.data, e.len, &outer, &inner), 0);
	ck_assert_int_eq(spinat_parse_quote(e.data, e.len - 1, &outer, &inner), -EINVAL);
}
END_TEST

START_TEST(quote_refused)
{
	static const uint8_t types[] = {SPINAT_ICMP_UNREACHABLE, SPINAT_ICMP_TIME_EXCEEDED, 5, 17};
	struct spinat_meta outer, inner;
	struct pkt e, q;

	for (unsigned int i = 0; i < RTE_DIM(types); i++) {
		pkt_start(&q, false, 0, IPPROTO_ICMP);
		pkt_icmp(&q, types[i], 0, 1, 40);
		pkt_seal(&q);
		build_error_about(&e, &q, 28, false, PKT_DST, PKT_SRC);
		outer = parse_pkt(&e);
		ck_assert_int_eq(spinat_parse_quote(e.data, e.len, &outer, &inner), -EINVAL);
	}
	build_quoted(&q, Q_UDP, (struct endpoint){PKT_SRC, 1}, (struct endpoint){PKT_DST, 2}, 0);
	for (int version_ihl = 0; version_ihl <= 0xff; version_ihl++) {
		q.data[q.l3] = version_ihl;
		build_error_about(&e, &q, 28, false, PKT_DST, PKT_SRC);
		outer = parse_pkt(&e);
		ck_assert_int_eq(spinat_parse_quote(e.data, e.len, &outer, &inner),
			version_ihl == 0x45 ? 0 : -EINVAL);
	}
}
END_TEST

/* One changed bit anywhere in the message is seen, odd lengths too; fragments are not vouched for. */
START_TEST(verified)
{
	struct spinat_meta outer;
	struct pkt e, q;

	build_quoted(&q, Q_UDP, (struct endpoint){PKT_SRC, 1}, (struct endpoint){PKT_DST, 2}, 0);
	build_error_about(&e, &q, 28 + _i, false, PKT_DST, PKT_SRC);
	outer = parse_pkt(&e);
	ck_assert(spinat_icmp_error_verify(e.data, &outer));
	for (uint32_t i = e.l4; i < e.len; i++) {
		e.data[i] ^= 1 << i % 8;
		ck_assert(!spinat_icmp_error_verify(e.data, &outer));
		e.data[i] ^= 1 << i % 8;
	}
	outer.flags |= SPINAT_META_FRAG;
	ck_assert(!spinat_icmp_error_verify(e.data, &outer));
}
END_TEST

#define BOX PKT_ADDR(192, 0, 2, 1)

/* Builds an error about a packet that stands at the end of a block, and checks all of it. */
static uint16_t
make_error(const struct pkt *p, uint16_t ip_len, uint16_t mtu, uint8_t *buf)
{
	uint8_t *ip = malloc(RTE_MAX(ip_len, 1));
	uint16_t quote, len;

	pkt_assert(ip != NULL);
	memcpy(ip, p->data + p->l3, ip_len);
	len = spinat_icmp_error_build(
		buf, ip, ip_len, BOX, SPINAT_ICMP_UNREACHABLE, mtu != 0 ? 4 : 1, mtu);
	if (len != 0) {
		quote = RTE_MIN(RTE_MIN(ip_len, ref_total_len(ip)), 548u);
		ck_assert_uint_eq(len, 28 + quote);
		ck_assert_mem_eq(buf + 28, ip, quote);
	}
	free(ip);
	return len;
}

static void
assert_error_header(const uint8_t *buf, uint16_t len, uint16_t mtu)
{
	const struct rte_ipv4_hdr *ip = (const struct rte_ipv4_hdr *)buf;

	ck_assert_uint_eq(ip->version_ihl, 0x45);
	ck_assert_uint_eq(rte_be_to_cpu_16(ip->total_length), len);
	ck_assert_uint_eq(ip->fragment_offset, RTE_BE16(RTE_IPV4_HDR_DF_FLAG));
	ck_assert_uint_eq(ip->time_to_live, 64);
	ck_assert_uint_eq(ip->next_proto_id, IPPROTO_ICMP);
	ck_assert_uint_eq(ip->src_addr, BOX);
	ck_assert_uint_eq(ip->dst_addr, PKT_SRC);
	ck_assert(ref_ip_ok(buf));
	ck_assert_uint_eq(ref_l4_sum(buf), 0xffff);
	ck_assert_uint_eq(buf[20], SPINAT_ICMP_UNREACHABLE);
	ck_assert_uint_eq(buf[21], mtu != 0 ? 4 : 1);
	ck_assert_uint_eq(buf[24] << 8 | buf[25], 0);
	ck_assert_uint_eq(buf[26] << 8 | buf[27], mtu);
}

START_TEST(built)
{
	static const uint16_t payloads[] = {0, 1, 519, 520, 521, 1472, 3000};
	const uint16_t mtu = _i % 2 * 1400;
	uint8_t buf[576];
	uint16_t len;
	struct pkt p;

	pkt_start(&p, false, _i / 2 % 2 * 8, IPPROTO_UDP);
	pkt_udp(&p, 1, 2, payloads[_i / 4]);
	pkt_seal(&p);
	len = make_error(&p, p.len - p.l3, mtu, buf);
	ck_assert_uint_ne(len, 0);
	assert_error_header(buf, len, mtu);
	/* padding of the frame is not quoted, and a packet cut by its first segment is as it is */
	ck_assert_uint_eq(make_error(&p, p.len - p.l3 + 6, mtu, buf), len);
	len = make_error(&p, p.l4 - p.l3, mtu, buf);
	ck_assert_uint_eq(len, 28 + p.l4 - p.l3);
	assert_error_header(buf, len, mtu);
}
END_TEST

/* What we build, we can read. */
START_TEST(built_parses)
{
	struct spinat_meta outer, inner;
	uint8_t frame[14 + 576];
	struct pkt p;
	uint16_t len;

	sample_build(&p, S_ESP, false, 0);
	memcpy(frame, p.data, 14);
	len = make_error(&p, p.len - p.l3, 1400, frame + 14);
	outer = parse_exact(frame, 14 + len, 14 + len);
	ck_assert_uint_eq(outer.kind, SPINAT_KIND_ICMP_ERROR);
	ck_assert(spinat_icmp_error_verify(frame, &outer));
	ck_assert_int_eq(spinat_parse_quote(frame, 14 + len, &outer, &inner), 0);
	ck_assert_uint_eq(inner.kind, SPINAT_KIND_SPI);
	ck_assert_uint_eq(inner.key.spi, RTE_BE32(SPI));
}
END_TEST

/* No error about an error, a later fragment, or what is not from one host to one host. */
START_TEST(not_built)
{
	uint8_t buf[576];
	struct pkt good, p;

	sample_build(&good, S_UDP, false, 0);
	for (uint16_t len = 0; len < 20; len++)
		ck_assert_uint_eq(make_error(&good, len, 0, buf), 0);
	p = good;
	pkt_ip(&p)->fragment_offset = RTE_BE16(RTE_IPV4_HDR_MF_FLAG);
	ck_assert_uint_ne(make_error(&p, p.len - p.l3, 0, buf), 0);
	for (uint16_t offset = 1; offset < 0x2000; offset <<= 1) {
		pkt_ip(&p)->fragment_offset = rte_cpu_to_be_16(offset);
		ck_assert_uint_eq(make_error(&p, p.len - p.l3, 0, buf), 0);
	}
	for (int first = 0; first < 256; first++) {
		p = good;
		p.data[p.l3 + _i] = first; /* source or destination */
		ck_assert_uint_eq(make_error(&p, p.len - p.l3, 0, buf) == 0,
			first == 0 || first == 127 || first >= 224);
	}
	p = good;
	p.data[p.l3] = 0x65;
	ck_assert_uint_eq(make_error(&p, p.len - p.l3, 0, buf), 0);
	p.data[p.l3] = 0x44;
	ck_assert_uint_eq(make_error(&p, p.len - p.l3, 0, buf), 0);
	p.data[p.l3] = 0x4f;
	ck_assert_uint_eq(make_error(&p, p.len - p.l3, 0, buf), 0);
}
END_TEST

START_TEST(not_built_about_icmp)
{
	const uint8_t type = _i;
	const bool error =
		type == 3 || type == 4 || type == 5 || type == 11 || type == 12 || type == 40;
	uint8_t buf[576];
	struct pkt p;

	pkt_start(&p, false, 4, IPPROTO_ICMP);
	pkt_icmp(&p, type, 0, 0, 30);
	pkt_seal(&p);
	ck_assert_uint_eq(make_error(&p, p.len - p.l3, 0, buf) == 0, error);
	/* without the type nothing is known */
	ck_assert_uint_eq(make_error(&p, p.l4 - p.l3, 0, buf), 0);
}
END_TEST

TCase *
test_icmp_error(void)
{
	TCase *tc = tcase_create("icmp error");

	tcase_set_timeout(tc, 60);
	tcase_add_loop_test(tc, rewritten, 0, 4 * Q_COUNT);
	tcase_add_loop_test(tc, quote_fields, 0, Q_COUNT);
	tcase_add_test(tc, quote_short);
	tcase_add_test(tc, quote_refused);
	tcase_add_loop_test(tc, verified, 8, 40);
	tcase_add_loop_test(tc, built, 0, 4 * 7);
	tcase_add_test(tc, built_parses);
	tcase_add_loop_test(tc, not_built, 12, 13);
	tcase_add_loop_test(tc, not_built, 16, 17);
	tcase_add_loop_test(tc, not_built_about_icmp, 0, 256);
	return tc;
}
