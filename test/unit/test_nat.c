/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 the spinat authors
 */
#include <arpa/inet.h>
#include <check.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <rte_eal.h>
#include <rte_malloc.h>
#include <rte_random.h>
#include <rte_tcp.h>

#include "nat/hash.h"
#include "nat/nat.h"
#include "test_nat_index.h"
#include "test_nat.h"

/* Flows, mappings and outside ports of one or several workers, driven without packets. */

static const char *const base =
	"name = \"unit\"; workers = 1;\n"
	"interfaces = ( { name = \"lan\"; device = \"net_null0\"; role = \"inside\";"
	" addresses = [ \"10.0.0.1/8\" ]; },\n"
	" { name = \"wan\"; device = \"net_null1\"; role = \"outside\";"
	" addresses = [ \"192.0.2.2/24\" ]; } );\n";

static struct rte_rcu_qsbr *qsbr;

static rte_be32_t
ip(const char *text)
{
	rte_be32_t addr;

	ck_assert_int_eq(inet_pton(AF_INET, text, &addr), 1);
	return addr;
}

static struct spinat_conf *
conf_of(const char *more)
{
	char path[] = "/tmp/spinat-test-nat-XXXXXX";
	struct spinat_conf_error err = {.text = ""};
	int fd = mkstemp(path);
	struct spinat_conf *conf;

	ck_assert_int_ge(fd, 0);
	dprintf(fd, "%s%s", base, more);
	close(fd);
	conf = spinat_conf_load(path, &err);
	unlink(path);
	ck_assert_msg(conf != NULL, "%s", err.text);
	conf->generation = 1;
	return conf;
}

/* One worker's state and its configuration. */
struct box {
	struct spinat_conf *conf;
	struct spinat_pools *pools;
	struct spinat_nat *nat;
};

static void
box_open(struct box *b, const char *more, uint16_t worker, uint16_t n_workers)
{
	b->conf = conf_of(more);
	b->pools = spinat_pools_create(64);
	ck_assert_ptr_nonnull(b->pools);
	ck_assert_int_eq(spinat_pools_attach(b->pools, b->conf), 0);
	b->nat = spinat_nat_create(b->conf, worker, n_workers, b->pools, qsbr, SOCKET_ID_ANY);
	ck_assert_ptr_nonnull(b->nat);
}

static void
box_close(struct box *b)
{
	spinat_nat_free(b->nat);
	spinat_pools_free(b->pools);
	spinat_conf_free(b->conf);
}

static struct spinat_meta
packet(uint8_t proto, enum spinat_dir dir, const char *src, uint16_t sport, const char *dst,
	uint16_t dport)
{
	return (struct spinat_meta){
		.key = {.src = ip(src),
			.dst = ip(dst),
			.sport = htons(sport),
			.dport = htons(dport),
			.proto = proto,
			.dir = dir},
		.kind = SPINAT_KIND_FLOW,
		.tcp_flags = proto == IPPROTO_TCP ? RTE_TCP_SYN_FLAG : 0,
		.flags = proto == IPPROTO_ICMP ? SPINAT_META_ICMP_REQUEST : 0,
	};
}

static struct spinat_flow *
open_out(struct box *b, const struct spinat_meta *m, uint32_t now_s)
{
	struct spinat_flow *f = NULL;

	ck_assert_int_eq(spinat_nat_outbound(b->nat, b->conf, m, now_s, &f), SPINAT_DROP_NONE);
	ck_assert_ptr_nonnull(f);
	return f;
}

static void
sweep_all(struct box *b, uint32_t now_s)
{
	spinat_nat_sweep(b->nat, b->conf, now_s, b->nat->table->high + 1);
	spinat_table_reclaim(b->nat->table, UINT32_MAX);
}

START_TEST(flow_is_found_by_both_keys)
{
	struct spinat_meta m =
		packet(IPPROTO_UDP, SPINAT_OUT, "10.0.0.5", 5000, "198.51.100.1", 53);
	struct spinat_meta back;
	struct spinat_flow *f;
	struct box b;

	box_open(&b, "", 0, 1);
	f = open_out(&b, &m, 1);
	ck_assert_uint_eq(f->new_addr[SPINAT_OUT], ip("192.0.2.2"));
	ck_assert_uint_eq(f->new_port[SPINAT_OUT], htons(5000)); /* free, so kept */
	ck_assert_ptr_eq(spinat_table_find(b.nat->table, &m.key), f);
	back = packet(IPPROTO_UDP, SPINAT_IN, "198.51.100.1", 53, "192.0.2.2", 5000);
	ck_assert_ptr_eq(spinat_table_find(b.nat->table, &back.key), f);
	back.key.sport = htons(54);
	ck_assert_ptr_null(spinat_table_find(b.nat->table, &back.key));
	box_close(&b);
}
END_TEST

START_TEST(mapping_is_endpoint_independent)
{
	struct spinat_meta m =
		packet(IPPROTO_UDP, SPINAT_OUT, "10.0.0.5", 5001, "198.51.100.1", 53);
	struct spinat_meta other =
		packet(IPPROTO_UDP, SPINAT_OUT, "10.0.0.6", 5001, "198.51.100.1", 53);
	struct spinat_flow *first, *second, *third;
	struct box b;

	box_open(&b, "", 0, 1);
	first = open_out(&b, &m, 1);
	m.key.dst = ip("203.0.113.9");
	m.key.dport = htons(99);
	second = open_out(&b, &m, 1);
	ck_assert_uint_eq(first->new_port[SPINAT_OUT], second->new_port[SPINAT_OUT]);
	ck_assert_uint_eq(first->mapping, second->mapping);
	/* another host with the same port gets another one of the same parity */
	third = open_out(&b, &other, 1);
	ck_assert_uint_ne(third->new_port[SPINAT_OUT], first->new_port[SPINAT_OUT]);
	ck_assert_uint_eq(ntohs(third->new_port[SPINAT_OUT]) & 1, 1);
	box_close(&b);
}
END_TEST

START_TEST(filtering_decides_who_comes_in)
{
	static const struct {
		const char *filtering;
		enum spinat_drop known_address, stranger;
	} cases[] = {
		{"endpoint-independent", SPINAT_DROP_NONE, SPINAT_DROP_NONE},
		{"address", SPINAT_DROP_NONE, SPINAT_DROP_FILTERED},
		{"address-port", SPINAT_DROP_FILTERED, SPINAT_DROP_FILTERED},
	};
	struct spinat_meta m =
		packet(IPPROTO_UDP, SPINAT_OUT, "10.0.0.5", 5000, "198.51.100.1", 53);
	struct spinat_meta known =
		packet(IPPROTO_UDP, SPINAT_IN, "198.51.100.1", 99, "192.0.2.2", 5000);
	struct spinat_meta stranger =
		packet(IPPROTO_UDP, SPINAT_IN, "203.0.113.1", 53, "192.0.2.2", 5000);
	struct spinat_meta nobody =
		packet(IPPROTO_UDP, SPINAT_IN, "198.51.100.1", 53, "192.0.2.2", 5002);
	struct spinat_flow *f;
	char more[128];
	struct box b;

	snprintf(more, sizeof(more), "realms = ( { id = 0; filtering = \"%s\"; } );",
		cases[_i].filtering);
	box_open(&b, more, 0, 1);
	open_out(&b, &m, 1);
	ck_assert_int_eq(spinat_nat_inbound(b.nat, b.conf, &known, 1, &f), cases[_i].known_address);
	ck_assert_int_eq(spinat_nat_inbound(b.nat, b.conf, &stranger, 1, &f), cases[_i].stranger);
	ck_assert_int_eq(spinat_nat_inbound(b.nat, b.conf, &nobody, 1, &f), SPINAT_DROP_NO_MAPPING);
	/* once its sessions are gone a remote address is a stranger again */
	sweep_all(&b, 1000);
	ck_assert_int_eq(
		spinat_nat_inbound(b.nat, b.conf, &known, 1000, &f), SPINAT_DROP_NO_MAPPING);
	box_close(&b);
}
END_TEST

START_TEST(tcp_opens_with_a_syn_only)
{
	struct spinat_meta m =
		packet(IPPROTO_TCP, SPINAT_OUT, "10.0.0.5", 5000, "198.51.100.1", 80);
	struct spinat_flow *f;
	struct box b;

	box_open(&b, "", 0, 1);
	m.tcp_flags = RTE_TCP_ACK_FLAG;
	ck_assert_int_eq(spinat_nat_outbound(b.nat, b.conf, &m, 1, &f), SPINAT_DROP_TCP_NOT_SYN);
	m.tcp_flags = RTE_TCP_SYN_FLAG | RTE_TCP_ACK_FLAG;
	ck_assert_int_eq(spinat_nat_outbound(b.nat, b.conf, &m, 1, &f), SPINAT_DROP_TCP_NOT_SYN);
	m.tcp_flags = RTE_TCP_SYN_FLAG;
	open_out(&b, &m, 1);
	ck_assert_uint_eq(spinat_mapping_used(b.nat->mappings), 1); /* refusals left nothing */
	box_close(&b);
}
END_TEST

START_TEST(timeouts_follow_protocol_and_state)
{
	struct spinat_meta udp =
		packet(IPPROTO_UDP, SPINAT_OUT, "10.0.0.5", 5000, "198.51.100.1", 53);
	struct spinat_meta natt =
		packet(IPPROTO_UDP, SPINAT_OUT, "10.0.0.5", 4500, "198.51.100.1", 4500);
	struct spinat_meta icmp =
		packet(IPPROTO_ICMP, SPINAT_OUT, "10.0.0.5", 77, "198.51.100.1", 0);
	struct spinat_meta tcp =
		packet(IPPROTO_TCP, SPINAT_OUT, "10.0.0.5", 5000, "198.51.100.1", 80);
	struct spinat_flow *f;
	struct box b;

	box_open(&b,
		"timeouts = { udp = 11; natt = 12; icmp = 13; tcp_established = 15;"
		" tcp_opening = 14; tcp_closing = 16; };",
		0, 1);
	ck_assert_uint_eq(spinat_flow_timeout(b.conf, open_out(&b, &udp, 1)), 11);
	ck_assert_uint_eq(spinat_flow_timeout(b.conf, open_out(&b, &natt, 1)), 12);
	ck_assert_uint_eq(spinat_flow_timeout(b.conf, open_out(&b, &icmp, 1)), 13);
	f = open_out(&b, &tcp, 1);
	f->state = SPINAT_TCP_SYN_OUT;
	ck_assert_uint_eq(spinat_flow_timeout(b.conf, f), 14);
	f->state |= SPINAT_TCP_SYN_IN; /* the last ACK is still missing */
	ck_assert_uint_eq(spinat_flow_timeout(b.conf, f), 14);
	f->state |= SPINAT_TCP_ESTABLISHED;
	ck_assert_uint_eq(spinat_flow_timeout(b.conf, f), 15);
	f->state |= SPINAT_TCP_FIN_IN; /* half closed: the other side may still send for long */
	ck_assert_uint_eq(spinat_flow_timeout(b.conf, f), 15);
	f->state |= SPINAT_TCP_FIN_OUT;
	ck_assert_uint_eq(spinat_flow_timeout(b.conf, f), 16);
	/* just before and at the end of its time */
	sweep_all(&b, 11);
	ck_assert_uint_eq(b.nat->sessions, 4);
	sweep_all(&b, 12);
	ck_assert_uint_eq(b.nat->sessions, 3);
	sweep_all(&b, 16);
	ck_assert_uint_eq(b.nat->sessions, 1);
	sweep_all(&b, 17);
	ck_assert_uint_eq(b.nat->sessions, 0);
	ck_assert_uint_eq(spinat_mapping_used(b.nat->mappings), 0);
	ck_assert_uint_eq(spinat_mapping_clients(b.nat->mappings), 0);
	box_close(&b);
}
END_TEST

/* Opens sessions, two a mapping, 32 a client, until one is refused; returns how many there are. */
static uint32_t
fill(struct box *b, uint32_t max, enum spinat_drop *why)
{
	struct spinat_meta m =
		packet(IPPROTO_UDP, SPINAT_OUT, "10.0.0.5", 5000, "198.51.100.1", 53);
	struct spinat_flow *f;
	uint32_t n;

	*why = SPINAT_DROP_NONE;
	for (n = 0; n < max; n++) {
		m.key.src = htonl(0x0a000100 + n / 32);
		m.key.sport = htons(2000 + n / 2 % 16);
		m.key.dport = htons(53 + n % 2);
		*why = spinat_nat_outbound(b->nat, b->conf, &m, 1, &f);
		if (*why != SPINAT_DROP_NONE)
			break;
	}
	return n;
}

START_TEST(full_table_refuses_and_recovers)
{
	enum spinat_drop why;
	struct box b;

	box_open(&b, "limits = { sessions = 1000; };", 0, 1);
	ck_assert_uint_eq(fill(&b, 2000, &why), 1000);
	ck_assert_int_eq(why, SPINAT_DROP_SESSIONS_FULL);
	ck_assert_uint_eq(spinat_mapping_used(b.nat->mappings), 500); /* none for the newcomer */
	sweep_all(&b, 10000);
	ck_assert_uint_eq(b.nat->sessions, 0);
	ck_assert_uint_eq(fill(&b, 2000, &why), 1000);
	box_close(&b);
}
END_TEST

START_TEST(mapping_limit_refuses)
{
	enum spinat_drop why;
	struct box b;

	box_open(&b, "limits = { sessions = 1000; mappings = 100; };", 0, 1);
	ck_assert_uint_eq(fill(&b, 2000, &why), 200);
	ck_assert_int_eq(why, SPINAT_DROP_MAPPINGS_FULL);
	box_close(&b);
}
END_TEST

START_TEST(client_limit_refuses)
{
	enum spinat_drop why;
	struct box b;

	box_open(&b, "limits = { clients = 16; };", 0, 1);
	ck_assert_uint_eq(fill(&b, 2000, &why), 512);
	ck_assert_int_eq(why, SPINAT_DROP_CLIENTS_FULL);
	ck_assert_uint_eq(spinat_mapping_used(b.nat->mappings), 256);
	box_close(&b);
}
END_TEST

START_TEST(ports_are_unique_and_exhaustible)
{
	static uint8_t seen[65536];
	struct spinat_meta m =
		packet(IPPROTO_UDP, SPINAT_OUT, "10.0.0.5", 5000, "198.51.100.1", 53);
	enum spinat_drop why = SPINAT_DROP_NONE;
	struct spinat_flow *f;
	struct box b;
	uint32_t n;

	memset(seen, 0, sizeof(seen));
	box_open(&b,
		"ports = { first = 2000; last = 2299; }; "
		"redirect = ( { protocol = \"udp\"; port = 2100; inside = \"10.0.0.9\"; "
		"inside_port = 1; } );",
		0, 1);
	for (n = 0; why == SPINAT_DROP_NONE; n++) {
		m.key.src = htonl(0x0a000100 + n);
		why = spinat_nat_outbound(b.nat, b.conf, &m, 1, &f);
		if (why == SPINAT_DROP_NONE) {
			uint16_t port = ntohs(f->new_port[SPINAT_OUT]);

			ck_assert_uint_ge(port, 2000);
			ck_assert_uint_le(port, 2299);
			ck_assert_uint_ne(port, 2100); /* redirected: not dealt out */
			ck_assert_uint_eq(seen[port]++, 0);
			ck_assert_msg(
				n >= 149 || port % 2 == 0, "parity lost with even ports free");
		}
	}
	ck_assert_int_eq(why, SPINAT_DROP_PORTS_EXHAUSTED);
	ck_assert_uint_eq(n - 1, 299);
	ck_assert_uint_eq(
		spinat_ports_used(spinat_pools_find(b.pools, ip("192.0.2.2")), SPINAT_UDP), 299);
	sweep_all(&b, 10000);
	ck_assert_uint_eq(
		spinat_ports_used(spinat_pools_find(b.pools, ip("192.0.2.2")), SPINAT_UDP), 0);
	box_close(&b);
}
END_TEST

START_TEST(workers_never_share_a_port)
{
	static uint8_t owner[65536];
	enum { WORKERS = 3 };
	struct box b;

	box_open(&b, "", WORKERS, WORKERS + 1);
	memset(owner, 0xff, sizeof(owner));
	for (uint16_t w = 0; w < WORKERS; w++) {
		struct spinat_meta m =
			packet(IPPROTO_TCP, SPINAT_OUT, "10.0.0.5", 1, "198.51.100.1", 80);
		struct spinat_nat *nat =
			spinat_nat_create(b.conf, w, WORKERS, b.pools, qsbr, SOCKET_ID_ANY);

		ck_assert_ptr_nonnull(nat);
		for (uint32_t i = 0; i < 20000; i++) {
			struct spinat_flow *f;

			m.key.src = htonl(0x0a010000 + i);
			m.key.sport = htons(rte_rand());
			ck_assert_int_eq(
				spinat_nat_outbound(nat, b.conf, &m, 1, &f), SPINAT_DROP_NONE);
			ck_assert_uint_eq(owner[ntohs(f->new_port[SPINAT_OUT])], 0xff);
			owner[ntohs(f->new_port[SPINAT_OUT])] = w;
			ck_assert_uint_eq(spinat_port_owner(f->new_port[SPINAT_OUT], WORKERS), w);
		}
		spinat_nat_free(nat);
	}
	box_close(&b);
}
END_TEST

START_TEST(client_keeps_one_outside_address)
{
	struct spinat_meta m =
		packet(IPPROTO_UDP, SPINAT_OUT, "10.0.0.5", 5000, "198.51.100.1", 53);
	rte_be32_t first;
	uint32_t spread = 0;
	struct box b;

	box_open(&b, "realms = ( { id = 0; pool = [ \"192.0.2.10-192.0.2.13\" ]; } );", 0, 1);
	for (uint32_t c = 0; c < 200; c++) {
		m.key.src = htonl(0x0a000200 + c);
		m.key.sport = htons(4000);
		first = open_out(&b, &m, 1)->new_addr[SPINAT_OUT];
		spread |= 1u << (ntohl(first) & 0xf);
		ck_assert_uint_eq(spinat_nat_outside_of(b.conf, 0, m.key.src), first);
		for (uint16_t p = 1; p < 5; p++) {
			m.key.sport = htons(4000 + p);
			ck_assert_uint_eq(open_out(&b, &m, 1)->new_addr[SPINAT_OUT], first);
		}
	}
	ck_assert_uint_eq(spread, 0xf << 10); /* all four are used */
	box_close(&b);
}
END_TEST

START_TEST(static_rules_carry_any_protocol)
{
	struct spinat_meta gre = packet(47, SPINAT_OUT, "10.0.8.7", 0, "198.51.100.1", 0);
	struct spinat_meta in = packet(47, SPINAT_IN, "203.0.113.5", 0, "198.18.0.9", 0);
	struct spinat_meta dynamic = packet(47, SPINAT_OUT, "10.0.0.5", 0, "198.51.100.1", 0);
	struct spinat_flow *f;
	struct box b;

	box_open(&b, "static = ( { inside = \"10.0.8.0/24\"; outside = \"198.18.0.0/24\"; } );", 0,
		1);
	gre.kind = in.kind = dynamic.kind = SPINAT_KIND_OTHER;
	f = open_out(&b, &gre, 1);
	ck_assert_uint_eq(f->new_addr[SPINAT_OUT], ip("198.18.0.7"));
	ck_assert_int_eq(spinat_nat_inbound(b.nat, b.conf, &in, 1, &f), SPINAT_DROP_NONE);
	ck_assert_uint_eq(f->new_addr[SPINAT_IN], ip("10.0.8.9"));
	ck_assert_int_eq(spinat_nat_outbound(b.nat, b.conf, &dynamic, 1, &f), SPINAT_DROP_PROTOCOL);
	box_close(&b);
}
END_TEST

START_TEST(redirection_serves_both_ways)
{
	struct spinat_meta in =
		packet(IPPROTO_TCP, SPINAT_IN, "203.0.113.5", 1234, "192.0.2.2", 8080);
	struct spinat_meta out =
		packet(IPPROTO_TCP, SPINAT_OUT, "10.0.0.6", 80, "203.0.113.5", 1234);
	struct spinat_flow *f;
	struct box b;

	box_open(&b,
		"redirect = ( { protocol = \"tcp\"; port = 8080; inside = \"10.0.0.6\"; "
		"inside_port = 80; } );",
		0, 1);
	ck_assert_int_eq(spinat_nat_inbound(b.nat, b.conf, &in, 1, &f), SPINAT_DROP_NONE);
	ck_assert_uint_eq(f->new_addr[SPINAT_IN], ip("10.0.0.6"));
	ck_assert_uint_eq(f->new_port[SPINAT_IN], htons(80));
	ck_assert_ptr_eq(spinat_table_find(b.nat->table, &out.key), f);
	/* a connection that the server opens itself leaves from the redirected port, too */
	out.key.dst = ip("203.0.113.77");
	f = open_out(&b, &out, 1);
	ck_assert_uint_eq(f->new_port[SPINAT_OUT], htons(8080));
	in.key.dport = htons(8081);
	ck_assert_int_eq(spinat_nat_inbound(b.nat, b.conf, &in, 1, &f), SPINAT_DROP_NO_MAPPING);
	in.key.dst = ip("192.0.2.99");
	ck_assert_int_eq(spinat_nat_inbound(b.nat, b.conf, &in, 1, &f), SPINAT_DROP_NOT_OURS);
	box_close(&b);
}
END_TEST

START_TEST(reload_closes_what_is_no_longer_permitted)
{
	struct spinat_meta a =
		packet(IPPROTO_UDP, SPINAT_OUT, "10.0.0.5", 5000, "198.51.100.1", 53);
	struct spinat_conf *old, *next;
	struct box b;

	box_open(&b,
		"realms = ( { id = 0; pool = [ \"192.0.2.10\" ]; } );"
		"redirect = ( { outside = \"192.0.2.2\"; protocol = \"udp\"; port = 53; inside = "
		"\"10.0.0.6\"; inside_port = 53; } );",
		0, 1);
	open_out(&b, &a, 1);
	a.key.src = ip("10.0.0.6");
	a.key.sport = htons(53);
	open_out(&b, &a, 1);
	old = b.conf;
	/* the redirection goes, the pool stays */
	next = conf_of("realms = ( { id = 0; pool = [ \"192.0.2.10\" ]; } );");
	next->generation = 2;
	b.conf = next;
	sweep_all(&b, 2);
	ck_assert_uint_eq(b.nat->sessions, 1);
	ck_assert_uint_eq(b.nat->closed, 1);
	spinat_conf_free(old);
	/* the pool goes */
	old = b.conf;
	b.conf = conf_of("");
	b.conf->generation = 3;
	sweep_all(&b, 3);
	ck_assert_uint_eq(b.nat->sessions, 0);
	ck_assert_uint_eq(b.nat->closed, 2);
	spinat_conf_free(old);
	box_close(&b);
}
END_TEST

START_TEST(reader_keeps_memory_from_reuse)
{
	struct spinat_meta m =
		packet(IPPROTO_UDP, SPINAT_OUT, "10.0.0.5", 5000, "198.51.100.1", 53);
	struct spinat_flow *f;
	struct box b;
	uint32_t free_before;

	box_open(&b, "", 0, 1);
	f = open_out(&b, &m, 1);
	free_before = b.nat->table->n_free;
	rte_rcu_qsbr_thread_register(qsbr, 1);
	rte_rcu_qsbr_thread_online(qsbr, 1);
	ck_assert_int_eq(spinat_nat_remove(b.nat, f), 0);
	spinat_table_reclaim(b.nat->table, 10);
	ck_assert_ptr_null(spinat_table_find(b.nat->table, &m.key));
	ck_assert_uint_eq(b.nat->table->n_free, free_before); /* a reader may hold it */
	rte_rcu_qsbr_quiescent(qsbr, 1);
	spinat_table_reclaim(b.nat->table, 10);
	ck_assert_uint_eq(b.nat->table->n_free, free_before + 1);
	rte_rcu_qsbr_thread_offline(qsbr, 1);
	rte_rcu_qsbr_thread_unregister(qsbr, 1);
	box_close(&b);
}
END_TEST

START_TEST(hash_spreads_and_depends_on_every_bit)
{
	struct spinat_key key = {.src = 1};
	uint64_t h = spinat_hash_key(&key);
	uint8_t bytes[sizeof(key)];
	unsigned int flips = 0;

	for (unsigned int bit = 0; bit < 8 * sizeof(key); bit++) {
		struct spinat_key other;

		memcpy(bytes, &key, sizeof(key));
		bytes[bit / 8] ^= 1 << bit % 8;
		memcpy(&other, bytes, sizeof(other));
		flips += __builtin_popcountll(h ^ spinat_hash_key(&other));
	}
	/* half of the 64 bits should change for each of the 128; twelve deviations off is broken */
	ck_assert_uint_gt(flips, 128 * 32 - 12 * 46);
	ck_assert_uint_lt(flips, 128 * 32 + 12 * 46);
}
END_TEST

/* Any flow has its own keys, and none that differs in a bit. */
START_TEST(flow_knows_its_keys)
{
	for (int i = 0; i < 1000; i++) {
		const bool spi = i % 2;
		struct spinat_flow f = {
			.new_addr = {rte_rand(), rte_rand()},
			.remote_addr = rte_rand(),
			.new_port = {spi ? 0 : rte_rand(), spi ? 0 : rte_rand()},
			.remote_port = spi ? 0 : rte_rand(),
			.spi = spi ? rte_rand() : 0,
			.realm = rte_rand(),
			.proto = spi ? IPPROTO_ESP : IPPROTO_UDP,
			.type = rte_rand(),
			.flags = rte_rand(),
			.state = rte_rand(),
			.last_seen = rte_rand(),
		};

		for (int dir = 0; dir < 2; dir++) {
			struct spinat_key key;
			uint8_t *bytes = (uint8_t *)&key;

			spinat_flow_key(&f, dir, &key);
			ck_assert(spinat_flow_has_key(&f, dir, &key));
			for (unsigned int bit = 0; bit < 8 * sizeof(key); bit++) {
				bytes[bit / 8] ^= 1 << bit % 8;
				ck_assert(!spinat_flow_has_key(&f, dir, &key));
				bytes[bit / 8] ^= 1 << bit % 8;
			}
		}
	}
}
END_TEST

/* Random opening and aging against counts that must hold after each step. */
START_TEST(random_life_keeps_the_books)
{
	const uint64_t seed = rte_rand();
	uint32_t now = 1;
	struct box b;

	printf("random_life_keeps_the_books: seed %lu\n", (unsigned long)seed);
	rte_srand(seed);
	box_open(&b,
		"limits = { sessions = 500; mappings = 300; };"
		"timeouts = { udp = 20; icmp = 5; tcp_opening = 9; };",
		0, 1);
	for (int step = 0; step < 50000; step++) {
		static const uint8_t protos[] = {IPPROTO_UDP, IPPROTO_TCP, IPPROTO_ICMP};
		struct spinat_meta m = packet(
			protos[rte_rand_max(3)], SPINAT_OUT, "10.0.0.0", 0, "198.51.100.0", 0);
		struct spinat_flow *f;
		uint32_t live = 0;

		m.key.src = htonl(0x0a000000 + rte_rand_max(40));
		m.key.dst = htonl(0xc6336400 + rte_rand_max(10));
		m.key.sport = htons(rte_rand_max(20) + 1);
		m.key.dport = m.key.proto == IPPROTO_ICMP ? 0 : htons(rte_rand_max(3) + 1);
		f = spinat_table_find(b.nat->table, &m.key);
		if (f == NULL)
			spinat_nat_outbound(b.nat, b.conf, &m, now, &f);
		else
			f->last_seen = now;
		if (rte_rand_max(50) == 0)
			sweep_all(&b, now += rte_rand_max(4));
		if (step % 1000 != 0)
			continue;
		for (uint32_t i = 0; i < b.nat->table->high; i++)
			live += b.nat->table->flows[i].type != SPINAT_FLOW_FREE;
		ck_assert_uint_eq(live, b.nat->sessions);
		ck_assert_uint_eq(live, b.nat->table->used);
		ck_assert_uint_eq(b.nat->table->index.used, 2 * live);
	}
	sweep_all(&b, now + 10000);
	ck_assert_uint_eq(b.nat->sessions, 0);
	ck_assert_uint_eq(spinat_mapping_used(b.nat->mappings), 0);
	ck_assert_uint_eq(b.nat->table->n_free, b.nat->table->capacity);
	for (int tp = 0; tp < SPINAT_TRANSPORTS; tp++)
		ck_assert_uint_eq(
			spinat_ports_used(spinat_pools_find(b.pools, ip("192.0.2.2")), tp), 0);
	box_close(&b);
}
END_TEST

static Suite *
nat_suite(void)
{
	Suite *s = suite_create("nat");
	TCase *t = tcase_create("nat");

	tcase_set_timeout(t, 60);
	tcase_add_test(t, flow_is_found_by_both_keys);
	tcase_add_test(t, mapping_is_endpoint_independent);
	tcase_add_loop_test(t, filtering_decides_who_comes_in, 0, 3);
	tcase_add_test(t, tcp_opens_with_a_syn_only);
	tcase_add_test(t, timeouts_follow_protocol_and_state);
	tcase_add_test(t, full_table_refuses_and_recovers);
	tcase_add_test(t, mapping_limit_refuses);
	tcase_add_test(t, client_limit_refuses);
	tcase_add_test(t, ports_are_unique_and_exhaustible);
	tcase_add_test(t, workers_never_share_a_port);
	tcase_add_test(t, client_keeps_one_outside_address);
	tcase_add_test(t, static_rules_carry_any_protocol);
	tcase_add_test(t, redirection_serves_both_ways);
	tcase_add_test(t, reload_closes_what_is_no_longer_permitted);
	tcase_add_test(t, reader_keeps_memory_from_reuse);
	tcase_add_test(t, hash_spreads_and_depends_on_every_bit);
	tcase_add_test(t, flow_knows_its_keys);
	tcase_add_test(t, random_life_keeps_the_books);
	suite_add_tcase(s, t);
	suite_add_tcase(s, nat_index_cases());
	suite_add_tcase(s, nat_ahead_case());
	suite_add_tcase(s, nat_client_case());
	suite_add_tcase(s, nat_lease_case());
	suite_add_tcase(s, nat_tcp_case());
	return s;
}

int
main(void)
{
	char *argv[] = {"test_nat", "--no-huge", "--no-pci", "--no-shconf", "-m", "1024", "-l", "0",
		"--file-prefix", "unit-nat", "--no-telemetry", NULL};
	SRunner *runner;
	int failed;

	if (rte_eal_init(RTE_DIM(argv) - 1, argv) < 0)
		return EXIT_FAILURE;
	spinat_hash_init();
	qsbr = rte_zmalloc("qsbr", rte_rcu_qsbr_get_memsize(4), RTE_CACHE_LINE_SIZE);
	if (qsbr == NULL)
		return EXIT_FAILURE;
	rte_rcu_qsbr_init(qsbr, 4);
	runner = srunner_create(nat_suite());
	srunner_run_all(runner, CK_NORMAL);
	failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	rte_free(qsbr);
	rte_eal_cleanup();
	return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
