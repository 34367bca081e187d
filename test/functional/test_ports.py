# SPDX-License-Identifier: BSD-3-Clause
# Copyright (c) 2026 the spinat authors
"""Which outside port a mapping gets, and when somebody else may have it."""

import pytest
from harness import config as cfg
from harness.lab import Lab, eventually
from harness.plan import A, B, C, POOL, REMOTE, REMOTE2, client
from scapy.layers.inet import ICMP, IP, TCP, UDP
from scapy.packet import Packet


def udp(src: str, sport: int, dst: str = REMOTE) -> Packet:
    return IP(src=src, dst=dst) / UDP(sport=sport, dport=53) / b"x"


def refused(lab: Lab, packet: Packet) -> None:
    lab.inside.send(packet)
    error = lab.inside.receive().ip
    assert (error[ICMP].type, error[ICMP].code) == (3, 13)
    lab.silent(ports_exhausted=1)


class TestReuse:
    """With endpoint-independent filtering a UDP port waits (RFC 6888 REQ-8)."""

    @pytest.fixture(scope="class")
    def config(self) -> cfg.Config:
        return cfg.default_config(
            realms=[cfg.realm(filtering="endpoint-independent")],
            ports={"first": 40000, "last": 40001},
            timeouts={"udp": 1, "port_reuse": 30, "tcp_opening": 1, "icmp": 1},
        )

    def held(self, lab: Lab) -> int:
        return lab.app.telemetry.ask("/spinat/info")["ports_held"]

    def test_waits(self, lab: Lab) -> None:
        for host, port in ((A, 40000), (B, 40001)):
            lab.out(udp(host, port), src=POOL, sport=port)
        lab.out(udp(A, 40000, REMOTE2), src=POOL, sport=40000)
        eventually(lambda: lab.app.telemetry.mappings() == [])
        assert self.held(lab) == 2
        refused(lab, udp(C, 40000))
        lab.outside.send(IP(src=REMOTE, dst=POOL) / UDP(sport=53, dport=40000) / b"late")
        lab.silent(no_mapping=1)
        config = lab.config | {"timeouts": lab.config["timeouts"] | {"port_reuse": 1}}
        assert lab.app.reload(config).startswith("ok")
        eventually(lambda: self.held(lab) == 0)
        lab.out(udp(C, 40000), src=POOL, sport=40000)
        assert lab.app.reload(lab.config).startswith("ok")

    def test_others_do_not(self, lab: Lab) -> None:
        """TCP is followed, and a query's identifier takes replies only (REQ-8 A, C)."""
        for _ in range(2):
            syn = IP(src=A, dst=REMOTE) / TCP(sport=40000, dport=80, flags="S")
            lab.out(syn, src=POOL, sport=40000)
            lab.out(IP(src=A, dst=REMOTE) / ICMP(id=7), src=POOL, sport=7)
            eventually(lambda: lab.app.telemetry.mappings() == [])


class TestReuseIsBounded:
    @pytest.fixture(scope="class")
    def config(self) -> cfg.Config:
        return cfg.default_config(
            realms=[cfg.realm(filtering="endpoint-independent", client_sessions=2)],
            ports={"first": 40000, "last": 40002},
            timeouts={"udp": 1, "port_reuse": 3600},
            limits={"ports_held": 2},
        )

    def test_oldest_goes_first(self, lab: Lab) -> None:
        for port in (40000, 40001, 40002):
            lab.out(udp(A, port), src=POOL, sport=port)
            eventually(lambda: lab.app.telemetry.mappings() == [])
        lab.out(udp(B, 40002), src=POOL, sport=40000)
        eventually(lambda: lab.app.telemetry.mappings() == [])

    def test_a_mapping_that_never_was_waits_for_nothing(self, lab: Lab) -> None:
        """Or a client beyond its limit would take the ports of all others."""
        lab.out(udp(A, 5000), src=POOL)
        lab.out(udp(A, 5000, REMOTE2), src=POOL)
        for number in range(8):
            lab.inside.send(udp(A, 6000 + number))
            lab.inside.receive()
        moved = lab.drops_moved()
        assert sum(moved.values()) == 8 and set(moved) <= {"client_sessions", "ports_exhausted"}
        lab.forget_drops()


class TestReuseGivesWay:
    """A port waits in the place of its mapping, which is there for mappings first."""

    @pytest.fixture(scope="class")
    def config(self) -> cfg.Config:
        return cfg.default_config(
            realms=[cfg.realm(filtering="endpoint-independent")],
            timeouts={"udp": 1, "port_reuse": 3600},
            limits={"mappings": 2},
        )

    def test_mappings_go_first(self, lab: Lab) -> None:
        lab.out(udp(A, 40000), src=POOL)
        eventually(lambda: lab.app.telemetry.mappings() == [])
        for port, waiting in ((1, 1), (2, 0)):
            lab.out(IP(src=B, dst=REMOTE) / TCP(sport=port + 5000, dport=80, flags="S"), src=POOL)
            assert lab.app.telemetry.ask("/spinat/info")["ports_held"] == waiting
        lab.inside.send(udp(C, 40000))
        lab.inside.receive()
        lab.silent(mappings_full=1)


class TestOtherFiltering:
    """Whoever is not let in without a session meets nobody by an old mapping (REQ-8 C)."""

    @pytest.fixture(scope="class")
    def config(self) -> cfg.Config:
        return cfg.default_config(ports={"first": 40000, "last": 40000}, timeouts={"udp": 1})

    def test_free_at_once(self, lab: Lab) -> None:
        for host in (A, B):
            lab.out(udp(host, 40000), src=POOL, sport=40000)
            eventually(lambda: lab.app.telemetry.mappings() == [])


class TestRandom:
    """RFC 6056: the client's own number says nothing about the outside one."""

    @pytest.fixture(scope="class")
    def config(self) -> cfg.Config:
        return cfg.default_config(realms=[cfg.realm(port_preservation=False)])

    def test_number_is_another(self, lab: Lab) -> None:
        own = range(5000, 5064)
        outside = [lab.out(udp(A, port), src=POOL).ip.sport for port in own]
        assert sum(a == b for a, b in zip(own, outside)) <= 2, "by chance alone"
        assert all(a % 2 == b % 2 for a, b in zip(own, outside)), "the parity stays"
        steps = {b - a for a, b in zip(outside, outside[1:])}
        assert len(steps) > 32, "no pattern"
        # and one for all remotes, as ever
        assert lab.out(udp(A, 5000, REMOTE2), src=POOL).ip.sport == outside[0]

    def test_tcp(self, lab: Lab) -> None:
        own = range(5000, 5016)
        syns = [IP(src=A, dst=REMOTE) / TCP(sport=port, dport=80, flags="S") for port in own]
        outside = [lab.out(syn, src=POOL).ip.sport for syn in syns]
        assert sum(a == b for a, b in zip(own, outside)) <= 2


class TestWellKnown:
    """RFC 4787 REQ-3 a, where the file gives mappings all ports."""

    @pytest.fixture(scope="class")
    def config(self) -> cfg.Config:
        return cfg.default_config(ports={"first": 1022, "last": 1030})

    def test_ranges_do_not_mix(self, lab: Lab) -> None:
        assert lab.out(udp(A, 1022), src=POOL, sport=1022)
        assert lab.out(udp(B, 1022), src=POOL).ip.sport == 1023
        high = {lab.out(udp(client(n), 2000), src=POOL).ip.sport for n in range(1, 7)}
        assert len(high) == 6 and high < set(range(1024, 1031))
        # none of its range is left: another is better than none
        assert {lab.out(udp(C, 1022), src=POOL).ip.sport} | high == set(range(1024, 1031))
        refused(lab, udp(client(7), 2000))
