/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 the spinat authors
 */
#include <getopt.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <rte_eal.h>
#include <rte_launch.h>
#include <rte_lcore.h>
#include <rte_version.h>

#include "control.h"
#include "eal.h"
#include "log.h"
#include "telemetry/telemetry.h"

int spinat_logtype;

struct options {
	const char *config;
	bool check;
	int eal_argc;
	char **eal_argv;
};

static void
usage(FILE *out)
{
	fprintf(out,
		"usage: spinat -c FILE [--check] [-- EAL arguments]\n"
		"  -c, --config FILE  configuration (spinat.conf(5))\n"
		"      --check        check the configuration, print what it would do, and exit\n"
		"      --version      print the versions of spinat and DPDK, and exit\n"
		"  -h, --help         print this, and exit\n");
}

/* Returns -1 to go on, else the exit status. */
static int
parse_options(int argc, char **argv, struct options *o)
{
	static const struct option longs[] = {
		{"config", required_argument, NULL, 'c'},
		{"check", no_argument, NULL, 'k'},
		{"version", no_argument, NULL, 'v'},
		{"help", no_argument, NULL, 'h'},
		{NULL, 0, NULL, 0},
	};
	int opt;

	while ((opt = getopt_long(argc, argv, "+c:h", longs, NULL)) != -1) {
		switch (opt) {
		case 'c':
			o->config = optarg;
			break;
		case 'k':
			o->check = true;
			break;
		case 'v':
			printf("spinat %s, %s\n", SPINAT_VERSION, rte_version());
			return 0;
		case 'h':
			usage(stdout);
			return 0;
		default:
			usage(stderr);
			return 2;
		}
	}
	if (o->config == NULL || (optind < argc && strcmp(argv[optind - 1], "--") != 0)) {
		fprintf(stderr, o->config == NULL ? "spinat: no configuration: -c FILE is needed\n"
						  : "spinat: EAL arguments come after --\n");
		usage(stderr);
		return 2;
	}
	o->eal_argc = argc - optind;
	o->eal_argv = argv + optind;
	return -1;
}

static void
launch_workers(struct spinat_engine *e)
{
	for (uint16_t i = 0; i < e->n_workers; i++)
		rte_eal_remote_launch(spinat_worker_run, e->workers[i], e->workers[i]->lcore);
}

static int
run(struct spinat_engine *e)
{
	struct spinat_control *control = spinat_control_create(e);
	const struct spinat_conf *conf = e->snapshot->conf;
	struct spinat_telemetry telemetry = {.engine = e,
		.reload = spinat_control_reload,
		.checkpoint = spinat_control_checkpoint,
		.order = spinat_control_order,
		.ctx = control};
	int rc;

	if (control == NULL) {
		fprintf(stderr, "spinat: the control lcore can not start\n");
		return EXIT_FAILURE;
	}
	telemetry.neigh = spinat_control_neigh(control);
	telemetry.state = spinat_control_state(control);
	spinat_control_restore(control);
	rc = spinat_telemetry_start(&telemetry);
	if (rc != 0) {
		fprintf(stderr, "spinat: telemetry commands refused: %s\n", strerror(-rc));
		spinat_control_free(control);
		return EXIT_FAILURE;
	}
	launch_workers(e);
	LOG(NOTICE, "event=ready version=%s name=%s workers=%u interfaces=%u hugepages=%s",
		SPINAT_VERSION, conf->name, e->n_workers, conf->n_ifaces,
		rte_eal_has_hugepages() ? "yes" : "no");
	spinat_control_run(control);
	__atomic_store_n(&e->stop, true, __ATOMIC_RELAXED);
	rte_eal_mp_wait_lcore();
	spinat_control_finish(control);
	spinat_telemetry_stop();
	spinat_control_free(control);
	return EXIT_SUCCESS;
}

static int
start(struct spinat_conf *conf, const struct options *o)
{
	struct spinat_conf_error err = {.text = ""};
	struct spinat_engine *e;
	int rc;

	spinat_control_signals();
	if (spinat_eal_start(conf, o->eal_argc, o->eal_argv, &err) != 0) {
		fprintf(stderr, "spinat: %s\n", err.text);
		spinat_conf_free(conf);
		return EXIT_FAILURE;
	}
	spinat_logtype = rte_log_register_type_and_pick_level("spinat", conf->log_level);
	e = spinat_engine_create(conf, &err);
	if (e == NULL) {
		fprintf(stderr, "spinat: %s\n", err.text);
		spinat_conf_free(conf);
		rte_eal_cleanup();
		return EXIT_FAILURE;
	}
	rc = run(e);
	spinat_engine_free(e);
	rte_eal_cleanup();
	return rc;
}

int
main(int argc, char **argv)
{
	struct spinat_conf_error err = {.text = ""};
	struct options o = {.config = NULL};
	struct spinat_conf *conf;
	int rc = parse_options(argc, argv, &o);

	if (rc >= 0)
		return rc;
	conf = spinat_conf_load(o.config, &err);
	if (conf == NULL) {
		fprintf(stderr, "spinat: %s\n", err.text);
		return EXIT_FAILURE;
	}
	if (!o.check)
		return start(conf, &o);
	if (spinat_state_check(conf, &err) != 0) {
		fprintf(stderr, "spinat: %s\n", err.text);
		spinat_conf_free(conf);
		return EXIT_FAILURE;
	}
	spinat_conf_print(conf, stdout);
	printf("memory: %u MiB\n", spinat_memory_wanted(conf));
	spinat_conf_free(conf);
	return EXIT_SUCCESS;
}
