# SPDX-License-Identifier: BSD-3-Clause
# Copyright (c) 2026 the spinat authors
"""Static 1:1 rules: any protocol, both directions, nothing to learn."""

import pytest
from harness import config as cfg
from harness import ipsec, wire
from harness.ipsec import IkeSa, Tunnel, ah_packet, fresh_spi
from harness.lab import Lab
from harness.plan import A, GATEWAY, POOL, REMOTE, TRANSIT
from scapy.layers.inet import ICMP, IP, TCP, UDP
from scapy.layers.l2 import GRE

SERVER = "10.0.0.50"
SERVER_OUTSIDE = "192.0.2.50"
NET_HOST = "10.0.0.67"  # in the 1:1 prefix
NET_HOST_OUTSIDE = "192.0.2.67"

RULES = [
    {"inside": SERVER, "outside": SERVER_OUTSIDE},
    {"inside": "10.0.0.64/28", "outside": "192.0.2.64/28"},
]


class Static:
    @pytest.fixture(scope="class")
    def config(self) -> cfg.Config:
        return cfg.default_config(static=RULES)

    @pytest.fixture(autouse=True)
    def outside_addresses_have_no_host(self, box: Lab) -> None:
        box.outside.absent |= {SERVER_OUTSIDE, NET_HOST_OUTSIDE}


class TestStatic(Static):
    @pytest.mark.parametrize("proto", [2, 4, 41, 47, 89, 103, 132, 253])
    def test_any_protocol_both_ways(self, lab: Lab, proto: int) -> None:
        body = bytes(range(64))
        out = IP(src=SERVER, dst=REMOTE, proto=proto) / body
        back = IP(src=REMOTE, dst=SERVER_OUTSIDE, proto=proto) / body
        lab.back(back, dst=SERVER)  # from outside first
        lab.out(out, src=SERVER_OUTSIDE)
        lab.back(back, dst=SERVER)

    def test_gre(self, lab: Lab) -> None:
        inner = IP(src="172.16.0.1", dst="172.16.0.2") / UDP(sport=1, dport=2) / b"inner"
        lab.out(IP(src=SERVER, dst=REMOTE) / GRE() / inner, src=SERVER_OUTSIDE)

    def test_udp_from_outside_first(self, lab: Lab) -> None:
        packet = IP(src=REMOTE, dst=SERVER_OUTSIDE) / UDP(sport=4000, dport=53) / b"question"
        lab.back(packet, dst=SERVER, dport=53)
        answer = IP(src=SERVER, dst=REMOTE) / UDP(sport=53, dport=4000) / b"answer"
        lab.out(answer, src=SERVER_OUTSIDE, sport=53)

    def test_tcp_from_outside_first(self, lab: Lab) -> None:
        syn = IP(src=REMOTE, dst=SERVER_OUTSIDE) / TCP(sport=4000, dport=80, flags="S")
        lab.back(syn, dst=SERVER, dport=80)
        answer = IP(src=SERVER, dst=REMOTE) / TCP(sport=80, dport=4000, flags="SA")
        lab.out(answer, src=SERVER_OUTSIDE, sport=80)

    def test_ports_are_never_changed(self, lab: Lab) -> None:
        packet = IP(src=A, dst=REMOTE) / UDP(sport=5000, dport=53) / b"x"
        lab.out(packet, src=POOL, sport=5000)
        packet = IP(src=SERVER, dst=REMOTE) / UDP(sport=5000, dport=53) / b"x"
        lab.out(packet, src=SERVER_OUTSIDE, sport=5000)

    def test_ping(self, lab: Lab) -> None:
        """The host answers, not the box."""
        request = IP(src=REMOTE, dst=SERVER_OUTSIDE) / ICMP(type=8, id=9) / b"ping"
        lab.back(request, dst=SERVER, dport=9)
        reply = IP(src=SERVER, dst=REMOTE) / ICMP(type=0, id=9) / b"ping"
        lab.out(reply, src=SERVER_OUTSIDE, sport=9)

    def test_errors_about_pings(self, lab: Lab) -> None:
        """Whoever has asked, the quote has his identifier."""
        request = IP(src=REMOTE, dst=SERVER_OUTSIDE) / ICMP(type=8, id=77) / b"x"
        got = lab.back(request, dst=SERVER).ip_bytes
        lab.inside.send(wire.error_about(SERVER, REMOTE, 3, 10, got))
        quote = wire.quoted(bytes(request), hops=1)
        expected = wire.error_about(SERVER_OUTSIDE, REMOTE, 3, 10, quote, ttl=63)
        wire.assert_sent(lab.outside.receive().ip_bytes, expected)
        reply = IP(src=SERVER, dst=REMOTE) / ICMP(type=0, id=77) / b"x"
        got = lab.out(reply, src=SERVER_OUTSIDE).ip_bytes
        lab.outside.send(wire.error_about(TRANSIT, SERVER_OUTSIDE, 11, 0, wire.quoted(got)))
        quote = wire.quoted(wire.with_id(bytes(reply), got), hops=4)
        expected = wire.error_about(TRANSIT, SERVER, 11, 0, quote, ttl=63)
        wire.assert_same(lab.inside.receive().ip_bytes, expected)

    def test_esp_and_ike_from_anyone(self, lab: Lab) -> None:
        for gateway in ("203.0.113.10", "203.0.113.11"):
            sa, tunnel = IkeSa(), Tunnel(SERVER, gateway)
            # the other end begins, here and with ESP
            lab.back(ipsec.udp(gateway, SERVER_OUTSIDE, sa.first()), dst=SERVER, dport=500)
            answer = ipsec.udp(SERVER, gateway, sa.first_answer())
            lab.out(answer, src=SERVER_OUTSIDE, sport=500)
            for _ in range(2):
                packet, text = tunnel.inbound(SERVER_OUTSIDE)
                tunnel.opens(tunnel.spi_in, lab.back(packet, dst=SERVER).ip_bytes, text)
                packet, text = tunnel.outbound()
                frame = lab.out(packet, src=SERVER_OUTSIDE)
                tunnel.opens(tunnel.spi_out, frame.ip_bytes, text)

    def test_ah_passes_in_spite_of_reject(self, lab: Lab) -> None:
        lab.back(ah_packet(GATEWAY, SERVER_OUTSIDE, fresh_spi()), dst=SERVER)
        lab.out(ah_packet(SERVER, GATEWAY, fresh_spi()), src=SERVER_OUTSIDE)

    def test_prefix_keeps_the_host_part(self, lab: Lab) -> None:
        packet = IP(src=NET_HOST, dst=REMOTE) / UDP(sport=1000, dport=53) / b"x"
        lab.out(packet, src=NET_HOST_OUTSIDE, sport=1000)
        back = IP(src=REMOTE, dst=NET_HOST_OUTSIDE) / TCP(sport=9, dport=22, flags="S")
        lab.back(back, dst=NET_HOST, dport=22)

    def test_icmp_error_about_an_odd_protocol(self, lab: Lab) -> None:
        sent = IP(src=SERVER, dst=REMOTE, proto=47) / bytes(range(64))
        outside = lab.out(sent, src=SERVER_OUTSIDE).ip_bytes
        lab.outside.send(
            wire.error_about(TRANSIT, SERVER_OUTSIDE, 3, 4, wire.quoted(outside, 8), 1400)
        )
        quote = wire.quoted(wire.with_id(bytes(sent), outside), 8, hops=4)
        expected = wire.error_about(TRANSIT, SERVER, 3, 4, quote, 1400, ttl=63)
        wire.assert_same(lab.inside.receive().ip_bytes, expected)

    def test_icmp_error_about_esp(self, lab: Lab) -> None:
        sent = Tunnel(SERVER, "203.0.113.12").outbound()[0]
        outside = lab.out(sent, src=SERVER_OUTSIDE).ip_bytes
        lab.outside.send(
            wire.error_about(TRANSIT, SERVER_OUTSIDE, 3, 4, wire.quoted(outside, 8), 1400)
        )
        quote = wire.quoted(wire.with_id(bytes(sent), outside), 8, hops=4)
        expected = wire.error_about(TRANSIT, SERVER, 3, 4, quote, 1400, ttl=63)
        wire.assert_same(lab.inside.receive().ip_bytes, expected)


class TestWithoutRule(Static):
    @pytest.mark.parametrize("proto", [2, 4, 41, 47, 89, 132])
    def test_other_protocols_need_one(self, lab: Lab, proto: int) -> None:
        lab.inside.send(IP(src=A, dst=REMOTE, proto=proto) / bytes(40))
        lab.silent(protocol=1)

    def test_not_even_inwards(self, lab: Lab) -> None:
        lab.outside.send(IP(src=REMOTE, dst=POOL, proto=47) / bytes(40))
        lab.silent(no_mapping=1)

    def test_address_that_is_none_of_ours(self, lab: Lab) -> None:
        lab.outside.send(IP(src=REMOTE, dst="192.0.2.99") / UDP(sport=1, dport=2) / b"x")
        lab.outside.send(IP(src=REMOTE, dst="198.18.0.1") / UDP(sport=1, dport=2) / b"x")
        lab.silent(not_ours=2)
