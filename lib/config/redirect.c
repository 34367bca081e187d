/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 the spinat authors
 */
#include <errno.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>

#include "config/sections.h"
#include "config/text.h"

/* redirect, exempt */

#define PROTO_IPSEC 0 /* UDP 500, UDP 4500, ESP and AH as a whole */

static const struct conf_word proto_words[] = {{"tcp", IPPROTO_TCP}, {"udp", IPPROTO_UDP},
	{"ipsec", PROTO_IPSEC}, {"gre", IPPROTO_GRE}, {"sctp", IPPROTO_SCTP}, {NULL, 0}};

static bool
has_ports(uint8_t proto)
{
	return proto == IPPROTO_TCP || proto == IPPROTO_UDP;
}

/* A word, or the number of a protocol that is carried without a look behind the IPv4 header. */
static int
read_protocol(
	struct conf_loader *l, const config_setting_t *s, const struct conf_field *f, void *out)
{
	struct spinat_redirect_conf *rule = out;
	const int number = config_setting_get_int(s);

	if (config_setting_type(s) != CONFIG_TYPE_INT)
		return conf_read_word(l, s, f, out);
	if (number < 2 || number > 254 || has_ports(number) || number == IPPROTO_ESP ||
		number == IPPROTO_AH)
		return conf_expected(l, s,
			"\"tcp\", \"udp\", \"ipsec\", \"gre\", \"sctp\" or the number of another "
			"protocol, 2 to 254");
	rule->proto = number;
	return 0;
}

/* One port, or a run as "5000-5010". */
static int
read_ports(struct conf_loader *l, const config_setting_t *s, const struct conf_field *f, void *out)
{
	struct spinat_redirect_conf *rule = out;
	const char *text = config_setting_get_string(s);
	unsigned int first, last;
	int end = 0;

	rule->n_ports = 1;
	if (text == NULL)
		return conf_read_port(l, s, f, out);
	if (sscanf(text, "%5u-%5u%n", &first, &last, &end) != 2 || text[end] != '\0' ||
		text[0] < '1' || text[0] > '9' || first > last || last > 65535)
		return conf_expected(
			l, s, "a number from 1 to 65535, or a run of them as \"5000-5010\"");
	rule->outside_port = rte_cpu_to_be_16(first);
	rule->n_ports = last - first + 1;
	return 0;
}

static const struct conf_field redirect_fields[] = {
	CONF_VALUE(struct spinat_redirect_conf, outside, "outside", conf_read_host, false,
		"a host's IPv4 address"),
	{.key = "protocol",
		.read = read_protocol,
		CONF_MEMBER(struct spinat_redirect_conf, proto),
		.required = true,
		.words = proto_words},
	{.key = "port",
		.read = read_ports,
		CONF_MEMBER(struct spinat_redirect_conf, outside_port),
		.lo = 1,
		.hi = 65535},
	CONF_VALUE(struct spinat_redirect_conf, inside, "inside", conf_read_host, true,
		"a host's IPv4 address"),
	{.key = "inside_port",
		.read = conf_read_port,
		CONF_MEMBER(struct spinat_redirect_conf, inside_port),
		.lo = 1,
		.hi = 65535},
	CONF_REALM(struct spinat_redirect_conf),
};

const struct conf_section conf_redirect_section = {
	"redirect", redirect_fields, RTE_DIM(redirect_fields)};

/* Ports fit the protocol; what is left out has its default. */
static int
finish_redirect(struct conf_loader *l, const config_setting_t *s, struct spinat_redirect_conf *rule)
{
	const char *port_key = rule->outside_port != 0 ? "port" : "inside_port";

	if (!has_ports(rule->proto)) {
		if (rule->outside_port != 0 || rule->inside_port != 0)
			return conf_expected(l, conf_at(s, port_key), "no port: protocol %s",
				rule->proto == PROTO_IPSEC
					? "\"ipsec\" is UDP 500 and 4500, ESP and AH"
					: "has none that are looked at");
	} else if (rule->outside_port == 0) {
		return conf_fail(l, s, "found no port, expected one for protocol \"%s\"",
			rule->proto == IPPROTO_TCP ? "tcp" : "udp");
	}
	if (rule->inside_port == 0)
		rule->inside_port = rule->outside_port;
	if (rte_be_to_cpu_16(rule->inside_port) + rule->n_ports > 65536)
		return conf_expected(l, conf_at(s, "inside_port"),
			"at most %u, so that the run ends at 65535", 65536u - rule->n_ports);
	if (rule->outside == 0)
		conf_first_outside(l, &rule->outside);
	return 0;
}

int
conf_read_redirects(struct conf_loader *l, const config_setting_t *s, const struct conf_field *f,
	void *out __rte_unused)
{
	struct spinat_conf *conf = l->conf;
	struct spinat_redirect_conf *rule;
	const config_setting_t *e;
	int i, n = conf_list_len(l, s, f, SPINAT_MAX_REDIRECTS);

	if (n <= 0)
		return n;
	conf->redirects = calloc(n, sizeof(*conf->redirects));
	if (conf->redirects == NULL)
		return conf_no_memory(l);
	for (i = 0; i < n; i++) {
		e = config_setting_get_elem(s, i);
		rule = &conf->redirects[i];
		if (conf_read_group(l, e, redirect_fields, RTE_DIM(redirect_fields), rule) != 0 ||
			conf_need_realm(l, conf_at(e, "realm"), rule->realm) != 0 ||
			finish_redirect(l, e, rule) != 0)
			return -EINVAL;
		rule->line = config_setting_source_line(e);
	}
	conf->n_redirects = n;
	return 0;
}

static const struct conf_field exempt_fields[] = {
	CONF_VALUE(struct spinat_exempt_conf, from, "from", conf_read_network, false,
		"a prefix of inside hosts, as \"10.0.0.0/24\""),
	CONF_VALUE(struct spinat_exempt_conf, to, "to", conf_read_network, true,
		"a prefix of remotes, as \"203.0.113.0/24\""),
	CONF_REALM(struct spinat_exempt_conf),
};

const struct conf_section conf_exempt_section = {"exempt", exempt_fields, RTE_DIM(exempt_fields)};

/* A rule that an earlier one makes idle is a mistake. */
static int
check_exempt(struct conf_loader *l, const config_setting_t *s, uint32_t i)
{
	const struct spinat_exempt_conf *rule = &l->conf->exempts[i], *other;
	uint32_t j;

	for (j = 0; j < i; j++) {
		other = &l->conf->exempts[j];
		if (other->realm == rule->realm && other->from.len <= rule->from.len &&
			other->to.len <= rule->to.len &&
			conf_in_prefix(rule->from.addr, &other->from) &&
			conf_in_prefix(rule->to.addr, &other->to))
			return conf_clash(l, conf_at(s, "to"), "what is not exempt already by",
				conf_at(conf_element(l, "exempt", j), "to"));
	}
	return 0;
}

int
conf_read_exempts(struct conf_loader *l, const config_setting_t *s, const struct conf_field *f,
	void *out __rte_unused)
{
	struct spinat_conf *conf = l->conf;
	struct spinat_exempt_conf *rule;
	const config_setting_t *e;
	int i, n = conf_list_len(l, s, f, SPINAT_MAX_EXEMPTS);

	if (n <= 0)
		return n;
	conf->exempts = calloc(n, sizeof(*conf->exempts));
	if (conf->exempts == NULL)
		return conf_no_memory(l);
	for (i = 0; i < n; i++) {
		e = config_setting_get_elem(s, i);
		rule = &conf->exempts[i];
		if (conf_read_group(l, e, exempt_fields, RTE_DIM(exempt_fields), rule) != 0 ||
			conf_need_realm(l, conf_at(e, "realm"), rule->realm) != 0 ||
			check_exempt(l, e, i) != 0)
			return -EINVAL;
		rule->line = config_setting_source_line(e);
	}
	conf->n_exempts = n;
	return 0;
}
