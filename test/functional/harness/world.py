# SPDX-License-Identifier: BSD-3-Clause
# Copyright (c) 2026 the spinat authors
"""A running box between the kernel's own network stacks, and programs on them."""

import contextlib
import os
import signal
import socket
import subprocess
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from harness import config as cfg
from harness.appliance import Appliance
from harness.namespace import Namespace, run, unique, veth
from harness.plan import BOX_INSIDE, REMOTE, REMOTE2, ROUTER

HOSTS = [f"10.0.0.{number}" for number in range(2, 202)]
TAP_MAC = "02:ff:00:00:00:0a"  # of the hosts at a tap
SLOW = 20.0  # seconds: no program takes longer to begin, even on a busy machine


@dataclass
class World:
    """Inside hosts in one namespace, servers (and the router) in another, the box between."""

    clients: Namespace
    server: Namespace
    box: Appliance


def _set_up(clients: Namespace, server: Namespace) -> None:
    clients.run("sh", "-c", "".join(f"ip addr add {h}/24 dev in;" for h in HOSTS))
    clients.run("ip", "route", "add", "default", "via", BOX_INSIDE)
    clients.run("sysctl", "-qw", "net.ipv4.ping_group_range=0 2147483647")
    server.run("ip", "addr", "add", f"{ROUTER}/24", "dev", "out")
    for address in (REMOTE, REMOTE2):
        server.run("ip", "addr", "add", f"{address}/32", "dev", "lo")


def _move_tap(middle: Namespace, device: str, peer: Namespace, name: str) -> None:
    """The kernel's end of a tap of the box goes to the hosts behind it, with a MAC address of its
    own: both ends had the box's."""
    run("ip", "-n", middle.name, "link", "set", device, "netns", peer.name, "name", name)
    peer.offloads_off(name)
    run("ip", "-n", peer.name, "link", "set", name, "address", TAP_MAC, "up")


@contextlib.contextmanager
def running_world(middle: Namespace, config: cfg.Config, directory: Path) -> Iterator[World]:
    """The box of a configuration with its neighbours, over veth pairs or its own taps."""
    tap = "net_tap" in config["interfaces"][0]["device"]
    with contextlib.ExitStack() as stack:
        clients, server = Namespace(unique("c")), Namespace(unique("s"))
        stack.callback(clients.delete)
        stack.callback(server.delete)
        if not tap:
            stack.enter_context(veth(middle, cfg.DEVICE_IN, cfg.MAC_IN, clients, "in"))
            stack.enter_context(veth(middle, cfg.DEVICE_OUT, cfg.MAC_OUT, server, "out"))
            _set_up(clients, server)
        box = Appliance(middle, config, directory, unique("box"))
        stack.callback(box.kill)
        box.start()
        if tap:
            _move_tap(middle, cfg.DEVICE_IN, clients, "in")
            _move_tap(middle, cfg.DEVICE_OUT, server, "out")
            _set_up(clients, server)
        yield World(clients, server, box)
        box.stop()


def open_socket(
    namespace: Namespace, kind: int, protocol: int = 0, bind: tuple[str, int] | None = None
) -> socket.socket:
    with namespace.entered():
        opened = socket.socket(socket.AF_INET, kind, protocol)
    opened.settimeout(5)
    if bind is not None:
        opened.bind(bind)
    return opened


@contextlib.contextmanager
def process(namespace: Namespace, *command: str) -> Iterator[subprocess.Popen[str]]:
    """A program that runs meanwhile, with the processes it makes; what it says is its stdout."""
    started = subprocess.Popen(
        [*namespace.prefix, *command],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )
    try:
        yield started
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(started.pid, signal.SIGKILL)
        started.wait()


def wait_for_listener(namespace: Namespace, port: int, address: str = REMOTE) -> None:
    """Tries from beside the server, so that the box has no part in it."""
    end = time.monotonic() + SLOW
    while True:
        probe = open_socket(namespace, socket.SOCK_STREAM)
        refused = probe.connect_ex((address, port))
        probe.close()
        if not refused:
            return
        assert time.monotonic() < end, f"nobody listens on port {port}"
        time.sleep(0.05)
