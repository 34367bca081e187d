/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 the spinat authors
 */
#include <errno.h>
#include <glob.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <rte_eal.h>
#include <rte_errno.h>

#include "eal.h"

#define MAX_ARGS 64
#define ARG_LEN 512

struct args {
	int n;
	char *argv[MAX_ARGS + 1];
	char text[MAX_ARGS][ARG_LEN];
};

static void
add(struct args *a, const char *arg)
{
	if (a->n == MAX_ARGS)
		return;
	snprintf(a->text[a->n], ARG_LEN, "%s", arg);
	a->argv[a->n] = a->text[a->n];
	a->argv[++a->n] = NULL;
}

/*
 * Bytes a unit of each limit takes, all tables together, as allocated: a session is a flow (64), a
 * mapping (28) and a permit (12), five entries of an index (15 each) and its place in free lists.
 * Rounded up: what is not touched costs nothing.
 */
#define SESSION_BYTES 256
#define BINDING_BYTES 1472 /* two SPIs, half a client, five entries of an rte_hash, a shortcut */
#define CONTEST_BYTES 13312 /* an SPI that is not settled, with room for its candidates */
#define CONTESTS_MAX 4096u /* an eighth of the bindings, but no more */
#define IKE_BYTES 512
#define CLIENT_BYTES 132
#define BUFFER_BYTES 2432
#define REALM_MIB 160 /* rte_lpm takes 64 MiB and tbl8 groups, twice during a reload */
#define BASE_MIB 160

uint32_t
spinat_memory_wanted(const struct spinat_conf *conf)
{
	const uint64_t workers = conf->workers;
	const uint64_t buffers =
		conf->limits.buffers != 0
			? conf->limits.buffers
			: workers * (conf->n_devices * 4096u + conf->limits.fragments_held + 9216u);
	const uint64_t bytes =
		(uint64_t)conf->limits.sessions * SESSION_BYTES * 5 / 4 +
		workers * conf->limits.bindings * BINDING_BYTES +
		workers * RTE_MIN(conf->limits.bindings / 8, CONTESTS_MAX) * CONTEST_BYTES +
		workers * conf->limits.ike * IKE_BYTES +
		(uint64_t)conf->limits.clients * CLIENT_BYTES * 5 / 4 + 2 * buffers * BUFFER_BYTES;

	return BASE_MIB + conf->n_realms * REALM_MIB +
	       (uint64_t)conf->limits.neighbours * 2 / 1024 * conf->n_realms + (bytes >> 20);
}

/* Free hugepages of all sizes, MiB. */
static uint64_t
free_hugepages(void)
{
	uint64_t mib = 0;
	glob_t g;

	if (glob("/sys/kernel/mm/hugepages/hugepages-*kB", 0, NULL, &g) != 0)
		return 0;
	for (size_t i = 0; i < g.gl_pathc; i++) {
		unsigned long kib, pages = 0;
		char path[256];
		FILE *f;

		if (sscanf(strrchr(g.gl_pathv[i], '/'), "/hugepages-%lukB", &kib) != 1)
			continue;
		snprintf(path, sizeof(path), "%s/free_hugepages", g.gl_pathv[i]);
		f = fopen(path, "r");
		if (f == NULL)
			continue;
		if (fscanf(f, "%lu", &pages) == 1)
			mib += pages * kib / 1024;
		fclose(f);
	}
	globfree(&g);
	return mib;
}

/* The control lcore and the workers on the CPUs this process may use, in turn. */
static void
add_lcores(struct args *a, const struct spinat_conf *conf)
{
	int cpus[CPU_SETSIZE], n_cpus = 0;
	char text[ARG_LEN] = "";
	cpu_set_t set;
	size_t len = 0;

	if (conf->lcores[0] != '\0') {
		add(a, "--lcores");
		add(a, conf->lcores);
		return;
	}
	CPU_ZERO(&set);
	sched_getaffinity(0, sizeof(set), &set);
	for (int c = 0; c < CPU_SETSIZE; c++)
		if (CPU_ISSET(c, &set))
			cpus[n_cpus++] = c;
	for (int l = 0; l <= conf->workers && n_cpus > 0; l++)
		len += snprintf(text + len, sizeof(text) - len, "%s%d@%d", l > 0 ? "," : "", l,
			cpus[l % n_cpus]);
	add(a, "--lcores");
	add(a, text);
}

static bool
is_pci(const char *device)
{
	unsigned int domain, bus, slot, function;

	return sscanf(device, "%x:%x:%x.%u", &domain, &bus, &slot, &function) == 4 ||
	       sscanf(device, "%x:%x.%u", &bus, &slot, &function) == 3;
}

static void
add_devices(struct args *a, const struct spinat_conf *conf)
{
	bool any = false;

	for (uint16_t i = 0; i < conf->n_devices; i++) {
		if (!is_pci(conf->devices[i].args))
			continue;
		any = true;
		add(a, "-a");
		add(a, conf->devices[i].args);
	}
	if (!any)
		add(a, "--no-pci");
}

static void
add_memory(struct args *a, const struct spinat_conf *conf)
{
	const uint32_t wanted = spinat_memory_wanted(conf);
	char text[16];

	if (conf->hugepages && free_hugepages() >= wanted) {
		add(a, "--in-memory"); /* a killed process leaves no pages behind */
		return;
	}
	add(a, "--no-huge");
	add(a, "-m");
	snprintf(text, sizeof(text), "%u", conf->memory != 0 ? conf->memory : wanted);
	add(a, text);
}

/* The telemetry socket tells whether another process has the name. */
static int
check_name(const struct spinat_conf *conf, struct spinat_conf_error *err)
{
	struct sockaddr_un addr = {.sun_family = AF_UNIX};
	int fd = socket(AF_UNIX, SOCK_SEQPACKET, 0), rc;

	if (fd < 0)
		return -errno;
	snprintf(addr.sun_path, sizeof(addr.sun_path), "/var/run/dpdk/%s/dpdk_telemetry.v2",
		conf->name);
	rc = connect(fd, (struct sockaddr *)&addr, sizeof(addr));
	close(fd);
	if (rc != 0)
		return 0;
	snprintf(err->text, sizeof(err->text),
		"%s: name: '%s' is taken: another process answers on %s; stop it or choose another "
		"name",
		conf->path, conf->name, addr.sun_path);
	return -EADDRINUSE;
}

int
spinat_eal_start(
	const struct spinat_conf *conf, int argc, char **argv, struct spinat_conf_error *err)
{
	static struct args a; /* the EAL keeps pointers to its arguments */
	int rc = check_name(conf, err);

	if (rc != 0)
		return rc;
	add(&a, "spinat");
	add(&a, "--file-prefix");
	add(&a, conf->name);
	add(&a, "--log-level=lib.*:warning");
	add(&a, "--log-level=pmd.*:warning");
	add_lcores(&a, conf);
	add_memory(&a, conf);
	add_devices(&a, conf);
	for (int i = 0; i < argc; i++)
		add(&a, argv[i]);
	if (rte_eal_init(a.n, a.argv) >= 0)
		return 0;
	snprintf(err->text, sizeof(err->text),
		"DPDK's EAL did not start (%s): see its lines above; %u MiB of memory are wanted",
		rte_strerror(rte_errno), spinat_memory_wanted(conf));
	return -rte_errno;
}
