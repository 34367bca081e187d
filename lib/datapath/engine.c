/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 the spinat authors
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include <rte_cycles.h>
#include <rte_errno.h>
#include <rte_lcore.h>
#include <rte_malloc.h>
#include <rte_mbuf.h>
#include <rte_random.h>

#include "datapath/path.h"
#include "nat/hash.h"
#include "net/neigh.h"

#define RING_SIZE 4096
#define EVENTS 1024
#define MAX_POOL_ADDRS 65536

static int
fail(struct spinat_conf_error *err, const char *what)
{
	snprintf(err->text, sizeof(err->text),
		"not enough memory for %s: lower the limits, or give more with 'memory' or "
		"hugepages",
		what);
	return -ENOMEM;
}

static struct spinat_snapshot *
snapshot_create(struct spinat_engine *e, struct spinat_conf *conf, struct spinat_conf_error *err)
{
	const struct spinat_fib *prev = e->snapshot != NULL ? e->snapshot->fib : NULL;
	struct spinat_snapshot *snap = calloc(1, sizeof(*snap));

	if (snap == NULL) {
		fail(err, "the configuration");
		return NULL;
	}
	snap->conf = conf;
	snap->fib = spinat_fib_create(conf, e->ports, prev, e->qsbr, err);
	if (snap->fib == NULL) {
		free(snap);
		return NULL;
	}
	memset(snap->iface, SPINAT_NO_IFACE, sizeof(snap->iface));
	for (uint16_t i = 0; i < conf->n_ifaces; i++)
		snap->iface[conf->ifaces[i].device][conf->ifaces[i].vlan] = i;
	return snap;
}

static void
snapshot_free(struct spinat_snapshot *snap)
{
	if (snap == NULL)
		return;
	spinat_fib_free(snap->fib);
	spinat_conf_free(snap->conf);
	free(snap);
}

/* Buffers that can be in queues at once, rounded to what a mempool likes (2^n - 1). */
static uint32_t
buffers_wanted(const struct spinat_conf *conf)
{
	uint32_t n = conf->limits.buffers;

	if (n == 0)
		n = conf->workers * (conf->n_devices * 4096u + conf->limits.fragments_held +
					    SPINAT_HELD_MAX + RING_SIZE) +
		    RING_SIZE;
	return rte_align32pow2(n) - 1;
}

static struct rte_mempool *
create_pool(const struct spinat_conf *conf)
{
	uint16_t room = RTE_MBUF_DEFAULT_DATAROOM;

	for (uint16_t i = 0; i < conf->n_ifaces; i++)
		room = RTE_MAX(room, conf->ifaces[i].mtu + SPINAT_L2_MAX + RTE_ETHER_CRC_LEN);
	return rte_pktmbuf_pool_create("spinat", buffers_wanted(conf), 256,
		RTE_ALIGN(sizeof(struct spinat_mbuf_priv), RTE_MBUF_PRIV_ALIGN),
		room + RTE_PKTMBUF_HEADROOM, SOCKET_ID_ANY);
}

static int
create_shared(
	struct spinat_engine *e, const struct spinat_conf *conf, struct spinat_conf_error *err)
{
	const size_t size = rte_rcu_qsbr_get_memsize(SPINAT_MAX_WORKERS + 1);

	e->qsbr = rte_zmalloc("qsbr", size, RTE_CACHE_LINE_SIZE);
	e->pool = create_pool(conf);
	e->pools = spinat_pools_create(MAX_POOL_ADDRS);
	e->punt = rte_ring_create("punt", RING_SIZE, SOCKET_ID_ANY, RING_F_SC_DEQ);
	e->events = rte_ring_create_elem(
		"events", sizeof(struct spinat_event), EVENTS, SOCKET_ID_ANY, RING_F_SC_DEQ);
	if (e->qsbr == NULL || e->pools == NULL || e->punt == NULL || e->events == NULL)
		return fail(err, "the rings");
	if (e->pool == NULL)
		return fail(err, "the packet buffers");
	rte_rcu_qsbr_init(e->qsbr, SPINAT_MAX_WORKERS + 1);
	rte_rcu_qsbr_thread_register(e->qsbr, SPINAT_READER_CONTROL);
	if (spinat_pools_attach(e->pools, conf) != 0)
		return fail(err, "the outside ports");
	return 0;
}

static int
create_worker(struct spinat_engine *e, uint16_t id, unsigned int lcore,
	const struct spinat_conf *conf, struct spinat_conf_error *err)
{
	const int socket = rte_lcore_to_socket_id(lcore);
	const struct spinat_binder_params binder = {
		.max_bindings = conf->limits.bindings,
		.max_ike = conf->limits.ike,
		.seed = rte_rand(),
		.socket_id = socket,
	};
	const struct spinat_frag_params frag = {
		.datagrams = conf->limits.fragments,
		.held = conf->limits.fragments_held,
		.held_bytes = conf->limits.fragment_bytes,
		.timeout_ms = conf->timeouts.fragment * 1000,
		.socket_id = socket,
	};
	struct spinat_binder_ops ops = spinat_shortcut_ops;
	struct spinat_worker *w =
		rte_zmalloc_socket("worker", sizeof(*w), RTE_CACHE_LINE_SIZE, socket);
	char name[RTE_RING_NAMESIZE];

	if (w == NULL)
		return fail(err, "a worker");
	e->workers[id] = w;
	w->engine = e;
	w->id = id;
	w->lcore = lcore;
	w->icmp_tokens = conf->limits.icmp_rate;
	w->ip_id_step = e->n_workers; /* a power of two */
	for (unsigned int i = 0; i < RTE_DIM(w->ip_ids[0]); i++)
		for (unsigned int which = 0; which < RTE_DIM(w->ip_ids); which++)
			w->ip_ids[which][i] = (uint16_t)rte_rand() * w->ip_id_step + w->id;
	snprintf(name, sizeof(name), "worker%u", id);
	w->in = rte_ring_create(name, RING_SIZE, socket, RING_F_SC_DEQ);
	w->nat = spinat_nat_create(conf, id, e->n_workers, e->pools, e->qsbr, socket);
	if (w->in == NULL || w->nat == NULL)
		return fail(
			err, "the sessions (limits.sessions, limits.mappings, limits.bindings)");
	ops.ctx = w;
	snprintf(name, sizeof(name), "binder%u", id);
	w->binder = spinat_binder_create(name, &binder, &ops);
	if (w->binder == NULL)
		return fail(err, "the SPI bindings (limits.bindings, limits.ike)");
	w->kept = spinat_kept_create(socket);
	if (w->kept == NULL)
		return fail(err, "the packets that wait for their owner");
	w->ike_ports = spinat_ike_ports_create(socket);
	if (w->ike_ports == NULL)
		return fail(err, "the ports of IKE");
	snprintf(name, sizeof(name), "frag%u", id);
	w->frags = spinat_frag_create(name, &frag);
	if (w->frags == NULL)
		return fail(err, "the fragment table (limits.fragments, limits.fragments_held)");
	rte_rcu_qsbr_thread_register(e->qsbr, id);
	return 0;
}

static int
create_workers(
	struct spinat_engine *e, const struct spinat_conf *conf, struct spinat_conf_error *err)
{
	unsigned int lcore;
	uint16_t id = 0;
	int rc;

	RTE_LCORE_FOREACH_WORKER(lcore) {
		if (id == e->n_workers)
			break;
		rc = create_worker(e, id++, lcore, conf, err);
		if (rc != 0)
			return rc;
	}
	if (id < e->n_workers) {
		snprintf(err->text, sizeof(err->text),
			"workers: %u wanted, but the EAL has %u lcores besides the control one",
			e->n_workers, id);
		return -EINVAL;
	}
	for (uint16_t i = 0; i < e->n_workers; i++)
		for (uint16_t j = 0; j < e->n_workers; j++)
			e->workers[i]->tables[j] = e->workers[j]->nat->table;
	return 0;
}

static int
create_all(struct spinat_engine *e, struct spinat_conf *conf, struct spinat_conf_error *err)
{
	int rc = create_shared(e, conf, err);

	if (rc == 0)
		rc = create_workers(e, conf, err);
	if (rc != 0)
		return rc;
	rc = spinat_ports_start(conf, e->n_workers, e->pool, e->ports, err);
	if (rc != 0)
		return rc;
	e->n_ports = conf->n_devices;
	for (uint16_t p = 0; p < e->n_ports; p++) {
		e->device_of_port[e->ports[p].port_id] = p;
		spinat_plain_init(&e->plain[p], &e->ports[p].mac);
	}
	e->snapshot = snapshot_create(e, conf, err);
	return e->snapshot != NULL ? 0 : -ENOMEM;
}

struct spinat_engine *
spinat_engine_create(struct spinat_conf *conf, struct spinat_conf_error *err)
{
	struct spinat_engine *e = rte_zmalloc("engine", sizeof(*e), RTE_CACHE_LINE_SIZE);

	if (e == NULL) {
		fail(err, "the engine");
		return NULL;
	}
	spinat_hash_init();
	pthread_mutex_init(&e->control_lock, NULL);
	conf->generation = 1;
	e->n_workers = conf->workers;
	e->tsc_hz = rte_get_tsc_hz();
	e->tsc_per_ms = e->tsc_hz / 1000;
	e->start_tsc = rte_rdtsc() - SPINAT_CLOCK_START_MS * e->tsc_per_ms;
	if (create_all(e, conf, err) != 0) {
		spinat_engine_free(e);
		return NULL;
	}
	return e;
}

static void
free_worker(struct spinat_worker *w)
{
	struct rte_mbuf *m;

	if (w == NULL)
		return;
	while (w->in != NULL && rte_ring_dequeue(w->in, (void **)&m) == 0)
		rte_pktmbuf_free(m);
	rte_ring_free(w->in);
	spinat_frag_free(w->frags);
	rte_free(w->kept);
	spinat_ike_ports_free(w->ike_ports);
	spinat_binder_free(w->binder);
	spinat_nat_free(w->nat);
	rte_free(w);
}

void
spinat_engine_free(struct spinat_engine *e)
{
	struct rte_mbuf *m;

	if (e == NULL)
		return;
	spinat_ports_stop(e->ports, e->n_ports);
	for (uint16_t i = 0; i < SPINAT_MAX_WORKERS; i++)
		free_worker(e->workers[i]);
	while (e->punt != NULL && rte_ring_dequeue(e->punt, (void **)&m) == 0)
		rte_pktmbuf_free(m);
	snapshot_free(e->snapshot);
	rte_ring_free(e->punt);
	rte_ring_free(e->events);
	spinat_pools_free(e->pools);
	rte_mempool_free(e->pool);
	rte_free(e->qsbr);
	pthread_mutex_destroy(&e->control_lock);
	rte_free(e);
}

int
spinat_engine_reconfigure(struct spinat_engine *e, struct spinat_conf *conf,
	void (*publish)(void *ctx, struct spinat_snapshot *snap), void *ctx,
	struct spinat_conf_error *err)
{
	struct spinat_snapshot *old = e->snapshot, *snap;
	int rc = spinat_conf_compatible(old->conf, conf, err);

	if (rc == 0 && spinat_pools_attach(e->pools, conf) != 0)
		rc = fail(err, "the outside ports");
	if (rc != 0)
		return rc;
	conf->generation = old->conf->generation + 1;
	snap = snapshot_create(e, conf, err);
	if (snap == NULL)
		return -ENOMEM;
	pthread_mutex_lock(&e->control_lock);
	if (publish != NULL)
		publish(ctx, snap);
	__atomic_store_n(&e->snapshot, snap, __ATOMIC_RELEASE);
	rte_rcu_qsbr_synchronize(e->qsbr, RTE_QSBR_THRID_INVALID);
	snapshot_free(old);
	pthread_mutex_unlock(&e->control_lock);
	return 0;
}

int
spinat_engine_order(struct spinat_engine *e, struct spinat_order_slip *slip)
{
	const unsigned int owner = spinat_owner(slip->order.gateway, 0, e->n_workers);
	struct rte_mbuf *m = rte_pktmbuf_alloc(e->pool);

	if (m == NULL)
		return -EAGAIN;
	slip->done = false;
	*(struct spinat_order_slip **)rte_pktmbuf_append(m, sizeof(slip)) = slip;
	spinat_priv(m)->why = SPINAT_WHY_ORDER;
	if (rte_ring_enqueue(e->workers[owner]->in, m) != 0) {
		rte_pktmbuf_free(m);
		return -EAGAIN;
	}
	return 0;
}

uint64_t
spinat_engine_now_ms(const struct spinat_engine *e)
{
	return (rte_rdtsc() - e->start_tsc) / e->tsc_per_ms;
}
