/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 the spinat authors
 */
#ifndef SPINAT_DATAPATH_ENGINE_H
#define SPINAT_DATAPATH_ENGINE_H

#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>

#include <rte_mempool.h>
#include <rte_rcu_qsbr.h>
#include <rte_ring.h>

#include "config/conf.h"
#include "ipsec/binder.h"
#include "ipsec/ike_port.h"
#include "nat/nat.h"
#include "net/fib.h"
#include "net/port.h"
#include "packet/drop.h"
#include "packet/frag.h"
#include "packet/plain.h"

/*
 * The engine: N workers, each with its own state, and what they share. The control lcore makes it,
 * swaps its snapshot and reads its counters; all else is the workers'.
 */

#define SPINAT_BURST 64

/** Where the engine's clock starts: what is restored at start may be older than the process, up to
 * this (more than the longest timeout), without a time before zero. */
#define SPINAT_CLOCK_START_MS (UINT64_C(30) * 86400 * 1000)

/** The control lcore as a reader of the workers' tables (rte_rcu_qsbr): online only while it reads. */
#define SPINAT_READER_CONTROL SPINAT_MAX_WORKERS

/** One configuration as the workers see it: swapped whole, freed after an RCU grace period. */
struct spinat_snapshot {
	struct spinat_conf *conf;
	struct spinat_fib *fib;
	/* interface of a device and VLAN identifier; SPINAT_NO_IFACE where there is none */
	uint8_t iface[SPINAT_MAX_DEVICES][4096];
};
#define SPINAT_NO_IFACE UINT8_MAX

struct spinat_iface_stats {
	uint64_t rx_packets, rx_bytes, tx_packets, tx_bytes;
};

/** Written by one worker, read by anyone (relaxed: a reader may be a packet behind). */
struct spinat_worker_stats {
	uint64_t drops[SPINAT_DROP_COUNT];
	struct spinat_iface_stats ifaces[SPINAT_MAX_IFACES];
	uint64_t translated; /* packets sent with an address changed */
	uint64_t routed; /* packets sent unchanged but for the TTL */
	uint64_t handed_off; /* packets given to the owner of their state */
	uint64_t slow; /* packets that no flow was there for */
	uint64_t copies; /* extra copies of inbound ESP to further candidates, late ones too */
	uint64_t copies_late; /* of packets that were kept for a moment */
	uint64_t delayed; /* such packets that nobody got before their owner did */
	uint64_t kept; /* such packets now */
	uint64_t icmp_sent; /* errors and echo replies of the box */
	uint64_t fragmented; /* packets cut to the outgoing MTU */
	uint64_t
		tcp_disbelieved; /* RST and FIN out of sequence: sent on, but nothing ended by them */
	uint64_t mss_clamped; /* SYNs whose MSS was lowered */
	uint64_t notes_lost; /* to other workers, for want of room */
	uint64_t events_lost; /* the same to the control lcore: no log line */
	uint64_t loops, idle_loops;
};

/** Why a packet is in a ring; in the mbuf's private area. */
enum spinat_why {
	SPINAT_WHY_RX, /* to a worker: treat as received from the wire */
	SPINAT_WHY_MAKE, /* to a worker: make the flow of this first fragment, give it back */
	SPINAT_WHY_RETRY, /* to a worker: a first fragment whose flow was made elsewhere */
	SPINAT_WHY_SEND, /* to a worker: whole frame, send it on m->port */
	SPINAT_WHY_IKE_SESSION, /* to a worker: no packet, a note for its binder */
	SPINAT_WHY_ORDER, /* to a worker: no packet, a struct spinat_order_slip */
	SPINAT_WHY_IKE_PORT, /* to a worker: no packet, a note about a gateway that it owns */
	SPINAT_WHY_LEASE, /* to a worker: no packet, a note that an outside address is in use */
	SPINAT_WHY_PROPOSED, /* to a worker: may its host have this outside address? give it back */
	SPINAT_WHY_GIVEN, /* to a worker: IPsec from inside, its host's outside address known */
	SPINAT_WHY_ARP, /* to control: ARP frame */
	SPINAT_WHY_RESOLVE, /* to control: IPv4 packet whose next hop has no MAC address */
};

struct spinat_mbuf_priv {
	uint8_t why; /* enum spinat_why */
	uint8_t iface;
	uint8_t hairpin; /* source already translated: now treat as from outside */
	uint8_t pad;
	uint16_t l3; /* RESOLVE, PROPOSED: offset of the IPv4 header */
	uint16_t realm; /* RESOLVE: realm to route in; PROPOSED: the host's */
	rte_be32_t outside; /* PROPOSED, GIVEN */
};

/** What a worker has noticed and the control lcore shall log. */
enum spinat_event_type {
	SPINAT_EVENT_AH_REJECTED = 1,
	SPINAT_EVENT_SPI_AMBIGUOUS,
	SPINAT_EVENT_IKE_PORT, /* a gateway gets IKE from port 500 from now on */
	SPINAT_EVENT_EXHAUSTED, /* a client got no state: its limits or a table are full */
};
struct spinat_event {
	uint32_t type;
	union {
		struct {
			rte_be32_t client, remote;
			uint16_t realm;
		} ah_rejected;
		struct {
			rte_be32_t client;
			uint16_t realm;
			uint16_t reason; /* enum spinat_drop */
			uint8_t proto;
		} exhausted;
		struct spinat_ambiguous ambiguous;
		struct {
			rte_be32_t client, gateway;
			uint16_t realm;
		} ike_port;
	};
};

/** An operator's order on its way to the worker that owns the gateway, and back. Whoever makes it
 * keeps it until done is set (release, by the worker). */
struct spinat_order_slip {
	struct spinat_order order;
	enum spinat_order_result result;
	bool done;
};

struct spinat_tx {
	uint16_t n;
	struct rte_mbuf *m[SPINAT_BURST];
};

/** A SYN from outside that was refused and is answered later, see syn_hold.c. */
#define SPINAT_SYNS_HELD 64 /* at once, a power of two */
struct spinat_held_syn {
	uint64_t due_ms;
	struct spinat_key key;
	uint16_t port; /* device it came by, as its mbuf said */
	uint16_t len;
	uint8_t iface;
	uint8_t frame[144]; /* what an error quotes: longest Ethernet, IPv4 and TCP headers */
};
struct spinat_syn_hold {
	uint32_t head, tail;
	struct spinat_held_syn ring[SPINAT_SYNS_HELD];
};

/** Which half of the IPv4 identifications a datagram has its one from. */
enum spinat_ip_ids { SPINAT_IP_ID_WHOLE, SPINAT_IP_ID_FRAGMENTS };

struct spinat_engine;
struct spinat_kept;

struct spinat_worker {
	struct spinat_engine *engine;
	uint16_t id;
	unsigned int lcore;
	uint64_t now_ms; /* of the engine's clock */
	uint32_t now_s;
	uint64_t tick_tsc; /* TSC at now_ms */
	unsigned int sweep_left; /* flows that are still to be looked at in this millisecond */
	uint32_t icmp_tokens; /* errors that may be sent before the next second */
	uint32_t event_tokens; /* the same of events about exhaustion */
	struct rte_ring *in; /* from other workers and the control lcore */
	struct spinat_nat *nat;
	struct spinat_binder *binder;
	struct spinat_ike_ports *ike_ports;
	struct spinat_frag_table *frags;
	const struct spinat_snapshot *snap; /* of this loop */
	uint32_t fib_generation; /* of its forwarding table, when the loop began */
	const struct spinat_table *tables[SPINAT_MAX_WORKERS]; /* of all owners */
	struct spinat_tx tx[SPINAT_MAX_DEVICES];
	struct spinat_worker_stats stats;
	struct spinat_syn_hold syns;
	struct spinat_kept *kept; /* by the binder's number, see late.c */
	uint16_t ip_id_step;
	uint16_t ip_ids[2][256]; /* identifications last given out, see spinat_next_ip_id */
} __rte_cache_aligned;

struct spinat_engine {
	struct spinat_snapshot *snapshot; /* atomic: release by control, acquire by workers */
	/* held by control while it replaces the snapshot, by telemetry while it reads it; no worker
	 * ever takes it */
	pthread_mutex_t control_lock;
	struct rte_rcu_qsbr *qsbr;
	struct rte_mempool *pool;
	struct spinat_pools *pools;
	struct rte_ring *punt; /* mbufs to the control lcore */
	struct rte_ring *events; /* struct spinat_event to the control lcore */
	struct spinat_port ports[SPINAT_MAX_DEVICES];
	uint8_t device_of_port[RTE_MAX_ETHPORTS];
	struct spinat_plain plain[SPINAT_MAX_DEVICES]; /* what to expect from a device */
	uint16_t n_ports, n_workers;
	uint64_t start_tsc, tsc_hz, tsc_per_ms;
	bool stop; /* relaxed atomic */
	struct spinat_worker *workers[SPINAT_MAX_WORKERS];
	uint64_t control_drops[SPINAT_DROP_COUNT]; /* packets that ended on the control lcore */
	uint64_t records_lost; /* that the control lcore had and could not write */
};

/**
 * Makes the engine of a configuration: memory, tables, ports (started), one worker per worker lcore.
 * Control lcore, EAL initialised.
 *
 * @param err one clear sentence on failure
 * @return NULL on failure
 */
struct spinat_engine *spinat_engine_create(struct spinat_conf *conf, struct spinat_conf_error *err);

/** Stops the ports and frees all. The workers have returned. */
void spinat_engine_free(struct spinat_engine *e);

/**
 * Puts a new configuration in force. Waits for every worker to have seen it (a loop or two), then
 * frees the old one. Control lcore.
 *
 * @param conf taken on success; generation is set here
 * @param publish called with the new snapshot before workers see it (neighbours go over), or NULL
 * @return 0, or negative errno with *err: nothing has changed then
 */
int spinat_engine_reconfigure(struct spinat_engine *e, struct spinat_conf *conf,
	void (*publish)(void *ctx, struct spinat_snapshot *snap), void *ctx,
	struct spinat_conf_error *err);

/** Entry point of a worker lcore: polls until engine->stop. @param arg struct spinat_worker */
int spinat_worker_run(void *arg);

/** One turn of a worker: receive, translate, send, age. Returns packets received. Its lcore only. */
unsigned int spinat_worker_poll(struct spinat_worker *w);

/**
 * Hands an order to the worker that owns its gateway. Control lcore.
 *
 * @return 0; -EAGAIN where the worker's ring is full or there is no buffer now
 */
int spinat_engine_order(struct spinat_engine *e, struct spinat_order_slip *slip);

/** Milliseconds of the engine's clock, which starts at SPINAT_CLOCK_START_MS. Any thread. */
uint64_t spinat_engine_now_ms(const struct spinat_engine *e);

static inline struct spinat_mbuf_priv *
spinat_priv(struct rte_mbuf *m)
{
	return rte_mbuf_to_priv(m);
}

#endif
