# SPDX-License-Identifier: BSD-3-Clause
# Copyright (c) 2026 the spinat authors
"""A pool of several addresses: clients of one IPsec gateway are spread over them, so that as many
need no inference, and each keeps its address for all it does (paired pooling, RFC 4787 REQ-2)."""

import itertools
from pathlib import Path

import pytest
from harness import config as cfg
from harness import ipsec, wire
from harness.ipsec import IkeSa, Tunnel
from harness.lab import Lab
from harness.plan import REMOTE, client, host_mac
from scapy.layers.inet import IP, UDP
from scapy.packet import Packet

POOL = [f"192.0.2.{number}" for number in range(40, 44)]
_numbers = itertools.count(1)
_clients = itertools.cycle(range(1, 180))


def settings(place: Path, workers: int, devices: dict[str, str]) -> cfg.Config:
    """No packet waits for ARP."""
    hosts = [client(number) for number in range(1, 180)]
    return cfg.default_config(
        workers=workers,
        lcores="0@0,1@1" if workers == 1 else "0@0,1@0,2@1",
        devices=devices,
        realms=[cfg.realm(pool=[f"{POOL[0]}-{POOL[-1]}"])],
        checkpoint={"file": str(place / "state"), "interval": 86400},
        neighbours=[{"interface": "lan", "address": h, "mac": host_mac(h)} for h in hosts],
    )


def source(lab: Lab, packet: Packet) -> str:
    """Sends from inside; the pool address that it leaves with. Nothing else changes but the port."""
    lab.inside.send(packet)
    seen = lab.outside.receive().ip
    assert seen.src in POOL
    sport = wire.get_port(bytes(seen), "sport") if seen.proto == wire.UDP else None
    expected = wire.translated(bytes(packet), src=seen.src, sport=sport)
    wire.assert_sent(bytes(seen), expected)
    return seen.src


def web(host: str) -> Packet:
    return IP(src=host, dst=REMOTE) / UDP(sport=next(_numbers) + 2000, dport=53) / b"q"


def negotiate(lab: Lab, host: str, gateway: str, sa: IkeSa) -> str:
    """The whole of phase 1; the outside address of it."""
    outside = set()
    for outward, message in sa.opening():
        if outward:
            outside.add(source(lab, ipsec.udp(host, gateway, message)))
        else:
            (address,) = outside
            lab.back(ipsec.udp(gateway, address, message), dst=host, dport=500)
    return outside.pop()


class Base:
    workers = 1
    devices = cfg.VETH

    @pytest.fixture(scope="class")
    def config(self, tmp_path_factory: pytest.TempPathFactory) -> cfg.Config:
        return settings(tmp_path_factory.mktemp("state"), self.workers, self.devices)

    @pytest.fixture(autouse=True)
    def addresses_are_the_boxs(self, box: Lab) -> None:
        box.outside.absent |= set(POOL)

    @pytest.fixture
    def hosts(self) -> list[str]:
        """Some that no test has used yet."""
        return [client(next(_clients)) for _ in POOL]


class Choice(Base):
    def test_as_many_clients_as_addresses_need_no_inference(
        self, lab: Lab, hosts: list[str]
    ) -> None:
        """All have negotiated, none has sent ESP, the gateway begins: nobody gets a copy."""
        gateway = "203.0.113.20"
        outside = {host: negotiate(lab, host, gateway, IkeSa()) for host in hosts}
        assert set(outside.values()) == set(POOL)
        copies = lab.app.telemetry.ask("/spinat/stats")["copies"]
        for host, address in reversed(outside.items()):
            tunnel = Tunnel(host, gateway)
            packet, text = tunnel.inbound(address)
            tunnel.opens(tunnel.spi_in, lab.back(packet, dst=host).ip_bytes, text)
            packet, text = tunnel.outbound()
            assert source(lab, packet) == address
        assert lab.app.telemetry.ask("/spinat/stats")["copies"] == copies

    def test_manual_keys_too(self, lab: Lab, hosts: list[str]) -> None:
        gateway = "203.0.113.21"
        tunnels = [Tunnel(host, gateway) for host in hosts]
        used = [source(lab, tunnel.outbound()[0]) for tunnel in tunnels]
        assert sorted(used) == POOL

    def test_all_that_a_client_does_has_its_address(self, lab: Lab, hosts: list[str]) -> None:
        """UDP, another gateway, NAT-T after IPsec, in spite of what is best for them."""
        gateway, other = "203.0.113.22", "203.0.113.23"
        outside = {host: source(lab, Tunnel(host, gateway).outbound()[0]) for host in hosts}
        for host, address in outside.items():
            assert source(lab, web(host)) == address
            assert negotiate(lab, host, other, IkeSa()) == address
            natt = IP(src=host, dst=other) / UDP(sport=4500, dport=4500) / bytes(4)
            assert source(lab, natt) == address

    def test_who_has_an_address_keeps_it(self, lab: Lab, hosts: list[str]) -> None:
        """Two of them have had the same one before they turned to the gateway."""
        gateway = "203.0.113.24"
        before = {host: source(lab, web(host)) for host in hosts}
        for host, address in before.items():
            assert source(lab, Tunnel(host, gateway).outbound()[0]) == address
            assert source(lab, web(host)) == address

    def test_icmp_error_of_a_client_about_ipsec(self, lab: Lab, hosts: list[str]) -> None:
        """It leaves with the address that the quoted packet came to."""
        gateway = "203.0.113.25"
        for host in hosts:
            tunnel = Tunnel(host, gateway)
            address = source(lab, tunnel.outbound()[0])
            packet = tunnel.inbound(address)[0]
            inside = lab.back(packet, dst=host).ip_bytes
            lab.inside.send(wire.error_about(host, gateway, 3, 4, wire.quoted(inside, 8, 0), 1200))
            seen = lab.outside.receive().ip
            quote = wire.quoted(bytes(packet), 8, hops=1)
            wire.assert_sent(
                bytes(seen), wire.error_about(address, gateway, 3, 4, quote, 1200, ttl=63)
            )

    def test_addresses_survive_a_restart(self, lab: Lab) -> None:
        hosts = [client(next(_clients)) for _ in range(8)]
        gateway = "203.0.113.30"
        sas = {host: IkeSa() for host in hosts}
        tunnels = {host: Tunnel(host, gateway) for host in hosts}
        outside = {host: negotiate(lab, host, gateway, sa) for host, sa in sas.items()}
        assert sorted(outside.values()) == sorted(POOL * 2)
        for host, tunnel in tunnels.items():
            assert source(lab, tunnel.outbound()[0]) == outside[host]
        assert lab.app.telemetry.ask("/spinat/checkpoint_now").startswith("ok")
        lab.app.kill()
        lab.app.start()
        lab.settle()
        lab.forget_drops()
        for host, tunnel in tunnels.items():
            assert source(lab, web(host)) == outside[host]
            assert source(lab, tunnel.outbound()[0]) == outside[host]


class TestOneWorker(Choice):
    pass


class TestTwoWorkers(Choice):
    workers = 2
    devices = {side: f"{device},qpairs=2" for side, device in cfg.VETH.items()}


class TestFragments(Base):
    """On taps, since packet sockets put fragments together."""

    workers = 2
    devices = cfg.TAP

    @pytest.mark.parametrize("order", [(0, 1, 2), (2, 1, 0)], ids=["in order", "first last"])
    def test_first_packet_in_fragments(
        self, lab: Lab, hosts: list[str], order: tuple[int, ...]
    ) -> None:
        """It makes a round to ask for its address when there are two workers."""
        gateway = f"203.0.113.{26 + order[0]}"
        used = []
        for host in hosts:
            tunnel = Tunnel(host, gateway)
            tunnel.fill = bytes(2000)
            packet, text = tunnel.outbound()
            packet.id = next(_numbers)
            del packet.chksum
            parts = wire.fragments(packet, 800)
            for at in order:
                lab.inside.send(parts[at])
            got = [frame.ip_bytes for frame in lab.outside.receive_all(3)]
            whole = wire.reassemble(got)
            used.append(IP(whole).src)
            tunnel.opens(tunnel.spi_out, whole, text)
        assert sorted(used) == POOL
