/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 the spinat authors
 */
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include <rte_eal.h>
#include <rte_ethdev.h>
#include <rte_launch.h>
#include <rte_version.h>

#include "../control.h"
#include "../log.h"
#include "datapath/engine.h"
#include "driver.h"
#include "ports.h"
#include "samples.h"

#define SAMPLES_MAX (1u << 20)

int spinat_logtype;

/* A worker, and its turns that received something. */
struct lane {
	struct spinat_worker *worker;
	struct bench_driver *driver;
	struct bench_samples total, datapath;
	uint64_t first_tsc, last_tsc; /* begin of the first such turn, end of the last one */
	uint64_t turns;
} __rte_cache_aligned;

/* What all workers did. */
struct sums {
	double mpps, busy, packets;
	double total, datapath; /* medians, mean over the workers that had packets */
	double total_mean;
	uint64_t turns, slow;
	uint64_t drops[SPINAT_DROP_COUNT];
};

static int
fail(const char *what)
{
	fprintf(stderr, "spinat-bench: %s\n", what);
	return -1;
}

void
bench_ports_signals(void)
{
	spinat_control_signals();
}

/* As spinat_worker_run, but for the clock. */
static int
run_lane(void *arg)
{
	struct lane *l = arg;
	struct spinat_worker *w = l->worker;
	struct spinat_engine *e = w->engine;

	w->tick_tsc = e->start_tsc;
	rte_rcu_qsbr_thread_online(e->qsbr, w->id);
	while (!__atomic_load_n(&e->stop, __ATOMIC_RELAXED)) {
		const uint64_t driver = l->driver->cycles, calls = l->driver->calls;
		const uint64_t from = rte_rdtsc_precise();
		const uint32_t n = spinat_worker_poll(w);
		uint64_t to;

		if (n == 0)
			continue;
		to = rte_rdtsc_precise();
		if (l->turns++ == 0)
			l->first_tsc = from;
		l->last_tsc = to;
		to -= (l->driver->calls - calls) * bench_timer_cycles;
		bench_samples_add(&l->total, from, to, n);
		bench_samples_add(&l->datapath, from, to - (l->driver->cycles - driver), n);
	}
	rte_rcu_qsbr_thread_offline(e->qsbr, w->id);
	return 0;
}

/* The control lcore ends as if somebody had ended it. */
static int
end_after(double seconds)
{
	struct sigevent event = {.sigev_notify = SIGEV_SIGNAL, .sigev_signo = SIGTERM};
	const struct itimerspec at = {.it_value = {.tv_sec = (time_t)seconds,
					      .tv_nsec = (seconds - (time_t)seconds) * 1e9}};
	timer_t timer;

	if (timer_create(CLOCK_MONOTONIC, &event, &timer) != 0 ||
		timer_settime(timer, 0, &at, NULL) != 0)
		return fail("no timer");
	return 0;
}

static void
print_mac(FILE *f, const struct rte_ether_addr *mac)
{
	char text[RTE_ETHER_ADDR_FMT_SIZE];

	rte_ether_format_addr(text, sizeof(text), mac);
	fprintf(f, "%s", text);
}

static void
print_devices(
	const struct spinat_engine *e, const struct spinat_conf *conf, const struct bench_driver *d)
{
	printf("\"devices\": [");
	for (uint16_t p = 0; p < e->n_ports; p++) {
		const uint16_t id = e->ports[p].port_id;
		struct rte_eth_stats stats = {.imissed = 0};
		uint64_t received = 0, sent = 0;

		for (uint16_t i = 0; i < e->n_workers; i++) {
			received += d[i].received[id];
			sent += d[i].sent[id];
		}
		rte_eth_stats_get(id, &stats);
		printf("%s{\"device\": \"%s\", \"driver\": \"%s\", \"mac\": \"", p > 0 ? ", " : "",
			conf->devices[p].args, e->ports[p].driver);
		print_mac(stdout, &e->ports[p].mac);
		printf("\", \"received\": %" PRIu64 ", \"sent\": %" PRIu64 ", \"missed\": %" PRIu64
		       "}",
			received, sent, stats.imissed + stats.rx_nombuf);
	}
	printf("], ");
}

static void
print_drops(const uint64_t drops[SPINAT_DROP_COUNT])
{
	const char *comma = "";

	printf("\"drops\": {");
	for (unsigned int i = 0; i < SPINAT_DROP_COUNT; i++) {
		if (drops[i] == 0)
			continue;
		printf("%s\"%s\": %" PRIu64, comma, spinat_drop_info[i].name, drops[i]);
		comma = ", ";
	}
	printf("}, ");
}

static void
sum_up(const struct spinat_engine *e, struct lane *lanes, struct sums *s)
{
	unsigned int had_packets = 0;
	double cycles = 0;

	for (unsigned int i = 0; i < SPINAT_DROP_COUNT; i++)
		s->drops[i] = e->control_drops[i];
	for (uint16_t i = 0; i < e->n_workers; i++) {
		struct lane *l = &lanes[i];
		const double span = l->last_tsc - l->first_tsc;

		for (unsigned int d = 0; d < SPINAT_DROP_COUNT; d++)
			s->drops[d] += l->worker->stats.drops[d];
		s->slow += l->worker->stats.slow;
		if (l->turns == 0)
			continue;
		bench_samples_sort(&l->total);
		bench_samples_sort(&l->datapath);
		had_packets++;
		s->turns += l->turns;
		s->packets += l->total.packets;
		cycles += l->total.cycles;
		s->mpps += l->total.packets / (span / e->tsc_hz) / 1e6;
		s->busy += l->total.cycles / span;
		s->total += bench_samples_at(&l->total, 0.5);
		s->datapath += bench_samples_at(&l->datapath, 0.5);
	}
	if (had_packets == 0)
		return;
	s->busy /= had_packets;
	s->total /= had_packets;
	s->datapath /= had_packets;
	s->total_mean = cycles / s->packets;
}

static void
print_result(const struct spinat_engine *e, struct lane *lanes, const struct bench_driver *drivers)
{
	struct sums s = {.mpps = 0};

	sum_up(e, lanes, &s);
	printf("{\"name\": \"ports\", \"workers\": %u, ", e->n_workers);
	print_devices(e, e->snapshot->conf, drivers);
	print_drops(s.drops);
	printf("\"mpps\": %.3f, \"cycles_per_packet\": %.1f, \"cycles_with_driver\": %.1f, "
	       "\"cycles_with_driver_mean\": %.1f, \"packets_per_turn\": %.1f, \"busy\": %.3f, "
	       "\"packets\": %.0f, \"slow_packets\": %" PRIu64 ", \"tsc_hz\": %" PRIu64
	       ", \"dpdk\": \"%s\", \"spinat\": \"%s\"}\n",
		s.mpps, s.datapath, s.total, s.total_mean, s.turns > 0 ? s.packets / s.turns : 0.0,
		s.busy, s.packets, s.slow, e->tsc_hz, rte_version(), SPINAT_VERSION);
	fflush(stdout);
}

static int
create_lanes(struct spinat_engine *e, struct lane *lanes, struct bench_driver *drivers)
{
	bench_samples_calibrate();
	for (uint16_t i = 0; i < e->n_workers; i++) {
		lanes[i].worker = e->workers[i];
		lanes[i].driver = &drivers[i];
		if (bench_samples_create(&lanes[i].total, SAMPLES_MAX) != 0 ||
			bench_samples_create(&lanes[i].datapath, SAMPLES_MAX) != 0)
			return fail("no memory for the times");
	}
	for (uint16_t p = 0; p < e->n_ports; p++)
		if (bench_driver_attach(e->ports[p].port_id, e->n_workers, drivers) != 0)
			return fail("no memory for the queues");
	return 0;
}

static int
forward(struct spinat_engine *e, struct spinat_control *control, struct lane *lanes, double seconds)
{
	for (uint16_t p = 0; p < e->n_ports; p++) {
		fprintf(stderr, "spinat-bench: %s has MAC address ",
			e->snapshot->conf->devices[p].args);
		print_mac(stderr, &e->ports[p].mac);
		fputc('\n', stderr);
	}
	for (uint16_t i = 0; i < e->n_workers; i++)
		rte_eal_remote_launch(run_lane, &lanes[i], lanes[i].worker->lcore);
	if (end_after(seconds) == 0)
		spinat_control_run(control);
	__atomic_store_n(&e->stop, true, __ATOMIC_RELAXED);
	rte_eal_mp_wait_lcore();
	return 0;
}

int
bench_ports(struct spinat_conf *conf, double seconds)
{
	static struct bench_driver drivers[SPINAT_MAX_WORKERS];
	static struct lane lanes[SPINAT_MAX_WORKERS];
	struct spinat_conf_error err = {.text = ""};
	struct spinat_control *control;
	struct spinat_engine *e;
	int rc;

	spinat_logtype = rte_log_register_type_and_pick_level("spinat", RTE_LOG_WARNING);
	e = spinat_engine_create(conf, &err);
	if (e == NULL)
		return fail(err.text);
	control = spinat_control_create(e);
	rc = control != NULL ? create_lanes(e, lanes, drivers)
			     : fail("the control lcore can not start");
	if (rc == 0)
		rc = forward(e, control, lanes, seconds);
	if (rc == 0)
		print_result(e, lanes, drivers);
	spinat_control_free(control);
	spinat_engine_free(e);
	return rc;
}
