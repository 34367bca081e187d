# SPDX-License-Identifier: BSD-3-Clause
# Copyright (c) 2026 the spinat authors
"""ICMP echo through the box (RFC 5508 3.1 to 3.3), and to the box itself."""

import pytest
from harness import config as cfg
from harness import plan, wire
from harness.lab import Lab, eventually
from harness.plan import A, B, BEHIND, BOX_INSIDE, BOX_OUTSIDE, C, ONLINK, POOL, REMOTE, REMOTE2
from scapy.layers.inet import ICMP, IP, TCP, UDP
from scapy.packet import Packet


def request(src: str, number: int, dst: str = REMOTE, seq: int = 1) -> Packet:
    return IP(src=src, dst=dst) / ICMP(type=8, id=number, seq=seq) / b"abcdefghijklmnop"


def reply(number: int, src: str = REMOTE, seq: int = 1, dst: str = POOL) -> Packet:
    return IP(src=src, dst=dst) / ICMP(type=0, id=number, seq=seq) / b"abcdefghijklmnop"


class TestEcho:
    def test_both_ways(self, lab: Lab) -> None:
        for seq in (1, 2, 0xFFFF):
            lab.out(request(A, 3000, seq=seq), src=POOL, sport=3000)
            lab.back(reply(3000, seq=seq), dst=A, dport=3000)

    def test_identifier_in_use_gets_another(self, lab: Lab) -> None:
        lab.out(request(A, 3001), src=POOL, sport=3001)
        other = lab.out(request(B, 3001), src=POOL).ip[ICMP].id
        assert other != 101
        lab.back(reply(3001), dst=A, dport=3001)
        lab.back(reply(other), dst=B, dport=3001)

    def test_identifier_zero(self, lab: Lab) -> None:
        number = lab.out(request(A, 0), src=POOL).ip[ICMP].id
        lab.back(reply(number), dst=A, dport=0)

    def test_one_identifier_for_all_remotes(self, lab: Lab) -> None:
        """RFC 5508 REQ-1's mapping is endpoint-independent."""
        lab.out(request(A, 3002), src=POOL, sport=3002)
        lab.out(request(A, 3002, dst=REMOTE2), src=POOL, sport=3002)
        lab.back(reply(3002), dst=A, dport=3002)
        lab.back(reply(3002, src=REMOTE2), dst=A, dport=3002)

    def test_client_behind_an_inside_router(self, lab: Lab) -> None:
        lab.out(request(BEHIND, 3003), src=POOL, sport=3003)
        lab.back(reply(3003), dst=BEHIND, dport=3003)

    def test_reply_that_nobody_asked_for(self, lab: Lab) -> None:
        lab.outside.send(reply(999))
        lab.silent(no_mapping=1)

    def test_reply_from_another_host(self, lab: Lab) -> None:
        lab.out(request(A, 3004), src=POOL, sport=3004)
        lab.outside.send(reply(3004, src=REMOTE2))
        lab.silent(filtered=1)

    def test_reply_from_inside_opens_nothing(self, lab: Lab) -> None:
        lab.inside.send(IP(src=A, dst=REMOTE) / ICMP(type=0, id=5, seq=1) / b"abc")
        lab.silent(icmp_reply=1)

    def test_timestamp_query(self, lab: Lab) -> None:
        query = IP(src=A, dst=REMOTE) / ICMP(type=13, id=3005, seq=1, ts_ori=1, ts_rx=0, ts_tx=0)
        lab.out(query, src=POOL, sport=3005)
        back = IP(src=REMOTE, dst=POOL) / ICMP(type=14, id=3005, seq=1, ts_ori=1, ts_rx=2, ts_tx=3)
        lab.back(back, dst=A, dport=3005)

    @pytest.mark.parametrize("kind", [4, 5, 9, 10, 15, 17, 42])
    def test_other_types_are_refused(self, lab: Lab, kind: int) -> None:
        lab.inside.send(IP(src=A, dst=REMOTE) / ICMP(type=kind) / bytes(28))
        lab.silent(icmp_type=1)


class TestTimeout:
    @pytest.fixture(scope="class")
    def config(self) -> cfg.Config:
        return cfg.default_config(timeouts={"icmp": 2})

    def test_idle_query_goes(self, lab: Lab) -> None:
        lab.out(request(A, 3200), src=POOL, sport=3200)
        assert len(lab.app.telemetry.sessions(protocol="icmp")) == 1
        eventually(lambda: lab.app.telemetry.sessions() == [])
        lab.outside.send(reply(3200))
        lab.silent(no_mapping=1)


class TestToTheBox:
    def check_reply(self, lab: Lab, side: str, packet: Packet) -> None:
        wire_side = lab.inside if side == "inside" else lab.outside
        wire_side.send(packet)
        got = wire_side.receive().ip
        raw = bytes(got)
        wire.assert_valid(raw)
        assert (got.src, got.dst) == (packet.dst, packet.src)
        assert got[ICMP].type == 0 and got[ICMP].code == 0
        assert (got[ICMP].id, got[ICMP].seq) == (packet[ICMP].id, packet[ICMP].seq)
        assert bytes(got[ICMP].payload) == bytes(packet[ICMP].payload)

    def test_from_inside(self, lab: Lab) -> None:
        self.check_reply(lab, "inside", request(A, 7, dst=BOX_INSIDE))

    def test_from_behind_an_inside_router(self, lab: Lab) -> None:
        self.check_reply(lab, "inside", request(BEHIND, 7, dst=BOX_INSIDE))

    def test_from_the_outside_subnet(self, lab: Lab) -> None:
        self.check_reply(lab, "outside", request(ONLINK, 8, dst=BOX_OUTSIDE))

    def test_from_behind_a_router(self, lab: Lab) -> None:
        self.check_reply(lab, "outside", request(REMOTE, 9, dst=BOX_OUTSIDE))

    def test_outside_address_from_inside(self, lab: Lab) -> None:
        self.check_reply(lab, "inside", request(C, 10, dst=BOX_OUTSIDE))

    def test_inside_address_from_outside_is_none_of_ours(self, lab: Lab) -> None:
        lab.outside.send(request(REMOTE, 11, dst=plan.BOX_INSIDE))
        lab.silent(not_ours=1)

    def test_large(self, lab: Lab) -> None:
        packet = IP(src=A, dst=BOX_INSIDE) / ICMP(type=8, id=1) / bytes(1472)
        self.check_reply(lab, "inside", packet)

    def test_wrong_checksum_gets_no_reply(self, lab: Lab) -> None:
        packet = request(A, 12, dst=BOX_INSIDE)
        packet[ICMP].chksum = 0x1234
        lab.inside.send(packet)
        lab.silent(to_box=1)

    def test_no_other_service(self, lab: Lab) -> None:
        """Inside hosts are told that nobody listens; the outside learns nothing."""
        for packet in (
            IP(src=A, dst=BOX_INSIDE) / UDP(sport=1000, dport=53) / b"x",
            IP(src=A, dst=BOX_INSIDE) / TCP(sport=1000, dport=22, flags="S"),
        ):
            lab.inside.send(packet)
            error = lab.inside.receive().ip
            wire.assert_valid(bytes(error))
            assert (error.src, error.dst) == (BOX_INSIDE, A)
            assert (error[ICMP].type, error[ICMP].code) == (3, 3)
        lab.outside.send(IP(src=REMOTE, dst=BOX_OUTSIDE) / TCP(sport=1000, dport=22, flags="S"))
        lab.outside.send(IP(src=REMOTE, dst=BOX_OUTSIDE) / UDP(sport=1000, dport=53) / b"x")
        lab.dropped(to_box=2, no_mapping=2)
