# SPDX-License-Identifier: BSD-3-Clause
# Copyright (c) 2026 the spinat authors
"""Servers behind the box: port redirections, an IPsec gateway inside, and passthrough."""

import pytest
from harness import config as cfg
from harness import ipsec, wire
from harness.ipsec import IkeSa, Tunnel
from harness.lab import Lab
from harness.plan import A, B, C, POOL, POOL2, REMOTE, REMOTE2, TRANSIT
from scapy.layers.inet import ICMP, IP, TCP, UDP

SERVER = "10.0.0.60"
RULES = [
    {"outside": POOL, "protocol": "tcp", "port": 8080, "inside": SERVER, "inside_port": 80},
    {"outside": POOL, "protocol": "udp", "port": 53, "inside": SERVER, "inside_port": 5353},
    {"outside": POOL, "protocol": "tcp", "port": 25, "inside": SERVER, "inside_port": 25},
]


class TestPort:
    @pytest.fixture(scope="class")
    def config(self) -> cfg.Config:
        return cfg.default_config(redirect=RULES)

    def test_tcp_from_anyone(self, lab: Lab) -> None:
        for remote in (REMOTE, REMOTE2):
            syn = IP(src=remote, dst=POOL) / TCP(sport=4000, dport=8080, flags="S")
            lab.back(syn, dst=SERVER, dport=80)
            answer = IP(src=SERVER, dst=remote) / TCP(sport=80, dport=4000, flags="SA")
            lab.out(answer, src=POOL, sport=8080)
            data = IP(src=remote, dst=POOL) / TCP(sport=4000, dport=8080, flags="PA") / b"GET /"
            lab.back(data, dst=SERVER, dport=80)

    def test_udp_from_anyone(self, lab: Lab) -> None:
        for remote in (REMOTE, REMOTE2):
            query = IP(src=remote, dst=POOL) / UDP(sport=4000, dport=53) / b"question"
            lab.back(query, dst=SERVER, dport=5353)
            answer = IP(src=SERVER, dst=remote) / UDP(sport=5353, dport=4000) / b"answer"
            lab.out(answer, src=POOL, sport=53)

    def test_server_speaks_first_from_that_port(self, lab: Lab) -> None:
        packet = IP(src=SERVER, dst="198.51.100.44") / UDP(sport=5353, dport=9) / b"notify"
        lab.out(packet, src=POOL, sport=53)

    def test_server_as_a_client(self, lab: Lab) -> None:
        packet = IP(src=SERVER, dst=REMOTE) / TCP(sport=33000, dport=80, flags="S")
        lab.out(packet, src=POOL, sport=33000)

    def test_redirected_port_is_never_given_to_a_client(self, lab: Lab) -> None:
        packet = IP(src=A, dst=REMOTE) / TCP(sport=8080, dport=80, flags="S")
        assert lab.out(packet, src=POOL).ip[TCP].sport != 8080

    def test_other_ports_are_shut(self, lab: Lab) -> None:
        lab.outside.send(IP(src=REMOTE, dst=POOL) / TCP(sport=4000, dport=8081, flags="S"))
        lab.outside.send(IP(src=REMOTE, dst=POOL) / UDP(sport=4000, dport=8080) / b"x")
        lab.silent(no_mapping=2)

    def test_no_session_without_syn(self, lab: Lab) -> None:
        lab.outside.send(IP(src=REMOTE, dst=POOL) / TCP(sport=4001, dport=8080, flags="A"))
        lab.silent(tcp_not_syn=1)


class TestRunsAndProtocols:
    """Runs of ports, to other ports of the same number, and protocols that have no ports."""

    @pytest.fixture(scope="class")
    def config(self) -> cfg.Config:
        return cfg.default_config(
            redirect=[
                {
                    "outside": POOL,
                    "protocol": "udp",
                    "port": "7000-7009",
                    "inside": B,
                    "inside_port": 100,
                },
                {"outside": POOL, "protocol": "gre", "inside": A},
                {"outside": POOL, "protocol": 41, "inside": B},
            ]
        )

    def test_every_port_of_a_run(self, lab: Lab) -> None:
        for number in range(10):
            packet = IP(src=REMOTE, dst=POOL) / UDP(sport=9, dport=7000 + number) / b"q"
            lab.back(packet, dst=B, dport=100 + number)
            reply = IP(src=B, dst=REMOTE) / UDP(sport=100 + number, dport=9) / b"a"
            lab.out(reply, src=POOL, sport=7000 + number)
        for port in (6999, 7010):
            lab.outside.send(IP(src=REMOTE, dst=POOL) / UDP(sport=9, dport=port) / b"q")
        lab.silent(no_mapping=2)

    def test_server_speaks_first_from_a_run(self, lab: Lab) -> None:
        packet = IP(src=B, dst=REMOTE2) / UDP(sport=105, dport=9) / b"hello"
        lab.out(packet, src=POOL, sport=7005)

    def test_run_is_never_given_to_a_client(self, lab: Lab) -> None:
        packet = IP(src=A, dst=REMOTE) / UDP(sport=7003, dport=9) / b"x"
        assert lab.out(packet, src=POOL).ip.sport not in range(7000, 7010)

    def test_protocols(self, lab: Lab) -> None:
        for proto, host in ((47, A), (41, B)):
            body = b"\0\0\x08\0whatever"
            lab.back(IP(src=REMOTE, dst=POOL, proto=proto) / body, dst=host)
            lab.out(IP(src=host, dst=REMOTE, proto=proto) / body, src=POOL)
            lab.out(IP(src=host, dst=REMOTE2, proto=proto) / body, src=POOL)
        lab.inside.send(IP(src=B, dst=REMOTE, proto=47) / b"not his")
        lab.silent(protocol=1)
        lab.outside.send(IP(src=REMOTE, dst=POOL, proto=4) / b"nobody's")
        lab.silent(no_mapping=1)

    def test_error_about_a_protocol(self, lab: Lab) -> None:
        sent = IP(src=A, dst=REMOTE, proto=47) / b"\0\0\x08\0whatever"
        outside = lab.out(sent, src=POOL).ip_bytes
        lab.outside.send(wire.error_about(TRANSIT, POOL, 3, 4, wire.quoted(outside), 1400))
        error = lab.inside.receive().ip
        assert error.dst == A and error[ICMP].type == 3
        assert bytes(error[ICMP].payload)[12:16] == bytes([10, 0, 0, 2])


class TestIpsecGatewayInside:
    """UDP 500, UDP 4500 and ESP from anyone go to the gateway; clients still have their own."""

    @pytest.fixture(scope="class")
    def config(self) -> cfg.Config:
        rule = {"outside": POOL, "protocol": "ipsec", "inside": SERVER}
        return cfg.default_config(redirect=[rule])

    def test_road_warriors(self, lab: Lab) -> None:
        for remote in (REMOTE, REMOTE2):
            sa, tunnel = IkeSa(), Tunnel(SERVER, remote)
            for inward, message in sa.opening():
                if inward:
                    lab.back(ipsec.udp(remote, POOL, message), dst=SERVER, dport=500)
                else:
                    lab.out(ipsec.udp(SERVER, remote, message), src=POOL, sport=500)
            for _ in range(2):
                packet, text = tunnel.inbound(POOL)
                tunnel.opens(tunnel.spi_in, lab.back(packet, dst=SERVER).ip_bytes, text)
                packet, text = tunnel.outbound()
                tunnel.opens(tunnel.spi_out, lab.out(packet, src=POOL).ip_bytes, text)

    def test_road_warrior_behind_another_nat(self, lab: Lab) -> None:
        """Its source port is no longer 500 or 4500."""
        first = IP(src=REMOTE, dst=POOL) / UDP(sport=62000, dport=500) / IkeSa().first()
        lab.back(first, dst=SERVER, dport=500)
        answer = IP(src=SERVER, dst=REMOTE) / UDP(sport=500, dport=62000) / IkeSa().first_answer()
        lab.out(answer, src=POOL, sport=500)
        packet = IP(src=REMOTE, dst=POOL) / UDP(sport=62001, dport=4500) / b"\1\2\3\4esp"
        lab.back(packet, dst=SERVER, dport=4500)
        answer = IP(src=SERVER, dst=REMOTE) / UDP(sport=4500, dport=62001) / b"\4\3\2\1esp"
        lab.out(answer, src=POOL, sport=4500)

    def test_client_of_an_outside_gateway_beside_it(self, lab: Lab) -> None:
        gateway = "203.0.113.10"
        sa, tunnel = IkeSa(), Tunnel(A, gateway)
        for outward, message in sa.opening():
            if outward:
                lab.out(ipsec.udp(A, gateway, message), src=POOL, sport=500)
            else:
                lab.back(ipsec.udp(gateway, POOL, message), dst=A, dport=500)
        packet, _ = tunnel.outbound()
        lab.out(packet, src=POOL)
        packet, _ = tunnel.inbound(POOL)
        lab.back(packet, dst=A)


class TestPassthroughHost:
    """All IPsec that nobody else claims goes to one host."""

    @pytest.fixture(scope="class")
    def config(self) -> cfg.Config:
        return cfg.default_config(realms=[cfg.realm(passthrough=SERVER)])

    def test_unclaimed_goes_to_it(self, lab: Lab) -> None:
        sa, tunnel = IkeSa(), Tunnel(SERVER, REMOTE)
        lab.back(ipsec.udp(REMOTE, POOL, sa.first()), dst=SERVER, dport=500)
        lab.out(ipsec.udp(SERVER, REMOTE, sa.first_answer()), src=POOL, sport=500)
        packet, _ = tunnel.inbound(POOL)
        lab.back(packet, dst=SERVER)

    def test_esp_without_any_ike(self, lab: Lab) -> None:
        packet, _ = Tunnel(SERVER, "203.0.113.40").inbound(POOL)
        lab.back(packet, dst=SERVER)

    def test_claimed_goes_where_it_belongs(self, lab: Lab) -> None:
        tunnel = Tunnel(B, "203.0.113.41")
        lab.out(tunnel.outbound()[0], src=POOL)
        lab.back(tunnel.inbound(POOL)[0], dst=B)


class TestPassthroughSole:
    """The only client that runs IKE gets it; with two there is nobody to choose."""

    @pytest.fixture(scope="class")
    def config(self) -> cfg.Config:
        return cfg.default_config(realms=[cfg.realm(passthrough="sole")])

    def test_the_only_client(self, lab: Lab) -> None:
        sa = IkeSa()
        for outward, message in sa.opening():
            if outward:
                lab.out(ipsec.udp(A, "203.0.113.50", message), src=POOL, sport=500)
            else:
                lab.back(ipsec.udp("203.0.113.50", POOL, message), dst=A, dport=500)
        packet, _ = Tunnel(A, "203.0.113.51").inbound(POOL)
        lab.back(packet, dst=A)
        lab.out(ipsec.udp(C, "203.0.113.52", IkeSa().first()), src=POOL, sport=500)
        packet, _ = Tunnel(A, "203.0.113.53").inbound(POOL)
        lab.outside.send(packet)
        lab.silent(spi_unknown=1)


class TestPassthroughOff:
    def test_unclaimed_is_dropped(self, lab: Lab) -> None:
        lab.out(ipsec.udp(A, "203.0.113.50", IkeSa().first()), src=POOL, sport=500)
        packet, _ = Tunnel(A, "203.0.113.51").inbound(POOL)
        lab.outside.send(packet)
        lab.silent(spi_unknown=1)


class TestPooling:
    """More outside addresses: a client keeps one, and clients of one gateway are spread."""

    @pytest.fixture(scope="class")
    def config(self) -> cfg.Config:
        return cfg.default_config(realms=[cfg.realm(pool=[f"{POOL}-{POOL2}"])])

    def test_paired(self, lab: Lab) -> None:
        """UDP, TCP, IKE and ESP of one client have one outside address (RFC 4787 REQ-2)."""
        used = set()
        for number in range(1, 21):
            host = f"10.0.0.{100 + number}"
            packets = [
                IP(src=host, dst=REMOTE) / UDP(sport=1000, dport=53) / b"x",
                IP(src=host, dst=REMOTE2) / TCP(sport=1000, dport=80, flags="S"),
                ipsec.udp(host, "203.0.113.60", IkeSa().first()),
                Tunnel(host, "203.0.113.60").outbound()[0],
            ]
            addresses = set()
            for packet in packets:
                lab.inside.send(packet)
                addresses.add(lab.outside.receive().ip.src)
            assert len(addresses) == 1, addresses
            used |= addresses
        assert used == {POOL, POOL2}
