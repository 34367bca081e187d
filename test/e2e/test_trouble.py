# SPDX-License-Identifier: BSD-3-Clause
# Copyright (c) 2026 the spinat authors
"""What goes wrong in the field: reboots, a box that dies, SPIs that meet, a gateway that begins."""

import time
from pathlib import Path
from typing import Any

from lab import ledger
from lab.daemon import wait_for
from lab.ledger import Line
from lab.manual import Pair, connect, numbered
from lab.site import POOL, Scenario
from lab.traffic import Traffic, show
from lab.tunnels import Tunnels

from conftest import MakeScenario


def account(made: Scenario, since: float = 0.0) -> dict[str, Line]:
    lines = made.ledger(since)
    ledger.show("", lines)
    return lines


def libreswan_tunnels(make: MakeScenario, clients: int, **config: Any) -> Tunnels:
    """`config`: keys of the box's configuration."""
    made = make(clients, "libreswan", gateway=("libreswan",), **config)
    tunnels = Tunnels(made, "libreswan", "libreswan")
    tunnels.up()
    return tunnels


def test_client_reboots(scenario: MakeScenario) -> None:
    """One client loses its power and comes back with other SPIs; its neighbours lose nothing, and it
    has all of its traffic again."""
    tunnels = libreswan_tunnels(scenario, 3)
    made = tunnels.scenario
    others = [made.clients[0], made.clients[2]]
    running = Traffic(others, made.gateway, down_delay=0.0)
    time.sleep(2)
    tunnels.clients[1].kill()
    time.sleep(2)
    tunnels.clients[1].start()
    tunnels.clients[1].initiate(made.gateway)
    back = time.time()
    again = Traffic(made.clients[1:2], made.gateway, down_delay=0.0)
    time.sleep(4)
    counts = running.stop() | again.stop()
    show("one of 3 clients reboots", counts)
    account(made, back)
    assert all(count.complete for count in counts.values())


def test_box_dies(scenario: MakeScenario) -> None:
    """The box is killed and started again under traffic: it knows nothing, the tunnels live on, and
    every SPI finds its client again without IKE."""
    tunnels = libreswan_tunnels(scenario, 3)
    made = tunnels.scenario
    running = Traffic(made.clients, made.gateway, down_delay=0.0)
    time.sleep(3)
    made.box.kill()
    made.start_box()
    ready = time.time()
    counts = running.during(10)
    show("the box dies and starts again, 3 clients (what was sent meanwhile is lost)", counts)
    lines = account(made, ready + 3)
    assert all(line.complete for line in lines.values())
    assert all(line.right and line.passed for line in lines.values())


def test_box_dies_behind_a_checkpoint(scenario: MakeScenario, tmp_path: Path) -> None:
    """The same, but it keeps a checkpoint: it knows every SPI from its first packet on, so nobody
    gets a copy."""
    kept = {"file": str(tmp_path / "state"), "interval": 1}
    tunnels = libreswan_tunnels(scenario, 3, checkpoint=kept)
    made = tunnels.scenario
    running = Traffic(made.clients, made.gateway, down_delay=0.0)

    def told() -> dict[str, Any]:
        return made.box.telemetry.ask("/spinat/checkpoint")

    def watched() -> list[dict[str, Any]]:
        rows = made.box.telemetry.bindings()
        return [row for row in rows if row["state"] != "settled" or row["candidates"]]

    # copies go on for a while after an SPI has settled
    wait_for(lambda: not watched(), 60, lambda: str(watched()))
    assert made.box.telemetry.ask("/spinat/checkpoint_now").startswith("ok")
    assert told()["rows"]["bindings"] == 2 * 3
    made.box.kill()
    made.start_box()
    ready = time.time()
    counts = running.during(5)
    show("the same behind a checkpoint", counts)
    assert told()["restored"]["bindings"] == 2 * 3
    assert made.box.telemetry.ask("/spinat/stats")["copies"] == 0
    lines = account(made, ready + 1)
    assert all(line.complete for line in lines.values())
    assert all(line.right and line.passed for line in lines.values())


def test_same_spi(scenario: MakeScenario) -> None:
    """Two clients have given the gateway the same SPI: each gets all of its own packets."""
    made = scenario(2)
    for number, client in enumerate(made.clients, 1):
        spis = Pair(into=0x1234ABCD, out=numbered(number).out)
        connect(client, made.gateway, spis, client_seen_as=POOL, mark=number)
    counts = Traffic(made.clients, made.gateway, marks=True).during(6)
    show("2 clients with the same SPI", counts)
    assert all(count.complete for count in counts.values())


def test_gateway_begins(scenario: MakeScenario) -> None:
    """The gateway opens an IKE SA of its own with a client that it has one with; nothing but the
    cookies says so. The client answers and the traffic goes on."""
    tunnels = libreswan_tunnels(scenario, 2)
    made = tunnels.scenario
    running = Traffic(made.clients, made.gateway, down_delay=0.0)
    time.sleep(1)
    for name in ("c1", "c2"):
        tunnels.gateway.rekey_ike(name)
        tunnels.gateway.rekey_child(name)
    counts = running.during(3)
    show("the gateway begins", counts)
    begun = [row["initiator"] for row in made.box.telemetry.ike()]
    assert "gateway" in begun, begun
    lines = account(made)
    assert all(line.complete for line in lines.values())
