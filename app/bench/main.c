/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 the spinat authors
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#include <rte_eal.h>
#include <rte_malloc.h>
#include <rte_version.h>

#include "../eal.h"
#include "during.h"
#include "fanout.h"
#include "latency.h"
#include "measure.h"
#include "options.h"
#include "ports.h"
#include "rss.h"
#include "scale.h"

/*
 * Measures one work with one number of flows: tools/bench runs it once for each. Results go to
 * standard output as JSON, an object a line and case.
 */

/* Between devices of the user comes what comes: room for all kinds. */
static const struct bench_work any_work = {
	.percent = {[BENCH_UDP] = 100, [BENCH_ESP] = 10, [BENCH_IKE] = 2}};

/* What every line says. */
struct context {
	const struct bench_options *o;
	uint64_t state_bytes;
	int not_counted; /* errno: why events are not, or not all */
};

static uint64_t
heap_in_use(void)
{
	struct rte_malloc_socket_stats stats;
	uint64_t n = 0;

	for (unsigned int i = 0; i < rte_socket_count(); i++)
		if (rte_malloc_get_socket_stats(rte_socket_id_by_idx(i), &stats) == 0)
			n += stats.heap_allocsz_bytes;
	return n;
}

/* Memory of one worker's translation state for as many flows as the work has, from the heap. */
static uint64_t
measure_state(const struct spinat_conf *conf, const struct bench_work *work)
{
	const struct spinat_binder_params params = {.max_bindings = conf->limits.bindings,
		.max_ike = conf->limits.ike,
		.socket_id = SOCKET_ID_ANY};
	const struct spinat_binder_ops none = {.ctx = NULL};
	const bool ipsec = work->percent[BENCH_ESP] + work->percent[BENCH_IKE] > 0;
	const uint64_t before = heap_in_use();
	struct spinat_nat *nat = spinat_nat_create(conf, 0, 1, NULL, NULL, SOCKET_ID_ANY);
	struct spinat_binder *binder = ipsec ? spinat_binder_create("state", &params, &none) : NULL;
	const uint64_t after = heap_in_use();

	spinat_binder_free(binder);
	spinat_nat_free(nat);
	return nat != NULL && (binder != NULL || !ipsec) ? after - before : 0;
}

static void
print_case(const struct context *x, const char *direction, const char *distribution,
	const struct bench_figures *f)
{
	const double rings = f->median[BENCH_TURN_RINGS];
	const double total = f->median[BENCH_TURN_ENGINE];
	const double datapath = total - rings;
	const double us = rte_get_tsc_hz() / 1e6;

	printf("{\"name\": \"%s-%s%s%s\", \"sessions\": %u, \"capacity\": %u, \"mode\": \"%s\", "
	       "\"cycles_per_packet\": %.1f, \"mpps\": %.3f, "
	       "\"cycles_with_rings\": %.1f, \"mpps_with_rings\": %.3f, "
	       "\"cycles_with_rings_mean\": %.1f, \"cycles_with_rings_p99\": %.1f, "
	       "\"floor_rings_cycles\": %.1f, \"floor_mac_cycles\": %.1f, "
	       "\"floor_hash_cycles\": %.1f, \"table_cycles\": %.1f, \"parse_cycles\": %.1f, "
	       "\"packets\": %" PRIu64 ", \"slow_packets\": %" PRIu64 ", "
	       "\"turn_p50_us\": %.2f, \"turn_p99_9_us\": %.2f, \"turn_p99_99_us\": %.2f, "
	       "\"turn_max_us\": %.2f, "
	       "\"bytes_per_session\": %.1f, \"tsc_hz\": %" PRIu64 ", \"hugepages\": %s, "
	       "\"dpdk\": \"%s\", \"spinat\": \"%s\"",
		x->o->work->name, direction, *distribution != '\0' ? "-" : "", distribution,
		x->o->box.sessions, x->o->box.capacity, x->o->split ? "split" : "alternate",
		datapath, rte_get_tsc_hz() / datapath / 1e6, total, rte_get_tsc_hz() / total / 1e6,
		f->mean, f->p99, rings, f->median[BENCH_TURN_MAC], f->median[BENCH_TURN_HASH],
		f->median[BENCH_TURN_TABLE], RTE_MAX(f->median[BENCH_TURN_PARSE] - rings, 0.0),
		f->packets, f->slow, f->turn_p50 / us, f->turn_p99_9 / us, f->turn_p99_99 / us,
		f->turn_max / us, (double)x->state_bytes / x->o->box.sessions, rte_get_tsc_hz(),
		rte_eal_has_hugepages() ? "true" : "false", rte_version(), SPINAT_VERSION);
	for (int i = 0; i < BENCH_EVENTS; i++)
		if (f->counted[i])
			printf(", \"%s_per_packet\": %.2f", bench_events[i].name, f->events[i]);
	if (x->not_counted != 0)
		printf(", \"not_counted\": \"%s\"", strerror(x->not_counted));
	printf("}\n");
	fflush(stdout);
}

/* The floor of the first packets is that of the flows they made, out uniform. */
static void
print_new(const struct context *x, struct bench_figures *first, const struct bench_figures *out)
{
	for (int i = BENCH_TURN_RINGS; i < BENCH_TURNS; i++)
		first->median[i] = out->median[i];
	print_case(x, "new", "", first);
}

static void
print_life(const struct context *x, struct bench_life *life, const struct bench_figures *out)
{
	for (int i = BENCH_TURN_RINGS; i < BENCH_TURNS; i++)
		life->again.median[i] = out->median[i];
	print_case(x, "again", "", &life->again);
	printf("{\"name\": \"%s-sweep\", \"sessions\": %u, \"look_cycles\": %.1f, "
	       "\"end_cycles\": %.1f, \"tsc_hz\": %" PRIu64 ", \"dpdk\": \"%s\", "
	       "\"spinat\": \"%s\"}\n",
		x->o->work->name, x->o->box.sessions, life->look, life->end, rte_get_tsc_hz(),
		rte_version(), SPINAT_VERSION);
}

static int
run_cases(const struct context *x, struct bench_meter *m, struct bench_rig *r)
{
	static const struct bench_case cases[] = {{"out", {[SPINAT_OUT] = true}, false},
		{"in", {[SPINAT_IN] = true}, false}, {"both", {true, true}, false},
		{"out", {[SPINAT_OUT] = true}, true}, {"in", {[SPINAT_IN] = true}, true},
		{"both", {true, true}, true}};
	const bool renews = x->o->work->percent[BENCH_UDP] == 100 && !x->o->split;
	struct bench_figures first, f;
	struct bench_life life;
	bool drawn = false, zipf = false;

	if (bench_establish(m, r, &first) != 0 || (renews && bench_renew(m, r, &life) != 0))
		return -1;
	if (!x->o->split && bench_floor_create(&m->floor, r) != 0)
		return -1;
	for (unsigned int i = 0; i < RTE_DIM(cases); i++) {
		const struct bench_case *c = &cases[i];

		if ((c->zipf && !x->o->work->zipf) ||
			(c->with[SPINAT_OUT] != c->with[SPINAT_IN] && !x->o->work->one_way))
			continue;
		if (!drawn || c->zipf != zipf)
			bench_draw(m, r, r->n_flows, c->zipf);
		drawn = true;
		zipf = c->zipf;
		if (bench_measure(m, r, c, &f) != 0)
			return -1;
		if (i == 0)
			print_new(x, &first, &f);
		if (i == 0 && renews)
			print_life(x, &life, &f);
		print_case(x, c->direction, c->zipf ? "zipf" : "uniform", &f);
	}
	return 0;
}

static int
run_fanout(const struct context *x, struct bench_meter *m, struct bench_rig *r)
{
	struct bench_figures first, later;

	if (bench_fanout(m, r, &first, &later) != 0)
		return -1;
	print_case(x, "new", "", &first);
	print_case(x, "again", "", &later);
	return 0;
}

static int
run_count(const struct context *x, struct bench_meter *m, struct bench_rig *r)
{
	struct bench_figures first;
	int64_t packets;

	if (bench_establish(m, r, &first) != 0)
		return -1;
	bench_draw(m, r, r->n_flows, false);
	packets = bench_count(m, r, x->o->batches);
	if (packets < 0)
		return -1;
	printf("{\"name\": \"%s\", \"sessions\": %u, \"packets\": %" PRId64 "}\n", x->o->work->name,
		x->o->box.sessions, packets);
	return 0;
}

/* Flows made by one worker, shared out among several: outside addresses are what matters. */
static int
run_rss(const struct context *x, struct bench_meter *m, struct bench_rig *r)
{
	static const char *const kinds[BENCH_KINDS] = {"udp", "tcp", "esp", "ike"};
	static const char *const keys[] = {"plain", "symmetric"};
	struct bench_figures first;
	struct bench_rss rss;

	if (bench_establish(m, r, &first) != 0)
		return -1;
	for (unsigned int i = 0; i < BENCH_KINDS * RTE_DIM(keys); i++) {
		const enum bench_kind kind = i / RTE_DIM(keys);
		const unsigned int symmetric = i % RTE_DIM(keys);

		if (x->o->work->percent[kind] == 0)
			continue;
		bench_rss_shares(r->flows, r->n_flows, kind, x->o->rss, symmetric == 1, &rss);
		printf("{\"name\": \"%s-rss-%u\", \"kind\": \"%s\", \"key\": \"%s\", "
		       "\"sessions\": %u, \"handed\": %.3f, \"handed_in\": %.3f, \"met\": %.3f, "
		       "\"tsc_hz\": %" PRIu64 ", \"dpdk\": \"%s\", \"spinat\": \"%s\"}\n",
			x->o->work->name, x->o->rss, kinds[kind], keys[symmetric], rss.flows,
			rss.handed, rss.handed_in, rss.met, rte_get_tsc_hz(), rte_version(),
			SPINAT_VERSION);
	}
	return 0;
}

/* Host time that was stolen from this guest so far, seconds of all CPUs. */
static double
stolen(void)
{
	unsigned long long steal = 0;
	FILE *f = fopen("/proc/stat", "r");

	if (f == NULL)
		return 0;
	if (fscanf(f, "cpu %*u %*u %*u %*u %*u %*u %*u %llu", &steal) != 1)
		steal = 0;
	fclose(f);
	return (double)steal / sysconf(_SC_CLK_TCK);
}

static void
print_turns(const char *beside, const struct bench_figures *f)
{
	const double us = rte_get_tsc_hz() / 1e6;

	printf("\"%s_turns\": %u, \"%s_p50_us\": %.2f, \"%s_p99_9_us\": %.2f, "
	       "\"%s_p99_99_us\": %.2f, \"%s_max_us\": %.2f, ",
		beside, f->turns, beside, f->turn_p50 / us, beside, f->turn_p99_9 / us, beside,
		f->turn_p99_99 / us, beside, f->turn_max / us);
}

/* One case, with and without what is done beside it. */
static int
run_during(const struct context *x, struct bench_meter *m, struct bench_rig *r)
{
	struct bench_during d = {
		.what = x->o->during,
		.rig = r,
		.box = &x->o->box,
		.memory = r->engine->snapshot->conf->memory,
	};
	const unsigned int slice_ms = strcmp(d.what, "aging") == 0 ? 16 : 100;
	struct bench_figures first, f[2];
	struct rusage before, after;
	double steal;
	int rc;

	if (bench_establish(m, r, &first) != 0)
		return -1;
	bench_draw(m, r, BENCH_DURING_KEEP(r->n_flows), false);
	if (bench_during_start(&d, x->o->generator_cpu) != 0)
		return -1;
	steal = stolen();
	getrusage(RUSAGE_THREAD, &before);
	rc = bench_measure_beside(m, r, &d, slice_ms, f);
	getrusage(RUSAGE_THREAD, &after);
	steal = stolen() - steal;
	if (bench_during_stop(&d) != 0 || rc != 0)
		return -1;
	printf("{\"name\": \"%s-during-%s\", \"sessions\": %u, \"times\": %u, ", x->o->work->name,
		d.what, x->o->box.sessions, d.done);
	print_turns("without", &f[0]);
	print_turns("with", &f[1]);
	printf("\"stolen_s\": %.2f, \"switches\": %ld, \"tsc_hz\": %" PRIu64 ", "
	       "\"dpdk\": \"%s\", \"spinat\": \"%s\"}\n",
		steal, after.ru_nivcsw - before.ru_nivcsw, rte_get_tsc_hz(), rte_version(),
		SPINAT_VERSION);
	return 0;
}

static void
print_latency(const struct context *x, int percent, double no_drop, const struct bench_trial *t)
{
	const double us = rte_get_tsc_hz() / 1e6;
	const struct bench_histogram *h = &t->latency;

	printf("{\"name\": \"%s-latency-%d\", \"sessions\": %u, \"no_drop_mpps\": %.3f, "
	       "\"mpps\": %.3f, \"sent\": %" PRIu64 ", \"lost\": %" PRIu64 ", "
	       "\"p50_us\": %.2f, \"p99_us\": %.2f, \"p99_9_us\": %.2f, "
	       "\"p99_99_us\": %.2f, \"max_us\": %.2f, "
	       "\"tsc_hz\": %" PRIu64 ", \"dpdk\": \"%s\", \"spinat\": \"%s\"}\n",
		x->o->work->name, percent, x->o->box.sessions, no_drop / 1e6, t->sent_rate / 1e6,
		t->sent, t->lost, bench_histogram_at(h, 0.5) / us, bench_histogram_at(h, 0.99) / us,
		bench_histogram_at(h, 0.999) / us, bench_histogram_at(h, 0.9999) / us, h->max / us,
		rte_get_tsc_hz(), rte_version(), SPINAT_VERSION);
	fflush(stdout);
}

static int
run_latency(const struct context *x, struct bench_meter *m, struct bench_rig *r)
{
	static const int percents[] = {10, 50, 90};
	static struct bench_trial t;
	struct bench_figures first;
	struct bench_latency l;
	double no_drop;

	if (bench_establish(m, r, &first) != 0 || bench_latency_create(&l, r) != 0)
		return -1;
	no_drop = bench_latency_no_drop(&l, x->o->seconds / 10);
	for (unsigned int i = 0; i < RTE_DIM(percents); i++) {
		t.rate = no_drop * percents[i] / 100;
		bench_latency_try(&l, x->o->seconds / 4, &t);
		print_latency(x, percents[i], no_drop, &t);
	}
	bench_latency_free(&l);
	return 0;
}

static int
run_workers(const struct bench_options *o, struct spinat_conf *conf)
{
	static const char *const keys[] = {"plain", "symmetric"};
	struct bench_scale_figures f;

	if (bench_scale(o->work, o->box.sessions, conf, o->seconds, &f) != 0)
		return -1;
	printf("{\"name\": \"%s-workers-%u\", \"sessions\": %u, \"alone_cycles\": %.1f, "
	       "\"together_cycles\": %.1f, \"mac_alone_cycles\": %.1f, "
	       "\"mac_together_cycles\": %.1f, \"lookup_alone_cycles\": %.1f, "
	       "\"lookup_together_cycles\": %.1f, \"own_cycles\": %.1f, \"foreign_cycles\": %.1f, "
	       "\"new_cycles\": %.1f, \"new_handed_cycles\": %.1f, \"checked\": %" PRIu64 ", ",
		o->work->name, o->box.workers, o->box.sessions, f.alone, f.together, f.mac_alone,
		f.mac_together, f.lookup_alone, f.lookup_together, f.own, f.foreign, f.direct,
		f.handed, f.packets);
	for (unsigned int i = 0; i < RTE_DIM(keys); i++)
		printf("\"rss_%s\": {\"handed\": %.3f, \"met\": %.3f, \"met_chosen\": %.3f}, ",
			keys[i], f.rss[i].handed, f.rss[i].met, f.rss[i].met_chosen);
	printf("\"tsc_hz\": %" PRIu64 ", \"dpdk\": \"%s\", \"spinat\": \"%s\"}\n", rte_get_tsc_hz(),
		rte_version(), SPINAT_VERSION);
	return 0;
}

/* The main lcore works when it alternates, generates when there are two, and looks on where there are
 * several workers, which take the CPUs by turns, or real devices. */
static void
place(struct bench_options *o)
{
	size_t len;

	if (o->box.workers == 1 && !bench_options_ports(o)) {
		snprintf(o->box.lcores, sizeof(o->box.lcores), "0@%u,1@%u",
			o->split ? o->generator_cpu : o->cpu, o->split ? o->cpu : o->generator_cpu);
		return;
	}
	len = snprintf(o->box.lcores, sizeof(o->box.lcores), "0@%u", o->generator_cpu);
	for (unsigned int i = 0; i < o->box.workers; i++)
		len += snprintf(o->box.lcores + len, sizeof(o->box.lcores) - len, ",%u@%u", i + 1,
			i % 2 == 0 ? o->cpu : o->generator_cpu);
}

static int
run(const struct bench_options *o, struct spinat_conf *conf)
{
	struct context x = {.o = o, .state_bytes = measure_state(conf, o->work)};
	struct bench_meter *m = calloc(1, sizeof(*m));
	struct bench_rig *r = calloc(1, sizeof(*r));
	int rc = -1;

	if (m != NULL && r != NULL && bench_rig_create(r, o->work, o->box.sessions, conf) == 0 &&
		bench_meter_create(m, r, o->seconds, o->split) == 0) {
		x.not_counted = m->counters.error;
		rc = o->count                  ? run_count(&x, m, r)
		     : o->during != NULL       ? run_during(&x, m, r)
		     : o->latency              ? run_latency(&x, m, r)
		     : o->rss > 0              ? run_rss(&x, m, r)
		     : o->work->candidates > 0 ? run_fanout(&x, m, r)
					       : run_cases(&x, m, r);
	}
	if (m != NULL)
		bench_meter_free(m);
	if (r != NULL)
		bench_rig_free(r);
	free(m);
	free(r);
	return rc;
}

int
main(int argc, char **argv)
{
	struct bench_options o = {.seconds = 1,
		.cpu = 1,
		.box = {.sessions = 65536,
			.workers = 1,
			.device = {bench_device[0], bench_device[1]}}};
	struct spinat_conf_error err = {.text = ""};
	struct spinat_conf *conf;
	int rc = bench_options_parse(argc, argv, &o);

	if (rc >= 0)
		return rc;
	place(&o);
	conf = o.config != NULL
		       ? spinat_conf_load(o.config, &err)
		       : bench_plan_conf(o.work != NULL ? o.work : &any_work, &o.box, &err);
	if (conf == NULL) {
		fprintf(stderr, "spinat-bench: %s\n", err.text);
		return EXIT_FAILURE;
	}
	if (!bench_options_ports(&o))
		conf->memory = spinat_memory_wanted(conf) + bench_floor_mib(o.box.capacity);
	else if (conf->memory == 0)
		conf->memory = spinat_memory_wanted(conf);
	if (o.memory) {
		printf("%u\n", conf->memory);
		spinat_conf_free(conf);
		return EXIT_SUCCESS;
	}
	if (bench_options_ports(&o))
		bench_ports_signals();
	if (spinat_eal_start(conf, o.eal_argc, o.eal_argv, &err) != 0) {
		fprintf(stderr, "spinat-bench: %s\n", err.text);
		spinat_conf_free(conf);
		return EXIT_FAILURE;
	}
	rc = bench_options_ports(&o) ? bench_ports(conf, o.seconds)
	     : o.box.workers > 1     ? run_workers(&o, conf)
				     : run(&o, conf);
	rte_eal_cleanup();
	return rc == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
