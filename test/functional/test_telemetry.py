# SPDX-License-Identifier: BSD-3-Clause
# Copyright (c) 2026 the spinat authors
"""Telemetry: every command answers, nothing that is asked can harm, long lists come in pages."""

import re
import time

import pytest
from harness import ipsec
from harness.appliance import REPOSITORY
from harness.ipsec import IkeSa, Tunnel
from harness.lab import Lab
from harness.plan import A, B, C, POOL, REMOTE, REMOTE2, ROUTER, client
from harness.telemetry import Telemetry
from scapy.layers.inet import ICMP, IP, TCP, UDP

LISTS = ["sessions", "mappings", "bindings", "ike", "pools", "neighbours"]
COMMANDS = ["info", "stats", "drops", "config", *LISTS]


class TestCommands:
    @pytest.mark.parametrize("name", COMMANDS)
    def test_answers(self, lab: Lab, name: str) -> None:
        answer = lab.app.telemetry.ask(f"/spinat/{name}")
        assert isinstance(answer, str if name == "config" else dict) and answer
        assert name == "config" or "error" not in answer

    def test_all_are_listed_with_help(self, lab: Lab) -> None:
        listed = lab.app.telemetry.ask("/")
        for name in [*COMMANDS, "reload"]:
            assert f"/spinat/{name}" in listed
            text = lab.app.telemetry.ask(f"/help,/spinat/{name}")
            assert text["/spinat/" + name]

    def test_info(self, lab: Lab) -> None:
        first = lab.app.telemetry.ask("/spinat/info")
        assert first["name"] == lab.app.name and first["config"] == str(lab.app.file)
        assert first["workers"] == 1 and first["generation"] >= 1
        assert re.fullmatch(r"\d+\.\d+\.\d+", first["version"])
        time.sleep(1.1)
        assert lab.app.telemetry.ask("/spinat/info")["uptime_s"] > first["uptime_s"]

    def test_drops_are_those_of_the_one_list(self, lab: Lab) -> None:
        header = (REPOSITORY / "lib" / "packet" / "drop.h").read_text()
        entries = re.findall(r'X\([A-Z_]+, "(\w+)",[\s\\]*"([^"]+)"\)', header)
        entries.remove(("name", "text"))
        assert list(lab.app.telemetry.drops()) == [name for name, _ in entries]
        assert lab.app.telemetry.ask("/spinat/drops,text") == dict(entries)

    @pytest.mark.parametrize("name", LISTS)
    @pytest.mark.parametrize(
        "parameters",
        [
            "colour=red",
            "limit=0",
            "limit=-1",
            "limit=ten",
            "limit=99999999999999999999",
            "cursor=x",
            "cursor=",
            "cursor",
            "=",
            "limit=1,limit=2,colour=1",
            "client=10.0.0",
            "client=10.0.0.256",
            "client=fe80::1",
            "protocol=xyz",
            "protocol=256",
            "realm=x",
            "%s%s%s%n",
            "x" * 300,
            "limit=" + "9" * 900,
        ],
    )
    def test_bad_parameters(self, lab: Lab, name: str, parameters: str) -> None:
        answer = lab.app.telemetry.ask(f"/spinat/{name},{parameters}")
        assert list(answer) == ["error"] and answer["error"], answer

    @pytest.mark.parametrize("name", LISTS)
    @pytest.mark.parametrize("cursor", [2**32 - 1, 2**32, 2**63, 2**64 - 1])
    def test_cursor_beyond_the_end(self, lab: Lab, name: str, cursor: int) -> None:
        answer = lab.app.telemetry.ask(f"/spinat/{name},cursor={cursor}")
        assert answer == {"rows": {}}

    @pytest.mark.parametrize("name", ["info", "stats", "drops", "config"])
    def test_commands_without_parameters_take_none(self, lab: Lab, name: str) -> None:
        assert list(lab.app.telemetry.ask(f"/spinat/{name},colour=red")) == ["error"]

    def test_unknown_command(self, lab: Lab) -> None:
        assert lab.app.telemetry.ask("/spinat/nonsense") is None

    def test_several_connections(self, lab: Lab) -> None:
        clients = [Telemetry(lab.app.name) for _ in range(5)]
        for _ in range(20):
            for one in clients:
                assert one.ask("/spinat/info")["name"] == lab.app.name
        for one in clients:
            one.close()


class TestCounters:
    def test_every_frame_is_counted_once(self, lab: Lab) -> None:
        """Per interface: received is what was sent into it, transmitted what was captured there."""
        lab.out(IP(src=A, dst=REMOTE) / UDP(sport=4000, dport=9) / b"x", src=POOL, sport=4000)
        lab.settle()
        before = lab.app.telemetry.ask("/spinat/stats")
        ports = {"lan": lab.in_port, "wan": lab.out_port}
        sent = {name: port.sent for name, port in ports.items()}
        seen = {name: len(port.capture) for name, port in ports.items()}
        for size in (0, 100, 1400):
            for _ in range(5):
                packet = IP(src=A, dst=REMOTE) / UDP(sport=4000, dport=9) / bytes(size)
                lab.out(packet, src=POOL, sport=4000)
                packet = IP(src=REMOTE, dst=POOL) / UDP(sport=9, dport=4000) / bytes(size)
                lab.back(packet, dst=A, dport=4000)
        lab.outside.send(IP(src=REMOTE, dst=POOL) / UDP(sport=9, dport=4999) / b"x")
        lab.silent(no_mapping=1)
        after = lab.app.telemetry.ask("/spinat/stats")
        for name, port in ports.items():
            was, now = before["interfaces"][name], after["interfaces"][name]
            assert now["rx_packets"] - was["rx_packets"] == port.sent - sent[name]
            assert now["tx_packets"] - was["tx_packets"] == len(port.capture) - seen[name]
            frames = port.capture[seen[name] :]
            assert now["tx_bytes"] - was["tx_bytes"] == sum(len(f.raw) for f in frames)
        assert after["translated"] - before["translated"] == 30
        assert after["dropped"] - before["dropped"] == 1
        both = [after["interfaces"][name]["rx_packets"] for name in ports]
        assert after["rx_packets"] == sum(both)
        assert after["workers"]["0"]["rx_packets"] == sum(both)


class TestLists:
    """350 sessions in 350 mappings: several pages."""

    COUNT = 350

    @pytest.fixture(scope="class")
    def many(self, box: Lab) -> Lab:
        for number in range(self.COUNT):
            host, port = client(1 + number % 50), 10000 + number
            packet = IP(src=host, dst=REMOTE) / UDP(sport=port, dport=9) / b"x"
            box.out(packet, src=POOL, sport=port)
        return box

    def test_sessions_in_pages(self, many: Lab, lab: Lab) -> None:
        rows = lab.app.telemetry.sessions()
        assert len(rows) == self.COUNT
        assert len({row["outside"] for row in rows}) == self.COUNT
        first = lab.app.telemetry.ask("/spinat/sessions")
        assert 0 < len(first["rows"]) < self.COUNT and "next" in first

    @pytest.mark.parametrize("limit", [1, 7, 64, 1000])
    def test_any_page_size(self, many: Lab, lab: Lab, limit: int) -> None:
        first = lab.app.telemetry.ask(f"/spinat/sessions,limit={limit}")
        assert 0 < len(first["rows"]) <= limit
        rows = lab.app.telemetry.sessions(limit=limit)
        assert len({row["outside"] for row in rows}) == len(rows) == self.COUNT

    def test_mappings_in_pages(self, many: Lab, lab: Lab) -> None:
        rows = lab.app.telemetry.mappings()
        assert len({row["outside"] for row in rows}) == len(rows) == self.COUNT

    def test_filters(self, many: Lab, lab: Lab) -> None:
        lab.out(IP(src=A, dst=REMOTE2) / TCP(sport=4000, dport=80, flags="S"), src=POOL, sport=4000)
        lab.out(IP(src=A, dst=REMOTE2) / ICMP(type=8, id=4000), src=POOL, sport=4000)
        ask = lab.app.telemetry.sessions
        assert len(ask(client=client(1))) == self.COUNT // 50
        assert [r["protocol"] for r in ask(protocol="tcp")] == ["tcp"]
        assert [r["protocol"] for r in ask(protocol="1")] == ["icmp"]
        assert sorted(r["protocol"] for r in ask(remote=REMOTE2)) == ["icmp", "tcp"]
        assert [r["protocol"] for r in ask(remote=REMOTE2, protocol="tcp")] == ["tcp"]
        assert ask(remote=REMOTE2, protocol="udp") == []
        assert len(ask(outside=POOL)) == self.COUNT + 2 and ask(outside="192.0.2.11") == []
        assert len(ask(realm=0)) == self.COUNT + 2 and ask(realm=1) == []

    def test_bindings_and_ike_in_pages(self, many: Lab, lab: Lab) -> None:
        for number in range(1, 61):
            gateway = f"203.0.113.{number}"
            lab.out(ipsec.udp(B, gateway, IkeSa().first()), src=POOL, sport=500)
            lab.out(Tunnel(C, gateway).outbound()[0], src=POOL)
        rows = lab.app.telemetry.ike(client=B)
        assert len({row["initiator_spi"] for row in rows}) == len(rows) == 60
        rows = lab.app.telemetry.bindings(client=C)
        assert len({row["spi"] for row in rows}) == len(rows) == 60
        (row,) = lab.app.telemetry.bindings(client=C, remote="203.0.113.7")
        assert row["gateway"] == "203.0.113.7" and row["protocol"] == "esp"

    def test_pools(self, many: Lab, lab: Lab) -> None:
        (row,) = lab.app.telemetry.rows("/spinat/pools", outside=POOL)
        assert row["address"] == POOL and row["udp"] == self.COUNT

    def test_neighbours(self, many: Lab, lab: Lab) -> None:
        (row,) = lab.app.telemetry.rows("/spinat/neighbours", remote=ROUTER)
        assert row["address"] == ROUTER and row["state"] == "reachable"

    def test_rows_of_a_fan_out_are_sane(self, many: Lab, lab: Lab) -> None:
        """Many candidates for one SPI: the row lists some of them, all inside hosts, none twice."""
        gateway = "203.0.113.200"
        hosts = [client(number) for number in range(1, 31)]
        for host in hosts:
            sa = IkeSa()
            for outward, message in sa.opening():
                if outward:
                    lab.out(ipsec.udp(host, gateway, message), src=POOL, sport=500)
                else:
                    lab.back(ipsec.udp(gateway, POOL, message), dst=host, dport=500)
        tunnel = Tunnel(hosts[0], gateway)
        lab.outside.send(tunnel.inbound(POOL)[0])
        lab.settle()
        copies = {frame.ip.dst for frame in lab.in_port.waiting()}
        rows = lab.app.telemetry.bindings(remote=gateway)
        (row,) = [r for r in rows if int(r["spi"], 16) == tunnel.spi_in]
        candidates = row["candidates"]
        assert len(set(candidates)) == len(candidates) and set(candidates) <= set(hosts)
        assert copies and copies <= set(candidates)
