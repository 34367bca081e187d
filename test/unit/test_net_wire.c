/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 the spinat authors
 */
#include <stdlib.h>

#include "test_net_wire.h"

static void
keep(void *ctx, uint16_t port, struct rte_mbuf *m)
{
	struct wire *w = ctx;

	ck_assert_uint_lt(w->n_sent, WIRE_MAX);
	w->sent[w->n_sent] = m;
	w->sent_port[w->n_sent++] = port;
}

static void
count(void *ctx, struct rte_mbuf *m, enum spinat_drop reason)
{
	struct wire *w = ctx;

	w->drops[reason]++;
	rte_pktmbuf_free(m);
}

struct wire *
wire_open(const char *text)
{
	struct wire *w = calloc(1, sizeof(*w));
	const struct spinat_neigh_ops ops = {.send = keep, .drop = count, .ctx = w};

	ck_assert_ptr_nonnull(w);
	w->conf = net_conf(text);
	w->fib = net_fib(w->conf, NULL);
	w->neigh = spinat_neigh_create(w->conf, w->fib, net_ports, net_pool, &ops);
	ck_assert_ptr_nonnull(w->neigh);
	return w;
}

void
wire_reload(struct wire *w, const char *text)
{
	struct spinat_conf *conf = net_conf(text);
	struct spinat_fib *fib = net_fib(conf, w->fib);

	spinat_neigh_reconfigure(w->neigh, conf, fib);
	spinat_fib_free(w->fib);
	spinat_conf_free(w->conf);
	w->conf = conf;
	w->fib = fib;
}

void
wire_clear(struct wire *w)
{
	rte_pktmbuf_free_bulk(w->sent, w->n_sent);
	w->n_sent = 0;
}

void
wire_close(struct wire *w)
{
	wire_clear(w);
	spinat_neigh_free(w->neigh);
	spinat_fib_free(w->fib);
	spinat_conf_free(w->conf);
	free(w);
	net_check_pool();
}

static uint8_t *
put(uint8_t *p, const void *bytes, size_t len)
{
	memcpy(p, bytes, len);
	return p + len;
}

static uint8_t *
put16(uint8_t *p, uint16_t value)
{
	p[0] = value >> 8;
	p[1] = value & 0xff;
	return p + 2;
}

static uint8_t *
put_ip(uint8_t *p, const char *text)
{
	rte_be32_t addr = text == NULL ? 0 : net_ip(text);

	return put(p, &addr, sizeof(addr));
}

uint16_t
arp_frame_write(const struct arp_frame *f, uint8_t *bytes)
{
	uint8_t *p = put(put(bytes, &f->dst, 6), &f->src, 6);

	if (f->tag != 0)
		p = put16(put16(p, 0x8100), f->tag);
	p = put16(p, 0x0806);
	p = put16(put16(p, 1), 0x0800);
	*p++ = 6;
	*p++ = 4;
	p = put16(p, f->op);
	p = put_ip(put(p, &f->sender_mac, 6), f->sender_ip);
	p = put_ip(put(p, &f->target_mac, 6), f->target_ip);
	return p - bytes;
}

void
arp_frame_read(const struct rte_mbuf *m, struct arp_frame *f)
{
	const uint8_t *p = rte_pktmbuf_mtod(m, const uint8_t *);
	uint8_t again[ARP_FRAME_MAX] = {0};
	uint16_t type = p[12] << 8 | p[13];

	ck_assert_uint_eq(m->pkt_len, ARP_FRAME_MAX);
	memset(f, 0, sizeof(*f));
	memcpy(&f->dst, p, 6);
	memcpy(&f->src, p + 6, 6);
	if (type == 0x8100) {
		f->tag = p[14] << 8 | p[15];
		p += 4;
	}
	f->op = p[20] << 8 | p[21];
	memcpy(&f->sender_mac, p + 22, 6);
	memcpy(&f->target_mac, p + 32, 6);
	f->sender_ip = inet_ntop(AF_INET, p + 28, f->text[0], sizeof(f->text[0]));
	f->target_ip = inet_ntop(AF_INET, p + 38, f->text[1], sizeof(f->text[1]));
	/* what is not said in words must be right too, padding included */
	arp_frame_write(f, again);
	ck_assert_mem_eq(rte_pktmbuf_mtod(m, const uint8_t *), again, ARP_FRAME_MAX);
}

void
wire_arp_in(struct wire *w, uint16_t iface, const struct arp_frame *f, uint64_t now_ms)
{
	uint8_t bytes[ARP_FRAME_MAX];
	uint16_t len = arp_frame_write(f, bytes);

	spinat_neigh_input(w->neigh, net_mbuf(bytes, len), iface, now_ms);
}

void
wire_check_arp(struct wire *w, unsigned int i, uint16_t port, const struct arp_frame *f)
{
	uint8_t bytes[ARP_FRAME_MAX] = {0};

	ck_assert_uint_lt(i, w->n_sent);
	ck_assert_uint_eq(w->sent_port[i], port);
	ck_assert_uint_eq(w->sent[i]->pkt_len, ARP_FRAME_MAX);
	arp_frame_write(f, bytes);
	ck_assert_mem_eq(rte_pktmbuf_mtod(w->sent[i], const uint8_t *), bytes, ARP_FRAME_MAX);
}

void
wire_check_stats(struct wire *w, struct spinat_neigh_stats expected)
{
	struct spinat_neigh_stats s;

	spinat_neigh_stats_get(w->neigh, &s);
	ck_assert_uint_eq(s.requests_in, expected.requests_in);
	ck_assert_uint_eq(s.replies_in, expected.replies_in);
	ck_assert_uint_eq(s.requests_out, expected.requests_out);
	ck_assert_uint_eq(s.replies_out, expected.replies_out);
	ck_assert_uint_eq(s.conflicts, expected.conflicts);
	ck_assert_uint_eq(s.refused, expected.refused);
	ck_assert_uint_eq(s.table_full, expected.table_full);
}
