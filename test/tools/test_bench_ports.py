# SPDX-License-Identifier: BSD-3-Clause
# Copyright (c) 2026 the spinat authors
"""tools/bench between devices that it does not make: capture files, and testpmd over memif."""

import json
import os
import re
import signal
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from scapy.layers.inet import IP, UDP
from scapy.layers.l2 import ARP, Ether
from scapy.utils import rdpcap, wrpcap

ROOT = Path(__file__).parents[2]
BENCH = ROOT / "tools" / "bench"
BUILD = Path(os.environ.get("SPINAT_BIN", str(ROOT / "build" / "app" / "spinat"))).parents[1]
# What the devices have: net_pcap's by itself, testpmd's flowgen sends to nothing else.
PCAP_MAC = "02:70:63:61:70:00"
FLOWGEN_MAC = "00:01:02:03:04:01"
ROUTER = "02:00:00:00:00:01"
REMOTE = "198.51.100.1"
ANNOUNCEMENTS = 4  # ARP: of each address twice
WAIT_S = 60


def arguments(inside: str, outside: str, report: Path, seconds: float) -> list[str]:
    return [str(BENCH), "--inside", inside, "--outside", outside, "--sessions", "1000", "--seconds",
            str(seconds), "--json", str(report)]


def environment() -> dict[str, str]:
    return os.environ | {"SPINAT_BUILD": str(BUILD)}


def result(report: Path) -> dict[str, Any]:
    work: dict[str, Any] = json.loads(report.read_text())["works"][0]
    return work


def test_capture_files(tmp_path: Path) -> None:
    sources = [(f"10.0.0.{i % 50 + 1}", 2000 + i) for i in range(200)]
    sent = [Ether(dst=PCAP_MAC, src=ROUTER) / IP(src=a, dst=REMOTE) / UDP(sport=p, dport=443) / b"x"
            for a, p in sources]
    stray = Ether(dst="02:00:00:00:00:77", src=ROUTER) / IP(src="10.0.0.1", dst=REMOTE) / UDP()
    wrpcap(str(tmp_path / "in.pcap"), [*sent, stray])
    inside = f"net_pcap0,rx_pcap={tmp_path}/in.pcap"
    outside = f"net_pcap1,tx_pcap={tmp_path}/out.pcap"
    report = tmp_path / "report.json"
    done = subprocess.run(arguments(inside, outside, report, 3), env=environment(),
                          capture_output=True, text=True, check=True)
    assert f"{inside} has MAC address {PCAP_MAC}" in done.stderr
    work = result(report)
    assert work["drops"] == {"eth_destination": 1}
    assert work["slow_packets"] == 201
    assert work["cycles_per_packet"] < work["cycles_with_driver"]
    assert [device["received"] for device in work["devices"]] == [201, 0]
    frames = rdpcap(str(tmp_path / "out.pcap"))
    assert work["devices"][1]["sent"] == len(frames)
    out = [frame for frame in frames if ARP not in frame]
    assert [(f[IP].src, f[IP].ttl, f[UDP].sport) for f in out] == [
        ("100.64.0.0", 63, port) for _, port in sources]


@contextmanager
def generator(folder: Path, name: str, *options: str) -> Iterator[Path]:
    """A testpmd that waits for a peer on a memif; yields its output."""
    log = folder / f"{name}.log"
    command = ["dpdk-testpmd", "--no-huge", "-m", "128", "--no-pci", "--lcores", "0,1",
               "--file-prefix", f"{name}-{os.getpid()}", "--vdev",
               f"net_memif0,role=server,socket={folder}/{name}.sock,socket-abstract=no", "--",
               "--port-topology=loop", "--auto-start", "--total-num-mbufs=4096",
               "--stats-period=1", *options]
    with log.open("w") as out, subprocess.Popen(command, stdin=subprocess.PIPE, stdout=out,
                                                stderr=out) as child:
        try:
            yield log
        finally:
            child.kill()


def received(log: Path) -> int:
    """The most packets that a testpmd says it has received."""
    return max((int(n) for n in re.findall(r"RX-packets: (\d+)", log.read_text())), default=0)


def wait(what: str, condition: Any) -> None:
    end = time.monotonic() + WAIT_S
    while not condition():
        assert time.monotonic() < end, what
        time.sleep(0.05)


def test_testpmd_over_memif(tmp_path: Path) -> None:
    report = tmp_path / "report.json"
    with generator(tmp_path, "gen", "--forward-mode=flowgen", "--flowgen-flows=64") as gen, \
            generator(tmp_path, "peer", "--forward-mode=5tswap") as peer:
        # a memif that is connected to before its port has started stays silent
        wait("no testpmd", lambda: all("NIC statistics" in log.read_text() for log in (gen, peer)))
        devices = [f"net_memif{i},role=client,socket={tmp_path}/{name}.sock,socket-abstract=no,"
                   f"mac={mac}" for i, (name, mac) in enumerate(
                       (("gen", FLOWGEN_MAC), ("peer", "00:01:02:03:04:02")))]
        with subprocess.Popen(arguments(*devices, report, WAIT_S), env=environment(), text=True,
                              stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                              start_new_session=True) as bench:
            try:
                wait("nothing comes back", lambda: min(received(gen), received(peer)) > 1000
                     or bench.poll() is not None)
            finally:
                # as from a terminal: it ends with what it has
                os.killpg(bench.pid, signal.SIGINT)
            out, _ = bench.communicate(timeout=WAIT_S)
        assert bench.returncode == 0, out
        counted = received(gen), received(peer)
    work = result(report)
    inside, outside = work["devices"]
    assert inside["sent"] >= counted[0] > 1000
    assert outside["sent"] >= counted[1] > 1000
    # rings may be full where testpmd gets no CPU; nothing else may happen to a packet
    assert set(work["drops"]) <= {"tx_full"}
    arrived = inside["received"] + outside["received"]
    gone = inside["sent"] + outside["sent"] + sum(work["drops"].values())
    assert arrived <= gone <= arrived + ANNOUNCEMENTS
    # the first burst of a flow finds none
    assert 64 <= work["slow_packets"] < 0.5 * work["packets"]
