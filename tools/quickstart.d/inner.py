# SPDX-License-Identifier: BSD-3-Clause
# Copyright (c) 2026 the spinat authors
"""What travels inside the tunnels of the quickstart: IPv4 packets with an ICMP echo."""

import socket
import struct
from typing import NamedTuple

REQUEST, REPLY = 8, 0


class Echo(NamedTuple):
    source: bytes
    destination: bytes
    kind: int  # REQUEST or REPLY
    sequence: int
    data: bytes


def checksum(data: bytes) -> int:
    """RFC 1071; 0 over data that holds its own right checksum."""
    total = sum(struct.unpack(f"!{len(data) // 2}H", data[:len(data) & ~1]))
    total += data[-1] << 8 if len(data) % 2 else 0
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return ~total & 0xFFFF


def build(echo: Echo) -> bytes:
    icmp = struct.pack("!BBHHH", echo.kind, 0, 0, 1, echo.sequence) + echo.data
    icmp = icmp[:2] + struct.pack("!H", checksum(icmp)) + icmp[4:]
    ip = struct.pack("!BBHHHBBH4s4s", 0x45, 0, 20 + len(icmp), 0, 0x4000, 64,
                     socket.IPPROTO_ICMP, 0, echo.source, echo.destination)
    return ip[:10] + struct.pack("!H", checksum(ip)) + ip[12:] + icmp


def read(packet: bytes) -> Echo:
    """Raises ValueError where the packet is not one that build() makes."""
    if len(packet) < 28 or packet[0] != 0x45 or packet[9] != socket.IPPROTO_ICMP:
        raise ValueError("not an ICMP packet")
    if int.from_bytes(packet[2:4], "big") != len(packet):
        raise ValueError("wrong length")
    if checksum(packet[:20]) or checksum(packet[20:]):
        raise ValueError("wrong checksum")
    sequence, = struct.unpack_from("!H", packet, 26)
    return Echo(packet[12:16], packet[16:20], packet[20], sequence, packet[28:])


def answer(echo: Echo) -> Echo:
    return Echo(echo.destination, echo.source, REPLY, echo.sequence, echo.data)
