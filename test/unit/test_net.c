/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 the spinat authors
 */
#include <arpa/inet.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include <rte_eal.h>
#include <rte_malloc.h>
#include <rte_mbuf.h>

#include "test_net.h"

struct rte_mempool *net_pool;
struct spinat_port net_ports[NET_DEVICES];
struct rte_rcu_qsbr *net_qsbr;

struct spinat_conf *
net_conf(const char *text)
{
	char path[] = "/tmp/spinat_test_net_XXXXXX";
	struct spinat_conf_error err;
	struct spinat_conf *conf;
	int fd = mkstemp(path);

	ck_assert_int_ge(fd, 0);
	ck_assert_int_eq(write(fd, text, strlen(text)), strlen(text));
	close(fd);
	conf = spinat_conf_load(path, &err);
	unlink(path);
	ck_assert_msg(conf != NULL, "%s", err.text);
	return conf;
}

rte_be32_t
net_ip(const char *text)
{
	rte_be32_t addr;

	ck_assert_int_eq(inet_pton(AF_INET, text, &addr), 1);
	return addr;
}

struct spinat_fib *
net_fib(const struct spinat_conf *conf, const struct spinat_fib *prev)
{
	struct spinat_conf_error err = {0};
	struct spinat_fib *fib = spinat_fib_create(conf, net_ports, prev, net_qsbr, &err);

	ck_assert_msg(fib != NULL, "%s", err.text);
	return fib;
}

struct rte_mbuf *
net_mbuf(const void *bytes, uint32_t len)
{
	struct rte_mbuf *m = rte_pktmbuf_alloc(net_pool);

	ck_assert_ptr_nonnull(m);
	memcpy(rte_pktmbuf_append(m, len), bytes, len);
	return m;
}

void
net_check_pool(void)
{
	ck_assert_uint_eq(rte_mempool_avail_count(net_pool), NET_POOL_SIZE);
}

static void
make_shared(void)
{
	net_pool = rte_pktmbuf_pool_create(
		"net", NET_POOL_SIZE, 0, 0, RTE_MBUF_DEFAULT_BUF_SIZE, SOCKET_ID_ANY);
	net_qsbr = rte_zmalloc(NULL, rte_rcu_qsbr_get_memsize(NET_READERS), RTE_CACHE_LINE_SIZE);
	if (net_pool == NULL || net_qsbr == NULL || rte_rcu_qsbr_init(net_qsbr, NET_READERS) != 0)
		exit(EXIT_FAILURE);
	for (uint16_t i = 0; i < NET_DEVICES; i++) {
		net_ports[i].device = i;
		net_ports[i].mac = (struct rte_ether_addr){{0x02, 0, 0, 0, 0, 0x10 + i}};
	}
}

int
main(int argc, char **argv)
{
	char *eal[] = {argv[0], "--no-huge", "--no-pci", "--no-shconf", "-m", "640", "-l", "0",
		"--no-telemetry", "--log-level=critical", NULL};
	SRunner *runner;
	Suite *suite;
	int failed;

	(void)argc;
	if (rte_eal_init(RTE_DIM(eal) - 1, eal) < 0)
		return EXIT_FAILURE;
	make_shared();
	suite = suite_create("net");
	suite_add_tcase(suite, test_net_fib());
	suite_add_tcase(suite, test_net_fib_rcu());
	suite_add_tcase(suite, test_net_arp());
	suite_add_tcase(suite, test_net_neigh());
	suite_add_tcase(suite, test_net_neigh_age());
	suite_add_tcase(suite, test_net_box());
	suite_add_tcase(suite, test_net_port());
	runner = srunner_create(suite);
	srunner_run_all(runner, CK_NORMAL);
	failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	rte_mempool_free(net_pool);
	rte_free(net_qsbr);
	rte_eal_cleanup();
	return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
