/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 the spinat authors
 */
#include <stdarg.h>
#include <string.h>

#include "kit.h"

static char failed[256];

void
kit_quiet(struct sim *s, uint32_t clients)
{
	const struct sim_params p = s->p;

	s->p = sim_defaults();
	s->p.seed = p.seed;
	s->p.proto = p.proto;
	s->p.clients = clients;
	s->p.loss = 0;
	s->p.rekey_s = 0;
	s->p.hellos = 0;
	s->p.chatter_s = 0;
	s->p.more_tunnels = 0;
	memset(s->p.apps, 0, sizeof(s->p.apps));
	s->p.apps[APP_NONE] = 1;
}

void
kit_create(struct sim *s)
{
	const struct sim next = {.p = s->p, .conf = s->conf, .box_ops = s->box_ops};

	if (s->box != NULL)
		sim_destroy(s);
	*s = next;
	sim_create(s);
}

void
kit_app(struct sim *s, uint32_t client, enum sim_app kind)
{
	struct app *a = &s->clients[client].tunnels[0].app;

	a->kind = kind;
	a->asks = kind == APP_ASKED || kind == APP_FROM_GATEWAY || kind == APP_BULK ? SIM_GATEWAY
										    : SIM_CLIENT;
	a->opens = kind == APP_BULK ? SIM_CLIENT : a->asks;
	a->until_us = 0;
	if (kind == APP_BULK)
		a->gap_us = 4000;
}

void
kit_start(struct sim *s, uint32_t client, double at_ms)
{
	sim_start_client(s, &s->clients[client], s->begin_us + (uint64_t)(1000 * at_ms));
}

static void
ask_now(struct sim *s, void *object, uint64_t side)
{
	app_ask(s, object, side);
}

void
kit_ask(struct sim *s, double at_ms, uint32_t client, enum sim_side side)
{
	sim_at(s, s->begin_us + (uint64_t)(1000 * at_ms), ask_now, &s->clients[client].tunnels[0],
		side);
}

static void
rekey_now(struct sim *s, void *object, uint64_t side)
{
	negotiate_rekey(s, object, side);
}

void
kit_rekey(struct sim *s, double at_ms, uint32_t client, enum sim_side side)
{
	sim_at(s, s->begin_us + (uint64_t)(1000 * at_ms), rekey_now, &s->clients[client].tunnels[0],
		side);
}

static void
rekey_ike_now(struct sim *s, void *object, uint64_t side)
{
	negotiate_rekey_ike(s, object, side);
}

void
kit_rekey_ike(struct sim *s, double at_ms, uint32_t client, enum sim_side side)
{
	sim_at(s, s->begin_us + (uint64_t)(1000 * at_ms), rekey_ike_now, &s->clients[client], side);
}

void
kit_run(struct sim *s, double until_ms)
{
	s->end_us = s->begin_us + (uint64_t)(1000 * until_ms);
	sim_run(s, s->end_us);
}

double
kit_now_ms(const struct sim *s)
{
	return 1e-3 * (s->now_us - s->begin_us);
}

bool
kit_expect(bool ok, const char *format, ...)
{
	va_list list;

	if (ok || failed[0] != '\0')
		return ok;
	va_start(list, format);
	vsnprintf(failed, sizeof(failed), format, list);
	va_end(list);
	return false;
}

void
kit_expect_failed(const char *text)
{
	snprintf(failed, sizeof(failed), "%s", failed[0] == '\0' ? text : "");
}

const char *
kit_failed(void)
{
	return failed[0] != '\0' ? failed : NULL;
}

bool
kit_expect_right(const struct sim *s, uint32_t bindings, const char *what)
{
	const struct figures f = report_figures(s);

	return kit_expect(f.lost == 0, "%s: %" PRIu64 " of %" PRIu64 " packets lost", what, f.lost,
		       f.inbound) &&
	       kit_expect(f.settled_right == bindings && f.bindings == bindings,
		       "%s: %u of %u bindings settled right, %u wrong, %u ambiguous; expected %u",
		       what, f.settled_right, f.bindings, f.settled_wrong, f.ambiguous, bindings);
}
