# SPDX-License-Identifier: BSD-3-Clause
# Copyright (c) 2026 the spinat authors
"""Numbered UDP datagrams between hosts of the guest, both ends in one process.

Input: JSON {"seed", "port", "flows": [{"name", "from", "from_address", "to", "to_address", "rate",
"mark", "answer", "delay"}]}. Every flow has a port of its own, counted from the first. A line
"ready" is the start; from `delay` seconds after it until SIGTERM a flow sends `rate` datagrams a
second on average from one host to another, which answers each if "answer" is true. A second later
the result is printed: for each flow how many were sent, how many arrived, once and again, how many
answers did, and when the lost ones were sent, in seconds since the start. One process for all,
since it then knows of each datagram when it was sent and whether it came.
"""

import ctypes
import json
import random
import select
import signal
import socket
import struct
import sys
import time
from typing import Any

CLONE_NEWNET = 0x40000000
PAYLOAD = struct.Struct("!II")  # flow, number
FILL = bytes(100)
TAIL_SECONDS = 1.0
_libc = ctypes.CDLL(None, use_errno=True)


def socket_in(host: str, here: str, there: str, port: int, mark: int) -> socket.socket:
    with open(f"/run/netns/{host}", "rb") as namespace:
        if _libc.setns(namespace.fileno(), CLONE_NEWNET) != 0:
            raise OSError(ctypes.get_errno(), f"setns {host}")
    made = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    made.bind((here, port))
    made.connect((there, port))
    made.setblocking(False)
    if mark:
        made.setsockopt(socket.SOL_SOCKET, socket.SO_MARK, mark)
    return made


class Flow:
    """One direction of requests, and the answers."""

    def __init__(
        self, index: int, given: dict[str, Any], first_port: int, chance: random.Random
    ) -> None:
        port, mark = first_port + index, given["mark"]
        a, b = given["from_address"], given["to_address"]
        self.name, self.index, self.answers = given["name"], index, given["answer"]
        self.near = socket_in(given["from"], a, b, port, mark)
        self.far = socket_in(given["to"], b, a, port, mark)
        self.interval, self.chance = 1 / given["rate"], chance
        self.next = time.monotonic() + given["delay"] + self.interval * chance.random()
        self.sent: list[float] = []
        self.arrived: set[int] = set()
        self.answered: set[int] = set()
        self.again = 0

    def send(self, now: float) -> None:
        message = PAYLOAD.pack(self.index, len(self.sent)) + FILL
        self.sent.append(now)
        transmit(self.near, message)
        self.next = max(self.next, now - 0.2) + self.interval * (0.5 + self.chance.random())

    def at_far(self) -> None:
        message = self.receive(self.far, self.arrived)
        if message and self.answers:
            transmit(self.far, message)

    def at_near(self) -> None:
        self.receive(self.near, self.answered)

    def receive(self, where: socket.socket, seen: set[int]) -> bytes:
        try:
            message = where.recv(2048)
        except OSError:  # an ICMP error
            return b""
        index, number = PAYLOAD.unpack_from(message)
        if index != self.index:
            raise SystemExit(f"flow {index} in the socket of {self.name}")
        if number in seen:
            self.again += 1
        seen.add(number)
        return message

    def result(self, began: float) -> dict[str, Any]:
        lost = [round(t - began, 2) for i, t in enumerate(self.sent) if i not in self.arrived]
        return {
            "sent": len(self.sent),
            "right": len(self.arrived),
            "again": self.again,
            "answers": len(self.arrived) if self.answers else 0,
            "answered": len(self.answered),
            "lost": lost,
        }


def transmit(where: socket.socket, message: bytes) -> None:
    """Without an SA the kernel refuses; such a datagram is one that was lost."""
    try:
        where.send(message)
    except OSError:
        pass


def main() -> None:
    stopping: list[float] = []
    signal.signal(signal.SIGTERM, lambda *_: stopping.append(time.monotonic() + TAIL_SECONDS))
    given = json.loads(sys.argv[1])
    chance = random.Random(given["seed"])
    began = time.monotonic()
    flows = [Flow(i, flow, given["port"], chance) for i, flow in enumerate(given["flows"])]
    poll = select.epoll()
    handlers = {flow.far.fileno(): flow.at_far for flow in flows}
    handlers |= {flow.near.fileno(): flow.at_near for flow in flows}
    for fd in handlers:
        poll.register(fd, select.EPOLLIN)
    print("ready", flush=True)
    while not stopping or time.monotonic() < stopping[0]:
        now = time.monotonic()
        for flow in flows:
            if now >= flow.next and not stopping:
                flow.send(now)
        soonest = min(flow.next for flow in flows) - time.monotonic()
        for fd, _ in poll.poll(0.05 if stopping else min(max(soonest, 0.0), 0.05)):
            handlers[fd]()
    print(json.dumps({flow.name: flow.result(began) for flow in flows}))


if __name__ == "__main__":
    main()
