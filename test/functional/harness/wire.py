# SPDX-License-Identifier: BSD-3-Clause
# Copyright (c) 2026 the spinat authors
"""What a packet must look like after the box, to the last bit, and what may never be outside."""

import ipaddress
import socket
import struct
from collections.abc import Iterable

from scapy.layers.inet import IP
from scapy.packet import Packet
from scapy.utils import checksum

from harness.plan import PRIVATE
from harness.port import TYPE_ARP, TYPE_IPV4, Frame

ICMP, TCP, UDP = 1, 6, 17
CHECKSUM_AT = {ICMP: 2, TCP: 16, UDP: 6}
ICMP_QUERIES = {0, 8, 13, 14}
ICMP_ERRORS = {3, 4, 5, 11, 12}


def header_length(raw: bytes) -> int:
    return (raw[0] & 15) * 4


def fragment_offset(raw: bytes) -> int:
    return (int.from_bytes(raw[6:8], "big") & 0x1FFF) * 8


def is_fragment(raw: bytes) -> bool:
    return int.from_bytes(raw[6:8], "big") & 0x3FFF != 0


def transport_checksum(raw: bytes) -> int:
    """The checksum that the transport header of a whole IPv4 packet should have."""
    start = header_length(raw)
    body = bytearray(raw[start:])
    at = CHECKSUM_AT[raw[9]]
    body[at : at + 2] = b"\0\0"
    pseudo = b"" if raw[9] == ICMP else raw[12:20] + struct.pack("!BBH", 0, raw[9], len(body))
    value = checksum(pseudo + bytes(body))
    return 0xFFFF if raw[9] == UDP and value == 0 else value


def fix_ip_checksum(raw: bytearray) -> None:
    raw[10:12] = b"\0\0"
    raw[10:12] = struct.pack("!H", checksum(bytes(raw[: header_length(raw)])))


def fix_transport_checksum(raw: bytearray) -> None:
    """Writes a right checksum, but leaves the 0 of UDP, which says that there is none."""
    if raw[9] not in CHECKSUM_AT:
        return
    at = header_length(raw) + CHECKSUM_AT[raw[9]]
    if raw[9] == UDP and raw[at : at + 2] == b"\0\0":
        return
    raw[at : at + 2] = struct.pack("!H", transport_checksum(raw))


def set_port(raw: bytearray, which: str, value: int) -> None:
    """Writes a port, or the identifier of an ICMP query, which has one for both."""
    start = header_length(raw)
    if raw[9] == ICMP:
        start += 4
    elif which == "dport":
        start += 2
    raw[start : start + 2] = struct.pack("!H", value)


def get_port(raw: bytes, which: str) -> int:
    start = header_length(raw) + (4 if raw[9] == ICMP else 2 if which == "dport" else 0)
    return int.from_bytes(raw[start : start + 2], "big")


def translated(
    packet: Packet | bytes,
    *,
    src: str | None = None,
    dst: str | None = None,
    sport: int | None = None,
    dport: int | None = None,
    hops: int = 1,
) -> bytes:
    """What the box must make of a whole packet: the named fields, TTL and checksums change."""
    raw = bytearray(bytes(packet))
    raw[8] -= hops
    if src is not None:
        raw[12:16] = socket.inet_aton(src)
    if dst is not None:
        raw[16:20] = socket.inet_aton(dst)
    for which, value in (("sport", sport), ("dport", dport)):
        if value is not None:
            set_port(raw, which, value)
    fix_ip_checksum(raw)
    fix_transport_checksum(raw)
    return bytes(raw)


def show(raw: bytes) -> str:
    return f"{IP(raw).show(dump=True)}\n{raw.hex()}"


def assert_same(got: bytes, expected: bytes) -> None:
    """Compares two IPv4 packets bit by bit and says where they differ."""
    if got == expected:
        return
    at = next(
        (i for i, (g, e) in enumerate(zip(got, expected)) if g != e), min(len(got), len(expected))
    )
    raise AssertionError(
        f"differs at byte {at} of the IPv4 packet\n"
        f"--- expected\n{show(expected)}\n--- got\n{show(got)}"
    )


def assert_valid(raw: bytes) -> None:
    """Checks header and, where the packet is whole, transport checksum."""
    header = raw[: header_length(raw)]
    assert checksum(header) == 0, f"IPv4 checksum is wrong\n{show(raw)}"
    if is_fragment(raw) or raw[9] not in CHECKSUM_AT:
        return
    at = header_length(raw) + CHECKSUM_AT[raw[9]]
    got = int.from_bytes(raw[at : at + 2], "big")
    if raw[9] == UDP and got == 0:
        return
    assert got == transport_checksum(raw), f"transport checksum is wrong\n{show(raw)}"


def reassemble(packets: Iterable[bytes]) -> bytes:
    """The datagram that fragments make; they must be complete and must not overlap."""
    parts = sorted(packets, key=fragment_offset)
    first = parts[0]
    body = b""
    for part in parts:
        assert fragment_offset(part) == len(body), "a fragment is missing or overlaps"
        assert part[4:6] == first[4:6], "fragments of different datagrams"
        more = part[6] & 0x20
        assert bool(more) == (part is not parts[-1]), "more-fragments flag is wrong"
        body += part[header_length(part) :]
    raw = bytearray(first[: header_length(first)] + body)
    raw[2:4] = struct.pack("!H", len(raw))
    raw[6:8] = b"\0\0"
    fix_ip_checksum(raw)
    return bytes(raw)


def fragments(packet: Packet | bytes, size: int) -> list[bytes]:
    """Cuts a packet in fragments of at most size bytes of payload (a multiple of 8)."""
    raw = bytes(packet)
    start = header_length(raw)
    body = raw[start:]
    parts = []
    for at in range(0, len(body), size):
        piece = bytearray(raw[:start] + body[at : at + size])
        piece[2:4] = struct.pack("!H", len(piece))
        more = 0x2000 if at + size < len(body) else 0
        piece[6:8] = struct.pack("!H", more | at // 8)
        fix_ip_checksum(piece)
        parts.append(bytes(piece))
    return parts


def with_id(whole: bytes, got: bytes) -> bytes:
    """A datagram with the identification that the box has given what came out of it."""
    raw = bytearray(whole)
    raw[4:6] = got[4:6]
    fix_ip_checksum(raw)
    return bytes(raw)


def assert_sent(got: bytes, expected: bytes) -> None:
    """Compares what has left the box with a new source. The identification of what may still be cut
    is the box's (RFC 6864 5.3.1), with DF it is the sender's."""
    assert_same(got, expected if expected[6] & 0x40 else with_id(expected, got))


def private_addresses(frame: Frame) -> list[str]:
    """Inside addresses that a frame seen outside gives away: in its header, in ARP, in a quote."""
    found = []
    if frame.type == TYPE_ARP:
        found = [frame.raw[28:32], frame.raw[38:42]]
    elif frame.type == TYPE_IPV4:
        raw = frame.ip_bytes
        found = [raw[12:16], raw[16:20]]
        body = raw[header_length(raw) :]
        if raw[9] == ICMP and body[:1] and body[0] in ICMP_ERRORS and not fragment_offset(raw):
            found += [body[20:24], body[24:28]]
    texts = [socket.inet_ntoa(a) for a in found if len(a) == 4]
    return [t for t in texts if any(ipaddress.ip_address(t) in net for net in PRIVATE)]


def leaks(frames: Iterable[Frame]) -> list[str]:
    """One line a frame that shows an inside address outside."""
    lines = []
    for frame in frames:
        addresses = private_addresses(frame)
        if addresses:
            lines.append(f"{', '.join(addresses)} in {frame.raw.hex()}")
    return lines


def error_about(
    src: str, dst: str, kind: int, code: int, quote: bytes, mtu: int = 0, **fields: int
) -> bytes:
    """An ICMP error with right checksums."""
    raw = bytearray(bytes(IP(src=src, dst=dst, proto=ICMP, **fields)))
    raw += struct.pack("!BBHHH", kind, code, 0, 0, mtu) + quote
    raw[2:4] = struct.pack("!H", len(raw))
    fix_ip_checksum(raw)
    fix_transport_checksum(raw)
    return bytes(raw)


def quoted(packet: bytes, length: int | None = None, hops: int = 3) -> bytes:
    """What a router some hops on quotes of a packet: TTL gone down, cut after some data."""
    raw = bytearray(packet)
    raw[8] -= hops
    fix_ip_checksum(raw)
    return bytes(raw if length is None else raw[: header_length(raw) + length])
