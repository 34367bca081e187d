# SPDX-License-Identifier: BSD-3-Clause
# Copyright (c) 2026 the spinat authors
"""Start, stop, and what is said when it does not start."""

import copy
import re
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest
from harness import config as cfg
from harness.appliance import Appliance, run_binary
from harness.lab import Lab
from harness.plan import A, BOX_OUTSIDE, POOL, REMOTE
from scapy.layers.inet import IP, UDP


def one_sentence(output: str) -> str:
    """What spinat itself says: exactly one line, which no log prefix hides."""
    lines = [line for line in output.splitlines() if line.startswith("spinat: ")]
    assert len(lines) == 1, output
    return lines[0]


STATIC = {"inside": A, "outside": "192.0.2.60"}
IPSEC = {"outside": POOL, "protocol": "ipsec", "inside": A}
BLOCKS = cfg.realm(port_allocation="block")

# what contradicts what
CONTRADICTIONS = {
    "pool and inside subnet": ({"realms": [cfg.realm(pool=["10.0.0.9"])]}, "pool", "addresses"),
    "pool and itself": ({"realms": [cfg.realm(pool=[POOL, f"{POOL}/31"])]}, "pool[1]", "pool[0]"),
    "static and pool": ({"static": [STATIC | {"outside": POOL}]}, "outside", "pool"),
    "static and box": ({"static": [STATIC | {"outside": BOX_OUTSIDE}]}, "outside", "addresses"),
    "static and static": ({"static": [STATIC, STATIC]}, "static[1]", "static[0]"),
    "redirect and redirect": ({"redirect": [IPSEC, IPSEC]}, "redirect[1]", "redirect[0]"),
    "redirect and static": ({"redirect": [IPSEC], "static": [STATIC]}, "redirect", "static"),
    "redirect and block": (
        {
            "redirect": [{"outside": POOL, "protocol": "tcp", "port": 5000, "inside": A}],
            "realms": [BLOCKS],
        },
        "port",
        "port_allocation",
    ),
    "redirected 4500 and block": (
        {"redirect": [IPSEC], "realms": [BLOCKS]},
        "protocol",
        "port_allocation",
    ),
    "exempt and static": ({"exempt": [{"to": "0.0.0.0/0"}], "static": [STATIC]}, "to", "inside"),
    "exempt and redirect": ({"exempt": [{"to": "0.0.0.0/0"}], "redirect": [IPSEC]}, "to", "inside"),
    "exempt and pool": ({"exempt": [{"to": f"{POOL}/32"}]}, "exempt[0].to", "pool"),
    "sessions of a client": (
        {"limits": {"sessions": 100}, "realms": [cfg.realm(client_sessions=101)]},
        "client_sessions",
        "limits.sessions",
    ),
    "mappings of a protocol": (
        {"limits": {"sessions": 100}, "realms": [cfg.realm(client_mappings={"udp": 101})]},
        "client_mappings.udp",
        "limits.sessions",
    ),
    "SPIs of a client": (
        {"limits": {"bindings": 100, "bindings_per_client": 101}},
        "bindings_per_client",
        "limits.bindings",
    ),
}


class TestCheck:
    """--check needs no devices and starts nothing."""

    def check(self, box: Lab, tmp_path: Path, text: str) -> tuple[int, str, str]:
        file = tmp_path / "check.cfg"
        file.write_text(text)
        done = run_binary(box.app.namespace, "-c", str(file), "--check")
        return done.returncode, done.stdout, done.stderr

    def test_good(self, box: Lab, tmp_path: Path) -> None:
        code, out, err = self.check(box, tmp_path, cfg.file_text(box.config))
        assert code == 0 and err == ""
        assert POOL in out and "lan" in out and "wan" in out

    @pytest.mark.parametrize(
        "changes,words",
        [
            ({"colour": "red"}, ["colour"]),
            ({"workers": 0}, ["workers", "0", "1"]),
            ({"timeouts": {"udp": 100000}}, ["udp", "100000", "86400"]),
            ({"realms": [cfg.realm(filtering="none")]}, ["filtering", "none", "address-port"]),
            ({"routes": [{"to": "0.0.0.0/0", "via": "172.31.0.1"}]}, ["via", "172.31.0.1"]),
            ({"interfaces": [], "routes": [], "realms": []}, ["interfaces", "inside"]),
        ],
        ids=["unknown key", "zero", "too large", "unknown word", "via nowhere", "no interface"],
    )
    def test_wrong(self, box: Lab, tmp_path: Path, changes: cfg.Config, words: list[str]) -> None:
        """The sentence names file and line, the key, what was found, what is accepted."""
        text = cfg.file_text(copy.deepcopy(box.config) | changes)
        code, out, err = self.check(box, tmp_path, text)
        assert code != 0 and out == ""
        sentence = one_sentence(err)
        assert re.search(rf"{re.escape(str(tmp_path))}/check.cfg:\d+: ", sentence), sentence
        assert all(word in sentence for word in words), sentence

    @pytest.mark.parametrize("name", CONTRADICTIONS)
    def test_contradiction(self, box: Lab, tmp_path: Path, name: str) -> None:
        """Both places are named, each with its line and its key."""
        changes, one, other = CONTRADICTIONS[name]
        text = cfg.file_text(copy.deepcopy(box.config) | changes)
        code, out, err = self.check(box, tmp_path, text)
        assert code != 0 and out == ""
        sentence = one_sentence(err)
        assert len(re.findall(r"check\.cfg:\d+", sentence)) == 2, sentence
        found, accepted = sentence.split("expected")
        assert one in found and other in accepted, sentence

    def test_syntax(self, box: Lab, tmp_path: Path) -> None:
        code, _, err = self.check(box, tmp_path, 'name = "x";\nworkers = ;\n')
        assert code != 0 and "check.cfg:2: " in one_sentence(err)

    def test_missing_file(self, box: Lab, tmp_path: Path) -> None:
        done = run_binary(box.app.namespace, "-c", str(tmp_path / "none.cfg"), "--check")
        assert done.returncode != 0 and "none.cfg" in one_sentence(done.stderr)


class TestCommandLine:
    def test_no_configuration(self, box: Lab) -> None:
        done = run_binary(box.app.namespace)
        assert done.returncode == 2 and "-c" in done.stderr

    def test_unknown_option(self, box: Lab) -> None:
        assert run_binary(box.app.namespace, "--colour").returncode == 2

    def test_version_and_help(self, box: Lab) -> None:
        version = run_binary(box.app.namespace, "--version")
        assert version.returncode == 0 and re.search(r"spinat \d+\.\d+", version.stdout)
        usage = run_binary(box.app.namespace, "--help")
        assert usage.returncode == 0 and "--check" in usage.stdout


class TestNoStart:
    """Beside a running box, which must not be disturbed."""

    def start(self, box: Lab, tmp_path: Path, name: str, **changes: object) -> tuple[int, str]:
        config = copy.deepcopy(box.config) | changes
        other = Appliance(box.app.namespace, config, tmp_path, name)
        other.spawn()
        return other.wait(), other.log

    def interfaces(self, box: Lab, lan: str) -> list[cfg.Config]:
        interfaces = copy.deepcopy(box.config["interfaces"])
        interfaces[0]["device"] = lan
        return interfaces

    def test_missing_interface(self, lab: Lab, tmp_path: Path) -> None:
        lan = "net_af_packet5,iface=sp-none"
        code, log = self.start(
            lab, tmp_path, f"{lab.app.name}x", interfaces=self.interfaces(lab, lan)
        )
        assert code != 0 and "sp-none" in one_sentence(log)

    def test_unknown_driver(self, lab: Lab, tmp_path: Path) -> None:
        lan = "net_nonesuch0,iface=sp-in"
        code, log = self.start(
            lab, tmp_path, f"{lab.app.name}x", interfaces=self.interfaces(lab, lan)
        )
        assert code != 0 and "net_nonesuch0" in one_sentence(log)

    def test_name_that_is_taken(self, lab: Lab, tmp_path: Path) -> None:
        code, log = self.start(lab, tmp_path, lab.app.name)
        sentence = one_sentence(log)
        assert code != 0 and lab.app.name in sentence and "taken" in sentence
        # the first one does not notice
        lab.out(IP(src=A, dst=REMOTE) / UDP(sport=4000, dport=53) / b"x", src=POOL, sport=4000)
        assert lab.app.telemetry.ask("/spinat/info")["name"] == lab.app.name

    def test_too_little_memory(self, lab: Lab, tmp_path: Path) -> None:
        code, log = self.start(lab, tmp_path, f"{lab.app.name}x", memory=64)
        sentence = one_sentence(log)
        assert code != 0 and "memory" in sentence


class TestStop:
    """Every test ends the box, and the next one starts it again, with the same name and devices."""

    @pytest.fixture
    def started(self, box: Lab) -> Iterator[Lab]:
        if box.app.process.poll() is not None:
            box.app.start()
        yield box

    def forwards(self, lab: Lab) -> None:
        lab.out(IP(src=A, dst=REMOTE) / UDP(sport=4000, dport=53) / b"x", src=POOL, sport=4000)

    def test_start_again_after_a_kill(self, started: Lab) -> None:
        self.forwards(started)
        started.app.kill()
        assert started.app.process.returncode == -signal.SIGKILL
        started.app.start()
        self.forwards(started)

    @pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
    def test_signal(self, started: Lab, number: signal.Signals) -> None:
        self.forwards(started)
        started.app.process.send_signal(number)
        assert started.app.wait() == 0, started.app.log
        assert started.app.says("event=stopping")

    def test_stop_and_start_many_times(self, started: Lab) -> None:
        for _ in range(3):
            started.app.stop()
            started.app.start()
            self.forwards(started)
