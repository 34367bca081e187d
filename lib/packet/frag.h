/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 the spinat authors
 */
#ifndef SPINAT_PACKET_FRAG_H
#define SPINAT_PACKET_FRAG_H

#include <stdint.h>

#include <rte_byteorder.h>
#include <rte_mbuf.h>

#include "packet/packet.h"

/*
 * Fragments are translated without reassembly: the first one has the ports or the SPI and decides,
 * the others follow its decision. Those that come before it are held, bounded in number, bytes and
 * time. One table belongs to one worker; no function here may be called from another lcore.
 * Time is passed in, milliseconds of any steady clock.
 */

struct spinat_frag_table;

struct spinat_frag_params {
	uint32_t datagrams; /* tracked at once */
	uint32_t held; /* fragments held at once, all datagrams together */
	uint32_t held_bytes; /* bytes held at once (pkt_len) */
	uint32_t timeout_ms; /* life of a datagram from its first seen fragment */
	int socket_id;
};

/** What the first fragment decided for its datagram. */
struct spinat_frag_verdict {
	rte_be32_t src; /* source address to write */
	rte_be32_t dst; /* destination address to write */
	uint16_t realm; /* realm in which dst is routed */
	rte_be16_t ip_id; /* identification to write */
	uint8_t drop; /* enum spinat_drop: not NONE = the first one was dropped */
};

enum spinat_frag_action {
	SPINAT_FRAG_FIRST, /* first fragment: the caller decides and calls spinat_frag_learn */
	SPINAT_FRAG_FOLLOW, /* later fragment: apply *verdict (which may be a drop) */
	SPINAT_FRAG_HELD, /* the table has taken the mbuf */
	SPINAT_FRAG_DROP, /* *drop says why; the caller frees the mbuf */
};

/** @return NULL without memory. Control lcore, before the workers start. */
struct spinat_frag_table *spinat_frag_create(const char *name, const struct spinat_frag_params *p);

/** Frees the table and all it holds. Control lcore, after the workers have stopped. */
void spinat_frag_free(struct spinat_frag_table *t);

/**
 * Takes one fragment (meta flag SPINAT_META_FRAG). Datagrams are told apart by direction, realm,
 * addresses, protocol and IPv4 identification, and forgotten once all of one has passed. What
 * overlaps is dropped as FRAG_OVERLAP: a copy of bytes already seen alone (RFC 8200 4.5), any other
 * overlap, or a second end, with all that is still to come of the datagram (RFC 5722's rule applied
 * to IPv4); what it held is then given to spinat_frag_expire. So each range of bytes passes once,
 * whatever the order.
 */
enum spinat_frag_action spinat_frag_input(struct spinat_frag_table *t, struct rte_mbuf *m,
	const struct spinat_meta *meta, uint64_t now_ms, struct spinat_frag_verdict *verdict,
	enum spinat_drop *drop);

/**
 * Records what was decided for the first fragment and gives back the held ones, in order of arrival.
 *
 * @param out  room for max mbufs; more stay held until the next call of spinat_frag_learn for the
 *             same datagram or their timeout, so give SPINAT_FRAG_HELD_MAX
 * @return number of mbufs given back: the caller applies the verdict to each
 */
#define SPINAT_FRAG_HELD_MAX 64 /* fragments held for one datagram */
unsigned int spinat_frag_learn(struct spinat_frag_table *t, const struct spinat_meta *meta,
	uint64_t now_ms, const struct spinat_frag_verdict *verdict, struct rte_mbuf **out,
	unsigned int max);

/**
 * Gives up datagrams past their time, and what spoiled ones held. Bounded work: at most max datagrams
 * are looked at and max mbufs given back, which the caller counts as SPINAT_DROP_FRAG_TIMEOUT and
 * frees. Call it each millisecond or so: a full table takes new datagrams only as old ones go.
 */
unsigned int spinat_frag_expire(
	struct spinat_frag_table *t, uint64_t now_ms, struct rte_mbuf **out, unsigned int max);

/** Datagrams tracked and fragments held now; any thread (relaxed reads). */
void spinat_frag_usage(const struct spinat_frag_table *t, uint32_t *datagrams, uint32_t *held);

#endif
