# SPDX-License-Identifier: BSD-3-Clause
# Copyright (c) 2026 the spinat authors
"""The SPI binder in simulated worlds, against what test/sim/expected.json states.

Scenarios T1 to T23 must hold, but for those that the file lists as known to fail, some of them with
some seeds only. Each figure of the runs must keep within its bounds.
"""

import json
import subprocess
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[2]
TOOL = ROOT / "tools" / "spi-sim"
EXPECTED: dict[str, Any] = json.loads((ROOT / "test" / "sim" / "expected.json").read_text())
SCENARIOS = [f"T{i}" for i in range(1, 24)]
KNOWN: dict[str, str] = EXPECTED["scenarios"]["known_to_fail"]
MODES = ["fanout", "serialise", "newest", "drop", "fifo", "gate"]


def tool(*arguments: object) -> subprocess.CompletedProcess[str]:
    return subprocess.run([str(TOOL), *map(str, arguments)], capture_output=True, text=True,
                          check=False)


@pytest.fixture(scope="module", name="played")
def play_scenarios() -> dict[str, dict[str, Any]]:
    done = tool("--scenario", "all", "--seed", EXPECTED["scenarios"]["seed"], "--json")
    assert done.returncode in (0, 1), done.stderr
    return {result["scenario"]: result for result in json.loads(done.stdout)}


@pytest.mark.parametrize("name", SCENARIOS)
def test_scenario(played: dict[str, dict[str, Any]], name: str) -> None:
    result = played[name]
    assert result["passed"] == (result["failed"] == "")
    if name in KNOWN and not result["passed"]:
        pytest.xfail(f"{KNOWN[name]}: {result['failed']}")
    assert result["passed"], result["failed"]


@pytest.mark.parametrize("mode", ["fifo", "gate"])
def test_opponents_play_every_scenario(mode: str) -> None:
    done = tool("--scenario", "all", "--mode", mode, "--json")
    assert done.returncode == 1, done.stderr
    results = json.loads(done.stdout)
    assert [r["scenario"] for r in results] == SCENARIOS
    # the control plays spinat's own binder whatever the mode
    assert results[-1]["passed"]


def test_scenario_says_whether_it_holds() -> None:
    """T3 by itself, with the default and with the rule that must fail it."""
    assert tool("--scenario", "T3").returncode == 0
    failed = tool("--scenario", "T3", "--mode", "newest")
    assert failed.returncode == 1
    assert "FAILED: 0 ms apart" in failed.stdout


def test_scenarios_name_tests_that_exist() -> None:
    lines = [line.split("\t") for line in tool("--scenario", "list").stdout.splitlines()]
    assert [name for name, _, _ in lines] == SCENARIOS
    for _, _, wire in lines:
        assert all((ROOT / path).is_file() for path in wire.split(", ") if path), wire


@pytest.mark.parametrize("expected", EXPECTED["runs"], ids=lambda e: "-".join(
    str(value) for name, value in e.items() if name != "bounds"))
def test_figures(expected: dict[str, Any]) -> None:
    done = tool("--json", *(word for name, value in expected.items() if name != "bounds"
                            for word in (f"--{name.replace('_', '-')}", value)))
    assert done.returncode == 0, done.stderr
    result = json.loads(done.stdout)
    result["right_share"] = result["settled_right"] / result["bindings"]
    result["lost_share"] = result["lost"] / result["inbound"]
    assert (result["settled_right"] + result["settled_wrong"] + result["ambiguous"]
            == result["bindings"])
    outside = {name: result[name] for name, bound in expected["bounds"].items()
               if result[name] is None
               or not bound.get("least", 0) <= result[name] <= bound.get("most", float("inf"))}
    assert not outside, "out of its bounds: compare test/sim/expected.json"


def test_modes_side_by_side(tmp_path: Path) -> None:
    """The default binds better and loses less than either opponent; the plot is drawn."""
    path = tmp_path / "plot.png"
    done = tool("--clients", 30, "--mode", "all", "--seed", 1, "--json", "--plot", path)
    assert done.returncode == 0, done.stderr
    by_mode = {r["mode"]: r for r in json.loads(done.stdout)}
    assert list(by_mode) == MODES
    fanout, fifo, gate = (by_mode[name] for name in ("fanout", "fifo", "gate"))
    assert fanout["settled_right"] > 1.5 * fifo["settled_right"]
    assert fanout["lost"] * fifo["inbound"] < fifo["lost"] * fanout["inbound"] / 2
    assert fanout["clients_up"] == 30 > gate["clients_up"]
    assert path.read_bytes().startswith(b"\x89PNG")


def test_same_seed_same_output() -> None:
    first, again, other = (tool("--clients", 20, "--json", "--trouble", "--seed", seed).stdout
                           for seed in (7, 7, 8))
    assert first == again != other


def test_table() -> None:
    lines = tool("--clients", 3, "--seconds", 5).stdout.splitlines()
    assert lines[0].split() == ["fanout"]
    assert {"settled_right", "lost", "copies_share"} <= {line.split()[0] for line in lines[1:]}


@pytest.mark.parametrize("arguments", [("--clients", 0), ("--scenario", "T24"), ("--loss", 2),
                                       ("--mode", "best")])
def test_bad_arguments(arguments: tuple[object, ...]) -> None:
    done = tool(*arguments)
    assert done.returncode == 2
    assert str(arguments[1]) in done.stderr
