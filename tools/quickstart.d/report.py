# SPDX-License-Identifier: BSD-3-Clause
# Copyright (c) 2026 the spinat authors
"""Puts together what the hosts of the quickstart and the appliance's telemetry say, as a table.
report.py DIRECTORY SPINAT-CLI OUTSIDE-ADDRESS. Exit status 1 where anything did not go through."""

import json
import os
import subprocess
import sys
from typing import Any

from results import Row

ADDRESSES = {"client A": "10.0.0.11", "client B": "10.0.0.12"}


def load(path: str) -> Any:
    """What a host wrote; nothing where it did not get that far."""
    try:
        with open(path, encoding="utf-8") as f:
            return json.load(f)
    except FileNotFoundError:
        return {}


def telemetry(cli: list[str], *words: str) -> list[dict[str, Any]]:
    run = subprocess.run([*cli, "--json", "show", *words], stdout=subprocess.PIPE, text=True,
                         check=False)
    return [json.loads(one) for one in run.stdout.splitlines()]


def number(value: Any) -> int:
    return value if isinstance(value, int) else int(str(value), 16)


def row(what: str, path: str, sent: int, back: int, note: str) -> Row:
    return {"what": what, "path": path, "sent": sent, "back": back, "note": note,
            "ok": sent == back and sent > 0}


def ike_ports(gateways: dict[str, Any], outside: str) -> Row:
    """Every IKE message that came in on port 500 came from the outside address and port 500."""
    seen = [(address, source) for facts in gateways.values()
            for port, address, source in facts["ike"] if port == 500]
    kept = sum(one == (outside, 500) for one in seen)
    return row("IKE source port 500 kept", "at the gateways", len(seen), kept,
               f"messages to port 500, all from {outside}:500")


def keepalives(gateways: dict[str, Any], clients: list[dict[str, Any]]) -> Row:
    sent = sum(c.get("natt", False) for c in clients)
    return row("NAT keepalive, 1 byte", "at the gateway", sent,
               sum(facts["keepalives"] for facts in gateways.values()), "RFC 3948 2.3")


def bindings(cli: list[str], clients: list[dict[str, Any]]) -> Row:
    """The appliance ties each SPI that a client chose in encrypted IKE to that client."""
    rows = telemetry(cli, "bindings", "protocol=esp")
    owners = {number(b["spi"]): b for b in rows if b["direction"] == "in"}
    native = [c for c in clients if c and not c["natt"]]
    right = [c for c in native
             if (b := owners.get(c["spi"])) and b["client"] == ADDRESSES[c["client"]]
             and b["state"] == "settled"]
    return row("inbound SPIs tied to their owner", "in the appliance", len(native), len(right),
               "state settled, see spinat-cli show bindings --why")


def leaks(capture: dict[str, Any]) -> Row:
    total = sum(capture.get("frames", {}).values())
    kinds = ", ".join(f"{n} {kind}" for kind, n in capture.get("frames", {}).items())
    found = capture.get("leaks", ["nothing was captured"])
    return row("no inside address outside", "on the wire", total, 0 if found else total,
               f"frames: {kinds}" if not found else found[0])


def show(rows: list[Row]) -> None:
    cells = [("", "what", "between", "sent", "back", "")]
    cells += [("ok" if r["ok"] else "FAILED", r["what"], r["path"], str(r["sent"]),
               str(r["back"]), r["note"]) for r in rows]
    widths = [max(len(c[i]) for c in cells) for i in range(6)]
    for c in cells:
        print("  ".join([c[0].ljust(widths[0]), c[1].ljust(widths[1]), c[2].ljust(widths[2]),
                         c[3].rjust(widths[3]), c[4].rjust(widths[4]), c[5]]).rstrip())


def main(directory: str, program: str, outside: str) -> int:
    cli = [program, "--name", "spinat-quickstart"]
    steps = ("traffic-A", "traffic-B", "native-A", "native-B", "natt-A", "natt-B")
    files = {step: load(os.path.join(directory, f"{step}.json")) for step in steps}
    rows: list[Row] = []
    for step, facts in files.items():
        rows += facts.get("rows") or [row(step, "did not end", 1, 0, f"see {step}.log")]
    clients = [files[step] for step in steps[2:]]
    gateways = load(os.path.join(directory, "gateway.json"))
    rows += [ike_ports(gateways, outside), keepalives(gateways, clients),
             bindings(cli, clients), leaks(load(os.path.join(directory, "capture.json")))]
    for name, facts in gateways.items():
        if facts["rejected"]:
            rows.append(row(f"{name} refused packets", "at the gateway", len(facts["rejected"]), 0,
                            facts["rejected"][0]))
    show(rows)
    return 0 if all(r["ok"] for r in rows) else 1


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
