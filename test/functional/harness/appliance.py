# SPDX-License-Identifier: BSD-3-Clause
# Copyright (c) 2026 the spinat authors
"""The running box: start, reload, stop, and what it says meanwhile."""

import os
import signal
import subprocess
import threading
import time
from pathlib import Path

from harness.config import Config, file_text
from harness.namespace import Namespace
from harness.telemetry import Telemetry

REPOSITORY = Path(__file__).resolve().parents[3]
BINARY = Path(os.environ.get("SPINAT_BIN", REPOSITORY / "build" / "app" / "spinat"))
START_SECONDS = 30


class Appliance:
    """One spinat process in a network namespace."""

    def __init__(self, namespace: Namespace, config: Config, directory: Path, name: str) -> None:
        self.namespace = namespace
        self.name = name
        self.file = directory / f"{name}.cfg"
        self.config = config
        self.lines: list[str] = []
        self._process: subprocess.Popen[str] | None = None
        self._telemetry: Telemetry | None = None
        self._changed = threading.Condition()
        self.write(config)

    def write(self, config: Config) -> None:
        """Writes the configuration file, which a running box does not read before a reload."""
        self.file.write_text(file_text({"name": self.name} | config))

    def start(self) -> None:
        """Starts the process and waits until it forwards."""
        self.spawn()
        end = time.monotonic() + START_SECONDS
        while not self.says("event=ready"):
            assert self.process.poll() is None, f"exit {self.process.returncode}\n{self.log}"
            assert time.monotonic() < end, f"not ready after {START_SECONDS} s\n{self.log}"
            with self._changed:
                self._changed.wait(0.1)

    def spawn(self) -> None:
        """Starts the process and does not wait."""
        self.lines = []
        self._process = subprocess.Popen(
            [*self.namespace.prefix, str(BINARY), "-c", str(self.file)],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        self._reader = threading.Thread(target=self._read, args=(self._process,), daemon=True)
        self._reader.start()

    def _read(self, process: subprocess.Popen[str]) -> None:
        assert process.stdout is not None
        for line in process.stdout:
            with self._changed:
                self.lines.append(line)
                self._changed.notify_all()

    @property
    def process(self) -> subprocess.Popen[str]:
        assert self._process is not None, "not started"
        return self._process

    @property
    def log(self) -> str:
        return "".join(self.lines)

    def says(self, *words: str) -> bool:
        """Whether one line of the log has all the words."""
        return any(all(word in line for word in words) for line in list(self.lines))

    def wait_says(self, *words: str, timeout: float = 3.0) -> None:
        end = time.monotonic() + timeout
        while not self.says(*words):
            assert time.monotonic() < end, f"log never says {words}\n{self.log}"
            time.sleep(0.02)

    @property
    def telemetry(self) -> Telemetry:
        if self._telemetry is None:
            self._telemetry = Telemetry(self.name)
        return self._telemetry

    def reload(self, config: Config) -> str:
        """Applies another configuration through telemetry and returns the answer."""
        self.write(config)
        answer = self.telemetry.ask("/spinat/reload")
        assert isinstance(answer, str), answer
        if answer.startswith("ok"):
            self.config = config
        return answer

    def wait(self, timeout: float = 20.0) -> int:
        """Waits for the end of the process and returns its exit code."""
        try:
            code = self.process.wait(timeout)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
            raise AssertionError(f"does not end\n{self.log}") from None
        self._reader.join(5)
        if self._telemetry is not None:
            self._telemetry.close()
            self._telemetry = None
        return code

    def stop(self) -> None:
        """Ends it as an operator does; every exit must be clean."""
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
        code = self.wait()
        assert code == 0, f"exit {code}\n{self.log}"

    def kill(self) -> None:
        """Ends it the hard way, if it is running."""
        if self._process is not None and self._process.poll() is None:
            self._process.kill()
            self.wait()


def run_binary(
    namespace: Namespace, *arguments: str, timeout: float = 30.0
) -> subprocess.CompletedProcess[str]:
    """Runs the binary to its end."""
    return subprocess.run(
        [*namespace.prefix, str(BINARY), *arguments],
        capture_output=True,
        text=True,
        timeout=timeout,
        check=False,
    )
