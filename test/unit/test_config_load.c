/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 the spinat authors
 */
#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>

#include <rte_log.h>

#include "test_config.h"

/* Files that load, and files that must not. */

static void
check_bad(const char *path)
{
	struct spinat_conf_error err = {""};
	char *text = read_text(path);
	char *expect = text + strlen("# expect: ");

	ck_assert_msg(strncmp(text, "# expect: ", strlen("# expect: ")) == 0, "%s", path);
	expect[strcspn(expect, "\n")] = '\0';
	ck_assert_msg(spinat_conf_load(path, &err) == NULL, "%s was accepted", path);
	ck_assert_str_eq(err.text, expect);
	free(text);
}

START_TEST(bad_files)
{
	ck_assert_uint_gt(each_file("bad", ".conf", check_bad), 250);
}
END_TEST

static void
check_good(const char *path)
{
	struct spinat_conf *conf = load(path);

	ck_assert_str_eq(conf->path, path);
	ck_assert_uint_gt(conf->n_ifaces, 0);
	spinat_conf_free(conf);
}

START_TEST(good_files)
{
	ck_assert_uint_ge(each_file("good", ".conf", check_good), 4);
	check_good(SOURCE_ROOT "/app/spinat.conf.example");
	spinat_conf_free(NULL);
}
END_TEST

static void
check_path_error(const char *path, const char *expect)
{
	struct spinat_conf_error err = {""};

	ck_assert_ptr_null(spinat_conf_load(path, &err));
	ck_assert_str_eq(err.text, expect);
}

START_TEST(bad_paths)
{
	char longest[256 + 1];

	memset(longest, 'x', sizeof(longest) - 1);
	longest[sizeof(longest) - 1] = '\0';
	check_path_error("missing.conf", "missing.conf: cannot be read: No such file or directory");
	check_path_error("good", "good: cannot be read: not a regular file");
	check_path_error(longest,
		"xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx...: "
		"found a path of 256 characters, expected 255 at most");
}
END_TEST

START_TEST(defaults)
{
	struct spinat_conf *conf = load("good/minimal.conf");
	const struct spinat_realm_conf *realm = &conf->realms[0];

	ck_assert_str_eq(conf->name, "spinat");
	ck_assert_uint_eq(conf->workers, 1);
	ck_assert_str_eq(conf->lcores, "");
	ck_assert_uint_eq(conf->memory, 0);
	ck_assert(conf->hugepages);
	ck_assert(!conf->idle_sleep);
	ck_assert_str_eq(strrchr(conf->drivers_dir, '/'), "/drivers-cfg");
	ck_assert_uint_eq(conf->log_level, RTE_LOG_INFO);
	ck_assert_str_eq(conf->checkpoint.file, "");
	ck_assert_uint_eq(conf->checkpoint.interval, 10);
	ck_assert_uint_eq(conf->port_first, 1024);
	ck_assert_uint_eq(conf->port_last, 65535);
#define CHECK_TIMEOUT(member, key, def, lo, hi, text) ck_assert_uint_eq(conf->timeouts.member, def);
	SPINAT_TIMEOUTS(CHECK_TIMEOUT)
#define CHECK_LIMIT(member, key, def, lo, hi, text) ck_assert_uint_eq(conf->limits.member, def);
	SPINAT_LIMITS(CHECK_LIMIT)
	ck_assert_uint_eq(conf->n_devices, 2);
	ck_assert_uint_eq(conf->ifaces[0].mtu, 1500);
	ck_assert_uint_eq(conf->ifaces[0].vlan, 0);
	ck_assert_uint_eq(conf->n_realms, 1);
	ck_assert_int_eq(realm->filtering, SPINAT_FILTER_ADDRESS);
	ck_assert_int_eq(realm->ah, SPINAT_AH_REJECT);
	ck_assert_int_eq(realm->ike_port, SPINAT_IKE_KEEP);
	ck_assert_int_eq(realm->passthrough, SPINAT_PASS_OFF);
	ck_assert_int_eq(realm->ambiguity, SPINAT_AMBIGUITY_FANOUT);
	ck_assert(realm->esp_without_ike && realm->inbound_refresh && realm->hairpin);
	ck_assert_uint_eq(realm->n_addrs, 1);
	ck_assert_uint_eq(conf->pool_addrs[realm->first_addr], addr("192.0.2.2"));
	spinat_conf_free(conf);
}
END_TEST

static void
check_full_interfaces(const struct spinat_conf *conf)
{
	ck_assert_uint_eq(conf->n_ifaces, 3);
	ck_assert_uint_eq(conf->n_devices, 2);
	ck_assert_str_eq(conf->devices[0].args, "0000:0a:00.0");
	ck_assert_str_eq(conf->devices[1].args, "net_af_packet0,iface=veth0");
	ck_assert_str_eq(conf->ifaces[0].name, "lan");
	ck_assert_uint_eq(conf->ifaces[0].device, 0);
	ck_assert_uint_eq(conf->ifaces[0].vlan, 10);
	ck_assert_int_eq(conf->ifaces[0].role, SPINAT_INSIDE);
	ck_assert_uint_eq(conf->ifaces[0].mtu, 9000);
	ck_assert_uint_eq(conf->ifaces[0].n_addrs, 2);
	ck_assert_uint_eq(conf->ifaces[0].addrs[1].addr, addr("10.3.0.1"));
	ck_assert_uint_eq(conf->ifaces[0].addrs[1].len, 16);
	ck_assert_int_eq(conf->ifaces[0].line, 11);
	ck_assert_uint_eq(conf->ifaces[1].device, 0);
	ck_assert_uint_eq(conf->ifaces[2].device, 1);
	ck_assert_int_eq(conf->ifaces[2].role, SPINAT_OUTSIDE);
	ck_assert_uint_eq(conf->n_routes, 3);
	ck_assert_uint_eq(conf->routes[0].to.len, 0);
	ck_assert_uint_eq(conf->routes[0].iface, 2);
	ck_assert_uint_eq(conf->routes[1].iface, 0);
	ck_assert_uint_eq(conf->routes[1].to.addr, addr("10.1.0.0"));
	ck_assert_uint_eq(conf->routes[1].via, addr("10.0.0.254"));
	ck_assert_uint_eq(conf->routes[2].iface, 1);
	ck_assert_uint_eq(conf->n_neighs, 1);
	ck_assert_uint_eq(conf->neighs[0].iface, 2);
	ck_assert_uint_eq(conf->neighs[0].addr, addr("192.0.2.1"));
	ck_assert_uint_eq(conf->neighs[0].mac.addr_bytes[5], 1);
}

static void
check_full_rules(const struct spinat_conf *conf)
{
	ck_assert_uint_eq(conf->n_statics, 2);
	ck_assert_uint_eq(conf->statics[0].len, 32);
	ck_assert_uint_eq(conf->statics[1].inside, addr("10.0.8.0"));
	ck_assert_uint_eq(conf->statics[1].outside, addr("198.51.100.0"));
	ck_assert_uint_eq(conf->statics[1].len, 24);
	ck_assert_uint_eq(conf->n_redirects, 6);
	ck_assert_uint_eq(conf->redirects[0].outside, addr("192.0.2.3"));
	ck_assert_uint_eq(conf->redirects[0].proto, IPPROTO_TCP);
	ck_assert_uint_eq(conf->redirects[0].outside_port, htons(8080));
	ck_assert_uint_eq(conf->redirects[0].inside_port, htons(80));
	ck_assert_uint_eq(conf->redirects[1].outside, addr("192.0.2.2"));
	ck_assert_uint_eq(conf->redirects[1].inside_port, htons(53));
	ck_assert_uint_eq(conf->redirects[2].proto, 0);
	ck_assert_uint_eq(conf->redirects[2].inside, addr("10.0.0.8"));
	ck_assert_uint_eq(conf->redirects[4].n_ports, 100);
	ck_assert_ptr_eq(spinat_conf_redirect(conf, addr("192.0.2.2"), IPPROTO_TCP, htons(699)),
		&conf->redirects[4]);
	ck_assert_ptr_null(spinat_conf_redirect(conf, addr("192.0.2.2"), IPPROTO_TCP, htons(700)));
	ck_assert_ptr_null(spinat_conf_redirect(conf, addr("192.0.2.2"), IPPROTO_TCP, htons(599)));
	ck_assert_uint_eq(
		spinat_redirect_inside_port(&conf->redirects[4], htons(699)), htons(1699));
	ck_assert_uint_eq(
		spinat_redirect_outside_port(&conf->redirects[4], htons(1699)), htons(699));
	ck_assert_ptr_eq(
		spinat_conf_redirect(conf, addr("192.0.2.2"), IPPROTO_GRE, 0), &conf->redirects[5]);
	ck_assert(spinat_conf_exempt(conf, 0, addr("10.0.0.9"), addr("203.0.113.9")));
	ck_assert(!spinat_conf_exempt(conf, 0, addr("10.3.0.9"), addr("203.0.113.9")));
	ck_assert(spinat_conf_exempt(conf, 0, addr("10.3.0.9"), addr("203.0.114.9")));
	ck_assert(!spinat_conf_exempt(conf, 1, addr("10.0.0.9"), addr("203.0.113.9")));
}

START_TEST(every_key)
{
	struct spinat_conf *conf = load("good/full.conf");
	const struct spinat_realm_conf *realm = &conf->realms[0];
	uint32_t timeout = 120, limit = 17;

	ck_assert_str_eq(conf->name, "spinat_test-1");
	ck_assert_uint_eq(conf->workers, 2);
	ck_assert_str_eq(conf->lcores, "0@0,(1,2)@1");
	ck_assert_uint_eq(conf->memory, 2048);
	ck_assert(!conf->hugepages);
	ck_assert(conf->idle_sleep);
	ck_assert_str_eq(conf->drivers_dir, "drivers");
	ck_assert_uint_eq(conf->log_level, RTE_LOG_WARNING);
	check_full_interfaces(conf);
	check_full_rules(conf);
	ck_assert_int_eq(realm->filtering, SPINAT_FILTER_ENDPOINT_INDEPENDENT);
	ck_assert_int_eq(realm->ah, SPINAT_AH_TRANSLATE);
	ck_assert_int_eq(realm->ike_port, SPINAT_IKE_TRANSLATE);
	ck_assert_int_eq(realm->passthrough, SPINAT_PASS_HOST);
	ck_assert_uint_eq(realm->passthrough_host, addr("10.0.0.5"));
	ck_assert_int_eq(realm->ambiguity, SPINAT_AMBIGUITY_NEWEST);
	ck_assert(!realm->esp_without_ike && !realm->inbound_refresh && !realm->hairpin);
	ck_assert_uint_eq(conf->port_first, 2000);
	ck_assert_uint_eq(conf->port_last, 3000);
	/* The file numbers them in their order, where the ranges allow it. */
#define COUNT_TIMEOUT(member, key, def, lo, hi, text) \
	ck_assert_uint_eq(conf->timeouts.member, strcmp(key, "fragment") == 0 ? 12 : timeout++);
	SPINAT_TIMEOUTS(COUNT_TIMEOUT)
	ck_assert_uint_eq(conf->limits.sessions, 4096);
	ck_assert_uint_eq(conf->limits.mappings, 2048);
	ck_assert_uint_eq(conf->limits.fragment_bytes, 65537);
	ck_assert_uint_eq(conf->limits.icmp_rate, 0);
#define COUNT_LIMIT(member, key, def, lo, hi, text)                \
	if (conf->limits.member > 0 && conf->limits.member < 1000) \
		ck_assert_uint_eq(conf->limits.member, limit++);
	SPINAT_LIMITS(COUNT_LIMIT)
	ck_assert_uint_eq(limit, 31);
	spinat_conf_free(conf);
}
END_TEST

START_TEST(tenants)
{
	struct spinat_conf *conf = load("good/tenants.conf");
	uint16_t i;

	ck_assert_uint_eq(conf->n_realms, 6);
	for (i = 0; i < conf->n_realms; i++)
		ck_assert_uint_eq(conf->realms[i].id, i);
	ck_assert_uint_eq(conf->realms[0].n_addrs, 1);
	ck_assert_uint_eq(conf->realms[1].n_addrs, 0);
	ck_assert_uint_eq(conf->realms[2].n_addrs, 10);
	ck_assert_uint_eq(conf->realms[5].n_addrs, 1);
	ck_assert_uint_eq(conf->n_pool_addrs, 12);
	ck_assert_int_eq(conf->realms[2].ambiguity, SPINAT_AMBIGUITY_SERIALISE);
	ck_assert_int_eq(conf->realms[2].filtering, SPINAT_FILTER_ADDRESS_PORT);
	ck_assert_int_eq(conf->realms[2].ah, SPINAT_AH_EXEMPT);
	ck_assert_int_eq(conf->records.transport, SPINAT_IPFIX_TCP);
	ck_assert_uint_eq(conf->records.collector, RTE_BE32(0xcb007109));
	ck_assert_uint_eq(conf->records.collector_port, RTE_BE16(4739));
	ck_assert(conf->records.refusals && spinat_conf_records(conf));
	ck_assert_int_eq(conf->realms[3].filtering, SPINAT_FILTER_ADDRESS);
	ck_assert_int_eq(conf->realms[5].passthrough, SPINAT_PASS_SOLE);
	ck_assert_uint_eq(conf->routes[3].iface, 1);
	ck_assert_uint_eq(conf->routes[3].realm, 2);
	ck_assert_ptr_eq(spinat_conf_static_inside(conf, 0, addr("10.0.0.5")), &conf->statics[0]);
	ck_assert_ptr_eq(spinat_conf_static_inside(conf, 2, addr("10.0.0.5")), &conf->statics[1]);
	ck_assert_ptr_null(spinat_conf_static_inside(conf, 5, addr("10.0.0.5")));
	spinat_conf_free(conf);
}
END_TEST

START_TEST(included)
{
	struct spinat_conf *conf = load("good/include.conf");

	ck_assert_uint_eq(conf->timeouts.udp, 200);
	ck_assert_uint_eq(conf->log_level, RTE_LOG_NOTICE);
	ck_assert_uint_eq(conf->limits.sessions, 100);
	ck_assert_str_eq(conf->devices[0].args, "net_tap0,iface=a#b//cA");
	ck_assert_uint_eq(conf->drivers[0].rss_hf, 0);
	ck_assert_uint_eq(conf->drivers[0].given, 1u << 7);
	spinat_conf_free(conf);
}
END_TEST

/*
 * Whatever stands in a file, the process goes on and there is a sentence: bytes changed, cut out and
 * put in, one after the other at every place of a file that has every key.
 */
START_TEST(damaged_files)
{
	static const char bytes[] = {'\0', '"', '(', '}', ';', '@', '\\', '\xff', '9', '-', '\n'};
	struct spinat_conf_error err;
	struct spinat_conf *conf;
	char *text = read_text("good/full.conf"), *copy;
	size_t len = strlen(text), i;

	copy = malloc(len + 1);
	ck_assert_ptr_nonnull(copy);
	for (i = 0; i < 3 * len; i++) {
		memcpy(copy, text, len + 1);
		if (i < len)
			copy[i] = bytes[i % RTE_DIM(bytes)];
		else if (i < 2 * len)
			memmove(copy + i - len, copy + i - len + 1, 2 * len - i);
		err.text[0] = '\0';
		conf = load_text(copy, i < 2 * len ? len : i - 2 * len, &err);
		ck_assert(conf != NULL || err.text[0] != '\0');
		spinat_conf_free(conf);
	}
	free(copy);
	free(text);
}
END_TEST

TCase *
test_load(void)
{
	TCase *tc = tcase_create("load");

	tcase_add_test(tc, bad_files);
	tcase_add_test(tc, good_files);
	tcase_add_test(tc, bad_paths);
	tcase_add_test(tc, defaults);
	tcase_add_test(tc, every_key);
	tcase_add_test(tc, tenants);
	tcase_add_test(tc, included);
	tcase_add_test(tc, damaged_files);
	tcase_set_timeout(tc, 60);
	return tc;
}
