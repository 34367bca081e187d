/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 the spinat authors
 */
#include "packet_fragments.h"
#include "test_packet.h"

/* Four fragments of one datagram of 220 bytes. */
static const struct piece four[4] = {
	{1, 0, 64, true}, {1, 64, 64, true}, {1, 128, 64, true}, {1, 192, 28, false}};

/* The i-th of the 24 orders of four things. */
static void
permutation(int i, int order[4])
{
	int rest[4] = {0, 1, 2, 3};

	for (int n = 4; n > 0; n--) {
		int pick = i % n;

		i /= n;
		order[4 - n] = rest[pick];
		memmove(&rest[pick], &rest[pick + 1], (n - 1 - pick) * sizeof(rest[0]));
	}
}

/* Any order, the decision made at once: held ones come back in order of arrival. */
START_TEST(any_order)
{
	uint32_t places[SPINAT_FRAG_HELD_MAX];
	bool decided = false;
	int order[4];

	permutation(_i, order);
	for (int i = 0; i < 4; i++) {
		if (order[i] == 0) {
			FIRST(four[0]);
			decided = true;
			ck_assert_int_eq(frag_learn(1, places), i);
			for (int j = 0; j < i; j++)
				ck_assert_uint_eq(places[j], four[order[j]].off);
		} else if (decided) {
			FOLLOWS(four[order[i]]);
		} else {
			HELD(four[order[i]]);
			frag_assert_usage(1, i + 1);
		}
	}
	frag_assert_usage(0, 0);
}
END_TEST

/* Any order, the decision made after all have come. */
START_TEST(late_decision)
{
	uint32_t places[SPINAT_FRAG_HELD_MAX];
	int order[4], n = 0;

	permutation(_i, order);
	for (int i = 0; i < 4; i++) {
		if (order[i] == 0)
			FIRST(four[0]);
		else
			HELD(four[order[i]]);
	}
	frag_assert_usage(1, 3);
	ck_assert_uint_eq(frag_learn(1, places), 3);
	for (int i = 0; i < 4; i++)
		if (order[i] != 0)
			ck_assert_uint_eq(places[n++], four[order[i]].off);
	frag_assert_usage(0, 0);
}
END_TEST

/* A copy is dropped and takes nothing with it; one that comes when all have passed waits in vain. */
START_TEST(duplicates)
{
	bool decided = false;
	int order[4];

	permutation(_i, order);
	for (int i = 0; i < 4; i++) {
		const struct piece f = four[order[i]];

		if (order[i] == 0) {
			FIRST(f);
			ck_assert_int_eq(frag_learn(1, NULL), i);
			decided = true;
		} else if (decided) {
			FOLLOWS(f);
		} else {
			HELD(f);
		}
		if (i == 3)
			break;
		DROPS(f, SPINAT_DROP_FRAG_OVERLAP);
	}
	frag_assert_usage(0, 0);
	HELD(four[3]);
	frag_assert_usage(1, 1);
	fx.now_ms += TIMEOUT_MS;
	ck_assert_uint_eq(frag_expire(8), 1);
	frag_assert_usage(0, 0);
}
END_TEST

/* Two pieces that contradict each other, neither of them the first. */
static const struct piece conflicts[][2] = {
	{{1, 64, 64, true}, {1, 120, 64, true}}, /* end overlaps */
	{{1, 64, 64, true}, {1, 40, 32, true}}, /* begin overlaps */
	{{1, 64, 64, true}, {1, 40, 160, true}}, /* covers it */
	{{1, 64, 64, true}, {1, 40, 88, true}}, /* covers it, same end */
	{{1, 64, 64, true}, {1, 64, 72, true}}, /* covers it, same begin */
	{{1, 64, 64, false}, {1, 128, 64, true}}, /* behind the end */
	{{1, 64, 64, false}, {1, 8, 128, true}}, /* beyond the end */
	{{1, 64, 64, false}, {1, 128, 64, false}}, /* second end, behind */
	{{1, 64, 64, false}, {1, 8, 16, false}}, /* second end, before */
	{{1, 64, 64, false}, {1, 120, 8, true}}, /* no end where the end is */
	{{1, 64, 64, true}, {1, 8, 16, false}}, /* end before what is there */
	{{1, 64, 64, true}, {1, 64, 40, false}}, /* end inside of what is there */
};

START_TEST(overlap)
{
	HELD(conflicts[_i][0]);
	HELD(PIECE(2, 64, 64, true));
	DROPS(conflicts[_i][1], SPINAT_DROP_FRAG_OVERLAP);
	/* held ones are given up without waiting, and nothing more passes */
	frag_assert_usage(2, 2);
	ck_assert_uint_eq(frag_expire(8), 1);
	frag_assert_usage(2, 1);
	DROPS(PIECE(1, 0, 8, true), SPINAT_DROP_FRAG_OVERLAP);
	DROPS(PIECE(1, 640, 8, true), SPINAT_DROP_FRAG_OVERLAP);
	ck_assert_uint_eq(frag_learn(1, NULL), 0);
	DROPS(PIECE(1, 720, 8, true), SPINAT_DROP_FRAG_OVERLAP);
	/* the other datagram is as it was */
	FIRST(PIECE(2, 0, 64, true));
	ck_assert_uint_eq(frag_learn(2, NULL), 1);
	FOLLOWS(PIECE(2, 128, 8, false));
	frag_assert_usage(1, 0);
	fx.now_ms += TIMEOUT_MS;
	ck_assert_uint_eq(frag_expire(8), 0);
	frag_assert_usage(0, 0);
}
END_TEST

/* The same against a first fragment that has been sent on (RFC 1858's port overwrite). */
START_TEST(overlap_first)
{
	FIRST(four[0]);
	ck_assert_uint_eq(frag_learn(1, NULL), 0);
	DROPS(PIECE(1, 8, 8, true), SPINAT_DROP_FRAG_OVERLAP);
	FOLLOWS(four[1]); /* a copy of a part spoils nothing */
	DROPS(PIECE(1, 0, 136, true), SPINAT_DROP_FRAG_OVERLAP);
	DROPS(four[2], SPINAT_DROP_FRAG_OVERLAP);
	DROPS(four[0], SPINAT_DROP_FRAG_OVERLAP);
}
END_TEST

/* All of it has come, and then a contradiction before the decision: it stays spoiled. */
START_TEST(overlap_complete)
{
	for (int i = 3; i > 0; i--)
		HELD(four[i]);
	FIRST(four[0]);
	DROPS(PIECE(1, 192, 64, true), SPINAT_DROP_FRAG_OVERLAP);
	ck_assert_uint_eq(frag_learn(1, NULL), 0);
	DROPS(four[0], SPINAT_DROP_FRAG_OVERLAP);
	frag_assert_usage(1, 3);
	ck_assert_uint_eq(frag_expire(8), 3);
	frag_assert_usage(1, 0);
}
END_TEST

/* A first fragment of eight bytes, and as many small ones as the length has room for. */
START_TEST(tiny)
{
	const uint16_t last = 65504;

	FIRST(PIECE(1, 0, 8, true));
	ck_assert_uint_eq(frag_learn(1, NULL), 0);
	for (uint16_t off = 8; off < last; off += 8)
		FOLLOWS(PIECE(1, off, 8, true));
	frag_assert_usage(1, 0);
	FOLLOWS(PIECE(1, last, 1, false));
	frag_assert_usage(0, 0);
}
END_TEST

START_TEST(refused)
{
	const struct spinat_frag_verdict no = {.drop = SPINAT_DROP_PORTS_EXHAUSTED};
	struct rte_mbuf *out[SPINAT_FRAG_HELD_MAX];
	struct outcome o;
	unsigned int n;

	HELD(four[2]);
	o = frag_give(four[0]);
	ck_assert_int_eq(o.action, SPINAT_FRAG_FIRST);
	n = spinat_frag_learn(fx.table, &o.meta, fx.now_ms, &no, out, RTE_DIM(out));
	ck_assert_uint_eq(n, 1);
	frag_sent(out, n, NULL);
	o = frag_give(four[1]);
	ck_assert_int_eq(o.action, SPINAT_FRAG_FOLLOW);
	ck_assert_uint_eq(o.verdict.drop, SPINAT_DROP_PORTS_EXHAUSTED);
}
END_TEST

/* What tells datagrams apart, one after the other. */
START_TEST(keys)
{
	struct spinat_meta meta;
	struct rte_mbuf *m;

	FIRST(four[0]);
	ck_assert_uint_eq(frag_learn(1, NULL), 0);
	for (int i = 0; i < 6; i++) {
		m = frag_make(four[1], &meta);
		switch (i) {
		case 0:
			meta.key.src ^= 1;
			break;
		case 1:
			meta.key.dst ^= 1;
			break;
		case 2:
			meta.key.proto = IPPROTO_TCP;
			break;
		case 3:
			meta.key.dir = SPINAT_IN;
			break;
		case 4:
			meta.key.realm = 1;
			break;
		case 5:
			meta.ip_id ^= 1;
			break;
		}
		ck_assert_int_eq(frag_give_meta(m, &meta).action, SPINAT_FRAG_HELD);
		frag_assert_usage(2 + i, 1 + i);
	}
	FOLLOWS(four[1]);
}
END_TEST

START_TEST(learn_unknown)
{
	ck_assert_uint_eq(frag_learn(1, NULL), 0);
	frag_assert_usage(0, 0);
	HELD(four[1]);
	fx.now_ms += TIMEOUT_MS;
	ck_assert_uint_eq(frag_learn(1, NULL), 0); /* its time is over */
	frag_assert_usage(0, 1);
	ck_assert_uint_eq(frag_expire(8), 1);
}
END_TEST

/* Too little room for the held ones: the rest waits for the next call. */
START_TEST(learn_in_parts)
{
	uint32_t places[2];
	struct outcome o;

	for (int i = 3; i > 0; i--)
		HELD(four[i]);
	o = frag_give(four[0]);
	ck_assert_uint_eq(frag_learn_max(&o.meta, 2, places), 2);
	ck_assert_uint_eq(places[0], four[3].off);
	ck_assert_uint_eq(places[1], four[2].off);
	frag_assert_usage(1, 1);
	ck_assert_uint_eq(frag_learn_max(&o.meta, 2, places), 1);
	ck_assert_uint_eq(places[0], four[1].off);
	frag_assert_usage(0, 0);
}
END_TEST

#define UNITS 32
#define IDS 8

/* What a table may do with one datagram, by units of eight bytes. */
struct model {
	bool passed[UNITS];
	unsigned int n_passed;
	bool first; /* waits for its decision */
	bool decided;
};

/* Notes bytes taken in; each must be the first of its kind since the datagram began. */
static void
model_accept(struct model *d, struct piece f)
{
	for (int i = f.off / 8; i < (f.off + f.len) / 8; i++) {
		pkt_assert(!d->passed[i]);
		d->passed[i] = true;
		d->n_passed++;
	}
}

static void
model_forget_if_done(struct model *d)
{
	if (d->decided && d->n_passed == UNITS)
		*d = (struct model){0};
}

static void
model_step(struct model *d, struct piece f)
{
	struct outcome o = frag_give(f);

	switch (o.action) {
	case SPINAT_FRAG_FIRST:
		pkt_assert(f.off == 0);
		d->first = true;
		break;
	case SPINAT_FRAG_FOLLOW:
		pkt_assert(d->decided);
		break;
	case SPINAT_FRAG_HELD:
		pkt_assert(!d->decided);
		break;
	case SPINAT_FRAG_DROP:
		return;
	}
	model_accept(d, f);
	model_forget_if_done(d);
}

/* Random pieces of few datagrams, with overlaps: no byte passes twice, nothing is lost. */
START_TEST(random_pieces)
{
	uint64_t state = test_seed + _i;
	struct model model[IDS] = {0};
	uint64_t r;

	for (int n = 0; n < 20000; n++) {
		struct piece f;
		struct model *d;

		r = pkt_random(&state);
		f.id = r % IDS;
		d = &model[f.id];
		/* mostly pieces of four units, so that datagrams get complete */
		f.off = (r >> 8 & 63) == 0 ? (r >> 16) % UNITS : (r >> 16) % (UNITS / 4) * 4;
		f.len = (r >> 8 & 63) == 0 ? 1 + (r >> 24) % (UNITS - f.off) : 4;
		f.off *= 8;
		f.len *= 8;
		f.more = f.off + f.len != UNITS * 8;
		if (!f.more && f.off == 0)
			continue; /* no fragment */
		model_step(d, f);
		if (d->first && (r >> 40 & 1)) {
			frag_learn(f.id, NULL);
			d->first = false;
			d->decided = true;
			model_forget_if_done(d);
		}
		if (r >> 41 & 1)
			frag_expire(4);
		if (n % 1000 == 999) { /* away with the spoiled ones */
			fx.now_ms += TIMEOUT_MS;
			while (frag_expire(16) != 0)
				continue;
			memset(model, 0, sizeof(model));
			frag_assert_usage(0, 0);
		}
	}
}
END_TEST

TCase *
test_frag(void)
{
	TCase *tc = tcase_create("frag");

	tcase_add_checked_fixture(tc, frag_setup, frag_teardown);
	tcase_set_timeout(tc, 60);
	tcase_add_loop_test(tc, any_order, 0, 24);
	tcase_add_loop_test(tc, late_decision, 0, 24);
	tcase_add_loop_test(tc, duplicates, 0, 24);
	tcase_add_loop_test(tc, overlap, 0, RTE_DIM(conflicts));
	tcase_add_test(tc, overlap_first);
	tcase_add_test(tc, overlap_complete);
	tcase_add_test(tc, tiny);
	tcase_add_test(tc, refused);
	tcase_add_test(tc, keys);
	tcase_add_test(tc, learn_unknown);
	tcase_add_test(tc, learn_in_parts);
	tcase_add_loop_test(tc, random_pieces, 0, 5);
	return tc;
}
