/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 the spinat authors
 */
#include <netinet/in.h>

#include "packet/packet.h"
#include "world.h"

/* Packets in flight, and the two places where the box sees them: those of a client a moment after it
 * has sent them, those of a gateway half a round trip later. */

#define TTL_CLIENT 64
#define TTL_GATEWAY 57
#define PACKETS_AT_ONCE 256

struct packet *
packet_new(struct sim *s, struct client *c, enum packet_kind kind)
{
	struct packet *p = s->free_packets;
	uint32_t i;

	if (p == NULL) {
		p = sim_own(s, PACKETS_AT_ONCE * sizeof(*p));
		for (i = 0; i + 1 < PACKETS_AT_ONCE; i++)
			p[i].next_free = &p[i + 1];
	}
	s->free_packets = p->next_free;
	*p = (struct packet){.client = c, .kind = kind};
	return p;
}

static void
packet_free(struct sim *s, struct packet *p)
{
	p->next_free = s->free_packets;
	s->free_packets = p;
}

struct spinat_ipsec_pkt
net_describe(
	const struct sim *s, const struct client *c, enum sim_side from, uint32_t spi, uint32_t seq)
{
	return (struct spinat_ipsec_pkt){
		.client = from == SIM_CLIENT ? c->id : (struct spinat_client){0},
		.outside = c->outside,
		.gateway = c->gateway,
		.spi = rte_cpu_to_be_32(spi),
		.seq = seq,
		.len = 120,
		.proto = s->p.proto,
		.ttl = from == SIM_CLIENT ? TTL_CLIENT : TTL_GATEWAY,
	};
}

static struct spinat_ipsec_pkt
describe_ike(const struct sim *s, const struct packet *p, enum sim_side from)
{
	struct spinat_ipsec_pkt x = net_describe(s, p->client, from, 0, 0);

	x.proto = IPPROTO_UDP;
	x.len = p->hdr.length + 28;
	return x;
}

static void
at_end(struct sim *s, void *object, uint64_t side)
{
	struct packet *p = object;
	struct sa *sa = p->sa;

	if (p->kind == PACKET_IKE) {
		ike_receive(s, p);
	} else if (sa->can_receive[side]) {
		negotiate_heard(sa, side);
		app_receive(s, sa->tunnel, side, &p->message);
	}
	packet_free(s, p);
}

/* Packets stay in order, but for a few. */
static uint64_t
wide_area(struct sim *s, struct client *c, enum sim_side to)
{
	uint64_t at = s->now_us +
		      (uint64_t)(s->rtt_us / 2 + rng_exp(&c->net, s->p.jitter * s->rtt_us / 2));

	if (at <= c->last_at_us[to] && !rng_chance(&c->net, s->p.reorder))
		at = c->last_at_us[to] + 1;
	if (at > c->last_at_us[to])
		c->last_at_us[to] = at;
	return at;
}

/* On port 4500 ports say whose a packet is; the box may learn from it. */
static void
show_natt(struct sim *s, const struct packet *p, enum spinat_dir dir)
{
	struct client *c = p->client;
	const struct spinat_udp_seen seen = {.client = c->id,
		.outside = c->outside,
		.gateway = c->gateway,
		.what = p->kind == PACKET_ESP ? SPINAT_IKE_UDP_ESP : SPINAT_IKE_UDP_IKE,
		.dir = dir,
		.natt = true,
		.hdr = p->hdr};

	if (p->kind == PACKET_ESP && !c->natt_esp) {
		c->natt_esp = true;
		c->copies_before_natt = s->score.copies;
	}
	if (s->box_ops->udp_seen != NULL)
		s->box_ops->udp_seen(s->box, sim_ms(s), &seen);
}

static void
box_out(struct sim *s, void *object, uint64_t arg __rte_unused)
{
	struct packet *p = object;
	struct client *c = p->client;
	struct spinat_ipsec_decision d;
	struct spinat_ipsec_pkt x;

	if (c->natt) {
		show_natt(s, p, SPINAT_OUT);
		d = (struct spinat_ipsec_decision){.n = 1, .outside = c->outside};
	} else if (p->kind == PACKET_ESP) {
		x = net_describe(s, c, SIM_CLIENT, p->sa->so, p->seq);
		x.len = p->len;
		s->box_ops->esp_out(s->box, sim_ms(s), &x, &d);
		s->score.outbound++;
		s->score.outbound_dropped += d.n == 0;
		score_look(s, false);
	} else {
		x = describe_ike(s, p, SIM_CLIENT);
		s->box_ops->ike_out(s->box, sim_ms(s), &x, &p->hdr, &d);
		s->score.ike_out_dropped += d.n == 0;
	}
	c->seen = true;
	if (d.n == 0 || rng_chance(&c->net, s->p.loss)) {
		packet_free(s, p);
		return;
	}
	if (d.outside != c->outside)
		sim_fail("a client's outside address changed");
	sim_at(s, wide_area(s, c, SIM_GATEWAY), at_end, p, SIM_GATEWAY);
}

static void
late(void *ctx, uint32_t hold, const struct spinat_client *to, unsigned int n)
{
	struct sim *s = ctx;
	struct sim_held *h = &s->held[hold];
	unsigned int i, got = 0;

	if (h->sa == NULL)
		sim_fail("a late copy of a packet that is not kept");
	for (i = 0; i < n; i++)
		got += to[i].addr == h->sa->client->id.addr &&
		       to[i].realm == h->sa->client->id.realm;
	score_copies(s, h->sa->binding, n - got);
	h->given = true;
	if (got == 0)
		return;
	if (h->p == NULL) /* it came before its SA was up */
		return;
	s->score.late++;
	sim_in(s, h->sa->client->lan_us, at_end, h->p, SIM_CLIENT);
	h->p = NULL;
}

static void
forget(void *ctx, uint32_t hold)
{
	struct sim *s = ctx;
	struct sim_held *h = &s->held[hold];

	if (h->p != NULL) {
		score_missed(s, h->p, h->given ? SPINAT_DROP_NONE : SPINAT_DROP_SPI_AMBIGUOUS);
		packet_free(s, h->p);
	}
	*h = (struct sim_held){0};
}

struct box_held_ops
net_held_ops(struct sim *s)
{
	return (struct box_held_ops){.late = late, .forget = forget, .ctx = s};
}

void
net_forget_all(struct sim *s)
{
	for (uint32_t hold = 1; hold <= SPINAT_HELD_MAX; hold++)
		forget(s, hold);
}

static void
box_in(struct sim *s, void *object, uint64_t arg __rte_unused)
{
	struct packet *p = object;
	struct client *c = p->client;
	struct spinat_ipsec_decision d;
	struct spinat_ipsec_pkt x;
	bool got, waits;

	if (c->natt) {
		show_natt(s, p, SPINAT_IN);
		d = (struct spinat_ipsec_decision){.n = 1, .to = {c->id}};
	} else if (p->kind == PACKET_ESP) {
		x = net_describe(s, c, SIM_GATEWAY, p->sa->si, p->seq);
		x.len = p->len;
		x.may_wait = true;
		s->box_ops->esp_in(s->box, sim_ms(s), &x, &d);
		score_inbound(s, p, &d);
		score_look(s, false);
	} else {
		x = describe_ike(s, p, SIM_GATEWAY);
		s->box_ops->ike_in(s->box, sim_ms(s), &x, &p->hdr, &d);
		score_ike_in(s, p, &d);
	}
	got = score_receives(&d, c);
	waits = d.hold != 0 && !got && p->sa->can_receive[SIM_CLIENT];
	if (d.hold != 0)
		s->held[d.hold] = (struct sim_held){p->sa, waits ? p : NULL, d.n > 0};
	if (got)
		sim_in(s, c->lan_us, at_end, p, SIM_CLIENT);
	else if (!waits)
		packet_free(s, p);
}

void
net_send(struct sim *s, struct packet *p, enum sim_side from)
{
	struct client *c = p->client;
	uint64_t at;

	if (from == SIM_CLIENT) {
		sim_in(s, c->lan_us, box_out, p, 0);
		return;
	}
	if (rng_chance(&c->net, s->p.loss)) {
		packet_free(s, p);
		return;
	}
	at = wide_area(s, c, SIM_CLIENT);
	if (p->kind == PACKET_ESP && s->p.held_ms > 0)
		at += (uint64_t)(1000 * rng_between(&c->net, 0, s->p.held_ms));
	sim_at(s, at, box_in, p, 0);
}
