# SPDX-License-Identifier: BSD-3-Clause
# Copyright (c) 2026 the spinat authors
"""What the box says itself: time exceeded, packet too big, no route; and where it routes."""

import pytest
from harness import config as cfg
from harness import plan, wire
from harness.ipsec import Tunnel
from harness.lab import Lab
from harness.plan import A, B, BOX_INSIDE, BOX_OUTSIDE, GATEWAY, ONLINK, POOL, REMOTE, ROUTER
from harness.port import Side
from scapy.layers.inet import ICMP, IP, TCP, UDP
from scapy.packet import Packet


def expect_error(
    side: Side, offending: Packet, box: str, kind: int, code: int, mtu: int = 0
) -> None:
    """An ICMP error of the box about a packet, which it quotes as it came."""
    raw = bytes(offending)
    got = side.receive().ip_bytes
    wire.assert_valid(got)
    error = IP(got)
    assert (error.src, error.dst) == (box, IP(raw).src)
    assert (error[ICMP].type, error[ICMP].code) == (kind, code)
    assert int.from_bytes(got[26:28], "big") == mtu
    assert got[28:] == raw[: 576 - 28], "the quote differs from what was sent"


class TestTimeExceeded:
    """Traceroute sees the box from both sides."""

    @pytest.mark.parametrize(
        "packet",
        [
            IP(src=A, dst=REMOTE, ttl=1) / UDP(sport=33000, dport=33434) / b"traceroute",
            IP(src=A, dst=REMOTE, ttl=1) / ICMP(type=8, id=3000) / b"traceroute",
            IP(src=A, dst=REMOTE, ttl=1) / TCP(sport=33001, dport=80, flags="S"),
            IP(src=A, dst=REMOTE, ttl=1) / UDP(sport=33002, dport=33434) / bytes(1400),
            Tunnel(A, GATEWAY).outbound()[0],
        ],
        ids=["udp", "icmp", "tcp", "large", "esp"],
    )
    def test_from_inside(self, lab: Lab, packet: Packet) -> None:
        packet = IP(wire.translated(packet, hops=packet.ttl - 1))
        lab.inside.send(packet)
        expect_error(lab.inside, packet, BOX_INSIDE, 11, 0)
        lab.silent(ttl_expired=1)

    def test_from_outside(self, lab: Lab) -> None:
        lab.out(IP(src=A, dst=REMOTE) / UDP(sport=33003, dport=53) / b"x", src=POOL, sport=33003)
        packet = IP(src=REMOTE, dst=POOL, ttl=1) / UDP(sport=53, dport=33003) / b"traceroute"
        lab.outside.send(packet)
        expect_error(lab.outside, packet, BOX_OUTSIDE, 11, 0)
        lab.silent(ttl_expired=1)

    def test_ttl_of_two_passes(self, lab: Lab) -> None:
        packet = IP(src=A, dst=REMOTE, ttl=2) / UDP(sport=33004, dport=33434) / b"x"
        assert lab.out(packet, src=POOL, sport=33004).ip.ttl == 1

    def test_nobody_is_told_about_an_error(self, lab: Lab) -> None:
        """RFC 1122 3.2.2: no errors about errors."""
        sent = IP(src=A, dst=REMOTE) / UDP(sport=33005, dport=53) / b"x"
        lab.out(sent, src=POOL, sport=33005)
        answer = IP(src=REMOTE, dst=A) / UDP(sport=53, dport=33005) / b"y"
        lab.inside.send(wire.error_about(A, REMOTE, 3, 3, bytes(answer), ttl=1))
        lab.silent(ttl_expired=1)

    def test_ping_to_the_box_with_ttl_1(self, lab: Lab) -> None:
        """It has arrived; nothing is to be forwarded."""
        lab.inside.send(IP(src=A, dst=BOX_INSIDE, ttl=1) / ICMP(type=8, id=5) / b"x")
        assert lab.inside.receive().ip[ICMP].type == 0


class TestTooBig:
    @pytest.fixture(scope="class")
    def config(self) -> cfg.Config:
        config = cfg.default_config()
        config["interfaces"][1]["mtu"] = 1400
        return config

    def test_told_with_the_mtu(self, lab: Lab) -> None:
        packet = IP(src=A, dst=REMOTE, flags="DF") / UDP(sport=4000, dport=53) / bytes(1373)
        lab.inside.send(packet)
        expect_error(lab.inside, packet, BOX_INSIDE, 3, 4, 1400)
        lab.silent(mtu_df=1)

    def test_esp_is_told_too(self, lab: Lab) -> None:
        tunnel = Tunnel(A, GATEWAY)
        tunnel.fill = bytes(1380)
        packet, _ = tunnel.outbound()
        packet.flags = "DF"
        del packet.chksum
        packet = IP(bytes(packet))
        lab.inside.send(packet)
        expect_error(lab.inside, packet, BOX_INSIDE, 3, 4, 1400)
        lab.silent(mtu_df=1)

    def test_exactly_the_mtu_passes(self, lab: Lab) -> None:
        packet = IP(src=A, dst=REMOTE, flags="DF") / UDP(sport=4001, dport=53) / bytes(1372)
        lab.out(packet, src=POOL, sport=4001)

    def test_without_df_it_is_cut(self, lab: Lab) -> None:
        lab.out(IP(src=A, dst=REMOTE) / UDP(sport=4002, dport=53) / b"x", src=POOL, sport=4002)
        packet = IP(src=A, dst=REMOTE, id=99) / UDP(sport=4002, dport=53) / (bytes(range(250)) * 5)
        big = IP(src=A, dst=REMOTE, id=100) / UDP(sport=4002, dport=53) / (bytes(range(147)) * 10)
        lab.out(packet, src=POOL, sport=4002)
        lab.inside.send(big)
        got = [frame.ip_bytes for frame in lab.outside.receive_all(2)]
        assert [wire.fragment_offset(raw) for raw in got][0] == 0, "in order (RFC 4787 REQ-13)"
        whole = wire.translated(big, src=POOL, sport=4002)
        wire.assert_same(wire.reassemble(got), wire.with_id(whole, got[0]))

    def test_inwards_the_inside_mtu_counts(self, lab: Lab) -> None:
        lab.out(IP(src=A, dst=REMOTE) / UDP(sport=4003, dport=53) / b"x", src=POOL, sport=4003)
        packet = IP(src=REMOTE, dst=POOL, flags="DF") / UDP(sport=53, dport=4003) / bytes(1472)
        lab.back(packet, dst=A, dport=4003)


class TestRouting:
    """Routers on both sides, some for a part of another's prefix, and no default route."""

    OTHER_ROUTER = "192.0.2.3"

    @pytest.fixture(scope="class")
    def config(self) -> cfg.Config:
        return cfg.default_config(
            routes=[
                {"to": "198.51.100.0/24", "via": ROUTER},
                {"to": "198.51.100.128/25", "via": self.OTHER_ROUTER},
                {"to": plan.BEHIND_NET, "via": plan.INSIDE_ROUTER},
                {"to": "10.1.2.0/24", "via": "10.0.0.200"},
            ]
        )

    def test_longest_prefix_outside(self, lab: Lab) -> None:
        for remote, router in (("198.51.100.5", ROUTER), ("198.51.100.200", self.OTHER_ROUTER)):
            lab.outside.router = router
            packet = IP(src=A, dst=remote) / UDP(sport=4000, dport=53) / b"x"
            lab.out(packet, src=POOL, sport=4000)
        lab.outside.router = ROUTER

    def test_longest_prefix_inside(self, lab: Lab) -> None:
        for host, router in (("10.1.9.9", plan.INSIDE_ROUTER), ("10.1.2.9", "10.0.0.200")):
            lab.inside.router = router
            packet = IP(src=host, dst=ONLINK) / UDP(sport=4001, dport=53) / b"x"
            port = lab.out(packet, src=POOL).ip.sport
            answer = IP(src=ONLINK, dst=POOL) / UDP(sport=53, dport=port) / b"y"
            lab.back(answer, dst=host, dport=4001)
        lab.inside.router = plan.INSIDE_ROUTER

    def test_between_inside_networks_nothing_is_translated(self, lab: Lab) -> None:
        packet = IP(src=A, dst="10.1.9.9") / UDP(sport=4002, dport=53) / b"x"
        lab.inside.send(packet)
        wire.assert_same(lab.inside.receive().ip_bytes, wire.translated(packet))

    def test_no_route(self, lab: Lab) -> None:
        packet = IP(src=A, dst="8.8.8.8") / UDP(sport=4003, dport=53) / b"x"
        lab.inside.send(packet)
        expect_error(lab.inside, packet, BOX_INSIDE, 3, 0)
        lab.silent(no_route=1)

    def test_broadcast_of_a_subnet(self, lab: Lab) -> None:
        lab.inside.send(IP(src=A, dst="192.0.2.255") / UDP(sport=4004, dport=53) / b"x")
        lab.silent(blackhole=1)


class TestErrorRate:
    @pytest.fixture(scope="class")
    def config(self) -> cfg.Config:
        return cfg.default_config(limits={"icmp_rate": 10})

    def test_errors_are_bounded_in_time(self, lab: Lab) -> None:
        packet = IP(src=B, dst=REMOTE, ttl=1) / UDP(sport=4000, dport=53) / b"x"
        for _ in range(100):
            lab.inside.send(packet)
        lab.settle()
        answers = lab.in_port.waiting()
        assert 5 <= len(answers) <= 20
        lab.silent(ttl_expired=100)
