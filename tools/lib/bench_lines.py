# SPDX-License-Identifier: BSD-3-Clause
# Copyright (c) 2026 the spinat authors
"""Which cache lines workers share: builds spinat-lines, runs it, and says whether they must.

What shared libraries do is not seen: DPDK's drivers, and where its mempools go when a worker's cache of
buffers is empty or full.
"""

import json
import subprocess
from pathlib import Path
from typing import Any

from bench_report import ROOT, Failure, run

# gcc calls a function for each access (app/bench/record.c); what it would copy in place, too.
C_ARGS = ["-fsanitize=thread", "-Wno-tsan",
          *(f"-fno-builtin-{name}" for name in ("memcpy", "memmove", "memset", "memcmp"))]
TIMEOUT_S = 120

Phase = dict[str, Any]

# What a phase may share: (what, function that writes).
EXPECTED = {
    # any worker gets packets of any flow, an SA's packets one of them; the clock stands still
    "established": [],
    # the first worker makes flows, the others look for theirs in its index
    "opening": [("index", "put"), ("index", "spinat_index_add")],
    # its sweep ends them; a grace period for all that a turn has ended
    "ending": [("index", "spinat_index_del"), ("RCU", "rte_rcu_qsbr_start"),
               ("RCU", "rte_rcu_qsbr_quiescent")],
    # the time that a flow was last seen at: written once a second, read by its owner's sweep; so is
    # what else stands in the line of an SA that another worker receives
    "seconds": [("flows", "touch"), ("flows", "is_of_another")],
    # an SA's packets come to all workers, which no RSS does: its counts and its highest sequence
    # number are shared. Were they not found, nothing would be
    "roaming": [("flows", "touch"), ("flows", "is_of_another")],
}
MUST = "roaming"


def build(directory: Path) -> Path:
    """The instrumented program, in a build directory of its own."""
    if not (directory / "build.ninja").exists():
        run(["meson", "setup", str(directory), str(ROOT), "-Dtests=false", "-Doptimization=1",
             f"-Dc_args={' '.join(C_ARGS)}"])
    program = directory / "app" / "bench" / "spinat-lines"
    run(["ninja", "-C", str(directory), str(program.relative_to(directory))])
    return program


def places(program: Path, returns: set[int]) -> dict[int, tuple[str, str]]:
    """Function, and file and line, of the calls that return there."""
    addresses = sorted(returns)
    lines = run(["addr2line", "-fse", str(program), *(hex(a - 1) for a in addresses)]).splitlines()
    return {a: (lines[2 * i], lines[2 * i + 1].split(" ")[0]) for i, a in enumerate(addresses)}


def measure(program: Path, workers: int) -> list[Phase]:
    command = [str(program), str(workers)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=TIMEOUT_S)
    if done.returncode != 0:
        raise Failure(f"'{' '.join(command)}' failed, status {done.returncode}:\n{done.stderr}")
    phases: list[Phase] = [json.loads(line) for line in done.stdout.splitlines()
                           if line.startswith("{")]
    ends = ("writer", "other")
    known = places(program, {s[end] for p in phases for s in p["shared"] for end in ends} or {1})
    for phase in phases:
        for shared in phase["shared"]:
            for end in ends:
                shared[end] = dict(zip(("function", "at"), known[shared[end]], strict=True))
    return phases


def is_expected(phase: Phase, shared: dict[str, Any]) -> bool:
    kind = shared["what"].split(" ")[0]
    return (kind, shared["writer"]["function"]) in EXPECTED[phase["phase"]]


def judge(phases: list[Phase]) -> bool:
    """Nothing is shared that need not be, and what must be was found."""
    return all(is_expected(p, s) for p in phases for s in p["shared"]) and all(
        p["shared"] for p in phases if p["phase"] == MUST)


def print_phase(phase: Phase) -> None:
    print(f"{phase['phase']}, {phase['workers']} workers: {phase['packets']} packets, "
          f"{phase['lines']} lines touched, {sum(s['lines'] for s in phase['shared'])} shared",
          flush=True)
    for s in phase["shared"]:
        print(f"  {'' if is_expected(phase, s) else 'NOT EXPECTED: '}{s['lines']} of {s['what']}: "
              f"{s['writes'] / phase['packets']:.4f} writes a packet by {s['writer']['function']} "
              f"({s['writer']['at']}), {'written' if s['other_writes'] else 'read'} by "
              f"{s['other']['function']} ({s['other']['at']})", flush=True)


def run_all(build_directory: Path, workers: list[int]) -> list[Phase]:
    program = build(build_directory.with_name(build_directory.name + "-lines"))
    phases = [phase for n in workers for phase in measure(program, n)]
    for phase in phases:
        print_phase(phase)
    return phases
