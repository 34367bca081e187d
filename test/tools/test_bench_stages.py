# SPDX-License-Identifier: BSD-3-Clause
# Copyright (c) 2026 the spinat authors
"""tools/bench --stages: every stage of a burst is told of, and together they are the whole."""

import json
import os
import subprocess
from pathlib import Path

ROOT = Path(__file__).parents[2]
BUILD = Path(os.environ.get("SPINAT_BIN", str(ROOT / "build" / "app" / "spinat"))).parents[1]
STAGES = ["rx", "parse", "lookup", "resolve", "rewrite", "tx", "rest"]


def test_stages_are_the_whole(tmp_path: Path) -> None:
    report = tmp_path / "stages.json"
    done = subprocess.run(
        [str(ROOT / "tools" / "bench"), "--stages", "--quick", "--work", "udp", "--work", "esp",
         "--sessions", "1000", "--json", str(report)],
        env=os.environ | {"SPINAT_BUILD": str(BUILD)}, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    works = json.loads(report.read_text())["works"]
    assert [(work["name"], work["sessions"]) for work in works] == [
        ("udp-stages", 1000), ("esp-stages", 1000)]
    for work in works:
        assert all(work[f"{stage}_cycles"] > 0 for stage in STAGES), work
        # the same turns, whatever the machine: how long they take is not asserted
        assert 0.5 < work["sum_cycles"] / work["total_cycles"] < 2, work
