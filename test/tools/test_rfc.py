# SPDX-License-Identifier: BSD-3-Clause
# Copyright (c) 2026 the spinat authors
"""What the table of requirements names is in the tree: keys, tests and files."""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
TABLE = ROOT / "test" / "functional" / "RFC.md"
MANUAL = (ROOT / "app" / "spinat.conf.5").read_text()


def rows() -> list[dict[str, str]]:
    found, rfc = [], ""
    for line in TABLE.read_text().splitlines():
        if line.startswith("## "):
            rfc = line[3:]
        cells = [cell.strip() for cell in line.strip("|").split("|")]
        if not line.startswith("|") or cells[1] == "asks for" or set(cells[1]) == {"-"}:
            continue
        assert len(cells) == 7, line
        names = ("number", "asks", "met", "decision", "key", "test", "file")
        found.append({"rfc": rfc} | dict(zip(names, cells)))
    return found


ROWS = rows()
IDS = [f"{row['rfc'].split(',')[0]} {row['number'] or row['asks']}" for row in ROWS]


def test_there_are_rows() -> None:
    assert len(ROWS) > 70


def missing_tests(text: str) -> list[str]:
    """Files and, in quotes behind a file, classes or functions in it; an ellipsis is any end."""
    missing, sources = [], []
    for unit, name, file in re.findall(r"unit (\w+)|`([^`]+)`|(\w+)", text):
        if name:
            pattern = re.escape(name.rstrip("…")) + ("" if name.endswith("…") else r"\b")
            if not any(re.search(rf"(class|def) {pattern}", source) for source in sources):
                missing.append(name)
            continue
        paths = (
            sorted((ROOT / "test" / "unit").glob(f"test_{unit}*.c"))
            if unit
            else [path for path in [TABLE.parent / f"test_{file}.py"] if path.exists()]
        )
        if not paths:
            missing.append(unit or file)
        sources = [path.read_text() for path in paths]
    return missing


@pytest.mark.parametrize("row", ROWS, ids=IDS)
def test_row(row: dict[str, str]) -> None:
    assert row["met"] in ("yes", "n/a", "decision")
    if row["met"] != "yes":
        assert len(row["decision"]) > 60, "a reason"
    assert row["test"] and missing_tests(row["test"]) == []
    files = [name.strip() for name in row["file"].split(",")]
    assert [name for name in files if not name or not (ROOT / "lib" / name).exists()] == []
    for key in re.findall(r"`([^`]+)`", row["key"]):
        name = key.rsplit(".", 1)[-1].replace("-", "\\-")
        assert re.search(rf"^\.(B|SS) {name}$", MANUAL, flags=re.M), key
