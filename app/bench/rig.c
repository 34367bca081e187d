/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 the spinat authors
 */
#include <netinet/in.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>

#include <rte_eth_ring.h>
#include <rte_ethdev.h>
#include <rte_ip.h>
#include <rte_malloc.h>

#include "rig.h"

void *
bench_alloc(size_t size)
{
	void *p = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	if (p == MAP_FAILED)
		return NULL;
	madvise(p, size, MADV_HUGEPAGE);
	return p;
}

void
bench_free(void *p, size_t size)
{
	if (p != NULL)
		munmap(p, size);
}

static int
fail(const char *what)
{
	fprintf(stderr, "spinat-bench: %s\n", what);
	return -1;
}

/* The driver puts "net_ring_" before the name it is given. */
static int
create_device(struct bench_rig *r, enum spinat_dir d)
{
	const char *name = bench_device[d] + strlen("net_ring_");
	const unsigned int flags = RING_F_SP_ENQ | RING_F_SC_DEQ;
	char ring[RTE_RING_NAMESIZE];
	int port;

	snprintf(ring, sizeof(ring), "%s_rx", name);
	r->rx[d] = rte_ring_create(ring, BENCH_RING, SOCKET_ID_ANY, flags);
	snprintf(ring, sizeof(ring), "%s_tx", name);
	r->tx[d] = rte_ring_create(ring, BENCH_RING, SOCKET_ID_ANY, flags);
	if (r->rx[d] == NULL || r->tx[d] == NULL)
		return fail("no memory for the rings");
	port = rte_eth_from_rings(name, &r->rx[d], 1, &r->tx[d], 1, rte_socket_id());
	if (port < 0)
		return fail("net_ring makes no device");
	r->port_id[d] = port;
	return 0;
}

/* All buffers are zero behind what bench_packet_write writes, and stay so: nobody else writes. */
static int
take_mbufs(struct bench_rig *r)
{
	if (rte_pktmbuf_alloc_bulk(r->engine->pool, r->free, BENCH_MBUFS) != 0)
		return fail("the engine has too few packet buffers");
	for (uint32_t i = 0; i < BENCH_MBUFS; i++)
		memset(r->free[i]->buf_addr, 0, r->free[i]->buf_len);
	r->n_free = BENCH_MBUFS;
	return 0;
}

int
bench_rig_create(struct bench_rig *r, const struct bench_work *work, uint32_t sessions,
	struct spinat_conf *conf)
{
	struct spinat_conf_error err = {.text = ""};

	memset(r, 0, sizeof(*r));
	r->work = work;
	r->n_flows = sessions;
	r->flows = bench_alloc(sessions * sizeof(*r->flows));
	if (r->flows == NULL)
		return fail("no memory for the flows");
	for (uint32_t i = 0; i < sessions; i++)
		bench_plan_flow(work, i, &r->flows[i]);
	rte_ether_unformat_addr(BENCH_MAC_INSIDE, &r->router[SPINAT_OUT]);
	rte_ether_unformat_addr(BENCH_MAC_OUTSIDE, &r->router[SPINAT_IN]);
	if (create_device(r, SPINAT_OUT) != 0 || create_device(r, SPINAT_IN) != 0)
		return -1;
	r->engine = spinat_engine_create(conf, &err);
	if (r->engine == NULL)
		return fail(err.text);
	r->worker = r->engine->workers[0];
	/* as spinat_worker_run does before its loop */
	r->worker->tick_tsc = r->engine->start_tsc;
	rte_rcu_qsbr_thread_online(r->engine->qsbr, r->worker->id);
	return take_mbufs(r);
}

void
bench_rig_free(struct bench_rig *r)
{
	if (r->engine != NULL) {
		rte_rcu_qsbr_thread_offline(r->engine->qsbr, r->worker->id);
		rte_pktmbuf_free_bulk(r->free, r->n_free);
		spinat_engine_free(r->engine);
	}
	for (int d = 0; d < 2; d++) {
		rte_ring_free(r->rx[d]);
		rte_ring_free(r->tx[d]);
	}
	bench_free(r->flows, r->n_flows * sizeof(*r->flows));
}

/* Writes the packet of a step into a fresh buffer. */
static struct rte_mbuf *
make(struct bench_rig *r, const struct bench_packet *p)
{
	struct rte_mbuf *m = r->free[--r->n_free];
	struct rte_ether_hdr *eth;

	rte_pktmbuf_reset(m);
	m->port = r->port_id[p->dir];
	eth = rte_pktmbuf_mtod(m, struct rte_ether_hdr *);
	m->pkt_len = m->data_len = bench_packet_write((uint8_t *)eth, p);
	eth->dst_addr = r->engine->ports[p->dir].mac;
	eth->src_addr = r->router[p->dir];
	return m;
}

static uint32_t
send_dir(struct bench_rig *r, enum spinat_dir dir, uint32_t steps)
{
	struct bench_feed *feed = &r->feed[dir];
	const unsigned int pieces = r->form == BENCH_FRAGMENTS ? 2 : 1;
	const uint32_t way = r->sent[dir] - r->received[dir];
	struct rte_mbuf *m[2 * BENCH_BATCH];
	struct bench_packet p = {.form = r->form,
		.dir = dir,
		.epoch = r->epoch,
		.opening = r->opening,
		.ttl = BENCH_TTL};
	uint32_t n = 0;

	/* no more on the way than the last ring holds, however late this lcore comes to empty it */
	steps = RTE_MIN(steps, (BENCH_RING - 1 - way) / pieces);
	steps = RTE_MIN(steps, r->n_free / pieces);
	while (feed->n != 0 && steps-- > 0) {
		p.step = feed->steps[feed->at];
		feed->at = feed->at + 1 < feed->n ? feed->at + 1 : 0;
		for (unsigned int i = 0; i < pieces; i++) {
			p.later = i > 0;
			m[n++] = make(r, &p);
		}
	}
	rte_ring_sp_enqueue_bulk(r->rx[dir], (void **)m, n, NULL);
	r->sent[dir] += n;
	return n;
}

uint32_t
bench_rig_send(struct bench_rig *r, uint32_t n)
{
	return send_dir(r, SPINAT_OUT, n) + send_dir(r, SPINAT_IN, n);
}

static uint32_t
drain_dir(struct bench_rig *r, enum spinat_dir dir, bench_sink sink)
{
	struct rte_mbuf **out = &r->free[r->n_free];
	/* its own buffers are all it can get: the engine makes none in these works */
	uint32_t n =
		rte_ring_sc_dequeue_burst(r->tx[!dir], (void **)out, BENCH_MBUFS - r->n_free, NULL);

	for (uint32_t i = 0; sink != NULL && i < n; i++)
		sink(r, dir, out[i]);
	r->n_free += n;
	r->received[dir] += n;
	return n;
}

uint32_t
bench_rig_drain(struct bench_rig *r, bench_sink sink)
{
	return drain_dir(r, SPINAT_OUT, sink) + drain_dir(r, SPINAT_IN, sink);
}

static void
check_flow(struct bench_rig *r, enum spinat_dir dir, const struct rte_mbuf *m, uint32_t flow,
	bool later)
{
	struct bench_packet p = {.form = r->form,
		.dir = dir,
		.epoch = r->epoch,
		.opening = r->opening,
		.later = later,
		.ttl = BENCH_TTL - 1,
		.step = bench_plan_step(&r->flows[flow], flow, dir, true)};
	uint8_t frame[BENCH_HEAD] = {0};
	struct rte_ether_hdr *eth = (struct rte_ether_hdr *)frame;
	uint16_t len = bench_packet_write(frame, &p);

	eth->dst_addr = r->router[!dir];
	eth->src_addr = r->engine->ports[!dir].mac;
	if (dir == SPINAT_OUT)
		bench_packet_take_id(frame, rte_pktmbuf_mtod(m, const uint8_t *));
	if (m->pkt_len != len || m->data_len != len ||
		memcmp(rte_pktmbuf_mtod(m, void *), frame, RTE_MIN(len, BENCH_HEAD)) != 0)
		r->wrong++;
}

void
bench_rig_check(struct bench_rig *r, enum spinat_dir dir, struct rte_mbuf *m)
{
	const uint8_t *frame = rte_pktmbuf_mtod(m, const uint8_t *);
	uint32_t flow;
	bool later;

	if (bench_packet_read(frame, m->data_len, r->form, &flow, &later) != 0 ||
		flow >= r->n_flows)
		r->wrong++;
	else
		check_flow(r, dir, m, flow, later);
}

void
bench_rig_learn(struct bench_rig *r, enum spinat_dir dir, struct rte_mbuf *m)
{
	const uint8_t *frame = rte_pktmbuf_mtod(m, const uint8_t *);
	const struct rte_ipv4_hdr *ip = (const struct rte_ipv4_hdr *)(frame + RTE_ETHER_HDR_LEN);
	const struct spinat_outside_addr *o;
	struct bench_flow *f;
	uint32_t flow;
	bool later;

	if (bench_packet_read(frame, m->data_len, r->form, &flow, &later) != 0 ||
		flow >= r->n_flows) {
		r->wrong++;
		return;
	}
	f = &r->flows[flow];
	o = spinat_conf_outside(r->engine->snapshot->conf, ip->src_addr);
	if (o == NULL || !(o->kinds & SPINAT_OUTSIDE_POOL)) {
		r->wrong++;
		return;
	}
	f->outside = ip->src_addr;
	/* ESP has none: what stands there is never looked at */
	memcpy(&f->outside_port, ip + 1, sizeof(f->outside_port));
	check_flow(r, dir, m, flow, later);
}

uint64_t
bench_rig_drops(const struct bench_rig *r)
{
	uint64_t n = 0;

	for (unsigned int i = 0; i < SPINAT_DROP_COUNT; i++)
		n += r->worker->stats.drops[i];
	return n + rte_ring_count(r->engine->punt);
}

void
bench_rig_print_drops(const struct bench_rig *r)
{
	for (unsigned int i = 0; i < SPINAT_DROP_COUNT; i++)
		if (r->worker->stats.drops[i] != 0)
			fprintf(stderr, "spinat-bench: %" PRIu64 " dropped: %s\n",
				r->worker->stats.drops[i], spinat_drop_info[i].text);
	if (rte_ring_count(r->engine->punt) != 0)
		fprintf(stderr, "spinat-bench: %u went to the control lcore\n",
			rte_ring_count(r->engine->punt));
}
