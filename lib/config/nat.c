/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 the spinat authors
 */
#include <errno.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>

#include "config/sections.h"
#include "config/text.h"

/* realms, static */

bool
conf_realm_in_use(const struct spinat_conf *conf, uint16_t realm)
{
	uint16_t i;

	for (i = 0; i < conf->n_ifaces; i++) {
		if (conf->ifaces[i].role == SPINAT_INSIDE && conf->ifaces[i].realm == realm)
			return true;
	}
	return false;
}

const config_setting_t *
conf_first_outside(const struct conf_loader *l, rte_be32_t *addr)
{
	const struct spinat_iface_conf *iface;
	uint16_t i;

	for (i = 0; i < l->conf->n_ifaces; i++) {
		iface = &l->conf->ifaces[i];
		if (iface->role != SPINAT_OUTSIDE)
			continue;
		*addr = iface->addrs[0].addr;
		return config_setting_get_elem(
			conf_at(conf_element(l, "interfaces", i), "addresses"), 0);
	}
	return NULL;
}

int
conf_need_realm(struct conf_loader *l, const config_setting_t *s, uint16_t realm)
{
	if (conf_realm_in_use(l->conf, realm))
		return 0;
	return conf_fail(l, s, "found realm %u, expected the realm of an inside interface", realm);
}

static int
read_passthrough(
	struct conf_loader *l, const config_setting_t *s, const struct conf_field *f, void *out)
{
	struct spinat_realm_conf *realm = out;
	const char *text = config_setting_get_string(s);

	if (text != NULL && strcmp(text, "off") == 0)
		realm->passthrough = SPINAT_PASS_OFF;
	else if (text != NULL && strcmp(text, "sole") == 0)
		realm->passthrough = SPINAT_PASS_SOLE;
	else if (conf_read_host(l, s, f, out) == 0)
		realm->passthrough = SPINAT_PASS_HOST;
	else
		return -EINVAL;
	return 0;
}

static int
add_pool(struct conf_loader *l, const config_setting_t *s, uint16_t realm, uint32_t first,
	uint32_t last)
{
	struct conf_range *grown;

	l->n_pool_addrs += (uint64_t)last - first + 1;
	if (l->n_pool_addrs > SPINAT_MAX_POOL_ADDRS)
		return conf_expected(
			l, s, "at most %u pool addresses in all", SPINAT_MAX_POOL_ADDRS);
	grown = realloc(l->pools, (l->n_pools + 1) * sizeof(*l->pools));
	if (grown == NULL)
		return conf_no_memory(l);
	l->pools = grown;
	l->pools[l->n_pools++] = (struct conf_range){first, last, true, realm, s};
	return 0;
}

static int
read_pool(struct conf_loader *l, const config_setting_t *s, const struct conf_field *f, void *out)
{
	const struct spinat_realm_conf *realm = out;
	int i, n = conf_list_len(l, s, f, SPINAT_MAX_POOL_ADDRS);
	const config_setting_t *e;
	uint32_t first, last;

	if (n < 0)
		return -EINVAL;
	if (n == 0)
		return conf_fail(l, s, "found no address, expected %s", f->expected);
	for (i = 0; i < n; i++) {
		e = config_setting_get_elem(s, i);
		if (config_setting_get_string(e) == NULL ||
			!conf_parse_range(config_setting_get_string(e), &first, &last) ||
			!conf_is_host(first) || !conf_is_host(last))
			return conf_expected_field(l, e, f);
		if (add_pool(l, e, realm->id, first, last) != 0)
			return -EINVAL;
	}
	return 0;
}

static const struct conf_word filtering_words[] = {
	{"endpoint-independent", SPINAT_FILTER_ENDPOINT_INDEPENDENT},
	{"address", SPINAT_FILTER_ADDRESS},
	{"address-port", SPINAT_FILTER_ADDRESS_PORT},
	{NULL, 0},
};
static const struct conf_word ah_words[] = {
	{"reject", SPINAT_AH_REJECT},
	{"translate", SPINAT_AH_TRANSLATE},
	{"exempt", SPINAT_AH_EXEMPT},
	{NULL, 0},
};
static const struct conf_word ike_port_words[] = {
	{"keep", SPINAT_IKE_KEEP},
	{"translate", SPINAT_IKE_TRANSLATE},
	{"auto", SPINAT_IKE_AUTO},
	{NULL, 0},
};
static const struct conf_word mapping_words[] = {
	{"endpoint-independent", SPINAT_MAP_ENDPOINT_INDEPENDENT},
	{"address", SPINAT_MAP_ADDRESS},
	{"address-port", SPINAT_MAP_ADDRESS_PORT},
	{NULL, 0},
};
static const struct conf_word port_allocation_words[] = {
	{"any", SPINAT_PORTS_ANY},
	{"block", SPINAT_PORTS_BLOCK},
	{"deterministic", SPINAT_PORTS_DETERMINISTIC},
	{NULL, 0},
};
static const struct conf_word unsolicited_syn_words[] = {
	{"unreachable", SPINAT_SYN_UNREACHABLE}, {"drop", SPINAT_SYN_DROP}, {NULL, 0}};
static const struct conf_word ambiguity_words[] = {
	{"fanout", SPINAT_AMBIGUITY_FANOUT},
	{"serialise", SPINAT_AMBIGUITY_SERIALISE},
	{"newest", SPINAT_AMBIGUITY_NEWEST},
	{"drop", SPINAT_AMBIGUITY_DROP},
	{NULL, 0},
};

#define MAPPINGS_OF(transport, key) \
	CONF_NUMBER(struct spinat_realm_conf, client_mappings_of[transport], key, 0, 1, 33554432)

static const struct conf_field client_mappings_fields[] = {
	CONF_NUMBER(struct spinat_realm_conf, client_mappings, "all", 0, 1, 33554432),
	MAPPINGS_OF(SPINAT_UDP, "udp"),
	MAPPINGS_OF(SPINAT_TCP, "tcp"),
	MAPPINGS_OF(SPINAT_ICMP, "icmp"),
};

/* One number for all protocols together, or a group of numbers. */
static int
read_client_mappings(
	struct conf_loader *l, const config_setting_t *s, const struct conf_field *f, void *out)
{
	struct conf_field all = client_mappings_fields[0];

	if (config_setting_is_group(s))
		return conf_read_group(
			l, s, client_mappings_fields, RTE_DIM(client_mappings_fields), out);
	all.expected = f->expected;
	return conf_read_number(l, s, &all, out);
}

static const struct conf_field realm_fields[] = {
	{.key = "id",
		.read = conf_read_number,
		CONF_MEMBER(struct spinat_realm_conf, id),
		.required = true,
		.hi = SPINAT_MAX_REALMS - 1},
	CONF_WORD(struct spinat_realm_conf, filtering, "filtering", SPINAT_FILTER_ADDRESS,
		filtering_words),
	CONF_WORD(struct spinat_realm_conf, ah, "ah", SPINAT_AH_REJECT, ah_words),
	CONF_WORD(struct spinat_realm_conf, ike_port, "ike_port", SPINAT_IKE_KEEP, ike_port_words),
	CONF_VALUE(struct spinat_realm_conf, passthrough_host, "passthrough", read_passthrough,
		false, "\"off\", \"sole\" or a host's IPv4 address"),
	CONF_WORD(struct spinat_realm_conf, ambiguity, "ambiguity", SPINAT_AMBIGUITY_FANOUT,
		ambiguity_words),
	CONF_BOOL(struct spinat_realm_conf, esp_without_ike, "esp_without_ike", true),
	CONF_BOOL(struct spinat_realm_conf, inbound_refresh, "inbound_refresh", true),
	CONF_BOOL(struct spinat_realm_conf, hairpin, "hairpin", true),
	CONF_WORD(struct spinat_realm_conf, mapping, "mapping", SPINAT_MAP_ENDPOINT_INDEPENDENT,
		mapping_words),
	CONF_WORD(struct spinat_realm_conf, port_allocation, "port_allocation", SPINAT_PORTS_ANY,
		port_allocation_words),
	CONF_BOOL(struct spinat_realm_conf, port_preservation, "port_preservation", true),
	CONF_NUMBER(struct spinat_realm_conf, block_size, "block_size", 512, 64, 4096),
	CONF_NUMBER(struct spinat_realm_conf, client_blocks, "client_blocks", 4, 1,
		SPINAT_CLIENT_BLOCKS_MAX),
	CONF_VALUE(struct spinat_realm_conf, inside, "inside", conf_read_network, false,
		"a prefix of inside hosts, as \"10.0.0.0/22\""),
	CONF_NUMBER(struct spinat_realm_conf, client_sessions, "client_sessions", 0, 1, 33554432),
	CONF_VALUE(struct spinat_realm_conf, client_mappings, "client_mappings",
		read_client_mappings, false,
		"a number from 1 to 33554432, or a group of such numbers for all, udp, tcp, icmp"),
	CONF_NUMBER(struct spinat_realm_conf, client_rate, "client_rate", 0, 1, 1000000),
	CONF_BOOL(struct spinat_realm_conf, tcp_pickup, "tcp_pickup", false),
	CONF_WORD(struct spinat_realm_conf, unsolicited_syn, "unsolicited_syn",
		SPINAT_SYN_UNREACHABLE, unsolicited_syn_words),
	CONF_NUMBER(struct spinat_realm_conf, tcp_mss, "tcp_mss", 0, 536, 65495),
	{.key = "pool",
		.read = read_pool,
		.expected = "outside addresses: \"192.0.2.10\", \"192.0.2.10-192.0.2.13\" or "
			    "\"192.0.2.32/29\""},
};

const struct conf_section conf_realm_section = {"realms", realm_fields, RTE_DIM(realm_fields)};

int
conf_read_realms(struct conf_loader *l, const config_setting_t *s, const struct conf_field *f,
	void *out __rte_unused)
{
	struct spinat_realm_conf realm;
	const config_setting_t *e;
	int i, n = conf_list_len(l, s, f, SPINAT_MAX_REALMS);

	for (i = 0; i < n; i++) {
		e = config_setting_get_elem(s, i);
		memset(&realm, 0, sizeof(realm));
		conf_set_defaults(realm_fields, RTE_DIM(realm_fields), &realm);
		if (conf_read_group(l, e, realm_fields, RTE_DIM(realm_fields), &realm) != 0 ||
			conf_need_realm(l, conf_at(e, "id"), realm.id) != 0)
			return -EINVAL;
		if (l->realm_settings[realm.id] != NULL)
			return conf_clash(l, conf_at(e, "id"), "anything but",
				conf_at(l->realm_settings[realm.id], "id"));
		realm.line = config_setting_source_line(e);
		l->realm_settings[realm.id] = e;
		l->conf->realms[realm.id] = realm;
	}
	return n < 0 ? -EINVAL : 0;
}

static bool
has_pool(const struct conf_loader *l, uint16_t realm)
{
	uint32_t i;

	for (i = 0; i < l->n_pools; i++) {
		if (l->pools[i].realm == realm)
			return true;
	}
	return false;
}

/* Where a realm is said to exist: in the list of realms, or on its first interface. */
static const config_setting_t *
realm_setting(const struct conf_loader *l, uint16_t realm)
{
	uint16_t i = 0;

	if (l->realm_settings[realm] != NULL)
		return l->realm_settings[realm];
	while (l->conf->ifaces[i].role != SPINAT_INSIDE || l->conf->ifaces[i].realm != realm)
		i++;
	return conf_element(l, "interfaces", i);
}

/* The first outside address, for the simple box that has one and one realm. */
static int
add_default_pool(struct conf_loader *l, uint16_t realm)
{
	rte_be32_t addr = 0;
	const config_setting_t *s = conf_first_outside(l, &addr);
	uint32_t i, host = rte_be_to_cpu_32(addr);

	for (i = 0; i < l->n_pools; i++) {
		if (l->pools[i].first <= host && host <= l->pools[i].last)
			return conf_fail(l, realm_setting(l, realm),
				"found no pool for realm %u, expected one: the default, %s, is in "
				"that of realm %u",
				realm, conf_addr_text(addr).s, l->pools[i].realm);
	}
	return add_pool(l, s, realm, host, host);
}

int
conf_finish_realms(struct conf_loader *l)
{
	uint16_t i;

	for (i = 0; i < SPINAT_MAX_REALMS; i++) {
		if (l->realm_settings[i] == NULL)
			conf_set_defaults(realm_fields, RTE_DIM(realm_fields), &l->conf->realms[i]);
		l->conf->realms[i].id = i;
		if (!conf_realm_in_use(l->conf, i))
			continue;
		l->conf->n_realms = i + 1;
		if (!has_pool(l, i) && add_default_pool(l, i) != 0)
			return -EINVAL;
		if (conf_finish_client_rules(l, i) != 0)
			return -EINVAL;
	}
	return 0;
}

/* One address or a prefix without host bits; a static rule has two of equal length. */
static int
read_static_prefix(struct conf_loader *l, const config_setting_t *s, const struct conf_field *f,
	struct spinat_prefix *prefix)
{
	const char *text = config_setting_get_string(s);
	struct conf_field network = {.size = sizeof(*prefix), .expected = f->expected};

	if (text != NULL && conf_parse_addr(text, &prefix->addr))
		prefix->len = 32;
	else if (conf_read_network(l, s, &network, prefix) != 0)
		return -EINVAL;
	if (prefix->len < 16 || !conf_is_host(rte_be_to_cpu_32(prefix->addr)))
		return conf_expected_field(l, s, f);
	return 0;
}

static int
read_static_inside(
	struct conf_loader *l, const config_setting_t *s, const struct conf_field *f, void *out)
{
	struct spinat_static_conf *rule = out;
	struct spinat_prefix prefix;

	if (read_static_prefix(l, s, f, &prefix) != 0)
		return -EINVAL;
	rule->inside = prefix.addr;
	rule->len = prefix.len;
	return 0;
}

static int
read_static_outside(
	struct conf_loader *l, const config_setting_t *s, const struct conf_field *f, void *out)
{
	struct spinat_static_conf *rule = out;
	struct spinat_prefix prefix;

	if (read_static_prefix(l, s, f, &prefix) != 0)
		return -EINVAL;
	if (prefix.len != rule->len)
		return conf_expected(
			l, s, "a prefix of length %u, as the rule's inside has", rule->len);
	rule->outside = prefix.addr;
	return 0;
}

#define STATIC_EXPECTED "an address, or a prefix of length 16 to 32 without host bits"

/* inside before outside, which is compared with it */
static const struct conf_field static_fields[] = {
	CONF_VALUE(struct spinat_static_conf, inside, "inside", read_static_inside, true,
		STATIC_EXPECTED),
	CONF_VALUE(struct spinat_static_conf, outside, "outside", read_static_outside, true,
		STATIC_EXPECTED),
	CONF_REALM(struct spinat_static_conf),
};

const struct conf_section conf_static_section = {"static", static_fields, RTE_DIM(static_fields)};

int
conf_read_statics(struct conf_loader *l, const config_setting_t *s, const struct conf_field *f,
	void *out __rte_unused)
{
	struct spinat_conf *conf = l->conf;
	struct spinat_static_conf *rule;
	const config_setting_t *e;
	int i, n = conf_list_len(l, s, f, SPINAT_MAX_STATICS);

	if (n <= 0)
		return n;
	conf->statics = calloc(n, sizeof(*conf->statics));
	if (conf->statics == NULL)
		return conf_no_memory(l);
	for (i = 0; i < n; i++) {
		e = config_setting_get_elem(s, i);
		rule = &conf->statics[i];
		if (conf_read_group(l, e, static_fields, RTE_DIM(static_fields), rule) != 0 ||
			conf_need_realm(l, conf_at(e, "realm"), rule->realm) != 0)
			return -EINVAL;
		rule->line = config_setting_source_line(e);
	}
	conf->n_statics = n;
	return 0;
}
