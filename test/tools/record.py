# SPDX-License-Identifier: BSD-3-Clause
# Copyright (c) 2026 the spinat authors
"""Records what a running spinat answers, for the tests of spinat-cli:
tools/quickstart --keep
python3 test/tools/record.py spinat-quickstart > test/tools/recorded.json"""

import json
import socket
import sys
from typing import Any

SINGLE = ["info", "stats", "drops", "drops,text", "checkpoint", "config", "pools", "neighbours", "bindings",
          "bindings,protocol=esp", "ike", "mappings", "sessions,protocol=nonsense"]
PAGED = "sessions,limit=7"


def main(name: str) -> None:
    sock = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    sock.connect(f"/var/run/dpdk/{name}/dpdk_telemetry.v2")
    sock.recv(65536)
    answers: dict[str, Any] = {}

    def ask(what: str) -> Any:
        sock.send(f"/spinat/{what}".encode())
        answers[f"/spinat/{what}"], = json.loads(sock.recv(65536)).values()
        return answers[f"/spinat/{what}"]

    for what in SINGLE:
        ask(what)
    page = ask(PAGED)
    for _ in range(3):
        if "next" in page:
            page = ask(f"{PAGED},cursor={page['next']}")
    page.pop("next", None)  # the recording ends here
    json.dump(answers, sys.stdout, indent=1)


if __name__ == "__main__":
    main(*sys.argv[1:])
