/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 the spinat authors
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include <rte_pci.h>

#include "config/sections.h"
#include "config/text.h"

/* interfaces, routes, neighbours */

/* An index in conf->ifaces, from its name. */
static int
read_iface_name(
	struct conf_loader *l, const config_setting_t *s, const struct conf_field *f, void *out)
{
	const char *text = config_setting_get_string(s);
	uint16_t i;

	for (i = 0; text != NULL && i < l->conf->n_ifaces; i++) {
		if (strcmp(l->conf->ifaces[i].name, text) == 0) {
			memcpy((uint8_t *)out + f->offset, &i, sizeof(i));
			return 0;
		}
	}
	return conf_expected_field(l, s, f);
}

/* All before the first comma of EAL's device arguments names the device. PCI addresses have several
 * spellings; DPDK's is kept. */
static int
parse_device(const char *text, struct spinat_device_conf *device)
{
	size_t len = strcspn(text, ",");
	struct rte_pci_addr pci;

	if (len == 0 || text[0] == '-' || strchr(text, ' ') != NULL)
		return -EINVAL;
	snprintf(device->args, sizeof(device->args), "%.*s", (int)len, text);
	if (rte_pci_addr_parse(device->args, &pci) == 0)
		rte_pci_device_name(&pci, device->args, sizeof(device->args));
	len = strlen(device->args) + strlen(text + len);
	if (len >= sizeof(device->args))
		return -EINVAL;
	strcat(device->args, text + strcspn(text, ","));
	return 0;
}

/* The interface before this one that is on the device, or NULL. */
static const struct spinat_iface_conf *
find_device(const struct spinat_conf *conf, const struct spinat_device_conf *device)
{
	size_t len = strcspn(device->args, ",");
	const char *args;
	uint16_t i;

	for (i = 0; i < conf->n_ifaces; i++) {
		args = conf->devices[conf->ifaces[i].device].args;
		if (strcspn(args, ",") == len && strncmp(args, device->args, len) == 0)
			return &conf->ifaces[i];
	}
	return NULL;
}

/* Interfaces of one device share its entry in conf->devices. */
static int
read_device(struct conf_loader *l, const config_setting_t *s, const struct conf_field *f, void *out)
{
	struct spinat_conf *conf = l->conf;
	struct spinat_iface_conf *iface = out;
	struct spinat_device_conf device = {.line = config_setting_source_line(s)};
	struct conf_field text = {.size = sizeof(device.args), .expected = f->expected};
	const struct spinat_iface_conf *other;

	if (conf_read_text(l, s, &text, &device.args) != 0)
		return -EINVAL;
	if (parse_device(config_setting_get_string(s), &device) != 0)
		return conf_expected_field(l, s, f);
	other = find_device(conf, &device);
	if (other == NULL) {
		if (conf->n_devices == SPINAT_MAX_DEVICES)
			return conf_expected(l, s, "%u devices at most", SPINAT_MAX_DEVICES);
		iface->device = conf->n_devices;
		conf->devices[conf->n_devices++] = device;
		return 0;
	}
	if (strcmp(conf->devices[other->device].args, device.args) != 0)
		return conf_clash(l, s, "the same arguments as",
			conf_at(conf_element(l, "interfaces", other - conf->ifaces), "device"));
	iface->device = other->device;
	return 0;
}

static int
read_iface_addr(struct conf_loader *l, const config_setting_t *s, const struct conf_field *f,
	struct spinat_prefix *addr)
{
	const char *text = config_setting_get_string(s);
	uint32_t host;

	if (text == NULL || !conf_parse_prefix(text, addr) || addr->len == 0)
		return conf_expected(l, s, "%s", f->expected);
	host = rte_be_to_cpu_32(addr->addr);
	if (!conf_is_host(host))
		return conf_expected(l, s, "an address that a host can have");
	if (conf_is_subnet_edge(host, addr->len))
		return conf_expected(
			l, s, "a host's address, not the subnet's network or broadcast address");
	return 0;
}

static int
read_iface_addrs(
	struct conf_loader *l, const config_setting_t *s, const struct conf_field *f, void *out)
{
	struct spinat_iface_conf *iface = out;
	int i, n = conf_list_len(l, s, f, SPINAT_MAX_IFACE_ADDRS);

	if (n < 0)
		return -EINVAL;
	if (n == 0)
		return conf_fail(l, s, "found no address, expected %s", f->expected);
	for (i = 0; i < n; i++) {
		if (read_iface_addr(l, config_setting_get_elem(s, i), f, &iface->addrs[i]) != 0)
			return -EINVAL;
	}
	iface->n_addrs = n;
	return 0;
}

static const struct conf_word role_words[] = {
	{"inside", SPINAT_INSIDE}, {"outside", SPINAT_OUTSIDE}, {NULL, 0}};

static const struct conf_field iface_fields[] = {
	CONF_VALUE(struct spinat_iface_conf, name, "name", conf_read_name, true,
		"1 to 31 of A-Z a-z 0-9 _ -"),
	CONF_VALUE(struct spinat_iface_conf, device, "device", read_device, true,
		"a device of EAL, like \"0000:01:00.0\" or \"net_tap0,iface=t0\""),
	CONF_NUMBER(struct spinat_iface_conf, vlan, "vlan", 0, 0, 4094),
	{.key = "role",
		.read = conf_read_word,
		CONF_MEMBER(struct spinat_iface_conf, role),
		.required = true,
		.words = role_words},
	CONF_NUMBER(struct spinat_iface_conf, realm, "realm", 0, 0, SPINAT_MAX_REALMS - 1),
	CONF_VALUE(struct spinat_iface_conf, addrs, "addresses", read_iface_addrs, true,
		"addresses with prefix length, like [ \"192.0.2.2/24\" ]"),
	CONF_NUMBER(struct spinat_iface_conf, mtu, "mtu", 1500, 68, 9600),
};

const struct conf_section conf_iface_section = {"interfaces", iface_fields, RTE_DIM(iface_fields)};

int
conf_read_interfaces(struct conf_loader *l, const config_setting_t *s, const struct conf_field *f,
	void *out __rte_unused)
{
	struct spinat_conf *conf = l->conf;
	struct spinat_iface_conf *iface;
	const config_setting_t *e;
	int i, n = conf_list_len(l, s, f, SPINAT_MAX_IFACES);

	for (i = 0; i < n; i++) {
		e = config_setting_get_elem(s, i);
		iface = &conf->ifaces[i];
		conf_set_defaults(iface_fields, RTE_DIM(iface_fields), iface);
		if (conf_read_group(l, e, iface_fields, RTE_DIM(iface_fields), iface) != 0)
			return -EINVAL;
		iface->line = config_setting_source_line(e);
		if (iface->role == SPINAT_OUTSIDE && config_setting_get_member(e, "realm") != NULL)
			return conf_expected(l, conf_at(e, "realm"),
				"no realm: an outside interface serves them all");
		conf->n_ifaces++;
	}
	return n < 0 ? -EINVAL : 0;
}

static const struct conf_field route_fields[] = {
	CONF_VALUE(struct spinat_route_conf, to, "to", conf_read_network, true,
		"a prefix like \"10.1.0.0/16\""),
	CONF_VALUE(struct spinat_route_conf, via, "via", conf_read_host, true,
		"a host's IPv4 address"),
	CONF_NUMBER(struct spinat_route_conf, realm, "realm", 0, 0, SPINAT_MAX_REALMS - 1),
};

const struct conf_section conf_route_section = {"routes", route_fields, RTE_DIM(route_fields)};

static bool
iface_reaches(const struct spinat_iface_conf *iface, rte_be32_t addr)
{
	uint16_t i;

	for (i = 0; i < iface->n_addrs; i++) {
		if (conf_in_prefix(addr, &iface->addrs[i]))
			return true;
	}
	return false;
}

/* The interface whose subnet holds via: of the route's realm, or of any kind where it names none. */
static int
find_via(struct conf_loader *l, const config_setting_t *s, struct spinat_route_conf *route)
{
	const struct spinat_conf *conf = l->conf;
	bool any_realm = config_setting_get_member(s, "realm") == NULL;
	const struct spinat_iface_conf *iface;
	int i, found = -1;

	for (i = 0; i < conf->n_ifaces; i++) {
		iface = &conf->ifaces[i];
		if (!iface_reaches(iface, route->via))
			continue;
		if (!any_realm && (iface->role != SPINAT_INSIDE || iface->realm != route->realm))
			continue;
		if (found >= 0)
			return conf_expected(l, conf_at(s, "via"),
				"a realm beside it: interfaces %s and %s both have its subnet",
				conf->ifaces[found].name, iface->name);
		found = i;
	}
	if (found < 0 && any_realm)
		return conf_expected(l, conf_at(s, "via"), "an address in an interface's subnet");
	if (found < 0)
		return conf_expected(l, conf_at(s, "via"),
			"an address in the subnet of an inside interface of realm %u",
			route->realm);
	route->iface = found;
	route->realm = conf->ifaces[found].realm;
	return 0;
}

int
conf_read_routes(struct conf_loader *l, const config_setting_t *s, const struct conf_field *f,
	void *out __rte_unused)
{
	struct spinat_conf *conf = l->conf;
	struct spinat_route_conf *route;
	const config_setting_t *e;
	int i, n = conf_list_len(l, s, f, conf->limits.routes);

	if (n <= 0)
		return n;
	conf->routes = calloc(n, sizeof(*conf->routes));
	if (conf->routes == NULL)
		return conf_no_memory(l);
	for (i = 0; i < n; i++) {
		e = config_setting_get_elem(s, i);
		route = &conf->routes[i];
		if (conf_read_group(l, e, route_fields, RTE_DIM(route_fields), route) != 0 ||
			find_via(l, e, route) != 0)
			return -EINVAL;
		route->line = config_setting_source_line(e);
	}
	conf->n_routes = n;
	return 0;
}

static const struct conf_field neigh_fields[] = {
	CONF_VALUE(struct spinat_neigh_conf, iface, "interface", read_iface_name, true,
		"the name of an interface"),
	CONF_VALUE(struct spinat_neigh_conf, addr, "address", conf_read_host, true,
		"a host's IPv4 address"),
	CONF_VALUE(struct spinat_neigh_conf, mac, "mac", conf_read_mac, true,
		"a unicast MAC address like \"02:00:00:00:00:01\""),
};

const struct conf_section conf_neigh_section = {"neighbours", neigh_fields, RTE_DIM(neigh_fields)};

int
conf_read_neighbours(struct conf_loader *l, const config_setting_t *s, const struct conf_field *f,
	void *out __rte_unused)
{
	struct spinat_conf *conf = l->conf;
	struct spinat_neigh_conf *neigh;
	const config_setting_t *e;
	int i, n = conf_list_len(l, s, f, conf->limits.neighbours);

	if (n <= 0)
		return n;
	conf->neighs = calloc(n, sizeof(*conf->neighs));
	if (conf->neighs == NULL)
		return conf_no_memory(l);
	for (i = 0; i < n; i++) {
		e = config_setting_get_elem(s, i);
		neigh = &conf->neighs[i];
		if (conf_read_group(l, e, neigh_fields, RTE_DIM(neigh_fields), neigh) != 0)
			return -EINVAL;
		neigh->line = config_setting_source_line(e);
		if (!iface_reaches(&conf->ifaces[neigh->iface], neigh->addr))
			return conf_expected(l, conf_at(e, "address"),
				"an address in a subnet of interface %s",
				conf->ifaces[neigh->iface].name);
	}
	conf->n_neighs = n;
	return 0;
}
