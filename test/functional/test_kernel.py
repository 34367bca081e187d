# SPDX-License-Identifier: BSD-3-Clause
# Copyright (c) 2026 the spinat authors
"""Real network stacks on both sides: the kernel's TCP, UDP and ICMP, curl and iperf3."""

import contextlib
import hashlib
import json
import os
import resource
import selectors
import socket
import struct
import subprocess
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from harness import config as cfg
from harness.plan import BOX_INSIDE, POOL, REMOTE
from harness.world import HOSTS, World, open_socket, process, wait_for_listener

IPERF_SECONDS = int(os.environ.get("SPINAT_IPERF_SECONDS", "5"))
FLOWS_PER_HOST = 50
IP_RECVERR = 11
SO_EE_ORIGIN_ICMP = 2


@contextlib.contextmanager
def udp_server(world: World, port: int) -> Iterator[set[str]]:
    """Answers every datagram with who it came from and what was in it; yields the senders."""
    server = open_socket(world.server, socket.SOCK_DGRAM, bind=(REMOTE, port))
    server.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 8 << 20)
    server.settimeout(0.1)
    senders: set[str] = set()
    stop = threading.Event()

    def serve() -> None:
        while not stop.is_set():
            try:
                data, sender = server.recvfrom(2048)
            except TimeoutError:
                continue
            senders.add(sender[0])
            server.sendto(b"answer to " + data, sender)

    thread = threading.Thread(target=serve)
    thread.start()
    try:
        yield senders
    finally:
        stop.set()
        thread.join()
        server.close()


class TestStacks:
    @pytest.fixture(scope="class")
    def config(self) -> cfg.Config:
        return cfg.default_config()

    def test_ping(self, world: World) -> None:
        """The kernel checks identifier, checksum and payload of the reply."""
        ping = open_socket(world.clients, socket.SOCK_DGRAM, socket.IPPROTO_ICMP, (HOSTS[0], 0))
        for seq in range(1, 11):
            message = struct.pack("!BBHHH", 8, 0, 0, 0, seq) + b"ping payload %d" % seq
            ping.sendto(message, (REMOTE, 0))
            reply, sender = ping.recvfrom(2048)
            assert sender[0] == REMOTE and reply[0] == 0 and reply[6:] == message[6:]
        ping.close()

    def test_ping_the_box(self, world: World) -> None:
        ping = open_socket(world.clients, socket.SOCK_DGRAM, socket.IPPROTO_ICMP)
        ping.sendto(struct.pack("!BBHHH", 8, 0, 0, 0, 1) + b"box", (BOX_INSIDE, 0))
        assert ping.recvfrom(2048)[1][0] == BOX_INSIDE
        ping.close()

    def test_traceroute(self, world: World) -> None:
        """The kernel finds the socket that an ICMP error is about by what it quotes."""
        for ttl, hop, kind in ((1, BOX_INSIDE, 11), (2, REMOTE, 3)):
            probe = open_socket(world.clients, socket.SOCK_DGRAM, bind=(HOSTS[1], 0))
            probe.setsockopt(socket.IPPROTO_IP, socket.IP_TTL, ttl)
            probe.setsockopt(socket.IPPROTO_IP, IP_RECVERR, 1)
            probe.sendto(b"traceroute", (REMOTE, 33434))
            poll = selectors.DefaultSelector()
            poll.register(probe, 0 | selectors.EVENT_READ)
            poll.select(5)
            _, auxiliary, _, _ = probe.recvmsg(2048, 512, socket.MSG_ERRQUEUE)
            (data,) = [d for level, what, d in auxiliary if what == IP_RECVERR]
            _, origin, icmp_type, _, _, _, _ = struct.unpack("IBBBBII", data[:16])
            offender = socket.inet_ntoa(data[20:24])
            assert (origin, icmp_type, offender) == (SO_EE_ORIGIN_ICMP, kind, hop)
            probe.close()

    def test_refused(self, world: World) -> None:
        """A translated port unreachable ends a UDP socket's wait, RST that of a TCP one."""
        udp = open_socket(world.clients, socket.SOCK_DGRAM)
        udp.connect((REMOTE, 9))
        udp.send(b"anybody?")
        with pytest.raises(ConnectionRefusedError):
            udp.recv(100)
        tcp = open_socket(world.clients, socket.SOCK_STREAM)
        with pytest.raises(ConnectionRefusedError):
            tcp.connect((REMOTE, 9))
        udp.close()
        tcp.close()

    def test_queries_like_dns(self, world: World) -> None:
        """One socket a query, as resolvers do."""
        with udp_server(world, 53) as senders:
            for number in range(200):
                query = open_socket(world.clients, socket.SOCK_DGRAM)
                query.sendto(b"query %d" % number, (REMOTE, 53))
                assert query.recv(100) == b"answer to query %d" % number
                query.close()
        assert senders == {POOL}

    def test_download(self, world: World, tmp_path: Path) -> None:
        content = os.urandom(20 << 20)
        (tmp_path / "file").write_bytes(content)
        command = f"/usr/bin/python3 -m http.server -b {REMOTE} -d {tmp_path} 8000"
        with process(world.server, *command.split()):
            wait_for_listener(world.server, 8000)
            done = subprocess.run(
                [*world.clients.prefix, "curl", "-sS", "-m", "120", f"http://{REMOTE}:8000/file"],
                capture_output=True,
                check=False,
            )
        assert done.returncode == 0, done.stderr
        assert hashlib.sha256(done.stdout).digest() == hashlib.sha256(content).digest()

    def iperf(self, world: World, *options: str) -> dict[str, float]:
        with process(world.server, "iperf3", "-s", "-1", "--forceflush", "-B", REMOTE) as server:
            assert server.stdout is not None
            while "listening" not in server.stdout.readline():
                assert server.poll() is None
            command = ["iperf3", "-J", "-c", REMOTE, "-t", str(IPERF_SECONDS), *options]
            report = json.loads(world.clients.run(*command))
        return report["end"]

    @pytest.mark.parametrize("options", [(), ("-R",), ("-P", "4")], ids=["up", "down", "four"])
    def test_tcp_at_a_rate(self, world: World, options: tuple[str, ...]) -> None:
        """Well below what the machine can do, it all arrives, with hardly a retransmit."""
        streams = 4 if "-P" in options else 1
        end = self.iperf(world, "-b", f"{40 // streams}M", *options)
        sent, received = end["sum_sent"], end["sum_received"]
        assert received["bits_per_second"] > 0.8 * 40e6
        assert sent["retransmits"] < 20 + 0.01 * sent["bytes"] / 1448, sent

    def test_tcp_as_fast_as_it_can(self, world: World) -> None:
        """Queues overflow, that is how TCP finds its rate; it must not stall."""
        assert self.iperf(world)["sum_received"]["bits_per_second"] > 10e6

    def test_ten_thousand_flows(self, world: World) -> None:
        """All at once, from 200 addresses; each gets the answer to its own question."""
        total = len(HOSTS) * FLOWS_PER_HOST
        resource.setrlimit(resource.RLIMIT_NOFILE, (total + 1000, total + 1000))
        flows: dict[bytes, socket.socket] = {}
        poll = selectors.DefaultSelector()
        with udp_server(world, 7777) as senders, world.clients.entered():
            for host in HOSTS:
                for number in range(FLOWS_PER_HOST):
                    flow = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
                    flow.bind((host, 0))
                    flow.connect((REMOTE, 7777))
                    flow.setblocking(False)
                    flows[f"{host} {number}".encode()] = flow
            missing = dict(flows)
            for name, flow in flows.items():
                poll.register(flow, selectors.EVENT_READ, name)
            for _ in range(5):  # UDP: what a queue has dropped is sent again
                for count, (name, flow) in enumerate(list(missing.items())):
                    flow.send(name)
                    if count % 50 == 49:
                        time.sleep(0.005)
                quiet = time.monotonic() + 1
                while missing and time.monotonic() < quiet:
                    for key, _ in poll.select(0.2):
                        assert flows[key.data].recv(100) == b"answer to " + key.data
                        missing.pop(key.data, None)
                        quiet = time.monotonic() + 1
            open_sessions = world.box.telemetry.ask("/spinat/info")["sessions"]
        for flow in flows.values():
            flow.close()
        assert not missing, f"{len(missing)} of {total} flows have no answer"
        assert senders == {POOL}
        assert open_sessions >= total


class TestSmallerMtuOutside:
    """The box's frag-needed makes the client's TCP send smaller segments."""

    @pytest.fixture(scope="class")
    def config(self) -> cfg.Config:
        config = cfg.default_config()
        config["interfaces"][1]["mtu"] = 1400
        return config

    def test_upload(self, world: World) -> None:
        content = os.urandom(2 << 20)
        received = bytearray()
        listener = open_socket(world.server, socket.SOCK_STREAM, bind=(REMOTE, 8080))
        listener.listen()

        def serve() -> None:
            connection, _ = listener.accept()
            while data := connection.recv(65536):
                received.extend(data)
            connection.close()

        thread = threading.Thread(target=serve)
        thread.start()
        sender = open_socket(world.clients, socket.SOCK_STREAM)
        sender.connect((REMOTE, 8080))
        sender.settimeout(30)
        sender.sendall(content)
        sender.close()
        thread.join(30)
        listener.close()
        assert bytes(received) == content
        drops = world.box.telemetry.drops()
        assert drops["mtu_df"] > 0
