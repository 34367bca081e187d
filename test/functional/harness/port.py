# SPDX-License-Identifier: BSD-3-Clause
# Copyright (c) 2026 the spinat authors
"""A wire to the box: raw frames in and out, and the ARP of every fake host behind it."""

import ipaddress
import select
import socket
import struct
import threading
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field

from scapy.layers.inet import IP
from scapy.layers.l2 import ARP, Ether

from harness.namespace import Namespace
from harness.plan import host_mac

ETH_P_ALL = 0x0003
SOL_PACKET = 263
PACKET_AUXDATA = 8
PACKET_IGNORE_OUTGOING = 23
SO_RCVBUFFORCE = 33
TP_STATUS_VLAN_VALID = 0x10
PROBE = b"spinat-test-probe"  # payload of the pings that only tell that the box has caught up

TYPE_IPV4 = 0x0800
TYPE_ARP = 0x0806


def mac_text(raw: bytes) -> str:
    return ":".join(f"{b:02x}" for b in raw)


@dataclass(frozen=True)
class Frame:
    """One captured frame, its VLAN tag taken out."""

    raw: bytes
    vlan: int
    time: float

    @property
    def dst(self) -> str:
        return mac_text(self.raw[:6])

    @property
    def src(self) -> str:
        return mac_text(self.raw[6:12])

    @property
    def type(self) -> int:
        return int.from_bytes(self.raw[12:14], "big")

    @property
    def ip_bytes(self) -> bytes:
        """The IPv4 packet without the padding of short frames."""
        return self.raw[14 : 14 + int.from_bytes(self.raw[16:18], "big")]

    @property
    def ip(self) -> IP:
        return IP(self.ip_bytes)

    @property
    def is_probe(self) -> bool:
        return self.type == TYPE_IPV4 and self.raw[23] == 1 and self.raw.endswith(PROBE)


@dataclass
class Port:
    """Raw sockets on one device, with a thread that takes in every frame."""

    namespace: Namespace
    device: str
    capture: list[Frame] = field(default_factory=list)  # everything, for the whole life
    arps: list[tuple[float, ARP]] = field(default_factory=list)
    sent: int = 0
    scanned: int = 0  # frames of capture that have been searched for leaks

    def __post_init__(self) -> None:
        self._answers: dict[int, Callable[[str], bool]] = {}
        self._inbox: dict[int, deque[Frame]] = {}
        self._probes: deque[Frame] = deque()
        self._changed = threading.Condition()
        self._stopping = False
        with self.namespace.entered():
            self._socket = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, 0)
            self._socket.setsockopt(SOL_PACKET, PACKET_AUXDATA, 1)
            self._socket.setsockopt(SOL_PACKET, PACKET_IGNORE_OUTGOING, 1)
            self._socket.setsockopt(socket.SOL_SOCKET, SO_RCVBUFFORCE, 64 << 20)
            self._socket.bind((self.device, ETH_P_ALL))
        self._thread = threading.Thread(target=self._read, name=self.device, daemon=True)
        self._thread.start()

    def close(self) -> None:
        self._stopping = True
        self._thread.join()
        self._socket.close()

    def attach(self, vlan: int, answers: Callable[[str], bool]) -> None:
        """Opens the inbox of a VLAN (0: untagged); answers says which hosts are there for ARP."""
        self._answers[vlan] = answers
        self._inbox[vlan] = deque()

    def send(self, frame: bytes, vlan: int = 0) -> None:
        if vlan:
            frame = frame[:12] + struct.pack("!HH", 0x8100, vlan) + frame[12:]
        self._socket.send(frame)
        self.sent += 1

    def receive(self, vlan: int, timeout: float) -> Frame | None:
        """The next frame that is neither ARP nor the answer to a probe, or None."""
        return self._take(lambda: self._inbox[vlan], timeout)

    def receive_probe(self, timeout: float) -> Frame | None:
        return self._take(lambda: self._probes, timeout)

    def waiting(self) -> list[Frame]:
        """Takes all frames that nobody has asked for, and forgets probes that came late."""
        with self._changed:
            left = [frame for inbox in self._inbox.values() for frame in inbox]
            for inbox in self._inbox.values():
                inbox.clear()
            self._probes.clear()
        return left

    def wait_arp(self, match: Callable[[ARP], bool], timeout: float = 2.0) -> ARP:
        """The first ARP packet ever seen here that matches, waiting for it if need be."""
        end = time.monotonic() + timeout
        with self._changed:
            while True:
                for _, arp in self.arps:
                    if match(arp):
                        return arp
                left = end - time.monotonic()
                assert left > 0, f"no such ARP on {self.device}: {self.arps}"
                self._changed.wait(left)

    def _take(self, queue: Callable[[], deque[Frame]], timeout: float) -> Frame | None:
        end = time.monotonic() + timeout
        with self._changed:
            while not queue():
                left = end - time.monotonic()
                if left <= 0:
                    return None
                self._changed.wait(left)
            return queue().popleft()

    def _read(self) -> None:
        while not self._stopping:
            if not select.select([self._socket], [], [], 0.05)[0]:
                continue
            try:
                raw, auxiliary, _, _ = self._socket.recvmsg(65536, 64)
            except OSError:  # the device is gone: the box with its tap has stopped
                return
            vlan = 0
            for level, kind, data in auxiliary:
                if level == SOL_PACKET and kind == PACKET_AUXDATA:
                    status, _, _, _, _, tci, _ = struct.unpack("IIIHHHH", data[:20])
                    vlan = tci & 0xFFF if status & TP_STATUS_VLAN_VALID else 0
            self._arrived(Frame(raw, vlan, time.monotonic()))

    def _arrived(self, frame: Frame) -> None:
        arp = ARP(frame.raw[14:42]) if frame.type == TYPE_ARP else None
        with self._changed:
            self.capture.append(frame)
            if arp is not None:
                self.arps.append((frame.time, arp))
            elif frame.is_probe:
                self._probes.append(frame)
            else:
                self._inbox.setdefault(frame.vlan, deque()).append(frame)
            self._changed.notify_all()
        if arp is not None and arp.op == 1 and arp.pdst != arp.psrc:
            present = self._answers.get(frame.vlan)
            if present is not None and present(arp.pdst):
                self.send(bytes(arp_reply(arp)), frame.vlan)


def arp_reply(request: ARP) -> Ether:
    """What the fake host that is asked for answers."""
    mac = host_mac(request.pdst)
    return Ether(dst=request.hwsrc, src=mac) / ARP(
        op=2, hwsrc=mac, psrc=request.pdst, hwdst=request.hwsrc, pdst=request.psrc
    )


@dataclass
class Side:
    """One subnet at the box: an interface of it, seen from the hosts."""

    port: Port
    vlan: int
    box_mac: str
    box_address: str
    network: str
    router: str
    absent: set[str] = field(default_factory=set)  # no host there, nobody answers ARP

    def __post_init__(self) -> None:
        self._network = ipaddress.ip_network(self.network)
        self.port.attach(self.vlan, self._present)

    def _present(self, address: str) -> bool:
        return ipaddress.ip_address(address) in self._network and address not in self.absent

    def neighbour(self, address: str) -> str:
        """The host in this subnet that has the address or leads to it."""
        return address if ipaddress.ip_address(address) in self._network else self.router

    def send(self, packet: IP | bytes) -> None:
        """Sends an IPv4 packet to the box, from the neighbour that its source is or is behind."""
        raw = bytes(packet)
        source = socket.inet_ntoa(raw[12:16])
        mac = host_mac(self.neighbour(source))
        header = bytes(Ether(dst=self.box_mac, src=mac, type=TYPE_IPV4))
        self.port.send(header + raw, self.vlan)

    def receive(self, timeout: float = 5.0) -> Frame:
        """The next frame, which must be IPv4 and must be addressed as on a real Ethernet."""
        frame = self.port.receive(self.vlan, timeout)
        assert frame is not None, f"nothing came out on {self.port.device} vlan {self.vlan}"
        assert frame.type == TYPE_IPV4, f"not IPv4: {frame.raw.hex()}"
        assert frame.src == self.box_mac, f"source MAC {frame.src}, not the box's"
        to = self.neighbour(socket.inet_ntoa(frame.raw[30:34]))
        assert frame.dst == host_mac(to), f"destination MAC {frame.dst}, not that of {to}"
        return frame

    def receive_all(self, count: int, timeout: float = 5.0) -> list[Frame]:
        return [self.receive(timeout) for _ in range(count)]
