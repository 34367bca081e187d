/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 the spinat authors
 */
#ifndef SPINAT_BENCH_PLAN_H
#define SPINAT_BENCH_PLAN_H

#include <stdbool.h>
#include <stdint.h>

#include <rte_byteorder.h>

#include "config/conf.h"
#include "packet/packet.h"

/*
 * What is measured and with which addresses: the works, the configuration each wants of the engine,
 * and the endpoints of flow i.
 */

/* The box stands between two routers, whose MAC addresses the configuration gives. */
#define BENCH_MAC_INSIDE "02:00:00:00:00:01"
#define BENCH_MAC_OUTSIDE "02:00:00:00:00:02"

/* Of every flow: nothing ages while it is measured. */
#define BENCH_TIMEOUT_S 86400

/* Devices over rings, as the EAL names them: [SPINAT_OUT] is where outbound packets come in. */
extern const char *const bench_device[2];

enum bench_kind { BENCH_UDP, BENCH_TCP, BENCH_ESP, BENCH_IKE, BENCH_KINDS };

/** What the packets of established flows look like. */
enum bench_form {
	BENCH_SMALLEST, /* frames of 64 bytes, FCS included; IKE has 78 */
	BENCH_IMIX, /* frames of 64, 594 and 1518 bytes, 7 : 4 : 1 */
	BENCH_ICMP_ERRORS, /* port unreachable that quotes a packet of the flow */
	BENCH_FRAGMENTS, /* datagrams in two fragments, first one first */
};

struct bench_work {
	const char *name;
	const char *text;
	uint8_t percent[BENCH_KINDS]; /* of the flows, and so of the packets */
	uint8_t candidates; /* clients that share a gateway, if not 0: ESP */
	enum bench_form form;
	bool one_way; /* measured in each direction alone, too */
	bool zipf; /* measured with Zipf-distributed flows, too */
};

/** Ends with a name of NULL. */
extern const struct bench_work bench_works[];

/** NULL where there is none of that name. */
const struct bench_work *bench_work_find(const char *name);

/** Whether every packet of the work has a flow of its own to be found by its key. */
bool bench_work_all_fast(const struct bench_work *work);

/** What of a configuration does not follow from the work. */
struct bench_box {
	uint32_t sessions; /* flows that there will be */
	uint32_t capacity; /* for how many there is room; no less */
	unsigned int workers;
	char lcores[256]; /* value of the key */
	const char *device[2]; /* bench_device, or what the user names */
};

/** Writes the configuration of a work and loads it. */
struct spinat_conf *bench_plan_conf(
	const struct bench_work *work, const struct bench_box *box, struct spinat_conf_error *err);

/** One flow; the outside endpoint is learned from the first packet that comes out. */
struct bench_flow {
	rte_be32_t inside, outside, remote;
	rte_be16_t inside_port, outside_port, remote_port;
	uint8_t kind; /* enum bench_kind */
};

/** Flow number i of a work, outside endpoint zero. */
void bench_plan_flow(const struct bench_work *work, uint32_t i, struct bench_flow *f);

/** Addresses and ports of one packet, ready to be written: 16 bytes, so that a sequence of them
 * streams past the caches and leaves them to what is measured. */
struct bench_step {
	rte_be32_t src, dst;
	uint32_t ports; /* as in struct spinat_key */
	uint32_t flow : 28;
	uint32_t kind : 4;
};
#define BENCH_FLOWS_MAX (1u << 28)

/** A packet of flow i as it arrives at the box, or, translated, as it leaves. */
struct bench_step bench_plan_step(
	const struct bench_flow *f, uint32_t i, enum spinat_dir dir, bool translated);

#endif
