# SPDX-License-Identifier: BSD-3-Clause
# Copyright (c) 2026 the spinat authors
"""A DNS server for the one zone of the quickstart, and the queries to it (RFC 1035).
host-N.spinat.test has the address 203.0.113.N."""

import os
import re
import socket
import struct
import sys

ZONE = "spinat.test"
HEADER = struct.Struct("!HHHHHH")
A_IN = struct.pack("!HH", 1, 1)


def encode(name: str) -> bytes:
    return b"".join(bytes([len(part)]) + part.encode() for part in name.split(".")) + b"\0"


def decode(data: bytes, at: int) -> str:
    parts = []
    while data[at]:
        parts.append(data[at + 1:at + 1 + data[at]].decode())
        at += 1 + data[at]
    return ".".join(parts)


def address(name: str) -> bytes | None:
    match = re.fullmatch(rf"host-(\d+)\.{re.escape(ZONE)}", name)
    return bytes([203, 0, 113, int(match[1])]) if match and int(match[1]) < 256 else None


def serve(listen: str) -> None:
    sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    sock.bind((listen, 53))
    while True:
        query, client = sock.recvfrom(512)
        try:
            ident, _, _, _, _, _ = HEADER.unpack_from(query)
            name = decode(query, HEADER.size)
        except (struct.error, IndexError, UnicodeDecodeError):
            continue
        found = address(name)
        question = encode(name) + A_IN
        reply = HEADER.pack(ident, 0x8580 | (0 if found else 3), 1, 1 if found else 0, 0, 0)
        if found:  # the name is a pointer to the one in the question
            question += b"\xc0\x0c" + A_IN + struct.pack("!IH", 60, 4) + found
        sock.sendto(reply + question, client)


def ask(server: str, name: str, seconds: float = 3) -> bytes | None:
    """The address of a name, asked for from a port of its own; None without a right answer."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.settimeout(seconds)
        sock.connect((server, 53))
        query = os.urandom(2) + HEADER.pack(0, 0x0100, 1, 0, 0, 0)[2:] + encode(name) + A_IN
        sock.send(query)
        try:
            reply = sock.recv(512)
        except OSError:
            return None
    if reply[:2] != query[:2] or reply[12:len(query)] != query[12:] or reply[3] & 15:
        return None
    return reply[-4:]


if __name__ == "__main__":
    serve(sys.argv[1])
