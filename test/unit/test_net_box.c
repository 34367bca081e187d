/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 the spinat authors
 */
#include <rte_mbuf.h>

#include "net/box.h"
#include "packet/icmp.h"
#include "packets.h"
#include "test_net.h"

/* Echo replies and ICMP errors of the box. Checksums are verified by packets.h's own sums. */

static const struct rte_ether_addr asker = {{0x02, 0xcc, 0, 0, 0, 1}};
static const struct rte_ether_addr box = {{0x02, 0, 0, 0, 0, 0x10}};

static void
start(struct pkt *p, bool tagged, uint8_t ip_options, uint8_t proto)
{
	pkt_start(p, tagged, ip_options, proto);
	memcpy(p->data, &box, sizeof(box));
	memcpy(p->data + sizeof(box), &asker, sizeof(asker));
}

static struct spinat_meta
parse(const struct pkt *p)
{
	struct spinat_meta meta;

	spinat_parse(p->data, p->len, p->len, true, &meta);
	return meta;
}

/* The answer to a packet as it is now, -EINVAL included; the packet must stay as it was then. */
static int
echo(const struct pkt *p)
{
	struct spinat_meta meta = parse(p);
	struct rte_mbuf *m = net_mbuf(p->data, p->len);
	int rc = spinat_box_echo(m, &meta);

	if (rc != 0)
		ck_assert_mem_eq(rte_pktmbuf_mtod(m, uint8_t *), p->data, p->len);
	rte_pktmbuf_free(m);
	return rc;
}

/* Fails unless the bytes are the echo reply to p and nothing else. */
static void
check_reply(const struct pkt *p, const uint8_t *got)
{
	struct pkt want = *p;
	struct rte_ipv4_hdr *ip = pkt_ip(&want);

	memcpy(want.data, &asker, sizeof(asker));
	memcpy(want.data + sizeof(asker), &box, sizeof(box));
	ip->src_addr = PKT_DST;
	ip->dst_addr = PKT_SRC;
	ip->time_to_live = 64;
	want.data[want.l4] = SPINAT_ICMP_ECHO_REPLY;
	pkt_seal(&want);
	ck_assert_mem_eq(got, want.data, want.len);
}

START_TEST(echo_reply)
{
	for (uint16_t payload = 0; payload < 1400; payload += 13) {
		struct pkt p;
		struct spinat_meta meta;
		struct rte_mbuf *m;

		start(&p, payload % 2 == 0, 0, IPPROTO_ICMP);
		pkt_icmp(&p, SPINAT_ICMP_ECHO_REQUEST, 0, payload * 47, payload);
		pkt_seal(&p);
		meta = parse(&p);
		m = net_mbuf(p.data, p.len);
		memset(rte_pktmbuf_append(m, 9), 0xee, 9); /* padding is not part of it */
		ck_assert_int_eq(spinat_box_echo(m, &meta), 0);
		check_reply(&p, rte_pktmbuf_mtod(m, uint8_t *));
		rte_pktmbuf_free(m);
	}
	net_check_pool();
}
END_TEST

/* A reply of which the checksum is 0 or 0xffff is right as well. */
START_TEST(echo_checksum_edges)
{
	for (uint32_t ident = 0; ident <= UINT16_MAX; ident++) {
		struct spinat_meta meta;
		struct rte_mbuf *m;
		struct pkt p;

		start(&p, false, 0, IPPROTO_ICMP);
		pkt_icmp(&p, SPINAT_ICMP_ECHO_REQUEST, 0, ident, 2);
		pkt_seal(&p);
		meta = parse(&p);
		m = net_mbuf(p.data, p.len);
		ck_assert_int_eq(spinat_box_echo(m, &meta), 0);
		ck_assert_uint_eq(ref_l4_sum(rte_pktmbuf_mtod_offset(m, uint8_t *, p.l3)), 0xffff);
		rte_pktmbuf_free(m);
	}
}
END_TEST

/* In buffers of 100 bytes, the last of one byte. */
START_TEST(echo_segments)
{
	struct rte_mbuf *m, *last;
	struct spinat_meta meta;
	uint8_t got[2048];
	struct pkt p;

	start(&p, false, 0, IPPROTO_ICMP);
	pkt_icmp(&p, SPINAT_ICMP_ECHO_REQUEST, 0, 5, 1259);
	pkt_seal(&p);
	ck_assert_uint_eq(p.len % 100, 1);
	meta = parse(&p);
	m = net_mbuf(p.data, 100);
	for (uint32_t at = 100; at < p.len; at += 100) {
		last = net_mbuf(p.data + at, RTE_MIN(100u, p.len - at));
		ck_assert_int_eq(rte_pktmbuf_chain(m, last), 0);
	}
	ck_assert_int_eq(spinat_box_echo(m, &meta), 0);
	ck_assert_ptr_nonnull(rte_pktmbuf_read(m, 0, p.len, got));
	check_reply(&p, rte_pktmbuf_read(m, 0, p.len, got));
	rte_pktmbuf_free(m);
	net_check_pool();
}
END_TEST

static void
request(struct pkt *p, uint8_t ip_options)
{
	start(p, false, ip_options, IPPROTO_ICMP);
	pkt_icmp(p, SPINAT_ICMP_ECHO_REQUEST, 0, 5, 40);
	pkt_seal(p);
}

START_TEST(echo_refused)
{
	struct pkt p;

	request(&p, 0);
	ck_assert_int_eq(echo(&p), 0);
	p.data[p.len - 1] ^= 1; /* checksum */
	ck_assert_int_eq(echo(&p), -EINVAL);
	request(&p, 4); /* options */
	ck_assert_int_eq(echo(&p), -EINVAL);
	request(&p, 0);
	memset(p.data, 0xff, 6); /* to all */
	ck_assert_int_eq(echo(&p), -EINVAL);
	request(&p, 0);
	p.data[0] = 0x01; /* to a group */
	ck_assert_int_eq(echo(&p), -EINVAL);
	request(&p, 0);
	p.data[6] = 0x01; /* from a group */
	ck_assert_int_eq(echo(&p), -EINVAL);
	request(&p, 0);
	pkt_ip(&p)->fragment_offset = RTE_BE16(RTE_IPV4_HDR_MF_FLAG);
	pkt_seal(&p); /* a piece of one */
	ck_assert_int_eq(echo(&p), -EINVAL);
	start(&p, false, 0, IPPROTO_ICMP);
	pkt_icmp(&p, SPINAT_ICMP_ECHO_REPLY, 0, 5, 40);
	pkt_seal(&p);
	ck_assert_int_eq(echo(&p), -EINVAL);
	start(&p, false, 0, IPPROTO_ICMP);
	pkt_icmp(&p, SPINAT_ICMP_TIMESTAMP_REQUEST, 0, 5, 12);
	pkt_seal(&p);
	ck_assert_int_eq(echo(&p), -EINVAL);
	start(&p, false, 0, IPPROTO_UDP);
	pkt_udp(&p, 7, 7, 40);
	pkt_seal(&p);
	ck_assert_int_eq(echo(&p), -EINVAL);
	net_check_pool();
}
END_TEST

/* Metadata of a whole packet with an mbuf that has lost its end. */
START_TEST(echo_truncated)
{
	struct spinat_meta meta;
	struct pkt p;

	request(&p, 0);
	meta = parse(&p);
	for (uint32_t len = RTE_ETHER_HDR_LEN; len < p.len; len++) {
		struct rte_mbuf *m = net_mbuf(p.data, len);

		ck_assert_int_eq(spinat_box_echo(m, &meta), -EINVAL);
		rte_pktmbuf_free(m);
	}
	net_check_pool();
}
END_TEST

static struct rte_mbuf *
error(const struct pkt *p, uint8_t type, uint8_t code, uint16_t mtu)
{
	struct spinat_meta meta = parse(p);
	struct rte_mbuf *m = net_mbuf(p->data, p->len), *e;

	e = spinat_box_error(m, &meta, RTE_BE32(0xc6336401), type, code, mtu, net_pool);
	ck_assert_mem_eq(rte_pktmbuf_mtod(m, uint8_t *), p->data, p->len);
	rte_pktmbuf_free(m);
	return e;
}

START_TEST(error_sent)
{
	for (uint16_t payload = 0; payload < 1400; payload += 100) {
		const uint8_t *frame, *ip;
		struct rte_mbuf *e;
		struct pkt p;
		uint16_t quote;

		start(&p, payload % 200 == 0, 0, IPPROTO_UDP);
		pkt_udp(&p, 1000, 2000, payload);
		pkt_seal(&p);
		e = error(&p, SPINAT_ICMP_UNREACHABLE, 4, 1400);
		ck_assert_ptr_nonnull(e);
		frame = rte_pktmbuf_mtod(e, const uint8_t *);
		ip = frame + p.l3;
		quote = RTE_MIN(p.len - p.l3, 576u - 28);
		ck_assert_uint_eq(e->pkt_len, p.l3 + 28u + quote);
		ck_assert_mem_eq(frame, &asker, 6);
		ck_assert_mem_eq(frame + 6, &box, 6);
		if (p.l3 == 18)
			ck_assert_mem_eq(frame + 12,
				((uint8_t[]){0x81, 0x00, 0x00, PKT_VLAN, 0x08, 0x00}), 6);
		else
			ck_assert_mem_eq(frame + 12, ((uint8_t[]){0x08, 0x00}), 2);
		ck_assert(ref_ip_ok(ip));
		ck_assert_uint_eq(ref_l4_sum(ip), 0xffff);
		ck_assert_mem_eq(ip + 12, ((uint8_t[]){198, 51, 100, 1, 10, 0, 0, 2}), 8);
		ck_assert_mem_eq(ip + 20, ((uint8_t[]){3, 4}), 2);
		ck_assert_mem_eq(ip + 26, ((uint8_t[]){1400 >> 8, 1400 & 0xff}), 2);
		ck_assert_mem_eq(ip + 28, p.data + p.l3, quote);
		rte_pktmbuf_free(e);
	}
	net_check_pool();
}
END_TEST

/* RFC 1122 3.2.2: not about errors, later fragments, and what was not for one host. */
START_TEST(error_refused)
{
	struct rte_mbuf *all[NET_POOL_SIZE - 1];
	struct pkt p;

	start(&p, false, 0, IPPROTO_ICMP);
	pkt_icmp(&p, SPINAT_ICMP_UNREACHABLE, 1, 0, 40);
	pkt_seal(&p);
	ck_assert_ptr_null(error(&p, SPINAT_ICMP_TIME_EXCEEDED, 0, 0));
	start(&p, false, 0, IPPROTO_UDP);
	pkt_udp(&p, 1000, 2000, 24);
	pkt_ip(&p)->fragment_offset = RTE_BE16(5);
	pkt_seal(&p);
	ck_assert_ptr_null(error(&p, SPINAT_ICMP_TIME_EXCEEDED, 0, 0));
	pkt_ip(&p)->fragment_offset = 0;
	pkt_seal(&p);
	ck_assert_int_eq(rte_pktmbuf_alloc_bulk(net_pool, all, RTE_DIM(all)), 0);
	ck_assert_ptr_null(error(&p, SPINAT_ICMP_TIME_EXCEEDED, 0, 0)); /* no buffer */
	rte_pktmbuf_free_bulk(all, RTE_DIM(all));
	memset(p.data, 0xff, 6);
	ck_assert_ptr_null(error(&p, SPINAT_ICMP_TIME_EXCEEDED, 0, 0));
	memcpy(p.data, &box, 6);
	p.data[6] |= 1;
	ck_assert_ptr_null(error(&p, SPINAT_ICMP_TIME_EXCEEDED, 0, 0));
	net_check_pool();
}
END_TEST

TCase *
test_net_box(void)
{
	TCase *tc = tcase_create("box");

	tcase_set_timeout(tc, 60);
	tcase_add_test(tc, echo_reply);
	tcase_add_test(tc, echo_checksum_edges);
	tcase_add_test(tc, echo_segments);
	tcase_add_test(tc, echo_refused);
	tcase_add_test(tc, echo_truncated);
	tcase_add_test(tc, error_sent);
	tcase_add_test(tc, error_refused);
	return tc;
}
