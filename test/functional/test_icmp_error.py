# SPDX-License-Identifier: BSD-3-Clause
# Copyright (c) 2026 the spinat authors
"""ICMP errors both ways, with what they quote (RFC 5508 4): whole or cut, of any protocol."""

import itertools
from collections.abc import Callable
from dataclasses import dataclass

import pytest
from harness import config as cfg
from harness import ipsec, wire
from harness.ipsec import IkeSa, Tunnel, ah_packet, fresh_spi
from harness.lab import Lab
from harness.plan import A, B, INSIDE_ROUTER, POOL, REMOTE, TRANSIT
from scapy.layers.inet import ICMP, IP, TCP, UDP
from scapy.packet import Packet

_remotes = itertools.count(1)


def fresh_remote() -> str:
    """Every test has a remote of its own, shared by its clients."""
    return f"203.0.113.{next(_remotes)}"


# type, code, MTU
ERRORS = [
    (3, 0, 0),
    (3, 1, 0),
    (3, 3, 0),
    (3, 4, 1400),
    (3, 13, 0),
    (11, 0, 0),
    (11, 1, 0),
    (12, 0, 0),
]


@dataclass
class Talk:
    """What a client has sent and what was answered, as it is inside and as it is outside."""

    client: str
    sent: bytes
    sent_outside: bytes
    answer: bytes
    answer_inside: bytes


def talk(lab: Lab, client: str, packet: Packet, answer: Callable[[bytes], Packet]) -> Talk:
    outside = lab.out(packet, src=POOL).ip_bytes
    # a quote has the identification that left; the client's own cannot be put back (RFC 6864)
    packet = IP(wire.with_id(bytes(packet), outside))
    reply = answer(outside)
    ports = wire.get_port(bytes(packet), "sport") if outside[9] in (1, 6, 17) else None
    inside = lab.back(reply, dst=client, dport=ports).ip_bytes
    return Talk(client, bytes(packet), outside, bytes(reply), inside)


def udp_talk(lab: Lab, client: str, remote: str) -> Talk:
    return talk(
        lab,
        client,
        IP(src=client, dst=remote, flags="DF") / UDP(sport=3000, dport=53) / b"udp question",
        lambda raw: IP(src=remote, dst=POOL) / UDP(sport=53, dport=IP(raw).sport) / b"udp answer",
    )


def udp_talk_without_checksum(lab: Lab, client: str, remote: str) -> Talk:
    return talk(
        lab,
        client,
        IP(src=client, dst=remote) / UDP(sport=3001, dport=53, chksum=0) / b"udp question",
        lambda raw: IP(src=remote, dst=POOL)
        / UDP(sport=53, dport=IP(raw).sport, chksum=0)
        / b"udp answer",
    )


def tcp_talk(lab: Lab, client: str, remote: str) -> Talk:
    return talk(
        lab,
        client,
        IP(src=client, dst=remote) / TCP(sport=3000, dport=80, flags="S", options=[("MSS", 1460)]),
        lambda raw: IP(src=remote, dst=POOL) / TCP(sport=80, dport=IP(raw).sport, flags="SA"),
    )


def echo_talk(lab: Lab, client: str, remote: str) -> Talk:
    return talk(
        lab,
        client,
        IP(src=client, dst=remote) / ICMP(type=8, id=3000, seq=7) / b"echo payload",
        lambda raw: IP(src=remote, dst=POOL)
        / ICMP(type=0, id=IP(raw)[ICMP].id, seq=7)
        / b"echo payload",
    )


def esp_talk(lab: Lab, client: str, remote: str) -> Talk:
    tunnel = Tunnel(client, remote)
    return talk(lab, client, tunnel.outbound()[0], lambda raw: tunnel.inbound(POOL)[0])


def ike_talk(lab: Lab, client: str, remote: str) -> Talk:
    sa = IkeSa()
    return talk(
        lab,
        client,
        ipsec.udp(client, remote, sa.first()),
        lambda raw: ipsec.udp(remote, POOL, sa.first_answer()),
    )


def natt_talk(lab: Lab, client: str, remote: str) -> Talk:
    return talk(
        lab,
        client,
        IP(src=client, dst=remote) / UDP(sport=4500, dport=4500, chksum=0) / b"\1\2\3\4esp in udp",
        lambda raw: IP(src=remote, dst=POOL)
        / UDP(sport=4500, dport=IP(raw).sport, chksum=0)
        / b"\4\3\2\1esp in udp",
    )


def ah_talk(lab: Lab, client: str, remote: str) -> Talk:
    out, back = fresh_spi(), fresh_spi()
    return talk(
        lab, client, ah_packet(client, remote, out), lambda raw: ah_packet(remote, POOL, back)
    )


Maker = Callable[[Lab, str, str], Talk]
TALKS = [
    udp_talk,
    udp_talk_without_checksum,
    tcp_talk,
    echo_talk,
    esp_talk,
    ike_talk,
    natt_talk,
    ah_talk,
]
# 8 bytes of IKE do not say whose it is: that is tested alone
CUTS = [(t, n) for t in TALKS for n in (None, 8, 28) if (t, n) != (ike_talk, 8)]


def error_in(lab: Lab, t: Talk, error: tuple[int, int, int], length: int | None) -> None:
    """A router on the way says something about what the client sent."""
    kind, code, mtu = error
    lab.outside.send(
        wire.error_about(TRANSIT, POOL, kind, code, wire.quoted(t.sent_outside, length), mtu)
    )
    # outside the packet had gone one hop further than at the client
    quote = wire.quoted(t.sent, length, hops=4)
    expected = wire.error_about(TRANSIT, t.client, kind, code, quote, mtu, ttl=63)
    wire.assert_same(lab.inside.receive().ip_bytes, expected)


def error_out(lab: Lab, t: Talk, error: tuple[int, int, int], length: int | None, src: str) -> None:
    """The client, or a router before it, says something about what came in."""
    kind, code, mtu = error
    remote = IP(t.answer).src
    lab.inside.send(
        wire.error_about(src, remote, kind, code, wire.quoted(t.answer_inside, length, 0), mtu)
    )
    quote = wire.quoted(t.answer, length, hops=1)
    expected = wire.error_about(POOL, remote, kind, code, quote, mtu, ttl=63)
    wire.assert_sent(lab.outside.receive().ip_bytes, expected)


class TestEveryProtocol:
    """The second client has the same ports as the first, so that its outside port is another."""

    @pytest.fixture(scope="class")
    def config(self) -> cfg.Config:
        return cfg.default_config(realms=[cfg.realm(ah="translate")])

    @pytest.mark.parametrize("make,length", CUTS)
    def test_from_outside(self, lab: Lab, make: Maker, length: int | None) -> None:
        remote = fresh_remote()
        for client in (A, B):
            error_in(lab, make(lab, client, remote), (3, 4, 1400), length)

    @pytest.mark.parametrize("make", TALKS)
    @pytest.mark.parametrize("length", [None, 8, 28])
    def test_from_inside(self, lab: Lab, make: Maker, length: int | None) -> None:
        remote = fresh_remote()
        for client in (A, B):
            error_out(lab, make(lab, client, remote), (3, 3, 0), length, client)

    @pytest.mark.parametrize("error", ERRORS)
    def test_every_error(self, lab: Lab, error: tuple[int, int, int]) -> None:
        t = udp_talk(lab, B, REMOTE)
        error_in(lab, t, error, None)
        error_out(lab, t, error, None, B)

    @pytest.mark.parametrize("make", TALKS)
    def test_router_before_the_client(self, lab: Lab, make: Maker) -> None:
        """It has no mapping of its own: the error comes from the outside address (REQ-4)."""
        error_out(lab, make(lab, A, fresh_remote()), (11, 0, 0), None, INSIDE_ROUTER)

    def test_bad_spi_of_rfc_2521(self, lab: Lab) -> None:
        error_in(lab, esp_talk(lab, A, REMOTE), (40, 0, 0), 8)

    def test_extension_behind_the_quote_is_kept(self, lab: Lab) -> None:
        """RFC 4884: the quote is padded to 128 bytes, an MPLS label stack follows."""
        t = udp_talk(lab, B, REMOTE)

        def padded(quote: bytes) -> bytes:
            return quote.ljust(128, b"\0") + bytes.fromhex("2000c05e00080101000c0a40")

        lab.outside.send(
            wire.error_about(TRANSIT, POOL, 11, 0, padded(wire.quoted(t.sent_outside)), 0)
        )
        expected = wire.error_about(
            TRANSIT, B, 11, 0, padded(wire.quoted(t.sent, hops=4)), 0, ttl=63
        )
        wire.assert_same(lab.inside.receive().ip_bytes, expected)


class TestState:
    def test_errors_end_no_session(self, lab: Lab) -> None:
        """RFC 4787 REQ-12, RFC 5382 REQ-10."""
        for make in (udp_talk, tcp_talk, echo_talk, esp_talk, ike_talk):
            t = make(lab, A, fresh_remote())
            for error in ((3, 3, 0), (3, 1, 0), (11, 0, 0)):
                error_in(lab, t, error, None)
            wire_port = wire.get_port(t.sent, "sport") if t.sent[9] in (1, 6, 17) else None
            lab.back(IP(t.answer), dst=A, dport=wire_port)

    def test_quote_of_no_session(self, lab: Lab) -> None:
        for packet in (
            IP(src=POOL, dst=REMOTE) / UDP(sport=9999, dport=9) / b"never sent",
            IP(src=POOL, dst=REMOTE) / TCP(sport=9999, dport=9),
            IP(src=POOL, dst=REMOTE) / ICMP(type=8, id=9999),
            Tunnel(POOL, "203.0.113.200").outbound()[0],
            ipsec.udp(POOL, "203.0.113.200", IkeSa().first()),
        ):
            lab.outside.send(wire.error_about(TRANSIT, POOL, 3, 3, bytes(packet)))
        lab.silent(icmp_unknown=5)

    def test_quote_from_inside_of_no_session(self, lab: Lab) -> None:
        packet = IP(src=REMOTE, dst=A) / UDP(sport=53, dport=9999) / b"never came"
        lab.inside.send(wire.error_about(A, REMOTE, 3, 3, bytes(packet)))
        lab.silent(icmp_unknown=1)

    def test_wrong_checksum(self, lab: Lab) -> None:
        t = udp_talk(lab, A, REMOTE)
        error = bytearray(wire.error_about(TRANSIT, POOL, 3, 3, t.sent_outside))
        error[23] ^= 1
        lab.outside.send(bytes(error))
        lab.silent(icmp_checksum=1)

    @pytest.mark.parametrize("keep", [0, 10, 20, 27])
    def test_quote_too_short(self, lab: Lab, keep: int) -> None:
        t = udp_talk(lab, A, REMOTE)
        lab.outside.send(wire.error_about(TRANSIT, POOL, 3, 3, t.sent_outside[:keep]))
        lab.silent(icmp_quote=1)

    def test_quote_that_is_no_ipv4(self, lab: Lab) -> None:
        t = udp_talk(lab, A, REMOTE)
        lab.outside.send(wire.error_about(TRANSIT, POOL, 3, 3, b"\x65" + t.sent_outside[1:]))
        lab.silent(icmp_quote=1)

    def test_quote_of_somebody_else(self, lab: Lab) -> None:
        """What is quoted must have come from the address that the error goes to."""
        t = udp_talk(lab, A, REMOTE)
        quote = wire.translated(t.sent_outside, src="192.0.2.77")
        lab.outside.send(wire.error_about(TRANSIT, POOL, 3, 3, quote))
        lab.silent(icmp_quote=1)

    def test_quote_of_an_error(self, lab: Lab) -> None:
        inner = wire.error_about(POOL, REMOTE, 3, 3, bytes(28))
        lab.outside.send(wire.error_about(TRANSIT, POOL, 3, 3, inner))
        lab.silent(icmp_quote=1)

    def test_damaged_quote_stays_damaged(self, lab: Lab) -> None:
        """Checksums inside are changed by difference: what was wrong remains wrong by as much."""
        t = udp_talk(lab, A, REMOTE)
        quote = bytearray(wire.quoted(t.sent_outside))
        quote[10] ^= 0x40
        lab.outside.send(wire.error_about(TRANSIT, POOL, 3, 3, bytes(quote)))
        got = lab.inside.receive().ip_bytes
        wire.assert_valid(got)
        expected = bytearray(wire.quoted(t.sent, hops=4))
        inner = got[28:]
        assert inner[12:] == expected[12:] and inner[10:12] != expected[10:12]


class TestIkeOfOneClient:
    def test_eight_bytes_of_ike(self, lab: Lab) -> None:
        """The cookie is not quoted, but only one client speaks IKE with this gateway."""
        error_in(lab, ike_talk(lab, A, REMOTE), (3, 3, 0), 8)

    def test_eight_bytes_of_ike_among_two(self, lab: Lab) -> None:
        """Whose it is cannot be known: nobody gets it."""
        t = ike_talk(lab, A, REMOTE)
        ike_talk(lab, B, REMOTE)
        lab.outside.send(
            wire.error_about(TRANSIT, POOL, 3, 3, wire.quoted(t.sent_outside, 8))
        )
        lab.silent(icmp_unknown=1)
