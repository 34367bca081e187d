/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 the spinat authors
 */
#ifndef SPINAT_NAT_AHEAD_H
#define SPINAT_NAT_AHEAD_H

#include <stdint.h>

#include <rte_byteorder.h>

/*
 * What is known of a flow before it is made. A new flow reads and writes lines all over memory, of
 * four indices and as many arrays. Which ones follows from the packet alone, but for the outside
 * endpoint, which mostly is the one that can be foreseen.
 * So for all packets of a burst that may open flows the keys are hashed together and these lines
 * prefetched; then the flows are made one after the other. A hint: where something has come
 * otherwise meanwhile, whoever makes the flow looks itself.
 */
struct spinat_ports;

struct spinat_ahead {
	uint64_t key; /* hash of the packet's own key */
	uint64_t inside; /* of the inside endpoint, as its mapping is found by */
	uint64_t client; /* of the inside host */
	/* of the outside endpoint, if it is the one that is foreseen, and of the key of answers then */
	uint64_t outside, answer;
	rte_be32_t outside_addr; /* 0: none */
	rte_be16_t outside_port;
	struct spinat_ports *ports; /* of outside_addr; NULL: none */
	/* of the inside host; SPINAT_CLIENT_NONE: none known, outside_addr is what a new one gets */
	uint32_t client_row;
};

/** Packets that are looked ahead for together. */
#define SPINAT_AHEAD_MAX 64

#endif
