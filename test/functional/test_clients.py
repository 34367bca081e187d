# SPDX-License-Identifier: BSD-3-Clause
# Copyright (c) 2026 the spinat authors
"""What each inside host gets: limits, blocks of ports, deterministic ports, mapping behaviour."""

import time

import pytest
from harness import config as cfg
from harness.ipsec import Tunnel
from harness.lab import Lab, eventually
from harness.plan import A, B, BOX_INSIDE, GATEWAY, POOL, POOL2, REMOTE, REMOTE2, client
from scapy.layers.inet import ICMP, IP, TCP, UDP
from scapy.packet import Packet

SIZE = 64


def udp(src: str, sport: int, dst: str = REMOTE, dport: int = 53) -> Packet:
    return IP(src=src, dst=dst) / UDP(sport=sport, dport=dport) / b"x"


def answer(to: Packet, dst: str = POOL, src: str = REMOTE, sport: int = 53) -> Packet:
    """From a remote to the outside endpoint that a packet came from."""
    return IP(src=src, dst=dst) / UDP(sport=sport, dport=to.sport) / b"y"


def refused(lab: Lab, packet: Packet, reason: str) -> None:
    """Dropped for that reason, and the sender is told (RFC 6888 REQ-11)."""
    lab.inside.send(packet)
    error = lab.inside.receive().ip
    assert (error[ICMP].type, error[ICMP].code) == (3, 13)
    assert (error.src, error.dst) == (BOX_INSIDE, packet.src)
    lab.silent(**{reason: 1})


class TestLimits:
    @pytest.fixture(scope="class")
    def config(self) -> cfg.Config:
        realm = cfg.realm(client_sessions=12, client_mappings=4, filtering="endpoint-independent")
        return cfg.default_config(realms=[realm], timeouts={"udp": 5, "port_reuse": 0})

    def test_mappings(self, lab: Lab) -> None:
        for number in range(4):
            lab.out(udp(A, 5000 + number), src=POOL, sport=5000 + number)
        refused(lab, udp(A, 5004), "client_mappings")
        lab.out(udp(A, 5000, REMOTE2), src=POOL, sport=5000)  # of a mapping that it has
        lab.out(udp(B, 5004), src=POOL, sport=5004)  # another client
        eventually(lambda: lab.app.telemetry.sessions() == [])
        lab.out(udp(A, 5004), src=POOL, sport=5004)
        eventually(lambda: lab.app.telemetry.sessions() == [])

    def test_sessions(self, lab: Lab) -> None:
        for number in range(12):
            lab.out(udp(A, 5000, dport=100 + number), src=POOL, sport=5000)
        refused(lab, udp(A, 5000, dport=200), "client_sessions")
        refused(lab, udp(A, 5001), "client_sessions")
        assert len(lab.app.telemetry.mappings(client=A)) == 1, "refusals have left no mapping"
        lab.outside.send(answer(udp(A, 5000), src=REMOTE2))  # strangers fill it up no further
        lab.silent(client_sessions=1)
        lab.out(udp(A, 5000, dport=100), src=POOL, sport=5000)
        lab.out(udp(B, 5004), src=POOL, sport=5004)


class TestLimitsByProtocol:
    """RFC 6888 REQ-4 B, and a line of the log for whoever looks after the box (REQ-11 C)."""

    @pytest.fixture(scope="class")
    def config(self) -> cfg.Config:
        limits = {"all": 5, "udp": 3, "tcp": 2, "icmp": 1}
        return cfg.default_config(realms=[cfg.realm(client_mappings=limits)])

    def test_each(self, lab: Lab) -> None:
        for number in range(3):
            lab.out(udp(A, 5000 + number), src=POOL, sport=5000 + number)
        refused(lab, udp(A, 5003), "client_mappings")
        for number in range(2):
            syn = IP(src=A, dst=REMOTE) / TCP(sport=5000 + number, dport=80, flags="S")
            lab.out(syn, src=POOL, sport=5000 + number)
        refused(lab, IP(src=A, dst=REMOTE) / TCP(sport=5002, dport=80, flags="S"), "client_mappings")
        # one of its own is left, but not of all together
        refused(lab, IP(src=A, dst=REMOTE) / ICMP(type=8, id=5000), "client_mappings")
        lab.out(IP(src=B, dst=REMOTE) / ICMP(type=8, id=5000), src=POOL, sport=5000)
        refused(lab, IP(src=B, dst=REMOTE) / ICMP(type=8, id=5001), "client_mappings")

    def test_log_says_so_once_a_client(self, lab: Lab) -> None:
        for host in (A, B):
            words = ("event=exhausted", "reason=client_mappings", f"client={host}")
            lab.app.wait_says(*words, f"outside={POOL}")
            assert sum(all(w in line for w in words) for line in lab.app.lines) == 1


class TestRate:
    @pytest.fixture(scope="class")
    def config(self) -> cfg.Config:
        return cfg.default_config(realms=[cfg.realm(client_rate=5)])

    def test_no_more_than_that_a_second(self, lab: Lab) -> None:
        """In a burst, at least what the bucket holds and at most what came in meanwhile passes."""
        begin = time.monotonic()
        for number in range(100):
            lab.inside.send(udp(A, 5000 + number))
        lab.settle()
        seconds = int(time.monotonic() - begin) + 2  # a second has two ends
        passed = len(lab.app.telemetry.sessions(client=A))
        assert 5 <= passed <= 5 * seconds
        moved = lab.drops_moved()
        assert moved == {"client_rate": 100 - passed}
        lab.forget_drops()
        lab.in_port.waiting()
        lab.out_port.waiting()
        lab.out(udp(B, 5000), src=POOL)
        time.sleep(1.1)
        lab.out(udp(A, 6000), src=POOL, sport=6000)


class TestBlocks:
    @pytest.fixture(scope="class")
    def config(self) -> cfg.Config:
        realm = cfg.realm(port_allocation="block", block_size=SIZE, client_blocks=2)
        return cfg.default_config(
            realms=[realm], ports={"first": 40000, "last": 40000 + 5 * SIZE}, timeouts={"udp": 6}
        )

    def test_client_has_its_blocks_alone(self, lab: Lab) -> None:
        first = lab.out(udp(A, 5000), src=POOL).ip.sport
        block = first // SIZE
        assert first % 2 == 0
        ports = {first}
        for number in range(1, SIZE):
            port = lab.out(udp(A, 5000 + number), src=POOL).ip.sport
            assert port // SIZE == block, "the first block is used up first"
            ports.add(port)
        assert len(ports) == SIZE
        second = lab.out(udp(A, 6000), src=POOL).ip.sport
        assert second // SIZE != block
        other = lab.out(udp(B, 5000), src=POOL).ip.sport
        assert other // SIZE not in (block, second // SIZE)
        # of another protocol, still in its blocks
        syn = IP(src=A, dst=REMOTE) / TCP(sport=5000, dport=80, flags="S")
        assert lab.out(syn, src=POOL).ip[TCP].sport // SIZE in (block, second // SIZE)
        # IPsec has the same address
        lab.out(Tunnel(A, GATEWAY).outbound()[0], src=POOL)
        for number in range(1, SIZE):
            lab.out(udp(A, 6000 + number), src=POOL)
        refused(lab, udp(A, 7000), "ports_exhausted")
        (row,) = lab.app.telemetry.rows("/spinat/pools", outside=POOL)
        assert row["blocks"] == 3
        eventually(lambda: lab.app.telemetry.sessions(protocol="udp") == [])
        (row,) = lab.app.telemetry.rows("/spinat/pools", outside=POOL)
        assert row["blocks"] == 1, "that of the TCP session is left"

    def test_no_block_left(self, lab: Lab) -> None:
        """Five multiples of 64 begin in the range, and only four or five are whole."""
        (row,) = lab.app.telemetry.rows("/spinat/pools", outside=POOL)
        taken = row["blocks"]
        for number in range(5 - taken):
            lab.out(udp(client(10 + number), 5000), src=POOL)
        refused(lab, udp(client(20), 5000), "ports_exhausted")


class TestDeterministic:
    """RFC 7422: who it was is computed from the outside endpoint and the configuration alone."""

    BLOCKS = 10  # of an address

    @pytest.fixture(scope="class", params=[1, 2])
    def config(self, request: pytest.FixtureRequest) -> cfg.Config:
        realm = cfg.realm(
            pool=[POOL, POOL2],
            port_allocation="deterministic",
            block_size=SIZE,
            inside="10.0.0.16/28",
        )
        ports = {"first": 30000, "last": 30016 + self.BLOCKS * SIZE - 1}
        if request.param == 1:
            return cfg.default_config(realms=[realm], ports=ports)
        devices = {side: f"{device},qpairs=2" for side, device in cfg.VETH.items()}
        return cfg.default_config(
            realms=[realm], ports=ports, workers=2, lcores="0@0,1@0,2@1", devices=devices
        )

    def host_of(self, outside: str, port: int) -> str:
        number = (0 if outside == POOL else self.BLOCKS) + (port - 30016) // SIZE
        return f"10.0.0.{16 + number}"

    def test_every_host(self, lab: Lab) -> None:
        for number in range(16, 32):
            host = f"10.0.0.{number}"
            for sport in (5000, 30016 + (number - 16) * SIZE, 40001):
                lab.inside.send(udp(host, sport))
                packet = lab.outside.receive().ip
                assert self.host_of(packet.src, packet[UDP].sport) == host
                assert packet[UDP].sport % 2 == sport % 2
                back = answer(packet[UDP], dst=packet.src)
                lab.back(back, dst=host, dport=sport)

    def test_others_have_none(self, lab: Lab) -> None:
        refused(lab, udp("10.0.0.32", 5000), "no_pool")

    def test_its_ports_are_all(self, lab: Lab) -> None:
        for number in range(SIZE):
            lab.inside.send(IP(src="10.0.0.20", dst=REMOTE) / TCP(sport=number + 1, flags="S"))
            lab.outside.receive()
        refused(lab, IP(src="10.0.0.20", dst=REMOTE) / TCP(sport=99, flags="S"), "ports_exhausted")


class TestMappingByAddress:
    @pytest.fixture(scope="class")
    def config(self) -> cfg.Config:
        realm = cfg.realm(mapping="address", filtering="endpoint-independent")
        return cfg.default_config(realms=[realm])

    def test_one_for_each_remote_address(self, lab: Lab) -> None:
        first = lab.out(udp(A, 5000), src=POOL, sport=5000).ip.sport
        assert lab.out(udp(A, 5000, dport=54), src=POOL).ip.sport == first
        second = lab.out(udp(A, 5000, REMOTE2), src=POOL).ip.sport
        assert second != first
        for port in (first, second):
            for remote in (REMOTE, REMOTE2):
                back = IP(src=remote, dst=POOL) / UDP(sport=9, dport=port) / b"y"
                lab.back(back, dst=A, dport=5000)
        rows = lab.app.telemetry.mappings(client=A)
        assert sorted(r["remote"] for r in rows) == [f"{REMOTE}:0", f"{REMOTE2}:0"]


class TestMappingOfARemoteThatIsGone:
    @pytest.fixture(scope="class")
    def config(self) -> cfg.Config:
        realm = cfg.realm(mapping="address", filtering="endpoint-independent")
        return cfg.default_config(realms=[realm], timeouts={"udp": 2})

    def test_stays_the_mapping_of_that_one(self, lab: Lab) -> None:
        """Strangers keep it alive, and it becomes no mapping of theirs."""
        port = lab.out(udp(A, 5000), src=POOL).ip.sport
        stranger, next_one = ("198.51.100.77", "198.51.100.78")

        def gone() -> bool:
            back = IP(src=stranger, dst=POOL) / UDP(sport=9, dport=port) / b"y"
            lab.back(back, dst=A, dport=5000)
            return lab.app.telemetry.sessions(client=A, remote=REMOTE) == []

        eventually(gone)
        back = IP(src=next_one, dst=POOL) / UDP(sport=9, dport=port) / b"y"
        lab.back(back, dst=A, dport=5000)
        lab.out(udp(A, 5000), src=POOL, sport=port)
        assert lab.out(udp(A, 5000, next_one, dport=54), src=POOL).ip.sport != port
        eventually(lambda: lab.app.telemetry.mappings() == [])


class TestMappingByEndpoint:
    @pytest.fixture(scope="class")
    def config(self) -> cfg.Config:
        realm = cfg.realm(mapping="address-port", filtering="address-port")
        return cfg.default_config(realms=[realm], timeouts={"udp": 4})

    def test_one_for_each_remote_endpoint(self, lab: Lab) -> None:
        """A symmetric NAT: only whom it was made for gets in."""
        ports = {
            (remote, dport): lab.out(udp(A, 5000, remote, dport), src=POOL).ip.sport
            for remote in (REMOTE, REMOTE2)
            for dport in (53, 54)
        }
        assert len(set(ports.values())) == 4
        for (remote, dport), port in ports.items():
            back = IP(src=remote, dst=POOL) / UDP(sport=dport, dport=port) / b"y"
            lab.back(back, dst=A, dport=5000)
            lab.outside.send(IP(src=remote, dst=POOL) / UDP(sport=107 - dport, dport=port) / b"y")
            lab.silent(filtered=1)
        eventually(lambda: lab.app.telemetry.mappings() == [])
