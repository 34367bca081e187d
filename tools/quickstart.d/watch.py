# SPDX-License-Identifier: BSD-3-Clause
# Copyright (c) 2026 the spinat authors
"""Captures what an interface of the outside sees and looks for inside addresses in it:
watch.py INTERFACE INSIDE-PREFIX OUT."""

import collections
import ipaddress
import select
import socket
import sys

import results

ETH_P_ALL, ARP, IPV4 = 3, b"\x08\x06", b"\x08\x00"
NAMES = {1: "ICMP", 6: "TCP", 17: "UDP", 50: "ESP"}
ICMP_ERRORS = (3, 4, 5, 11, 12)


def addresses(frame: bytes) -> list[bytes]:
    """Every IPv4 address that the headers of a frame show, quoted ones too."""
    if frame[12:14] == ARP and len(frame) >= 42:
        return [frame[28:32], frame[38:42]]
    if frame[12:14] != IPV4 or len(frame) < 34:
        return []
    packet = frame[14:]
    header = (packet[0] & 15) * 4
    found = [packet[12:16], packet[16:20]]
    if packet[9] == 1 and packet[header:header + 1] and packet[header] in ICMP_ERRORS:
        quoted = packet[header + 8:]
        found += [quoted[12:16], quoted[16:20]]
    return found


def main(interface: str, prefix: str, out: str) -> None:
    net = ipaddress.ip_network(prefix)
    inside, mask = int(net.network_address), int(net.netmask)
    sock = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(ETH_P_ALL))
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 64 << 20)
    sock.bind((interface, 0))
    frames: collections.Counter[str] = collections.Counter()
    leaks: list[str] = []
    dirty = True
    while True:
        if not select.select([sock], [], [], 0.2 if dirty else None)[0]:
            results.write(out, {"frames": frames, "leaks": leaks})
            dirty = False
            continue
        frame = sock.recv(2048)
        dirty = True
        kind = NAMES.get(frame[23], "other") if frame[12:14] == IPV4 else "not IPv4"
        frames[kind] += 1
        for address in addresses(frame):
            if int.from_bytes(address, "big") & mask == inside and len(leaks) < 10:
                leaks.append(f"{socket.inet_ntoa(address)} in a frame of {kind}")


if __name__ == "__main__":
    main(*sys.argv[1:])
