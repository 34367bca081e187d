# SPDX-License-Identifier: BSD-3-Clause
# Copyright (c) 2026 the spinat authors
"""Inside hosts that talk through outside addresses (RFC 4787 REQ-9, 5382 REQ-8, 5508 REQ-7)."""

import pytest
from harness import config as cfg
from harness import ipsec, wire
from harness.ipsec import IkeSa, Tunnel
from harness.lab import Lab
from harness.plan import A, B, BOX_OUTSIDE, C, POOL, POOL2, REMOTE
from scapy.layers.inet import ICMP, IP, TCP, UDP
from scapy.packet import Packet

SERVER = "10.0.0.60"
SERVER_OUTSIDE = "192.0.2.60"


def through(lab: Lab, packet: Packet, **fields: object) -> bytes:
    """Sent from inside to an outside address of the box, it comes back inside, one hop older."""
    lab.inside.send(packet)
    raw = lab.inside.receive().ip_bytes
    wire.assert_sent(raw, wire.translated(packet, **fields))  # type: ignore[arg-type]
    return raw


class TestMappings:
    @pytest.fixture(scope="class")
    def config(self) -> cfg.Config:
        return cfg.default_config(realms=[cfg.realm(filtering="endpoint-independent")])

    def test_udp(self, lab: Lab) -> None:
        lab.out(IP(src=B, dst=REMOTE) / UDP(sport=3000, dport=9) / b"x", src=POOL, sport=3000)
        for _ in range(2):
            packet = IP(src=A, dst=POOL) / UDP(sport=3500, dport=3000) / b"to b"
            through(lab, packet, src=POOL, sport=3500, dst=B, dport=3000)
            packet = IP(src=B, dst=POOL) / UDP(sport=3000, dport=3500) / b"to a"
            through(lab, packet, src=POOL, sport=3000, dst=A, dport=3500)

    def test_with_changed_ports(self, lab: Lab) -> None:
        """Both ends have outside ports that differ from their own."""
        for host in (C, A):
            packet = IP(src=host, dst=REMOTE) / UDP(sport=3100, dport=9) / b"x"
            port = lab.out(packet, src=POOL).ip.sport
        lab.out(IP(src=C, dst=REMOTE) / UDP(sport=3101, dport=9) / b"x", src=POOL)
        other = lab.out(IP(src=B, dst=REMOTE) / UDP(sport=3101, dport=9) / b"x", src=POOL).ip.sport
        assert port != 3100 and other != 3101
        packet = IP(src=B, dst=POOL) / UDP(sport=3101, dport=port) / b"to a"
        through(lab, packet, src=POOL, sport=other, dst=A, dport=3100)
        packet = IP(src=A, dst=POOL) / UDP(sport=3100, dport=other) / b"to b"
        through(lab, packet, src=POOL, sport=port, dst=B, dport=3101)

    def test_tcp(self, lab: Lab) -> None:
        syn = IP(src=B, dst=REMOTE) / TCP(sport=3200, dport=9, flags="S")
        lab.out(syn, src=POOL, sport=3200)
        ends = {"src": POOL, "sport": 3201, "dst": B, "dport": 3200}
        back = {"src": POOL, "sport": 3200, "dst": A, "dport": 3201}
        through(lab, IP(src=A, dst=POOL) / TCP(sport=3201, dport=3200, flags="S"), **ends)
        through(lab, IP(src=B, dst=POOL) / TCP(sport=3200, dport=3201, flags="SA"), **back)
        through(lab, IP(src=A, dst=POOL) / TCP(sport=3201, dport=3200, flags="PA") / b"x", **ends)

    def test_a_host_and_itself(self, lab: Lab) -> None:
        lab.out(IP(src=A, dst=REMOTE) / UDP(sport=3300, dport=9) / b"x", src=POOL, sport=3300)
        packet = IP(src=A, dst=POOL) / UDP(sport=3301, dport=3300) / b"to myself"
        through(lab, packet, src=POOL, sport=3301, dst=A, dport=3300)

    def test_icmp_error(self, lab: Lab) -> None:
        """A's port unreachable about what B has sent reaches B and quotes what B knows."""
        lab.out(IP(src=A, dst=REMOTE) / UDP(sport=3400, dport=9) / b"x", src=POOL, sport=3400)
        sent = IP(src=B, dst=POOL) / UDP(sport=3401, dport=3400) / b"unwanted"
        got = through(lab, sent, src=POOL, sport=3401, dst=A, dport=3400)
        lab.inside.send(wire.error_about(A, POOL, 3, 3, got))
        quote = wire.quoted(wire.with_id(bytes(sent), got), hops=1)
        expected = wire.error_about(POOL, B, 3, 3, quote, ttl=63)
        wire.assert_sent(lab.inside.receive().ip_bytes, expected)

    def test_nobody_there(self, lab: Lab) -> None:
        lab.inside.send(IP(src=A, dst=POOL) / UDP(sport=3500, dport=3999) / b"x")
        lab.silent(no_mapping=1)

    def test_ttl_ends(self, lab: Lab) -> None:
        lab.out(IP(src=B, dst=REMOTE) / UDP(sport=3600, dport=9) / b"x", src=POOL, sport=3600)
        lab.inside.send(IP(src=A, dst=POOL, ttl=1) / UDP(sport=3601, dport=3600) / b"x")
        assert lab.inside.receive().ip[ICMP].type == 11
        lab.dropped(ttl_expired=1)


class TestRules:
    """Inside hosts reach servers by the addresses that the world knows."""

    @pytest.fixture(scope="class")
    def config(self) -> cfg.Config:
        return cfg.default_config(
            static=[{"inside": SERVER, "outside": SERVER_OUTSIDE}],
            redirect=[
                {"outside": POOL, "protocol": "tcp", "port": 80, "inside": B, "inside_port": 8080}
            ],
        )

    def test_redirection(self, lab: Lab) -> None:
        syn = IP(src=A, dst=POOL) / TCP(sport=4000, dport=80, flags="S")
        through(lab, syn, src=POOL, sport=4000, dst=B, dport=8080)
        answer = IP(src=B, dst=POOL) / TCP(sport=8080, dport=4000, flags="SA")
        through(lab, answer, src=POOL, sport=80, dst=A, dport=4000)

    def test_static(self, lab: Lab) -> None:
        packet = IP(src=A, dst=SERVER_OUTSIDE) / UDP(sport=4001, dport=53) / b"x"
        through(lab, packet, src=POOL, sport=4001, dst=SERVER, dport=53)
        answer = IP(src=SERVER, dst=POOL) / UDP(sport=53, dport=4001) / b"y"
        through(lab, answer, src=SERVER_OUTSIDE, sport=53, dst=A, dport=4001)

    def test_ping_to_a_static_host(self, lab: Lab) -> None:
        request = IP(src=A, dst=SERVER_OUTSIDE) / ICMP(type=8, id=4000) / b"x"
        through(lab, request, src=POOL, sport=4000, dst=SERVER)
        reply = IP(src=SERVER, dst=POOL) / ICMP(type=0, id=4000) / b"x"
        through(lab, reply, src=SERVER_OUTSIDE, dst=A, dport=4000)

    def test_esp_to_a_static_host(self, lab: Lab) -> None:
        tunnel, there = Tunnel(A, SERVER_OUTSIDE), Tunnel(SERVER, POOL)
        for _ in range(3):
            packet, text = tunnel.outbound()
            got = through(lab, packet, src=POOL, dst=SERVER)
            tunnel.opens(tunnel.spi_out, got, text)
            packet, text = there.outbound()
            got = through(lab, packet, src=SERVER_OUTSIDE, dst=A)
            there.opens(there.spi_out, got, text)


class TestIpsecGatewayInside:
    """An inside host's tunnel with a gateway that is inside, too, by the address of both."""

    @pytest.fixture(scope="class")
    def config(self) -> cfg.Config:
        rule = {"outside": BOX_OUTSIDE, "protocol": "ipsec", "inside": B}
        return cfg.default_config(redirect=[rule])

    def test_ike_and_esp(self, lab: Lab) -> None:
        tunnel = Tunnel(A, BOX_OUTSIDE)
        for outward, message in IkeSa().opening():
            if outward:
                packet = ipsec.udp(A, BOX_OUTSIDE, message)
                through(lab, packet, src=POOL, sport=500, dst=B, dport=500)
            else:
                packet = ipsec.udp(B, POOL, message)
                through(lab, packet, src=BOX_OUTSIDE, sport=500, dst=A, dport=500)
        for _ in range(3):
            packet, text = tunnel.outbound()
            got = through(lab, packet, src=POOL, dst=B)
            tunnel.opens(tunnel.spi_out, got, text)
            packet, text = tunnel.inbound(POOL)
            packet.src = B
            del packet.chksum
            got = through(lab, packet, src=BOX_OUTSIDE, dst=A)
            tunnel.opens(tunnel.spi_in, got, text)

    def test_udp_encapsulated(self, lab: Lab) -> None:
        packet = IP(src=A, dst=BOX_OUTSIDE) / UDP(sport=4500, dport=4500, chksum=0) / b"\1\2\3\4x"
        got = through(lab, packet, src=POOL, dst=B, dport=4500)
        port = wire.get_port(got, "sport")
        packet = IP(src=B, dst=POOL) / UDP(sport=4500, dport=port, chksum=0) / b"\4\3\2\1y"
        through(lab, packet, src=BOX_OUTSIDE, sport=4500, dst=A, dport=4500)


class TestOff:
    @pytest.fixture(scope="class")
    def config(self) -> cfg.Config:
        return cfg.default_config(
            realms=[cfg.realm(filtering="endpoint-independent", hairpin=False)]
        )

    def test_refused(self, lab: Lab) -> None:
        lab.out(IP(src=B, dst=REMOTE) / UDP(sport=3000, dport=9) / b"x", src=POOL, sport=3000)
        lab.inside.send(IP(src=A, dst=POOL) / UDP(sport=3500, dport=3000) / b"to b")
        lab.silent(filtered=1)


class TestGatewayInside:
    """An IPsec gateway behind the same NAT, by a redirection."""

    inside_gateway = "10.0.0.80"

    @pytest.fixture(scope="class")
    def config(self) -> cfg.Config:
        redirect = {"outside": POOL2, "protocol": "ipsec", "inside": self.inside_gateway}
        return cfg.default_config(
            realms=[cfg.realm(pool=[POOL, POOL2])], redirect=[redirect]
        )

    def through(self, lab: Lab, packet: IP, there: str) -> IP:
        lab.inside.send(packet)
        seen = lab.inside.receive().ip
        assert seen.dst == there
        return seen

    def test_esp_and_ike_both_ways(self, lab: Lab) -> None:
        sa = IkeSa()
        outside = set()
        for outward, message in sa.opening():
            if outward:
                packet = ipsec.udp(A, POOL2, message)
                seen = self.through(lab, packet, self.inside_gateway)
                assert seen[UDP].sport == seen[UDP].dport == 500
                outside.add(seen.src)
            else:
                (address,) = outside
                packet = ipsec.udp(self.inside_gateway, address, message)
                assert self.through(lab, packet, A).src == POOL2
        (address,) = outside
        tunnel = Tunnel(A, POOL2)
        back = Tunnel(self.inside_gateway, address)
        for _ in range(3):
            packet, text = tunnel.outbound()
            tunnel.opens(
                tunnel.spi_out, bytes(self.through(lab, packet, self.inside_gateway)), text
            )
            packet, text = back.outbound()
            back.opens(back.spi_out, bytes(self.through(lab, packet, A)), text)
