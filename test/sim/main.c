/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 the spinat authors
 */
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include <rte_eal.h>

#include "report.h"
#include "scenario.h"

/* spinat-sim: the SPI binder and its opponents in a simulated world; tools/spi-sim runs it. */

/* Limits of the configuration: enough for any world, and not the memory of a large box. */
#define BINDINGS 8192
#define BINDINGS_EACH 16
#define IKES 2048
#define IKES_EACH 8

static const struct mode {
	const char *name;
	const struct box_ops *box;
	const char *ambiguity; /* of the realm */
} modes[] = {
	{"fanout", &box_binder, "fanout"},
	{"serialise", &box_binder, "serialise"},
	{"newest", &box_binder, "newest"},
	{"drop", &box_binder, "drop"},
	{"fifo", &box_fifo, "fanout"},
	{"gate", &box_gate, "fanout"},
};

struct options {
	struct sim_params p;
	const struct mode *mode;
	const struct scenario *scenario;
};

static const char usage_text[] =
	"usage: spinat-sim [--clients N] [--window SECONDS] [--seconds SECONDS] [--rekey SECONDS]\n"
	"                  [--mode fanout|serialise|newest|drop|fifo|gate] [--seed K]\n"
	"                  [--scenario T1..T23] [--gateways N] [--outside N] [--loss SHARE]\n"
	"                  [--one-way SHARE] [--sequential-spis] [--list]\n"
	"Prints one JSON object. Exit status 1: the scenario does not hold what it states.\n";

static _Noreturn void
usage(const char *why, const char *what)
{
	fprintf(stderr, "spinat-sim: %s '%s'\n%s", why, what, usage_text);
	exit(2);
}

static const struct mode *
find_mode(const char *name)
{
	size_t i;

	for (i = 0; i < RTE_DIM(modes); i++)
		if (strcmp(modes[i].name, name) == 0)
			return &modes[i];
	return NULL;
}

static double
number(const char *text, double lo, double hi)
{
	char *end;
	double x = strtod(text, &end);

	if (end == text || *end != '\0' || !(x >= lo && x <= hi))
		usage("not a number in range:", text);
	return x;
}

static void
read_options(int argc, char **argv, struct options *o)
{
	enum {
		CLIENTS = 1,
		WINDOW,
		SECONDS,
		REKEY,
		MODE,
		SEED,
		SCENARIO,
		GATEWAYS,
		OUTSIDE,
		LOSS,
		ONE_WAY,
		SEQUENTIAL,
		LIST,
		HELP
	};
	static const struct option names[] = {
		{"clients", 1, NULL, CLIENTS},
		{"window", 1, NULL, WINDOW},
		{"seconds", 1, NULL, SECONDS},
		{"rekey", 1, NULL, REKEY},
		{"mode", 1, NULL, MODE},
		{"seed", 1, NULL, SEED},
		{"scenario", 1, NULL, SCENARIO},
		{"gateways", 1, NULL, GATEWAYS},
		{"outside", 1, NULL, OUTSIDE},
		{"loss", 1, NULL, LOSS},
		{"one-way", 1, NULL, ONE_WAY},
		{"sequential-spis", 0, NULL, SEQUENTIAL},
		{"list", 0, NULL, LIST},
		{"help", 0, NULL, HELP},
		{NULL, 0, NULL, 0},
	};
	int c;

	while ((c = getopt_long(argc, argv, "", names, NULL)) != -1) {
		switch (c) {
		case CLIENTS:
			o->p.clients = number(optarg, 1, 20000);
			break;
		case WINDOW:
			o->p.window_s = number(optarg, 0, 3600);
			break;
		case SECONDS:
			o->p.seconds = number(optarg, 0, 3600);
			break;
		case REKEY:
			o->p.rekey_s = number(optarg, 0, 1e6);
			break;
		case MODE:
			o->mode = find_mode(optarg);
			if (o->mode == NULL)
				usage("no mode", optarg);
			break;
		case SEED:
			o->p.seed = number(optarg, 0, 1e15);
			break;
		case SCENARIO:
			o->scenario = scenario_find(optarg);
			if (o->scenario == NULL)
				usage("no scenario", optarg);
			break;
		case GATEWAYS:
			o->p.gateways = number(optarg, 1, 64);
			break;
		case OUTSIDE:
			o->p.outside = number(optarg, 1, 64);
			break;
		case LOSS:
			o->p.loss = number(optarg, 0, 1);
			break;
		case ONE_WAY:
			o->p.apps[APP_FROM_GATEWAY] = number(optarg, 0, 0.5);
			o->p.apps[APP_FROM_CLIENT] = o->p.apps[APP_FROM_GATEWAY];
			break;
		case SEQUENTIAL:
			o->p.sequential_spis = true;
			break;
		case LIST:
			scenario_list(stdout);
			exit(0);
		case HELP:
			fputs(usage_text, stdout);
			exit(0);
		default:
			usage("options are those below;", argv[optind - 1]);
		}
	}
	if (optind < argc)
		usage("no option:", argv[optind]);
}

/* What the appliance would load, but for the places of its devices. */
static struct spinat_conf *
load_conf(const struct sim_params *p, const struct mode *mode)
{
	int fd = memfd_create("spinat-sim", MFD_CLOEXEC);
	FILE *f = fd >= 0 ? fdopen(fd, "w") : NULL;
	struct spinat_conf_error err;
	struct spinat_conf *conf;
	char path[64];

	if (f == NULL)
		sim_fail("no memory for the configuration");
	fprintf(f,
		"name = \"sim\";\n"
		"interfaces = (\n"
		"  { name = \"lan\"; device = \"net_null0\"; role = \"inside\";\n"
		"    addresses = [ \"10.255.255.254/8\" ]; },\n"
		"  { name = \"wan\"; device = \"net_null1\"; role = \"outside\";\n"
		"    addresses = [ \"198.51.100.1/24\" ]; }\n"
		");\n"
		"realms = ( { id = 0; pool = [ \"198.51.100.1-198.51.100.%u\" ];\n"
		"             ah = \"translate\"; ambiguity = \"%s\"; } );\n"
		"limits = { bindings = %u; ike = %u; };\n",
		p->outside, mode->ambiguity, BINDINGS + BINDINGS_EACH * p->clients,
		IKES + IKES_EACH * p->clients);
	fflush(f);
	snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	conf = spinat_conf_load(path, &err);
	fclose(f);
	if (conf == NULL)
		sim_fail(err.text);
	return conf;
}

static bool
run(const struct options *o)
{
	struct sim s = {.p = o->p, .box_ops = o->mode->box};
	const char *failed = NULL;

	s.conf = load_conf(&o->p, o->mode);
	printf("{\n  \"mode\": \"%s\",\n  \"seed\": %" PRIu64 ",\n  \"clients\": %u,\n",
		o->mode->name, o->p.seed, o->p.clients);
	if (o->scenario != NULL) {
		failed = scenario_run(&s, o->scenario);
		scenario_print(stdout, o->scenario, failed);
	} else {
		sim_create(&s);
		sim_run_crowd(&s);
		printf("  \"window_s\": %g,\n  \"seconds\": %g,\n", o->p.window_s, o->p.seconds);
	}
	report_json(stdout, &s);
	printf("}\n");
	sim_destroy(&s);
	spinat_conf_free(s.conf);
	return failed == NULL;
}

int
main(int argc, char **argv)
{
	struct options o = {.p = sim_defaults(), .mode = &modes[0]};
	char *eal[] = {"spinat-sim", "--no-huge", "--no-shconf", "--no-pci", "--no-telemetry", "-m",
		"1024", "-l", "0", "--log-level=error", NULL};
	bool ok;

	read_options(argc, argv, &o);
	if (rte_eal_init(RTE_DIM(eal) - 1, eal) < 0)
		sim_fail("DPDK's EAL did not start");
	ok = run(&o);
	rte_eal_cleanup();
	return ok ? 0 : 1;
}
