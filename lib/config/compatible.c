/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 the spinat authors
 */
#include <errno.h>
#include <inttypes.h>
#include <stdarg.h>
#include <string.h>

#include "config/conf.h"

/* What a running process cannot change. */

/* Two snapshots and where to say how they differ. */
struct change {
	const struct spinat_conf *from, *to;
	struct spinat_conf_error *err;
};

/* line 0: unknown, as for keys at the top level. */
static int refuse(const struct change *c, int line, const char *fmt, ...)
	__attribute__((format(printf, 3, 4)));

static int
refuse(const struct change *c, int line, const char *fmt, ...)
{
	size_t size = sizeof(c->err->text), len;
	va_list ap;

	if (line != 0)
		snprintf(c->err->text, size, "%s:%d: ", c->to->path, line);
	else
		snprintf(c->err->text, size, "%s: ", c->to->path);
	len = strlen(c->err->text);
	va_start(ap, fmt);
	vsnprintf(c->err->text + len, size - len, fmt, ap);
	va_end(ap);
	return -EBUSY;
}

static int
same_number(const struct change *c, const char *key, uint64_t from, uint64_t to)
{
	if (from == to)
		return 0;
	return refuse(c, 0, "%s: found %" PRIu64 ", running with %" PRIu64 ": needs a restart", key,
		to, from);
}

static int
same_text(const struct change *c, const char *key, const char *from, const char *to)
{
	if (strcmp(from, to) == 0)
		return 0;
	return refuse(c, 0, "%s: found \"%.100s\", running with \"%.100s\": needs a restart", key,
		to, from);
}

static int
check_process(const struct change *c)
{
	const struct spinat_conf *from = c->from, *to = c->to;

	if (same_text(c, "name", from->name, to->name) != 0 ||
		same_number(c, "workers", from->workers, to->workers) != 0 ||
		same_text(c, "lcores", from->lcores, to->lcores) != 0 ||
		same_text(c, "records.file", from->records.file, to->records.file) != 0 ||
		same_text(c, "records.ipfix", from->records.ipfix, to->records.ipfix) != 0 ||
		same_number(c, "memory", from->memory, to->memory) != 0 ||
		same_number(c, "hugepages", from->hugepages, to->hugepages) != 0)
		return -EBUSY;
#define SAME_LIMIT(member, key, def, lo, hi, text)                                      \
	if (same_number(c, "limits." key, from->limits.member, to->limits.member) != 0) \
		return -EBUSY;
	SPINAT_LIMITS(SAME_LIMIT)
#undef SAME_LIMIT
	return 0;
}

/* The MTU that the device itself was given at start. */
static uint16_t
device_mtu(const struct spinat_conf *conf, uint16_t device)
{
	uint16_t i, mtu = 0;

	for (i = 0; i < conf->n_ifaces; i++) {
		if (conf->ifaces[i].device == device && conf->ifaces[i].mtu > mtu)
			mtu = conf->ifaces[i].mtu;
	}
	return mtu;
}

static int
check_devices(const struct change *c)
{
	const struct spinat_device_conf *from, *to;
	uint16_t i;

	if (same_number(c, "number of devices", c->from->n_devices, c->to->n_devices) != 0)
		return -EBUSY;
	for (i = 0; i < c->to->n_devices; i++) {
		from = &c->from->devices[i];
		to = &c->to->devices[i];
		if (strcmp(from->args, to->args) != 0)
			return refuse(c, to->line,
				"device: found \"%.100s\", running with \"%.100s\": needs a "
				"restart",
				to->args, from->args);
		if (device_mtu(c->from, i) != device_mtu(c->to, i))
			return refuse(c, to->line,
				"largest mtu on device \"%.100s\": found %u, running with %u: "
				"needs a restart",
				to->args, device_mtu(c->to, i), device_mtu(c->from, i));
	}
	return 0;
}

static int
check_ifaces(const struct change *c)
{
	const struct spinat_iface_conf *from, *to;
	uint16_t i;

	if (same_number(c, "number of interfaces", c->from->n_ifaces, c->to->n_ifaces) != 0)
		return -EBUSY;
	for (i = 0; i < c->to->n_ifaces; i++) {
		from = &c->from->ifaces[i];
		to = &c->to->ifaces[i];
		if (from->device != to->device || from->vlan != to->vlan)
			return refuse(c, to->line,
				"interfaces[%u]: found vlan %u on device \"%.100s\", running with "
				"vlan %u on \"%.100s\": needs a restart",
				i, to->vlan, c->to->devices[to->device].args, from->vlan,
				c->from->devices[from->device].args);
	}
	return 0;
}

/* Ports that were given out in blocks of one size would get into the way of blocks of another. */
static int
check_realms(const struct change *c)
{
	const struct spinat_realm_conf *from, *to;
	uint16_t i;

	for (i = 0; i < c->from->n_realms && i < c->to->n_realms; i++) {
		from = &c->from->realms[i];
		to = &c->to->realms[i];
		if (from->port_allocation != to->port_allocation ||
			(to->port_allocation != SPINAT_PORTS_ANY &&
				from->block_size != to->block_size))
			return refuse(c, to->line,
				"realm %u: found another port_allocation or block_size than it "
				"runs with: needs a restart",
				i);
	}
	return 0;
}

static bool
same_driver(const struct spinat_driver_conf *a, const struct spinat_driver_conf *b)
{
	return strcmp(a->name, b->name) == 0 && a->given == b->given &&
	       a->rx_descriptors == b->rx_descriptors && a->tx_descriptors == b->tx_descriptors &&
	       a->rx_queues_max == b->rx_queues_max && a->promiscuous == b->promiscuous &&
	       a->rx_ip_checksum == b->rx_ip_checksum && a->tx_ip_checksum == b->tx_ip_checksum &&
	       a->rss_symmetric == b->rss_symmetric && a->rss_hf == b->rss_hf;
}

static int
check_drivers(const struct change *c)
{
	uint32_t i;

	if (same_text(c, "drivers_dir", c->from->drivers_dir, c->to->drivers_dir) != 0 ||
		same_number(c, "number of drivers", c->from->n_drivers, c->to->n_drivers) != 0)
		return -EBUSY;
	for (i = 0; i < c->to->n_drivers; i++) {
		if (!same_driver(&c->from->drivers[i], &c->to->drivers[i]))
			return refuse(c, c->to->drivers[i].line,
				"drivers.%s: found other values than the devices run with: "
				"needs a restart",
				c->to->drivers[i].name);
	}
	return 0;
}

int
spinat_conf_compatible(
	const struct spinat_conf *from, const struct spinat_conf *to, struct spinat_conf_error *err)
{
	const struct change c = {from, to, err};

	if (check_process(&c) != 0 || check_devices(&c) != 0 || check_ifaces(&c) != 0 ||
		check_drivers(&c) != 0 || check_realms(&c) != 0)
		return -EBUSY;
	return 0;
}
