/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 the spinat authors
 */
#include <string.h>

#include "world.h"

/* Exchanges: messages by turns, each repeated until its answer is there, with the clear header that
 * the appliance's own parser reads. */

#define TRIES_MAX 6
#define INITIATOR_FLAG 0x08 /* RFC 7296 3.1 */
#define RESPONSE_FLAG 0x20
#define ENCRYPTION_FLAG 0x01 /* RFC 2408 3.1 */
#define PAYLOAD_SA 33
#define PAYLOAD_SA_V1 1
#define PAYLOAD_SK 46

static enum sim_side
sender(const struct exchange *x, uint32_t at)
{
	return at & 1 ? !x->by : x->by;
}

static bool
is_encrypted(const struct exchange *x, uint32_t at)
{
	switch (x->type) {
	case SPINAT_IKE1_MAIN:
		return at >= 4;
	case SPINAT_IKE1_AGGRESSIVE:
		return at >= 2;
	case SPINAT_IKE2_SA_INIT:
		return false;
	default:
		return true;
	}
}

/* The 28 bytes as on the wire, read back as the appliance reads them. */
static void
make_header(const struct exchange *x, uint32_t at, struct spinat_ike_hdr *hdr)
{
	const struct ike *ike = x->ike;
	const bool phase_1 = x->type == SPINAT_IKE2_SA_INIT || x->type == SPINAT_IKE1_MAIN ||
			     x->type == SPINAT_IKE1_AGGRESSIVE;
	const bool first = phase_1 && at == 0;
	const bool encrypted = is_encrypted(x, at);
	const rte_be32_t id = rte_cpu_to_be_32(x->id), len = rte_cpu_to_be_32(x->len[at]);
	uint8_t m[SPINAT_IKE_HDR_LEN] = {0};

	memcpy(m, &ike->init_spi, 8);
	if (!first)
		memcpy(m + 8, &ike->resp_spi, 8);
	m[17] = ike->major << 4;
	m[18] = x->type;
	if (ike->major == 2) {
		m[16] = encrypted ? PAYLOAD_SK : PAYLOAD_SA;
		m[19] = (sender(x, at) == ike->initiator ? INITIATOR_FLAG : 0) |
			(at & 1 ? RESPONSE_FLAG : 0);
	} else {
		m[16] = PAYLOAD_SA_V1;
		m[19] = encrypted ? ENCRYPTION_FLAG : 0;
	}
	memcpy(m + 20, &id, 4);
	memcpy(m + 24, &len, 4);
	if (spinat_ike_parse(m, sizeof(m), hdr) != 0)
		sim_fail("an IKE header that the parser does not take");
}

static void
put_on_wire(struct sim *s, struct exchange *x, uint32_t at)
{
	uint32_t i;

	for (i = 0; i < x->parts[at]; i++) {
		struct packet *p = packet_new(s, x->ike->client, PACKET_IKE);

		p->exchange = x;
		p->at = at;
		p->part = i + 1 < x->parts[at];
		make_header(x, at, &p->hdr);
		net_send(s, p, sender(x, at));
	}
}

static void repeat(struct sim *s, void *object, uint64_t arg);

/* Who waits for an answer repeats: the initiator, and where there is a third message to wait for
 * the responder. arg: message, and tries above it. */
static void
wait_for_answer(struct sim *s, struct exchange *x, uint32_t at, uint32_t tries)
{
	if (at + 1 == x->messages || ((at & 1) && at + 2 != x->messages))
		return;
	sim_in(s, (double)(x->ike->client->retry_us << tries), repeat, x, at | tries << 8);
}

static void
repeat(struct sim *s, void *object, uint64_t arg)
{
	struct exchange *x = object;
	uint32_t at = arg & 0xff, tries = arg >> 8;

	if (x->received > (int)at)
		return;
	if (tries == TRIES_MAX) {
		s->score.ike_failed++;
		if (x->failed != NULL)
			x->failed(s, x);
		return;
	}
	put_on_wire(s, x, at);
	wait_for_answer(s, x, at, tries + 1);
}

static void
send_message(struct sim *s, struct exchange *x, uint32_t at)
{
	x->sent = (int)at;
	put_on_wire(s, x, at);
	wait_for_answer(s, x, at, 0);
}

struct exchange *
exchange_start(struct sim *s, struct ike *ike, enum sim_side by, uint8_t type, uint32_t messages,
	uint32_t id, exchange_step step)
{
	struct exchange *x = sim_own(s, sizeof(*x));
	struct rng *r = &ike->client->rng;
	const bool small = type == SPINAT_IKE1_INFORMATIONAL || type == SPINAT_IKE2_INFORMATIONAL;
	const bool large = type == SPINAT_IKE2_AUTH || type == SPINAT_IKE1_MAIN;
	uint32_t i;

	*x = (struct exchange){
		.ike = ike,
		.type = type,
		.messages = messages,
		.id = id,
		.by = by,
		.sent = -1,
		.received = -1,
		.step = step,
	};
	for (i = 0; i < messages; i++) {
		x->len[i] = (uint32_t)rng_between(r, 76, small ? 108 : 460) & ~3u;
		x->parts[i] = large && rng_chance(r, s->p.fragments) ? 3 : 1;
	}
	send_message(s, x, 0);
	return x;
}

struct ike *
ike_new(struct sim *s, struct client *c, enum sim_side initiator)
{
	struct ike *ike = sim_own(s, sizeof(*ike));

	ike->client = c;
	ike->init_spi = rng_next(&c->rng) | 1;
	ike->resp_spi = rng_next(&c->rng) | 1;
	ike->major = c->major;
	ike->initiator = initiator;
	return ike;
}

uint32_t
ike_next_id(struct sim *s __rte_unused, struct ike *ike, enum sim_side by)
{
	return ike->major == 2 ? ike->next_id[by]++ : (uint32_t)rng_next(&ike->client->rng) | 1;
}

static void
send_later(struct sim *s, void *object, uint64_t at)
{
	send_message(s, object, at);
}

/* Its receiver is done with a message. What it installs is in before its answer leaves. */
static void
processed(struct sim *s, void *object, uint64_t at)
{
	struct exchange *x = object;

	if (x->step != NULL)
		x->step(s, x, at);
	if (at + 1 == x->messages)
		return;
	if ((at & 1) && s->p.overtake_ms > 0)
		sim_in(s, 1000 * s->p.overtake_ms, send_later, x, at + 1);
	else
		send_message(s, x, at + 1);
}

static double
processing_us(struct sim *s, struct exchange *x, enum sim_side side)
{
	struct rng *r = &x->ike->client->rng;
	double ms = side == SIM_CLIENT ? rng_between(r, s->p.client_ms_lo, s->p.client_ms_hi)
				       : rng_between(r, s->p.gateway_ms_lo, s->p.gateway_ms_hi);

	if (rng_chance(r, s->p.slow))
		ms += rng_exp(r, s->p.slow_ms);
	return 1000 * ms;
}

void
ike_receive(struct sim *s, struct packet *p)
{
	struct exchange *x = p->exchange;
	const int at = (int)p->at;
	const bool last = at + 1 == (int)x->messages;

	if (p->part)
		return;
	if (at > x->received) {
		x->received = at;
		sim_in(s, processing_us(s, x, !sender(x, p->at)), processed, x, p->at);
	} else if (at == x->received && x->sent > at && !last &&
		   (!(at & 1) || at + 2 == (int)x->messages)) {
		put_on_wire(s, x, at + 1); /* the answer was lost */
	}
}
