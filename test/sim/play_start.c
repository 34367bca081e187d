/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 the spinat authors
 */
#include <netinet/in.h>

#include "kit.h"

/* Scenarios of SAs that begin: who is first, and who else begins then. */

static void
play_one(struct sim *s, enum sim_app app)
{
	kit_quiet(s, 1);
	kit_create(s);
	kit_app(s, 0, app);
	kit_start(s, 0, 0);
	kit_run(s, 10000);
	if (kit_expect_right(s, 1, "10 s"))
		kit_expect(s->score.copies == 0, "%" PRIu64 " copies", s->score.copies);
}

void
play_client_first(struct sim *s)
{
	play_one(s, APP_ASK);
}

void
play_gateway_first(struct sim *s)
{
	play_one(s, APP_ASKED);
}

static bool
play_two(struct sim *s, double gap_ms, bool reversed)
{
	char what[64];
	uint32_t i;

	kit_create(s);
	for (i = 0; i < 2; i++) {
		kit_app(s, i, APP_ASK);
		s->clients[i].tunnels[0].app.service_us = 3000;
		kit_start(s, i, i * gap_ms);
	}
	if (reversed)
		s->clients[0].tunnels[0].app.service_us += 80000 + 2000 * gap_ms;
	kit_run(s, 20000);
	snprintf(what, sizeof(what), "%g ms apart, answers %s", gap_ms,
		reversed ? "reversed" : "in order");
	return kit_expect_right(s, 2, what);
}

void
play_two_clients(struct sim *s)
{
	static const double gaps_ms[] = {0, 1, 10, 100};
	unsigned int i;

	kit_quiet(s, 2);
	for (i = 0; i < 2 * RTE_DIM(gaps_ms); i++)
		if (!play_two(s, gaps_ms[i / 2], i % 2 == 1))
			return;
}

void
play_newest_fails(struct sim *s)
{
	const enum spinat_ambiguity ambiguity = s->conf->realms[0].ambiguity;

	s->box_ops = &box_binder;
	s->conf->realms[0].ambiguity = SPINAT_AMBIGUITY_NEWEST;
	play_two_clients(s);
	s->conf->realms[0].ambiguity = ambiguity;
	kit_expect_failed("the rule 'newest' passes T3: T3 proves nothing");
}

void
play_authentication_header(struct sim *s)
{
	kit_quiet(s, 2);
	s->p.proto = IPPROTO_AH;
	if (play_two(s, 0, false))
		play_two(s, 10, true);
	s->p.proto = IPPROTO_ESP;
}

void
play_hairpin(struct sim *s)
{
	uint32_t i;

	kit_quiet(s, 2);
	kit_create(s);
	for (i = 0; i < 2; i++) {
		/* outside addresses that lead to a host inside look like any gateway from here */
		s->clients[i].gateway = rte_cpu_to_be_32(0xc63364c8);
		kit_app(s, i, APP_ASK);
		kit_start(s, i, 5 * i);
	}
	kit_run(s, 20000);
	kit_expect_right(s, 2, "20 s");
}

void
play_rekey_meets_start(struct sim *s)
{
	static const double after_ms[] = {-100, -50, -10, 0, 10, 50};
	char what[64];
	unsigned int i;

	kit_quiet(s, 2);
	for (i = 0; i < RTE_DIM(after_ms); i++) {
		kit_create(s);
		kit_app(s, 0, APP_ASK);
		kit_app(s, 1, APP_ASK);
		kit_start(s, 0, 0);
		kit_start(s, 1, 5000);
		kit_rekey(s, 5000 + after_ms[i] + s->rtt_us / 1000, 0, SIM_GATEWAY);
		kit_run(s, 30000);
		snprintf(what, sizeof(what), "rekey %g ms after a round trip of the other",
			after_ms[i]);
		if (!kit_expect_right(s, 3, what))
			return;
	}
}

void
play_same_spi(struct sim *s)
{
	static const double gaps_ms[] = {0, 3000};
	char what[64];
	unsigned int i;

	kit_quiet(s, 2);
	for (i = 0; i < RTE_DIM(gaps_ms); i++) {
		kit_create(s);
		s->clients[0].fixed_spi = s->clients[1].fixed_spi = 0x1234567;
		kit_app(s, 0, APP_ASK);
		kit_app(s, 1, APP_ASK);
		kit_start(s, 0, 0);
		kit_start(s, 1, gaps_ms[i]);
		kit_run(s, 20000);
		snprintf(what, sizeof(what), "%g ms apart", gaps_ms[i]);
		if (!kit_expect(s->score.lost == 0, "%s: %" PRIu64 " of %" PRIu64 " packets lost",
			    what, s->score.lost, s->score.inbound))
			return;
	}
}

void
play_late_third_message(struct sim *s)
{
	uint32_t i;

	kit_quiet(s, 3);
	s->p.v1 = 1;
	s->p.overtake_ms = 60;
	kit_create(s);
	for (i = 0; i < 3; i++) {
		kit_app(s, i, APP_ASK);
		kit_start(s, i, 5 * i);
	}
	kit_run(s, 20000);
	kit_expect_right(s, 3, "20 s");
}

void
play_sole_talker_ends(struct sim *s)
{
	uint32_t i, bindings;

	kit_quiet(s, 2);
	kit_create(s);
	kit_app(s, 0, APP_BULK);
	kit_app(s, 1, APP_ASK);
	kit_start(s, 0, 0);
	for (i = 0; i < 4; i++)
		kit_rekey(s, 2000 + 2600 * i, 0, i % 2 == 0 ? SIM_GATEWAY : SIM_CLIENT);
	kit_start(s, 1, 10000);
	kit_run(s, 30000);
	bindings = report_figures(s).bindings;
	/* SAs that come while nothing is transferred carry nothing */
	if (kit_expect_right(s, bindings, "30 s") &&
		kit_expect(bindings >= 2, "only %u bindings", bindings))
		kit_expect(20 * s->score.copies < s->score.inbound,
			"%" PRIu64 " copies of %" PRIu64 " packets", s->score.copies,
			s->score.inbound);
}
