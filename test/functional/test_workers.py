# SPDX-License-Identifier: BSD-3-Clause
# Copyright (c) 2026 the spinat authors
"""Two workers: whichever of them a packet meets, the outcome is that of one. The kernel spreads the
packets over the queues, by flow on packet sockets and by flow or address on taps."""

import itertools
import random

import pytest
from harness import config as cfg
from harness import ipsec, wire
from harness.ipsec import IkeSa, Tunnel
from harness.lab import Lab
from harness.plan import A, POOL, POOL2, REMOTE, REMOTE2, TRANSIT, client, host_mac
from scapy.layers.inet import ICMP, IP, TCP, UDP

CLIENTS = [client(number) for number in range(1, 21)]
REMOTES = [REMOTE, REMOTE2, "198.51.100.9", "198.51.100.10"]
_ids = itertools.count(1)


def two_workers(devices: dict[str, str]) -> cfg.Config:
    return cfg.default_config(
        workers=2,
        lcores="0@0,1@0,2@1",
        devices=devices,
        realms=[cfg.realm(ah="translate")],
        neighbours=[{"interface": "lan", "address": h, "mac": host_mac(h)} for h in [A, *CLIENTS]],
    )


class Workers:
    def test_udp(self, lab: Lab) -> None:
        """One outside endpoint a client for all remotes, whichever worker a flow meets."""
        ports = {}
        for host in CLIENTS:
            packets = [IP(src=host, dst=r) / UDP(sport=3000, dport=53) / b"q" for r in REMOTES]
            used = {lab.out(packet, src=POOL).ip.sport for packet in packets}
            assert len(used) == 1 and used.isdisjoint(ports.values())
            ports[host] = used.pop()
            assert ports[host] % 2 == 0
        pairs = list(itertools.product(CLIENTS, REMOTES))
        random.Random(1).shuffle(pairs)
        for host, remote in pairs:
            back = IP(src=remote, dst=POOL) / UDP(sport=53, dport=ports[host]) / b"a"
            lab.back(back, dst=host, dport=3000)

    def test_filtering(self, lab: Lab) -> None:
        packet = IP(src=A, dst=REMOTE) / UDP(sport=3001, dport=53) / b"q"
        port = lab.out(packet, src=POOL).ip.sport
        lab.outside.send(IP(src=REMOTE2, dst=POOL) / UDP(sport=53, dport=port) / b"a")
        lab.outside.send(IP(src=REMOTE, dst=POOL) / UDP(sport=53, dport=port ^ 0x80) / b"a")
        lab.silent(filtered=1, no_mapping=1)

    def test_tcp(self, lab: Lab) -> None:
        for host in CLIENTS:
            syn = IP(src=host, dst=REMOTE) / TCP(sport=3002, dport=80, flags="S")
            port = lab.out(syn, src=POOL).ip.sport
            synack = IP(src=REMOTE, dst=POOL) / TCP(sport=80, dport=port, flags="SA")
            lab.back(synack, dst=host, dport=3002)
            data = IP(src=host, dst=REMOTE) / TCP(sport=3002, dport=80, flags="PA") / b"GET /"
            lab.out(data, src=POOL, sport=port)
            data = IP(src=REMOTE, dst=POOL) / TCP(sport=80, dport=port, flags="PA") / b"200 OK"
            lab.back(data, dst=host, dport=3002)
        rows = lab.app.telemetry.sessions(protocol="tcp")
        assert {r["state"] for r in rows} == {"established"} and len(rows) == len(CLIENTS)
        assert {r["worker"] for r in rows} == {0, 1}

    def test_icmp_echo(self, lab: Lab) -> None:
        for host in CLIENTS:
            request = IP(src=host, dst=REMOTE) / ICMP(type=8, id=3003) / b"ping"
            number = lab.out(request, src=POOL).ip[ICMP].id
            reply = IP(src=REMOTE, dst=POOL) / ICMP(type=0, id=number) / b"ping"
            lab.back(reply, dst=host, dport=3003)

    def test_icmp_error(self, lab: Lab) -> None:
        for host in CLIENTS:
            sent = IP(src=host, dst=REMOTE) / UDP(sport=3004, dport=53) / b"q"
            outside = lab.out(sent, src=POOL).ip_bytes
            lab.outside.send(wire.error_about(TRANSIT, POOL, 3, 4, wire.quoted(outside, 8), 1300))
            quote = wire.quoted(wire.with_id(bytes(sent), outside), 8, hops=4)
            expected = wire.error_about(TRANSIT, host, 3, 4, quote, 1300, ttl=63)
            wire.assert_same(lab.inside.receive().ip_bytes, expected)

    def test_ike_and_esp_of_many_gateways(self, lab: Lab) -> None:
        tunnels = [Tunnel(h, f"203.0.113.{n}") for n, h in enumerate(CLIENTS[:10], start=1)]
        for tunnel in tunnels:
            for outward, message in IkeSa().opening():
                if outward:
                    packet = ipsec.udp(tunnel.client, tunnel.gateway, message)
                    lab.out(packet, src=POOL, sport=500)
                else:
                    packet = ipsec.udp(tunnel.gateway, POOL, message)
                    lab.back(packet, dst=tunnel.client, dport=500)
            self.esp_round(lab, tunnel)
        for tunnel in tunnels * 3:
            self.esp_round(lab, tunnel)

    def test_esp_of_many_clients_of_one_gateway(self, lab: Lab) -> None:
        for host in CLIENTS[:5]:
            tunnel = Tunnel(host, "203.0.113.50")
            for _ in range(3):
                self.esp_round(lab, tunnel)

    def esp_round(self, lab: Lab, tunnel: Tunnel) -> None:
        packet, text = tunnel.outbound()
        tunnel.opens(tunnel.spi_out, lab.out(packet, src=POOL).ip_bytes, text)
        packet, text = tunnel.inbound(POOL)
        frame = lab.back(packet, dst=tunnel.client)
        tunnel.opens(tunnel.spi_in, frame.ip_bytes, text)

    def test_icmp_error_about_esp(self, lab: Lab) -> None:
        for number, host in enumerate(CLIENTS[:6], start=60):
            sent = Tunnel(host, f"203.0.113.{number}").outbound()[0]
            outside = lab.out(sent, src=POOL).ip_bytes
            lab.outside.send(wire.error_about(TRANSIT, POOL, 3, 4, wire.quoted(outside, 8), 1300))
            quote = wire.quoted(wire.with_id(bytes(sent), outside), 8, hops=4)
            expected = wire.error_about(TRANSIT, host, 3, 4, quote, 1300, ttl=63)
            wire.assert_same(lab.inside.receive().ip_bytes, expected)

    def test_hairpin(self, lab: Lab) -> None:
        for here, there in zip(CLIENTS, CLIENTS[1:]):
            opening = IP(src=there, dst=REMOTE) / UDP(sport=3005, dport=53) / b"q"
            port = lab.out(opening, src=POOL).ip.sport
            mine = IP(src=here, dst=REMOTE) / UDP(sport=3006, dport=53) / b"q"
            own = lab.out(mine, src=POOL).ip.sport
            # the filter lets in whom the mapping has sent to
            lab.inside.send(IP(src=there, dst=POOL) / UDP(sport=3005, dport=own) / b"knock")
            lab.dropped(filtered=1)
            packet = IP(src=here, dst=POOL) / UDP(sport=3006, dport=port) / b"hello"
            lab.inside.send(packet)
            got = lab.inside.receive().ip_bytes
            expected = wire.translated(packet, src=POOL, sport=own, dst=there, dport=3005)
            wire.assert_sent(got, expected)

    def test_both_have_worked(self, lab: Lab) -> None:
        rows = list(lab.app.telemetry.ask("/spinat/stats")["workers"].values())
        assert len(rows) == 2
        for row in rows:
            assert row["rx_packets"] > 50 and row["translated"] > 50, rows
        assert sum(row["handed_off"] for row in rows) > 0


class TestPacketSockets(Workers):
    @pytest.fixture(scope="class")
    def config(self) -> cfg.Config:
        return two_workers({side: f"{device},qpairs=2" for side, device in cfg.VETH.items()})


class TestTaps(Workers):
    @pytest.fixture(scope="class")
    def config(self) -> cfg.Config:
        return two_workers(cfg.TAP)

    @pytest.mark.parametrize("order", itertools.permutations(range(3)))
    def test_fragments(self, lab: Lab, order: tuple[int, ...]) -> None:
        """The kernel chooses the queue of a first fragment by ports, of the others by addresses."""
        for host in CLIENTS[:8]:
            opening = IP(src=host, dst=REMOTE) / UDP(sport=3007, dport=9) / b"q"
            port = lab.out(opening, src=POOL).ip.sport
            body = bytes(i & 0xFF for i in range(2000))
            packet = IP(src=host, dst=REMOTE, id=next(_ids)) / UDP(sport=3007, dport=9) / body
            self.cross(lab, packet, order, src=POOL, sport=port)
            packet = IP(src=REMOTE, dst=POOL, id=next(_ids)) / UDP(sport=9, dport=port) / body
            self.cross(lab, packet, order, dst=host, dport=3007)

    @pytest.mark.parametrize("order", itertools.permutations(range(3)))
    def test_fragments_of_esp(self, lab: Lab, order: tuple[int, ...]) -> None:
        for number, host in enumerate(CLIENTS[:6], start=100):
            tunnel = Tunnel(host, f"203.0.113.{number}")
            tunnel.fill = bytes(2000)
            self.cross(lab, tunnel.outbound()[0], order, src=POOL)
            self.cross(lab, tunnel.inbound(POOL)[0], order, dst=host)

    def cross(
        self, lab: Lab, packet: IP, order: tuple[int, ...], **fields: str | int
    ) -> None:
        here, there = (lab.inside, lab.outside) if "src" in fields else (lab.outside, lab.inside)
        packet.id = next(_ids)
        del packet.chksum
        parts = wire.fragments(packet, 800)
        for i in order:
            here.send(parts[i])
        got = [frame.ip_bytes for frame in there.receive_all(3)]
        expected = wire.translated(packet, **fields)  # type: ignore[arg-type]
        if "src" in fields:  # fragments that leave get an identification of their own
            expected = wire.with_id(expected, got[0])
        wire.assert_same(wire.reassemble(got), expected)


class TestPools:
    """Two addresses, two workers: a client keeps its address whatever worker makes its state."""

    @pytest.fixture(scope="class")
    def config(self) -> cfg.Config:
        config = two_workers({side: f"{device},qpairs=2" for side, device in cfg.VETH.items()})
        return config | {"realms": [cfg.realm(pool=[f"{POOL}-{POOL2}"])]}

    def test_paired(self, lab: Lab) -> None:
        used = {}
        for host in CLIENTS:
            packets = [IP(src=host, dst=r) / UDP(sport=3000, dport=53) / b"q" for r in REMOTES]
            packets += [Tunnel(host, f"203.0.113.{n}").outbound()[0] for n in range(1, 5)]
            for packet in packets:
                lab.inside.send(packet)
            frames = lab.outside.receive_all(len(packets))
            addresses = {frame.ip.src for frame in frames}
            assert len(addresses) == 1, addresses
            used[host] = addresses.pop()
        assert set(used.values()) == {POOL, POOL2}
