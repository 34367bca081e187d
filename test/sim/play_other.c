/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 the spinat authors
 */
#include <netinet/in.h>

#include "kit.h"
#include "packet/drop.h"
#include "packet/packet.h"

/* Scenarios of IKE, of ICMP errors, and of what nobody wants. */

void
play_natt(struct sim *s)
{
	static const double gaps_ms[] = {-20, 0, 50, 2000};
	char what[64];
	unsigned int i;

	kit_quiet(s, 2);
	for (i = 0; i < RTE_DIM(gaps_ms); i++) {
		kit_create(s);
		s->clients[1].floats = true;
		kit_app(s, 0, APP_ASKED);
		kit_app(s, 1, APP_ASK);
		kit_start(s, 0, 100);
		kit_start(s, 1, 100 + gaps_ms[i]);
		kit_run(s, 20000);
		snprintf(what, sizeof(what), "NAT-T %g ms later", gaps_ms[i]);
		/* until there is ESP in UDP, what comes may be for either */
		if (!kit_expect_right(s, 1, what) ||
			!kit_expect(s->score.copies == s->clients[1].copies_before_natt,
				"%s: %" PRIu64 " copies, only %" PRIu64 " before its ESP in UDP",
				what, s->score.copies, s->clients[1].copies_before_natt))
			return;
	}
}

void
play_port_500(struct sim *s)
{
	uint32_t i;

	kit_quiet(s, 8);
	kit_create(s);
	for (i = 0; i < 8; i++)
		kit_start(s, i, 0);
	kit_run(s, 60000);
	kit_expect(s->score.ike_lost == 0 && s->score.ike_wrong == 0,
		"of %" PRIu64 " IKE messages %" PRIu64 " lost, %" PRIu64 " to others",
		s->score.ike_in, s->score.ike_lost, s->score.ike_wrong);
	kit_expect(report_figures(s).clients_up == 8, "%u of 8 tunnels up",
		report_figures(s).clients_up);
}

/* Offered to one client at a time, so that the third transmission reaches the right one at last. */
void
play_gateway_starts_ike(struct sim *s)
{
	const uint32_t owner = s->p.seed % 3;
	uint32_t i;

	kit_quiet(s, 3);
	s->p.v1 = 1;
	kit_create(s);
	for (i = 0; i < 3; i++) {
		s->clients[i].retry_us = 1000000;
		kit_app(s, i, APP_ASK);
		kit_start(s, i, 10 * i);
	}
	kit_rekey_ike(s, 10000, owner, SIM_GATEWAY);
	kit_run(s, 14000);
	kit_expect(s->clients[owner].ike->initiator == SIM_GATEWAY,
		"phase 1 of client %u not there after three transmissions", owner);
	kit_expect(s->score.ike_most <= 1, "one IKE message went to %u clients", s->score.ike_most);
	kit_expect(s->score.lost == 0, "%" PRIu64 " ESP packets lost", s->score.lost);
}

void
play_quoted(struct sim *s)
{
	struct spinat_ipsec_pkt p;
	struct spinat_client found;
	uint32_t i;
	bool ok;

	kit_quiet(s, 3);
	kit_create(s);
	for (i = 0; i < 3; i++) {
		kit_app(s, i, APP_ASK);
		kit_start(s, i, 10 * i);
	}
	kit_run(s, 5000);
	if (!kit_expect(s->box_ops->quoted != NULL, "this mode does not translate ICMP errors"))
		return;
	for (i = 0; i < 3; i++) {
		const struct client *c = &s->clients[i];

		p = net_describe(s, c, SIM_GATEWAY, c->tunnels[0].tx[SIM_CLIENT]->so, 0);
		ok = s->box_ops->quoted(s->box, &p, 0, &found) && found.addr == c->id.addr;
		if (!kit_expect(ok, "quoted ESP of client %u", i))
			return;
		p = net_describe(s, c, SIM_GATEWAY, 0, 0);
		p.proto = IPPROTO_UDP;
		ok = s->box_ops->quoted(s->box, &p, c->ike->init_spi, &found) &&
		     found.addr == c->id.addr;
		if (!kit_expect(ok, "quoted IKE of client %u", i))
			return;
	}
	p = net_describe(s, &s->clients[0], SIM_GATEWAY, 0xdeadbeef, 0);
	kit_expect(!s->box_ops->quoted(s->box, &p, 0, &found), "a quoted SPI that nobody has sent");
}

#define FLOOD_A_MS 1000 /* a million a second */
#define FLOOD_FROM_MS 9500
#define FLOOD_TO_MS 12500

/* Made-up SPIs from the gateway's address; some begin at 1 as a new SA does. */
static void
flood(struct sim *s, void *object, uint64_t arg __rte_unused)
{
	struct rng *r = object;
	struct spinat_ipsec_decision d;
	struct spinat_ipsec_pkt p;
	uint32_t i;

	for (i = 0; i < FLOOD_A_MS; i++) {
		p = net_describe(s, &s->clients[0], SIM_GATEWAY, (uint32_t)rng_next(r),
			rng_chance(r, 0.5) ? 1 : (uint32_t)rng_next(r));
		s->box_ops->esp_in(s->box, sim_ms(s), &p, &d);
	}
	if (kit_now_ms(s) < FLOOD_TO_MS)
		sim_in(s, 1000, flood, r, 0);
}

void
play_flood(struct sim *s)
{
	struct rng r;
	uint32_t i;

	kit_quiet(s, 6);
	kit_create(s);
	r = rng_fork(&s->rng);
	for (i = 0; i < 6; i++)
		kit_app(s, i, i % 2 == 0 ? APP_ASK : APP_BULK);
	for (i = 0; i < 5; i++)
		kit_start(s, i, 200 * i);
	kit_start(s, 5, 10000);
	sim_in(s, 1000.0 * FLOOD_FROM_MS, flood, &r, 0);
	kit_run(s, 30000);
	kit_expect_right(s, 6, "30 s");
	kit_expect(s->score.peak_bindings < 4096, "%u bindings at once", s->score.peak_bindings);
}

void
play_reserved_spis(struct sim *s)
{
	struct spinat_ipsec_decision d;
	struct spinat_ipsec_pkt p;
	uint32_t spi, before, dir;

	kit_quiet(s, 1);
	kit_create(s);
	kit_app(s, 0, APP_ASK);
	kit_start(s, 0, 0);
	kit_run(s, 5000);
	before = s->box_ops->bindings(s->box);
	for (spi = 0; spi < 256; spi++) {
		for (dir = 0; dir < 2; dir++) {
			p = net_describe(s, &s->clients[0], dir, spi, 1);
			if (dir == SIM_CLIENT)
				s->box_ops->esp_out(s->box, sim_ms(s), &p, &d);
			else
				s->box_ops->esp_in(s->box, sim_ms(s), &p, &d);
			if (!kit_expect(d.n == 0 && d.drop == (spi == 0 ? SPINAT_DROP_SPI_ZERO
									: SPINAT_DROP_SPI_RESERVED),
				    "SPI %u: %u receivers, drop reason '%s'", spi, d.n,
				    spinat_drop_info[d.drop].name))
				return;
		}
	}
	kit_expect(s->box_ops->bindings(s->box) == before, "%u bindings more",
		s->box_ops->bindings(s->box) - before);
	kit_run(s, 10000);
	kit_expect_right(s, 1, "10 s");
}
