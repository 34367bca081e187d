# SPDX-License-Identifier: BSD-3-Clause
# Copyright (c) 2026 the spinat authors
"""Everyday traffic of an inside host of the quickstart: traffic.py NAME SERVER OUT SHA256."""

import hashlib
import re
import subprocess
import sys
import urllib.request

import dns
import results

PINGS = 4


def ping(server: str) -> tuple[int, int, str]:
    """Debian's ping. It waits for the last answers no longer than its interval, so that is long."""
    run = subprocess.run(["ping", "-c", str(PINGS), "-i", "1", server], capture_output=True,
                         text=True, check=False)
    count = re.search(r"(\d+) packets transmitted, (\d+) received", run.stdout)
    times = re.search(r"rtt min/avg/max/mdev = [\d.]+/([\d.]+)", run.stdout)
    note = f"round trip {times[1]} ms on average" if times else run.stderr.strip()
    return int(count[1]) if count else PINGS, int(count[2]) if count else 0, note


def queries(server: str) -> tuple[int, int, str]:
    """DNS queries, each from a new port."""
    names = [f"host-{n}.{dns.ZONE}" for n in range(1, 51)]
    right = sum(dns.ask(server, name) == dns.address(name) for name in names)
    return len(names), right, "names asked for and answered rightly"


def download(server: str, sha256: str) -> tuple[int, int, str]:
    digest, size = hashlib.sha256(), 0
    with urllib.request.urlopen(f"http://{server}/file", timeout=20) as response:
        expected = int(response.headers["Content-Length"])
        while block := response.read(1 << 16):
            digest.update(block)
            size += len(block)
    same = digest.hexdigest() == sha256
    return expected, size if same else 0, "bytes, SHA-256 " + ("equal" if same else "DIFFERS")


def main(name: str, server: str, out: str, sha256: str) -> None:
    rows: list[results.Row] = []
    for what, run in (("ping", lambda: ping(server)), ("DNS over UDP", lambda: queries(server)),
                      ("HTTP download", lambda: download(server, sha256))):
        try:
            sent, back, note = run()
        except OSError as e:
            sent, back, note = 1, 0, str(e)
        rows.append({"what": what, "path": f"{name} -> {server}", "sent": sent, "back": back,
                     "note": note, "ok": sent == back})
    results.write(out, {"rows": rows})
    raise SystemExit(not all(row["ok"] for row in rows))


if __name__ == "__main__":
    main(*sys.argv[1:])
