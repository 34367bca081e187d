# SPDX-License-Identifier: BSD-3-Clause
# Copyright (c) 2026 the spinat authors
"""Records of sessions and port blocks: who had which outside endpoint when (RFC 6888 REQ-12)."""

from pathlib import Path

import pytest
from harness import config as cfg
from harness.lab import Lab, eventually
from harness.plan import A, B, POOL, REMOTE, REMOTE2
from scapy.layers.inet import IP, TCP, UDP
from scapy.packet import Packet


def udp(src: str, sport: int, dst: str = REMOTE) -> Packet:
    return IP(src=src, dst=dst) / UDP(sport=sport, dport=53) / b"x"


def lines(file: Path) -> list[dict[str, str]]:
    """The file's lines as dicts, without their times, which must all be there."""
    rows = [dict(w.split("=", 1) for w in line.split()) for line in file.read_text().splitlines()]
    for row in rows:
        assert row.pop("time").endswith("Z")
    return rows


class TestSessions:
    @pytest.fixture(scope="class")
    def file(self, tmp_path_factory: pytest.TempPathFactory) -> Path:
        return tmp_path_factory.mktemp("records") / "records"

    @pytest.fixture(scope="class")
    def config(self, file: Path) -> cfg.Config:
        return cfg.default_config(
            records={"file": str(file), "sessions": True}, timeouts={"udp": 3, "tcp_opening": 3}
        )

    def test_begin_and_end(self, lab: Lab, file: Path) -> None:
        lab.out(udp(A, 5000), src=POOL, sport=5000)
        lab.out(udp(A, 5000, REMOTE2), src=POOL, sport=5000)
        lab.out(udp(A, 5000), src=POOL, sport=5000)
        syn = IP(src=B, dst=REMOTE) / TCP(sport=5000, dport=80, flags="S")
        lab.out(syn, src=POOL, sport=5000)
        of_a = {"realm": "0", "protocol": "17", "inside": f"{A}:5000", "outside": f"{POOL}:5000"}
        of_b = {"realm": "0", "protocol": "6", "inside": f"{B}:5000", "outside": f"{POOL}:5000"}
        begin, end = {"event": "session_begin"}, {"event": "session_end"}
        eventually(lambda: len(lines(file)) == 6)
        rows = lines(file)
        assert rows[:3] == [begin | of_a, begin | of_a, begin | of_b], "no remotes (REQ-12)"
        assert sorted(map(str, rows[3:])) == sorted(map(str, [end | of_a, end | of_a, end | of_b]))
        assert lab.app.telemetry.ask("/spinat/info")["records_lost"] == 0

    def test_reload(self, lab: Lab, file: Path) -> None:
        """A file that was moved away is begun anew; what is recorded may change."""
        file.rename(file.with_suffix(".1"))
        records = lab.config["records"] | {"destinations": True}
        assert lab.app.reload(lab.config | {"records": records}).startswith("ok")
        lab.out(udp(A, 6000), src=POOL, sport=6000)
        eventually(lambda: file.exists() and len(lines(file)) == 1)
        assert lines(file)[0]["remote"] == f"{REMOTE}:53"
        records = lab.config["records"] | {"file": "/nowhere/records"}
        assert "needs a restart" in lab.app.reload(lab.config | {"records": records})


class TestBlocks:
    @pytest.fixture(scope="class")
    def file(self, tmp_path_factory: pytest.TempPathFactory) -> Path:
        return tmp_path_factory.mktemp("records") / "records"

    @pytest.fixture(scope="class")
    def config(self, file: Path) -> cfg.Config:
        return cfg.default_config(
            records={"file": str(file)},
            realms=[cfg.realm(port_allocation="block", block_size=64)],
            timeouts={"udp": 3},
        )

    def test_one_line_a_block(self, lab: Lab, file: Path) -> None:
        ports = [lab.out(udp(A, 5000 + number), src=POOL).ip.sport for number in range(10)]
        first = min(ports) // 64 * 64
        row = {"realm": "0", "inside": A, "outside": POOL, "ports": f"{first}-{first + 63}"}
        eventually(lambda: len(lines(file)) == 2)
        assert lines(file) == [{"event": "block_begin"} | row, {"event": "block_end"} | row]
