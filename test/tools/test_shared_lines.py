# SPDX-License-Identifier: BSD-3-Clause
# Copyright (c) 2026 the spinat authors
"""Workers that forward established flows share no cache line that anyone writes.

Every access of an instrumented build is recorded, so this depends on neither the machine nor its load.
"""

import json
import os
import subprocess
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[2]
BUILD = Path(os.environ.get("SPINAT_BIN", str(ROOT / "build" / "app" / "spinat"))).parents[1]
OF_FLOWS = {("flows", "touch"), ("flows", "is_of_another")}
PHASES = ["established", "opening", "ending", "roaming", "seconds"]
FLOWS = 16384  # established


@pytest.fixture(scope="module", name="phases")
def record(tmp_path_factory: pytest.TempPathFactory) -> list[dict[str, Any]]:
    report = tmp_path_factory.mktemp("lines") / "lines.json"
    done = subprocess.run([str(ROOT / "tools" / "bench"), "--shared-lines", "--json", str(report)],
                          env=os.environ | {"SPINAT_BUILD": str(BUILD)}, capture_output=True,
                          text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    phases: list[dict[str, Any]] = json.loads(report.read_text())
    return phases


def writers(phase: dict[str, Any]) -> set[tuple[str, str]]:
    return {(s["what"].split(" ")[0], s["writer"]["function"]) for s in phase["shared"]}


def test_two_and_four_workers_were_looked_at(phases: list[dict[str, Any]]) -> None:
    assert [(p["workers"], p["phase"]) for p in phases] == [(n, p) for n in (2, 4) for p in PHASES]
    for phase in phases:
        # each packet has a buffer, and nearly each a flow and an index of its own
        assert phase["packets"] >= 8192
        assert phase["lines"] > phase["packets"]


def test_established_flows_share_nothing(phases: list[dict[str, Any]]) -> None:
    assert [p["shared"] for p in phases if p["phase"] == "established"] == [[], []]


def test_new_flows_share_only_the_index_that_they_are_found_by(
        phases: list[dict[str, Any]]) -> None:
    for phase in (p for p in phases if p["phase"] == "opening"):
        assert {what for what, _ in writers(phase)} == {"index"}


def test_flows_that_end_wait_together(phases: list[dict[str, Any]]) -> None:
    for phase in (p for p in phases if p["phase"] == "ending"):
        grace = [s for s in phase["shared"] if s["what"] == "RCU"]
        assert {what for what, _ in writers(phase)} == {"index", "RCU"}
        assert phase["ended"] >= 1024
        assert sum(s["writes"] for s in grace) < phase["ended"] / 16


def test_a_second_shares_each_flow_once(phases: list[dict[str, Any]]) -> None:
    for phase in (p for p in phases if p["phase"] == "seconds"):
        assert ("flows", "touch") in writers(phase)
        assert writers(phase) <= OF_FLOWS
        assert sum(s["lines"] for s in phase["shared"]) <= FLOWS * phase["workers"]


def test_an_sa_at_all_workers_is_found(phases: list[dict[str, Any]]) -> None:
    """The proof that sharing is seen where there is some."""
    for phase in (p for p in phases if p["phase"] == "roaming"):
        assert ("flows", "touch") in writers(phase)
        assert writers(phase) <= OF_FLOWS
