# SPDX-License-Identifier: BSD-3-Clause
# Copyright (c) 2026 the spinat authors
"""What the box did with each ESP or AH packet, found by comparing both wires.

The traffic's own counts have the peers' losses in them too, such as a datagram for an SA that its
receiver has just deleted. This account has the box's only: every packet that came in on one side must
have gone out on the other, to the client that owns the SPI."""

import re
from collections import defaultdict
from dataclasses import dataclass

from lab.host import Host
from lab.wire import AH, ESP, Capture, Packet

COLUMNS = ("client", "out", "passed", "lost", "in", "right", "lost", "wrong")
# A line of ip-xfrm(8) monitor about an SA that is new.
NEW_STATE = re.compile(r"^(?:Updated )?src \S+ dst (\S+)\n\s+proto (?:esp|ah) spi (0x[0-9a-f]+)", re.M)


@dataclass
class Line:
    """One client's packets; wrong: those of others that reached it."""

    client: str
    out: int = 0
    passed: int = 0
    into: int = 0
    right: int = 0
    wrong: int = 0

    def row(self) -> str:
        cells = [self.client, self.out, self.passed, self.out - self.passed]
        cells += [self.into, self.right, self.into - self.right, self.wrong]
        return "".join(f"{cell:>8}" for cell in cells)

    @property
    def complete(self) -> bool:
        return self.out == self.passed and self.into == self.right


class Owners:
    """Which client has given out an SPI, for as long as this watches."""

    def __init__(self, clients: list[Host]) -> None:
        self.clients = clients
        self._files = {
            c.name: c.request("/bin/ip", "xfrm", "monitor", "SA", daemon=True).out for c in clients
        }

    def spis(self) -> dict[int, set[str]]:
        """Addresses of the clients that own each SPI: of more than one if they chose the same."""
        found: dict[int, set[str]] = defaultdict(set)
        for client in self.clients:
            text = client.vm.run("/bin/cat", self._files[client.name])
            text += client.run("/bin/ip", "xfrm", "state")
            for address, spi in NEW_STATE.findall(text):
                if address == client.outer:
                    found[int(spi, 16)].add(client.address)
        return found


def ledger(
    clients: list[Host], owners: Owners, inside: Capture, outside: Capture, since: float = 0.0
) -> dict[str, Line]:
    """The account of all whole packets after `since`."""
    names = {c.address: Line(c.name) for c in clients}
    spis = owners.spis()
    in_packets = [p for p in inside.packets() if p.proto in (ESP, AH) and p.whole]
    out_packets = [p for p in outside.packets() if p.proto in (ESP, AH) and p.whole]

    def key(p: Packet) -> tuple[int, int, int]:
        return p.proto, p.spi, p.sequence

    received = defaultdict(set)
    for p in in_packets:
        if p.dst in names:
            received[key(p)].add(p.dst)
    passed = {key(p) for p in out_packets}
    for p in in_packets:
        if p.src in names and p.time >= since:
            names[p.src].out += 1
            names[p.src].passed += key(p) in passed
    for p in out_packets:
        for owner in spis.get(p.spi, ()) if p.time >= since else ():
            names[owner].into += 1
            names[owner].right += owner in received[key(p)]
    for (_, spi, _), reached in received.items():
        for address in reached - spis.get(spi, set()):
            names[address].wrong += 1
    return {line.client: line for line in names.values()}


def show(title: str, lines: dict[str, Line]) -> None:
    """Prints an account."""
    print(f"\n{title}IPsec packets, wire to wire\n{''.join(f'{c:>8}' for c in COLUMNS)}")
    for line in lines.values():
        print(line.row())
