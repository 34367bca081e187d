/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 the spinat authors
 */
#ifndef SPINAT_BENCH_PACKET_H
#define SPINAT_BENCH_PACKET_H

#include <stdint.h>

#include "plan.h"

/*
 * Frames, written whole and with right checksums from a step, so that what the box makes of one can
 * be written in the same way and compared byte by byte. Payload is zero but for a tag: the number
 * of the flow.
 */

struct bench_packet {
	struct bench_step step;
	enum bench_form form;
	enum spinat_dir dir;
	uint32_t epoch; /* goes into sequence numbers, message IDs and identifications; 1 or more */
	bool opening; /* TCP with SYN; IKE_SA_INIT */
	bool later; /* BENCH_FRAGMENTS: the second one */
	uint8_t ttl;
};

/** Bytes that bench_packet_write writes: all headers and the tag; what follows must be zero. */
#define BENCH_HEAD 96

/** Writes all but the Ethernet addresses. @return length of the frame without FCS */
uint16_t bench_packet_write(uint8_t *frame, const struct bench_packet *p);

/**
 * Reads the tag, and which fragment it is, of a frame that came out.
 *
 * @return 0, or -EINVAL where it is none of the bench's
 */
int bench_packet_read(
	const uint8_t *frame, uint16_t len, enum bench_form form, uint32_t *flow, bool *later);

/** Takes the identification over: what leaves gets one of the box's (RFC 6864), and any will do. */
void bench_packet_take_id(uint8_t *frame, const uint8_t *from);

#endif
