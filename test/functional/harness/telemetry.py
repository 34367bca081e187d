# SPDX-License-Identifier: BSD-3-Clause
# Copyright (c) 2026 the spinat authors
"""A client of the DPDK telemetry socket (protocol v2: JSON over SOCK_SEQPACKET)."""

import json
import socket
from typing import Any

LARGEST = 16384  # what the server says in its greeting that an answer may have


class Telemetry:
    """One connection to a running instance."""

    def __init__(self, name: str) -> None:
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self._socket.settimeout(10)
        self._socket.connect(f"/var/run/dpdk/{name}/dpdk_telemetry.v2")
        self.greeting: dict[str, Any] = json.loads(self._socket.recv(LARGEST))

    def close(self) -> None:
        self._socket.close()

    def ask(self, command: str) -> Any:
        """The answer to "/path" or "/path,parameters"; None where the command fails."""
        self._socket.send(command.encode())
        answer = json.loads(self._socket.recv(max(LARGEST, self.greeting["max_output_len"])))
        path = command.split(",", 1)[0]
        assert list(answer) == [path], f"answer to {path} is about {list(answer)}"
        return answer[path]

    def drops(self) -> dict[str, int]:
        return self.ask("/spinat/drops")

    def rows(self, path: str, **filters: Any) -> list[dict[str, Any]]:
        """All rows of a list, page by page."""
        found: list[dict[str, Any]] = []
        cursor: Any = None
        while True:
            parameters = dict(filters) if cursor is None else filters | {"cursor": cursor}
            command = ",".join([path, *(f"{k}={v}" for k, v in parameters.items())])
            answer = self.ask(command)
            assert isinstance(answer, dict) and "rows" in answer, f"{command}: {answer}"
            found += answer["rows"].values()
            cursor = answer.get("next")
            if cursor is None:
                return found

    def sessions(self, **filters: Any) -> list[dict[str, Any]]:
        return self.rows("/spinat/sessions", **filters)

    def mappings(self, **filters: Any) -> list[dict[str, Any]]:
        return self.rows("/spinat/mappings", **filters)

    def bindings(self, **filters: Any) -> list[dict[str, Any]]:
        return self.rows("/spinat/bindings", **filters)

    def ike(self, **filters: Any) -> list[dict[str, Any]]:
        return self.rows("/spinat/ike", **filters)
