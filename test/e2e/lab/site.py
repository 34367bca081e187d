# SPDX-License-Identifier: BSD-3-Clause
# Copyright (c) 2026 the spinat authors
"""The running box, and around it the guest with the hosts of one scenario.

    clients ── eth0 of the guest ── bridge ── box ── bridge ── eth1 of the guest ── gateway

The box opens taps and not packet sockets, through which the kernel would put fragments together.
"""

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from harness.appliance import Appliance
from harness.config import Config
from harness.namespace import Namespace, run

from lab.host import Host
from lab.ledger import Line, Owners, ledger
from lab.vm import Vm
from lab.wire import Capture

GUEST_DEVICES = "guest-in", "guest-out"
BOX_DEVICES = "box-in", "box-out"
BRIDGES = "br-in", "br-out"
BOX_MACS = "02:ff:00:00:00:01", "02:ff:00:00:00:02"
BOX_INSIDE, BOX_OUTSIDE, POOL = "10.0.0.1", "192.0.2.2", "192.0.2.10"
GATEWAY = "192.0.2.100"
GATEWAY_INNER = "172.16.0.1"


def client_address(number: int) -> str:
    return f"10.0.0.{10 + number}"


def client_inner(number: int) -> str:
    return f"10.99.0.{number}"


def box_config(**changes: Any) -> Config:
    """One inside and one outside interface, one pool address: every client shares it."""
    realm = {"id": 0, "pool": [POOL]} | changes.pop("realm", {})
    interfaces = [
        {
            "name": "lan",
            "device": f"net_tap0,iface={BOX_DEVICES[0]},mac={BOX_MACS[0]}",
            "role": "inside",
            "addresses": [f"{BOX_INSIDE}/24"],
        },
        {
            "name": "wan",
            "device": f"net_tap1,iface={BOX_DEVICES[1]},mac={BOX_MACS[1]}",
            "role": "outside",
            "addresses": [f"{BOX_OUTSIDE}/24"],
        },
    ]
    config: Config = {
        "workers": 1,
        "hugepages": False,
        "power": "idle",
        "interfaces": interfaces,
        "realms": [realm],
        "limits": {"sessions": 16384, "clients": 1024, "bindings": 2048, "ike": 1024},
    }
    return config | changes


class Site:
    """What lasts for all scenarios: the box's namespace, its taps and the booted guest."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.name = f"spe{os.getpid()}"
        self.namespace = Namespace(self.name)
        try:
            for bridge, device in zip(BRIDGES, GUEST_DEVICES):
                self.link(f"add {bridge} type bridge mcast_snooping 0")
                run(*f"ip -n {self.name} tuntap add {device} mode tap".split())
                self.link(f"set {bridge} up")
                self.link(f"set {device} master {bridge} up")
            self.vm = Vm(self.namespace, GUEST_DEVICES, directory)
        except BaseException:
            self.namespace.delete()
            raise
        self.vm.script(
            "modprobe -a virtio_net macvlan esp4 ah4 xfrm_user nf_tables;"
            "ip link set lo up; ip link set eth0 up promisc on; ip link set eth1 up promisc on"
        )

    def link(self, command: str) -> None:
        run("ip", "-n", self.name, "link", *command.split())

    def delete(self) -> None:
        self.vm.kill()
        self.namespace.delete()


class Scenario:
    """A running box, the hosts of one test, and a record of both wires."""

    def __init__(
        self, site: Site, clients: int, layers: Sequence[str], gateway: Sequence[str], config: Config
    ) -> None:
        """`layers` lie over the root of every client, `gateway` over that of the gateway."""
        self.site, self.vm = site, site.vm
        self.made: list[Host] = []
        self.gateway = Host(site.vm, "g", "outside", GATEWAY, GATEWAY_INNER, gateway)
        self.clients = [
            Host(site.vm, f"c{n}", "inside", client_address(n), client_inner(n), layers)
            for n in range(1, clients + 1)
        ]
        self.box = Appliance(site.namespace, config, site.directory, f"{site.name}box")
        self.inside = Capture(site.namespace, GUEST_DEVICES[0], site.directory)
        self.outside = Capture(site.namespace, GUEST_DEVICES[1], site.directory)
        try:
            self.start_box()
            self.make(self.gateway, None)
            for client in self.clients:
                self.make(client, BOX_INSIDE)
            self.owners = Owners(self.clients)
        except BaseException:
            self.end()
            raise

    def make(self, host: Host, router: str | None) -> None:
        self.made.append(host)
        host.make(router)

    def start_box(self) -> None:
        """Starts it and plugs its taps in, with another address of their own: a bridge keeps what
        is for its ports."""
        self.box.start()
        for i, (bridge, device) in enumerate(zip(BRIDGES, BOX_DEVICES)):
            self.site.link(f"set {device} address 02:fe:00:00:00:0{i + 1}")
            self.site.link(f"set {device} master {bridge} up")

    def ledger(self, since: float = 0.0) -> dict[str, Line]:
        """What the box did with the packets since a time of time.time()."""
        return ledger(self.clients, self.owners, self.inside, self.outside, since)

    def describe(self) -> str:
        """What the box can say of itself."""
        lines = [self.box.log]
        if self.box.process.poll() is None:
            told = self.box.telemetry
            lines += [str({k: v for k, v in told.drops().items() if v})]
            lines += [str(row) for row in (*told.ike(), *told.bindings())]
        return "\n".join(lines)

    def end(self) -> None:
        """Leaves the guest as it was; the box must end well if it still runs."""
        try:
            for host in self.made:
                host.delete()
            if self.box.process.poll() is None:
                self.box.stop()
        finally:
            self.box.kill()
            self.inside.stop()
            self.outside.stop()
