/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 the spinat authors
 */
#ifndef SPINAT_DATAPATH_PATH_H
#define SPINAT_DATAPATH_PATH_H

#include <rte_ip.h>

#include "datapath/engine.h"
#include "packet/checksum.h"
#include "packet/icmp.h"
#include "packet/packet.h"

/*
 * The path of a packet inside a worker, as functions of (packet, tables, now). Internal to
 * datapath/. A function that takes a slot and returns void has taken its mbuf: sent, dropped with a
 * reason, held or handed on.
 */

/** Codes of ICMP destination unreachable that the box sends (RFC 792, 1812 5.2.7.1). */
enum spinat_unreach {
	SPINAT_UNREACH_NET = 0,
	SPINAT_UNREACH_PORT = 3,
	SPINAT_UNREACH_TOO_BIG = 4,
	SPINAT_UNREACH_ADMIN = 13,
};

/**
 * An IPv4 identification for a datagram that leaves with an outside address, which many inside hosts
 * share (RFC 6864 5.3.1). Each worker has a share of the numbers and takes them one after the other,
 * for each of some groups of destinations, so that none comes again soon. Datagrams in fragments and
 * whole ones that may still be cut have a half of the numbers each: however many of the latter there
 * are, they do not use up the former. Nothing but equality is asked of one, so no bytes are swapped.
 *
 * @param dst where it goes to
 */
static inline rte_be16_t
spinat_next_ip_id(struct spinat_worker *w, rte_be32_t dst, enum spinat_ip_ids which)
{
	uint16_t *last = &w->ip_ids[which][(uint32_t)dst * UINT32_C(0x9e3779b1) >> 24];

	*last += w->ip_id_step;
	return (*last & 0x7fff) | which << 15;
}

/**
 * Gives a whole packet that leaves a new identification. Not for one with DF: nobody cuts it, so
 * nobody reads its identification (RFC 6864 4.1).
 *
 * @return delta of its IPv4 checksum, which is still to be applied
 */
static inline uint32_t
spinat_renew_ip_id(struct spinat_worker *w, struct rte_ipv4_hdr *ip)
{
	const rte_be16_t id = spinat_next_ip_id(w, ip->dst_addr, SPINAT_IP_ID_WHOLE);
	const uint32_t delta = (uint32_t)(uint16_t)~ip->packet_id + id;

	ip->packet_id = id;
	return delta;
}

/** A packet in flight through the stages. */
struct spinat_slot {
	struct spinat_meta meta;
	struct rte_mbuf *m;
	struct spinat_flow *flow;
	const struct spinat_ahead *ahead; /* what is known of a flow that may be made, or NULL */
	uint8_t iface; /* it came in by */
	uint8_t why; /* enum spinat_why: how it came here */
	bool hairpin; /* from inside, source translated already: it counts as from outside */
	bool plain; /* described by spinat_parse_plain */
	bool keyed; /* has a key to look up */
#ifdef SPINAT_STAGES
	const struct spinat_nexthop *nh; /* of a plain packet's flow, or NULL */
#endif
};

/** What was decided about a packet that no flow was there for. */
struct spinat_verdict {
	enum spinat_drop drop;
	bool taken; /* the packet is gone already (handed to the owner, answered) */
	unsigned int n; /* flows: one, or several candidates of an SPI; 0: routed untranslated */
	const struct spinat_flow *flow[SPINAT_FANOUT_MAX];
	struct spinat_flow temp[SPINAT_FANOUT_MAX]; /* room for flows that are in no table */
};

static inline const struct spinat_iface_conf *
spinat_slot_iface(const struct spinat_worker *w, const struct spinat_slot *s)
{
	return &w->snap->conf->ifaces[s->iface];
}

static inline void
spinat_drop(struct spinat_worker *w, struct rte_mbuf *m, enum spinat_drop reason)
{
	w->stats.drops[reason]++;
	rte_pktmbuf_free(m);
}

/** A translated packet goes to the other side, whatever the routes say: no inside address may leave,
 * and no outside packet may bounce (static exemptions have no flow). */
static inline bool
spinat_wrong_side(const struct spinat_nexthop *nh, const struct spinat_flow *f, enum spinat_dir dir)
{
	return f != NULL && nh->role != (dir == SPINAT_OUT ? SPINAT_OUTSIDE : SPINAT_INSIDE) &&
	       nh->state != SPINAT_NH_BLACKHOLE;
}

/* burst.c: up to SPINAT_BURST packets, */
/** received from a device, */
void spinat_burst_received(
	struct spinat_worker *w, uint8_t device, struct rte_mbuf **mbufs, unsigned int n);
/** or handed over in the worker's ring: each has its private area filled. */
void spinat_burst_handed(struct spinat_worker *w, struct rte_mbuf **mbufs, unsigned int n);

/* egress.c */
/** Routes, translates by f (NULL: only routes), and sends. Reads s->meta; f may be on the stack. */
void spinat_forward(struct spinat_worker *w, struct spinat_slot *s, const struct spinat_flow *f);
/** Queues a whole frame for a port. */
void spinat_send(struct spinat_worker *w, uint16_t port, uint16_t iface, struct rte_mbuf *m);
void spinat_flush(struct spinat_worker *w);
/** Sends an ICMP error about the packet of a slot back to where it came from, within the rate. */
void spinat_send_error(struct spinat_worker *w, const struct spinat_slot *s, uint8_t type,
	uint8_t code, uint16_t mtu);

/* slow.c */
void spinat_slow(struct spinat_worker *w, struct spinat_slot *s);
/** Decides about a whole packet or first fragment without flow. */
void spinat_decide(struct spinat_worker *w, struct spinat_slot *s, struct spinat_verdict *v);
/** Gives a packet to another worker. */
void spinat_hand_off(
	struct spinat_worker *w, unsigned int to, struct spinat_slot *s, enum spinat_why why);
void spinat_punt(struct spinat_worker *w, struct rte_mbuf *m, enum spinat_why why, uint8_t iface,
	uint16_t l3, uint16_t realm);
/** Gives a note of some bytes to another worker. False, and counted, where there is no room. */
bool spinat_send_note(struct spinat_worker *w, unsigned int to, enum spinat_why why,
	const void *note, uint16_t len);
/** Tells the control lcore, which logs it. Where there is no room it is counted. */
void spinat_tell_control(struct spinat_worker *w, const struct spinat_event *event);
/** Owner of the state that a packet's key meets. */
unsigned int spinat_slot_owner(
	const struct spinat_worker *w, const struct spinat_key *key, uint8_t kind);
/** Realm in which an inside host and a remote talk untranslated, -1 for none. ah: AH may by its realm. */
int spinat_exempt_realm(
	const struct spinat_worker *w, rte_be32_t inside, rte_be32_t remote, bool ah);
/** Fills a verdict with one flow on the stack that changes addresses only (ports too for UDP). */
struct spinat_flow *spinat_verdict_flow(struct spinat_verdict *v, enum spinat_dir dir,
	uint16_t realm, rte_be32_t inside, rte_be32_t outside, uint8_t proto);

/* ipsec_path.c */
void spinat_decide_ipsec_out(
	struct spinat_worker *w, struct spinat_slot *s, struct spinat_verdict *v);
void spinat_decide_ipsec_in(
	struct spinat_worker *w, struct spinat_slot *s, struct spinat_verdict *v);
/** An operator's order, handed over by the control lcore. Takes the mbuf. */
void spinat_order_told(struct spinat_worker *w, struct rte_mbuf *m);
/** Reads the IKE header of a packet. @return as spinat_ike_parse */
int spinat_slot_ike(const struct spinat_slot *s, struct spinat_ike_hdr *hdr);
extern const struct spinat_binder_ops spinat_shortcut_ops;

/* ike_session_path.c */
/** A packet of a session with UDP port 500 or 4500 of a gateway, see SPINAT_FLOW_IKE: what it shows is
 * told to the binder that owns the gateway. Leaves the packet to the caller. */
void spinat_ike_session(
	struct spinat_worker *w, const struct spinat_slot *s, struct spinat_flow *f);
/** The same, told by another worker. Takes the mbuf. */
void spinat_ike_session_told(struct spinat_worker *w, struct rte_mbuf *m);

/* ike_port_path.c */
/** Whether IKE from inside is translated as other UDP. @param received from a device, just now */
bool spinat_ike_as_udp(struct spinat_worker *w, const struct spinat_slot *s, bool received);
/** Whether IKE to this gateway keeps its port in realms with policy "auto". */
bool spinat_ike_keeps_port(const struct spinat_worker *w, rte_be32_t gateway);
/** A gateway keeps port 500, told by another worker. Takes the mbuf. */
void spinat_ike_port_told(struct spinat_worker *w, struct rte_mbuf *m);
/** The flow of an IKE SA that began with a translated port, before its gateway was found to insist on
 * 500 (policy "auto"); or NULL. At the owner of the gateway. */
struct spinat_flow *spinat_ike_older_flow(
	struct spinat_worker *w, const struct spinat_slot *s, const struct spinat_ike_hdr *hdr);

/* outside_path.c */
/**
 * The outside address of IPsec from inside, at the owner of its gateway. 0: the pool has none, or
 * (v->taken) the packet has gone to ask for it and comes again.
 */
rte_be32_t spinat_ipsec_outside(
	struct spinat_worker *w, struct spinat_slot *s, struct spinat_verdict *v);
/** Answers such a packet, at the owner of the host. Takes the mbuf. */
void spinat_outside_proposed(struct spinat_worker *w, struct rte_mbuf *m);
/** A client of the binder keeps its outside address. @param ctx struct spinat_worker */
void spinat_outside_renew(void *ctx, struct spinat_client client, rte_be32_t outside);
/** The same, told by another worker. Takes the mbuf. */
void spinat_outside_renewed(struct spinat_worker *w, struct rte_mbuf *m);

/* late.c */
/** An inbound packet that is kept, not translated yet. drop: what it counts as where nobody ever gets
 * it; NONE: somebody has got it. */
struct spinat_kept {
	struct spinat_slot slot;
	enum spinat_drop drop;
};
/** Keeps an inbound packet under the number that the binder gave. @param given somebody gets it now, and
 * a copy is kept; else the packet itself is taken */
void spinat_keep(struct spinat_worker *w, const struct spinat_slot *s, uint32_t hold, bool given);
/** A kept packet goes to these clients. @param ctx struct spinat_worker */
void spinat_kept_late(void *ctx, uint32_t hold, const struct spinat_client *to, unsigned int n);
/** It goes to nobody else. @param ctx struct spinat_worker */
void spinat_kept_forget(void *ctx, uint32_t hold);
/** Room for kept packets of one worker, none yet; NULL without memory. Freed by rte_free. */
struct spinat_kept *spinat_kept_create(int socket);

/* icmp_path.c */
void spinat_icmp_error_out(struct spinat_worker *w, struct spinat_slot *s);
void spinat_icmp_error_in(struct spinat_worker *w, struct spinat_slot *s);

/* tcp_path.c */
/** Follows a segment that opens, closes or resets a connection, and clamps the MSS of a SYN. */
void spinat_tcp_segment(struct spinat_worker *w, struct spinat_slot *s, struct spinat_flow *f);

/* syn_hold.c */
/** Remembers a refused SYN from outside, to answer it later. Leaves the packet to the caller. */
void spinat_syn_hold(struct spinat_worker *w, const struct spinat_slot *s);
/** Answers those whose time has come. */
void spinat_syns_expire(struct spinat_worker *w);

/* frag_path.c */
void spinat_fragment(struct spinat_worker *w, struct spinat_slot *s);
void spinat_fragments_expire(struct spinat_worker *w);

#endif
