/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 the spinat authors
 */
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include <rte_common.h>
#include <rte_ip.h>

#include "plan.h"

/*
 * Inside hosts of UDP and TCP have 64 flows each, to servers spread over 4096 networks; every IPsec
 * client has a gateway of its own, so that nothing about its SPIs is ambiguous, but where that is
 * what is measured.
 */
#define FLOWS_PER_HOST 64
#define PORTS_PER_FLOW 1008 /* x 64 = 64512, the ports from 1024 on */
#define HOSTS RTE_IPV4(10, 0, 1, 0)
#define SERVERS RTE_IPV4(20, 0, 0, 0)
#define SERVERS_MASK 0xfffffu
#define SERVER_PORT 443
#define CLIENTS RTE_IPV4(10, 128, 0, 0)
#define GATEWAYS RTE_IPV4(40, 0, 0, 0)
#define POOL RTE_IPV4(100, 64, 0, 0)
/* Flows an outside address carries: half of its ports, so that hashing overfills none. */
#define FLOWS_PER_OUTSIDE 32768
#define COPIES 16777216 /* the most that a limit of copies can be */

const char *const bench_device[2] = {"net_ring_bench_in", "net_ring_bench_out"};

const struct bench_work bench_works[] = {
	{.name = "udp",
		.text = "established UDP, 64-byte frames",
		.percent = {[BENCH_UDP] = 100},
		.one_way = true,
		.zipf = true},
	{.name = "tcp",
		.text = "established TCP, 64-byte frames",
		.percent = {[BENCH_TCP] = 100},
		.one_way = true,
		.zipf = true},
	{.name = "esp",
		.text = "established ESP, a gateway for each client, 64-byte frames",
		.percent = {[BENCH_ESP] = 100},
		.one_way = true},
	{.name = "mixed",
		.text = "35 % UDP, 35 % TCP, 25 % ESP, 5 % IKE, 64-byte frames (IKE 78)",
		.percent = {[BENCH_UDP] = 35, [BENCH_TCP] = 35, [BENCH_ESP] = 25, [BENCH_IKE] = 5}},
	{.name = "imix",
		.text = "established UDP, frames of 64, 594 and 1518 bytes, 7 : 4 : 1",
		.percent = {[BENCH_UDP] = 100},
		.form = BENCH_IMIX},
	{.name = "icmp-error",
		.text = "ICMP port unreachable that quotes an established UDP flow",
		.percent = {[BENCH_UDP] = 100},
		.form = BENCH_ICMP_ERRORS},
	{.name = "fragments",
		.text = "UDP datagrams in two fragments, frames of 70 bytes, in order; a packet is "
			"a fragment",
		.percent = {[BENCH_UDP] = 100},
		.form = BENCH_FRAGMENTS},
	{.name = "fanout-4",
		.text = "inbound ESP, copied to the 4 clients that its SPI may belong to",
		.percent = {[BENCH_ESP] = 100},
		.candidates = 4},
	{.name = "fanout-16",
		.text = "inbound ESP, copied to the 16 clients that its SPI may belong to",
		.percent = {[BENCH_ESP] = 100},
		.candidates = 16},
	{.name = NULL},
};

const struct bench_work *
bench_work_find(const char *name)
{
	for (const struct bench_work *w = bench_works; w->name != NULL; w++)
		if (strcmp(w->name, name) == 0)
			return w;
	return NULL;
}

bool
bench_work_all_fast(const struct bench_work *work)
{
	return work->percent[BENCH_IKE] == 0 &&
	       (work->form == BENCH_SMALLEST || work->form == BENCH_IMIX);
}

/* Flows of a kind, and a little more: what is left of the last hundred may all be of one kind. */
static uint32_t
share(uint32_t sessions, unsigned int percent)
{
	return percent == 0 ? 0 : RTE_MIN(sessions, sessions / 100 * percent + 100);
}

static void
print_addr(FILE *f, uint32_t addr)
{
	fprintf(f, "%u.%u.%u.%u", addr >> 24, addr >> 16 & 255, addr >> 8 & 255, addr & 255);
}

static void
print_limits(FILE *f, const struct bench_work *work, uint32_t sessions)
{
	const uint32_t nat = share(sessions, work->percent[BENCH_UDP] + work->percent[BENCH_TCP]);
	const uint32_t esp = share(sessions, work->percent[BENCH_ESP]);
	const uint32_t ike = share(sessions, work->percent[BENCH_IKE]);

	/* a binding a direction; the binder keeps a client for every two bindings */
	fprintf(f,
		"limits = { ports_held = 0; sessions = %u; clients = %u; bindings = %u;\n"
		"  ike = %u;\n",
		RTE_MAX(nat, 64u), sessions / FLOWS_PER_HOST + 64, 2 * (esp + ike) + 16, ike + 16);
	/* what a box would not do for long is what is to be timed */
	fprintf(f, "  copies_per_spi = %u; copies_per_gateway = %u; copies_per_second = %u; };\n",
		COPIES, COPIES, COPIES);
}

static void
print_conf(FILE *f, const struct bench_work *work, const struct bench_box *box)
{
	fprintf(f, "name = \"bench-%d\";\nlcores = \"%s\";\nworkers = %u;\n", (int)getpid(),
		box->lcores, box->workers);
	fprintf(f,
		"interfaces = (\n"
		"  { name = \"lan\"; device = \"%s\"; role = \"inside\";\n"
		"    addresses = [ \"192.168.0.1/24\" ]; },\n"
		"  { name = \"wan\"; device = \"%s\"; role = \"outside\";\n"
		"    addresses = [ \"192.0.2.1/24\" ]; }\n"
		");\n",
		box->device[SPINAT_OUT], box->device[SPINAT_IN]);
	fprintf(f,
		"neighbours = (\n"
		"  { interface = \"lan\"; address = \"192.168.0.2\"; mac = \"%s\"; },\n"
		"  { interface = \"wan\"; address = \"192.0.2.2\"; mac = \"%s\"; }\n"
		");\n"
		"routes = ( { to = \"10.0.0.0/8\"; via = \"192.168.0.2\"; },\n"
		/* where testpmd's flowgen sends, from 10.254.0.0 */
		"           { to = \"10.253.0.0/16\"; via = \"192.0.2.2\"; },\n"
		"           { to = \"0.0.0.0/0\"; via = \"192.0.2.2\"; } );\n",
		BENCH_MAC_INSIDE, BENCH_MAC_OUTSIDE);
	fprintf(f, "realms = ( { id = 0; pool = [ \"");
	print_addr(f, POOL);
	fprintf(f, "-");
	/* clients are candidates for the same SPI behind the same address only */
	print_addr(f, POOL + (work->candidates > 0 ? 0 : box->sessions / FLOWS_PER_OUTSIDE));
	fprintf(f, "\" ]; } );\n");
	fprintf(f, "timeouts = { udp = %u; tcp_opening = %u; esp = %u; ike = %u; };\n",
		BENCH_TIMEOUT_S, BENCH_TIMEOUT_S, BENCH_TIMEOUT_S, BENCH_TIMEOUT_S);
	print_limits(f, work, box->capacity);
}

struct spinat_conf *
bench_plan_conf(
	const struct bench_work *work, const struct bench_box *box, struct spinat_conf_error *err)
{
	struct spinat_conf *conf = NULL;
	int fd = memfd_create("spinat-bench", MFD_CLOEXEC);
	FILE *f = fd >= 0 ? fdopen(fd, "w") : NULL;
	char path[64];

	if (f == NULL) {
		snprintf(err->text, sizeof(err->text), "no memory for the configuration");
		if (fd >= 0)
			close(fd);
		return NULL;
	}
	print_conf(f, work, box);
	fflush(f);
	snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	conf = spinat_conf_load(path, err);
	fclose(f);
	return conf;
}

/* Spreads flow numbers; any fixed mix will do. */
static uint32_t
mix(uint32_t x)
{
	x ^= x >> 16;
	x *= 0x7feb352du;
	x ^= x >> 15;
	x *= 0x846ca68bu;
	return x ^ x >> 16;
}

static enum bench_kind
kind_of(const struct bench_work *work, uint32_t i)
{
	unsigned int at = i % 100, kind = 0;

	while (at >= work->percent[kind])
		at -= work->percent[kind++];
	return kind;
}

void
bench_plan_flow(const struct bench_work *work, uint32_t i, struct bench_flow *f)
{
	const uint32_t host = i / FLOWS_PER_HOST;

	memset(f, 0, sizeof(*f));
	f->kind = kind_of(work, i);
	if (f->kind == BENCH_ESP || f->kind == BENCH_IKE) {
		f->inside = rte_cpu_to_be_32(CLIENTS + i);
		f->remote = rte_cpu_to_be_32(GATEWAYS + i / RTE_MAX(work->candidates, 1));
		f->inside_port = f->remote_port = RTE_BE16(SPINAT_IKE_PORT);
		return;
	}
	f->inside = rte_cpu_to_be_32(HOSTS + host);
	f->inside_port = rte_cpu_to_be_16(
		1024 + i % FLOWS_PER_HOST * PORTS_PER_FLOW + mix(host) % PORTS_PER_FLOW);
	f->remote = rte_cpu_to_be_32(SERVERS + (mix(i) & SERVERS_MASK));
	f->remote_port = RTE_BE16(SERVER_PORT);
}

static uint32_t
ports_of(rte_be16_t sport, rte_be16_t dport)
{
	const struct spinat_key key = {.sport = sport, .dport = dport};

	return key.ports;
}

struct bench_step
bench_plan_step(const struct bench_flow *f, uint32_t i, enum spinat_dir dir, bool translated)
{
	/* an outbound packet that leaves, and an inbound one that arrives, shows the outside end */
	const bool outside = (dir == SPINAT_OUT) == translated;
	const rte_be32_t addr = outside ? f->outside : f->inside;
	const rte_be16_t port = outside ? f->outside_port : f->inside_port;
	struct bench_step s = {.flow = i, .kind = f->kind};

	s.src = dir == SPINAT_OUT ? addr : f->remote;
	s.dst = dir == SPINAT_OUT ? f->remote : addr;
	if (f->kind == BENCH_ESP)
		s.ports = rte_cpu_to_be_32(UINT32_C(1) << 31 | mix(2 * i + dir) >> 1);
	else if (dir == SPINAT_OUT)
		s.ports = ports_of(port, f->remote_port);
	else
		s.ports = ports_of(f->remote_port, port);
	return s;
}
