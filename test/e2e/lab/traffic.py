# SPDX-License-Identifier: BSD-3-Clause
# Copyright (c) 2026 the spinat authors
"""Counted traffic through tunnels, and the table that says what became of it."""

import itertools
import json
import random
import time
from dataclasses import dataclass, field
from typing import Any

from lab.host import Host
from lab.vm import PROGRAMS

_ports = itertools.count(7000, 50)  # so that two can run at once

# What the kernel counts when ESP or AH reaches a host that has no such SA, or one with another key; in
# that one the sequence number may also have been seen.
WRONG = ("XfrmInNoStates", "XfrmInStateProtoError", "XfrmInStateSeqError")
COLUMNS = ("client", "up", "right", "lost", "down", "right", "lost", "again", "wrong")


@dataclass
class Way:
    """Datagrams of one client in one direction, answers to the other direction included."""

    sent: int = 0
    right: int = 0

    @property
    def lost(self) -> int:
        return self.sent - self.right


@dataclass
class Count:
    """What became of one client's traffic. Wrong: IPsec packets that this client got and could not
    open. Lost: when those requests were sent that never arrived, by the way they went."""

    client: str
    up: Way = field(default_factory=Way)
    down: Way = field(default_factory=Way)
    again: int = 0
    wrong: int = 0
    lost_up: list[float] = field(default_factory=list)
    lost_down: list[float] = field(default_factory=list)

    def row(self) -> str:
        ways = [n for way in (self.up, self.down) for n in (way.sent, way.right, way.lost)]
        return "".join(f"{cell:>8}" for cell in [self.client, *ways, self.again, self.wrong])

    @property
    def complete(self) -> bool:
        return self.up.lost == self.down.lost == 0 < self.up.sent + self.down.sent


class Traffic:
    """Datagrams between every client and the gateway through their tunnels, both ways at once, each
    answered; with answer=False neither way has to do with the other. The gateway begins later: with
    manual keys nobody can know a client that has not spoken."""

    def __init__(
        self,
        clients: list[Host],
        gateway: Host,
        up: float = 10,
        down: float = 10,
        answer: bool = True,
        down_delay: float = 1.0,
        marks: bool = False,
    ) -> None:
        self.gateway, self.clients = gateway, clients
        flows: list[dict[str, Any]] = []
        for number, client in enumerate(clients, 1):
            mark = number if marks else 0
            for way, rate, a, b in (("up", up, client, gateway), ("down", down, gateway, client)):
                ends = {"from": a.name, "from_address": a.inner, "to": b.name, "to_address": b.inner}
                if rate:
                    flow = {"name": f"{client.name} {way}", "rate": rate, "mark": mark}
                    flows.append(
                        flow | ends | {"answer": answer}
                        | {"delay": down_delay if a is gateway else 0.0}
                    )
        self._before = {c.name: wrong(c) for c in clients}
        first = next(_ports)
        given = json.dumps({"seed": random.randrange(1 << 32), "port": first, "flows": flows})
        command = ["/usr/bin/python3", f"{PROGRAMS}/traffic.py", given]
        started = gateway.vm.request(command, daemon=True)
        self._pid, self._output = started.pid, started.out
        wait = f"until grep -q ready {self._output}; do kill -0 {self._pid}; sleep 0.1; done"
        gateway.vm.script(wait)

    def stop(self) -> dict[str, Count]:
        """Ends the traffic; what was counted, by client."""
        vm = self.gateway.vm
        vm.run("/bin/kill", "-TERM", str(self._pid))
        wait = f"while kill -0 {self._pid} 2>/dev/null; do sleep 0.1; done; cat {self._output}"
        output = vm.script(wait)
        _, _, result = output.partition("\n")
        assert result.startswith("{"), output
        flows = json.loads(result)
        counts = {}
        for client in self.clients:
            count = Count(client.name, wrong=wrong(client) - self._before[client.name])
            for way, other, name in ((count.up, count.down, "up"), (count.down, count.up, "down")):
                flow = flows.get(f"{client.name} {name}")
                if flow is not None:
                    way.sent += flow["sent"]
                    way.right += flow["right"]
                    other.sent += flow["answers"]
                    other.right += flow["answered"]
                    count.again += flow["again"]
                    (count.lost_up if name == "up" else count.lost_down).extend(flow["lost"])
            counts[client.name] = count
        return counts

    def during(self, seconds: float) -> dict[str, Count]:
        """Lets it run for a while, then ends it."""
        time.sleep(seconds)
        return self.stop()


def wrong(client: Host) -> int:
    errors = client.xfrm_errors()
    return sum(errors[name] for name in WRONG)


def show(title: str, counts: dict[str, Count]) -> None:
    """Prints what a scenario has come to."""
    print(f"\n{title}\n{''.join(f'{name:>8}' for name in COLUMNS)}")
    for count in counts.values():
        print(count.row())
