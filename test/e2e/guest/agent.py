# SPDX-License-Identifier: BSD-3-Clause
# Copyright (c) 2026 the spinat authors
"""Process 1 of the guest: runs what the machine outside asks for, over a virtio-serial port.

A request is one line of JSON: {"id", "argv", "input", "timeout", "host"}. With "host", the command
runs in the network namespace of that name and with /hosts/NAME as its root. "daemon": the answer
comes at once and has the process's number as "pid". The answer: {"id", "rc", "out", "err"}. Requests
run side by side; answers come in the order in which they are ready.
"""

import ctypes
import json
import os
import subprocess
import threading
from pathlib import Path
from typing import Any, BinaryIO

PORT_NAME = "e2e.agent"
CLONE_NEWNET = 0x40000000
_libc = ctypes.CDLL(None, use_errno=True)
_send = threading.Lock()


def find_port() -> BinaryIO:
    for port in Path("/sys/class/virtio-ports").iterdir():
        if (port / "name").read_text().strip() == PORT_NAME:
            return open(f"/dev/{port.name}", "r+b", buffering=0)
    raise SystemExit(f"no virtio port {PORT_NAME}")


def enter(host: str) -> None:
    """Runs in the child, before exec."""
    with open(f"/run/netns/{host}", "rb") as namespace:
        if _libc.setns(namespace.fileno(), CLONE_NEWNET) != 0:
            os._exit(126)
    os.chroot(f"/hosts/{host}")
    os.chdir("/")


def run(request: dict[str, Any]) -> dict[str, Any]:
    host = request.get("host")
    options: dict[str, Any] = {"start_new_session": True}
    if host is not None:
        options["preexec_fn"] = lambda: enter(host)
    if request.get("daemon"):
        log = open(f"/tmp/{request['id']}.log", "wb")
        process = subprocess.Popen(
            request["argv"], stdin=subprocess.DEVNULL, stdout=log, stderr=log, **options
        )
        threading.Thread(target=process.wait, daemon=True).start()
        return {"rc": 0, "pid": process.pid, "out": log.name, "err": ""}
    done = subprocess.run(
        request["argv"],
        input=request.get("input", ""),
        capture_output=True,
        text=True,
        errors="replace",
        timeout=request.get("timeout", 60),
        check=False,
        **options,
    )
    return {"rc": done.returncode, "out": done.stdout, "err": done.stderr}


def answer(port: BinaryIO, line: bytes) -> None:
    request = json.loads(line)
    try:
        result = run(request)
    except (OSError, subprocess.SubprocessError) as error:
        result = {"rc": 127, "out": "", "err": str(error)}
    data = memoryview(json.dumps(result | {"id": request["id"]}).encode() + b"\n")
    with _send:
        while data:
            data = data[port.write(data) :]


def main() -> None:
    os.environ["PATH"] = "/usr/sbin:/usr/bin"
    os.environ["PYTHONDONTWRITEBYTECODE"] = "1"
    port = find_port()
    answer(port, b'{"id": 0, "argv": ["/bin/uname", "-r"]}')
    buffered = b""
    while True:
        buffered += port.read(65536)
        *lines, buffered = buffered.split(b"\n")
        for line in lines:
            threading.Thread(target=answer, args=(port, line), daemon=True).start()


if __name__ == "__main__":
    main()
