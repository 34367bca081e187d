/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 the spinat authors
 */
#ifndef SPINAT_SIM_WORLD_H
#define SPINAT_SIM_WORLD_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <rte_hash.h>

#include "box.h"
#include "queue.h"
#include "rng.h"

/*
 * The world around the translator: clients, each with a gateway behind a wide area network, their
 * IKE and what goes through their tunnels. Both ends of a tunnel live in one struct; what one end
 * knows of the other still has to travel. Times are microseconds since the world began; SPIs are in
 * host order here and in network order where a box is asked.
 *
 *   client    an inside host, with its gateway's side of it
 *   ike       an IKE SA
 *   exchange  one exchange of it: messages to and fro, repeated where lost
 *   tunnel    what one child SA and its successors carry
 *   sa        one pair of child SAs
 */

enum sim_side { SIM_CLIENT, SIM_GATEWAY };

enum sim_app {
	APP_ASK, /* the client asks, the gateway's side answers */
	APP_BULK, /* downloads and uploads, each over a connection of its own */
	APP_ASKED, /* the gateway's side asks */
	APP_FROM_GATEWAY, /* one way */
	APP_FROM_CLIENT, /* one way */
	APP_SILENT, /* nothing for a long time, then one of the others */
	APP_NONE, /* what the scenario sends */
	APP_KINDS
};

/** What the world is like. Shares and chances are 0 to 1. */
struct sim_params {
	uint32_t clients;
	double window_s; /* clients start within it, evenly */
	double seconds; /* how long it goes on after the window */
	double rekey_s; /* a child SA is replaced after about so long, an IKE SA after twice that */
	uint64_t seed;
	uint32_t gateways, outside; /* addresses */
	uint8_t proto; /* IPPROTO_ESP or IPPROTO_AH */
	bool sequential_spis; /* each client counts up from a low number, as some stacks do */

	/* wide area network */
	double rtt_lo_ms, rtt_hi_ms; /* one round trip for the whole run */
	double jitter; /* mean, share of the round trip; exponential */
	double loss; /* each way */
	double reorder; /* chance that a packet may overtake */

	/* IKE */
	double v1; /* share of clients with IKEv1 */
	double aggressive, config; /* IKEv1: aggressive mode; XAUTH and mode-config */
	double eap, cookie; /* IKEv2: EAP rounds; IKE_SA_INIT twice */
	double fragments; /* large messages in more than one datagram */
	double more_tunnels; /* clients with two or three child SAs */
	double rekey_by_gateway;
	double client_ms_lo, client_ms_hi; /* time to process an IKE message */
	double gateway_ms_lo, gateway_ms_hi;
	double slow; /* chance that processing takes slow_ms more, mean */
	double slow_ms;
	double liveness_lo_s, liveness_hi_s; /* between INFORMATIONAL exchanges */
	double overtake_ms; /* IKEv1: ESP leaves so long before Quick Mode's third message */

	/* applications */
	double apps[APP_KINDS]; /* shares */
	double transfer_by_gateway; /* transfers that its side opens */
	double at_once; /* chance that the first packet wants out when the tunnel is up */
	double later_s; /* else after so long, mean */
	double silence_s; /* APP_SILENT: mean */
	double varied; /* share of one-way streams whose packets differ in size */
	uint32_t hellos; /* round trips before the first question: TCP, TLS */
	double chatter_s; /* every host asks for something else so often: names, time; 0: never */
	double think_lo_s, think_hi_s; /* between questions; each tunnel has its own mean */
	double calm_s; /* no rekey begins so long before the end */
	double held_ms; /* inbound packets in fragments wait for the first one, at most */
};

struct sim;
struct client;
struct tunnel;

struct sa {
	struct client *client;
	struct tunnel *tunnel;
	struct binding *binding; /* of si */
	uint32_t si, so;
	uint32_t seq[2]; /* of the last packet that a side has sent */
	bool can_receive[2]; /* a side has it installed */
};

/** What an application says in a packet. */
struct app_message {
	enum app_what {
		APP_CHAT,
		APP_CHAT_BACK,
		APP_HELLO,
		APP_HELLO_BACK,
		APP_QUESTION,
		APP_ANSWER,
		APP_ACK,
		APP_DATA
	} what;
	uint32_t id;
	uint32_t at, of; /* this packet of so many */
};

struct app {
	enum sim_app kind;
	enum sim_side asks; /* or sends */
	enum sim_side opens; /* APP_BULK: who asks for a transfer */
	bool started, chats;
	uint32_t hellos; /* round trips that opened the connection so far */
	bool open; /* a transfer is under way */
	uint32_t step; /* APP_BULK: 0: connect, 1: request */
	uint32_t id; /* of the last question */
	uint32_t tries; /* of the question or hello under way */
	uint32_t answered; /* id of the last one that was answered whole */
	uint32_t got; /* packets of the answer, or data */
	double think_s, gap_us;
	uint32_t len; /* of a question, and of each packet of a stream */
	bool varies; /* but this stream's packets differ */
	double service_us; /* to the answer; negative: drawn each time */
	uint32_t unacked; /* packets of a transfer since the last acknowledgement */
	uint64_t until_us; /* end of a bulk transfer */
};

struct tunnel {
	struct client *client;
	struct sa *tx[2]; /* what a side sends on; NULL: nothing is up */
	struct sa *next[2]; /* what it will send on when it has heard on it, or lost the other */
	struct app app;
	bool rekeying;
};

struct ike {
	struct client *client;
	uint64_t init_spi, resp_spi;
	uint8_t major;
	enum sim_side initiator;
	uint32_t next_id[2];
};

#define TUNNELS_MAX 3

struct client {
	uint32_t index;
	struct spinat_client id;
	rte_be32_t outside, gateway;
	struct rng rng; /* decisions */
	struct rng net; /* what happens to its packets */
	uint64_t lan_us;
	uint64_t retry_us; /* first retransmission of IKE */
	uint64_t last_at_us[2]; /* arrival of the last packet at a side */
	uint32_t next_spi;
	uint8_t major;
	bool aggressive, config, cookie;
	uint8_t eap_rounds;
	bool slow_switch; /* who answers a rekey sends on the old SA for a while */
	bool floats; /* to UDP port 4500 after the first exchange */
	bool natt; /* it has */
	bool natt_esp; /* there was ESP in UDP, */
	uint64_t copies_before_natt; /* and so many copies before */
	uint32_t fixed_spi; /* not 0: its first inbound SPI */
	uint32_t stage; /* of what leads to the first child SA */
	struct ike *ike; /* what new exchanges use; NULL: none is up */
	uint32_t n_tunnels;
	struct tunnel tunnels[TUNNELS_MAX];
	uint64_t started_us, up_us; /* up_us 0: never */
	bool seen; /* it has sent something since the box was started */
};

enum packet_kind { PACKET_ESP, PACKET_IKE };

struct packet {
	struct packet *next_free;
	struct client *client;
	enum packet_kind kind;
	struct sa *sa;
	uint32_t seq;
	uint32_t len; /* of the IPv4 packet */
	struct app_message message;
	struct exchange *exchange;
	uint32_t at; /* message of the exchange */
	bool part; /* not the last datagram of the message: nobody waits for it */
	struct spinat_ike_hdr hdr;
};

/** What became of one inbound SPI. */
struct binding {
	struct sa *sa; /* the first that had it */
	bool shared; /* another client has chosen the same */
	bool retired; /* the client has deleted it */
	uint32_t packets, lost, copies;
	uint64_t first_us, last_us;
	uint64_t right_us; /* first settled to its owner; 0: never */
	uint64_t wrong_since_us; /* 0: not wrong now */
	uint64_t wrong_longest_us;
	bool wrong_ever;
	uint8_t state; /* enum spinat_binding_state of the last look */
	bool right; /* of the last look */
	rte_be32_t bound_to; /* of the last look; 0: nobody */
	uint32_t look;
	const char *why;
};

#define SCORE_SECONDS 4096

struct score {
	struct rte_hash *index;
	struct binding *bindings;
	uint32_t n_bindings, max_bindings;
	uint32_t look;
	uint64_t changes, looked_us;
	uint64_t late; /* inbound packets that their client got only after a while */
	uint64_t inbound, lost, lost_unseen, early, copies, outbound, outbound_dropped;
	unsigned int ike_most; /* receivers of one IKE message */
	uint64_t ike_in, ike_lost, ike_wrong, ike_out_dropped;
	uint64_t lost_why[SPINAT_DROP_COUNT]; /* by enum spinat_drop; NONE: somebody else got it */
	uint32_t inbound_by_s[SCORE_SECONDS], copies_by_s[SCORE_SECONDS];
	uint32_t peak_bindings;
	uint64_t ike_failed;
};

/** A packet that the box wants kept. */
struct sim_held {
	struct sa *sa; /* NULL: none */
	struct packet *p; /* NULL: its client has got it, or had no SA yet */
	bool given; /* somebody has got it */
};

struct sim {
	struct sim_params p;
	struct spinat_conf *conf;
	const struct box_ops *box_ops;
	void *box;
	struct queue queue;
	struct rng rng;
	uint64_t begin_us, now_us, end_us;
	double rtt_us;
	struct client *clients;
	struct packet *free_packets;
	struct score score;
	struct sim_held held[SPINAT_HELD_MAX + 1]; /* by number */
	void *garbage; /* everything allocated, in a chain */
};

/* --- world.c -------------------------------------------------------------------------------------- */

/** Zeroed memory, or the end of the program. */
void *sim_alloc(size_t size);
void *sim_alloc_again(void *p, size_t size);
/** The same, freed with the world. */
void *sim_own(struct sim *s, size_t size);
/** The program's own fault, or the box's: says so and ends it. */
_Noreturn void sim_fail(const char *text);
struct sim_params sim_defaults(void);
/** A world with its clients, nobody started; conf and box_ops must be set. Ends with the program
 * where there is no memory. */
void sim_create(struct sim *s);
void sim_destroy(struct sim *s);
void sim_at(struct sim *s, uint64_t at_us, sim_action action, void *object, uint64_t arg);
/** action after a delay. */
void sim_in(struct sim *s, double delay_us, sim_action action, void *object, uint64_t arg);
void sim_run(struct sim *s, uint64_t until_us);
/** All clients start within the window, and then it goes on. */
void sim_run_crowd(struct sim *s);
/** The box is killed and started again, with a checkpoint or without what it knew. */
void sim_restart_box(struct sim *s, bool checkpoint);
/** Starts the IKE of a client at a time. */
void sim_start_client(struct sim *s, struct client *c, uint64_t at_us);

static inline uint64_t
sim_ms(const struct sim *s)
{
	return s->now_us / 1000;
}

/* --- net.c: what happens to a packet between its ends ---------------------------------------------- */

struct packet *packet_new(struct sim *s, struct client *c, enum packet_kind kind);
/** Sends and consumes. */
void net_send(struct sim *s, struct packet *p, enum sim_side from);
/** How a box reaches the packets that are kept for it. */
struct box_held_ops net_held_ops(struct sim *s);
/** The box has gone: who has not got them by now never will. */
void net_forget_all(struct sim *s);
/** What a box is told of a client's packet; spi and seq as given. */
struct spinat_ipsec_pkt net_describe(const struct sim *s, const struct client *c,
	enum sim_side from, uint32_t spi, uint32_t seq);

/* --- ike.c ------------------------------------------------------------------------------------------ */

/** One side's part of a negotiation is over: the other side may still wait. */
typedef void (*exchange_step)(struct sim *s, struct exchange *x, uint32_t at);

struct exchange {
	struct ike *ike;
	uint8_t type; /* enum spinat_ike_exchange */
	uint32_t messages;
	uint32_t id;
	enum sim_side by;
	uint32_t len[6];
	uint32_t parts[6]; /* datagrams */
	int sent, received; /* highest message */
	exchange_step step; /* its receiver has processed message at */
	void (*failed)(struct sim *s, struct exchange *x); /* nobody answers; may be NULL */
	struct sa *sa; /* that it makes, or deletes */
	struct sa *old; /* that sa replaces */
};

void ike_receive(struct sim *s, struct packet *p);
/** Puts an exchange together and sends its first message. */
struct exchange *exchange_start(struct sim *s, struct ike *ike, enum sim_side by, uint8_t type,
	uint32_t messages, uint32_t id, exchange_step step);
struct ike *ike_new(struct sim *s, struct client *c, enum sim_side initiator);
/** A request's message ID of its own. */
uint32_t ike_next_id(struct sim *s, struct ike *ike, enum sim_side by);

/* --- negotiate.c: what the exchanges are for -------------------------------------------------------- */

/** Begins phase 1, or IKE_SA_INIT, and all that follows it up to the first child SA. */
void negotiate_start(struct sim *s, struct client *c, enum sim_side by);
void negotiate_rekey(struct sim *s, struct tunnel *t, enum sim_side by);
void negotiate_rekey_ike(struct sim *s, struct client *c, enum sim_side by);
void negotiate_liveness(struct sim *s, struct client *c, enum sim_side by);
/** A side has got a packet on an SA. */
void negotiate_heard(struct sa *sa, enum sim_side side);

/* --- app.c ------------------------------------------------------------------------------------------ */

/** A side can send on the tunnel. */
void app_up(struct sim *s, struct tunnel *t, enum sim_side side);
void app_receive(struct sim *s, struct tunnel *t, enum sim_side side, const struct app_message *m);
/** A side asks now; APP_NONE: once. */
void app_ask(struct sim *s, struct tunnel *t, enum sim_side side);

/* --- score.c ---------------------------------------------------------------------------------------- */

void score_create(struct sim *s);
/** Does the client get the packet? */
bool score_receives(const struct spinat_ipsec_decision *d, const struct client *c);
void score_add(struct sim *s, struct sa *sa);
void score_inbound(struct sim *s, const struct packet *p, const struct spinat_ipsec_decision *d);
/** So many clients have got a packet that is not theirs. */
void score_copies(struct sim *s, struct binding *b, uint32_t copies);
/** Its client has not got an inbound packet, and never will. */
void score_missed(struct sim *s, const struct packet *p, enum spinat_drop why);
void score_ike_in(struct sim *s, const struct packet *p, const struct spinat_ipsec_decision *d);
void score_retire(struct sim *s, struct sa *sa);
/** Looks at the box's bindings where something may have changed. */
void score_look(struct sim *s, bool anyway);

#endif
