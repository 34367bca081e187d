/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 the spinat authors
 */
#ifndef SPINAT_IPSEC_STREAM_H
#define SPINAT_IPSEC_STREAM_H

#include <stdbool.h>
#include <stdint.h>

/*
 * What the times and sizes of packets say: of one stream by itself, and of two that may belong
 * together. For the files of this folder only; times are milliseconds of any steady clock.
 */

#define COINCIDENCE_SHARES 3
#define COINCIDENCE_AROUND 5.0 /* widths of a window: what is farther off does not count */

/* How evenly packets that follow a silence come. */
struct rhythm {
	uint64_t last_ms;
	double rate; /* per millisecond, when the last came; what is long past counts little */
	double mean_ms, off_ms; /* of the time between two; how far it is off, mean */
	uint32_t n;
};

/* The usual size of a stream's packets, and the rhythm of those of another size. */
struct marks {
	struct rhythm rhythm;
	double share; /* of the last packets that had the usual size, */
	double alone; /* that came after a silence */
	uint32_t usual; /* bytes */
	uint32_t n;
};

/* How much of the time is near an event of a stream. */
struct cover {
	uint64_t last_ms;
	double covered_ms, seen_ms;
};

/* Do events of one stream fall near those of another for a reason? In decibans, for each share of
 * them that may. */
struct coincidence {
	double db[COINCIDENCE_SHARES];
};

/* --- stream.c: what a stream is like by itself ------------------------------------------------------ */

/** One more after a silence, of which this share is the sender's own doing; how often such come now,
 * per millisecond. */
void ipsec_rhythm_step(struct rhythm *r, uint64_t now_ms, double share);
double ipsec_rhythm_rate(const struct rhythm *r, uint64_t now_ms);
/** Do they come in even steps? */
bool ipsec_rhythm_even(const struct rhythm *r);
/** Do both come evenly, at the same pace? */
bool ipsec_rhythm_same(const struct rhythm *a, const struct rhythm *b);
/** A packet of so many bytes, after a silence or not: is it of another size than nearly all of the
 * last ones had? */
bool ipsec_marks_step(struct marks *k, uint32_t len, bool silence);
/** Have nearly all of the last packets had one size? */
bool ipsec_marks_uniform(const struct marks *k);
/** Have they come one by one? */
bool ipsec_marks_alone(const struct marks *k);

/* --- coincidence.c: whether dense streams belong together -------------------------------------------- */

/** An event that opens a window of this width. */
void ipsec_cover_open(struct cover *v, uint64_t now_ms, double width_ms);
/** Share of the time that windows have covered of late; 1 where not enough is known. */
double ipsec_cover_share(const struct cover *v, uint64_t now_ms, double width_ms);
/** An event inside such a window or outside. Returns what it was worth, in decibans. */
double ipsec_coincidence_add(struct coincidence *x, double cover, bool hit);
/** Of some asks an unknown share is answered. After one of them came what fits an answer so many times
 * better than it fits chance (0: nothing came), by when this share of the answers has come. Returns
 * the same. */
double ipsec_coincidence_reply(struct coincidence *x, double fit, double by);
double ipsec_coincidence_odds(const struct coincidence *x);

#endif
