# SPDX-License-Identifier: BSD-3-Clause
# Copyright (c) 2026 the spinat authors
"""Records of sessions and port blocks: who had which outside endpoint when (RFC 6888 REQ-12)."""

import contextlib
import os
import re
import socket
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from harness import config as cfg
from harness.lab import Lab, eventually
from harness.namespace import Bed
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
            realms=[cfg.realm(port_allocation="block", block_size=64, client_sessions=10)],
            timeouts={"udp": 3},
        )

    def test_one_line_a_block(self, lab: Lab, file: Path) -> None:
        """And one for a client that meets its limit."""
        ports = [lab.out(udp(A, 5000 + number), src=POOL).ip.sport for number in range(10)]
        first = min(ports) // 64 * 64
        row = {"realm": "0", "inside": A, "outside": POOL, "ports": f"{first}-{first + 63}"}
        lab.inside.send(udp(A, 6000))
        assert lab.inside.receive().ip.type == 3, "unreachable"
        lab.dropped(client_sessions=1)
        eventually(lambda: len(lines(file)) == 3)
        refused = {"realm": "0", "protocol": "17", "inside": A, "outside": POOL} | {
            "reason": "client_sessions",
            "limit": "10",
        }
        assert lines(file) == [
            {"event": "block_begin"} | row,
            {"event": "refused"} | refused,
            {"event": "block_end"} | row,
        ]


def dump(file: Path) -> list[dict[str, str]]:
    """The records of an IPFIX file, as libfixbuf's ipfixDump reads them, by the numbers of their
    elements; 323, the time, must be in all."""
    command = ["ipfixDump", "--in", str(file)]
    text = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    assert not re.search("(?i)error|warning|sequence number: .*expected", text), text
    records = re.split(r"--- data record \d+ ---", text)[1:]
    rows = [dict(re.findall(r"\((\d+)\) +\w+ : (.*)", record)) for record in records]
    for row in rows:
        assert row.pop("323").startswith("20")
    return rows


TEMPLATE_SET = b"\0\2"
CREATE, DELETE, PORTS_EXHAUSTED, QUOTA, ALLOCATION, DEALLOCATION = "4 5 12 13 16 17".split()


def session(event: str, sport: int, outside_port: int) -> dict[str, str]:
    """RFC 8158 5.6.1: natEvent, addresses, ports, protocol, realm."""
    ports = {"7": str(sport), "227": str(outside_port)}
    return {"230": event, "8": A, "225": POOL, "4": "17", "234": "0"} | ports


def natural(rows: list[dict[str, str]]) -> list[list[tuple[str, str]]]:
    """In an order that does not depend on when they came."""
    return sorted(sorted(row.items()) for row in rows)


class TestPipe:
    @pytest.fixture(scope="class")
    def pipe(self, tmp_path_factory: pytest.TempPathFactory) -> Path:
        path = tmp_path_factory.mktemp("records") / "pipe"
        os.mkfifo(path)
        return path

    @pytest.fixture(scope="class")
    def reader(self, pipe: Path) -> int:
        """Closed by the test."""
        return os.open(pipe, os.O_RDONLY | os.O_NONBLOCK)

    @pytest.fixture(scope="class")
    def config(self, pipe: Path, reader: int) -> cfg.Config:
        assert reader >= 0
        return cfg.default_config(records={"file": str(pipe), "sessions": True})

    def test_reader_goes(self, lab: Lab, reader: int) -> None:
        """What it does not take is counted, and a reload waits for nobody."""
        lab.out(udp(A, 5000), src=POOL, sport=5000)
        os.close(reader)
        assert lab.app.reload(lab.config).startswith("ok")
        lab.out(udp(A, 5001), src=POOL, sport=5001)
        eventually(lambda: lab.app.telemetry.ask("/spinat/info")["records_lost"] > 0)


class TestIpfixFile:
    @pytest.fixture(scope="class")
    def file(self, tmp_path_factory: pytest.TempPathFactory) -> Path:
        return tmp_path_factory.mktemp("records") / "records.ipfix"

    @pytest.fixture(scope="class")
    def config(self, file: Path) -> cfg.Config:
        return cfg.default_config(
            records={"ipfix": str(file), "sessions": True},
            realms=[
                cfg.realm(
                    port_allocation="block", block_size=64, client_blocks=1, client_sessions=3
                )
            ],
            timeouts={"udp": 3},
        )

    def test_events(self, lab: Lab, file: Path) -> None:
        """Sessions, a block and a limit, each with the elements of RFC 8158."""
        ports = {n: lab.out(udp(A, n), src=POOL).ip.sport for n in (5000, 5001, 5002)}
        lab.inside.send(udp(A, 6000))
        lab.inside.receive()
        lab.dropped(client_sessions=1)
        first = ports[5000] // 64 * 64
        block = {"8": A, "225": POOL, "234": "0", "361": str(first), "362": str(first + 63)}
        quota = {"230": QUOTA, "8": A, "234": "0", "466": "3", "473": "3"}
        eventually(lambda: file.exists() and len(dump(file)) == 9)
        rows = dump(file)
        begun = [session(CREATE, n, port) for n, port in ports.items()]
        assert rows[:5] == [{"230": ALLOCATION} | block, *begun, quota]
        ended = [session(DELETE, n, port) for n, port in ports.items()]
        assert natural(rows[5:]) == natural([*ended, {"230": DEALLOCATION} | block])

    def test_reload(self, lab: Lab, file: Path) -> None:
        """A new file can be read without the old one."""
        file.rename(file.with_suffix(".1"))
        records = lab.config["records"] | {"destinations": True}
        assert lab.app.reload(lab.config | {"records": records}).startswith("ok")
        lab.out(udp(A, 7000), src=POOL)
        eventually(lambda: file.exists() and len(dump(file)) == 2)
        assert {"12": REMOTE, "11": "53"}.items() <= dump(file)[1].items()
        records = lab.config["records"] | {"ipfix": "udp:127.0.0.1:4739"}
        assert "needs a restart" in lab.app.reload(lab.config | {"records": records})


class TestIpfixPortsExhausted:
    @pytest.fixture(scope="class")
    def file(self, tmp_path_factory: pytest.TempPathFactory) -> Path:
        return tmp_path_factory.mktemp("records") / "records.ipfix"

    @pytest.fixture(scope="class")
    def config(self, file: Path) -> cfg.Config:
        return cfg.default_config(
            records={"ipfix": str(file)}, ports={"first": 5000, "last": 5001}
        )

    def test_event(self, lab: Lab, file: Path) -> None:
        for number in range(2):
            lab.out(udp(A, 5000 + number), src=POOL)
        lab.inside.send(udp(A, 6000))
        lab.inside.receive()
        lab.dropped(ports_exhausted=1)
        eventually(lambda: file.exists() and len(dump(file)) == 1)
        expected = {"230": PORTS_EXHAUSTED, "225": POOL, "4": "17", "8": A, "234": "0"}
        assert dump(file) == [expected]


class TestIpfixPipe:
    """A pipe that nobody reads holds nothing up, and one whose reader goes ends nothing."""

    @pytest.fixture(scope="class")
    def pipe(self, tmp_path_factory: pytest.TempPathFactory) -> Path:
        path = tmp_path_factory.mktemp("records") / "pipe"
        os.mkfifo(path)
        return path

    @pytest.fixture(scope="class")
    def config(self, pipe: Path) -> cfg.Config:
        return cfg.default_config(records={"ipfix": str(pipe), "sessions": True})

    def test_reader_comes_and_goes(self, lab: Lab, pipe: Path) -> None:
        lab.out(udp(A, 5000), src=POOL, sport=5000)
        with pipe.open("rb") as stream:
            assert len(stream.read(16)) == 16
        lab.out(udp(A, 5001), src=POOL, sport=5001)
        eventually(lambda: lab.app.telemetry.ask("/spinat/info")["records_lost"] > 0)
        lab.out(udp(A, 5002), src=POOL, sport=5002)


class TestIpfixNoDisk:
    """What a full disk does not take is counted, and what it has can be read."""

    @pytest.fixture(scope="class")
    def disk(self, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
        place = tmp_path_factory.mktemp("disk")
        subprocess.run(["mount", "-t", "tmpfs", "-o", "size=4k", "none", place], check=True)
        yield place
        subprocess.run(["umount", "-l", place], check=True)

    @pytest.fixture(scope="class")
    def config(self, disk: Path) -> cfg.Config:
        return cfg.default_config(records={"ipfix": str(disk / "records"), "sessions": True})

    def test_full(self, lab: Lab, disk: Path) -> None:
        sport = iter(range(5000, 60000))

        def next_session() -> int:
            number = next(sport)
            lab.out(udp(A, number), src=POOL, sport=number)
            return lab.app.telemetry.ask("/spinat/info")["records_lost"]

        eventually(lambda: next_session() > 0)
        lab.app.wait_says("event=records", "result=failed", "No space left")
        written = len(dump(disk / "records"))
        assert written > 20
        subprocess.run(["mount", "-o", "remount,size=1m", disk], check=True)
        last = next(sport)
        lab.out(udp(A, last), src=POOL, sport=last)
        eventually(lambda: dump(disk / "records")[-1]["7"] == str(last))
        rows = dump(disk / "records")
        assert len(rows) > written and len({row["7"] for row in rows}) == len(rows)


@contextlib.contextmanager
def collector(bed: Bed, kind: int) -> Iterator[socket.socket]:
    """A socket of the machine that the box runs on."""
    with bed.box.entered(), socket.socket(socket.AF_INET, kind) as opened:
        opened.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        opened.bind(("127.0.0.1", 4739))
        opened.settimeout(20)
        yield opened


def collected(stream: socket.socket, file: Path, wanted: int) -> list[dict[str, str]]:
    """Receives until there are so many records."""
    file.write_bytes(b"")
    stream.settimeout(0.2)
    rows: list[dict[str, str]] = []

    def complete() -> bool:
        with contextlib.suppress(TimeoutError), file.open("ab") as out:
            while data := stream.recv(65536):
                out.write(data)
        rows[:] = dump(file)
        return len(rows) >= wanted

    eventually(complete)
    return rows


class TestIpfixOverTcp:
    """A collector that is not there yet, that begins anew, and that never comes."""

    @pytest.fixture(scope="class")
    def config(self) -> cfg.Config:
        return cfg.default_config(records={"ipfix": "tcp:127.0.0.1:4739", "sessions": True})

    def test_collector_comes_and_goes(self, lab: Lab, bed: Bed, tmp_path: Path) -> None:
        """Records wait for it; each connection begins with templates."""
        for connection in range(2):
            sport = 5000 + connection
            lab.out(udp(A, sport), src=POOL, sport=sport)
            with collector(bed, socket.SOCK_STREAM) as listener:
                listener.listen()
                with listener.accept()[0] as stream:
                    rows = collected(stream, tmp_path / "records", 1)
                assert rows == [session(CREATE, sport, sport)]
        assert lab.app.telemetry.ask("/spinat/info")["records_lost"] == 0

    @pytest.fixture
    def small_buffers(self, bed: Bed) -> Iterator[None]:
        """What the kernel keeps for a collector that does not read."""
        key = "net.ipv4.tcp_wmem"
        usual = bed.box.run("sysctl", "-n", key).strip()
        bed.box.run("sysctl", "-qw", f"{key}=4096 4096 4096")
        yield
        bed.box.run("sysctl", "-qw", f"{key}={usual}")

    def test_nobody_reads(
        self, lab: Lab, bed: Bed, small_buffers: None, tmp_path: Path
    ) -> None:
        """First there is no collector, then one that takes nothing: what the ring can not hold is
        counted, and packets go their way. In the end it gets all the rest."""

        def info(key: str) -> int:
            return lab.app.telemetry.ask("/spinat/info")[key]

        lab.out(udp(B, 1000, REMOTE2), src=POOL)
        packet = bytearray(bytes(udp(B, 1, REMOTE2)))
        packet[26:28] = b"\0\0"  # no checksum
        sport = iter(range(1024, 65536))

        def overflows(lost: int) -> bool:
            for _ in range(500):
                packet[20:22] = next(sport).to_bytes(2, "big")
                lab.inside.send(bytes(packet))
            return info("records_lost") > lost

        before = info("sessions_created") - 1
        eventually(lambda: overflows(0))
        with collector(bed, socket.SOCK_STREAM) as listener:
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            listener.listen()
            with listener.accept()[0] as stream:
                lab.settle()
                lost = info("records_lost")
                eventually(lambda: overflows(lost))
                lab.settle()
                lab.out_port.waiting()
                lost, created = info("records_lost"), info("sessions_created") - before
                rows = collected(stream, tmp_path / "records", created - lost)
        assert created - lost > 8191, "the ring, and what was sent before"
        assert len({row["227"] for row in rows}) == len(rows) == created - lost
        assert info("records_lost") == lost


class TestIpfixOverUdp:
    @pytest.fixture(scope="class")
    def config(self) -> cfg.Config:
        return cfg.default_config(records={"ipfix": "udp:127.0.0.1:4739", "sessions": True})

    def test_collector_comes_later(self, lab: Lab, bed: Bed, tmp_path: Path) -> None:
        """What is refused is counted as lost; whoever comes gets templates first."""
        sport = iter(range(5000, 6000))

        def next_session() -> int:
            number = next(sport)
            lab.out(udp(A, number), src=POOL, sport=number)
            return lab.app.telemetry.ask("/spinat/info")["records_lost"]

        eventually(lambda: next_session() > 0)
        with collector(bed, socket.SOCK_DGRAM) as receiver:
            receiver.settimeout(0.2)
            file = tmp_path / "records"

            def arrives() -> bool:
                next_session()
                with contextlib.suppress(TimeoutError):
                    with file.open("ab") as out:
                        out.write(receiver.recv(65536))
                return len(dump(file)) > 0

            eventually(arrives)
            (first, *_) = dump(file)
            assert first == session(CREATE, int(first["7"]), int(first["7"]))
            receiver.settimeout(20)
            while receiver.recv(65536)[16:18] != TEMPLATE_SET:  # they come again
                pass
