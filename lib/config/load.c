/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 the spinat authors
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include <rte_log.h>

#include "config/sections.h"
#include "config/text.h"

/* The top level of the file, its groups of plain numbers, and the order of a load. */

#define NUMBER(group, member, key, def, lo, hi) \
	CONF_NUMBER(struct spinat_conf, group.member, key, def, lo, hi)
#define TIMEOUT(member, key, def, lo, hi, text) NUMBER(timeouts, member, key, def, lo, hi),
#define LIMIT(member, key, def, lo, hi, text) NUMBER(limits, member, key, def, lo, hi),

static const struct conf_field timeout_fields[] = {SPINAT_TIMEOUTS(TIMEOUT)};
static const struct conf_field limit_fields[] = {SPINAT_LIMITS(LIMIT)};
static const struct conf_field port_fields[] = {
	CONF_NUMBER(struct spinat_conf, port_first, "first", 1024, 1, 65535),
	CONF_NUMBER(struct spinat_conf, port_last, "last", 65535, 1, 65535),
};

static int
read_state_file(
	struct conf_loader *l, const config_setting_t *s, const struct conf_field *f, void *out)
{
	const char *text = config_setting_get_string(s);

	/* a daemon's working directory is nobody's choice */
	if (text == NULL || text[0] != '/' || text[strlen(text) - 1] == '/')
		return conf_expected_field(l, s, f);
	l->conf->checkpoint.line = (int)config_setting_source_line(s);
	return conf_read_text(l, s, f, out);
}

static const struct conf_field checkpoint_fields[] = {
	CONF_VALUE(struct spinat_conf, checkpoint.file, "file", read_state_file, true,
		"the absolute path of a file, of at most 239 characters"),
	CONF_NUMBER(struct spinat_conf, checkpoint.interval, "interval", 10, 1, 86400),
};

static int
read_records_file(
	struct conf_loader *l, const config_setting_t *s, const struct conf_field *f, void *out)
{
	const char *text = config_setting_get_string(s);

	if (text == NULL || text[0] != '/' || text[strlen(text) - 1] == '/')
		return conf_expected_field(l, s, f);
	return conf_read_text(l, s, f, out);
}

/* Protocol, address and port of a collector, or a file. */
static int
read_ipfix(struct conf_loader *l, const config_setting_t *s, const struct conf_field *f, void *out)
{
	const char *text = config_setting_get_string(s);
	struct spinat_conf *conf = l->conf;
	char protocol[4], addr[16], digits[6], rest;
	unsigned long port;

	if (text == NULL || text[0] == '/')
		return read_records_file(l, s, f, out);
	if (sscanf(text, "%3[a-z]:%15[0-9.]:%5[0-9]%c", protocol, addr, digits, &rest) != 3 ||
		(strcmp(protocol, "udp") != 0 && strcmp(protocol, "tcp") != 0) ||
		!conf_parse_addr(addr, &conf->records.collector))
		return conf_expected_field(l, s, f);
	port = strtoul(digits, NULL, 10);
	if (port == 0 || port > UINT16_MAX)
		return conf_expected_field(l, s, f);
	conf->records.transport = protocol[0] == 'u' ? SPINAT_IPFIX_UDP : SPINAT_IPFIX_TCP;
	conf->records.collector_port = rte_cpu_to_be_16(port);
	return conf_read_text(l, s, f, out);
}

static const struct conf_field records_fields[] = {
	CONF_VALUE(struct spinat_conf, records.file, "file", read_records_file, false,
		"the absolute path of a file, of at most 255 characters"),
	CONF_VALUE(struct spinat_conf, records.ipfix, "ipfix", read_ipfix, false,
		"a collector as udp:192.0.2.50:4739 or tcp:192.0.2.50:4739, or the absolute path "
		"of a file, of at most 255 characters"),
	CONF_BOOL(struct spinat_conf, records.sessions, "sessions", false),
	CONF_BOOL(struct spinat_conf, records.blocks, "blocks", true),
	CONF_BOOL(struct spinat_conf, records.refusals, "refusals", true),
	CONF_BOOL(struct spinat_conf, records.destinations, "destinations", false),
};

const struct conf_section conf_records_section = {
	"records", records_fields, RTE_DIM(records_fields)};
const struct conf_section conf_checkpoint_section = {
	"checkpoint", checkpoint_fields, RTE_DIM(checkpoint_fields)};
const struct conf_section conf_timeouts_section = {
	"timeouts", timeout_fields, RTE_DIM(timeout_fields)};
const struct conf_section conf_limits_section = {"limits", limit_fields, RTE_DIM(limit_fields)};
const struct conf_section conf_ports_section = {"ports", port_fields, RTE_DIM(port_fields)};

static int
read_section(struct conf_loader *l, const config_setting_t *s, const struct conf_section *section)
{
	return conf_read_group(l, s, section->fields, section->n, l->conf);
}

static int
read_checkpoint(struct conf_loader *l, const config_setting_t *s,
	const struct conf_field *f __rte_unused, void *out __rte_unused)
{
	return read_section(l, s, &conf_checkpoint_section);
}

static int
read_records(struct conf_loader *l, const config_setting_t *s,
	const struct conf_field *f __rte_unused, void *out __rte_unused)
{
	const config_setting_t *file, *ipfix;

	if (read_section(l, s, &conf_records_section) != 0)
		return -EINVAL;
	file = config_setting_get_member(s, "file");
	ipfix = config_setting_get_member(s, "ipfix");
	if (file != NULL && ipfix != NULL)
		return conf_clash(l, ipfix, "one of the two, but there is also", file);
	if (file == NULL && ipfix == NULL)
		return conf_expected(l, s, "one with file or ipfix");
	return 0;
}

static int
read_timeouts(struct conf_loader *l, const config_setting_t *s,
	const struct conf_field *f __rte_unused, void *out __rte_unused)
{
	return read_section(l, s, &conf_timeouts_section);
}

/* A limit of a part above that of the whole would never be met. */
static int
check_part(struct conf_loader *l, const config_setting_t *s, const char *key, uint32_t value,
	const char *whole, uint32_t size)
{
	const config_setting_t *part = config_setting_get_member(s, key);
	const config_setting_t *other = config_setting_get_member(s, whole);

	if (part == NULL || value <= size)
		return 0;
	if (other == NULL)
		return conf_expected(
			l, part, "at most limits.%s, which is %u by default", whole, size);
	return conf_clash(l, part, "at most", other);
}

static int
read_limits(struct conf_loader *l, const config_setting_t *s,
	const struct conf_field *f __rte_unused, void *out __rte_unused)
{
	const struct spinat_conf *conf = l->conf;

	if (read_section(l, s, &conf_limits_section) != 0 ||
		check_part(l, s, "mappings", conf->limits.mappings, "sessions",
			conf->limits.sessions) != 0 ||
		check_part(l, s, "bindings_per_client", conf->limits.bindings_per_client,
			"bindings", conf->limits.bindings) != 0)
		return -EINVAL;
	return check_part(l, s, "bindings_per_gateway", conf->limits.bindings_per_gateway,
		"bindings", conf->limits.bindings);
}

static int
read_ports(struct conf_loader *l, const config_setting_t *s,
	const struct conf_field *f __rte_unused, void *out __rte_unused)
{
	if (read_section(l, s, &conf_ports_section) != 0)
		return -EINVAL;
	if (l->conf->port_first <= l->conf->port_last)
		return 0;
	return conf_expected(
		l, conf_at(s, "last"), "at least ports.first, which is %u", l->conf->port_first);
}

static int
read_lcores(struct conf_loader *l, const config_setting_t *s, const struct conf_field *f, void *out)
{
	const char *text = config_setting_get_string(s);

	if (text == NULL || text[strspn(text, "0123456789,-@()")] != '\0')
		return conf_expected_field(l, s, f);
	return conf_read_text(l, s, f, out);
}

static const struct conf_word power_words[] = {{"poll", false}, {"idle", true}, {NULL, 0}};
static const struct conf_word log_words[] = {
	{"debug", RTE_LOG_DEBUG},
	{"info", RTE_LOG_INFO},
	{"notice", RTE_LOG_NOTICE},
	{"warning", RTE_LOG_WARNING},
	{"error", RTE_LOG_ERR},
	{NULL, 0},
};

#define LIST(key_, read_, required_, expected_)                                          \
	{                                                                                \
		.key = key_, .read = read_, .required = required_, .expected = expected_ \
	}

/* Read in this order, whatever the file's: later keys refer to what earlier ones define. */
static const struct conf_field root_fields[] = {
	CONF_VALUE(struct spinat_conf, name, "name", conf_read_name, false,
		"1 to 31 of A-Z a-z 0-9 _ -"),
	CONF_NUMBER(struct spinat_conf, workers, "workers", 1, 1, SPINAT_MAX_WORKERS),
	CONF_VALUE(struct spinat_conf, lcores, "lcores", read_lcores, false,
		"a list of lcores as EAL's --lcores takes it, like \"0@0,1@1\""),
	CONF_NUMBER(struct spinat_conf, memory, "memory", 0, 64, 1048576),
	CONF_BOOL(struct spinat_conf, hugepages, "hugepages", true),
	CONF_WORD(struct spinat_conf, idle_sleep, "power", false, power_words),
	CONF_VALUE(struct spinat_conf, drivers_dir, "drivers_dir", conf_read_text, false,
		"a folder's path of at most 255 characters"),
	CONF_WORD(struct spinat_conf, log_level, "log_level", RTE_LOG_INFO, log_words),
	LIST("checkpoint", read_checkpoint, false, "a group with file and interval"),
	LIST("records", read_records, false, "a group with file or ipfix and what to record"),
	LIST("timeouts", read_timeouts, false, "a group of timeouts"),
	LIST("limits", read_limits, false, "a group of limits"),
	LIST("ports", read_ports, false, "a group with first and last"),
	LIST("interfaces", conf_read_interfaces, true, "a list of interfaces ( { ... }, ... )"),
	LIST("routes", conf_read_routes, false, "a list of routes ( { ... }, ... )"),
	LIST("neighbours", conf_read_neighbours, false, "a list of neighbours ( { ... }, ... )"),
	LIST("realms", conf_read_realms, false, "a list of realms ( { ... }, ... )"),
	LIST("static", conf_read_statics, false, "a list of static rules ( { ... }, ... )"),
	LIST("redirect", conf_read_redirects, false, "a list of redirections ( { ... }, ... )"),
	LIST("exempt", conf_read_exempts, false, "a list of exempt rules ( { ... }, ... )"),
	LIST("drivers", conf_read_drivers, false, "a group of drivers { net_ice = { ... }; ... }"),
};

const struct conf_section conf_root_section = {"", root_fields, RTE_DIM(root_fields)};

const struct conf_section *const conf_sections[] = {
	&conf_root_section,
	&conf_iface_section,
	&conf_route_section,
	&conf_neigh_section,
	&conf_realm_section,
	&conf_static_section,
	&conf_redirect_section,
	&conf_exempt_section,
	&conf_ports_section,
	&conf_checkpoint_section,
	&conf_records_section,
	&conf_timeouts_section,
	&conf_limits_section,
	&conf_driver_section,
	NULL,
};

const config_setting_t *
conf_element(const struct conf_loader *l, const char *list, uint32_t i)
{
	return config_setting_get_elem(config_lookup(&l->cfg, list), i);
}

static struct spinat_conf *
new_conf(const char *path)
{
	struct spinat_conf *conf = calloc(1, sizeof(*conf));

	if (conf == NULL)
		return NULL;
	strcpy(conf->path, path);
	strcpy(conf->name, "spinat");
	strcpy(conf->drivers_dir, SPINAT_DRIVERS_DIR);
	conf_set_defaults(root_fields, RTE_DIM(root_fields), conf);
	conf_set_defaults(port_fields, RTE_DIM(port_fields), conf);
	conf_set_defaults(checkpoint_fields, RTE_DIM(checkpoint_fields), conf);
	conf_set_defaults(records_fields, RTE_DIM(records_fields), conf);
	conf_set_defaults(timeout_fields, RTE_DIM(timeout_fields), conf);
	conf_set_defaults(limit_fields, RTE_DIM(limit_fields), conf);
	return conf;
}

static int
load(struct conf_loader *l)
{
	if (read_section(l, config_root_setting(&l->cfg), &conf_root_section) != 0)
		return -EINVAL;
	if (conf_check_interfaces(l) != 0 || conf_check_routes(l) != 0 ||
		conf_finish_realms(l) != 0 || conf_check_outside(l) != 0 ||
		conf_check_exempts(l) != 0)
		return -EINVAL;
	return conf_build_outside(l);
}

struct spinat_conf *
spinat_conf_load(const char *path, struct spinat_conf_error *err)
{
	struct conf_loader l = {.err = err};

	if (strlen(path) >= sizeof(l.conf->path)) {
		snprintf(err->text, sizeof(err->text),
			"%.64s...: found a path of %zu characters, expected %zu at most", path,
			strlen(path), sizeof(l.conf->path) - 1);
		return NULL;
	}
	if (conf_parse_file(path, &l.cfg, err) != 0)
		return NULL;
	l.conf = new_conf(path);
	if (l.conf == NULL)
		conf_no_memory(&l);
	else if (load(&l) != 0) {
		spinat_conf_free(l.conf);
		l.conf = NULL;
	}
	free(l.pools);
	config_destroy(&l.cfg);
	return l.conf;
}

void
spinat_conf_free(struct spinat_conf *conf)
{
	if (conf == NULL)
		return;
	free(conf->routes);
	free(conf->neighs);
	free(conf->pool_addrs);
	free(conf->statics);
	free(conf->redirects);
	free(conf->exempts);
	free(conf->drivers);
	free(conf->outside);
	free(conf);
}
