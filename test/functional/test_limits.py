# SPDX-License-Identifier: BSD-3-Clause
# Copyright (c) 2026 the spinat authors
"""Full tables: who comes too late is refused and counted, who was there before goes on."""

import pytest
from harness import config as cfg
from harness import ipsec
from harness.ipsec import IkeSa, Tunnel
from harness.lab import Lab, eventually
from harness.plan import A, B, BOX_INSIDE, POOL, REMOTE, client
from scapy.layers.inet import ICMP, IP, TCP, UDP
from scapy.packet import Packet


def udp(src: str, sport: int, dport: int = 53, dst: str = REMOTE) -> Packet:
    return IP(src=src, dst=dst) / UDP(sport=sport, dport=dport) / b"x"


def refused(lab: Lab, packet: Packet, reason: str) -> None:
    """Dropped for that reason, and the sender is told (RFC 5508 REQ-8, RFC 6888 REQ-11)."""
    lab.inside.send(packet)
    error = lab.inside.receive().ip
    assert (error[ICMP].type, error[ICMP].code) == (3, 13)
    assert (error.src, error.dst) == (BOX_INSIDE, packet.src)
    assert bytes(packet).startswith(bytes(error[ICMP].payload)[:28])
    lab.silent(**{reason: 1})


class TestSessions:
    @pytest.fixture(scope="class")
    def config(self) -> cfg.Config:
        return cfg.default_config(limits={"sessions": 64}, timeouts={"udp": 4})

    def test_newcomer_is_refused(self, lab: Lab) -> None:
        """Eight endpoints with eight remotes each fill it."""
        known = [udp(A, 5000 + i, dst=f"198.51.100.{j}") for i in range(8) for j in range(1, 9)]
        for packet in known:
            lab.out(packet, src=POOL, sport=packet.sport)
        newcomers = [
            udp(A, 6000),
            udp(A, 5000, 54),  # a known endpoint, another remote: a session too
            IP(src=A, dst=REMOTE) / TCP(sport=6000, dport=80, flags="S"),
            IP(src=A, dst=REMOTE) / ICMP(type=8, id=6000),
        ]
        for packet in newcomers:
            refused(lab, packet, "sessions_full")
        for packet in known:
            lab.out(packet, src=POOL, sport=packet.sport)
            back = IP(src=packet.dst, dst=POOL) / UDP(sport=53, dport=packet.sport) / b"y"
            lab.back(back, dst=A, dport=packet.sport)
        assert len(lab.app.telemetry.mappings()) == 8, "what was refused has left no mapping"
        # ESP has tables of its own
        lab.out(Tunnel(A, "203.0.113.9").outbound()[0], src=POOL)
        eventually(lambda: lab.app.telemetry.sessions() == [])
        lab.out(udp(A, 6000), src=POOL, sport=6000)


class TestMappings:
    @pytest.fixture(scope="class")
    def config(self) -> cfg.Config:
        return cfg.default_config(limits={"sessions": 1024, "mappings": 64})

    def test_newcomer_is_refused(self, lab: Lab) -> None:
        for number in range(64):
            lab.out(udp(A, 5000 + number), src=POOL, sport=5000 + number)
        refused(lab, udp(A, 6000), "mappings_full")
        lab.out(udp(A, 5000, 54), src=POOL, sport=5000)  # of a mapping that is there


class TestClients:
    @pytest.fixture(scope="class")
    def config(self) -> cfg.Config:
        return cfg.default_config(limits={"clients": 16})

    def test_newcomer_is_refused(self, lab: Lab) -> None:
        for number in range(1, 17):
            lab.out(udp(client(number), 5000), src=POOL)
        refused(lab, udp(client(17), 5000), "clients_full")
        lab.out(udp(client(1), 5001), src=POOL)


class TestPorts:
    """Four outside ports, of either parity two."""

    @pytest.fixture(scope="class")
    def config(self) -> cfg.Config:
        return cfg.default_config(ports={"first": 40000, "last": 40003}, timeouts={"udp": 3})

    def test_exhausted(self, lab: Lab) -> None:
        ports = {lab.out(udp(client(n), 40000), src=POOL).ip.sport for n in (1, 2)}
        assert ports == {40000, 40002}, "parity first"
        ports |= {lab.out(udp(client(n), 40001), src=POOL).ip.sport for n in (3, 4)}
        assert ports == {40000, 40001, 40002, 40003}
        refused(lab, udp(client(5), 40000), "ports_exhausted")
        lab.app.wait_says("event=exhausted", "reason=ports_exhausted", f"client={client(5)}")
        # those of TCP and ICMP are others
        syn = IP(src=B, dst=REMOTE) / TCP(sport=40000, dport=80, flags="S")
        lab.out(syn, src=POOL, sport=40000)
        for number in (1, 2, 3, 4):
            lab.out(udp(client(number), 40000 + (number > 2)), src=POOL)
        (row,) = lab.app.telemetry.rows("/spinat/pools", outside=POOL)
        assert row["udp"] == 4 and row["tcp"] == 1
        eventually(lambda: lab.app.telemetry.sessions(protocol="udp") == [])
        lab.out(udp(client(5), 40000), src=POOL, sport=40000)


class TestBindings:
    @pytest.fixture(scope="class")
    def config(self) -> cfg.Config:
        return cfg.default_config(limits={"bindings": 32})

    def test_tunnels_that_are_there_go_on(self, lab: Lab) -> None:
        """The limit counts each direction. What is bound and in use is never evicted."""
        tunnels = [Tunnel(client(1 + n % 4), f"203.0.113.{1 + n}") for n in range(32)]
        for tunnel in tunnels:
            lab.out(tunnel.outbound()[0], src=POOL)
            lab.back(tunnel.inbound(POOL)[0], dst=tunnel.client)
        for host in (client(1), client(9)):
            lab.inside.send(Tunnel(host, "203.0.113.99").outbound()[0])
        lab.silent(bindings_full=2)
        lab.app.wait_says("event=exhausted", "reason=bindings_full", f"client={client(9)}")
        for tunnel in tunnels:
            lab.out(tunnel.outbound()[0], src=POOL)
            lab.back(tunnel.inbound(POOL)[0], dst=tunnel.client)


class TestIke:
    @pytest.fixture(scope="class")
    def config(self) -> cfg.Config:
        return cfg.default_config(limits={"ike": 16})

    def test_sas_that_are_there_go_on(self, lab: Lab) -> None:
        sas = [(client(1 + n % 4), f"203.0.113.{1 + n // 4}", IkeSa()) for n in range(16)]
        for host, gateway, sa in sas:
            lab.out(ipsec.udp(host, gateway, sa.first()), src=POOL, sport=500)
        for host in (client(1), client(9)):
            lab.inside.send(ipsec.udp(host, "203.0.113.17", IkeSa().first()))
        lab.silent(ike_full=2)
        for host, gateway, sa in sas:
            lab.back(ipsec.udp(gateway, POOL, sa.first_answer()), dst=host, dport=500)


class TestNeighbours:
    @pytest.fixture(scope="class")
    def config(self) -> cfg.Config:
        return cfg.default_config(limits={"neighbours": 16, "neighbour_queue": 2})

    def test_hosts_that_are_known_go_on(self, lab: Lab) -> None:
        """A scan of the outside subnet fills the table; traffic to known hosts is not touched."""
        back = IP(src=REMOTE, dst=POOL) / UDP(sport=53, dport=5000) / b"y"
        lab.out(udp(A, 5000), src=POOL, sport=5000)
        lab.back(back, dst=A, dport=5000)
        lab.outside.absent |= {f"192.0.2.{n}" for n in range(120, 170)}
        for number in range(120, 170):
            lab.inside.send(udp(A, 5000, dst=f"192.0.2.{number}"))
        lab.settle()
        lab.out(udp(A, 5000), src=POOL, sport=5000)
        lab.back(back, dst=A, dport=5000)
        lab.dropped(neigh_unresolved=15, neigh_queue_full=35)  # 15: one of 16 is a client
