# SPDX-License-Identifier: BSD-3-Clause
# Copyright (c) 2026 the spinat authors
"""What crossed a tap, recorded by tcpdump(8)."""

import ipaddress
import struct
import subprocess
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from harness.namespace import Namespace

ICMP, UDP, ESP, AH = 1, 17, 50, 51
PCAP_HEADER, RECORD_HEADER, ETHERNET = 24, 16, 14


@dataclass(frozen=True)
class Packet:
    """One IPv4 packet, and when it was seen."""

    time: float
    src: str
    dst: str
    proto: int
    payload: bytes
    whole: bool  # not a fragment

    @property
    def spi(self) -> int:
        """Of ESP or AH."""
        return int.from_bytes(self.payload[4:8] if self.proto == AH else self.payload[:4], "big")

    @property
    def sequence(self) -> int:
        """Of ESP or AH."""
        return int.from_bytes(self.payload[8:12] if self.proto == AH else self.payload[4:8], "big")

    @property
    def ports(self) -> tuple[int, int]:
        """Of UDP."""
        source, destination = struct.unpack_from("!HH", self.payload)
        return source, destination


class Capture:
    """Everything that crosses a device from start to stop."""

    def __init__(self, namespace: Namespace, device: str, directory: Path) -> None:
        self.file = directory / f"{device}.pcap"
        self._process = subprocess.Popen(
            [*namespace.prefix, "tcpdump", "-n", "-U", "-s", "0", "-B", "16384", "-w"]
            + [str(self.file), "-i", device, "-Z", "root", "ip"],
            stderr=subprocess.PIPE,
            text=True,
        )
        assert self._process.stderr is not None
        line = ""
        while "listening on" not in line:
            line = self._process.stderr.readline()
            assert line, f"tcpdump on {device} has ended"

    def stop(self) -> None:
        if self._process.poll() is None:
            self._process.terminate()
            self._process.communicate(timeout=10)

    def packets(self) -> list[Packet]:
        """All so far, but for what came in the last moment."""
        time.sleep(0.3)
        return list(parse(self.file.read_bytes()))


def parse(data: bytes) -> Iterator[Packet]:
    """The IPv4 packets of a pcap file of this machine's byte order; its end may be cut."""
    at = PCAP_HEADER
    while at + RECORD_HEADER <= len(data):
        seconds, micros, length, _ = struct.unpack_from("=IIII", data, at)
        frame = data[at + RECORD_HEADER : at + RECORD_HEADER + length]
        at += RECORD_HEADER + length
        if len(frame) < length or length < ETHERNET + 20:
            continue
        ip = frame[ETHERNET:]
        total, header = int.from_bytes(ip[2:4], "big"), (ip[0] & 15) * 4
        src, dst = (str(ipaddress.IPv4Address(ip[i : i + 4])) for i in (12, 16))
        whole = not int.from_bytes(ip[6:8], "big") & 0x3FFF
        yield Packet(seconds + micros / 1e6, src, dst, ip[9], ip[header:total], whole)
