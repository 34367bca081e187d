/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 the spinat authors
 */
#include <math.h>

#include <rte_common.h>

#include "binder_internal.h"

/*
 * Whether two dense streams belong together. In those no event stands alone, so that its time says
 * little. But where streams have nothing to do with each other, the events of one fall into the
 * windows that those of the other open as often as the windows cover the time near them. Unlike
 * rates, which must be guessed, that is measured, and holds for streams of any shape.
 */

#define MEMORY_MS 2000.0 /* what is longer ago counts little for the cover */
#define KNOWN_MS 100.0 /* so much must have been seen */
#define COVER_MIN 0.01
#define COVER_MAX 0.95

/* How many of the events may be due to the other stream; nobody knows, so each is tried. */
static const double shares[COINCIDENCE_SHARES] = {0.05, 0.3, 0.7};
#define NONE_SHARE 0.1 /* of the belief: an owner that does not react, all is chance */
#define DB_MAX 60.0
#define EVENT_MAX_DB 20.0 /* no single ask says more */

void
ipsec_cover_open(struct cover *v, uint64_t now_ms, double width_ms)
{
	double took = (double)(now_ms - v->last_ms), left;

	if (v->last_ms != 0) {
		left = exp(-took / MEMORY_MS);
		v->covered_ms = v->covered_ms * left + RTE_MIN(took, width_ms);
		v->seen_ms = v->seen_ms * left + RTE_MIN(took, COINCIDENCE_AROUND * width_ms);
	}
	v->last_ms = now_ms;
}

double
ipsec_cover_share(const struct cover *v, uint64_t now_ms, double width_ms)
{
	struct cover now = *v;

	ipsec_cover_open(&now, now_ms, width_ms);
	if (now.seen_ms < KNOWN_MS)
		return 1.0;
	return RTE_MIN(RTE_MAX(now.covered_ms / now.seen_ms, COVER_MIN), 1.0);
}

double
ipsec_coincidence_add(struct coincidence *x, double cover, bool hit)
{
	double before = ipsec_coincidence_odds(x), p;
	unsigned int i;

	if (cover > COVER_MAX)
		return 0.0;
	for (i = 0; i < COINCIDENCE_SHARES; i++) {
		p = shares[i] + (1.0 - shares[i]) * cover;
		x->db[i] += ipsec_db(hit ? p / cover : (1.0 - p) / (1.0 - cover));
	}
	return ipsec_db(ipsec_coincidence_odds(x) / before);
}

double
ipsec_coincidence_reply(struct coincidence *x, double fit, double by)
{
	double before = ipsec_coincidence_odds(x);
	unsigned int i;

	for (i = 0; i < COINCIDENCE_SHARES; i++)
		x->db[i] += RTE_MIN(ipsec_db(1.0 + shares[i] * (fit - by)), EVENT_MAX_DB);
	return ipsec_db(ipsec_coincidence_odds(x) / before);
}

double
ipsec_coincidence_odds(const struct coincidence *x)
{
	double sum = 0.0;
	unsigned int i;

	for (i = 0; i < COINCIDENCE_SHARES; i++)
		sum += ipsec_odds(RTE_MIN(x->db[i], DB_MAX));
	return NONE_SHARE + (1.0 - NONE_SHARE) * sum / COINCIDENCE_SHARES;
}
