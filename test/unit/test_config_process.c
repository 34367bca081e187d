/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 the spinat authors
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include <rte_ethdev.h>

#include "config/sections.h"
#include "test_config.h"

/* Settings of drivers, and what a running process can take over. */

static struct spinat_conf *full; /* of the test that runs */

static void
setup(void)
{
	full = load("good/full.conf");
}

static void
teardown(void)
{
	spinat_conf_free(full);
}

static struct spinat_driver_conf
driver(const char *name)
{
	struct spinat_conf_error err = {""};
	struct spinat_driver_conf d;

	ck_assert_msg(spinat_conf_driver(full, name, &d, &err) == 0, "%s", err.text);
	ck_assert_str_eq(d.name, name);
	return d;
}

START_TEST(driver_without_file)
{
	struct spinat_driver_conf d = driver("net_null");

	ck_assert_uint_eq(d.rx_descriptors, 1024);
	ck_assert_uint_eq(d.tx_descriptors, 1024);
	ck_assert_uint_eq(d.rx_queues_max, 0);
	ck_assert(!d.promiscuous && d.rx_ip_checksum && !d.tx_ip_checksum && d.rss_symmetric);
	ck_assert_uint_eq(
		d.rss_hf, RTE_ETH_RSS_IPV4 | RTE_ETH_RSS_FRAG_IPV4 | RTE_ETH_RSS_NONFRAG_IPV4_UDP |
				  RTE_ETH_RSS_NONFRAG_IPV4_TCP | RTE_ETH_RSS_NONFRAG_IPV4_OTHER |
				  RTE_ETH_RSS_ESP | RTE_ETH_RSS_AH);
	ck_assert_uint_eq(d.given, 0);
}
END_TEST

START_TEST(driver_with_file)
{
	struct spinat_driver_conf d = driver("net_pcap");

	ck_assert_uint_eq(d.rx_descriptors, 512);
	ck_assert_uint_eq(d.tx_descriptors, 1024);
	ck_assert(!d.rss_symmetric);
	ck_assert(d.rx_ip_checksum);
	ck_assert_uint_eq(d.rss_hf, RTE_ETH_RSS_NONFRAG_IPV4_UDP | RTE_ETH_RSS_NONFRAG_IPV4_TCP);
}
END_TEST

START_TEST(driver_in_main_file)
{
	struct spinat_driver_conf d = driver("net_ring");

	ck_assert_uint_eq(d.rx_descriptors, 64);
	ck_assert_uint_eq(d.tx_descriptors, 128);
	ck_assert_uint_eq(d.rx_queues_max, 3);
	ck_assert(d.promiscuous && !d.rx_ip_checksum && d.tx_ip_checksum && !d.rss_symmetric);
	ck_assert_uint_eq(d.rss_hf, RTE_ETH_RSS_ESP | RTE_ETH_RSS_AH);
}
END_TEST

START_TEST(driver_errors)
{
	static const struct {
		const char *name, *expect;
	} cases[] = {
		{"net_bad_key",
			"drivers/net_bad_key.cfg:2: rx_descriptor: unknown key, expected one of "
			"rx_descriptors, tx_descriptors, rx_queues_max, promiscuous, "
			"rx_ip_checksum, "
			"tx_ip_checksum, rss_symmetric, rss"},
		{"net_bad_value", "drivers/net_bad_value.cfg:1: rx_descriptors: found \"many\", "
				  "expected a number "
				  "from 32 to 32768"},
		{"net_bad_syntax", "drivers/net_bad_syntax.cfg:1: syntax error"},
		{"../net_ring", "../net_ring: found as a driver's name, expected 63 characters at "
				"most and no /"},
		{"net_0123456789012345678901234567890123456789012345678901234567890123",
			"net_012345678901234567890123456789012345678901234567890123456789: found "
			"as a "
			"driver's name, expected 63 characters at most and no /"},
	};
	struct spinat_conf_error err;
	struct spinat_driver_conf d;

	for (size_t i = 0; i < RTE_DIM(cases); i++) {
		ck_assert_int_eq(spinat_conf_driver(full, cases[i].name, &d, &err), -EINVAL);
		ck_assert_str_eq(err.text, cases[i].expect);
	}
}
END_TEST

/* Every file in the tree, each of which decides everything but the number of queues. */
static void
check_driver_file(const char *path)
{
	char name[64];
	const char *base = strrchr(path, '/') + 1;
	struct spinat_driver_conf d;
	uint32_t i;

	snprintf(name, sizeof(name), "%.*s", (int)strcspn(base, "."), base);
	d = driver(name);
	for (i = 0; i < conf_driver_section.n; i++)
		ck_assert_msg(d.given & 1u << i || strcmp(conf_driver_section.fields[i].key,
							   "rx_queues_max") == 0,
			"%s has no %s", path, conf_driver_section.fields[i].key);
	/* Receive and transmit rings together fit the packet buffers there are by default. */
	ck_assert_uint_le(d.rx_descriptors + d.tx_descriptors, 4096);
}

START_TEST(driver_files)
{
	strcpy(full->drivers_dir, SOURCE_ROOT "/drivers-cfg");
	full->n_drivers = 0;
	ck_assert_uint_ge(each_file(full->drivers_dir, ".cfg", check_driver_file), 16);
}
END_TEST

/* Replaces the first occurrence; the result is to be freed. */
static char *
replace(const char *text, const char *find, const char *with)
{
	const char *at = strstr(text, find);
	char *result;

	ck_assert_msg(at != NULL, "%s is not in the file", find);
	ck_assert_int_gt(
		asprintf(&result, "%.*s%s%s", (int)(at - text), text, with, at + strlen(find)), 0);
	return result;
}

#define RESTART ": needs a restart"

/* error NULL: may change while running. Errors follow the path; lines are those of full.conf. */
static const struct {
	const char *find, *with, *error;
} changes[] = {
	{"workers", "workers", NULL},
	{"power = \"idle\"", "power = \"poll\"", NULL},
	{"log_level = \"warning\"", "log_level = \"debug\"", NULL},
	{"first = 2000", "first = 2001", NULL},
	{"udp = 120", "udp = 300", NULL},
	{"10.3.0.1/16", "10.4.0.1/16", NULL},
	{"interval = 60", "interval = 6", NULL},
	{"/var/lib/spinat/unit", "/var/lib/spinat/other", NULL},
	{"mtu = 1400", "mtu = 1500", NULL},
	{"\"dmz\"", "\"dmz2\"", NULL},
	{"via = \"192.0.2.1\"", "via = \"192.0.2.4\"", NULL},
	{"02:00:00:00:00:01", "02:00:00:00:00:02", NULL},
	{"\"newest\"", "\"drop\"", NULL},
	{"192.0.2.32/29", "192.0.2.40/29", NULL},
	{"192.0.2.30", "192.0.2.31", NULL},
	{"port = 53", "port = 54", NULL},
	{"\"spinat_test-1\"", "\"other\"",
		": name: found \"other\", running with \"spinat_test-1\"" RESTART},
	{"workers = 2", "workers = 3", ": workers: found 3, running with 2" RESTART},
	{"0@0,(1,2)@1", "0@0,(1,2)@2",
		": lcores: found \"0@0,(1,2)@2\", running with \"0@0,(1,2)@1\"" RESTART},
	{"memory = 2048", "memory = 4096", ": memory: found 4096, running with 2048" RESTART},
	{"hugepages = false", "hugepages = true", ": hugepages: found 1, running with 0" RESTART},
	{"drivers_dir = \"drivers\"", "drivers_dir = \"others\"",
		": drivers_dir: found \"others\", running with \"drivers\"" RESTART},
	{"sessions = 4096", "sessions = 8192",
		": limits.sessions: found 8192, running with 4096" RESTART},
	{"buffers = 30", "buffers = 26", ": limits.buffers: found 26, running with 30" RESTART},
	{"iface=veth0", "iface=veth1",
		":14: device: found \"net_af_packet0,iface=veth1\", running with "
		"\"net_af_packet0,iface=veth0\"" RESTART},
	{"\"0A:00.0\"", "\"0a:00.1\"", ": number of devices: found 3, running with 2" RESTART},
	{"vlan = 10", "vlan = 11",
		":11: interfaces[0]: found vlan 11 on device \"0000:0a:00.0\", running with vlan "
		"10 "
		"on \"0000:0a:00.0\"" RESTART},
	{"mtu = 9000", "mtu = 9001",
		":11: largest mtu on device \"0000:0a:00.0\": found 9001, running with "
		"9000" RESTART},
	{"mtu = 1400; },",
		"}, { name = \"new\"; device = \"0a:00.0\"; vlan = 3; role = \"inside\"; "
		"addresses = [ \"10.77.0.1/24\" ]; },",
		": number of interfaces: found 4, running with 3" RESTART},
	{"net_null = { };", "", ": number of drivers: found 1, running with 2" RESTART},
	{"rx_descriptors = 64", "rx_descriptors = 65",
		":51: drivers.net_ring: found other values than the devices run with" RESTART},
	{"net_null = { };", "net_null = { promiscuous = false; };",
		":54: drivers.net_null: found other values than the devices run with" RESTART},
	{"net_null = { };", "net_tap = { };",
		":54: drivers.net_tap: found other values than the devices run with" RESTART},
};

START_TEST(one_change)
{
	struct spinat_conf_error err = {""};
	char *text = read_text("good/full.conf");
	char *changed = replace(text, changes[_i].find, changes[_i].with);
	struct spinat_conf *to = load_text(changed, strlen(changed), &err);

	ck_assert_msg(to != NULL, "%s", err.text);
	if (changes[_i].error == NULL) {
		ck_assert_msg(spinat_conf_compatible(full, to, &err) == 0, "%s", err.text);
		ck_assert_int_eq(spinat_conf_compatible(to, full, &err), 0);
	} else {
		ck_assert_int_eq(spinat_conf_compatible(full, to, &err), -EBUSY);
		ck_assert(strncmp(err.text, to->path, strlen(to->path)) == 0);
		ck_assert_str_eq(err.text + strlen(to->path), changes[_i].error);
		ck_assert_int_eq(spinat_conf_compatible(to, full, &err), -EBUSY);
	}
	spinat_conf_free(to);
	free(changed);
	free(text);
}
END_TEST

TCase *
test_drivers(void)
{
	TCase *tc = tcase_create("drivers");

	tcase_add_checked_fixture(tc, setup, teardown);
	tcase_add_test(tc, driver_without_file);
	tcase_add_test(tc, driver_with_file);
	tcase_add_test(tc, driver_in_main_file);
	tcase_add_test(tc, driver_errors);
	tcase_add_test(tc, driver_files);
	return tc;
}

TCase *
test_compatible(void)
{
	TCase *tc = tcase_create("compatible");

	tcase_add_checked_fixture(tc, setup, teardown);
	tcase_add_loop_test(tc, one_change, 0, RTE_DIM(changes));
	return tc;
}
