# SPDX-License-Identifier: BSD-3-Clause
# Copyright (c) 2026 the spinat authors
"""ARP (RFC 826, RFC 5227): what the box asks, answers, announces, and does not believe."""

import time

import pytest
from harness import config as cfg
from harness.lab import Lab
from harness.plan import A, BOX_INSIDE, BOX_OUTSIDE, POOL, REMOTE, ROUTER, host_mac
from harness.port import TYPE_ARP, Port
from scapy.layers.inet import IP, UDP
from scapy.layers.l2 import ARP, Ether
from scapy.packet import Packet

BROADCAST = "ff:ff:ff:ff:ff:ff"
STATIC_HOST = "192.0.2.200"
STATIC_MAC = "02:00:00:00:be:ef"
STATIC_OUTSIDE = "192.0.2.50"


def send_arp(port: Port, arp: ARP, dst: str = BROADCAST) -> None:
    port.send(bytes(Ether(dst=dst, src=arp.hwsrc, type=TYPE_ARP) / arp))


def request(target: str, source: str) -> ARP:
    return ARP(op=1, hwsrc=host_mac(source), psrc=source, hwdst="00:00:00:00:00:00", pdst=target)


def udp_to(dst: str, payload: bytes = b"x", sport: int = 4000) -> Packet:
    return IP(src=A, dst=dst) / UDP(sport=sport, dport=9) / payload


class TestAnswers:
    @pytest.fixture(scope="class")
    def config(self) -> cfg.Config:
        return cfg.default_config(
            static=[{"inside": "10.0.0.50", "outside": STATIC_OUTSIDE}],
        )

    def answer_to(self, port: Port, arp: ARP) -> ARP:
        since = time.monotonic()
        send_arp(port, arp)
        end = since + 1.0
        while time.monotonic() < end:
            for seen, answer in list(port.arps):
                if seen >= since and answer.op == 2 and answer.psrc == arp.pdst:
                    return answer
            time.sleep(0.01)
        raise AssertionError(f"no answer to {arp.summary()}")

    @pytest.mark.parametrize("address", [BOX_OUTSIDE, POOL, STATIC_OUTSIDE])
    def test_outside_addresses(self, lab: Lab, address: str) -> None:
        answer = self.answer_to(lab.out_port, request(address, ROUTER))
        assert answer.hwsrc == cfg.MAC_OUT
        assert (answer.hwdst, answer.pdst) == (host_mac(ROUTER), ROUTER)

    def test_inside_address(self, lab: Lab) -> None:
        answer = self.answer_to(lab.in_port, request(BOX_INSIDE, A))
        assert answer.hwsrc == cfg.MAC_IN and answer.hwdst == host_mac(A)

    def test_probe_for_a_pool_address(self, lab: Lab) -> None:
        """RFC 5227 2.1.1: a host that wants the address asks with sender 0.0.0.0."""
        probe = ARP(op=1, hwsrc=host_mac("192.0.2.222"), psrc="0.0.0.0", pdst=POOL)
        assert self.answer_to(lab.out_port, probe).hwsrc == cfg.MAC_OUT

    def test_not_for_others(self, lab: Lab) -> None:
        """Neither outside addresses inside, nor inside ones outside, nor other hosts' addresses."""
        cases = [
            (lab.in_port, request(POOL, A)),
            (lab.in_port, request(BOX_OUTSIDE, A)),
            (lab.out_port, request(BOX_INSIDE, ROUTER)),
            (lab.out_port, request("192.0.2.99", ROUTER)),
            (lab.in_port, request("10.0.0.77", A)),
        ]
        since = time.monotonic()
        for port, arp in cases:
            send_arp(port, arp)
        lab.settle()
        time.sleep(0.3)
        for port, arp in cases:
            answers = [a for seen, a in port.arps if seen >= since and a.op == 2]
            assert arp.pdst not in [a.psrc for a in answers]

    def test_malformed(self, lab: Lab) -> None:
        good = bytes(Ether(dst=BROADCAST, src=host_mac(A), type=TYPE_ARP) / request(BOX_INSIDE, A))
        for at, value in ((15, 2), (16, 9), (18, 8), (19, 16)):  # hardware, protocol, lengths
            bad = bytearray(good)
            bad[at] = value
            lab.in_port.send(bytes(bad))
        lab.silent(arp_bad=4)


class TestAnnouncement:
    def test_every_address_is_announced_at_start(self, lab: Lab) -> None:
        for port, address, mac in (
            (lab.in_port, BOX_INSIDE, cfg.MAC_IN),
            (lab.out_port, BOX_OUTSIDE, cfg.MAC_OUT),
            (lab.out_port, POOL, cfg.MAC_OUT),
        ):
            arp = port.wait_arp(lambda a: a.psrc == address and a.pdst == address)
            assert arp.hwsrc == mac


class TestResolution:
    def test_packets_wait_for_the_answer(self, lab: Lab) -> None:
        """All of them come out, in order, once the next hop is known."""
        target = "192.0.2.110"
        lab.outside.absent.add(target)  # or the last might meet the answer to the first
        for number in range(10):
            lab.inside.send(udp_to(target, bytes([number])))
        lab.settle()
        lab.outside.absent.discard(target)
        frames = lab.outside.receive_all(10)
        assert [bytes(f.ip[UDP].payload)[0] for f in frames] == list(range(10))
        asked = lab.out_port.wait_arp(lambda a: a.op == 1 and a.pdst == target)
        assert (asked.psrc, asked.hwsrc) == (BOX_OUTSIDE, cfg.MAC_OUT)

    def test_silent_next_hop(self, lab: Lab) -> None:
        """Three requests a second apart, then what waits is dropped; a bounded queue meanwhile."""
        target = "192.0.2.111"
        lab.outside.absent.add(target)
        for number in range(20):
            lab.inside.send(udp_to(target, bytes([number])))
        lab.silent(neigh_queue_full=4)
        lab.silent(neigh_unresolved=16)
        asked = [a for _, a in lab.out_port.arps if a.op == 1 and a.pdst == target]
        assert len(asked) == 3
        # back again: after its rest it is asked for, and answers
        lab.outside.absent.discard(target)
        time.sleep(2)
        lab.inside.send(udp_to(target, b"again"))
        assert bytes(lab.outside.receive().ip[UDP].payload) == b"again"

    def test_neighbours_are_shown(self, lab: Lab) -> None:
        lab.out(udp_to(REMOTE, sport=4100), src=POOL, sport=4100)
        rows = {r["address"]: r for r in lab.app.telemetry.rows("/spinat/neighbours")}
        assert rows[ROUTER]["mac"].lower() == host_mac(ROUTER)
        assert rows[ROUTER]["interface"] == "wan" and rows[ROUTER]["state"] == "reachable"

    def test_stranger_changes_nothing(self, lab: Lab) -> None:
        """Neither unasked answers nor requests nor announcements move a confirmed entry."""
        lab.out(udp_to(REMOTE, sport=4101), src=POOL, sport=4101)
        evil = "02:66:66:66:66:66"
        for arp in (
            ARP(op=2, hwsrc=evil, psrc=ROUTER, hwdst=cfg.MAC_OUT, pdst=BOX_OUTSIDE),
            ARP(op=1, hwsrc=evil, psrc=ROUTER, pdst=BOX_OUTSIDE),
            ARP(op=1, hwsrc=evil, psrc=ROUTER, pdst=ROUTER),
            ARP(op=2, hwsrc=evil, psrc=ROUTER, hwdst=BROADCAST, pdst=ROUTER),
        ):
            send_arp(lab.out_port, arp)
        lab.settle()
        time.sleep(0.2)
        lab.out(udp_to(REMOTE, sport=4101), src=POOL, sport=4101)

    def test_unasked_answer_makes_no_entry(self, lab: Lab) -> None:
        target = "192.0.2.112"
        arp = ARP(op=2, hwsrc="02:66:66:66:66:67", psrc=target, hwdst=cfg.MAC_OUT, pdst=BOX_OUTSIDE)
        send_arp(lab.out_port, arp, dst=cfg.MAC_OUT)
        lab.settle()
        time.sleep(0.2)
        lab.out(udp_to(target, sport=4102), src=POOL, sport=4102)  # to the true one's MAC

    def test_the_box_defends_its_address(self, lab: Lab) -> None:
        """RFC 5227 2.4: somebody else claims a pool address; the box says whose it is."""
        since = time.monotonic()
        send_arp(lab.out_port, ARP(op=1, hwsrc="02:66:66:66:66:68", psrc=POOL, pdst=POOL))
        time.sleep(0.5)
        said = [a for seen, a in lab.out_port.arps if seen > since and a.psrc == a.pdst == POOL]
        assert [a.hwsrc for a in said] == [cfg.MAC_OUT]


class TestStaticNeighbour:
    """No ARP at all: for a host that does not answer, or must not be believed."""

    @pytest.fixture(scope="class")
    def config(self) -> cfg.Config:
        return cfg.default_config(
            neighbours=[
                {"interface": "wan", "address": STATIC_HOST, "mac": STATIC_MAC},
                {"interface": "wan", "address": ROUTER, "mac": host_mac(ROUTER)},
                {"interface": "lan", "address": A, "mac": host_mac(A)},
            ]
        )

    def test_is_used_at_once_and_never_asked_for(self, lab: Lab) -> None:
        lab.outside.absent |= {STATIC_HOST, ROUTER}
        lab.inside.absent |= {A}
        lab.inside.send(udp_to(STATIC_HOST))
        frame = lab.out_port.receive(0, 2.0)
        assert frame is not None and frame.dst == STATIC_MAC and frame.ip.dst == STATIC_HOST
        lab.out(udp_to(REMOTE, sport=4200), src=POOL, sport=4200)
        back = IP(src=REMOTE, dst=POOL) / UDP(sport=9, dport=4200) / b"x"
        lab.back(back, dst=A, dport=4200)
        own = {BOX_INSIDE, BOX_OUTSIDE, POOL}
        asked = {a.pdst for _, a in lab.out_port.arps + lab.in_port.arps if a.op == 1}
        assert asked <= own


class TestRefresh:
    @pytest.fixture(scope="class")
    def config(self) -> cfg.Config:
        return cfg.default_config(timeouts={"arp": 2})

    def test_old_entry_is_asked_for_again(self, lab: Lab) -> None:
        """The entry is asked for again before it is given up."""
        target = "192.0.2.120"
        lab.out(udp_to(target), src=POOL, sport=4000)
        first = [a for _, a in lab.out_port.arps if a.op == 1 and a.pdst == target]
        time.sleep(4)
        lab.out(udp_to(target), src=POOL, sport=4000)
        again = [a for _, a in lab.out_port.arps if a.op == 1 and a.pdst == target]
        assert len(again) > len(first)
