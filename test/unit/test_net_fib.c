/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 the spinat authors
 */
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "packets.h"
#include "test_net.h"

#define ROUTES 300
#define PROBES 20000

/* Realms 0 and 1 share their address plan; outside has two interfaces, one with a VLAN. */
#define TWO_REALMS                                                                              \
	"limits = { neighbours = 64; };"                                                        \
	"interfaces = ("                                                                        \
	"{ name = \"in0\"; device = \"net_null10\"; role = \"inside\"; mtu = 1400;"             \
	"  addresses = [ \"10.0.0.1/22\", \"10.9.0.1/31\" ]; },"                                \
	"{ name = \"in1\"; device = \"net_null10\"; vlan = 9; role = \"inside\"; realm = 1;"    \
	"  addresses = [ \"10.0.0.1/24\" ]; },"                                                 \
	"{ name = \"out0\"; device = \"net_null11\"; role = \"outside\";"                       \
	"  addresses = [ \"198.51.100.1/24\" ]; },"                                             \
	"{ name = \"out1\"; device = \"net_null12\"; vlan = 5; role = \"outside\";"             \
	"  addresses = [ \"203.0.113.1/25\" ]; } );"                                            \
	"realms = ( { id = 0; pool = [ \"198.51.100.17-198.51.100.41\", \"192.0.2.0/28\" ]; }," \
	"           { id = 1; pool = [ \"203.0.113.9\" ]; } );"                                 \
	"static = ( { inside = \"10.0.0.7\"; outside = \"192.0.2.77\"; } );"

static const char *const gateways[] = {
	"10.0.0.2", "10.0.3.2", "198.51.100.2", "198.51.100.3", "203.0.113.2"};

static uint64_t seed;

static uint32_t
random32(void)
{
	return pkt_random(&seed) >> 32;
}

static uint32_t
mask(uint8_t len)
{
	return len == 0 ? 0 : UINT32_MAX << (32 - len);
}

static bool
in_prefix(uint32_t addr, const struct spinat_prefix *p)
{
	return ((addr ^ rte_be_to_cpu_32(p->addr)) & mask(p->len)) == 0;
}

/* Prefixes that nest, so that the longest match matters. */
static void
random_prefix(struct spinat_prefix *p)
{
	static const uint32_t bases[] = {NET_IP(10, 0, 0, 0), NET_IP(10, 0, 3, 0),
		NET_IP(172, 16, 0, 0), NET_IP(8, 8, 8, 0), NET_IP(203, 0, 113, 0)};
	uint32_t addr = bases[random32() % RTE_DIM(bases)] ^ random32() >> (8 + random32() % 24);

	p->len = random32() % 33;
	p->addr = rte_cpu_to_be_32(addr & mask(p->len));
}

static bool
is_subnet(const struct spinat_conf *conf, const struct spinat_prefix *p)
{
	for (uint16_t i = 0; i < conf->n_ifaces; i++) {
		for (uint16_t a = 0; a < conf->ifaces[i].n_addrs; a++) {
			if (conf->ifaces[i].addrs[a].len == p->len &&
				in_prefix(rte_be_to_cpu_32(p->addr), &conf->ifaces[i].addrs[a]))
				return true;
		}
	}
	return false;
}

/* Adds random routes to a configuration's text, no destination twice. */
static char *
random_routes(const char *text)
{
	size_t size = strlen(text) + 64 + ROUTES * 96, n;
	struct spinat_conf *base = net_conf(text);
	struct spinat_prefix seen[ROUTES];
	char *out = malloc(size);

	n = snprintf(out, size, "%s routes = (", text);
	for (uint32_t i = 0; i < ROUTES; i++) {
		uint8_t *b = (uint8_t *)&seen[i].addr;
		bool again = true;

		while (again) {
			random_prefix(&seen[i]);
			again = is_subnet(base, &seen[i]);
			for (uint32_t j = 0; j < i; j++)
				again |= memcmp(&seen[i].addr, &seen[j].addr, 4) == 0 &&
					 seen[i].len == seen[j].len;
		}
		n += snprintf(out + n, size - n, "%s{ to = \"%u.%u.%u.%u/%u\"; via = \"%s\"; %s}",
			i == 0 ? "" : ",", b[0], b[1], b[2], b[3], seen[i].len,
			gateways[i % RTE_DIM(gateways)],
			i % RTE_DIM(gateways) == 0 ? "realm = 0; " : "");
	}
	snprintf(out + n, size - n, ");");
	spinat_conf_free(base);
	return out;
}

/* What the slow and obvious way finds. */
struct expected {
	int len; /* of the best match so far */
	enum spinat_nh_state state;
	uint16_t iface;
	rte_be32_t addr;
};

static void
better(struct expected *e, int len, enum spinat_nh_state state, uint16_t iface, rte_be32_t addr)
{
	if (len < e->len)
		return;
	*e = (struct expected){.len = len, .state = state, .iface = iface, .addr = addr};
}

static void
expect_iface(const struct spinat_conf *conf, uint16_t i, uint32_t dst, struct expected *e)
{
	for (uint16_t a = 0; a < conf->ifaces[i].n_addrs; a++) {
		const struct spinat_prefix *p = &conf->ifaces[i].addrs[a];
		bool edge = (dst & ~mask(p->len)) == 0 || (dst | mask(p->len)) == UINT32_MAX;

		if (rte_be_to_cpu_32(p->addr) == dst)
			better(e, 35, SPINAT_NH_BOX, i, 0);
		if (!in_prefix(dst, p))
			continue;
		better(e, p->len, SPINAT_NH_CONNECTED, i, 0);
		if (edge && p->len < 31)
			better(e, 34, SPINAT_NH_BLACKHOLE, i, 0);
	}
}

static struct expected
expect(const struct spinat_conf *conf, uint16_t realm, uint32_t dst)
{
	const struct spinat_outside_addr *o = spinat_conf_outside(conf, rte_cpu_to_be_32(dst));
	struct expected e = {.len = -1};

	for (uint32_t i = 0; i < conf->n_routes; i++) {
		const struct spinat_route_conf *r = &conf->routes[i];
		const struct spinat_iface_conf *iface = &conf->ifaces[r->iface];

		if ((iface->role == SPINAT_OUTSIDE || iface->realm == realm) &&
			in_prefix(dst, &r->to))
			better(&e, r->to.len, SPINAT_NH_INCOMPLETE, r->iface, r->via);
	}
	for (uint16_t i = 0; i < conf->n_ifaces; i++) {
		if (conf->ifaces[i].role == SPINAT_OUTSIDE || conf->ifaces[i].realm == realm)
			expect_iface(conf, i, dst, &e);
	}
	if (o != NULL && !(o->kinds & SPINAT_OUTSIDE_BOX))
		better(&e, 33, SPINAT_NH_BLACKHOLE, 2, 0);
	/* a gateway is a host of its subnet too */
	for (uint32_t i = 0; e.state == SPINAT_NH_CONNECTED && i < conf->n_routes; i++) {
		if (conf->routes[i].iface == e.iface &&
			conf->routes[i].via == rte_cpu_to_be_32(dst))
			better(&e, 33, SPINAT_NH_INCOMPLETE, e.iface, conf->routes[i].via);
	}
	return e;
}

static void
check_lookup(
	const struct spinat_conf *conf, const struct spinat_fib *fib, uint16_t realm, uint32_t dst)
{
	const struct spinat_nexthop *nh = spinat_fib_lookup(fib, realm, rte_cpu_to_be_32(dst));
	struct expected e = expect(conf, realm, dst);

	if (e.len < 0) {
		ck_assert_msg(nh == NULL, "realm %u %08x: no route expected", realm, dst);
		return;
	}
	ck_assert_msg(nh != NULL, "realm %u %08x: no route found", realm, dst);
	ck_assert_msg(
		spinat_nexthop_state(nh) == e.state && nh->addr == e.addr && nh->iface == e.iface,
		"realm %u %08x: state %u of interface %u, expected %u of %u", realm, dst, nh->state,
		nh->iface, e.state, e.iface);
	ck_assert_uint_eq(nh->mtu, conf->ifaces[e.iface].mtu);
	ck_assert_uint_eq(nh->role, conf->ifaces[e.iface].role);
	ck_assert_uint_eq(nh->port, conf->ifaces[e.iface].device);
}

/* Every edge of every prefix, the addresses around it, and random ones. */
static void
check_all(const struct spinat_conf *conf, const struct spinat_fib *fib, uint16_t realm)
{
	for (uint32_t i = 0; i < conf->n_routes; i++) {
		uint32_t first = rte_be_to_cpu_32(conf->routes[i].to.addr);
		uint32_t last = first | ~mask(conf->routes[i].to.len);

		for (uint32_t j = 0; j < 3; j++) {
			check_lookup(conf, fib, realm, first - 1 + j);
			check_lookup(conf, fib, realm, last - 1 + j);
		}
		check_lookup(conf, fib, realm, rte_be_to_cpu_32(conf->routes[i].via));
	}
	for (uint32_t i = 0; i < PROBES; i++) {
		struct spinat_prefix p;

		check_lookup(conf, fib, realm, random32());
		random_prefix(&p);
		check_lookup(conf, fib, realm, rte_be_to_cpu_32(p.addr) + random32() % 3);
	}
	for (uint32_t i = 0; i < 256; i++) {
		check_lookup(conf, fib, realm, NET_IP(198, 51, 100, i));
		check_lookup(conf, fib, realm, NET_IP(203, 0, 113, i));
		check_lookup(conf, fib, realm, NET_IP(192, 0, 2, i));
		check_lookup(conf, fib, realm, NET_IP(10, 0, i % 4, i));
		check_lookup(conf, fib, realm, NET_IP(10, 9, 0, i));
	}
}

START_TEST(longest_match)
{
	char *text = random_routes(TWO_REALMS);
	struct spinat_conf *conf = net_conf(text);
	struct spinat_fib *fib = net_fib(conf, NULL);

	ck_assert_uint_eq(fib->n_realms, 2);
	check_all(conf, fib, 0);
	check_all(conf, fib, 1);
	ck_assert_ptr_null(spinat_fib_lookup(fib, 2, net_ip("10.0.0.1")));
	spinat_fib_free(fib);
	spinat_conf_free(conf);
	free(text);
}
END_TEST

/* A /1 beside the default route that rte_lpm has in two halves. */
START_TEST(default_route)
{
	struct spinat_conf *conf = net_conf(
		NET_SIMPLE "routes = ( { to = \"128.0.0.0/1\"; via = \"198.51.100.2\"; },"
			   "           { to = \"0.0.0.0/0\"; via = \"198.51.100.3\"; } );");
	struct spinat_fib *fib = net_fib(conf, NULL);

	ck_assert_uint_eq(
		spinat_fib_lookup(fib, 0, net_ip("8.8.8.8"))->addr, net_ip("198.51.100.3"));
	ck_assert_uint_eq(
		spinat_fib_lookup(fib, 0, net_ip("200.8.8.8"))->addr, net_ip("198.51.100.2"));
	spinat_fib_free(fib);
	spinat_conf_free(conf);
}
END_TEST

/* One next hop for a gateway, whichever way it is found, with its Ethernet header in it. */
START_TEST(gateway)
{
	static const uint8_t tagged[] = {
		0x02, 0xaa, 0, 0, 0, 1, 0x02, 0, 0, 0, 0, 0x12, 0x81, 0x00, 0x00, 0x05, 0x08, 0x00};
	static const uint8_t plain[] = {
		0x02, 0xaa, 0, 0, 0, 2, 0x02, 0, 0, 0, 0, 0x11, 0x08, 0x00, 0xee, 0xee, 0xee, 0xee};
	struct spinat_conf *conf = net_conf(
		TWO_REALMS "routes = ( { to = \"0.0.0.0/0\"; via = \"203.0.113.2\"; },"
			   "           { to = \"9.0.0.0/8\"; via = \"203.0.113.2\"; } );"
			   "neighbours = ( { interface = \"out1\"; address = \"203.0.113.2\";"
			   "                 mac = \"02:aa:00:00:00:01\"; } );");
	struct spinat_fib *fib = net_fib(conf, NULL);
	const struct spinat_nexthop *nh = spinat_fib_lookup(fib, 0, net_ip("203.0.113.2"));
	const struct rte_ether_addr mac = {{0x02, 0xaa, 0, 0, 0, 2}};
	uint8_t frame[SPINAT_L2_MAX];
	int plain_nh;

	for (uint16_t realm = 0; realm < 2; realm++) {
		ck_assert_ptr_eq(spinat_fib_lookup(fib, realm, net_ip("203.0.113.2")), nh);
		ck_assert_ptr_eq(spinat_fib_lookup(fib, realm, net_ip("9.1.1.1")), nh);
		ck_assert_ptr_eq(spinat_fib_lookup(fib, realm, net_ip("44.1.1.1")), nh);
	}
	ck_assert_int_eq(spinat_nexthop_state(nh), SPINAT_NH_REACHABLE);
	ck_assert(nh->is_gateway && nh->is_static);
	ck_assert_uint_eq(nh->l2_len, sizeof(tagged));
	spinat_nexthop_l2(nh, frame);
	ck_assert_mem_eq(frame, tagged, sizeof(tagged));

	plain_nh = spinat_fib_neigh_add(fib, 2, net_ip("198.51.100.9"));
	ck_assert_int_ge(plain_nh, (int)fib->first_neigh);
	spinat_fib_neigh_set(fib, plain_nh, &mac);
	memset(frame, 0xee, sizeof(frame));
	spinat_nexthop_l2(&fib->nexthops[plain_nh], frame);
	ck_assert_uint_eq(fib->nexthops[plain_nh].l2_len, RTE_ETHER_HDR_LEN);
	ck_assert_mem_eq(frame, plain, sizeof(plain)); /* and not a byte more */
	spinat_fib_free(fib);
	spinat_conf_free(conf);
}
END_TEST

START_TEST(neighbours)
{
	struct spinat_conf *conf = net_conf(TWO_REALMS
		"routes = ( { to = \"10.0.1.64/26\"; via = \"10.0.0.2\"; realm = 0; } );");
	struct spinat_fib *fib = net_fib(conf, NULL);
	rte_be32_t inside = net_ip("10.0.0.20"), outside = net_ip("198.51.100.20");
	rte_be32_t host = net_ip("198.51.100.200");
	int in0 = spinat_fib_neigh_add(fib, 0, inside), in1, out;

	in1 = spinat_fib_neigh_add(fib, 1, inside);
	out = spinat_fib_neigh_add(fib, 2, host);
	ck_assert(in0 >= 0 && in1 >= 0 && out >= 0 && in0 != in1);
	/* the same address in two realms is two hosts; one outside is the same for both */
	ck_assert_ptr_eq(spinat_fib_lookup(fib, 0, inside), &fib->nexthops[in0]);
	ck_assert_ptr_eq(spinat_fib_lookup(fib, 1, inside), &fib->nexthops[in1]);
	ck_assert_ptr_eq(spinat_fib_lookup(fib, 0, host), &fib->nexthops[out]);
	ck_assert_ptr_eq(spinat_fib_lookup(fib, 1, host), &fib->nexthops[out]);
	ck_assert_int_eq(spinat_fib_neigh_find(fib, 0, inside), in0);
	ck_assert_int_eq(spinat_fib_neigh_find(fib, 2, inside), -ENOENT);
	/* never: pool, subnet edges, the box, other subnets, behind a more specific route */
	ck_assert_int_eq(spinat_fib_neigh_add(fib, 2, outside), -ENETUNREACH);
	ck_assert_int_eq(spinat_fib_neigh_add(fib, 0, net_ip("10.0.3.255")), -ENETUNREACH);
	ck_assert_int_eq(spinat_fib_neigh_add(fib, 0, net_ip("10.0.0.0")), -ENETUNREACH);
	ck_assert_int_eq(spinat_fib_neigh_add(fib, 0, net_ip("10.0.0.1")), -ENETUNREACH);
	ck_assert_int_eq(spinat_fib_neigh_add(fib, 0, net_ip("10.1.0.5")), -ENETUNREACH);
	ck_assert_int_eq(spinat_fib_neigh_add(fib, 1, net_ip("10.0.1.5")), -ENETUNREACH);
	ck_assert_int_eq(spinat_fib_neigh_add(fib, 0, net_ip("10.0.1.70")), -ENETUNREACH);
	spinat_fib_neigh_del(fib, in0);
	ck_assert_int_eq(spinat_fib_neigh_find(fib, 0, inside), -ENOENT);
	ck_assert_int_eq(spinat_fib_lookup(fib, 0, inside)->state, SPINAT_NH_CONNECTED);
	ck_assert_ptr_eq(spinat_fib_lookup(fib, 1, inside), &fib->nexthops[in1]);
	spinat_fib_neigh_del(fib, out);
	ck_assert_int_eq(spinat_fib_lookup(fib, 0, host)->state, SPINAT_NH_CONNECTED);
	ck_assert_int_eq(spinat_fib_lookup(fib, 1, host)->state, SPINAT_NH_CONNECTED);
	spinat_fib_free(fib);
	spinat_conf_free(conf);
}
END_TEST

/* Learned neighbours, added and removed at random, change nothing but their own /32. */
START_TEST(neighbours_come_and_go)
{
	struct spinat_conf *conf = net_conf(TWO_REALMS);
	struct spinat_fib *fib = net_fib(conf, NULL), *other;
	uint32_t base = NET_IP(10, 0, 0, 2), addr;
	int slots[64];

	for (uint32_t i = 0; i < RTE_DIM(slots); i++)
		slots[i] = -1;
	for (uint32_t round = 0; round < 4000; round++) {
		uint32_t i = random32() % RTE_DIM(slots), generation = fib->generation;

		addr = rte_cpu_to_be_32(base + i * 15);
		if (slots[i] >= 0) {
			spinat_fib_neigh_del(fib, slots[i]);
			slots[i] = -1;
		} else {
			slots[i] = spinat_fib_neigh_add(fib, 0, addr);
			ck_assert_int_ge(slots[i], 0);
		}
		/* what was looked up before is not kept */
		ck_assert_uint_gt(fib->generation, generation);
		i = random32() % RTE_DIM(slots);
		addr = rte_cpu_to_be_32(base + i * 15);
		if (slots[i] < 0)
			check_lookup(conf, fib, 0, base + i * 15);
		else
			ck_assert_ptr_eq(spinat_fib_lookup(fib, 0, addr), &fib->nexthops[slots[i]]);
		check_lookup(conf, fib, 0, base + 1 + random32() % 62 * 15);
	}
	other = net_fib(conf, NULL);
	ck_assert_uint_gt(other->generation, fib->generation);
	spinat_fib_free(other);
	spinat_fib_free(fib);
	spinat_conf_free(conf);
}
END_TEST

START_TEST(table_full)
{
	struct spinat_conf *conf =
		net_conf("limits = { neighbours = 16; };" NET_SIMPLE
			 "routes = ( { to = \"0.0.0.0/0\"; via = \"198.51.100.2\"; } );");
	struct spinat_fib *fib = net_fib(conf, NULL);

	for (uint32_t i = 0; i < 16; i++)
		ck_assert_int_ge(
			spinat_fib_neigh_add(fib, 0, rte_cpu_to_be_32(NET_IP(10, 0, 0, 2 + i))), 0);
	ck_assert_int_eq(spinat_fib_neigh_add(fib, 0, net_ip("10.0.0.99")), -ENOSPC);
	ck_assert_int_eq(
		spinat_fib_lookup(fib, 0, net_ip("10.0.0.99"))->state, SPINAT_NH_CONNECTED);
	spinat_fib_free(fib);
	spinat_conf_free(conf);
}
END_TEST

TCase *
test_net_fib(void)
{
	const char *given = getenv("SPINAT_TEST_SEED");
	TCase *tc = tcase_create("fib");

	seed = (given != NULL ? strtoull(given, NULL, 0) : (uint64_t)time(NULL)) | 1;
	printf("SPINAT_TEST_SEED=%llu\n", (unsigned long long)seed);
	tcase_set_timeout(tc, 60);
	tcase_add_test(tc, longest_match);
	tcase_add_test(tc, default_route);
	tcase_add_test(tc, gateway);
	tcase_add_test(tc, neighbours);
	tcase_add_test(tc, neighbours_come_and_go);
	tcase_add_test(tc, table_full);
	return tc;
}
