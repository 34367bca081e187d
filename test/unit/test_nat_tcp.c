/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 the spinat authors
 */
#include <netinet/in.h>

#include <rte_common.h>

#include "nat/tcp.h"
#include "test_nat.h"

/* The state of TCP flows, segment by segment. */

#define CLIENT 1000u /* sequence numbers */
#define SERVER 500000u

static struct spinat_flow flow;

static bool
segment(enum spinat_dir dir, uint8_t flags, uint32_t seq, uint32_t ack)
{
	const struct spinat_meta m = {
		.key = {.proto = IPPROTO_TCP, .dir = dir}, .tcp_flags = flags, .seq = seq};

	return spinat_tcp_track(&flow, &m, ack);
}

static void
open_flow(void)
{
	const struct spinat_meta syn = {
		.key = {.proto = IPPROTO_TCP, .dir = SPINAT_OUT}, .tcp_flags = RTE_TCP_SYN_FLAG};

	flow = (struct spinat_flow){.proto = IPPROTO_TCP, .type = SPINAT_FLOW_SESSION};
	spinat_tcp_begin(&flow, &syn);
	ck_assert(segment(SPINAT_OUT, RTE_TCP_SYN_FLAG, CLIENT, 0));
	ck_assert(segment(SPINAT_IN, RTE_TCP_SYN_FLAG | RTE_TCP_ACK_FLAG, SERVER, CLIENT + 1));
	ck_assert(!(flow.state & SPINAT_TCP_ESTABLISHED));
	ck_assert(segment(SPINAT_OUT, RTE_TCP_ACK_FLAG, CLIENT + 1, SERVER + 1));
	ck_assert(flow.state & SPINAT_TCP_ESTABLISHED);
}

static const struct {
	uint32_t seq;
	bool believed;
} guesses[] = {
	{SERVER + 1, true},
	{SERVER + 1 + SPINAT_TCP_AHEAD - 1, true},
	{SERVER + 1 + SPINAT_TCP_AHEAD, false},
	{SERVER + 1 - SPINAT_TCP_BEHIND, true},
	{SERVER + 1 - SPINAT_TCP_BEHIND - 1, false},
	{SERVER + 1 + 0x80000000u, false},
	{0, false},
};

START_TEST(reset_from_outside_must_fit)
{
	open_flow();
	ck_assert_int_eq(
		segment(SPINAT_IN, RTE_TCP_RST_FLAG, guesses[_i].seq, 0), guesses[_i].believed);
	ck_assert_int_eq(!(flow.state & SPINAT_TCP_ESTABLISHED), guesses[_i].believed);
	ck_assert_int_eq(!!(flow.state & SPINAT_TCP_RST), guesses[_i].believed);
}
END_TEST

START_TEST(fin_from_outside_must_fit)
{
	const uint8_t fin = RTE_TCP_FIN_FLAG | RTE_TCP_ACK_FLAG;

	open_flow();
	ck_assert_int_eq(
		segment(SPINAT_IN, fin, guesses[_i].seq, CLIENT + 1), guesses[_i].believed);
	ck_assert_int_eq(!!(flow.state & SPINAT_TCP_FIN_IN), guesses[_i].believed);
}
END_TEST

START_TEST(reset_from_inside_is_believed)
{
	open_flow();
	ck_assert(segment(SPINAT_OUT, RTE_TCP_RST_FLAG, 0x12345678, 0));
	ck_assert(flow.state & SPINAT_TCP_RST);
}
END_TEST

START_TEST(traffic_ends_the_closing)
{
	open_flow();
	ck_assert(segment(SPINAT_IN, RTE_TCP_RST_FLAG, SERVER + 1, 0));
	ck_assert(segment(SPINAT_OUT, RTE_TCP_ACK_FLAG, CLIENT + 1, SERVER + 1));
	ck_assert(flow.state & SPINAT_TCP_ESTABLISHED && !(flow.state & SPINAT_TCP_RST));
}
END_TEST

START_TEST(samples_move_with_the_inside_host_only)
{
	struct spinat_meta m = {
		.key = {.proto = IPPROTO_TCP, .dir = SPINAT_IN}, .tcp_flags = RTE_TCP_ACK_FLAG};

	open_flow();
	/* a stranger's segment does not prepare for his reset */
	m.seq = SERVER + 0x40000000;
	spinat_tcp_sample(&flow, &m, CLIENT);
	ck_assert(!segment(SPINAT_IN, RTE_TCP_RST_FLAG, m.seq, 0));
	/* what is near does: a server that sends without being answered in the same second */
	m.seq = SERVER + 100000;
	spinat_tcp_sample(&flow, &m, CLIENT);
	ck_assert(!spinat_tcp_expects(&flow, SERVER));
	/* the inside host may go anywhere, over the end of the numbers too */
	m.key.dir = SPINAT_OUT;
	spinat_tcp_sample(&flow, &m, UINT32_MAX);
	ck_assert(segment(SPINAT_IN, RTE_TCP_RST_FLAG, 5, 0));
}
END_TEST

START_TEST(nothing_to_protect_before_it_is_open)
{
	const struct spinat_meta syn = {
		.key = {.proto = IPPROTO_TCP, .dir = SPINAT_OUT}, .tcp_flags = RTE_TCP_SYN_FLAG};

	flow = (struct spinat_flow){.proto = IPPROTO_TCP, .type = SPINAT_FLOW_SESSION};
	spinat_tcp_begin(&flow, &syn);
	ck_assert(segment(SPINAT_IN, RTE_TCP_RST_FLAG | RTE_TCP_ACK_FLAG, 0, CLIENT + 1));
	ck_assert(flow.state & SPINAT_TCP_RST);
	/* the same ports once more */
	ck_assert(segment(SPINAT_OUT, RTE_TCP_SYN_FLAG, CLIENT, 0));
	ck_assert_uint_eq(flow.state, SPINAT_TCP_SYN_OUT);
}
END_TEST

START_TEST(picked_up_in_the_middle)
{
	const struct spinat_meta ack = {
		.key = {.proto = IPPROTO_TCP, .dir = SPINAT_OUT}, .tcp_flags = RTE_TCP_ACK_FLAG};

	flow = (struct spinat_flow){.proto = IPPROTO_TCP, .type = SPINAT_FLOW_SESSION};
	spinat_tcp_begin(&flow, &ack);
	ck_assert(segment(SPINAT_OUT, RTE_TCP_ACK_FLAG, CLIENT, SERVER));
	ck_assert(flow.state & SPINAT_TCP_ESTABLISHED);
	ck_assert(!segment(SPINAT_IN, RTE_TCP_RST_FLAG, SERVER + 0x1000000, 0));
}
END_TEST

TCase *
nat_tcp_case(void)
{
	TCase *t = tcase_create("tcp");

	tcase_add_loop_test(t, reset_from_outside_must_fit, 0, RTE_DIM(guesses));
	tcase_add_loop_test(t, fin_from_outside_must_fit, 0, RTE_DIM(guesses));
	tcase_add_test(t, reset_from_inside_is_believed);
	tcase_add_test(t, traffic_ends_the_closing);
	tcase_add_test(t, samples_move_with_the_inside_host_only);
	tcase_add_test(t, nothing_to_protect_before_it_is_open);
	tcase_add_test(t, picked_up_in_the_middle);
	return t;
}
