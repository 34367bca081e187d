# SPDX-License-Identifier: BSD-3-Clause
# Copyright (c) 2026 the spinat authors
"""Holds the datapath's instructions a packet against those on record.

Instructions are what a packet costs that neither the machine nor its load changes. After a change
that costs some with reason, or saves some: tools/bench --instructions --json
test/bench/instructions.json.
"""

import json
import subprocess
from pathlib import Path

HERE = Path(__file__).resolve().parent
BENCH = HERE.parents[1] / "tools" / "bench"
# Seeds of hashes are random, and so is what overflows its bucket; other processors take other ways
# through the libraries.
TOLERANCE = 0.10


def works(path: Path) -> dict[str, float]:
    return {w["name"]: w["instructions_per_packet"]
            for w in json.loads(path.read_text())["works"]}


def test_no_packet_takes_more_instructions(tmp_path: Path) -> None:
    now = tmp_path / "instructions.json"
    subprocess.run([str(BENCH), "--instructions", "--json", str(now)], check=True)
    recorded, counted = works(HERE / "instructions.json"), works(now)
    assert counted.keys() == recorded.keys()
    more = {name: (recorded[name], value) for name, value in counted.items()
            if value > recorded[name] * (1 + TOLERANCE)}
    assert not more
