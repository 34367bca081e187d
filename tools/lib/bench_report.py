# SPDX-License-Identifier: BSD-3-Clause
# Copyright (c) 2026 the spinat authors
"""Results of tools/bench: tables, JSON with what a reader must know, comparison, plots."""

import datetime
import json
import os
import platform
import subprocess
import sys
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
MIB = 1 << 20

Result = dict[str, Any]


class Failure(Exception):
    """One sentence for the user."""


def run(command: list[str]) -> str:
    """Runs a command that must not fail and returns what it prints."""
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise Failure(f"'{' '.join(command)}' failed:\n{(done.stdout + done.stderr)[-4000:]}")
    return done.stdout


def cpu_model() -> str:
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            return line.split(":", 1)[1].strip()
    return platform.machine()


def revision() -> str:
    command = ["git", "-C", str(ROOT), "describe", "--always", "--dirty"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    return done.stdout.strip() or "unknown"


def header(results: list[Result]) -> Result:
    """What a reader must know of the run; versions move here from the results, once for all."""
    constants = {}
    for key in ("tsc_hz", "dpdk", "spinat"):
        for result in results:
            constants[key] = result.pop(key, constants.get(key))
    return {
        "date": datetime.datetime.now(datetime.timezone.utc).isoformat(timespec="seconds"),
        "machine": {"cpu": cpu_model(), "cpus": os.cpu_count(), "tsc_hz": constants["tsc_hz"],
                    "memory_mib": os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") // MIB,
                    "load": os.getloadavg()[0]},
        "versions": {"spinat": constants["spinat"], "revision": revision(),
                     "dpdk": constants["dpdk"], "kernel": platform.release()},
        "command": " ".join(sys.argv),
        "works": results,
    }


def floor_ratio(r: Result) -> float:
    return r["cycles_with_rings"] / max(1.0, r["floor_mac_cycles"] + r["floor_hash_cycles"])


COLUMNS = ["work", "sessions", "cycles", "+rings", "Mpps", "rings", "mac", "hash", "table", "x floor",
           "parse", "B/sess"]
WIDTHS = [22, 9, 8, 8, 8, 6, 6, 6, 6, 8, 6, 7]


def print_row(cells: list[str]) -> None:
    texts = [cells[0].ljust(WIDTHS[0])]
    texts += [cell.rjust(width) for cell, width in zip(cells[1:], WIDTHS[1:], strict=True)]
    print(" ".join(texts), flush=True)


def cycles_text(value: float) -> str:
    return f"{value:.1f}" if value > 0 else "-"  # not measured in a split run


# What the processor counts, by the names of app/bench/counters.c
EVENTS = {"instructions": "instructions", "l1d_misses": "loads that miss the first cache",
          "llc_misses": "the last", "cache_misses": "cache misses"}


def print_events(r: Result) -> None:
    """A line more for what was counted of a packet, where anything was."""
    counted = [f"{r[f'{event}_per_packet']:.2f} {text}" for event, text in EVENTS.items()
               if f"{event}_per_packet" in r]
    if counted:
        print(f"{'':<22} a packet: {', '.join(counted)}", flush=True)


def print_not_counted(results: list[Result]) -> None:
    reason = next((r["not_counted"] for r in results if "not_counted" in r), None)
    if reason:
        every = not any(f"{event}_per_packet" in r for event in EVENTS for r in results)
        print(f"{'No' if every else 'Not all'} instructions and cache misses counted: "
              f"perf_event_open(2) says '{reason}', as where a machine, mostly a virtual one, has no "
              "counters. --instructions counts the former by valgrind.")


def print_result(r: Result) -> None:
    if "end_cycles" in r:
        print(f"{r['name']:<22} {r['sessions']:>9} {r['look_cycles']:>8.1f} cycles to look at a "
              f"session, {r['end_cycles']:.1f} to end one", flush=True)
        return
    if "cycles_per_packet" not in r:
        return
    keys = ["floor_rings_cycles", "floor_mac_cycles", "floor_hash_cycles", "table_cycles"]
    print_row([r["name"], str(r["sessions"]), f"{r['cycles_per_packet']:.1f}",
               f"{r['cycles_with_rings']:.1f}", f"{r['mpps']:.2f}",
               *(cycles_text(r[key]) for key in keys),
               f"{floor_ratio(r):.2f}" if r["floor_mac_cycles"] > 0 else "-",
               cycles_text(r["parse_cycles"]), f"{r['bytes_per_session']:.0f}"])
    print_events(r)


def identity(r: Result) -> tuple[str, int, str]:
    return r["name"], r["sessions"], r["mode"]


def read_report(path: str) -> dict[str, Any]:
    try:
        report: dict[str, Any] = json.loads(Path(path).read_text())
        report["works"][0]
    except (OSError, ValueError, KeyError, IndexError, TypeError) as error:
        raise Failure(f"{path} is nothing that --json has written: {error}.") from None
    return report


def compare(results: list[Result], path: str) -> None:
    other = {identity(r): r for r in read_report(path)["works"] if "cycles_per_packet" in r}
    results = [r for r in results if "cycles_per_packet" in r]
    if not any(identity(r) in other for r in results):
        raise Failure(f"{path} has none of these works, sessions and modes.")
    print(f"\ncompared with {path}: cycles, and, for another machine, x floor")
    for r in results:
        old = other.get(identity(r))
        if old is None:
            continue
        cycles = r["cycles_per_packet"] / old["cycles_per_packet"] - 1
        ratio = floor_ratio(r) / floor_ratio(old) - 1
        print(f"{r['name']:<22} {r['sessions']:>9} {old['cycles_per_packet']:>8.1f} -> "
              f"{r['cycles_per_packet']:>8.1f}  {cycles:+7.1%}   {floor_ratio(old):>6.2f} -> "
              f"{floor_ratio(r):>6.2f}  {ratio:+7.1%}")


def plot(results: list[Result], path: str) -> None:
    """Cycles against sessions, a line a work, with the bare rte_hash lookup beside."""
    import matplotlib
    matplotlib.use("svg")
    from matplotlib import pyplot

    lines: dict[str, list[tuple[int, float]]] = {}
    for r in results:
        if r.get("cycles_per_packet") and r["name"].endswith(("-both-uniform", "-both-zipf")):
            lines.setdefault(r["name"], []).append((r["sessions"], r["cycles_per_packet"]))
            if r["name"] == "udp-both-uniform" and r["floor_hash_cycles"] > 0:
                lines.setdefault("rte_hash lookup alone", []).append(
                    (r["sessions"], r["floor_hash_cycles"]))
    figure, axes = pyplot.subplots(figsize=(8, 5))
    for name, points in lines.items():
        style = "k:o" if name.startswith("rte_hash") else "-o"
        axes.plot(*zip(*sorted(points), strict=True), style, label=name, markersize=4)
    axes.set(xscale="log", xlabel="sessions", ylabel="cycles a packet", ylim=(0, None))
    axes.grid(alpha=0.3)
    axes.legend()
    figure.savefig(path, metadata={"Date": None})
