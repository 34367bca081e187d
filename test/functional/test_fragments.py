# SPDX-License-Identifier: BSD-3-Clause
# Copyright (c) 2026 the spinat authors
"""Fragments, in any order, of every protocol. The box has taps here: the kernel's packet sockets
would put fragments together before the box sees them."""

import itertools
import time
from collections.abc import Sequence

import pytest
from harness import config as cfg
from harness import ipsec, wire
from harness.ipsec import IkeSa, Tunnel
from harness.lab import Lab
from harness.plan import A, B, C, GATEWAY, POOL, REMOTE, REMOTE2
from harness.port import Side
from scapy.layers.inet import ICMP, IP, TCP, UDP
from scapy.packet import Packet

ORDERS = list(itertools.permutations(range(3)))
BODY = bytes(i * 7 & 0xFF for i in range(2200))
_ids = itertools.count(0x1000)


def fresh_id() -> int:
    return next(_ids)


def udp_out(src: str, sport: int, dst: str = REMOTE, body: bytes = BODY, ident: int = 0) -> Packet:
    return IP(src=src, dst=dst, id=ident or fresh_id()) / UDP(sport=sport, dport=9) / body


def udp_in(dport: int, src: str = REMOTE, body: bytes = BODY, ident: int = 0) -> Packet:
    return IP(src=src, dst=POOL, id=ident or fresh_id()) / UDP(sport=9, dport=dport) / body


def send(side: Side, parts: Sequence[bytes], order: Sequence[int]) -> None:
    for i in order:
        side.send(parts[i])


def expect(side: Side, whole: bytes, size: int, count: int, new_id: bool = False) -> None:
    """As many fragments as were sent, each cut where it was cut, the datagram whole and right."""
    got = [frame.ip_bytes for frame in side.receive_all(count)]
    for raw in got:
        wire.assert_valid(raw)
    expected = wire.fragments(wire.with_id(whole, got[0]) if new_id else whole, size)
    assert sorted(map(wire.fragment_offset, got)) == sorted(map(wire.fragment_offset, expected))
    for raw in sorted(got, key=wire.fragment_offset):
        wire.assert_same(raw, expected[wire.fragment_offset(raw) // size])
    wire.assert_valid(wire.reassemble(got))


def pass_out(
    lab: Lab, packet: Packet, order: Sequence[int] = (0, 1, 2), sport: int | None = None
) -> None:
    parts = wire.fragments(packet, 800)
    assert len(parts) == len(order)
    send(lab.inside, parts, order)
    whole = wire.translated(packet, src=POOL, sport=sport)
    expect(lab.outside, whole, 800, len(order), new_id=True)


def pass_back(
    lab: Lab,
    packet: Packet,
    dst: str,
    order: Sequence[int] = (0, 1, 2),
    dport: int | None = None,
) -> None:
    parts = wire.fragments(packet, 800)
    assert len(parts) == len(order)
    send(lab.outside, parts, order)
    expect(lab.inside, wire.translated(packet, dst=dst, dport=dport), 800, len(order))


class Taps:
    @pytest.fixture(scope="class")
    def config(self) -> cfg.Config:
        return cfg.default_config(devices=cfg.TAP, timeouts={"fragment": 2})


class TestOrders(Taps):
    @pytest.mark.parametrize("order", ORDERS)
    def test_udp(self, lab: Lab, order: tuple[int, ...]) -> None:
        pass_out(lab, udp_out(A, 3000), order, 3000)
        pass_back(lab, udp_in(3000), A, order, 3000)

    @pytest.mark.parametrize("order", ORDERS)
    def test_udp_with_another_outside_port(self, lab: Lab, order: tuple[int, ...]) -> None:
        lab.out(udp_out(A, 3001, body=b"first"), src=POOL, sport=3001)
        port = lab.out(udp_out(B, 3001, body=b"second"), src=POOL).ip.sport
        assert port != 3001
        pass_out(lab, udp_out(B, 3001), order, port)
        pass_back(lab, udp_in(port), B, order, 3001)

    @pytest.mark.parametrize("order", ORDERS)
    def test_icmp_echo(self, lab: Lab, order: tuple[int, ...]) -> None:
        request = IP(src=A, dst=REMOTE, id=fresh_id()) / ICMP(type=8, id=7700) / BODY
        pass_out(lab, request, order, 7700)
        reply = IP(src=REMOTE, dst=POOL, id=fresh_id()) / ICMP(type=0, id=7700) / BODY
        pass_back(lab, reply, A, order, 7700)

    @pytest.mark.parametrize("order", ORDERS)
    def test_esp(self, lab: Lab, order: tuple[int, ...]) -> None:
        tunnel = Tunnel(A, GATEWAY)
        tunnel.fill = BODY
        packet, _ = tunnel.outbound()
        pass_out(lab, packet, order)
        packet, _ = tunnel.inbound(POOL)
        pass_back(lab, packet, A, order)

    @pytest.mark.parametrize("order", ORDERS)
    def test_ike(self, lab: Lab, order: tuple[int, ...]) -> None:
        """A big IKE_AUTH, with certificates, of two clients of one gateway."""
        for host in (A, B):
            sa = IkeSa()
            lab.out(ipsec.udp(host, GATEWAY, sa.first()), src=POOL, sport=500)
            lab.back(ipsec.udp(GATEWAY, POOL, sa.first_answer()), dst=host, dport=500)
            for outward in (True, False):
                message = ipsec.ike_message(
                    sa.initiator,
                    sa.responder,
                    ipsec.IKE_AUTH,
                    message_id=1,
                    flags=ipsec.FLAG_INITIATOR if outward else ipsec.FLAG_RESPONSE,
                    body=BODY,
                )
                if outward:
                    packet = ipsec.udp(host, GATEWAY, message, id=fresh_id())
                    pass_out(lab, packet, order, 500)
                else:
                    packet = ipsec.udp(GATEWAY, POOL, message, id=fresh_id())
                    pass_back(lab, packet, host, order, 500)

    def test_tcp_segment(self, lab: Lab) -> None:
        syn = IP(src=A, dst=REMOTE) / TCP(sport=3002, dport=80, flags="S")
        lab.out(syn, src=POOL, sport=3002)
        segment = TCP(sport=3002, dport=80, flags="PA", seq=1)
        pass_out(lab, IP(src=A, dst=REMOTE, id=fresh_id()) / segment / BODY, (2, 0, 1), 3002)

    def test_two_datagrams_interleaved(self, lab: Lab) -> None:
        first, second = udp_out(A, 3003), udp_out(A, 3003, body=BODY[::-1])
        a, b = wire.fragments(first, 800), wire.fragments(second, 800)
        for part in (a[2], b[1], a[1], b[0], b[2], a[0]):
            lab.inside.send(part)
        got = [frame.ip_bytes for frame in lab.outside.receive_all(6)]
        # in order of their first fragments, which came after later ones
        for packet, ident in ((second, IP(got[0]).id), (first, IP(got[-1]).id)):
            mine = [raw for raw in got if IP(raw).id == ident]
            expected = wire.translated(packet, src=POOL, sport=3003)
            wire.assert_same(wire.reassemble(mine), wire.with_id(expected, mine[0]))

    def test_same_identification_to_one_remote(self, lab: Lab) -> None:
        """They get one each, or the remote would put their pieces together (RFC 6864 5.3.1)."""
        first, second = udp_out(A, 3010, ident=0x7778), udp_out(C, 3012, ident=0x7778)
        a, b = wire.fragments(first, 800), wire.fragments(second, 800)
        for part in (a[0], b[0], a[1], b[1], a[2], b[2]):
            lab.inside.send(part)
        got = [frame.ip_bytes for frame in lab.outside.receive_all(6)]
        assert IP(got[0]).id != IP(got[1]).id
        for packet, port, mine in ((first, 3010, got[::2]), (second, 3012, got[1::2])):
            expected = wire.translated(packet, src=POOL, sport=port)
            wire.assert_same(wire.reassemble(mine), wire.with_id(expected, mine[0]))

    def test_two_clients_with_one_identification(self, lab: Lab) -> None:
        """Told apart inside; to different remotes they do not meet outside either."""
        first = udp_out(A, 3004, ident=0x7777)
        second = udp_out(C, 3005, dst=REMOTE2, ident=0x7777)
        a, b = wire.fragments(first, 800), wire.fragments(second, 800)
        for part in (a[1], b[1], a[0], b[0], b[2], a[2]):
            lab.inside.send(part)
        got = [frame.ip_bytes for frame in lab.outside.receive_all(6)]
        for packet, port in ((first, 3004), (second, 3005)):
            mine = [raw for raw in got if IP(raw).dst == packet.dst]
            expected = wire.translated(packet, src=POOL, sport=port)
            wire.assert_same(wire.reassemble(mine), wire.with_id(expected, mine[0]))

    def test_smallest_pieces(self, lab: Lab) -> None:
        """Eight bytes each, first one last."""
        packet = udp_out(A, 3006, body=bytes(range(40)))
        parts = wire.fragments(packet, 8)
        send(lab.inside, parts, list(reversed(range(len(parts)))))
        whole = wire.translated(packet, src=POOL, sport=3006)
        expect(lab.outside, whole, 8, len(parts), new_id=True)


class TestRefused(Taps):
    def test_overlap_spoils_the_datagram(self, lab: Lab) -> None:
        packet = udp_out(A, 4000)
        parts = wire.fragments(packet, 800)
        lab.inside.send(parts[0])
        frame = lab.outside.receive()
        assert wire.fragment_offset(frame.ip_bytes) == 0
        shifted = bytearray(wire.fragments(packet, 400)[1])  # bytes 400 to 800 once more ...
        shifted[6:8] = (0x2000 | (404 + 4) // 8).to_bytes(2, "big")  # ... and a bit beyond
        wire.fix_ip_checksum(shifted)
        lab.inside.send(bytes(shifted))
        lab.inside.send(parts[1])
        lab.inside.send(parts[2])
        lab.silent(frag_overlap=3)

    def test_duplicates_change_nothing(self, lab: Lab) -> None:
        packet = udp_out(A, 4001)
        parts = wire.fragments(packet, 800)
        send(lab.inside, parts, (0, 0, 1, 1, 2))
        whole = wire.translated(packet, src=POOL, sport=4001)
        expect(lab.outside, whole, 800, 3, new_id=True)
        lab.silent(frag_overlap=2)

    def test_first_fragment_never_comes(self, lab: Lab) -> None:
        parts = wire.fragments(udp_out(A, 4002), 800)
        send(lab.inside, parts, (1, 2))
        lab.silent()
        lab.silent(frag_timeout=2)
        # too late: a new datagram, whose others are gone
        lab.inside.send(parts[0])
        lab.outside.receive()

    def test_fate_of_the_first_is_that_of_all(self, lab: Lab) -> None:
        parts = wire.fragments(udp_in(4999), 800)
        send(lab.outside, parts, (1, 0, 2))
        lab.silent(no_mapping=1, frag_refused=2)

    def test_tiny_first_fragment(self, lab: Lab) -> None:
        """RFC 1858: TCP's flags must be in the first."""
        segment = IP(src=A, dst=REMOTE, id=fresh_id()) / TCP(sport=4003, dport=80, flags="S") / BODY
        lab.inside.send(wire.fragments(segment, 16)[0])
        lab.silent(frag_tiny=1)

    def test_malformed(self, lab: Lab) -> None:
        parts = wire.fragments(udp_out(A, 4004), 800)
        odd = bytearray(parts[1][:-3])  # more to follow, length no multiple of 8
        odd[2:4] = len(odd).to_bytes(2, "big")
        wire.fix_ip_checksum(odd)
        lab.inside.send(bytes(odd))
        beyond = bytearray(parts[2])  # would end beyond 65535: the ping of death
        beyond[6:8] = (0x1FFF).to_bytes(2, "big")
        wire.fix_ip_checksum(beyond)
        lab.inside.send(bytes(beyond))
        lab.silent(frag_bad=2)

    def test_fragments_to_the_box(self, lab: Lab) -> None:
        """It does not put them together."""
        request = IP(src=A, dst="10.0.0.1", id=fresh_id()) / ICMP(type=8, id=1) / BODY
        send(lab.inside, wire.fragments(request, 800), (0, 1, 2))
        lab.silent(to_box=1, frag_refused=2)


class TestBounds:
    @pytest.fixture(scope="class")
    def config(self) -> cfg.Config:
        return cfg.default_config(
            devices=cfg.TAP,
            timeouts={"fragment": 2},
            limits={"fragments": 32, "fragments_held": 16},
        )

    def test_held_fragments_are_bounded(self, lab: Lab) -> None:
        for number in range(20):
            lab.inside.send(wire.fragments(udp_out(A, 5000 + number), 800)[1])
        lab.silent(frag_hold_full=4)
        # what needs no holding goes on
        pass_out(lab, udp_out(B, 5100), sport=5100)
        lab.silent(frag_timeout=16)

    def test_datagrams_are_bounded(self, lab: Lab) -> None:
        for number in range(40):
            lab.inside.send(wire.fragments(udp_out(A, 6000 + number), 800)[0])
        lab.outside.receive_all(32)
        lab.silent(frag_table_full=8)
        time.sleep(3)
        pass_out(lab, udp_out(B, 6100), (2, 1, 0), 6100)


class TestSmallerMtuOutside:
    """Packets too large for the outside that may be cut are cut (RFC 4787 REQ-13)."""

    @pytest.fixture(scope="class")
    def config(self) -> cfg.Config:
        config = cfg.default_config(devices=cfg.TAP)
        config["interfaces"][1]["mtu"] = 1000
        return config

    def test_whole_packet(self, lab: Lab) -> None:
        packet = udp_out(A, 7000, body=bytes(1400))
        lab.inside.send(packet)
        got = [frame.ip_bytes for frame in lab.outside.receive_all(2)]
        assert all(len(raw) <= 1000 for raw in got)
        whole = wire.translated(packet, src=POOL, sport=7000)
        wire.assert_same(wire.reassemble(got), wire.with_id(whole, got[0]))

    def test_fragments_are_cut_further(self, lab: Lab) -> None:
        packet = udp_out(A, 7001)
        send(lab.inside, wire.fragments(packet, 1200), (0, 1))
        got = [frame.ip_bytes for frame in lab.outside.receive_all(4)]
        assert all(len(raw) <= 1000 for raw in got)
        whole = wire.translated(packet, src=POOL, sport=7001)
        wire.assert_same(wire.reassemble(got), wire.with_id(whole, got[0]))

    def test_identifications_differ(self, lab: Lab) -> None:
        """RFC 6864 5.3.1: who shares an address does not share identifications, cut or whole."""
        seen = set()
        for host, port in ((A, 7100), (B, 7102), (C, 7104)):
            lab.inside.send(udp_out(host, port, body=bytes(1400), ident=0x4242))
            send(lab.inside, wire.fragments(udp_out(host, port, ident=0x4242), 800), (0, 1, 2))
            got = [frame.ip for frame in lab.outside.receive_all(5)]
            assert [got[0].id, got[2].id] == [got[1].id, got[4].id]
            seen |= {got[0].id, got[2].id}
        assert len(seen) == 6
