# SPDX-License-Identifier: BSD-3-Clause
# Copyright (c) 2026 the spinat authors
"""A running box between fake hosts: send, receive, check, and account for every drop."""

import itertools
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

from scapy.layers.inet import ICMP, IP
from scapy.packet import Packet

from harness import config as cfg
from harness import plan, wire
from harness.appliance import Appliance
from harness.namespace import Namespace, unique
from harness.port import PROBE, Frame, Port, Side

SLOW = 20.0  # seconds: nothing that is to happen takes longer, even on a busy machine
PROBES_INSIDE = [f"10.0.0.{number}" for number in range(238, 254)]
PROBES_OUTSIDE = [f"192.0.2.{number}" for number in range(238, 254)]


def eventually(check: Callable[[], bool], timeout: float = SLOW) -> float:
    """Waits until something is so, and returns how long that took."""
    begin = time.monotonic()
    while not check():
        assert time.monotonic() < begin + timeout, "it never came to pass"
        time.sleep(0.05)
    return time.monotonic() - begin


class Lab:
    """The box in one namespace, raw ports to it in the same (taps) or in another one (veth)."""

    def __init__(self, box: Namespace, peer: Namespace, config: cfg.Config, place: Path) -> None:
        self.config = config
        self.app = Appliance(box, config, place, unique("box"))
        self._box, self._peer = box, peer
        self._ids = itertools.count(1)
        self._seen: Counter[str] = Counter()
        self._late = 0  # late copies that are accounted for
        self._ports: list[Port] = []
        self.leaks_allowed = False

    def start(self) -> None:
        try:
            self._start()
        except BaseException:
            self._end()
            raise

    def _start(self) -> None:
        tap = "net_tap" in self.config["interfaces"][0]["device"]
        if not tap:
            self._open_ports(self._peer, "p-in", "p-out")
        self.app.start()
        if tap:
            self._box.offloads_off(cfg.DEVICE_IN)
            self._box.offloads_off(cfg.DEVICE_OUT)
            self._open_ports(self._box, cfg.DEVICE_IN, cfg.DEVICE_OUT)
        self.settle()
        self._seen = Counter(self.app.telemetry.drops())
        self._late = 0

    def _open_ports(self, namespace: Namespace, inside: str, outside: str) -> None:
        self.in_port = Port(namespace, inside)
        self._ports.append(self.in_port)
        self.out_port = Port(namespace, outside)
        self._ports.append(self.out_port)
        self.inside = Side(
            self.in_port,
            self._vlan("inside"),
            cfg.MAC_IN,
            plan.BOX_INSIDE,
            plan.INSIDE_NET,
            plan.INSIDE_ROUTER,
        )
        self.outside = Side(
            self.out_port,
            self._vlan("outside"),
            cfg.MAC_OUT,
            plan.BOX_OUTSIDE,
            plan.OUTSIDE_NET,
            plan.ROUTER,
        )
        # The box answers for itself and its outside addresses.
        self.inside.absent |= {plan.BOX_INSIDE}
        self.outside.absent |= {plan.BOX_OUTSIDE, plan.POOL, plan.POOL2}

    def _vlan(self, role: str) -> int:
        """VLAN of the first interface of a role."""
        interfaces = self.config["interfaces"]
        return next(i.get("vlan", 0) for i in interfaces if i["role"] == role)

    def stop(self) -> None:
        """The last frames are looked at, the process must end well."""
        try:
            self.check_leaks()
            self.app.stop()
        finally:
            self._end()

    def _end(self) -> None:
        """Leaves nothing behind, however it came here."""
        self.app.kill()
        for port in self._ports:
            port.close()

    # --- traffic ------------------------------------------------------------------------------

    def out(self, packet: Packet, *, src: str, sport: int | None = None, **fields: Any) -> Frame:
        """Sends from inside; outside it must be the same packet with this source. A port that is
        not given may be any."""
        self.inside.send(packet)
        frame = self._expect(self.outside)
        raw = bytes(packet)
        if sport is None and raw[9] in (wire.ICMP, wire.TCP, wire.UDP):
            sport = wire.get_port(frame.ip_bytes, "sport")
        expected = wire.translated(raw, src=src, sport=sport, **fields)
        wire.assert_sent(frame.ip_bytes, expected)
        return frame

    def back(self, packet: Packet, *, dst: str, dport: int | None = None, **fields: Any) -> Frame:
        """Sends from outside; inside it must be the same packet with this destination."""
        self.outside.send(packet)
        frame = self._expect(self.inside)
        wire.assert_same(
            frame.ip_bytes, wire.translated(bytes(packet), dst=dst, dport=dport, **fields)
        )
        return frame

    def _expect(self, side: Side) -> Frame:
        try:
            return side.receive()
        except AssertionError as problem:
            raise AssertionError(f"{problem}; drops: {self.drops_moved()}") from None

    # --- accounting ---------------------------------------------------------------------------

    def settle(self) -> None:
        """Returns when the box has handled all that was sent before, and all that it has sent has
        been captured: pings to the box itself are answered on both sides. A frame that crosses is
        captured before the answer of the later ping on the side where it comes out. Where there
        are several workers, packets wander between them as well: they get a moment for that."""
        several = self.config["workers"] > 1
        for _ in range(2 if several else 1):
            for side, hosts in (
                (self.outside, PROBES_OUTSIDE),
                (self.inside, PROBES_INSIDE),
                (self.outside, PROBES_OUTSIDE),
            ):
                self._probe(side, hosts if several else hosts[:1])
            time.sleep(0.05 if several else 0)

    def _probe(self, side: Side, hosts: list[str]) -> None:
        """As many hosts as it takes to meet every worker, which the kernel chooses by addresses."""
        for host in hosts:
            probe = IP(src=host, dst=side.box_address, id=next(self._ids) & 0xFFFF)
            side.send(probe / ICMP(id=next(self._ids) & 0xFFFF) / PROBE)
        for _ in hosts:
            assert side.port.receive_probe(5.0), f"{side.port.device}: the box does not answer"

    def drops_moved(self) -> dict[str, int]:
        """Counters that are not accounted for yet."""
        now = Counter(self.app.telemetry.drops())
        return {name: now[name] - self._seen[name] for name in now if now[name] != self._seen[name]}

    def dropped(self, **expected: int) -> None:
        """Since the start of the test or the last call exactly these counters have moved, by
        exactly this much. What takes its time is waited for."""
        self.settle()
        end = time.monotonic() + (SLOW if expected else 0)
        while (moved := self.drops_moved()) != expected and time.monotonic() < end:
            if any(moved.get(name, 0) > expected.get(name, 0) for name in moved):
                break
            time.sleep(0.02)
        self.forget_drops()
        assert moved == expected, f"drop counters moved: {moved}, expected: {expected}"

    def forget_drops(self) -> None:
        """For traffic whose drops nobody could name one by one."""
        self._seen = Counter(self.app.telemetry.drops())

    def silent(self, **expected: int) -> None:
        """Nothing has come out on either side that was not asked for; drops as in dropped(). Late
        copies come unasked: ESP that the box has kept while it was not clear whose it is."""
        eventually(lambda: self._stats()["kept"] == 0)
        self.dropped(**expected)
        known, self._late = self._late, self._stats()["copies_late"]
        late = max(self._late - known, 0)
        inside = self.in_port.waiting()
        esp = [frame for frame in inside if frame.ip_bytes[9:10] in (b"\x32", b"\x33")]
        left = [f"{self.in_port.device}: {f.raw.hex()}" for f in inside if f not in esp[:late]]
        left += [f"{self.out_port.device}: {f.raw.hex()}" for f in self.out_port.waiting()]
        assert not left, "unexpected frames:\n" + "\n".join(left)

    def _stats(self) -> dict[str, int]:
        return self.app.telemetry.ask("/spinat/stats")

    def check_leaks(self) -> None:
        """No frame seen outside shows an inside address."""
        capture = self.out_port.capture
        frames = capture[self.out_port.scanned :]
        self.out_port.scanned += len(frames)
        if not self.leaks_allowed:
            found = wire.leaks(frames)
            assert not found, "inside addresses outside:\n" + "\n".join(found)

    def finish_test(self) -> None:
        """What must hold at the end of every test: nothing dropped and nothing sent unnoticed."""
        try:
            self.silent()
        finally:
            self.check_leaks()
