/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 the spinat authors
 */
#include <inttypes.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <rte_cycles.h>

#include "control.h"
#include "events.h"
#include "log.h"
#include "orders.h"
#include "records.h"
#include "net/neigh.h"

#define TURN_US 200 /* between looks at the ring when it was empty */
#define TICK_MS 100 /* of ARP */
#define REQUEST_WAIT_S 30

/* What another thread may ask the control lcore for. */
struct request {
	bool wanted;
	uint64_t ended; /* how many have been answered */
	char answer[sizeof(struct spinat_conf_error) + 16];
};

struct spinat_control {
	struct spinat_engine *engine;
	struct spinat_neigh *neigh;
	struct spinat_state *state;
	struct spinat_records *records;
	bool state_failed; /* and that has been logged */
	struct spinat_events *events;
	struct spinat_orders *orders;
	uint64_t next_tick_ms;
	uint16_t next_worker; /* which worker sends the next frame of the control lcore */
	pthread_mutex_t lock;
	pthread_cond_t done;
	struct request reload, checkpoint;
};

static volatile sig_atomic_t stop_signal, hup_signal;

static void
on_signal(int sig)
{
	if (sig == SIGHUP)
		hup_signal = 1;
	else
		stop_signal = sig;
}

void
spinat_control_signals(void)
{
	struct sigaction sa = {.sa_handler = on_signal}, ignore = {.sa_handler = SIG_IGN};

	sigaction(SIGTERM, &sa, NULL);
	sigaction(SIGINT, &sa, NULL);
	sigaction(SIGHUP, &sa, NULL);
	/* records may go to a pipe whose reader ends, which is no reason to end as well */
	sigaction(SIGPIPE, &ignore, NULL);
}

/* Workers own the transmit queues: a frame of the control lcore goes out through one of them. */
static void
send_frame(void *ctx, uint16_t port, struct rte_mbuf *m)
{
	struct spinat_control *c = ctx;
	struct spinat_engine *e = c->engine;
	struct spinat_mbuf_priv *priv = spinat_priv(m);

	m->port = e->ports[port].port_id;
	priv->why = SPINAT_WHY_SEND;
	priv->iface = e->snapshot->iface[port][0];
	if (rte_ring_enqueue(e->workers[c->next_worker]->in, m) != 0) {
		e->control_drops[SPINAT_DROP_HANDOFF_FULL]++;
		rte_pktmbuf_free(m);
	}
	c->next_worker = c->next_worker + 1u < e->n_workers ? c->next_worker + 1 : 0;
}

static void
drop_packet(void *ctx, struct rte_mbuf *m, enum spinat_drop reason)
{
	struct spinat_control *c = ctx;

	c->engine->control_drops[reason]++;
	rte_pktmbuf_free(m);
}

struct spinat_control *
spinat_control_create(struct spinat_engine *e)
{
	struct spinat_control *c = calloc(1, sizeof(*c));
	struct spinat_conf_error err = {.text = ""};
	const struct spinat_neigh_ops ops = {.send = send_frame, .drop = drop_packet, .ctx = c};

	if (c == NULL)
		return NULL;
	c->engine = e;
	pthread_mutex_init(&c->lock, NULL);
	pthread_cond_init(&c->done, NULL);
	c->events = spinat_events_create(e);
	c->orders = spinat_orders_create(e);
	c->neigh =
		spinat_neigh_create(e->snapshot->conf, e->snapshot->fib, e->ports, e->pool, &ops);
	c->state = spinat_state_create(e);
	c->records = spinat_records_create(e, &err);
	if (c->records == NULL && err.text[0] != '\0')
		LOG(ERR, "event=records result=failed error=\"%s\"", err.text);
	if (c->events == NULL || c->orders == NULL || c->neigh == NULL || c->state == NULL ||
		c->records == NULL) {
		spinat_control_free(c);
		return NULL;
	}
	return c;
}

void
spinat_control_free(struct spinat_control *c)
{
	if (c == NULL)
		return;
	spinat_records_free(c->records);
	spinat_state_free(c->state);
	spinat_neigh_free(c->neigh);
	spinat_orders_free(c->orders);
	spinat_events_free(c->events);
	pthread_cond_destroy(&c->done);
	pthread_mutex_destroy(&c->lock);
	free(c);
}

struct spinat_neigh *
spinat_control_neigh(struct spinat_control *c)
{
	return c->neigh;
}

void
spinat_control_order(void *control, const struct spinat_order *order, char *answer, size_t size)
{
	struct spinat_control *c = control;

	spinat_orders_ask(c->orders, order, answer, size);
}

struct spinat_state *
spinat_control_state(struct spinat_control *c)
{
	return c->state;
}

/* Forwarding goes on without a checkpoint, but not without a word. */
static void
check_checkpoint(const struct spinat_conf *conf)
{
	struct spinat_conf_error err;

	if (spinat_state_check(conf, &err) != 0)
		LOG(ERR, "event=checkpoint result=impossible error=\"%s\"", err.text);
}

static void
log_restored(const struct spinat_state_stats *stats)
{
	char text[256] = "";
	size_t len = 0;

	for (unsigned int k = 0; k < SPINAT_STATE_KINDS; k++)
		len += snprintf(text + len, sizeof(text) - len, " %s=%" PRIu64,
			spinat_state_kind_name(k), stats->restored[k]);
	for (unsigned int r = SPINAT_RESTORED + 1; r < SPINAT_RESTORED_COUNT; r++)
		if (stats->skipped[r] > 0)
			len += snprintf(text + len, sizeof(text) - len, " skipped_%s=%" PRIu64,
				spinat_state_skip_name(r), stats->skipped[r]);
	LOG(NOTICE, "event=restore result=ok%s down_ms=%" PRIu64 " took_ms=%" PRIu64, text,
		stats->down_ms, stats->restore_ms);
}

void
spinat_control_restore(struct spinat_control *c)
{
	const struct spinat_state_stats *stats = spinat_state_stats_get(c->state);
	struct spinat_conf_error err;

	check_checkpoint(c->engine->snapshot->conf);
	if (spinat_state_restore(c->state, &err) != 0)
		LOG(ERR, "event=restore result=refused error=\"%s\"", err.text);
	else if (stats->found)
		log_restored(stats);
}

static void
publish(void *ctx, struct spinat_snapshot *snap)
{
	struct spinat_control *c = ctx;

	spinat_neigh_reconfigure(c->neigh, snap->conf, snap->fib);
}

static void
reload(struct spinat_control *c)
{
	const struct spinat_conf *old = c->engine->snapshot->conf;
	struct spinat_conf_error err = {.text = ""};
	struct spinat_conf *conf = spinat_conf_load(old->path, &err);

	if (conf != NULL && spinat_engine_reconfigure(c->engine, conf, publish, c, &err) != 0) {
		spinat_conf_free(conf);
		conf = NULL;
	}
	if (conf == NULL) {
		LOG(ERR, "event=reload result=refused error=\"%s\"", err.text);
		snprintf(c->reload.answer, sizeof(c->reload.answer), "error: %s", err.text);
		return;
	}
	spinat_neigh_announce(c->neigh, spinat_engine_now_ms(c->engine));
	check_checkpoint(conf);
	spinat_records_reopen(c->records);
	LOG(NOTICE, "event=reload result=ok generation=%u", conf->generation);
	snprintf(c->reload.answer, sizeof(c->reload.answer), "ok: generation %u", conf->generation);
}

/* Waits until the control lcore has answered a request. */
static void
ask(struct spinat_control *c, struct request *r, char *answer, size_t size)
{
	struct timespec until;
	uint64_t before;
	int rc = 0;

	clock_gettime(CLOCK_REALTIME, &until);
	until.tv_sec += REQUEST_WAIT_S;
	pthread_mutex_lock(&c->lock);
	before = r->ended;
	r->wanted = true;
	while (r->ended == before && rc == 0)
		rc = pthread_cond_timedwait(&c->done, &c->lock, &until);
	snprintf(answer, size, "%s",
		rc == 0 ? r->answer : "error: the control lcore did not answer in time");
	pthread_mutex_unlock(&c->lock);
}

void
spinat_control_reload(void *control, char *answer, size_t size)
{
	struct spinat_control *c = control;

	ask(c, &c->reload, answer, size);
}

void
spinat_control_checkpoint(void *control, char *answer, size_t size)
{
	struct spinat_control *c = control;

	ask(c, &c->checkpoint, answer, size);
}

/* The answer to a request is complete. The lock is held. */
static void
answered(struct spinat_control *c, struct request *r)
{
	r->ended++;
	pthread_cond_broadcast(&c->done);
}

/* Ends a reload that telemetry or a signal has asked for. */
static void
serve_reload(struct spinat_control *c)
{
	bool wanted = hup_signal;

	hup_signal = 0;
	pthread_mutex_lock(&c->lock);
	wanted |= c->reload.wanted;
	if (wanted) {
		reload(c);
		c->reload.wanted = false;
		answered(c, &c->reload);
	}
	pthread_mutex_unlock(&c->lock);
}

/* The first failure in a row is logged, and the end of them. */
static void
log_checkpoint(struct spinat_control *c)
{
	const struct spinat_state_stats *stats = spinat_state_stats_get(c->state);
	const bool failed = stats->error.text[0] != '\0';

	if (failed && !c->state_failed)
		LOG(ERR, "event=checkpoint result=failed error=\"%s\"", stats->error.text);
	else if (!failed && c->state_failed)
		LOG(NOTICE, "event=checkpoint result=ok failures=%" PRIu64, stats->failures);
	c->state_failed = failed;
}

static void
answer_checkpoint(struct spinat_control *c)
{
	const struct spinat_state_stats *stats = spinat_state_stats_get(c->state);
	struct request *r = &c->checkpoint;

	pthread_mutex_lock(&c->lock);
	if (stats->error.text[0] != '\0')
		snprintf(r->answer, sizeof(r->answer), "error: %s", stats->error.text);
	else
		snprintf(r->answer, sizeof(r->answer), "ok: %" PRIu64 " bytes", stats->bytes);
	answered(c, r);
	pthread_mutex_unlock(&c->lock);
}

/* Begins a checkpoint that telemetry has asked for. */
static void
accept_checkpoint(struct spinat_control *c)
{
	struct request *r = &c->checkpoint;

	pthread_mutex_lock(&c->lock);
	if (r->wanted && c->engine->snapshot->conf->checkpoint.file[0] == '\0') {
		snprintf(
			r->answer, sizeof(r->answer), "error: the configuration has no checkpoint");
		answered(c, r);
	} else if (r->wanted) {
		spinat_state_want(c->state);
	}
	r->wanted = false;
	pthread_mutex_unlock(&c->lock);
}

static void
serve_checkpoint(struct spinat_control *c, uint64_t now_ms)
{
	enum spinat_state_end end;

	accept_checkpoint(c);
	end = spinat_state_turn(c->state, now_ms);
	if (end == SPINAT_STATE_GOES_ON)
		return;
	log_checkpoint(c);
	if (end == SPINAT_STATE_ENDED_WANTED)
		answer_checkpoint(c);
}

void
spinat_control_finish(struct spinat_control *c)
{
	spinat_state_finish(c->state);
	log_checkpoint(c);
}

static unsigned int
serve_packets(struct spinat_control *c, uint64_t now_ms)
{
	struct rte_mbuf *mbufs[SPINAT_BURST];
	unsigned int n =
		rte_ring_sc_dequeue_burst(c->engine->punt, (void **)mbufs, SPINAT_BURST, NULL);

	for (unsigned int i = 0; i < n; i++) {
		const struct spinat_mbuf_priv *priv = spinat_priv(mbufs[i]);

		if (priv->why == SPINAT_WHY_ARP)
			spinat_neigh_input(c->neigh, mbufs[i], priv->iface, now_ms);
		else
			spinat_neigh_resolve(c->neigh, mbufs[i], priv->l3, priv->realm, now_ms);
	}
	return n;
}

void
spinat_control_run(struct spinat_control *c)
{
	spinat_neigh_announce(c->neigh, spinat_engine_now_ms(c->engine));
	while (!stop_signal) {
		const uint64_t now_ms = spinat_engine_now_ms(c->engine);

		if (now_ms >= c->next_tick_ms) {
			spinat_neigh_tick(c->neigh, now_ms);
			c->next_tick_ms = now_ms + TICK_MS;
		}
		spinat_events_serve(c->events, c->records);
		spinat_orders_serve(c->orders);
		serve_reload(c);
		serve_checkpoint(c, now_ms);
		if (serve_packets(c, now_ms) + spinat_records_serve(c->records) == 0)
			rte_delay_us_sleep(TURN_US);
	}
	LOG(NOTICE, "event=stopping signal=%d", (int)stop_signal);
}
