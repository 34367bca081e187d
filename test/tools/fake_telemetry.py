# SPDX-License-Identifier: BSD-3-Clause
# Copyright (c) 2026 the spinat authors
"""A DPDK telemetry socket (protocol v2) that gives recorded answers."""

import json
import os
import socket
import threading
from typing import Any, Callable

GREETING = {"version": "DPDK 22.11.11", "pid": 4711, "max_output_len": 16384}
HANG_UP = object()  # instead of an answer
Answer = Any | Callable[[], Any]


class FakeTelemetry:
    """Answers whole requests ("/spinat/sessions,cursor=5") from a table; null to all others."""

    def __init__(self, path: str, answers: dict[str, Answer]) -> None:
        self.answers = answers
        self.asked: list[str] = []
        self.listener = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self.listener.bind(path)
        os.chmod(path, 0o777)
        self.listener.listen(8)
        threading.Thread(target=self._accept, daemon=True).start()

    def close(self) -> None:
        self.listener.shutdown(socket.SHUT_RDWR)
        self.listener.close()

    def _accept(self) -> None:
        while True:
            try:
                connection, _ = self.listener.accept()
            except OSError:
                return
            threading.Thread(target=self._serve, args=[connection], daemon=True).start()

    def _serve(self, connection: socket.socket) -> None:
        connection.send(json.dumps(GREETING).encode())
        while request := connection.recv(1024).decode():
            self.asked.append(request)
            answer = self.answers.get(request)
            answer = answer() if callable(answer) else answer
            if answer is HANG_UP:
                break
            connection.send(json.dumps({request.partition(",")[0]: answer}).encode())
        connection.close()
