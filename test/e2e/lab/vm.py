# SPDX-License-Identifier: BSD-3-Clause
# Copyright (c) 2026 the spinat authors
"""The guest: a real kernel under QEMU's own CPU emulation, and the channel that runs commands."""

import json
import os
import shutil
import socket
import subprocess
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from harness.namespace import Namespace

CACHE = Path(os.environ.get("SPINAT_E2E_CACHE", "/var/cache/spinat-e2e"))
# The machine's own root as the guest sees it: nothing lies over this one, no /tmp either.
MACHINE = "/run/layers/host"
PROGRAMS = f"{MACHINE}{Path(__file__).resolve().parents[1]}/guest"
QEMU = "qemu-system-x86_64"
BOOT_SECONDS = 120


def missing() -> str | None:
    """Why there can be no guest here, or None."""
    if shutil.which(QEMU) is None:
        return f"{QEMU} is not installed: run test/e2e/guest/prepare"
    for name in ("vmlinuz", "initrd", "kernel", "strongswan", "libreswan"):
        if not (CACHE / name).exists():
            return f"{CACHE / name} does not exist: run test/e2e/guest/prepare"
    return None


@dataclass(frozen=True)
class Result:
    """What a command in the guest has left."""

    rc: int
    out: str
    err: str
    pid: int = 0


class Vm:
    """A running guest with one network card a tap device."""

    def __init__(self, namespace: Namespace, taps: Sequence[str], directory: Path) -> None:
        self._answers: dict[int, dict[str, Any]] = {}
        self._changed = threading.Condition()
        self._ids = 0
        self.console = directory / "console"
        channel = directory / "agent.sock"
        command = [*namespace.prefix, *"nice -n 10".split(), QEMU]
        command += "-accel tcg,thread=multi -cpu max -smp 2 -m 1024 -nodefaults".split()
        command += "-display none -no-reboot".split()
        command += ["-kernel", str(CACHE / "vmlinuz"), "-initrd", str(CACHE / "initrd")]
        command += ["-append", f"console=ttyS0 quiet panic=-1 e2e.agent={PROGRAMS}/agent.py"]
        command += ["-serial", f"file:{self.console}"]
        for tag, path in (("host", "/"), ("cache", str(CACHE))):
            share = f"local,path={path},mount_tag={tag},security_model=none,readonly=on"
            command += ["-virtfs", f"{share},multidevs=remap"]
        command += ["-chardev", f"socket,id=agent,path={channel},server=on,wait=off"]
        command += ["-device", "virtio-serial", "-device", "virtserialport,chardev=agent,name=e2e.agent"]
        for i, tap in enumerate(taps):
            command += ["-netdev", f"tap,id=n{i},ifname={tap},script=no,downscript=no,vnet_hdr=off"]
            command += ["-device", f"virtio-net-pci,netdev=n{i},mac=52:54:00:00:00:{i + 1:02x},romfile="]
        self._log = open(directory / "qemu.log", "wb")
        self.process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=self._log, stderr=self._log)
        try:
            self._connect(channel)
            self.kernel = self._wait(0, BOOT_SECONDS).out.strip()
        except BaseException:
            self.kill()
            raise

    def _connect(self, channel: Path) -> None:
        end = time.monotonic() + 20
        self._socket = socket.socket(socket.AF_UNIX)
        while True:
            try:
                self._socket.connect(str(channel))
                break
            except OSError:
                assert self.process.poll() is None and time.monotonic() < end, self.said()
                time.sleep(0.05)
        threading.Thread(target=self._read, daemon=True).start()

    def said(self) -> str:
        """The last that QEMU and the guest's console have printed."""
        self._log.flush()
        texts = [Path(self._log.name), self.console]
        return "\n".join(t.read_text(errors="replace")[-3000:] for t in texts if t.exists())

    def _read(self) -> None:
        with self._socket.makefile("rb") as lines:
            for line in lines:
                answer = json.loads(line)
                with self._changed:
                    self._answers[answer.pop("id")] = answer
                    self._changed.notify_all()
        with self._changed:
            self._answers[-1] = {}
            self._changed.notify_all()

    def _wait(self, number: int, timeout: float) -> Result:
        with self._changed:
            there = self._changed.wait_for(
                lambda: number in self._answers or -1 in self._answers, timeout
            )
            assert there, f"no answer from the guest in {timeout} s\n{self.said()}"
            assert number in self._answers, f"the guest has gone\n{self.said()}"
            return Result(**self._answers.pop(number))

    def request(self, argv: Sequence[str], timeout: float = 60.0, **fields: Any) -> Result:
        """Runs a command in the guest, whatever it returns."""
        with self._changed:
            self._ids += 1
            number = self._ids
            line = {"id": number, "argv": list(argv), "timeout": timeout} | fields
            self._socket.sendall(json.dumps(line).encode() + b"\n")
        return self._wait(number, timeout + 30)

    def run(self, *argv: str, **fields: Any) -> str:
        """Runs a command that must succeed."""
        result = self.request(argv, **fields)
        assert result.rc == 0, f"{' '.join(argv)}: {result.rc}\n{result.out}{result.err}"
        return result.out

    def script(self, text: str, **fields: Any) -> str:
        """Runs a shell script of which every command must succeed."""
        return self.run("/bin/sh", "-e", "-c", text, **fields)

    def kill(self) -> None:
        """Nothing in the guest is worth an orderly end."""
        self.process.kill()
        self.process.wait()
        self._log.close()
