# SPDX-License-Identifier: BSD-3-Clause
# Copyright (c) 2026 the spinat authors
"""AH of real kernels in the three modes of a realm. AH protects the addresses (RFC 3715 2.1 a), so
it can cross a NAT only where it is left alone, or where the peers know what the NAT does."""

from lab.manual import AH, connect, numbered
from lab.site import BOX_OUTSIDE, GATEWAY, POOL, Scenario
from lab.traffic import WRONG, Traffic, show
from lab import wire

from conftest import MakeScenario


def ping(made: Scenario, number: int = 0) -> bool:
    client = made.clients[number]
    command = f"ping -q -c 3 -i 0.2 -W 1 -I {client.inner} {made.gateway.inner}"
    return client.request(*command.split()).rc == 0


def test_reject(scenario: MakeScenario) -> None:
    """Nothing crosses, and the client is told: administratively prohibited."""
    made = scenario(1, realm={"ah": "reject"})
    connect(made.clients[0], made.gateway, numbered(1), client_seen_as=POOL, kind=AH)
    assert not ping(made)
    assert not [p for p in made.outside.packets() if p.proto == wire.AH]
    errors = [p for p in made.inside.packets() if p.proto == wire.ICMP]
    assert errors and {(p.dst, p.payload[:2]) for p in errors} == {("10.0.0.11", b"\x03\x0d")}
    assert made.box.telemetry.drops()["ah_rejected"] == 3


def test_exempt(scenario: MakeScenario) -> None:
    """Both ends use the true addresses, and routes lead to the inside: AH verifies both ways."""
    made = scenario(2, realm={"ah": "exempt"})
    made.gateway.script(f"ip route add 10.0.0.0/24 via {BOX_OUTSIDE}")
    for number, client in enumerate(made.clients, 1):
        connect(client, made.gateway, numbered(number), client_seen_as=client.address, kind=AH)
    counts = Traffic(made.clients, made.gateway).during(4)
    show("AH, exempt, 2 clients", counts)
    packets = [p for p in made.outside.packets() if p.proto == wire.AH]
    assert {p.src for p in packets} == {GATEWAY, *(c.address for c in made.clients)}
    assert all(count.complete and not count.wrong for count in counts.values())


def test_translate(scenario: MakeScenario) -> None:
    """Translated like ESP: it arrives, and the kernel finds its check value wrong."""
    made = scenario(1, realm={"ah": "translate"})
    connect(made.clients[0], made.gateway, numbered(1), client_seen_as=POOL, kind=AH)
    assert not ping(made)
    packets = [p for p in made.outside.packets() if p.proto == wire.AH]
    assert [(p.src, p.dst, p.spi) for p in packets] == [(POOL, GATEWAY, numbered(1).out)] * 3
    assert made.gateway.xfrm_errors()[WRONG[1]] == 3


def test_translate_known(scenario: MakeScenario) -> None:
    """Clients that compute AH over the outside address: it verifies both ways, for two of them."""
    made = scenario(2, realm={"ah": "translate"})
    for number, client in enumerate(made.clients, 1):
        client.believe(POOL)
        connect(client, made.gateway, numbered(number), client_seen_as=POOL, kind=AH)
    counts = Traffic(made.clients, made.gateway).during(4)
    show("AH, translated for peers that know, 2 clients", counts)
    packets = [p for p in made.outside.packets() if p.proto == wire.AH]
    assert {p.src for p in packets} == {GATEWAY, POOL}
    assert all(count.complete for count in counts.values())
