/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 the spinat authors
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <rte_ethdev.h>

#include "config/sections.h"

/* Device settings by driver: built-in values, the driver's file, the main file. */

static const struct conf_word rss_words[] = {
	{"ipv4", RTE_ETH_RSS_IPV4},
	{"frag", RTE_ETH_RSS_FRAG_IPV4},
	{"udp", RTE_ETH_RSS_NONFRAG_IPV4_UDP},
	{"tcp", RTE_ETH_RSS_NONFRAG_IPV4_TCP},
	{"other", RTE_ETH_RSS_NONFRAG_IPV4_OTHER},
	{"esp", RTE_ETH_RSS_ESP},
	{"ah", RTE_ETH_RSS_AH},
	{NULL, 0},
};

static int
read_rss(struct conf_loader *l, const config_setting_t *s, const struct conf_field *f, void *out)
{
	struct spinat_driver_conf *driver = out;
	const struct conf_field word = {.size = sizeof(uint64_t), .words = rss_words};
	int i, n = conf_list_len(l, s, f, 16);
	uint64_t bit;

	if (n < 0)
		return -EINVAL;
	driver->rss_hf = 0;
	for (i = 0; i < n; i++) {
		if (conf_read_word(l, config_setting_get_elem(s, i), &word, &bit) != 0)
			return -EINVAL;
		driver->rss_hf |= bit;
	}
	return 0;
}

#define NUMBER(member, def, lo, hi) \
	CONF_NUMBER(struct spinat_driver_conf, member, #member, def, lo, hi)
#define BOOL(member, def) CONF_BOOL(struct spinat_driver_conf, member, #member, def)

static const struct conf_field driver_fields[] = {
	NUMBER(rx_descriptors, 1024, 32, 32768),
	NUMBER(tx_descriptors, 1024, 32, 32768),
	NUMBER(rx_queues_max, 0, 0, 1024),
	BOOL(promiscuous, false),
	BOOL(rx_ip_checksum, true),
	BOOL(tx_ip_checksum, false),
	BOOL(rss_symmetric, true),
	{.key = "rss",
		.read = read_rss,
		CONF_MEMBER(struct spinat_driver_conf, rss_hf),
		.has_default = true,
		.def = RTE_ETH_RSS_IPV4 | RTE_ETH_RSS_FRAG_IPV4 | RTE_ETH_RSS_NONFRAG_IPV4_UDP |
		       RTE_ETH_RSS_NONFRAG_IPV4_TCP | RTE_ETH_RSS_NONFRAG_IPV4_OTHER |
		       RTE_ETH_RSS_ESP | RTE_ETH_RSS_AH,
		.expected = "an array of \"ipv4\", \"frag\", \"udp\", \"tcp\", \"other\", \"esp\", "
			    "\"ah\""},
};

const struct conf_section conf_driver_section = {"drivers", driver_fields, RTE_DIM(driver_fields)};

static int
read_driver(struct conf_loader *l, const config_setting_t *s, struct spinat_driver_conf *driver)
{
	size_t i;

	if (conf_read_group(l, s, driver_fields, RTE_DIM(driver_fields), driver) != 0)
		return -EINVAL;
	for (i = 0; i < RTE_DIM(driver_fields); i++) {
		if (config_setting_get_member(s, driver_fields[i].key) != NULL)
			driver->given |= 1u << i;
	}
	driver->line = config_setting_source_line(s);
	return 0;
}

int
conf_read_drivers(struct conf_loader *l, const config_setting_t *s, const struct conf_field *f,
	void *out __rte_unused)
{
	struct spinat_conf *conf = l->conf;
	struct spinat_driver_conf *driver;
	const config_setting_t *e;
	int i;

	if (!config_setting_is_group(s))
		return conf_expected_field(l, s, f);
	conf->drivers = calloc(config_setting_length(s) + 1, sizeof(*conf->drivers));
	if (conf->drivers == NULL)
		return conf_no_memory(l);
	for (i = 0; i < config_setting_length(s); i++) {
		e = config_setting_get_elem(s, i);
		driver = &conf->drivers[i];
		if (strlen(config_setting_name(e)) >= sizeof(driver->name))
			return conf_fail(l, e,
				"found a name of %zu characters, expected %zu at most",
				strlen(config_setting_name(e)), sizeof(driver->name) - 1);
		strcpy(driver->name, config_setting_name(e));
		if (read_driver(l, e, driver) != 0)
			return -EINVAL;
		conf->n_drivers++;
	}
	return 0;
}

static int
read_driver_file(const char *path, struct spinat_driver_conf *out, struct spinat_conf_error *err)
{
	struct conf_loader l = {.err = err};
	int ret;

	if (access(path, F_OK) != 0)
		return 0;
	if (conf_parse_file(path, &l.cfg, err) != 0)
		return -EINVAL;
	ret = read_driver(&l, config_root_setting(&l.cfg), out);
	config_destroy(&l.cfg);
	return ret;
}

/* Takes over the values that the main file gives for this driver. */
static void
override(struct spinat_driver_conf *out, const struct spinat_driver_conf *from)
{
	const struct conf_field *f;
	size_t i;

	for (i = 0; i < RTE_DIM(driver_fields); i++) {
		f = &driver_fields[i];
		if (from->given & 1u << i)
			memcpy((uint8_t *)out + f->offset, (const uint8_t *)from + f->offset,
				f->size);
	}
	out->given |= from->given;
}

int
spinat_conf_driver(const struct spinat_conf *conf, const char *driver,
	struct spinat_driver_conf *out, struct spinat_conf_error *err)
{
	char path[sizeof(conf->drivers_dir) + sizeof(out->name) + sizeof("/.cfg")];
	uint32_t i;

	if (strlen(driver) >= sizeof(out->name) || strchr(driver, '/') != NULL) {
		snprintf(err->text, sizeof(err->text),
			"%.64s: found as a driver's name, expected %zu characters at most and no /",
			driver, sizeof(out->name) - 1);
		return -EINVAL;
	}
	memset(out, 0, sizeof(*out));
	conf_set_defaults(driver_fields, RTE_DIM(driver_fields), out);
	strcpy(out->name, driver);
	snprintf(path, sizeof(path), "%s/%s.cfg", conf->drivers_dir, driver);
	if (read_driver_file(path, out, err) != 0)
		return -EINVAL;
	for (i = 0; i < conf->n_drivers; i++) {
		if (strcmp(conf->drivers[i].name, driver) == 0)
			override(out, &conf->drivers[i]);
	}
	return 0;
}
