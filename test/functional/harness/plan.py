# SPDX-License-Identifier: BSD-3-Clause
# Copyright (c) 2026 the spinat authors
"""The address plan: who is where. Documentation prefixes outside, 10/8 and 172.16/12 inside."""

import ipaddress

INSIDE_NET = "10.0.0.0/24"
BOX_INSIDE = "10.0.0.1"
A = "10.0.0.2"
B = "10.0.0.3"
C = "10.0.0.4"
INSIDE_ROUTER = "10.0.0.254"
BEHIND_NET = "10.1.0.0/16"  # behind INSIDE_ROUTER
BEHIND = "10.1.2.3"

OUTSIDE_NET = "192.0.2.0/24"
BOX_OUTSIDE = "192.0.2.2"
POOL = "192.0.2.10"
POOL2 = "192.0.2.11"
ROUTER = "192.0.2.1"
ONLINK = "192.0.2.100"  # a remote in the outside subnet itself
REMOTE = "198.51.100.7"  # these are behind ROUTER
REMOTE2 = "198.51.100.8"
GATEWAY = "203.0.113.5"
GATEWAY2 = "203.0.113.6"
TRANSIT = "198.51.100.1"  # a router on the way, which sends ICMP errors

# Inside addresses must never be seen outside.
PRIVATE = [ipaddress.ip_network("10.0.0.0/8"), ipaddress.ip_network("172.16.0.0/12")]


def host_mac(address: str) -> str:
    """The MAC address of a fake host is made of its IPv4 address."""
    return "02:00:" + ":".join(f"{b:02x}" for b in ipaddress.IPv4Address(address).packed)


def client(number: int) -> str:
    """Inside host number 1, 2, ... (up to 199), none of those named above."""
    return str(ipaddress.IPv4Address("10.0.0.20") + number - 1)
