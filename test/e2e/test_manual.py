# SPDX-License-Identifier: BSD-3-Clause
# Copyright (c) 2026 the spinat authors
"""ESP of real kernels with manual keys: no IKE to learn from, protocol 50 on the wire."""

import pytest
from lab.manual import connect, numbered
from lab.site import GATEWAY, POOL, Scenario
from lab.traffic import Traffic, show
from lab.wire import ESP

from conftest import MakeScenario


def connected(scenario: MakeScenario, clients: int) -> Scenario:
    made = scenario(clients)
    for number, client in enumerate(made.clients, 1):
        connect(client, made.gateway, numbered(number), client_seen_as=POOL)
    return made


def assert_native(made: Scenario) -> None:
    """All that crossed outside was ESP between the gateway and the one outside address."""
    packets = made.outside.packets()
    assert {p.proto for p in packets} == {ESP}
    assert {(p.src, p.dst) for p in packets} == {(POOL, GATEWAY), (GATEWAY, POOL)}


@pytest.mark.parametrize("clients", [1, 2, 4])
def test_both_ways(scenario: MakeScenario, clients: int) -> None:
    """Requests both ways, all answered; every client begins at once."""
    made = connected(scenario, clients)
    counts = Traffic(made.clients, made.gateway).during(8)
    show(f"manual keys, {clients} clients", counts)
    assert_native(made)
    assert all(count.complete and count.again == 0 for count in counts.values())


@pytest.mark.xfail(reason="the binder settles on timing that says nothing", strict=False)
def test_both_ways_unanswered(scenario: MakeScenario) -> None:
    """Two streams a client that have nothing to do with one another: order and time say nothing, so
    only copies keep the right client from losing."""
    made = connected(scenario, 4)
    counts = Traffic(made.clients, made.gateway, answer=False).during(8)
    show("manual keys, 4 clients, unanswered", counts)
    assert_native(made)
    assert all(count.complete for count in counts.values())


def test_gateway_speaks(scenario: MakeScenario) -> None:
    """Each client sends one packet, then only the gateway asks."""
    made = connected(scenario, 3)
    for client in made.clients:
        client.run(*f"ping -q -c 1 -W 2 -I {client.inner} {made.gateway.inner}".split())
    counts = Traffic(made.clients, made.gateway, up=0).during(6)
    show("manual keys, 3 clients, the gateway asks", counts)
    assert all(count.complete for count in counts.values())


def test_ping(scenario: MakeScenario) -> None:
    """Large ones too, whose ESP packets are fragments."""
    made = connected(scenario, 2)
    for size in (56, 1300, 3000):
        for client in made.clients:
            command = f"ping -q -c 3 -i 0.2 -W 2 -s {size} -I {client.inner} {made.gateway.inner}"
            assert " 0% packet loss" in client.run(*command.split()), size
    assert_native(made)


def test_tcp(scenario: MakeScenario) -> None:
    """A megabyte down each of two tunnels at the same time."""
    made = connected(scenario, 2)
    size = 1 << 20
    serve = "for port in 6001 6002; do iperf3 -s -1 -D -p $port; done"
    made.gateway.script(serve)
    both = "\n".join(
        f"nsenter --net=/run/netns/{c.name} iperf3 -c {made.gateway.inner} -B {c.inner} "
        f"-p {6000 + i} -R -n {size} -J > /tmp/tcp{i} & p{i}=$!"
        for i, c in enumerate(made.clients, 1)
    )
    made.vm.script(f"{both}\nwait $p1; wait $p2", timeout=90)
    for i in (1, 2):
        line = made.vm.script(f"grep -A6 sum_received /tmp/tcp{i} | grep bytes")
        assert int("".join(filter(str.isdigit, line))) >= size
    assert_native(made)
