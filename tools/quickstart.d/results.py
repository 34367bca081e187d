# SPDX-License-Identifier: BSD-3-Clause
# Copyright (c) 2026 the spinat authors
"""How the hosts of the quickstart hand what they saw to its report: one JSON file each."""

import json
import os
from typing import Any, TypedDict


class Row(TypedDict):
    """One line of the final table."""

    what: str
    path: str
    sent: int
    back: int
    note: str
    ok: bool


def write(path: str, facts: Any) -> None:
    """Replaces the file as a whole, since the report may read it at any time."""
    with open(path + ".new", "w", encoding="utf-8") as f:
        json.dump(facts, f)
    os.replace(path + ".new", path)
