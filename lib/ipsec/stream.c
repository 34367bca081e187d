/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 the spinat authors
 */
#include <math.h>
#include <stdlib.h>

#include <rte_common.h>

#include "binder_internal.h"

/*
 * What a stream of packets is like by itself: how often and how evenly they come, and whether they
 * are all of one size. Voice and video of a constant rate, full segments of a download, and the
 * acknowledgements of one are; a packet of another size among them is something else beside them
 * (RTCP, a name asked for, a request), and such ones are few even where the stream is dense.
 */

#define EVEN_MIN 4 /* events that tell a rhythm */
#define EVEN_SHARE 0.5
#define SAME_MIN 6 /* and that two have the same */
#define SAME_SHARE 0.3

#define RATE_MS 2000.0 /* what is longer ago than this counts little for a rate */
#define RATE_MIN 0.0005 /* anyone may send now and then */
#define RATE_NEW 0.004 /* who has just begun sends more than it has shown */

#define SIZE_SLACK 16 /* bytes; ESP pads to the cipher's block */
#define SIZES_MIN 8 /* packets that tell the usual size */
#define SIZES_SPAN 32.0 /* how many of the last ones count */
#define UNIFORM 0.8 /* share of the usual size */

bool
ipsec_rhythm_even(const struct rhythm *r)
{
	return r->n >= EVEN_MIN && r->off_ms < EVEN_SHARE * r->mean_ms;
}

/* Two clocks of the same pace: where one event fits the other, the next ones do too. */
bool
ipsec_rhythm_same(const struct rhythm *a, const struct rhythm *b)
{
	const double pace = RTE_MAX(a->mean_ms, b->mean_ms);

	return a->n >= SAME_MIN && b->n >= SAME_MIN && a->off_ms + b->off_ms < SAME_SHARE * pace &&
	       fabs(a->mean_ms - b->mean_ms) < SAME_SHARE * pace;
}

double
ipsec_rhythm_rate(const struct rhythm *r, uint64_t now_ms)
{
	double since = (double)(now_ms - r->last_ms), rate;

	if (r->n == 0)
		return RATE_NEW;
	rate = RATE_MIN + r->rate * exp(-since / RATE_MS);
	/* what comes in step with itself needs no other reason to come now */
	if (ipsec_rhythm_even(r) && fabs(since - r->mean_ms) <= 2.0 * r->off_ms + 1.0)
		rate = RTE_MAX(rate, 1.0 / (4.0 * r->off_ms + 2.0));
	return rate;
}

void
ipsec_rhythm_step(struct rhythm *r, uint64_t now_ms, double share)
{
	double took = (double)(now_ms - r->last_ms), off;

	r->rate = (r->n == 0 ? RATE_NEW : r->rate * exp(-took / RATE_MS)) + share / RATE_MS;
	r->last_ms = now_ms;
	if (r->n++ == 0)
		return;
	if (r->n == 2)
		r->mean_ms = r->off_ms = took;
	off = fabs(took - r->mean_ms);
	r->mean_ms += (took - r->mean_ms) / 8;
	r->off_ms += (off - r->off_ms) / 4;
}

bool
ipsec_marks_uniform(const struct marks *k)
{
	return k->n >= SIZES_MIN && k->share >= UNIFORM;
}

bool
ipsec_marks_alone(const struct marks *k)
{
	return k->alone >= UNIFORM;
}

bool
ipsec_marks_step(struct marks *k, uint32_t len, bool silence)
{
	const bool usual = abs((int)len - (int)k->usual) <= SIZE_SLACK;
	const bool odd = !usual && ipsec_marks_uniform(k);

	const double step = 1.0 / RTE_MIN(k->n + 1.0, SIZES_SPAN);

	k->n++;
	k->share += ((usual ? 1.0 : 0.0) - k->share) * step;
	k->alone += ((silence ? 1.0 : 0.0) - k->alone) * step;
	if (k->share < 0.5 && !usual) {
		k->usual = len;
		k->n = 1;
		k->share = 1.0;
	}
	return odd;
}
