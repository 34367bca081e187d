/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 the spinat authors
 */
#include "kit.h"

/* Scenarios of SAs that live: idle, one way, rekeyed, seen by a box that was started after them. */

#define IDLE_MS 600000.0

void
play_idle(struct sim *s)
{
	uint32_t i;

	kit_quiet(s, 2);
	kit_create(s);
	kit_start(s, 0, 0);
	kit_start(s, 1, 500);
	for (i = 0; i < 20; i++)
		kit_ask(s, IDLE_MS + 500 * i, 1, SIM_GATEWAY);
	kit_run(s, IDLE_MS + 15000);
	if (!kit_expect_right(s, 1, "the second client after ten minutes"))
		return;
	for (i = 0; i < 20; i++)
		kit_ask(s, IDLE_MS + 20000 + 500 * i, 0, SIM_GATEWAY);
	kit_run(s, IDLE_MS + 40000);
	kit_expect_right(s, 2, "then the first one");
}

void
play_one_way(struct sim *s)
{
	kit_quiet(s, 3);
	kit_create(s);
	kit_app(s, 0, APP_FROM_GATEWAY);
	kit_app(s, 1, APP_FROM_CLIENT);
	s->clients[0].tunnels[0].app.gap_us = s->clients[1].tunnels[0].app.gap_us = 50000;
	kit_start(s, 0, 0);
	kit_start(s, 1, 5);
	kit_start(s, 2, 10);
	kit_run(s, 30000);
	if (kit_expect(s->score.lost == 0, "%" PRIu64 " of %" PRIu64 " packets lost", s->score.lost,
		    s->score.inbound))
		kit_expect(report_figures(s).wrong_ever == 0, "settled to somebody else");
}

void
play_never_answers(struct sim *s)
{
	uint32_t i;

	kit_quiet(s, 4);
	kit_create(s);
	kit_app(s, 0, APP_FROM_GATEWAY);
	s->clients[0].tunnels[0].app.gap_us = 20000;
	for (i = 1; i < 4; i++)
		kit_app(s, i, APP_ASK);
	for (i = 0; i < 4; i++)
		kit_start(s, i, 20 * i);
	kit_run(s, 30000);
	if (kit_expect_right(s, 4, "30 s"))
		kit_expect(report_figures(s).wrong_ever == 0, "settled to somebody else");
}

void
play_fragments(struct sim *s)
{
	uint32_t i;

	kit_quiet(s, 3);
	s->p.held_ms = 30;
	kit_create(s);
	for (i = 0; i < 3; i++) {
		kit_app(s, i, APP_ASK);
		kit_start(s, i, 10 * i);
	}
	kit_run(s, 20000);
	kit_expect_right(s, 3, "20 s");
}

void
play_rekeys(struct sim *s)
{
	const uint32_t clients = 4;
	struct figures f;
	uint32_t i;

	kit_quiet(s, clients);
	s->p.v1 = 0;
	s->p.rekey_s = 6;
	kit_create(s);
	for (i = 0; i < clients; i++) {
		s->clients[i].n_tunnels = 2;
		kit_app(s, i, APP_ASK);
		s->clients[i].tunnels[1].app = s->clients[i].tunnels[0].app;
		kit_start(s, i, 100 * i);
	}
	kit_run(s, 60000);
	f = report_figures(s);
	kit_expect(f.lost == 0, "%" PRIu64 " of %" PRIu64 " packets lost", f.lost, f.inbound);
	/* an SA may be replaced before it has shown whose it is */
	kit_expect(f.settled_wrong == 0 && 10 * f.settled_right >= 9 * f.bindings,
		"%u of %u bindings settled right, %u wrong, %u ambiguous", f.settled_right,
		f.bindings, f.settled_wrong, f.ambiguous);
	kit_expect(f.bindings >= 8 * clients, "only %u bindings", f.bindings);
	kit_expect(s->score.ike_failed == 0, "%" PRIu64 " IKE exchanges without an answer",
		s->score.ike_failed);
}

/* Clients of all kinds; the box is killed and started in the middle. */
static struct figures
play_killed(struct sim *s, bool checkpoint)
{
	static const enum sim_app apps[] = {APP_ASK, APP_ASK, APP_BULK, APP_ASKED, APP_ASK};
	const uint32_t clients = 2 * RTE_DIM(apps);
	uint32_t i;

	kit_quiet(s, clients);
	kit_create(s);
	for (i = 0; i < clients; i++) {
		kit_app(s, i, apps[i % RTE_DIM(apps)]);
		kit_start(s, i, 1000 * i);
	}
	kit_run(s, 20000);
	sim_restart_box(s, checkpoint);
	kit_run(s, 60000);
	return report_figures(s);
}

/* Bindings that are not right although their client has sent since the restart. */
static uint32_t
not_right(const struct sim *s)
{
	uint32_t i, n = 0;

	for (i = 0; i < s->score.n_bindings; i++) {
		const struct binding *b = &s->score.bindings[i];

		n += b->packets > 0 && !b->right && b->sa->client->seen;
	}
	return n;
}

void
play_restart(struct sim *s)
{
	struct figures f = play_killed(s, true);

	if (!kit_expect(f.lost == 0, "with a checkpoint: %" PRIu64 " packets lost", f.lost))
		return;
	f = play_killed(s, false);
	/* what the gateway sends before a client has sent anything can reach nobody */
	if (kit_expect(f.lost == s->score.lost_unseen,
		    "%" PRIu64 " packets lost, only %" PRIu64 " before their client had sent",
		    f.lost, s->score.lost_unseen))
		kit_expect(not_right(s) == 0,
			"%u of %u bindings are not settled right, %u wrong, although their "
			"client has sent",
			not_right(s), f.bindings, f.settled_wrong);
}

/* What the binder is for: nobody loses a packet. */
void
play_crowd(struct sim *s)
{
	struct figures f;

	s->p.clients = 200;
	s->p.window_s = 60;
	s->p.seconds = 60;
	kit_create(s);
	sim_run_crowd(s);
	f = report_figures(s);
	kit_expect(f.lost == 0, "%" PRIu64 " of %" PRIu64 " packets lost", f.lost, f.inbound);
	kit_expect(1000 * f.settled_right >= 999 * (f.bindings - f.ambiguous_few),
		"%u of %u bindings settled right, %u wrong, %u ambiguous", f.settled_right,
		f.bindings, f.settled_wrong, f.ambiguous);
	kit_expect(f.copies_share < 0.05, "%.3f copies of each packet", f.copies_share);
	kit_expect(f.median_settle_rtts >= 0 && f.median_settle_rtts < 10,
		"%.1f round trips to settle", f.median_settle_rtts);
}
