# SPDX-License-Identifier: BSD-3-Clause
# Copyright (c) 2026 the spinat authors
"""Programs that people run, through the box: what they say about it is what counts."""

import contextlib
import hashlib
import json
import os
import random
import re
import subprocess
import threading
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import IO

import pytest
from harness import config as cfg
from harness.lab import eventually
from harness.namespace import Namespace
from harness.plan import A, POOL, REMOTE, REMOTE2
from harness.world import World, process, wait_for_listener

# Servers of which Debian's packages would start a daemon are unpacked there (tools/lib/common.sh).
PROGRAMS = Path(os.environ.get("SPINAT_PROGRAMS", "/var/cache/spinat-programs"))


def unpacked(name: str) -> str:
    file = PROGRAMS / name
    assert file.exists(), f"{file} does not exist: tools/run-tests --only packages"
    return str(file)


def outcome(
    namespace: Namespace, *command: str, timeout: float = 60
) -> subprocess.CompletedProcess[str]:
    """A program that comes to its end by itself."""
    return subprocess.run(
        [*namespace.prefix, *command],
        capture_output=True,
        text=True,
        timeout=timeout,
        stdin=subprocess.DEVNULL,
        check=False,
    )


@contextlib.contextmanager
def saying(namespace: Namespace, word: str, *command: str) -> Iterator[list[str]]:
    """A program that runs meanwhile and says this word once it can be used; yields what it says."""
    lines: list[str] = []
    ready = threading.Event()

    def read(stream: IO[str]) -> None:
        for line in stream:
            lines.append(line)
            if word in line:
                ready.set()

    with process(namespace, *command) as started:
        assert started.stdout is not None
        reader = threading.Thread(target=read, args=(started.stdout,), daemon=True)
        reader.start()
        assert ready.wait(20), f"{command[0]} never says {word!r}:\n{''.join(lines)}"
        yield lines
    reader.join(5)


class TestStun:
    """coturn's probe of RFC 5780 and its server on two outside addresses."""

    @pytest.fixture(scope="class")
    def server(self, world: World, tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
        place = tmp_path_factory.mktemp("stun")
        command = (
            f"{unpacked('usr/bin/turnserver')} -n --stun-only --no-auth --no-tls --no-dtls --no-cli"
            f" --listening-ip={REMOTE} --listening-ip={REMOTE2} --log-file=stdout --simple-log"
            f" --pidfile={place}/pid --userdb={place}/users --relay-threads=1"
        )
        with saying(world.server, "Total General servers", *command.split()):
            yield

    def probe(self, world: World, *options: str) -> str:
        done = outcome(
            world.clients, unpacked("usr/bin/turnutils_natdiscovery"), "-L", A, *options, REMOTE
        )
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    @pytest.mark.parametrize(
        ("mapping", "filtering"),
        [
            ("endpoint-independent", "address"),
            ("endpoint-independent", "endpoint-independent"),
            ("address", "endpoint-independent"),
            ("address-port", "address-port"),
        ],
    )
    def test_verdict(self, world: World, server: None, mapping: str, filtering: str) -> None:
        realms = [cfg.realm(mapping=mapping, filtering=filtering)]
        assert world.box.reload(world.box.config | {"realms": realms}).startswith("ok")
        kinds = {
            "endpoint-independent": "Endpoint Independent",
            "address": "Address Dependent",
            "address-port": "Address and Port Dependent",
        }
        wanted = [f"{kinds[mapping]} Mapping", f"{kinds[filtering]} Filtering"]

        def agrees() -> bool:
            """On a machine that stands still for seconds the probe takes that for an answer."""
            said = self.probe(world, "-m", "-f")
            print(said)
            return all(f"NAT with {verdict}!" in said for verdict in wanted)

        eventually(agrees)

    def test_hairpin(self, world: World, server: None) -> None:
        realms = [cfg.realm(filtering="endpoint-independent")]
        assert world.box.reload(world.box.config | {"realms": realms}).startswith("ok")
        assert "successful hairpinning" in self.probe(world, "-H")


@contextlib.contextmanager
def web_server(world: World, place: Path) -> Iterator[None]:
    """nginx with the files of a folder; what is below slow/ comes at 400 kB/s."""
    temporary = "".join(
        f"{kind}_temp_path {place}/tmp;" for kind in "client_body proxy fastcgi uwsgi scgi".split()
    )
    (place / "nginx.conf").write_text(
        f"""daemon off; master_process off; error_log stderr notice; pid {place}/pid;
        events {{ worker_connections 1024; }}
        http {{
            {temporary}
            log_format who "$remote_addr $remote_port $status";
            access_log {place}/access who;
            server {{
                listen {REMOTE}:80;
                root {place};
                location /slow/ {{ limit_rate 400k; }}
            }}
        }}"""
    )
    command = (unpacked("usr/sbin/nginx"), "-p", str(place), "-c", str(place / "nginx.conf"))
    with process(world.server, *command, "-e", "stderr"):
        wait_for_listener(world.server, 80)
        (place / "access").write_text("")
        yield


def digest(file: Path) -> str:
    return hashlib.sha256(file.read_bytes()).hexdigest()


WG_TIMEOUT = 3  # seconds a mapping lives without packets
WG_KEEPALIVE = 1
WG_IDLE = 12 * WG_TIMEOUT  # an hour where the timeout is the usual five minutes
KEPT_PORT, SILENT_PORT = 51821, 51822


class WireGuard:
    """One end of a tunnel, by wireguard-go. Names of devices hold across namespaces."""

    def __init__(
        self, namespace: Namespace, name: str, address: str, port: int, place: Path
    ) -> None:
        self.namespace = namespace
        self.device = f"wg{os.getpid()}{name}"
        self.address, self.port = address, port
        self._key_file = place / self.device
        self._key_file.write_text(namespace.run("wg", "genkey"))
        self.public_key = namespace.run("sh", "-c", f"wg pubkey < {self._key_file}").strip()

    @contextlib.contextmanager
    def running(self) -> Iterator[None]:
        command = ("env", "LOG_LEVEL=verbose", "wireguard-go", "-f", self.device)
        with saying(self.namespace, "UAPI listener started", *command):
            self._wg("private-key", str(self._key_file), "listen-port", str(self.port))
            self.namespace.run("ip", "addr", "add", f"{self.address}/24", "dev", self.device)
            self.namespace.run("ip", "link", "set", self.device, "up")
            yield

    def add_peer(self, other: "WireGuard", *options: str) -> None:
        self._wg("peer", other.public_key, "allowed-ips", f"{other.address}/32", *options)

    def _wg(self, *options: str) -> None:
        self.namespace.run("wg", "set", self.device, *options)

    def reaches(self, other: "WireGuard") -> bool:
        """Whether one of the pings of five seconds is answered."""
        command = f"ping -q -c 1 -w 5 -I {self.device} {other.address}"
        return outcome(self.namespace, *command.split()).returncode == 0


@dataclass
class Tunnel:
    """One client and a server."""

    client: WireGuard
    server: WireGuard


@contextlib.contextmanager
def tunnel(world: World, port: int, place: Path, *options: str) -> Iterator[Tunnel]:
    """A tunnel whose client has this port, and these options for its peer."""
    net = f"172.16.{port % 256}"
    client = WireGuard(world.clients, f"c{port % 10}", f"{net}.2", port, place)
    server = WireGuard(world.server, f"s{port % 10}", f"{net}.1", port, place)
    with client.running(), server.running():
        server.add_peer(client)
        client.add_peer(server, "endpoint", f"{REMOTE}:{port}", *options)
        yield Tunnel(client, server)


class TestADay:
    """Downloads, transfers and, meanwhile, a VPN that has nothing to say."""

    @pytest.fixture(scope="class")
    def config(self) -> cfg.Config:
        return cfg.default_config(timeouts={"udp": WG_TIMEOUT})

    @pytest.fixture(scope="class")
    def kept(self, world: World, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Tunnel]:
        """A tunnel with keepalives."""
        options = ("persistent-keepalive", str(WG_KEEPALIVE))
        with tunnel(world, KEPT_PORT, tmp_path_factory.mktemp("kept"), *options) as made:
            yield made

    @pytest.fixture(scope="class")
    def silent(self, world: World, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Tunnel]:
        with tunnel(world, SILENT_PORT, tmp_path_factory.mktemp("silent")) as made:
            yield made

    def ages(self, world: World) -> dict[int, int]:
        """Seconds since the mappings of the tunnels began, by the port of the client."""
        rows = world.box.telemetry.mappings(protocol="udp")
        ports = {int(row["inside"].split(":")[1]): row["age_s"] for row in rows}
        return {port: age for port, age in ports.items() if port in (KEPT_PORT, SILENT_PORT)}

    def test_wireguard_comes_up(self, world: World, kept: Tunnel, silent: Tunnel) -> None:
        for both in (kept, silent):
            eventually(partial(both.client.reaches, both.server))
            eventually(partial(both.server.reaches, both.client))
        assert sorted(self.ages(world)) == [KEPT_PORT, SILENT_PORT]

    def test_wireguard_without_keepalives(self, world: World, silent: Tunnel) -> None:
        """Nobody outside reaches the client while it has no mapping."""

        def refused() -> bool:
            before = self.ages(world)
            reached = silent.server.reaches(silent.client)
            return not reached and SILENT_PORT not in before | self.ages(world)

        eventually(lambda: SILENT_PORT not in self.ages(world))
        eventually(refused, 60)
        # its own packets open the way again
        eventually(partial(silent.client.reaches, silent.server))
        eventually(partial(silent.server.reaches, silent.client))

    @pytest.mark.parametrize(
        "options",
        [("-n", "16M"), ("-n", "16M", "-R"), ("-u", "-n", "1M", "-b", "500K")],
        ids=["up", "down", "udp"],
    )
    def test_iperf3(self, world: World, options: tuple[str, ...]) -> None:
        """Eight streams and the connection that controls them."""
        streams, kind = 8, "udp" if "-u" in options else "tcp"
        wanted = Counter({"tcp": 1}) + Counter({kind: streams})

        def sessions() -> Counter[str]:
            rows = world.box.telemetry.sessions(remote=REMOTE)
            return Counter(r["protocol"] for r in rows if r["remote"] == f"{REMOTE}:5201")

        before = sessions()
        listening = ("listening", "iperf3", "-s", "-1", "--forceflush", "-B", REMOTE)
        command = ("iperf3", "-J", "-c", REMOTE, "-P", str(streams), *options)
        with (
            saying(world.server, *listening),
            process(world.clients, *command) as client,
        ):
            eventually(lambda: sessions() - before == wanted)
            report = json.loads(client.communicate(timeout=120)[0])
        assert client.returncode == 0 and "error" not in report, report.get("error")
        assert len(report["end"]["streams"]) == streams
        if kind == "udp":
            assert report["end"]["sum"]["lost_percent"] < 20
        else:
            received = [stream["receiver"]["bytes"] for stream in report["end"]["streams"]]
            assert min(received) > 0, "a stream has been starved"

    def test_two_hundred_connections(self, world: World, tmp_path: Path) -> None:
        """As a browser opens a page of many objects, nginx on the other side."""
        objects, answers, dice = tmp_path / "www", tmp_path / "got", random.Random(5780)
        objects.mkdir()
        answers.mkdir()
        names = [f"object{number}" for number in range(200)]
        for name in names:
            (objects / name).write_bytes(dice.randbytes(dice.choice([1, 1000, 20_000, 200_000])))
        (tmp_path / "wanted").write_text(
            "".join(f'url = "http://{REMOTE}/{n}"\noutput = "{answers / n}"\n' for n in names)
        )
        with web_server(world, objects):
            command = "curl -sS -f -Z --parallel-immediate --parallel-max 60 -m 100 -K"
            options = (str(tmp_path / "wanted"), "-H", "Connection: close")
            done = outcome(world.clients, *command.split(), *options, timeout=120)
        assert done.returncode == 0, done.stderr
        for name in names:
            assert digest(answers / name) == digest(objects / name)
        log = [line.split() for line in (objects / "access").read_text().splitlines()]
        assert {(address, status) for address, _, status in log} == {(POOL, "200")}
        assert len({port for _, port, _ in log}) == len(log) == len(names)
        seen = {row["outside"] for row in world.box.telemetry.sessions(remote=REMOTE)}
        assert {f"{POOL}:{port}" for _, port, _ in log} <= seen

    def test_wireguard_after_an_hour(self, world: World, kept: Tunnel) -> None:
        """The other side speaks first, through the mapping that was made at the beginning."""
        eventually(lambda: self.ages(world).get(KEPT_PORT, 0) >= WG_IDLE, 4 * WG_IDLE)
        eventually(partial(kept.server.reaches, kept.client))


class TestKilled:
    """A download goes on when the box is killed and started again."""

    @pytest.fixture(scope="class")
    def config(self, tmp_path_factory: pytest.TempPathFactory) -> cfg.Config:
        return cfg.default_config(
            checkpoint={"file": str(tmp_path_factory.mktemp("state") / "state"), "interval": 86400}
        )

    def test_download(self, world: World, tmp_path: Path) -> None:
        (tmp_path / "slow").mkdir()
        content, got = tmp_path / "slow" / "file", tmp_path / "got"
        content.write_bytes(os.urandom(2 << 20))
        with web_server(world, tmp_path):
            command = f"curl -sS -f -m 100 -o {got} http://{REMOTE}/slow/file".split()
            with process(world.clients, *command) as download:
                eventually(lambda: got.exists() and got.stat().st_size > 1 << 18)
                assert world.box.telemetry.ask("/spinat/checkpoint_now").startswith("ok")
                world.box.kill()
                cut = got.stat().st_size
                world.box.start()
                assert world.box.says("event=restore", "result=ok", "sessions=1")
                assert download.wait(100) == 0
        assert cut < content.stat().st_size, "it was over before"
        assert digest(got) == digest(content)
        assert len((tmp_path / "access").read_text().splitlines()) == 1


class Dns:
    """Large answers of NSD to dig come in fragments. The box has taps: on packet sockets DPDK asks
    the kernel to put fragments together before it sees them (PACKET_FANOUT_FLAG_DEFRAG)."""

    STRINGS = [f"{number:03d}" + "x" * 200 for number in range(18)]

    @pytest.fixture(scope="class")
    def server(self, world: World, tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
        place = tmp_path_factory.mktemp("nsd")
        text = " ".join(f'"{string}"' for string in self.STRINGS)
        (place / "zone").write_text(
            "$ORIGIN example.\n$TTL 60\n@ SOA ns host 1 60 60 60 60\n@ NS ns\n"
            f"ns A {REMOTE}\nlarge TXT {text}\n"
        )
        (place / "nsd.conf").write_text(
            f"""server:
                ip-address: {REMOTE}
                username: ""
                zonesdir: "{place}"
                database: ""
                pidfile: ""
                xfrdfile: "{place}/xfrd"
                zonelistfile: "{place}/zonelist"
                ipv4-edns-size: 4096
            remote-control:
                control-enable: no
            zone:
                name: example.
                zonefile: zone
            """
        )
        command = (unpacked("usr/sbin/nsd"), "-d", "-c", str(place / "nsd.conf"))
        with saying(world.server, "nsd started", *command):
            yield

    def ask(self, world: World, *options: str) -> str:
        """dig's words about one query over UDP, without a second try over TCP."""
        command = ("dig", f"@{REMOTE}", "+notcp", "+ignore", "+tries=5", "+time=3", *options)
        done = outcome(world.clients, *command, "large.example", "TXT")
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    @staticmethod
    def put_together(namespace: Namespace) -> int:
        """Datagrams that the kernel has reassembled there."""
        with namespace.entered():
            text = Path("/proc/thread-self/net/snmp").read_text()
        names, values = re.findall("^Ip: (.*)$", text, re.M)
        return int(dict(zip(names.split(), values.split(), strict=True))["ReasmOKs"])

    def check_large_answer(self, world: World, *options: str) -> None:
        before = self.put_together(world.clients)
        for _ in range(5):
            answer = self.ask(world, "+bufsize=4096", *options)
            assert all(string in answer for string in self.STRINGS)
            assert re.search(r"flags: qr aa( rd)?;", answer), answer
        assert self.put_together(world.clients) - before >= 5


class TestDns(Dns):
    @pytest.fixture(scope="class")
    def config(self) -> cfg.Config:
        return cfg.default_config(devices=cfg.TAP)

    def test_fragments(self, world: World, server: None) -> None:
        self.check_large_answer(world)

    def test_truncated(self, world: World, server: None) -> None:
        """What a client gets that does not take large answers."""
        assert "flags: qr aa tc" in self.ask(world, "+bufsize=1232")


class TestDnsSmallerMtuOutside(Dns):
    @pytest.fixture(scope="class")
    def config(self) -> cfg.Config:
        config = cfg.default_config(devices=cfg.TAP)
        config["interfaces"][1]["mtu"] = 400
        return config

    def test_fragments(self, world: World, server: None) -> None:
        """Padded queries (RFC 7830) are cut by the box."""
        before = self.put_together(world.server)
        self.check_large_answer(world, "+padding=512")
        assert self.put_together(world.server) - before >= 5
