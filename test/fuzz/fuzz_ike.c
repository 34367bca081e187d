/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 the spinat authors
 */
#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>

#include <rte_eal.h>
#include <rte_memory.h>

#include "ipsec/binder.h"
#include "packet/packet.h"

/*
 * Any sequence of what some clients and a gateway say to each other: UDP payloads on port 500 and
 * 4500, with and without the non-ESP marker, as they are, or as IKE messages of few SAs, so that
 * exchanges come about; ESP between them. Tables keep their bounds, and nothing is left when all have
 * fallen silent. Input is a list of steps, each followed by its payload.
 */

int LLVMFuzzerInitialize(int *argc, char ***argv);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

struct step {
	uint8_t what; /* enum below, modulo; upper bit: from outside */
	uint8_t client;
	uint8_t wait; /* units of 8 ms */
	uint8_t len; /* of the payload */
};

enum {
	PAYLOAD_500,
	PAYLOAD_4500,
	FRAGMENT_4500,
	MESSAGE_KEPT,
	MESSAGE_500,
	MESSAGE_4500,
	ESP,
	STEPS
};

/* What a message of a client's SA is made of. */
struct message {
	uint8_t sa; /* low bits; 0x80: responder SPI is there */
	uint8_t version; /* 1 or 2, modulo */
	uint8_t exchange, flags, message_id, length;
};

#define CLIENTS 4
#define SAS 4
#define MAX_IKE 16
#define OUTSIDE RTE_BE32(0xc6336401)
#define GATEWAY RTE_BE32(0xcb007109)
#define SILENCE_MS 100000000

static struct spinat_conf conf;
static struct spinat_outside_addr outside[2];

static void
require(bool condition)
{
	if (!condition)
		abort();
}

static uint32_t
install(void *ctx, const struct spinat_shortcut *s)
{
	(void)s;
	++*(int *)ctx;
	return 0;
}

static void
uninstall(void *ctx, uint32_t handle)
{
	require(handle == 0);
	--*(int *)ctx;
}

static uint64_t
last_used(void *ctx, uint32_t handle)
{
	(void)ctx;
	(void)handle;
	return 0;
}

static void
count(void *ctx, uint32_t handle, uint64_t *packets, uint64_t *bytes)
{
	(void)ctx;
	(void)handle;
	*packets = *bytes = 0;
}

int
LLVMFuzzerInitialize(int *argc, char ***argv)
{
	char *eal[] = {(*argv)[0], "--no-huge", "--no-pci", "--no-shconf", "-m", "128", "-l", "0",
		"--no-telemetry", "--log-level=error", NULL};

	(void)argc;
	require(rte_eal_init(RTE_DIM(eal) - 1, eal) >= 0);
	conf.n_realms = 1;
	conf.realms[0].esp_without_ike = true;
	conf.timeouts.esp = conf.timeouts.ike = conf.timeouts.candidate = 3600;
	conf.limits.bindings_per_client = 8;
	conf.limits.bindings_per_gateway = 32;
	conf.limits.copies = 16;
	conf.limits.copies_per_spi = conf.limits.copies_per_gateway = 4096;
	conf.limits.copies_per_second = 20000;
	conf.outside = outside;
	conf.outside_mask = RTE_DIM(outside) - 1;
	conf.outside_shift = 31;
	outside[spinat_conf_outside_slot(&conf, OUTSIDE)] =
		(struct spinat_outside_addr){.addr = OUTSIDE, .kinds = SPINAT_OUTSIDE_POOL};
	return 0;
}

static struct spinat_client
client_of(const struct step *s)
{
	return (struct spinat_client){.addr = rte_cpu_to_be_32(0x0a000001 + s->client % CLIENTS)};
}

static void
see(struct spinat_binder *b, uint64_t now_ms, const struct step *s, bool natt, const uint8_t *p,
	uint32_t whole)
{
	struct spinat_udp_seen seen = {.client = client_of(s),
		.outside = OUTSIDE,
		.gateway = GATEWAY,
		.dir = s->what & 0x80 ? SPINAT_IN : SPINAT_OUT,
		.natt = natt};

	seen.what = spinat_ike_udp_parse(natt, p, s->len, whole, &seen.hdr);
	require(natt || seen.what <= SPINAT_IKE_UDP_IKE);
	require(seen.what != SPINAT_IKE_UDP_IKE ||
		(seen.hdr.init_spi != 0 && seen.hdr.length <= whole));
	spinat_binder_udp_seen(b, &conf, now_ms, &seen);
}

static struct spinat_ike_hdr
header_of(const struct step *s, const uint8_t *p)
{
	struct message m = {.sa = 0};

	memcpy(&m, p, RTE_MIN(s->len, sizeof(m)));
	return (struct spinat_ike_hdr){
		.init_spi = 1 + (s->client % CLIENTS) * SAS + m.sa % SAS,
		.resp_spi = m.sa & 0x80 ? 1 : 0,
		.message_id = m.message_id,
		.length = 28 + m.length,
		.major = 1 + m.version % 2,
		.exchange = m.exchange,
		.flags = m.flags,
		.initiator = m.version % 2 == 1 && m.flags & 1,
		.response = m.version % 2 == 1 && m.flags & 2,
		.encrypted = m.flags & 4,
	};
}

static void
talk(struct spinat_binder *b, uint64_t now_ms, const struct step *s, unsigned int what,
	const uint8_t *p)
{
	const bool in = s->what & 0x80;
	struct spinat_ipsec_pkt pkt = {.client = client_of(s),
		.outside = OUTSIDE,
		.gateway = GATEWAY,
		.len = 100,
		.proto = what == ESP ? IPPROTO_ESP : IPPROTO_UDP,
		.ttl = 64};
	const struct spinat_ike_hdr h = header_of(s, p);
	struct spinat_udp_seen seen = {.client = pkt.client,
		.outside = OUTSIDE,
		.gateway = GATEWAY,
		.what = SPINAT_IKE_UDP_IKE,
		.dir = in ? SPINAT_IN : SPINAT_OUT,
		.natt = what == MESSAGE_4500,
		.hdr = h};
	struct spinat_ipsec_decision d;

	if (what == MESSAGE_500 || what == MESSAGE_4500) {
		spinat_binder_udp_seen(b, &conf, now_ms, &seen);
		return;
	}
	pkt.spi = rte_cpu_to_be_32(0x1000 + h.exchange);
	pkt.seq = h.message_id;
	if (what == ESP)
		(in ? spinat_binder_inbound : spinat_binder_outbound)(b, &conf, now_ms, &pkt, &d);
	else
		(in ? spinat_binder_ike_inbound : spinat_binder_ike_outbound)(
			b, &conf, now_ms, &pkt, &h, &d);
	require((d.n > 0) == (d.drop == SPINAT_DROP_NONE) && d.n <= SPINAT_FANOUT_MAX);
}

static void
play(struct spinat_binder *b, uint64_t now_ms, const struct step *s, const uint8_t *data)
{
	const unsigned int what = (s->what & 0x7f) % STEPS;
	uint8_t *p = malloc(s->len); /* exactly as large, so that what is read beyond is seen */

	require(p != NULL || s->len == 0);
	memcpy(p, data, s->len);
	if (what <= FRAGMENT_4500)
		see(b, now_ms, s, what != PAYLOAD_500, p,
			s->len + (what == FRAGMENT_4500 ? 1000u : 0u));
	else
		talk(b, now_ms, s, what, p);
	free(p);
	spinat_binder_sweep(b, &conf, now_ms, 16);
}

static void
check_bounds(const struct spinat_binder *b)
{
	struct spinat_binder_stats stats;
	struct spinat_ike_row row;
	uint32_t cursor = 0, n = 0;

	spinat_binder_stats_get(b, &stats);
	require(stats.ike_sas <= MAX_IKE && stats.clients <= CLIENTS && stats.groups <= 1);
	while (spinat_binder_next_ike(b, &cursor, &row))
		n++;
	require(n == stats.ike_sas);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	int shortcuts = 0;
	const struct spinat_binder_ops ops = {.install = install,
		.remove = uninstall,
		.last_used = last_used,
		.count = count,
		.ctx = &shortcuts};
	const struct spinat_binder_params params = {
		.max_bindings = 32, .max_ike = MAX_IKE, .seed = 1, .socket_id = SOCKET_ID_ANY};
	struct spinat_binder *b = spinat_binder_create("fuzz", &params, &ops);
	struct spinat_binder_stats stats;
	uint64_t now_ms = 1000;
	struct step s;

	require(b != NULL);
	while (size >= sizeof(s)) {
		memcpy(&s, data, sizeof(s));
		data += sizeof(s);
		size -= sizeof(s);
		s.len = RTE_MIN(s.len, size);
		now_ms += s.wait * 8;
		play(b, now_ms, &s, data);
		check_bounds(b);
		data += s.len;
		size -= s.len;
	}
	for (int i = 0; i < 4; i++) {
		now_ms += SILENCE_MS;
		spinat_binder_sweep(b, &conf, now_ms, 10000);
	}
	spinat_binder_stats_get(b, &stats);
	require(stats.ike_sas == 0 && stats.bindings == 0 && stats.clients == 0 && shortcuts == 0);
	spinat_binder_free(b);
	return 0;
}
