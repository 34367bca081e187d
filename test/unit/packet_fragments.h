/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 the spinat authors
 */
#ifndef SPINAT_TEST_PACKET_FRAGMENTS_H
#define SPINAT_TEST_PACKET_FRAGMENTS_H

#include <rte_mbuf.h>

#include "packet/frag.h"
#include "packets.h"

/* A fragment table, real mbufs, and an account of them: none may be lost or freed twice. */

#define POOL_SIZE 511
#define TIMEOUT_MS 1000

struct frag_fixture {
	struct rte_mempool *pool;
	struct spinat_frag_table *table;
	uint64_t now_ms;
};

static struct frag_fixture fx;

/* One fragment of datagram id: bytes from off on, of a UDP packet. */
struct piece {
	uint16_t id;
	uint16_t off;
	uint16_t len;
	bool more;
};

/* What became of it. */
struct outcome {
	enum spinat_frag_action action;
	enum spinat_drop drop;
	struct spinat_frag_verdict verdict;
	struct spinat_meta meta;
};

static const struct spinat_frag_verdict test_verdict = {
	.src = PKT_ADDR(192, 0, 2, 1),
	.dst = PKT_DST,
	.realm = 3,
};

static inline void
frag_open(uint32_t datagrams, uint32_t held, uint32_t held_bytes)
{
	const struct spinat_frag_params params = {
		.datagrams = datagrams,
		.held = held,
		.held_bytes = held_bytes,
		.timeout_ms = TIMEOUT_MS,
		.socket_id = SOCKET_ID_ANY,
	};

	fx.now_ms = 5000;
	fx.pool = rte_pktmbuf_pool_create("frag", POOL_SIZE, 0, 0, 2048, SOCKET_ID_ANY);
	ck_assert_ptr_nonnull(fx.pool);
	fx.table = spinat_frag_create("frag", &params);
	ck_assert_ptr_nonnull(fx.table);
}

static inline void
frag_setup(void)
{
	frag_open(64, 128, 1 << 20);
}

/* The table frees what it still holds: afterwards every mbuf is back. */
static inline void
frag_teardown(void)
{
	spinat_frag_free(fx.table);
	ck_assert_uint_eq(rte_mempool_avail_count(fx.pool), POOL_SIZE);
	rte_mempool_free(fx.pool);
}

/* Makes the mbuf; its user word is the place in the datagram. */
static inline struct rte_mbuf *
frag_make(struct piece f, struct spinat_meta *meta)
{
	struct rte_mbuf *m = rte_pktmbuf_alloc(fx.pool);
	struct pkt p;

	pkt_assert(m != NULL);
	pkt_start(&p, false, 0, IPPROTO_UDP);
	pkt_ip(&p)->packet_id = rte_cpu_to_be_16(f.id);
	pkt_ip(&p)->fragment_offset =
		rte_cpu_to_be_16(f.off / 8 | (f.more ? RTE_IPV4_HDR_MF_FLAG : 0));
	if (f.off == 0)
		pkt_udp(&p, 1000, 2000, f.len - 8);
	else
		pkt_payload(&p, f.len);
	pkt_ip(&p)->total_length = rte_cpu_to_be_16(p.len - p.l3);
	ref_seal_ip(p.data + p.l3, 20);
	memcpy(rte_pktmbuf_append(m, p.len), p.data, p.len);
	m->hash.usr = f.off;
	spinat_parse(p.data, p.len, p.len, true, meta);
	pkt_assert(meta->flags & SPINAT_META_FRAG);
	return m;
}

/* Gives one to the table; frees the mbuf as the caller would, sent or dropped, unless it is held. */
static inline struct outcome
frag_give_meta(struct rte_mbuf *m, const struct spinat_meta *meta)
{
	struct outcome o = {.meta = *meta};

	o.action = spinat_frag_input(fx.table, m, meta, fx.now_ms, &o.verdict, &o.drop);
	if (o.action != SPINAT_FRAG_HELD)
		rte_pktmbuf_free(m);
	return o;
}

static inline struct outcome
frag_give(struct piece f)
{
	struct spinat_meta meta;
	struct rte_mbuf *m = frag_make(f, &meta);

	return frag_give_meta(m, &meta);
}

static inline void
frag_expect(struct piece f, enum spinat_frag_action action, enum spinat_drop drop)
{
	struct outcome o = frag_give(f);

	ck_assert_msg(o.action == action && (action != SPINAT_FRAG_DROP || o.drop == drop),
		"fragment %u of %u bytes: action %d drop %s", f.off, f.len, o.action,
		o.action == SPINAT_FRAG_DROP ? spinat_drop_info[o.drop].name : "-");
	if (action == SPINAT_FRAG_FOLLOW)
		ck_assert_mem_eq(&o.verdict, &test_verdict, sizeof(test_verdict));
}

/* Frees mbufs that came back and writes down their places. */
static inline void
frag_sent(struct rte_mbuf **m, unsigned int n, uint32_t *places)
{
	for (unsigned int i = 0; i < n; i++) {
		if (places != NULL)
			places[i] = m[i]->hash.usr;
		rte_pktmbuf_free(m[i]);
	}
}

static inline unsigned int
frag_learn_max(const struct spinat_meta *meta, unsigned int max, uint32_t *places)
{
	struct rte_mbuf *out[SPINAT_FRAG_HELD_MAX];
	unsigned int n = spinat_frag_learn(fx.table, meta, fx.now_ms, &test_verdict, out, max);

	frag_sent(out, n, places);
	return n;
}

static inline unsigned int
frag_learn(uint16_t id, uint32_t *places)
{
	struct spinat_meta meta;

	rte_pktmbuf_free(frag_make((struct piece){id, 0, 64, true}, &meta));
	return frag_learn_max(&meta, SPINAT_FRAG_HELD_MAX, places);
}

static inline unsigned int
frag_expire(unsigned int max)
{
	struct rte_mbuf *out[256];
	unsigned int n = spinat_frag_expire(fx.table, fx.now_ms, out, max);

	pkt_assert(n <= max);
	frag_sent(out, n, NULL);
	return n;
}

static inline void
frag_assert_usage(uint32_t datagrams, uint32_t held)
{
	uint32_t d, h;

	spinat_frag_usage(fx.table, &d, &h);
	ck_assert_uint_eq(d, datagrams);
	ck_assert_uint_eq(h, held);
}

#define FIRST(f) frag_expect(f, SPINAT_FRAG_FIRST, SPINAT_DROP_NONE)
#define FOLLOWS(f) frag_expect(f, SPINAT_FRAG_FOLLOW, SPINAT_DROP_NONE)
#define HELD(f) frag_expect(f, SPINAT_FRAG_HELD, SPINAT_DROP_NONE)
#define DROPS(f, reason) frag_expect(f, SPINAT_FRAG_DROP, reason)
#define PIECE(...) ((struct piece){__VA_ARGS__})

#endif
