/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 the spinat authors
 */
#ifndef SPINAT_IPSEC_BINDER_H
#define SPINAT_IPSEC_BINDER_H

#include <stdbool.h>
#include <stdint.h>

#include <rte_byteorder.h>

#include "config/conf.h"
#include "ipsec/ike.h"
#include "packet/drop.h"

/*
 * The SPI binder: ties inbound SPIs and IKE SPI pairs to inside clients. It sees no packets, only
 * what a header says, and the time; it answers with a decision. One binder holds all state of the
 * gateways that one worker owns (owner = hash of the gateway address), so that all learning about a
 * gateway is in order; none of its functions may be called from another lcore, but for the
 * telemetry ones marked so. All memory is allocated at creation. Time is passed in, milliseconds of
 * any steady clock. Addresses and SPIs are in network byte order, sequence numbers in host order.
 *
 * A group is (outside address P, gateway G); a client in it is (realm, address).
 *
 * Settled SPIs are translated by the flow table without asking the binder. The binder tells its
 * caller through struct spinat_binder_ops when such a shortcut may be put in and when it must go;
 * before it gives an idle binding up it asks when the shortcut was last used. last_used, count and
 * last_seq may be called from any thread that reads telemetry; the others from the owner alone.
 */

struct spinat_binder;

/** Copies of one packet at most. */
#define SPINAT_FANOUT_MAX 64
/** Packets that a binder may ask its caller to keep at once, a power of two. */
#define SPINAT_HELD_MAX 1024

struct spinat_client {
	rte_be32_t addr;
	uint16_t realm;
};

/** A shortcut in the flow table: all packets of this SPI in this direction go to/from this client. */
struct spinat_shortcut {
	struct spinat_client client;
	rte_be32_t outside;
	rte_be32_t gateway;
	rte_be32_t spi;
	uint32_t seq; /* highest sequence number so far */
	uint8_t proto; /* IPPROTO_ESP or IPPROTO_AH */
	uint8_t dir; /* enum spinat_dir */
};

#define SPINAT_SEQ_WINDOW 64 /* what a receiver may still take (RFC 4303 3.4.3) */
#define SPINAT_SEQ_YOUNG 128

/**
 * Whether a packet's sequence number is so far behind those of its SPI that it may be of another SA
 * with the same SPI. While an SA is young, any that is not new may be: both have just begun; unless
 * it is known that its numbers go back by themselves.
 */
static inline bool
spinat_seq_is_back(uint32_t last, uint32_t seq, bool known)
{
	const uint32_t behind = last - seq;

	return behind < UINT32_MAX / 2 &&
	       (behind >= SPINAT_SEQ_WINDOW || (last < SPINAT_SEQ_YOUNG && !known));
}

#define SPINAT_SHORTCUT_NONE UINT32_MAX

/** An inbound SPI that no evidence has decided. */
#define SPINAT_AMBIGUOUS_NAMED 8
struct spinat_ambiguous {
	rte_be32_t outside;
	rte_be32_t gateway;
	rte_be32_t spi;
	uint16_t realm;
	uint8_t proto; /* IPPROTO_ESP or IPPROTO_AH */
	uint8_t n_candidates; /* the likeliest of them are named, best first */
	rte_be32_t candidates[SPINAT_AMBIGUOUS_NAMED];
};

struct spinat_binder_ops {
	/** Puts a shortcut in. Returns a handle, or SPINAT_SHORTCUT_NONE where the table is full (the
	 * binder then keeps seeing the packets and tries again later). */
	uint32_t (*install)(void *ctx, const struct spinat_shortcut *s);
	/** Takes a shortcut out. */
	void (*remove)(void *ctx, uint32_t handle);
	/** Time in ms of the last packet that used a shortcut (may be a second coarse). */
	uint64_t (*last_used)(void *ctx, uint32_t handle);
	/** Packets and bytes that have gone through a shortcut so far. */
	void (*count)(void *ctx, uint32_t handle, uint64_t *packets, uint64_t *bytes);
	/** Highest sequence number of an inbound shortcut. One that is back (spinat_seq_is_back()) does
	 * not use it: the binder is asked. */
	uint32_t (*last_seq)(void *ctx, uint32_t handle);
	/** Numbers of this shortcut go back, and nobody else is meant: it counts from there, and is
	 * known for it. */
	void (*set_seq)(void *ctx, uint32_t handle, uint32_t seq);
	/** A packet that was kept by decision (see hold there) goes to these clients too. */
	void (*late)(void *ctx, uint32_t hold, const struct spinat_client *to, unsigned int n);
	/** It goes to no others: it needs not be kept any longer. Where nobody has got it, it is
	 * dropped: SPINAT_DROP_SPI_AMBIGUOUS. */
	void (*forget)(void *ctx, uint32_t hold);
	/** An inbound SPI turned out to be undecidable: an operator may decide. NULL: nobody listens. */
	void (*ambiguous)(void *ctx, const struct spinat_ambiguous *a);
	/** A client has IPsec state with its outside address, said once a minute. NULL: nobody asks. */
	void (*renew)(void *ctx, struct spinat_client client, rte_be32_t outside);
	void *ctx;
};

struct spinat_binder_params {
	uint32_t max_bindings; /* SPIs, each direction */
	uint32_t max_ike; /* IKE SAs */
	uint64_t seed; /* of its hashes and its choices: same seed and input, same output */
	int socket_id;
};

/** What the binder is told of an ESP, AH or IKE packet. */
struct spinat_ipsec_pkt {
	struct spinat_client client; /* outbound: who sent it; inbound: unused */
	rte_be32_t outside; /* P: outbound: chosen by the caller (paired pooling) */
	rte_be32_t gateway; /* G */
	rte_be32_t spi; /* ESP, AH */
	uint32_t seq; /* ESP, AH; host order */
	uint32_t len; /* IPv4 total length */
	uint8_t proto; /* IPPROTO_ESP, IPPROTO_AH; IPPROTO_UDP for IKE */
	uint8_t ttl;
	uint8_t dscp;
	bool may_wait; /* inbound: the caller can keep the packet, and deliver it later as well */
};

/** Where a packet goes. */
struct spinat_ipsec_decision {
	enum spinat_drop drop; /* SPINAT_DROP_NONE, or why it goes nowhere */
	unsigned int n; /* inbound: receivers, 1 = no copies, 0 = dropped, or kept, where hold is
			 * not 0; outbound: 1 when it may go out */
	struct spinat_client to[SPINAT_FANOUT_MAX]; /* inbound: who gets it now */
	uint32_t hold; /* not 0: the packet is to be kept under this number, 1 to SPINAT_HELD_MAX,
			* until it is forgotten: others may turn out to need it */
	rte_be32_t
		outside; /* outbound: the P to write: what the caller gave, or, while older state of
			       this client with this gateway lives on another P, that one */
};

/** @return NULL without memory. Control lcore, before the workers start. */
struct spinat_binder *spinat_binder_create(const char *name, const struct spinat_binder_params *p,
	const struct spinat_binder_ops *ops);
void spinat_binder_free(struct spinat_binder *b);

/** ESP or AH from a client. */
void spinat_binder_outbound(struct spinat_binder *b, const struct spinat_conf *conf,
	uint64_t now_ms, const struct spinat_ipsec_pkt *p, struct spinat_ipsec_decision *d);

/** ESP or AH from a gateway that no shortcut took. */
void spinat_binder_inbound(struct spinat_binder *b, const struct spinat_conf *conf, uint64_t now_ms,
	const struct spinat_ipsec_pkt *p, struct spinat_ipsec_decision *d);

/** IKE from a client that keeps source port 500, to port 500. */
void spinat_binder_ike_outbound(struct spinat_binder *b, const struct spinat_conf *conf,
	uint64_t now_ms, const struct spinat_ipsec_pkt *p, const struct spinat_ike_hdr *h,
	struct spinat_ipsec_decision *d);

/** IKE from port 500 of a gateway to our port 500. */
void spinat_binder_ike_inbound(struct spinat_binder *b, const struct spinat_conf *conf,
	uint64_t now_ms, const struct spinat_ipsec_pkt *p, const struct spinat_ike_hdr *h,
	struct spinat_ipsec_decision *d);

/**
 * An ICMP error from outside quotes an outbound ESP or AH packet (P to G, outbound SPI), or, with
 * proto UDP, an outbound IKE message whose initiator SPI is ike_init_spi: who sent it?
 * ike_init_spi 0: the quote did not hold it; p->client.realm is the realm of the outside address.
 * Reads only.
 *
 * @return true and *client where exactly one client can have sent it
 */
bool spinat_binder_quoted(const struct spinat_binder *b, const struct spinat_ipsec_pkt *p,
	uint64_t ike_init_spi, struct spinat_client *client);

/** What a client and port 500 or 4500 of a gateway say in a UDP session. */
struct spinat_udp_seen {
	struct spinat_client client;
	rte_be32_t outside, gateway; /* P and G */
	uint8_t what; /* enum spinat_ike_udp */
	uint8_t dir; /* enum spinat_dir */
	bool natt; /* the gateway's port is 4500 */
	struct spinat_ike_hdr hdr; /* where it is IKE */
};

/**
 * A packet of a UDP session: IKE with a translated source port or on port 4500, or ESP in UDP. It is
 * translated already, and nothing is decided: IKE is followed as on port 500, and a client whose ESP
 * goes in UDP needs no binding any more, until it sends ESP without, or begins an IKE SA anew.
 */
void spinat_binder_udp_seen(struct spinat_binder *b, const struct spinat_conf *conf,
	uint64_t now_ms, const struct spinat_udp_seen *s);

/** Whether an IKE SA is this client's and keeps source port 500. @param init_spi as on the wire */
bool spinat_binder_has_ike(const struct spinat_binder *b, struct spinat_client client,
	rte_be32_t gateway, uint64_t init_spi);

/** The outside address of a client's IPsec with a gateway; 0 where there is no state of it. */
rte_be32_t spinat_binder_outside(
	const struct spinat_binder *b, struct spinat_client client, rte_be32_t gateway);

/**
 * The outside address for a client that turns to a gateway for the first time: the one of its
 * realm's pool with the fewest clients of this gateway that need their SPIs told apart (of 64
 * addresses, where there are more). It is promised, so that the next client gets another one, until
 * the client's first packet says which it has become or the sweep comes by. The pool is not empty.
 */
rte_be32_t spinat_binder_propose(struct spinat_binder *b, const struct spinat_conf *conf,
	uint64_t now_ms, struct spinat_client client, rte_be32_t gateway);

/** What an operator decides about an inbound SPI. */
struct spinat_order {
	struct spinat_client client; /* whose it is; address 0: evidence shall decide anew */
	rte_be32_t outside;
	rte_be32_t gateway;
	rte_be32_t spi;
};

enum spinat_order_result {
	SPINAT_ORDER_DONE,
	SPINAT_ORDER_NO_SPI, /* no such SPI has come from this gateway to this outside address */
	SPINAT_ORDER_NO_CLIENT, /* the client has no IPsec with this gateway through this address */
	SPINAT_ORDER_LIMIT, /* the client has as many SPIs as it may have, all in use */
};

/**
 * Ties an inbound SPI (of ESP, or of AH where there is none of ESP) to one client, whatever was
 * known of it, or forgets what is known of it. What an operator has decided no evidence changes: it
 * lasts as long as the SPI is in use, or until another order.
 */
enum spinat_order_result spinat_binder_order(struct spinat_binder *b,
	const struct spinat_conf *conf, uint64_t now_ms, const struct spinat_order *o);

/**
 * Ages a bounded number of entries: idle bindings, credits, IKE SAs, squelches.
 *
 * @param budget entries to look at
 */
void spinat_binder_sweep(struct spinat_binder *b, const struct spinat_conf *conf, uint64_t now_ms,
	unsigned int budget);

/* --- telemetry: any thread; rows may be torn by a change under way but are never wild ---------- */

enum spinat_binding_state {
	SPINAT_BINDING_FREE,
	SPINAT_BINDING_PROVISIONAL, /* one candidate, delivered, not confirmed yet */
	SPINAT_BINDING_FANOUT, /* several candidates, copies go to the best */
	SPINAT_BINDING_AMBIGUOUS, /* no evidence within its budget */
	SPINAT_BINDING_SETTLED,
};

struct spinat_binding_row {
	struct spinat_client client;
	rte_be32_t outside, gateway, spi;
	rte_be32_t peer; /* SPI of the other direction of the pair; 0: not known */
	uint8_t proto, dir, state; /* enum spinat_dir, enum spinat_binding_state */
	uint8_t n_candidates;
	struct spinat_client candidates[SPINAT_FANOUT_MAX];
	const char *why; /* the evidence that decided, a constant string */
	uint64_t created_ms, last_ms;
	uint64_t packets, bytes, copies;
};

struct spinat_ike_row {
	struct spinat_client client;
	rte_be32_t outside, gateway;
	uint64_t init_spi, resp_spi;
	uint8_t major, exchange;
	bool client_initiated;
	bool natt; /* it is on port 4500 */
	bool esp_in_udp; /* and so is its client's ESP */
	uint64_t created_ms, last_ms;
	uint64_t packets;
};

/**
 * Next row at or after *cursor (an index; start with 0). Advances *cursor past it.
 *
 * @return true while there is a row
 */
bool spinat_binder_next_binding(
	const struct spinat_binder *b, uint32_t *cursor, struct spinat_binding_row *row);
bool spinat_binder_next_ike(
	const struct spinat_binder *b, uint32_t *cursor, struct spinat_ike_row *row);

struct spinat_binder_stats {
	uint64_t settled, provisional, reopened, fanned_out, copies, collisions, squelched;
	uint32_t bindings, ike_sas, groups, clients; /* in use now */
};
void spinat_binder_stats_get(const struct spinat_binder *b, struct spinat_binder_stats *out);

#endif
