/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 the spinat authors
 */
#include <rte_cycles.h>
#include <rte_ethdev.h>
#include <rte_pause.h>

#include "datapath/path.h"
#include "datapath/stage.h"

/* Flows and binder entries looked at in a millisecond: a table of a million is passed in two
 * seconds. A turn looks at no more flows than are ended in a few microseconds, should all be old. */
#define SWEEP_BUDGET 512
#define SWEEP_SLICE 32
#define BINDER_BUDGET 64
/* What the control lcore is told of clients that get no state, beyond which only counters move. */
#define EVENTS_A_SECOND 64
/* Turns without a packet before a worker that may sleep does. */
#define IDLE_TURNS 256
#define IDLE_SLEEP_US 20

static void
every_millisecond(struct spinat_worker *w)
{
	const struct spinat_conf *conf = w->snap->conf;

	w->sweep_left = SWEEP_BUDGET;
	spinat_binder_sweep(w->binder, conf, w->now_ms, BINDER_BUDGET);
	spinat_fragments_expire(w);
	spinat_syns_expire(w);
}

/* What the millisecond's work is spread over turns for. */
static inline void
every_turn(struct spinat_worker *w)
{
	if (likely(w->sweep_left == 0))
		return;
	spinat_nat_sweep(w->nat, w->snap->conf, w->now_s, SWEEP_SLICE);
	w->sweep_left -= SWEEP_SLICE;
}

static inline void
tick(struct spinat_worker *w)
{
	const uint64_t per_ms = w->engine->tsc_per_ms;
	const uint64_t elapsed = rte_rdtsc() - w->tick_tsc;
	uint32_t now_s;

	if (likely(elapsed < per_ms))
		return;
	w->now_ms += elapsed / per_ms; /* once a millisecond */
	w->tick_tsc += elapsed / per_ms * per_ms;
	now_s = w->now_ms / 1000;
	if (now_s != w->now_s) {
		w->now_s = now_s;
		w->icmp_tokens = w->snap->conf->limits.icmp_rate;
		w->event_tokens = EVENTS_A_SECOND;
	}
	every_millisecond(w);
}

/* What comes by the ring and is not for the stages that packets go through. */
static bool
take_note(struct spinat_worker *w, struct rte_mbuf *m)
{
	const struct spinat_mbuf_priv *priv = spinat_priv(m);

	switch (priv->why) {
	case SPINAT_WHY_SEND:
		spinat_send(w, w->engine->device_of_port[m->port], priv->iface, m);
		return true;
	case SPINAT_WHY_IKE_SESSION:
		spinat_ike_session_told(w, m);
		return true;
	case SPINAT_WHY_ORDER:
		spinat_order_told(w, m);
		return true;
	case SPINAT_WHY_IKE_PORT:
		spinat_ike_port_told(w, m);
		return true;
	case SPINAT_WHY_LEASE:
		spinat_outside_renewed(w, m);
		return true;
	case SPINAT_WHY_PROPOSED:
		spinat_outside_proposed(w, m);
		return true;
	default:
		return false;
	}
}

/* What other lcores have put into this worker's ring. */
static unsigned int
receive_ring(struct spinat_worker *w)
{
	struct rte_mbuf *mbufs[SPINAT_BURST], *packets[SPINAT_BURST];
	unsigned int n = rte_ring_sc_dequeue_burst(w->in, (void **)mbufs, SPINAT_BURST, NULL);
	unsigned int n_packets = 0;

	for (unsigned int i = 0; i < n; i++)
		if (!take_note(w, mbufs[i]))
			packets[n_packets++] = mbufs[i];
	if (n_packets > 0)
		spinat_burst_handed(w, packets, n_packets);
	return n;
}

unsigned int
spinat_worker_poll(struct spinat_worker *w)
{
	struct rte_mbuf *mbufs[SPINAT_BURST];
	unsigned int received = 0;

	w->snap = __atomic_load_n(&w->engine->snapshot, __ATOMIC_ACQUIRE);
	w->fib_generation = __atomic_load_n(&w->snap->fib->generation, __ATOMIC_ACQUIRE);
	tick(w);
	every_turn(w);
	for (uint16_t p = 0; p < w->engine->n_ports; p++) {
		uint16_t n;

		SPINAT_STAGE_END(SPINAT_STAGE_REST);
		n = rte_eth_rx_burst(w->engine->ports[p].port_id, w->id, mbufs, SPINAT_BURST);
		SPINAT_STAGE_END(SPINAT_STAGE_RX);
		if (n == 0)
			continue;
		spinat_burst_received(w, p, mbufs, n);
		received += n;
	}
	received += receive_ring(w);
	SPINAT_STAGE_END(SPINAT_STAGE_REST);
	spinat_flush(w);
	rte_rcu_qsbr_quiescent(w->engine->qsbr, w->id);
	SPINAT_STAGE_END(SPINAT_STAGE_REST);
	return received;
}

int
spinat_worker_run(void *arg)
{
	struct spinat_worker *w = arg;
	unsigned int idle = 0;

	w->tick_tsc = w->engine->start_tsc;
	rte_rcu_qsbr_thread_online(w->engine->qsbr, w->id);
	while (!__atomic_load_n(&w->engine->stop, __ATOMIC_RELAXED)) {
		w->stats.loops++;
		if (spinat_worker_poll(w) > 0) {
			idle = 0;
			continue;
		}
		w->stats.idle_loops++;
		if (++idle >= IDLE_TURNS && w->snap->conf->idle_sleep)
			rte_delay_us_sleep(IDLE_SLEEP_US);
	}
	rte_rcu_qsbr_thread_offline(w->engine->qsbr, w->id);
	return 0;
}
