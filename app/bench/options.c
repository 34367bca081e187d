/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 the spinat authors
 */
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <rte_common.h>

#include "during.h"
#include "options.h"

static void
usage(FILE *out)
{
	fprintf(out, "usage: spinat-bench --work NAME [OPTION]... [-- EAL arguments]\n"
		     "       spinat-bench --inside DEVICE --outside DEVICE [OPTION]...\n"
		     "       spinat-bench --config FILE [OPTION]...\n"
		     "      --sessions N       flows (default 65536)\n"
		     "      --capacity N       room for so many (default: as many as there are)\n"
		     "      --seconds S        time to measure a case (default 1)\n"
		     "      --cpu N            CPU that is measured (default 1)\n"
		     "      --generator-cpu N  CPU of the generator with --split (default 0)\n"
		     "      --split            generator on a CPU of its own\n"
		     "      --count N          make the flows, send N batches untimed, print how\n"
		     "                         many packets that were: for callgrind\n"
		     "      --latency          generator on a CPU of its own: find the rate "
		     "without loss, and\n"
		     "                         the latency at 10, 50 and 90 %% of it\n"
		     "      --during WHAT      time turns with and without: reload, dump, aging\n"
		     "      --workers N        N workers at once, on both CPUs by turns\n"
		     "      --rss N            which packets RSS gives to N workers that do not "
		     "own them\n"
		     "      --inside DEVICE, --outside DEVICE\n"
		     "                         forward between devices of the EAL for --seconds, "
		     "print what it took\n"
		     "      --config FILE      the same with a configuration of spinat\n"
		     "      --memory           print the MiB of memory it would take, and exit\n"
		     "      --list             print the works, and exit\n"
		     "  -h, --help             print this, and exit\n");
}

static void
list(void)
{
	for (const struct bench_work *w = bench_works; w->name != NULL; w++)
		printf("%s\t%s\n", w->name, w->text);
}

bool
bench_options_ports(const struct bench_options *o)
{
	return o->config != NULL || o->box.device[SPINAT_OUT] != bench_device[SPINAT_OUT];
}

static bool
are_sound(const struct bench_options *o)
{
	if (bench_options_ports(o) && (o->work != NULL || o->split || o->count || o->latency ||
					      o->during != NULL || o->rss > 0)) {
		fprintf(stderr, "spinat-bench: devices go with no work\n");
		return false;
	}
	if ((o->box.device[SPINAT_OUT] == bench_device[SPINAT_OUT]) !=
			(o->box.device[SPINAT_IN] == bench_device[SPINAT_IN]) ||
		(o->config != NULL && o->box.device[SPINAT_OUT] != bench_device[SPINAT_OUT])) {
		fprintf(stderr, "spinat-bench: --inside and --outside, or --config\n");
		return false;
	}
	if (o->during != NULL && !bench_during_known(o->during)) {
		fprintf(stderr, "spinat-bench: --during reload, dump or aging\n");
		return false;
	}
	if ((o->work == NULL && !bench_options_ports(o)) || o->box.sessions == 0 ||
		o->box.sessions > BENCH_FLOWS_MAX) {
		fprintf(stderr, "spinat-bench: a --work of --list, and --sessions up to %u\n",
			BENCH_FLOWS_MAX);
		return false;
	}
	if (o->work != NULL && o->work->candidates > 0 &&
		(o->count || o->latency || o->during != NULL || o->split || o->rss > 0)) {
		fprintf(stderr, "spinat-bench: %s goes with no other option\n", o->work->name);
		return false;
	}
	if (o->box.workers != 1 &&
		(o->box.workers < 1 || o->box.workers > SPINAT_MAX_WORKERS ||
			(o->work != NULL && o->work->percent[BENCH_UDP] != 100))) {
		fprintf(stderr, "spinat-bench: --workers from 2 to %u, and a work of UDP\n",
			SPINAT_MAX_WORKERS);
		return false;
	}
	if (o->rss > SPINAT_MAX_WORKERS) {
		fprintf(stderr, "spinat-bench: --rss up to %u\n", SPINAT_MAX_WORKERS);
		return false;
	}
	return true;
}

int
bench_options_parse(int argc, char **argv, struct bench_options *o)
{
	static const struct option longs[] = {{"work", required_argument, NULL, 'w'},
		{"sessions", required_argument, NULL, 'n'},
		{"seconds", required_argument, NULL, 's'}, {"cpu", required_argument, NULL, 'c'},
		{"generator-cpu", required_argument, NULL, 'g'}, {"split", no_argument, NULL, 'p'},
		{"during", required_argument, NULL, 'd'}, {"latency", no_argument, NULL, 't'},
		{"count", required_argument, NULL, 'k'}, {"memory", no_argument, NULL, 'm'},
		{"capacity", required_argument, NULL, 'C'},
		{"workers", required_argument, NULL, 'W'}, {"rss", required_argument, NULL, 'r'},
		{"inside", required_argument, NULL, 'i'}, {"outside", required_argument, NULL, 'o'},
		{"config", required_argument, NULL, 'f'}, {"list", no_argument, NULL, 'l'},
		{"help", no_argument, NULL, 'h'}, {NULL, 0, NULL, 0}};
	int opt;

	while ((opt = getopt_long(argc, argv, "+h", longs, NULL)) != -1) {
		switch (opt) {
		case 'w':
			o->work = bench_work_find(optarg);
			break;
		case 'n':
			o->box.sessions = strtoul(optarg, NULL, 0);
			break;
		case 's':
			o->seconds = strtod(optarg, NULL);
			break;
		case 'c':
			o->cpu = strtoul(optarg, NULL, 0);
			break;
		case 'g':
			o->generator_cpu = strtoul(optarg, NULL, 0);
			break;
		case 'p':
			o->split = true;
			break;
		case 'k':
			o->count = true;
			o->batches = strtoul(optarg, NULL, 0);
			break;
		case 'd':
			o->during = optarg;
			break;
		case 't':
			o->latency = o->split = true;
			break;
		case 'C':
			o->box.capacity = strtoul(optarg, NULL, 0);
			break;
		case 'W':
			o->box.workers = strtoul(optarg, NULL, 0);
			break;
		case 'r':
			o->rss = strtoul(optarg, NULL, 0);
			break;
		case 'i':
			o->box.device[SPINAT_OUT] = optarg;
			break;
		case 'o':
			o->box.device[SPINAT_IN] = optarg;
			break;
		case 'f':
			o->config = optarg;
			break;
		case 'm':
			o->memory = true;
			break;
		case 'l':
			list();
			return 0;
		default:
			usage(opt == 'h' ? stdout : stderr);
			return opt == 'h' ? 0 : 2;
		}
	}
	if (!are_sound(o))
		return 2;
	o->box.capacity = RTE_MAX(o->box.capacity, o->box.sessions);
	o->eal_argc = argc - optind;
	o->eal_argv = argv + optind;
	return -1;
}
