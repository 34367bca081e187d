# SPDX-License-Identifier: BSD-3-Clause
# Copyright (c) 2026 the spinat authors
"""Configurations as Python values, and the libconfig text made of them."""

from typing import Any

from harness import plan

Config = dict[str, Any]

DEVICE_IN = "sp-in"
DEVICE_OUT = "sp-out"
MAC_IN = "02:ff:00:00:00:01"
MAC_OUT = "02:ff:00:00:00:02"

# How the box opens its two devices. af_packet lets the kernel put fragments together before they
# are seen (PACKET_FANOUT_FLAG_DEFRAG), so tests of fragments use taps.
VETH = {"lan": f"net_af_packet0,iface={DEVICE_IN}", "wan": f"net_af_packet1,iface={DEVICE_OUT}"}
TAP = {
    "lan": f"net_tap0,iface={DEVICE_IN},mac={MAC_IN}",
    "wan": f"net_tap1,iface={DEVICE_OUT},mac={MAC_OUT}",
}


def value_text(value: Any, indent: int = 0) -> str:
    """A libconfig value: dict is a group, list of scalars an array, list of groups a list."""
    pad = "  " * indent
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int):
        return str(value)
    if isinstance(value, str):
        return '"' + value.replace("\\", "\\\\").replace('"', '\\"') + '"'
    if isinstance(value, list):
        parts = [value_text(v, indent + 1) for v in value]
        if any(isinstance(v, dict) for v in value) or not value:
            return "(\n" + ",\n".join(f"{pad}  {p}" for p in parts) + f"\n{pad})"
        return "[" + ", ".join(parts) + "]"
    lines = [f"{pad}  {key} = {value_text(v, indent + 1)};" for key, v in value.items()]
    return "{\n" + "\n".join(lines) + f"\n{pad}}}"


def file_text(config: Config) -> str:
    return "".join(f"{key} = {value_text(value)};\n" for key, value in config.items())


def default_config(**changes: Any) -> Config:
    """One inside and one outside interface, one pool address; keys can be replaced or added."""
    devices = changes.pop("devices", VETH)
    config: Config = {
        "workers": 1,
        "lcores": "0@0,1@1",
        "hugepages": False,
        "power": "idle",
        "interfaces": [
            {
                "name": "lan",
                "device": devices["lan"],
                "role": "inside",
                "addresses": [f"{plan.BOX_INSIDE}/24"],
            },
            {
                "name": "wan",
                "device": devices["wan"],
                "role": "outside",
                "addresses": [f"{plan.BOX_OUTSIDE}/24"],
            },
        ],
        "routes": [
            {"to": "0.0.0.0/0", "via": plan.ROUTER},
            {"to": plan.BEHIND_NET, "via": plan.INSIDE_ROUTER},
        ],
        "realms": [realm()],
        "limits": {"sessions": 16384, "clients": 1024, "bindings": 2048, "ike": 1024},
    }
    for key, value in changes.items():
        if isinstance(value, dict) and isinstance(config.get(key), dict):
            config[key] = config[key] | value
        else:
            config[key] = value
    return config


def realm(**changes: Any) -> dict[str, Any]:
    """Refused SYNs are not answered: the answer would come in the middle of a later test."""
    return {"id": 0, "pool": [plan.POOL], "unsolicited_syn": "drop"} | changes
