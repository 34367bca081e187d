# SPDX-License-Identifier: BSD-3-Clause
# Copyright (c) 2026 the spinat authors
"""Network namespaces and veth pairs, made and deleted with ip(8)."""

import contextlib
import ctypes
import os
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass

CLONE_NEWNET = 0x40000000
_libc = ctypes.CDLL(None, use_errno=True)


def run(*command: str) -> str:
    """Runs a command that must succeed; its output is in the exception where it does not."""
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    if done.returncode != 0:
        raise RuntimeError(f"{' '.join(command)}: {done.stdout}{done.stderr}")
    return done.stdout


def _setns(fd: int) -> None:
    if _libc.setns(fd, CLONE_NEWNET) != 0:
        raise OSError(ctypes.get_errno(), "setns")


class Namespace:
    """A network namespace without IPv6 and without an address of its own."""

    def __init__(self, name: str) -> None:
        self.name = name
        run("ip", "netns", "add", name)
        self.run(
            "sysctl",
            "-qw",
            "net.ipv6.conf.all.disable_ipv6=1",
            "net.ipv6.conf.default.disable_ipv6=1",
        )
        run("ip", "-n", name, "link", "set", "lo", "up")

    def delete(self) -> None:
        run("ip", "netns", "del", self.name)

    def run(self, *command: str) -> str:
        return run(*self.prefix, *command)

    @property
    def prefix(self) -> list[str]:
        """What stands before a command that is to run in here."""
        return ["ip", "netns", "exec", self.name]

    @contextlib.contextmanager
    def entered(self) -> Iterator[None]:
        """The calling thread is in here for a while: sockets that it opens stay here."""
        with open("/proc/thread-self/ns/net", "rb") as old:
            with open(f"/var/run/netns/{self.name}", "rb") as new:
                _setns(new.fileno())
            try:
                yield
            finally:
                _setns(old.fileno())

    def offloads_off(self, device: str) -> None:
        """Checksums must be real on the wire, and packets must be as they were sent."""
        self.run("ethtool", "-K", device, *"tx off rx off gso off gro off tso off".split())


@dataclass
class Bed:
    """Namespaces for the box and its peers."""

    box: Namespace
    peer: Namespace


@contextlib.contextmanager
def veth(
    box: Namespace, device: str, mac: str, peer: Namespace, peer_device: str, queues: int = 2
) -> Iterator[None]:
    """A veth pair: device with that MAC address in one namespace, peer_device in the other."""
    count = str(queues)
    run(
        *f"ip -n {box.name} link add {device} address {mac}".split(),
        *f"numrxqueues {count} numtxqueues {count} type veth".split(),
        *f"peer name {peer_device} netns {peer.name}".split(),
        *f"numrxqueues {count} numtxqueues {count}".split(),
    )
    try:
        for namespace, name in ((box, device), (peer, peer_device)):
            namespace.offloads_off(name)
            run("ip", "-n", namespace.name, "link", "set", name, "up")
        yield
    finally:
        run("ip", "-n", box.name, "link", "del", device)


def unique(name: str) -> str:
    """Names are told apart from those of another run of the tests by the process."""
    return f"spf{os.getpid()}{name}"
