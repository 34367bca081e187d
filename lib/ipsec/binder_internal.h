/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 the spinat authors
 */
#ifndef SPINAT_IPSEC_BINDER_INTERNAL_H
#define SPINAT_IPSEC_BINDER_INTERNAL_H

#include <sys/queue.h>

#include <rte_common.h>
#include <rte_hash.h>

#include "ipsec/binder.h"
#include "ipsec/stream.h"
#include "packet/packet.h"

/*
 * The state behind binder.h, shared by the files of this folder only.
 *
 *   host     an inside client; has one member in every group it talks to
 *   group    (realm, P, G)
 *   member   a client in a group: its SPIs, IKE SAs and credits
 *   credit   an inbound SPI that must appear sooner or later, and why that is known
 *   spi      an SPI in one direction: what is bound
 *   contest  an inbound SPI that is not settled, its candidates and the evidence for each
 *   ike_sa   an IKE SA
 *
 * All are array elements with a free list; an element is never returned to the heap, so a pointer
 * that a telemetry thread reads half way through a change still points to one.
 *
 * Evidence is counted in decibans: ten times the decimal logarithm of a likelihood ratio, so that
 * evidence adds up and 30 means "a thousand to one".
 */

#define CREDITS_MAX 8 /* open credits of a member; more push the oldest out */
#define IKES_MAX 16 /* IKE SAs of a member */
#define EXCHANGES_MAX 4 /* exchanges of an IKE SA that are followed at once */
#define OFFERS_MAX 16 /* IKE SAs of a group whose client is still looked for */
#define TRIED_MAX 16 /* clients an IKE SA was offered to that are remembered */
#define CANDIDATES_MAX 64 /* of one contest */
#define SCAN_MAX 1024 /* members looked at for one unknown SPI */
#define SEQ_FRESH 256 /* a sequence number up to here is of a new SA */
#define SEQ_FIRST 8 /* the same, while the box has just started */
#define SPI_RESERVED_LAST 255 /* RFC 4303 2.1 */
#define SPI_IDLE_MS 60000 /* a full member may give up an SPI that was idle for so long */
#define SPI_ONCE_MS 1000 /* and one that had a single packet */
#define AGREE_MIN 2 /* events in favour, before a candidate leads by them */
#define ASKS_MAX 16 /* outbound packets of a member whose answers may be under way */
#define ONSET_MS 8 /* a packet after so long a silence says something by its time */
#define OVERTAKEN_DB -10.0 /* prior of who came after an SPI's first packet */
#define ODD_MIN 3 /* packets out of an SPI's series of numbers that make it two */
#define SEEN_SLOTS 65536 /* refused SPIs that are remembered */
#define KEPT_EACH 4 /* and so many in each slot of those that may well be real */
#define SQUELCH_MS 1000 /* how long a group without candidates refuses unknown SPIs */

enum key_kind { KEY_HOST, KEY_GROUP, KEY_MEMBER, KEY_IN, KEY_OUT, KEY_QUOTE };

/* 16 bytes, which rte_hash compares with one SSE load. */
struct ipsec_key {
	rte_be32_t a; /* HOST, MEMBER, OUT: client; else P */
	rte_be32_t b; /* G */
	rte_be32_t spi;
	uint8_t proto;
	uint8_t kind; /* enum key_kind */
	uint16_t realm;
};

struct ike_key {
	rte_be32_t outside;
	rte_be32_t gateway;
	uint64_t init_spi;
};

struct host {
	TAILQ_ENTRY(host) next; /* in its realm's list, or in the free list */
	struct spinat_client client;
	uint32_t refs; /* members */
};
TAILQ_HEAD(host_list, host);

/* Why an inbound SPI is expected; credit_traits[] says what each is worth. */
enum credit_kind {
	CREDIT_NONE,
	CREDIT_PENDING, /* an exchange that will give one is under way */
	CREDIT_QUICK, /* IKEv1 Quick Mode closed */
	CREDIT_AUTH, /* IKEv2 IKE_AUTH answered; EAP may go on */
	CREDIT_CHILD, /* CREATE_CHILD_SA answered; may have been the IKE SA's own rekey */
	CREDIT_ESP, /* a new outbound SPI at its start, without IKE */
	CREDIT_RESUME, /* an outbound SPI seen for the first time in mid-life */
};

struct credit {
	uint64_t opened_ms;
	struct spi *so; /* outbound SPI of the pair, once seen */
	struct ike_sa *ike; /* or NULL */
	uint32_t message_id;
	uint8_t kind; /* enum credit_kind */
	uint8_t exchange;
	bool stale; /* a later credit of the same IKE SA has been spent */
};

TAILQ_HEAD(spi_list, spi);
TAILQ_HEAD(ike_list, ike_sa);

struct member {
	TAILQ_ENTRY(member) of_group; /* or of the free list */
	TAILQ_ENTRY(member) of_open; /* of its group's list of members with credits */
	struct host *host;
	struct group *group; /* NULL: free */
	struct spi_list in, out;
	struct ike_list ikes;
	uint16_t n_in, n_out, n_ikes;
	uint16_t n_contests; /* it is a candidate in: what it sends must be seen */
	uint16_t n_second; /* SPIs it shares with their owner */
	uint8_t n_credits;
	uint8_t inquiries;
	bool live; /* ESP, or IKE past phase 1: inbound ESP may be for it */
	bool natt; /* its ESP goes in UDP: nothing is for it */
	bool promised; /* no state yet: it is asked whether the client may have this outside address */
	uint64_t renewed_ms; /* the outside address was last said to be in use */
	struct credit credits[CREDITS_MAX]; /* oldest first */
	uint64_t last_ms;
	uint64_t offered_ms; /* an unknown IKE SA was last offered to it */
	uint64_t sent_ms; /* last outbound ESP */
	uint64_t inquiry_ms; /* when it may be asked next why it hears nothing */
	struct rhythm rhythm; /* of what it sends */
	struct marks marks;
	bool dense, clock, marked; /* as in struct contest */
	struct cover replies; /* when answers to it are due */
	uint64_t asks_ms[ASKS_MAX]; /* what it sent last, a ring */
	uint32_t n_asks;
	/* how much unsettled SPIs claim its credits */
	double claims, small_claims; /* sum of all, of those that leave room for another */
	uint32_t big_claims;
};
TAILQ_HEAD(member_list, member);

struct candidate {
	struct member *member;
	double prior_db; /* what was known when the SPI appeared */
	double answers_db; /* it answers what comes on the SPI: evidence since, for and against */
	double answers_max_db; /* no more than this: its rivals get no copies any more */
	double replies_db; /* what it sends is answered on the SPI */
	struct coincidence answers, replies; /* the same where streams are dense, */
	struct coincidence mark_replies; /* by packets of unusual sizes */
	double handover_db; /* an older SPI of it fell silent when this one began */
	double odds; /* of both together, without the claims of other SPIs */
	double weight; /* with them */
	double claim; /* odds that this SPI takes one of the member's credits */
	double density; /* scratch: how well the event under review fits, per millisecond */
	uint64_t gap_ms; /* from its last packet on the pair's other SPI to this SPI's first */
	uint64_t copy_ms;
	uint64_t got_ms; /* the last packet on the SPI that it got */
	uint64_t asked_ms; /* sent something that has not been answered on this SPI; 0: nothing */
	double ask_share; /* how likely that was something that is answered at all */
	bool mark_asked; /* it or the SPI is a stream where only unusual sizes count */
	uint16_t got; /* which of the contest's held packets */
	uint8_t agree; /* agreeing events */
	bool paid; /* its credit was spent before the SPI came into doubt */
	bool waiting; /* had a copy, was silent before: an answer would be evidence */
};

TAILQ_HEAD(contest_list, contest);

/* A packet that the caller keeps, as it may have missed its owner. */
struct held {
	TAILQ_ENTRY(held) next; /* of its contest */
	struct contest *contest; /* NULL: free */
	uint64_t at_ms;
	uint16_t bit; /* of it, in struct candidate's got */
	bool onset;
	bool given; /* somebody has got it */
};
TAILQ_HEAD(held_list, held);

struct contest {
	TAILQ_ENTRY(contest) next; /* of its group, or of the free list */
	struct spi *spi;
	struct held_list held; /* oldest first */
	uint16_t held_bits;
	uint16_t holding; /* bit of the packet in hand, where it is kept */
	unsigned int n;
	unsigned int rotate;
	struct rhythm rhythm;
	struct marks marks;
	struct cover answers; /* when answers to its packets are due */
	bool onset; /* the packet in hand is one that says something */
	bool dense; /* too many for any one to say something */
	bool clock; /* dense, or one by one in even steps: none is a reply, */
	bool marked; /* but for those of an unusual size */
	double sum; /* of the candidates' weights and of "nobody" */
	uint64_t opened_ms, settled_ms;
	bool fresh; /* the SPI was seen from its first packets on */
	bool had_rival; /* there was more than one candidate at some time */
	bool inquiry; /* it is confirmed, and doubted again */
	double left_out_db; /* the best prior for which there was no room */
	struct candidate cand[CANDIDATES_MAX]; /* best first */
};

/* What may still be spent in this second. */
struct budget {
	uint64_t since_ms;
	uint32_t left;
};

struct group {
	struct ipsec_key key;
	TAILQ_ENTRY(group) next; /* of the free list */
	struct member_list members;
	struct member_list open;
	struct contest_list contests;
	struct ike_list offered; /* IKE SAs without a client */
	uint32_t n_natt; /* members that need no ESP binding */
	uint32_t n_members, n_live, n_open, n_contests, n_inquiries, n_offered;
	bool used;
	uint8_t ttl; /* usual TTL of the gateway's packets; 0: not known */
	uint32_t n_in; /* inbound SPIs */
	uint64_t squelch_ms; /* until when unknown SPIs are refused */
	uint32_t delay_ms; /* round trip to the gateway; 0: not known */
	bool delay_sure; /* measured by IKE, not guessed from ESP */
	struct budget copies;
	struct rhythm unknown; /* unknown SPIs */
	uint64_t full_ms; /* no room for another contest was found then */
	uint64_t unexpected_ms; /* and nobody expected one */
};
TAILQ_HEAD(group_list, group);

struct spi {
	TAILQ_ENTRY(spi) next; /* of its member's list, or of the free list */
	struct ipsec_key key;
	struct group *group;
	struct member *member; /* owner, or NULL while contested */
	struct contest *contest; /* inbound: NULL once settled and out of probation */
	struct member *second; /* inbound: another client that chose the same SPI, or NULL */
	struct spi *peer; /* the other direction of the pair, where known */
	struct spi *same_prev, *same_next; /* outbound: ring of equal (P, G, SPI) */
	const char *why;
	uint64_t created_ms, last_ms;
	uint64_t packets, bytes, copies;
	uint32_t handle; /* shortcut */
	uint32_t seq_first, seq_last;
	uint64_t seq_window; /* bit i: seq_last - i was seen */
	double gap_ms; /* mean time between packets, those that the binder sees */
	double pause_ms; /* the longest of late */
	uint32_t gaps; /* seen since it last came into sight */
	uint32_t seq_odd; /* packets that fit no single series of numbers */
	uint32_t seq_backs; /* packets behind that nobody else expected */
	uint32_t seq_other; /* where another series would be, */
	uint32_t seq_ahead; /* and how many packets in front of the known one it may have */
	uint8_t ttl; /* of the first packet */
	uint8_t dir;
	uint8_t state; /* enum spinat_binding_state */
	bool fresh; /* seen from its first packets on */
	bool doubt; /* bound without agreeing evidence */
	bool ordered; /* an operator has decided whose it is */
	bool told; /* that it is ambiguous */
};

struct exchange {
	uint32_t message_id;
	uint32_t length; /* of the last message: tells a retransmission */
	uint8_t type; /* enum spinat_ike_exchange; 0: slot is free */
	uint8_t first; /* enum spinat_dir of its first message */
	uint8_t last;
	uint8_t messages;
	uint64_t last_ms;
};

/* How the client's messages of an IKE SA leave. */
enum ike_way {
	IKE_KEPT, /* from port 500 to port 500: the IKE SPI says whose an answer is */
	IKE_TRANSLATED, /* to port 500 from another one: a UDP session */
	IKE_NATT, /* to port 4500, behind the non-ESP marker: a UDP session */
};

struct ike_sa {
	TAILQ_ENTRY(ike_sa)
	next; /* of its member, of its group's offered ones, or of the free list */
	struct ike_key key;
	struct group *group; /* NULL: free */
	struct member *member; /* NULL while it is offered */
	uint64_t resp_spi;
	uint64_t created_ms, last_ms;
	uint64_t packets;
	struct exchange exchanges[EXCHANGES_MAX];
	struct member *tried[TRIED_MAX]; /* compared only, never followed */
	struct member *offer; /* who has it now; compared only */
	uint32_t offer_id, offer_length; /* the message offered: a retransmission moves on */
	uint8_t n_tried;
	uint8_t major, exchange;
	uint8_t way; /* enum ike_way, of the last message that left */
	bool client_initiated, established;
	bool begun; /* seen from its beginning, and no ESP in UDP of its client since */
};

struct spinat_binder {
	struct spinat_binder_ops ops;
	const struct spinat_conf *conf; /* of the call under way */
	enum spinat_drop full; /* why there is no room for the SPI that was to be added */
	struct budget copies;
	struct rte_hash *index; /* struct ipsec_key to any of the first four kinds */
	struct rte_hash *ike_index; /* struct ike_key to ike_sa */
	struct host *hosts;
	struct group *groups;
	struct member *members;
	struct spi *spis;
	struct contest *contests;
	struct ike_sa *ikes;
	uint32_t n_members_max, n_spis_max, n_contests_max, n_ikes_max;
	struct host_list free_hosts;
	struct group_list free_groups;
	struct member_list free_members;
	struct spi_list free_spis;
	struct contest_list free_contests;
	struct ike_list free_ikes;
	struct host_list realm_hosts[SPINAT_MAX_REALMS];
	uint32_t n_dir[2]; /* SPIs in use, by enum spinat_dir */
	uint32_t sweep_at;
	uint32_t generation; /* configuration that clients are checked against */
	uint32_t validate_left; /* entries of the sweep that are still to be checked */
	uint64_t started_ms; /* first call; 0: none yet, or it knows of the time before */
	bool started;
	uint32_t salt;
	struct spinat_binder_stats stats;
	uint32_t seen[SEEN_SLOTS]; /* SPIs that were refused a contest, */
	/* and those that somebody expected, or that had to go; last one first */
	uint32_t kept[SEEN_SLOTS][KEPT_EACH];
	uint32_t held_head, held_tail;
	struct held held[SPINAT_HELD_MAX]; /* a ring */
};

/* --- index.c: one hash for everything but IKE SAs ----------------------------------------------- */

void *ipsec_index_find(const struct spinat_binder *b, const struct ipsec_key *key);
int ipsec_index_put(struct spinat_binder *b, const struct ipsec_key *key, void *data);
void ipsec_index_del(struct spinat_binder *b, const struct ipsec_key *key);

/* --- group.c: hosts, groups and their members ---------------------------------------------------- */

struct group *ipsec_group_find(
	const struct spinat_binder *b, uint16_t realm, rte_be32_t outside, rte_be32_t gateway);
struct member *ipsec_member_find(
	const struct spinat_binder *b, struct spinat_client client, rte_be32_t gateway);
/** Finds the member of a packet from inside, or makes it. NULL: tables are full. */
struct member *ipsec_member_get(
	struct spinat_binder *b, uint64_t now_ms, const struct spinat_ipsec_pkt *p);
/** Inbound ESP may be for it from now on. */
void ipsec_member_live(struct spinat_binder *b, uint64_t now_ms, struct member *m);
/** Its ESP with the gateway goes in UDP, or does so no more. */
void ipsec_member_natt(struct member *m, bool natt);
/** ESP in UDP, or a keepalive, is seen of it. */
void ipsec_member_encapsulates(struct spinat_binder *b, struct member *m);
/** Whether a client is translated to this address when it talks with this gateway. */
bool ipsec_permitted(const struct spinat_conf *conf, struct spinat_client client,
	rte_be32_t outside, rte_be32_t gateway);
/** Whether the realm's packets of this protocol, ESP or AH, are translated. */
bool ipsec_proto_permitted(const struct spinat_conf *conf, uint16_t realm, uint8_t proto);
/** All that a member has goes over to another one of its group: the client has moved there. */
void ipsec_member_move(
	struct spinat_binder *b, uint64_t now_ms, struct member *from, struct member *to);
/** Frees all that a member has, and the member. */
void ipsec_member_purge(struct spinat_binder *b, struct member *m);
/** Frees a member that has nothing left, and with the last one its group. */
void ipsec_member_release(struct spinat_binder *b, struct member *m);
/** The only member that inbound ESP can be for, or NULL. */
struct member *ipsec_group_sole(const struct group *g);
/** Where the realm sends what no state claims: true and *to, or false. */
bool ipsec_passthrough(const struct spinat_binder *b, const struct spinat_conf *conf,
	uint16_t realm, struct spinat_client *to);

/* --- credit.c ------------------------------------------------------------------------------------- */

/** Opens a credit, or moves on the one that the exchange has opened before. */
void ipsec_credit_open(struct member *m, uint64_t now_ms, enum credit_kind kind, struct ike_sa *ike,
	uint8_t exchange, uint32_t message_id);
/** A new outbound SPI: it joins the credit that it belongs to, or makes one. */
void ipsec_credit_outbound(struct member *m, uint64_t now_ms, struct spi *so, bool esp_without_ike);
/** The inbound SPI is not the member's after all: it expects its own again. */
void ipsec_credit_return(struct member *m, uint64_t now_ms, struct spi *so);
/** The inbound SPI is bound for good: it takes the credit that fits it best. */
void ipsec_credit_spend(struct member *m, uint64_t now_ms, struct spi *si);
/** Milliseconds since the client last sent on the outbound SPI of the credit that an inbound one
 * would take now; UINT64_MAX where there is none. */
uint64_t ipsec_credit_gap(const struct member *m, uint64_t now_ms, bool fresh);
/** When its newest credit was opened, or the outbound SPI of it was first seen. */
uint64_t ipsec_credit_newest(const struct member *m);
/** When its oldest credit was opened; UINT64_MAX where it has none. */
uint64_t ipsec_credit_oldest(const struct member *m);
/** The CREATE_CHILD_SA turned out to have rekeyed the IKE SA. */
void ipsec_credit_cancel_child(struct member *m, uint64_t now_ms);
void ipsec_credit_drop(struct member *m, unsigned int i);
/** Forgets what points to an element that goes. */
void ipsec_credit_forget_spi(struct member *m, const struct spi *s);
void ipsec_credit_forget_ike(struct member *m, const struct ike_sa *ike);
/** Puts a credit back in its place by age. False: the member has too many. */
bool ipsec_credit_restore(struct member *m, const struct credit *c);
/** Drops credits that are older than an SA gets. */
void ipsec_credit_age(struct member *m, const struct spinat_conf *conf, uint64_t now_ms);
/** Is the inbound SPI of its newest negotiation still to come? */
bool ipsec_credit_negotiating(const struct member *m, uint64_t now_ms);
/** Decibans of the rate, a second, at which a new SPI of this member was to be expected now. */
double ipsec_credit_score(const struct member *m, uint64_t now_ms, bool fresh);

/* --- binding.c: SPIs and their shortcuts ------------------------------------------------------------ */

struct spi *ipsec_spi_find_in(
	const struct spinat_binder *b, const struct group *g, rte_be32_t spi, uint8_t proto);
struct spi *ipsec_spi_find_out(
	const struct spinat_binder *b, const struct member *m, rte_be32_t spi, uint8_t proto);
struct spi *ipsec_spi_add_in(struct spinat_binder *b, uint64_t now_ms, struct group *g,
	const struct spinat_ipsec_pkt *p);
struct spi *ipsec_spi_add_out(struct spinat_binder *b, uint64_t now_ms, struct member *m,
	const struct spinat_ipsec_pkt *p);
void ipsec_spi_free(struct spinat_binder *b, struct spi *s);
/** Gives an inbound SPI its owner (or takes it: NULL). False: the owner has too many. */
bool ipsec_spi_own(struct spinat_binder *b, uint64_t now_ms, struct spi *s, struct member *m);
/** An outbound SPI goes over to another client of the group, which does not have it yet. */
void ipsec_spi_resend(struct spinat_binder *b, struct spi *s, struct member *to);
/** A settled binding: to its owner, or both. */
void ipsec_spi_to_owners(const struct spi *s, struct spinat_ipsec_decision *d);
/** Two clients have chosen the same SPI: both get what comes on it. */
void ipsec_spi_share(struct spi *s, struct member *second);
/** One packet may be anyone's: the client keeps its credit until the binding is confirmed. */
void ipsec_spi_doubt(struct spi *s);
/** Ends the doubt; returns whether there was any. */
bool ipsec_spi_confirm(struct spi *s);
/** The second client is none any more. */
void ipsec_spi_unshare(struct spi *s);
/** An operator has decided that its owner has it alone. */
void ipsec_spi_ordered(struct spi *s);
/** The only client that can have sent a quoted packet, or NULL. */
const struct member *ipsec_spi_sender(
	const struct spinat_binder *b, const struct spinat_ipsec_pkt *p);
void ipsec_spi_seen(struct spi *s, uint64_t now_ms, const struct spinat_ipsec_pkt *p);
void ipsec_spi_install(struct spinat_binder *b, struct spi *s);
void ipsec_spi_uninstall(struct spinat_binder *b, struct spi *s);
/** Takes the shortcuts of what a member sends out, so that the binder sees it again. */
void ipsec_member_watch(struct spinat_binder *b, struct member *m, uint64_t now_ms);
/** The same for what it receives: a rekey is under way. */
void ipsec_member_watch_in(struct spinat_binder *b, struct member *m);
uint64_t ipsec_spi_last_used(const struct spinat_binder *b, const struct spi *s);
uint32_t ipsec_spi_last_seq(const struct spinat_binder *b, const struct spi *s);

/* --- contest.c: who gets an inbound SPI that is not settled ------------------------------------------ */

/** An unknown SPI arrived for a group with more than one live member. */
void ipsec_contest_open(struct spinat_binder *b, const struct spinat_conf *conf, uint64_t now_ms,
	struct group *g, const struct spinat_ipsec_pkt *p, struct spinat_ipsec_decision *d);
/** A contest for an SPI that has none, without candidates. NULL: there is no room. */
struct contest *ipsec_contest_new(struct spinat_binder *b, uint64_t now_ms, struct spi *s);
/** A packet of an SPI under contest. */
void ipsec_contest_inbound(struct spinat_binder *b, const struct spinat_conf *conf, uint64_t now_ms,
	struct spi *s, const struct spinat_ipsec_pkt *p, struct spinat_ipsec_decision *d);
/** The member can not be the owner any more (NAT-T, gone). */
void ipsec_contest_forget(struct spinat_binder *b, struct member *m);
void ipsec_contest_free(struct spinat_binder *b, struct contest *c);
/** How many of the best must get a packet so that this share of the belief at most goes without. */
unsigned int ipsec_contest_receivers(const struct contest *c, double miss);
/** Has it an owner, or a candidate that leads by so much that it gets what nobody else may have? */
bool ipsec_contest_clear(const struct contest *c);
/** The share that may go without it in the end. */
double ipsec_contest_miss(const struct contest *c);
/** No evidence decides: whoever listens is told, once an SPI. */
void ipsec_contest_tell(const struct spinat_binder *b, const struct contest *c);
/** Drops who can not own it any more, sorts the rest, settles where the evidence is enough. */
void ipsec_contest_review(struct spinat_binder *b, uint64_t now_ms, struct contest *c);

/* --- candidates.c: who may own an SPI ---------------------------------------------------------------- */

/** A member may own it as well. */
void ipsec_contest_add(struct spinat_binder *b, uint64_t now_ms, struct contest *c,
	struct member *m, double prior_db);
/** Who may own an SPI that has just come: with a credit, if it is fresh; else any live one. */
void ipsec_contest_gather(struct spinat_binder *b, uint64_t now_ms, struct contest *c);
/** A client is seen to have SAs: any SPI that is older than what is known may be its own. */
void ipsec_contest_join(struct spinat_binder *b, uint64_t now_ms, struct member *m);
/** Those for whom there was no room come in where candidates have been ruled out. */
void ipsec_contest_widen(struct spinat_binder *b, uint64_t now_ms, struct contest *c);

/* --- room.c: what unsettled SPIs may take -------------------------------------------------------------- */

/** Takes the copies from what a packet, an SPI, a gateway and the box may cost, if all are left. */
bool ipsec_take_copies(
	struct spinat_binder *b, const struct contest *c, uint64_t now_ms, unsigned int n);
/** Room for one more in the group. What comes by another path than the gateway's own packets gets
 * none that is scarce. */
bool ipsec_contest_room(struct spinat_binder *b, struct group *g, uint64_t now_ms,
	const struct spinat_ipsec_pkt *p);
/** There is no room, but clients that expect their first packet just now: true, and they get it. Its
 * SPI gets room when it comes again. */
bool ipsec_expected(struct spinat_binder *b, uint64_t now_ms, struct group *g,
	const struct spinat_ipsec_pkt *p, struct spinat_ipsec_decision *d);

/* --- hold.c: packets that may have missed their owner ------------------------------------------------ */

#define MISS_NOW 1e-1 /* share of the belief that may have to wait for a packet */

/** Keeps the packet in hand. @param given whether somebody gets it at once (whose got is to be set)
 * @return its number */
uint32_t ipsec_hold(struct spinat_binder *b, uint64_t now_ms, struct contest *c, bool given);
/** The belief has changed: who may be the owner now gets what was kept. */
void ipsec_hold_review(struct spinat_binder *b, uint64_t now_ms, struct contest *c);
/** The contest ends. */
void ipsec_hold_forget(struct spinat_binder *b, struct contest *c);
/** Ends what has been kept long enough. */
void ipsec_hold_expire(struct spinat_binder *b, uint64_t now_ms);

/** Begins every call: the configuration to go by, and when the first was. */
void ipsec_called(struct spinat_binder *b, const struct spinat_conf *conf, uint64_t now_ms);
/** Is it the sequence number of a new SA? */
bool ipsec_is_fresh(const struct spinat_binder *b, uint64_t now_ms, uint32_t seq);
/** Was the binder made a short while ago? Then most clients are still unknown to it. */
bool ipsec_is_starting(const struct spinat_binder *b, uint64_t now_ms);

/* --- match.c: who owns what, given the evidence ------------------------------------------------------ */

/** Ten times the decimal logarithm, and back. */
double ipsec_db(double ratio);
double ipsec_odds(double db);
/** What an SPI claims of a member's credits changes. */
void ipsec_claim_change(struct member *m, double from, double to);
/** What is left of a candidate's credits beside what other SPIs claim of them, 0 to 1. */
double ipsec_match_vacancy(const struct candidate *x);
/** Drops who can not own it any more, weighs the rest, best first. */
void ipsec_match_rank(struct contest *c);
/** The credit of a candidate that had spent it for this SPI is open again. */
void ipsec_match_charge(struct contest *c, struct member *m);
/** Sum of the weights from one place on. */
double ipsec_match_rivals(const struct contest *c, unsigned int from);
void ipsec_match_remove(struct contest *c, unsigned int i);

/* --- inquiry.c: clients that hear nothing ------------------------------------------------------------ */

/** Puts the group's bindings in doubt where the member sends and nothing comes for it. */
void ipsec_inquire(struct spinat_binder *b, uint64_t now_ms, struct member *m);
/** Puts a settled binding in doubt whose numbers have gone back, if that may be the SA of another
 * client with the same SPI: who expects one gets its packets too. @param seq that is back */
void ipsec_inquire_same(struct spinat_binder *b, uint64_t now_ms, struct spi *s, uint32_t seq);

/* --- evidence.c: correlation ------------------------------------------------------------------------- */

/** Reviews whether the SPI has taken over from an older one of the candidates. */
void ipsec_evidence_handover(struct contest *c, uint64_t now_ms);
/** A member sent ESP, so many bytes. */
void ipsec_evidence_outbound(
	struct spinat_binder *b, uint64_t now_ms, const struct spi *so, uint32_t len, bool is_new);
/** A packet of a contested SPI arrived, so many bytes, before it is delivered. */
void ipsec_evidence_inbound(struct contest *c, uint64_t now_ms, uint32_t len);
/** The candidate gets a copy. @param onset of a packet that says something by its time */
void ipsec_evidence_copy(struct candidate *c, uint64_t now_ms, bool onset);
/** How likely what came now answers what went out so long ago, per millisecond. */
double ipsec_evidence_reply_density(const struct group *g, uint64_t took_ms);
/** A request was answered after so long. */
void ipsec_evidence_round_trip(struct group *g, uint64_t took_ms);
/** An SPI's first packet came so long after the pair's last outbound one. */
void ipsec_evidence_delay(struct group *g, uint64_t gap_ms);

/* --- ike_track.c ---------------------------------------------------------------------------------------- */

void ipsec_ike_free(struct spinat_binder *b, struct ike_sa *sa);
/** NULL: not known. */
struct ike_sa *ipsec_ike_find(const struct spinat_binder *b, const struct ike_key *key);
/** The IKE SA of a message that a member has sent, found or made: its own, unless another one has the
 * same cookie. NULL: there is no room, and the member is released. */
struct ike_sa *ipsec_ike_of_sender(
	struct spinat_binder *b, uint64_t now_ms, struct member *m, const struct spinat_ike_hdr *h);
/** Follows that message, which has gone this way. */
void ipsec_ike_follow(struct spinat_binder *b, uint64_t now_ms, struct ike_sa *sa,
	const struct member *m, const struct spinat_ike_hdr *h, enum ike_way way);
/** Follows a message of an IKE SA that has a client. */
void ipsec_ike_track(struct spinat_binder *b, struct ike_sa *sa, uint64_t now_ms,
	const struct spinat_ike_hdr *h, enum spinat_dir dir);
/** The IKE SA of a member that had one before a restart; a new one has no packets yet. It is another
 * member's where that has the same cookie. NULL: tables are full. */
struct ike_sa *ipsec_ike_restore(struct spinat_binder *b, uint64_t now_ms, struct member *m,
	uint64_t init_spi, uint8_t major);
/** Nothing is offered to the member any more: it goes. */
void ipsec_ike_forget(const struct member *m);
/** Who sent a quoted IKE message, or NULL. */
const struct member *ipsec_ike_sender(
	const struct spinat_binder *b, const struct spinat_ipsec_pkt *p, uint64_t init_spi);

#endif
