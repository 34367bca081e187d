/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 the spinat authors
 */
#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>

#include <rte_eal.h>
#include <rte_mbuf.h>

#include "packet/frag.h"

/*
 * Any sequence of fragments, decisions and time: bounds hold, every mbuf comes back. Input is a list
 * of steps.
 */

int LLVMFuzzerInitialize(int *argc, char ***argv);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

struct step {
	uint8_t what; /* enum below, modulo */
	uint8_t id;
	uint8_t off; /* units of 8 bytes */
	uint8_t len; /* units of 8 bytes; upper bit: more fragments */
};

enum { FRAGMENT, FRAGMENT_TOO, LEARN, EXPIRE, TIME, STEPS };

#define DATAGRAMS 16
#define HELD 20
#define TIMEOUT_MS 100
#define POOL_SIZE 127
#define PKT_LEN 100

static struct rte_mempool *pool;

static void
require(bool condition)
{
	if (!condition)
		abort();
}

int
LLVMFuzzerInitialize(int *argc, char ***argv)
{
	char *eal[] = {(*argv)[0], "--no-huge", "--no-pci", "--no-shconf", "-m", "64", "-l", "0",
		"--no-telemetry", "--log-level=error", NULL};

	(void)argc;
	require(rte_eal_init(RTE_DIM(eal) - 1, eal) >= 0);
	pool = rte_pktmbuf_pool_create("fuzz", POOL_SIZE, 0, 0, 256, SOCKET_ID_ANY);
	require(pool != NULL);
	return 0;
}

static struct spinat_meta
meta_of(const struct step *s)
{
	const uint16_t len = RTE_MAX(s->len & 0x7f, 1) * 8;

	return (struct spinat_meta){
		.key = {.src = 1, .dst = 2, .proto = IPPROTO_UDP, .dir = s->id >> 4 & 1},
		.kind = SPINAT_KIND_FLOW,
		.flags = SPINAT_META_FRAG | (s->off != 0 ? SPINAT_META_FRAG_LATER : 0),
		.l3 = 14,
		.l4 = 34,
		.l3_len = 20 + len,
		.frag_off = s->off * 8,
		.ip_id = s->id & 0xf,
		.more_frags = s->off == 0 || (s->len & 0x80) != 0,
	};
}

static void
give(struct spinat_frag_table *t, const struct step *s, uint64_t now_ms)
{
	const struct spinat_meta meta = meta_of(s);
	struct rte_mbuf *m = rte_pktmbuf_alloc(pool);
	enum spinat_drop drop = SPINAT_DROP_NONE;
	struct spinat_frag_verdict verdict = {.realm = UINT16_MAX};

	require(m != NULL); /* fewer are held than the pool has */
	rte_pktmbuf_append(m, PKT_LEN);
	switch (spinat_frag_input(t, m, &meta, now_ms, &verdict, &drop)) {
	case SPINAT_FRAG_FIRST:
		require(meta.frag_off == 0);
		break;
	case SPINAT_FRAG_FOLLOW:
		require(meta.frag_off != 0 && verdict.realm == 7);
		break;
	case SPINAT_FRAG_HELD:
		require(meta.frag_off != 0);
		return;
	case SPINAT_FRAG_DROP:
		require(drop >= SPINAT_DROP_FRAG_OVERLAP && drop <= SPINAT_DROP_FRAG_HOLD_FULL);
		break;
	}
	rte_pktmbuf_free(m);
}

/* A step that gives mbufs back: at most as many as asked for, each still whole. */
static void
take(struct spinat_frag_table *t, const struct step *s, uint64_t now_ms, bool learn)
{
	const struct spinat_frag_verdict verdict = {.realm = 7};
	const struct spinat_meta meta = meta_of(s);
	struct rte_mbuf *out[SPINAT_FRAG_HELD_MAX];
	const unsigned int max = s->len % (SPINAT_FRAG_HELD_MAX + 1);
	unsigned int n;

	n = learn ? spinat_frag_learn(t, &meta, now_ms, &verdict, out, max)
		  : spinat_frag_expire(t, now_ms, out, max);
	require(n <= max && n <= HELD);
	for (unsigned int i = 0; i < n; i++) {
		require(rte_mbuf_refcnt_read(out[i]) == 1 && out[i]->pkt_len == PKT_LEN);
		rte_pktmbuf_free(out[i]);
	}
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	const struct spinat_frag_params params = {
		.datagrams = DATAGRAMS,
		.held = HELD,
		.held_bytes = (HELD - 2) * PKT_LEN,
		.timeout_ms = TIMEOUT_MS,
		.socket_id = SOCKET_ID_ANY,
	};
	struct spinat_frag_table *t = spinat_frag_create("fuzz", &params);
	uint32_t datagrams, held;
	uint64_t now_ms = 1;
	struct step s;

	require(t != NULL);
	for (; size >= sizeof(s); data += sizeof(s), size -= sizeof(s)) {
		memcpy(&s, data, sizeof(s));
		switch (s.what % STEPS) {
		case FRAGMENT:
		case FRAGMENT_TOO:
			give(t, &s, now_ms);
			break;
		case LEARN:
			take(t, &s, now_ms, true);
			break;
		case EXPIRE:
			take(t, &s, now_ms, false);
			break;
		case TIME:
			now_ms += s.len;
			break;
		}
		spinat_frag_usage(t, &datagrams, &held);
		require(datagrams <= DATAGRAMS && held <= HELD - 2);
		require(rte_mempool_avail_count(pool) == POOL_SIZE - held);
	}
	spinat_frag_free(t);
	require(rte_mempool_avail_count(pool) == POOL_SIZE);
	return 0;
}
