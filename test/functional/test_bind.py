# SPDX-License-Identifier: BSD-3-Clause
# Copyright (c) 2026 the spinat authors
"""An SPI that no evidence decides, and the operator who does."""

import random
import subprocess
import time
from pathlib import Path

import pytest
from harness import config as cfg
from harness import ipsec
from harness.appliance import REPOSITORY
from harness.ipsec import IkeSa, Tunnel
from harness.lab import SLOW, Lab, eventually
from harness.plan import A, B, C, GATEWAY, GATEWAY2, POOL, POOL2, host_mac
from scapy.layers.inet import IP

CLI = REPOSITORY / "tools" / "spinat-cli"
KEPT_S = 0.35  # the box keeps a packet for 0.3 s, for those that may turn out to own it
STRANGER = "10.0.0.9"


def cli(lab: Lab, *words: str) -> subprocess.CompletedProcess[str]:
    """What an operator types."""
    return subprocess.run(
        ["/usr/bin/python3", str(CLI), "--name", lab.app.name, *words],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def done(lab: Lab, *words: str) -> str:
    run = cli(lab, *words)
    assert (run.returncode, run.stderr) == (0, ""), run
    return run.stdout


def refused(lab: Lab, *words: str) -> str:
    run = cli(lab, *words)
    assert run.returncode == 1 and run.stdout == "", run
    return run.stderr


def negotiate(lab: Lab, host: str, gateway: str) -> None:
    for outward, message in IkeSa().opening():
        if outward:
            lab.out(ipsec.udp(host, gateway, message), src=POOL, sport=500)
        else:
            lab.back(ipsec.udp(gateway, POOL, message), dst=host, dport=500)


def reached(lab: Lab, packet: IP) -> set[str]:
    """Who gets it at once."""
    lab.outside.send(packet)
    lab.settle()
    return {frame.ip.dst for frame in lab.in_port.waiting()}


def reached_late(lab: Lab, packet: IP) -> set[str]:
    """Who gets it, at once or late."""
    at_once = reached(lab, packet)
    time.sleep(KEPT_S)
    lab.settle()
    return at_once | {frame.ip.dst for frame in lab.in_port.waiting()}


def undecided(lab: Lab, gateway: str) -> Tunnel:
    """Three clients have finished IKE with a gateway, which talks on and on to one of them: all get
    copies until there may be no more, then each gets its turn."""
    for host in (A, B, C):
        negotiate(lab, host, gateway)
    tunnel = Tunnel(B, gateway)
    assert reached_late(lab, tunnel.inbound(POOL)[0]) == {A, B, C}
    while len(reached_late(lab, tunnel.inbound(POOL)[0])) > 1:
        pass
    return tunnel


class TestBind:
    @pytest.fixture(scope="class")
    def place(self, tmp_path_factory: pytest.TempPathFactory) -> Path:
        return tmp_path_factory.mktemp("state")

    @pytest.fixture(scope="class")
    def config(self, place: Path) -> cfg.Config:
        return cfg.default_config(
            limits={"copies_per_spi": 10},
            checkpoint={"file": str(place / "state"), "interval": 86400},
            neighbours=[
                {"interface": "lan", "address": h, "mac": host_mac(h)} for h in (A, B, C)
            ],
        )

    def row(self, lab: Lab, tunnel: Tunnel) -> dict[str, object]:
        (row,) = [
            r
            for r in lab.app.telemetry.bindings(remote=tunnel.gateway)
            if int(str(r["spi"]), 0) == tunnel.spi_in
        ]
        return row

    def test_log_says_what_to_do_and_doing_it_helps(self, lab: Lab) -> None:
        tunnel = undecided(lab, GATEWAY)
        spi = f"{tunnel.spi_in:#010x}"
        assert self.row(lab, tunnel)["state"] == "ambiguous"
        lab.app.wait_says("event=spi_ambiguous")
        (line,) = [one for one in lab.app.lines if "event=spi_ambiguous" in one]
        for word in ("realm=0", f"outside={POOL}", f"gateway={GATEWAY}", f"spi={spi}"):
            assert word in line.split(), line
        named = next(w for w in line.split() if w.startswith("candidates="))
        assert set(named.removeprefix("candidates=").split(",")) == {A, B, C}
        advice = line.partition('decide="')[2].partition('"')[0].split()
        assert advice[0] == "spinat-cli" and advice[-1] == "CLIENT"
        assert done(lab, *advice[1:-1], B).startswith("ok: ")
        for _ in range(5):
            assert reached(lab, tunnel.inbound(POOL)[0]) == {B}
        (shown,) = [
            one for one in done(lab, "show", "bindings", "--why").splitlines() if spi in one
        ]
        assert "settled" in shown and "operator" in shown and B in shown
        assert sum("event=spi_ambiguous" in one for one in lab.app.lines) == 1
        lab.app.wait_says("event=order", "realm=0", spi)

    def test_evidence_to_the_contrary_does_not_flip_it(self, lab: Lab) -> None:
        """The operator is wrong: it is B's, which answers all that comes. It stays with C, until the
        operator says otherwise."""
        gateway = "203.0.113.7"
        tunnel = undecided(lab, gateway)
        spi = f"{tunnel.spi_in:#010x}"
        done(lab, "bind", spi, gateway, POOL, C)
        chance = random.Random(1)
        for _ in range(30):
            assert reached(lab, tunnel.inbound(POOL)[0]) == {C}
            lab.out(tunnel.outbound()[0], src=POOL)
            time.sleep(chance.uniform(0.02, 0.15))
        assert self.row(lab, tunnel)["why"] == "operator"
        done(lab, "unbind", spi, gateway, POOL)
        assert B in reached_late(lab, tunnel.inbound(POOL)[0])

        def answered() -> bool:
            """Until the evidence has decided, everyone who may be it gets its copy."""
            lab.outside.send(tunnel.inbound(POOL)[0])
            got = {lab.inside.receive().ip.dst}
            lab.out(tunnel.outbound()[0], src=POOL)
            lab.settle()
            got |= {frame.ip.dst for frame in lab.in_port.waiting()}
            time.sleep(chance.uniform(0.02, 0.15))
            return got == {B} and self.row(lab, tunnel)["state"] == "settled"

        eventually(answered, 3 * SLOW)

    def test_survives_a_crash(self, lab: Lab) -> None:
        gateway = "203.0.113.8"
        tunnel = undecided(lab, gateway)
        done(lab, "bind", str(tunnel.spi_in), gateway, POOL, A, "0")
        assert reached(lab, tunnel.inbound(POOL)[0]) == {A}
        assert done(lab, "checkpoint").startswith("ok")
        lab.app.kill()
        lab.app.start()
        lab.settle()
        lab.forget_drops()
        tunnel.advance(1000)
        for _ in range(3):
            assert reached(lab, tunnel.inbound(POOL)[0]) == {A}
        assert self.row(lab, tunnel)["why"] == "operator"

    def test_refusals_say_why_and_change_nothing(self, lab: Lab) -> None:
        gateway = "203.0.113.10"
        tunnel = undecided(lab, gateway)
        spi = f"{tunnel.spi_in:#010x}"
        before = self.row(lab, tunnel)
        assert "no inbound SPI" in refused(lab, "bind", "0x12345678", gateway, POOL, B)
        assert "no inbound SPI" in refused(lab, "bind", spi, "203.0.113.200", POOL, B)
        assert "is no client" in refused(lab, "bind", spi, gateway, POOL, STRANGER)
        assert "outside address of the box" in refused(lab, "bind", spi, gateway, POOL2, B)
        assert "realm 0" in refused(lab, "bind", spi, gateway, POOL, B, "1")
        assert "no inbound SPI" in refused(lab, "unbind", "0x12345678", gateway, POOL)
        after = self.row(lab, tunnel)
        assert (after["state"], after["client"]) == (before["state"], before["client"])

    @pytest.mark.parametrize(
        "params",
        [
            "",
            "0x5000",
            f"0x5000,{GATEWAY2},{POOL}",
            f"0x5000,{GATEWAY2},{POOL},{A},0,9",
            f"5000x,{GATEWAY2},{POOL},{A}",
            f"0x,{GATEWAY2},{POOL},{A}",
            f"-1,{GATEWAY2},{POOL},{A}",
            f"4294967296,{GATEWAY2},{POOL},{A}",
            f"0x5000,gateway,{POOL},{A}",
            f"0x5000,{GATEWAY2},pool,{A}",
            f"0x5000,{GATEWAY2},{POOL},host",
            f"0x5000,{GATEWAY2},{POOL},0.0.0.0",
            f"0x5000,{GATEWAY2},{POOL},{A},x",
            "," * 300,
            "x" * 900,
        ],
    )
    def test_malformed_requests(self, lab: Lab, params: str) -> None:
        answer = lab.app.telemetry.ask("/spinat/bind" + ("," + params if params else ""))
        assert answer.startswith("error: expected "), answer


class TestDropMode:
    """Nobody may get it who may be the wrong one: then the operator must say who is right."""

    @pytest.fixture(scope="class")
    def config(self) -> cfg.Config:
        return cfg.default_config(realms=[cfg.realm(ambiguity="drop")])

    def test_log_and_order(self, lab: Lab) -> None:
        for host in (A, B):
            negotiate(lab, host, GATEWAY)
        tunnel = Tunnel(A, GATEWAY)
        lab.outside.send(tunnel.inbound(POOL)[0])
        lab.silent(spi_ambiguous=1)
        lab.app.wait_says("event=spi_ambiguous", f"{tunnel.spi_in:#010x}")
        done(lab, "bind", f"{tunnel.spi_in:#x}", GATEWAY, POOL, A)
        assert reached(lab, tunnel.inbound(POOL)[0]) == {A}


class TestTwoWorkers:
    """An order finds the worker that owns the gateway."""

    @pytest.fixture(scope="class")
    def config(self) -> cfg.Config:
        return cfg.default_config(
            workers=2,
            lcores="0@0,1@0,2@1",
            devices={side: f"{device},qpairs=2" for side, device in cfg.VETH.items()},
            limits={"copies_per_spi": 10},
            neighbours=[
                {"interface": "lan", "address": h, "mac": host_mac(h)} for h in (A, B, C)
            ],
        )

    def test_gateways_of_both(self, lab: Lab) -> None:
        owners = set()
        for number in range(20, 40):
            gateway = f"203.0.113.{number}"
            tunnel = undecided(lab, gateway)
            done(lab, "bind", f"{tunnel.spi_in:#x}", gateway, POOL, C)
            assert reached(lab, tunnel.inbound(POOL)[0]) == {C}
            owners |= {row["worker"] for row in lab.app.telemetry.bindings(remote=gateway)}
            if len(owners) == 2:
                return
        raise AssertionError("one worker has all gateways")


class TestFlood:
    """More undecidable SPIs than lines a reader wants."""

    @pytest.fixture(scope="class")
    def config(self) -> cfg.Config:
        return cfg.default_config(realms=[cfg.realm(ambiguity="drop")])

    def test_lines_are_few_and_say_how_many_were_left_out(self, lab: Lab) -> None:
        for host in (A, B):
            negotiate(lab, host, GATEWAY)
        tunnel = Tunnel(A, GATEWAY)

        def said() -> list[str]:
            return [one for one in lab.app.lines if "event=spi_ambiguous" in one]

        def more() -> bool:
            tunnel.rekey()
            lab.outside.send(tunnel.inbound(POOL)[0])
            lab.settle()
            return any("left_out=0" not in one for one in said())

        eventually(more)
        left_out = [int(one.partition("left_out=")[2].split()[0]) for one in said()]
        assert left_out[0] == 0 and left_out[-1] > 0
        eventually(lambda: lab.app.telemetry.ask("/spinat/stats")["kept"] == 0)
        lab.forget_drops()
