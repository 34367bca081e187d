# SPDX-License-Identifier: BSD-3-Clause
# Copyright (c) 2026 the spinat authors
"""IKE daemons negotiate through the box, several clients with one gateway."""

import time

import pytest
from lab import ledger
from lab.ledger import Line
from lab.site import GATEWAY, POOL, Scenario
from lab.traffic import Traffic, show
from lab.tunnels import Tunnels
from lab.wire import ESP, UDP

from conftest import MakeScenario

KINDS = [
    ("libreswan", "libreswan", 1),
    ("libreswan", "libreswan", 2),
    ("strongswan", "libreswan", 1),
    ("strongswan", "strongswan", 2),
]


def start(
    make: MakeScenario, clients: int, client: str = "libreswan", gateway: str = "libreswan", **options
) -> Tunnels:
    tunnels = Tunnels(make(clients, client, gateway=(gateway,)), client, gateway, **options)
    tunnels.up()
    return tunnels


def traffic(tunnels: Tunnels, **options) -> Traffic:
    scenario = tunnels.scenario
    return Traffic(scenario.clients, scenario.gateway, down_delay=0.0, **options)


def account(made: Scenario, since: float = 0.0) -> dict[str, Line]:
    lines = made.ledger(since)
    ledger.show("", lines)
    return lines


def assert_native(made: Scenario) -> None:
    """ESP itself has crossed, and every IKE message from and to port 500."""
    packets = made.outside.packets()
    assert {(p.src, p.dst) for p in packets} == {(POOL, GATEWAY), (GATEWAY, POOL)}
    assert {p.proto for p in packets} == {ESP, UDP}
    assert {p.ports for p in packets if p.proto == UDP} == {(500, 500)}


@pytest.mark.parametrize("client,gateway,version", KINDS)
def test_two_clients(scenario: MakeScenario, client: str, gateway: str, version: int) -> None:
    """Both negotiate in the same second, and the gateway is among the first to speak."""
    tunnels = start(scenario, 2, client, gateway, version=version)
    counts = traffic(tunnels).during(5)
    show(f"IKEv{version}, 2 {client} clients, {gateway} gateway, ESP", counts)
    lines = account(tunnels.scenario)
    assert_native(tunnels.scenario)
    assert all(x.complete for x in (*counts.values(), *lines.values()))


@pytest.mark.parametrize("clients", [4, 8])
def test_many_clients(scenario: MakeScenario, clients: int) -> None:
    tunnels = start(scenario, clients)
    counts = traffic(tunnels, up=5, down=5).during(8)
    show(f"IKEv2, {clients} libreswan clients, ESP", counts)
    lines = account(tunnels.scenario)
    assert_native(tunnels.scenario)
    assert all(x.complete for x in (*counts.values(), *lines.values()))


def test_nat_traversal(scenario: MakeScenario) -> None:
    """The same with UDP encapsulation, for which a NAT needs to know nothing of IPsec."""
    tunnels = start(scenario, 2, "strongswan", "strongswan", natt=True)
    counts = traffic(tunnels).during(5)
    show("IKEv2, 2 strongswan clients, UDP encapsulation", counts)
    packets = tunnels.scenario.outside.packets()
    assert {p.proto for p in packets} == {UDP}
    assert all(count.complete for count in counts.values())


def test_ike_alone_on_4500(scenario: MakeScenario) -> None:
    """MOBIKE peers that see no NAT: IKE begins on port 500 and goes on on 4500, ESP is native. What
    says whose an SPI is, is said on 4500."""
    tunnels = start(scenario, 2, "strongswan", "strongswan", mobike=True)
    running = traffic(tunnels)
    for daemon in tunnels.clients:
        daemon.rekey_child("g")
    counts = running.during(3)
    show("IKEv2, 2 strongswan clients, IKE on port 4500, ESP", counts)
    made = tunnels.scenario
    lines = account(made)
    packets = made.outside.packets()
    assert {p.proto for p in packets} == {ESP, UDP}
    assert {500, 4500} == {p.ports[1] for p in packets if p.proto == UDP and p.dst == GATEWAY}
    told = made.box.telemetry.ike()
    assert [(row["natt"], row["esp_in_udp"]) for row in told] == [(1, 0)] * 2, told
    assert all(x.complete for x in (*counts.values(), *lines.values()))


@pytest.mark.parametrize("by", ["client", "gateway"])
@pytest.mark.parametrize("kind", ["libreswan", "strongswan"])
def test_rekey(scenario: MakeScenario, kind: str, by: str) -> None:
    """Child SAs and IKE SAs are replaced under traffic, several times, by either end; the box loses
    nothing, though a peer may, which deletes an SA that the other end still uses."""
    tunnels = start(scenario, 2, kind, kind)
    running = traffic(tunnels)
    for turn in range(4):
        time.sleep(1)
        for daemon in tunnels.clients if by == "client" else [tunnels.gateway]:
            for name in ["g"] if by == "client" else ["c1", "c2"]:
                (daemon.rekey_ike if turn == 2 else daemon.rekey_child)(name)
    counts = running.during(2)
    show(f"IKEv2, 2 {kind} clients, rekeyed by the {by}", counts)
    lines = account(tunnels.scenario)
    spis = {p.spi for p in tunnels.scenario.outside.packets() if p.proto == ESP}
    assert len(spis) >= 4 * 3
    assert_native(tunnels.scenario)
    assert all(line.complete for line in lines.values())
    assert all(c.up.right > 0.9 * c.up.sent and c.down.right > 0.9 * c.down.sent for c in counts.values())
