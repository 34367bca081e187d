/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 the spinat authors
 */
#include <stdio.h>

#include <rte_ethdev.h>

#include "test_net.h"

/* Devices that are started, and those that can not be: each test has its own, closed for good. */

#define TEXT_MAX 2048

/* The configuration of an inside and an outside device. */
static struct spinat_conf *
two_devices(const char *inside, uint16_t mtu, const char *outside, const char *more)
{
	char text[TEXT_MAX];

	snprintf(text, sizeof(text),
		"drivers_dir = \"/nonexistent\"; interfaces = ("
		"{ name = \"in0\"; device = \"%s\"; role = \"inside\"; mtu = %u;"
		"  addresses = [ \"10.0.0.1/24\" ]; },"
		"{ name = \"in7\"; device = \"%s\"; vlan = 7; role = \"inside\";"
		"  addresses = [ \"10.7.0.1/24\" ]; },\n"
		"{ name = \"out0\"; device = \"%s\"; role = \"outside\";"
		"  addresses = [ \"198.51.100.1/24\" ]; } ); %s",
		inside, mtu, inside, outside, more);
	return net_conf(text);
}

/* Fails unless the devices can not be started for this reason, and none is left open. */
static void
check_refused(struct spinat_conf *conf, uint16_t n_queues, int rc, const char *const *says)
{
	struct spinat_port ports[2];
	struct spinat_conf_error err = {0};

	ck_assert_int_eq(spinat_ports_start(conf, n_queues, net_pool, ports, &err), rc);
	ck_assert_msg(strncmp(err.text, conf->path, strlen(conf->path)) == 0, "%s", err.text);
	for (; *says != NULL; says++)
		ck_assert_msg(strstr(err.text, *says) != NULL, "no \"%s\" in: %s", *says, err.text);
	ck_assert_uint_eq(rte_eth_dev_count_avail(), 0);
	spinat_conf_free(conf);
	net_check_pool();
}

#define REFUSED(conf, n_queues, rc, ...) \
	check_refused(conf, n_queues, rc, (const char *const[]){__VA_ARGS__, NULL})

START_TEST(started)
{
	struct spinat_conf *conf = two_devices("net_ring20", 1500, "net_null20,size=128", "");
	struct rte_mbuf *m = net_mbuf("a frame of no meaning", 21), *back = NULL;
	struct spinat_conf_error err = {0};
	struct spinat_port ports[2];

	ck_assert_msg(spinat_ports_start(conf, 2, net_pool, ports, &err) == 0, "%s", err.text);
	ck_assert_str_eq(ports[0].driver, "net_ring");
	ck_assert_str_eq(ports[1].driver, "net_null");
	for (uint16_t i = 0; i < 2; i++) {
		struct rte_ether_addr mac;
		struct rte_eth_dev_info info;

		ck_assert_uint_eq(ports[i].device, i);
		ck_assert_int_eq(rte_eth_macaddr_get(ports[i].port_id, &mac), 0);
		ck_assert_mem_eq(&ports[i].mac, &mac, sizeof(mac));
		ck_assert_int_eq(rte_eth_dev_info_get(ports[i].port_id, &info), 0);
		ck_assert_uint_eq(info.nb_rx_queues, 2);
		ck_assert_uint_eq(info.nb_tx_queues, 2);
		ck_assert_uint_eq(ports[i].n_rx_queues, 2);
		ck_assert_uint_eq(ports[i].n_tx_queues, 2);
		ck_assert(!ports[i].hw_rx_ip_checksum && !ports[i].hw_tx_ip_checksum);
	}
	/* what goes out on a ring comes in on it */
	ck_assert_uint_eq(rte_eth_tx_burst(ports[0].port_id, 1, &m, 1), 1);
	ck_assert_uint_eq(rte_eth_rx_burst(ports[0].port_id, 0, &back, 1), 0);
	ck_assert_uint_eq(rte_eth_rx_burst(ports[0].port_id, 1, &back, 1), 1);
	ck_assert_ptr_eq(back, m);
	rte_pktmbuf_free(back);
	spinat_ports_stop(ports, 2);
	ck_assert_uint_eq(rte_eth_dev_count_avail(), 0);
	spinat_conf_free(conf);
	net_check_pool();
}
END_TEST

START_TEST(too_few_queues)
{
	REFUSED(two_devices("net_ring22", 1500, "net_null22", ""), 17, -ENOSPC,
		":1: ", "\"net_ring22\"", "net_ring gives it 16 receive", "17 workers");
	REFUSED(two_devices("net_null23", 1500, "net_ring23",
			"drivers = { net_ring = { rx_queues_max = 1; }; };"),
		2, -ENOSPC, ":2: ", "\"net_ring23\"", "1 receive queue", "2 workers");
}
END_TEST

START_TEST(missing)
{
	REFUSED(two_devices("net_null24", 1500, "net_af_packet24,iface=nosuch0", ""), 1, -ENODEV,
		"\"net_af_packet24\"", "network interface \"nosuch0\"");
	REFUSED(two_devices("0000:ff:1f.7", 1500, "net_null25", ""), 1, -ENODEV, "\"0000:ff:1f.7\"",
		"vfio-pci");
	REFUSED(two_devices("ff:1f.7", 1500, "net_null25", ""), 1, -ENODEV, "\"0000:ff:1f.7\"",
		"vfio-pci");
	REFUSED(two_devices("net_nosuch0", 1500, "net_null25", ""), 1, -ENODEV, "\"net_nosuch0\"");
}
END_TEST

START_TEST(mtu)
{
	struct spinat_conf *conf = two_devices("net_null26", 1900, "net_ring26", "");
	struct spinat_conf_error err = {0};
	struct spinat_port ports[2];
	uint16_t now;

	ck_assert_msg(spinat_ports_start(conf, 1, net_pool, ports, &err) == 0, "%s", err.text);
	ck_assert_int_eq(rte_eth_dev_get_mtu(ports[0].port_id, &now), 0);
	ck_assert_uint_eq(now, 1900);
	spinat_ports_stop(ports, 2);
	spinat_conf_free(conf);
	REFUSED(two_devices("net_null27", 9000, "net_ring27", ""), 1, -EINVAL, "\"net_null27\"",
		"MTU of 9000", "one buffer of 2048 bytes");
	REFUSED(two_devices("net_ring28", 1900, "net_null28", ""), 1, -ENOTSUP, "\"net_ring28\"",
		"refuses an MTU of 1900");
}
END_TEST

TCase *
test_net_port(void)
{
	TCase *tc = tcase_create("port");

	tcase_add_test(tc, started);
	tcase_add_test(tc, too_few_queues);
	tcase_add_test(tc, missing);
	tcase_add_test(tc, mtu);
	return tc;
}
