# SPDX-License-Identifier: BSD-3-Clause
# Copyright (c) 2026 the spinat authors
"""ESP with real cryptography: whatever comes out must decrypt at the one it is meant for."""

import random
import time
from socket import IPPROTO_ESP

import pytest
from harness import config as cfg
from harness import ipsec, wire
from harness.ipsec import SUITES, IkeSa, Tunnel, udp
from harness.lab import Lab, eventually
from harness.plan import A, B, C, GATEWAY, POOL, client, host_mac
from scapy.layers.inet import IP
from scapy.layers.ipsec import ESP

WAYS = [(suite, transport) for suite in SUITES for transport in (False, True)]


def negotiate(lab: Lab, host: str, gateway: str, sa: IkeSa, kind: int | None = None) -> None:
    """The opening of an IKE SA, or one more exchange in it. Late copies of ESP may come in between."""
    for outward, message in sa.opening() if kind is None else sa.exchange(kind):
        if outward:
            lab.out(udp(host, gateway, message), src=POOL, sport=500)
        else:
            packet = udp(gateway, POOL, message)
            lab.outside.send(packet)
            frame = lab.inside.receive()
            while frame.ip.proto == IPPROTO_ESP:
                frame = lab.inside.receive()
            wire.assert_same(frame.ip_bytes, wire.translated(bytes(packet), dst=host, dport=500))


def esp_out(lab: Lab, tunnel: Tunnel) -> None:
    packet, text = tunnel.outbound()
    frame = lab.out(packet, src=POOL)
    tunnel.opens(tunnel.spi_out, frame.ip_bytes, text)


def esp_back(lab: Lab, tunnel: Tunnel) -> None:
    """To its client alone."""
    packet, text = tunnel.inbound(POOL)
    frame = lab.back(packet, dst=tunnel.client)
    tunnel.opens(tunnel.spi_in, frame.ip_bytes, text)


def reached_by(lab: Lab, packet: IP) -> list[str]:
    """Who has got the packet by now. Late copies of others may come in between."""
    lab.settle()
    frames = [f for f in lab.in_port.waiting() if f.ip_bytes[20:28] == bytes(packet)[20:28]]
    for frame in frames:
        wire.assert_same(frame.ip_bytes, wire.translated(packet, dst=frame.ip.dst))
    return [frame.ip.dst for frame in frames]


def esp_back_copies(lab: Lab, tunnel: Tunnel, others: set[str]) -> int:
    """To its client, and perhaps as copies to some of the others; how many copies there were until
    its client had it."""
    packet, _ = tunnel.inbound(POOL)
    lab.outside.send(packet)
    reached = reached_by(lab, packet)
    if tunnel.client not in reached:
        eventually(lambda: tunnel.client in (late := reached_by(lab, packet)) or reached.extend(late))
        reached.append(tunnel.client)
    assert reached.count(tunnel.client) == 1
    assert len(reached) == len(set(reached)) and set(reached) <= others | {tunnel.client}
    return len(reached) - 1


class TestOneClient:
    @pytest.mark.parametrize("suite,transport", WAYS)
    def test_with_ike(self, lab: Lab, suite: str, transport: bool) -> None:
        gateway = f"203.0.113.{40 + WAYS.index((suite, transport))}"
        tunnel = Tunnel(A, gateway, suite, transport=transport)
        negotiate(lab, A, gateway, IkeSa())
        for _ in range(3):
            esp_out(lab, tunnel)
            esp_back(lab, tunnel)

    @pytest.mark.parametrize("suite,transport", WAYS)
    def test_without_ike(self, lab: Lab, suite: str, transport: bool) -> None:
        gateway = f"203.0.113.{50 + WAYS.index((suite, transport))}"
        tunnel = Tunnel(A, gateway, suite, transport=transport)
        for _ in range(3):
            esp_out(lab, tunnel)
            esp_back(lab, tunnel)

    def test_gateway_speaks_first(self, lab: Lab) -> None:
        """After IKE, before the client has sent any ESP."""
        gateway = "203.0.113.60"
        negotiate(lab, A, gateway, IkeSa())
        tunnel = Tunnel(A, gateway)
        esp_back(lab, tunnel)
        esp_out(lab, tunnel)
        esp_back(lab, tunnel)

    def test_rekey(self, lab: Lab) -> None:
        """Make before break: old and new SAs side by side; either end may use new ones first."""
        gateway = "203.0.113.61"
        sa = IkeSa()
        negotiate(lab, A, gateway, sa)
        old = Tunnel(A, gateway)
        esp_out(lab, old)
        esp_back(lab, old)
        for gateway_first in (True, False):
            negotiate(lab, A, gateway, sa, ipsec.CREATE_CHILD_SA)
            new = Tunnel(A, gateway)
            for step in (esp_back, esp_out) if gateway_first else (esp_out, esp_back):
                step(lab, new)
            esp_back(lab, old)
            old = new

    def test_sequence_of_sizes(self, lab: Lab) -> None:
        """Nothing but the address changes, whatever the length."""
        spi = ipsec.fresh_spi()
        for seq, size in enumerate((0, 1, 2, 3, 9, 10, 11, 1400, 1472), start=1):
            packet = IP(src=A, dst="203.0.113.62") / ESP(spi=spi, seq=seq, data=bytes(size))
            lab.out(packet, src=POOL)

    def test_unknown_spi_from_a_stranger(self, lab: Lab) -> None:
        packet, _ = Tunnel(A, "203.0.113.97").inbound(POOL)
        lab.outside.send(packet)
        lab.silent(spi_unknown=1)

    def test_spi_of_another_gateway(self, lab: Lab) -> None:
        gateway = "203.0.113.63"
        tunnel = Tunnel(A, gateway)
        esp_out(lab, tunnel)
        esp_back(lab, tunnel)
        packet, _ = tunnel.inbound(POOL)
        packet.src = "203.0.113.96"
        del packet.chksum
        lab.outside.send(IP(bytes(packet)))
        lab.silent(spi_unknown=1)

    @pytest.mark.parametrize(
        "spi,reason", [(0, "spi_zero"), (1, "spi_reserved"), (255, "spi_reserved")]
    )
    def test_spis_that_can_not_be(self, lab: Lab, spi: int, reason: str) -> None:
        lab.inside.send(IP(src=A, dst=GATEWAY) / ESP(spi=spi, seq=1, data=bytes(32)))
        lab.outside.send(IP(src=GATEWAY, dst=POOL) / ESP(spi=spi, seq=1, data=bytes(32)))
        lab.silent(**{reason: 2})

    def test_binding_is_shown(self, lab: Lab) -> None:
        gateway = "203.0.113.64"
        tunnel = Tunnel(C, gateway)
        negotiate(lab, C, gateway, IkeSa())
        for _ in range(3):
            esp_out(lab, tunnel)
            esp_back(lab, tunnel)
        rows = {
            (r["direction"], int(str(r["spi"]), 0))
            for r in lab.app.telemetry.bindings(client=C)
            if r["gateway"] == gateway and r["outside"] == POOL
        }
        assert {spi for _, spi in rows} == {tunnel.spi_in, tunnel.spi_out}


class TestManyClientsOneGateway:
    """While the box is not sure, copies may go to others too, but the owner must get every packet;
    once all have answered for a while nobody else gets anything."""

    @pytest.fixture(scope="class")
    def config(self) -> cfg.Config:
        """No packet waits for ARP, so that what comes out comes out at once."""
        hosts = [A, B, *map(client, range(1, 110))]
        return cfg.default_config(
            neighbours=[{"interface": "lan", "address": h, "mac": host_mac(h)} for h in hosts]
        )

    def talk(self, lab: Lab, tunnels: list[Tunnel], rounds: int) -> int:
        """Rounds in random order; how many copies there were in the last one."""
        hosts = {tunnel.client for tunnel in tunnels}
        order = list(tunnels)
        copies = 0
        for number in range(rounds):
            random.Random(number).shuffle(order)
            copies = 0
            for tunnel in order:
                copies += esp_back_copies(lab, tunnel, hosts)
                esp_out(lab, tunnel)  # the answer
        return copies

    @pytest.mark.parametrize("count", [2, 50])
    @pytest.mark.parametrize(
        "versions", [(), (1,), (2,), (1, 2)], ids=["manual", "v1", "v2", "both"]
    )
    def test_opening_one_after_another(
        self, lab: Lab, count: int, versions: tuple[int, ...]
    ) -> None:
        gateway = f"203.0.113.{70 + count + 8 * len(versions) + sum(versions)}"
        tunnels: list[Tunnel] = []
        for number in range(1, count + 1):
            tunnel = Tunnel(client(number), gateway, "cbc-sha256" if number % 2 else "gcm")
            if versions:
                negotiate(lab, tunnel.client, gateway, IkeSa(versions[number % len(versions)]))
            esp_out(lab, tunnel)
            esp_back_copies(lab, tunnel, {t.client for t in tunnels})
            esp_out(lab, tunnel)
            tunnels.append(tunnel)
        assert self.talk(lab, tunnels, 4) == 0

    def test_rekey_one_after_another(self, lab: Lab) -> None:
        gateway = "203.0.113.160"
        tunnels, sas = [], {}
        for number in range(1, 11):
            tunnel = Tunnel(client(number), gateway)
            sas[tunnel.client] = IkeSa()
            negotiate(lab, tunnel.client, gateway, sas[tunnel.client])
            esp_out(lab, tunnel)
            esp_back_copies(lab, tunnel, set(sas))
            tunnels.append(tunnel)
        for tunnel in tunnels:
            negotiate(lab, tunnel.client, gateway, sas[tunnel.client], ipsec.CREATE_CHILD_SA)
            tunnel.rekey()
            esp_out(lab, tunnel)
            esp_back_copies(lab, tunnel, set(sas))
        assert self.talk(lab, tunnels, 4) == 0

    def test_two_at_once(self, lab: Lab) -> None:
        """Both have sent, neither was answered: copies may go to both, the owner must get his, and
        once both have answered, there are no copies any more."""
        gateway = "203.0.113.131"
        tunnels = [Tunnel(A, gateway), Tunnel(B, gateway)]
        for tunnel in tunnels:
            negotiate(lab, tunnel.client, gateway, IkeSa())
        for tunnel in tunnels:
            esp_out(lab, tunnel)
        for _ in range(8):
            for tunnel in reversed(tunnels):
                esp_back_copies(lab, tunnel, {A, B})
                esp_out(lab, tunnel)
                time.sleep(0.05)
        assert sum(esp_back_copies(lab, tunnel, {A, B}) for tunnel in tunnels) == 0

    def test_five_at_once_gateway_first(self, lab: Lab) -> None:
        """Nobody has sent ESP when the gateway begins: every owner gets every packet. Turns come in
        random order after random pauses: in a fixed order every client's packet would answer the
        one before as regularly as its own."""
        gateway = "203.0.113.132"
        hosts = {client(number) for number in range(101, 106)}
        tunnels = [Tunnel(host, gateway) for host in sorted(hosts)]
        for tunnel in tunnels:
            negotiate(lab, tunnel.client, gateway, IkeSa())
        copies = [esp_back_copies(lab, tunnel, hosts) for tunnel in tunnels]
        assert max(copies) < 8
        chance = random.Random(5)
        for _ in range(10):
            for tunnel in chance.sample(tunnels, len(tunnels)):
                time.sleep(chance.uniform(0.01, 0.1))
                esp_back_copies(lab, tunnel, hosts)
                esp_out(lab, tunnel)


class TestSameSpi:
    """Two clients have chosen the same SPI; the second one does when the packets of the first one are
    translated without the binder. Neither loses a packet."""

    @pytest.mark.parametrize("ahead", [20, 1000])
    def test_second_client_loses_nothing(self, lab: Lab, ahead: int) -> None:
        gateway = f"203.0.113.{134 + (ahead == 20)}"
        first, second = Tunnel(A, gateway), Tunnel(B, gateway)
        second.spi_in = first.spi_in
        for _ in range(3):
            esp_out(lab, first)
            esp_back(lab, first)
        first.advance(ahead)
        esp_back(lab, first)
        esp_out(lab, second)
        copies = 0
        for _ in range(30):
            copies += esp_back_copies(lab, second, {A})
            esp_out(lab, second)
            copies += esp_back_copies(lab, first, {B})
            esp_out(lab, first)
        assert copies > 0  # nothing but the keys tells them apart


class TestUnlikelyOwner:
    def test_gets_it_a_moment_later(self, lab: Lab) -> None:
        """Of two clients one has just opened a pair, the other some time ago: what comes now is most
        likely for the first. It goes to the other one too, once nobody has answered; each gets it
        once. Where the machine is slow both look alike to the box, and get it at once."""

        def one_was_late(number: int) -> bool:
            gateway = f"203.0.113.{180 + number}"
            before = lab.app.telemetry.ask("/spinat/stats")["copies_late"]
            unlikely, likely = Tunnel(A, gateway), Tunnel(B, gateway)
            esp_out(lab, unlikely)
            time.sleep(2)
            esp_out(lab, likely)
            packet, _ = unlikely.inbound(POOL)
            lab.outside.send(packet)
            reached = [lab.inside.receive(), lab.inside.receive()]
            for frame in reached:
                wire.assert_same(frame.ip_bytes, wire.translated(packet, dst=frame.ip.dst))
            assert {frame.ip.dst for frame in reached} == {A, B}
            late = lab.app.telemetry.ask("/spinat/stats")["copies_late"] - before
            assert late <= 1
            return late == 1

        assert any(one_was_late(number) for number in range(10))


class Ambiguity:
    """Two clients have finished IKE with one gateway, which then sends first."""

    mode = ""

    @pytest.fixture(scope="class")
    def config(self) -> cfg.Config:
        return cfg.default_config(realms=[cfg.realm(ambiguity=self.mode)])

    def negotiated(self, lab: Lab, gateway: str) -> list[Tunnel]:
        for host in (A, B):
            negotiate(lab, host, gateway, IkeSa())
            time.sleep(0.1)
        return [Tunnel(host, gateway) for host in (A, B)]


class TestAmbiguityDrop(Ambiguity):
    mode = "drop"

    def test_nobody_gets_it_before_it_is_clear(self, lab: Lab) -> None:
        first, second = self.negotiated(lab, GATEWAY)
        lab.outside.send(first.inbound(POOL)[0])
        lab.silent(spi_ambiguous=1)
        esp_out(lab, second)
        esp_back(lab, second)

    def test_its_owner_gets_it_once_it_is_clear(self, lab: Lab) -> None:
        """What comes first is kept, and B's own traffic tells that it must be for A. Where the machine
        is slow that comes too late."""

        def stats() -> dict[str, int]:
            return lab.app.telemetry.ask("/spinat/stats")

        def it_was(number: int) -> bool:
            first, second = self.negotiated(lab, f"203.0.113.{190 + number}")
            before = stats()
            packets = {A: first.inbound(POOL)[0], B: second.inbound(POOL)[0]}
            lab.outside.send(packets[A])
            esp_out(lab, second)
            lab.outside.send(packets[B])
            lab.settle()
            eventually(lambda: stats()["kept"] == 0)
            lab.settle()
            frames = lab.in_port.waiting()
            reached = [frame.ip.dst for frame in frames]
            for frame in frames:
                expected = wire.translated(packets[frame.ip.dst], dst=frame.ip.dst)
                wire.assert_same(frame.ip_bytes, expected)
            assert len(reached) == len(set(reached))
            assert stats()["copies"] == before["copies"]
            if sorted(reached) == [A, B]:
                lab.dropped()
                return stats()["delayed"] > before["delayed"]
            lab.forget_drops()
            return False

        assert any(it_was(number) for number in range(10))


class TestAmbiguityNewest(Ambiguity):
    mode = "newest"

    def test_who_negotiated_last_gets_it(self, lab: Lab) -> None:
        _, second = self.negotiated(lab, GATEWAY)
        esp_back(lab, second)


class TestManualKeysRefused:
    @pytest.fixture(scope="class")
    def config(self) -> cfg.Config:
        return cfg.default_config(realms=[cfg.realm(esp_without_ike=False)])

    def test_esp_alone_is_no_evidence(self, lab: Lab) -> None:
        tunnel = Tunnel(A, GATEWAY)
        esp_out(lab, tunnel)
        lab.outside.send(tunnel.inbound(POOL)[0])
        lab.silent(spi_unknown=1)

    def test_with_ike_it_passes(self, lab: Lab) -> None:
        gateway = "203.0.113.6"
        tunnel = Tunnel(B, gateway)
        negotiate(lab, B, gateway, IkeSa())
        esp_out(lab, tunnel)
        esp_back(lab, tunnel)


class TestRestart:
    """The box has lost its memory: what comes next is in the middle of old SAs."""

    def test_client_sends_first(self, lab: Lab) -> None:
        gateway = "203.0.113.140"
        tunnel = Tunnel(A, gateway)
        tunnel.advance(1000)
        esp_out(lab, tunnel)
        esp_back(lab, tunnel)


class TestTimeout:
    @pytest.fixture(scope="class")
    def config(self) -> cfg.Config:
        return cfg.default_config(timeouts={"esp": 3, "ike": 3})

    def test_idle_binding_goes(self, lab: Lab) -> None:
        tunnel = Tunnel(A, GATEWAY)
        esp_out(lab, tunnel)
        esp_back(lab, tunnel)
        time.sleep(1.5)
        esp_back(lab, tunnel)
        assert lab.app.telemetry.bindings() != []
        eventually(lambda: lab.app.telemetry.bindings() == [])
        packet, _ = tunnel.inbound(POOL)
        lab.outside.send(packet)
        lab.silent(spi_unknown=1)
