# SPDX-License-Identifier: BSD-3-Clause
# Copyright (c) 2026 the spinat authors
"""State over a restart: the box is killed in mid-traffic, and what it had goes on."""

import copy
import itertools
import re
import struct
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from harness import config as cfg
from harness import ipsec, wire
from harness.appliance import run_binary
from harness.ipsec import CREATE_CHILD_SA, INFORMATIONAL, IkeSa, Tunnel
from harness.lab import Lab, eventually
from harness.plan import A, B, C, GATEWAY, POOL, POOL2, REMOTE, REMOTE2, TRANSIT, client, host_mac
from scapy.layers.inet import ICMP, IP, TCP, UDP
from scapy.packet import Packet

SERVER = "10.0.0.60"
STATIC_INSIDE, STATIC_OUTSIDE = "10.0.0.61", "192.0.2.61"
VERSION_AT = 12  # in the file's header


def udp(sport: int, src: str = A, dst: str = REMOTE) -> Packet:
    return IP(src=src, dst=dst) / UDP(sport=sport, dport=53) / b"question"


def answer(dport: int, src: str = REMOTE, dst: str = POOL) -> Packet:
    return IP(src=src, dst=dst) / UDP(sport=53, dport=dport) / b"answer"


def tcp(sport: int, flags: str, data: bytes = b"", src: str = A, dst: str = REMOTE) -> Packet:
    return IP(src=src, dst=dst) / TCP(sport=sport, dport=80, flags=flags, seq=7, ack=9) / data


def segment(dport: int, flags: str, data: bytes = b"", src: str = REMOTE) -> Packet:
    return IP(src=src, dst=POOL) / TCP(sport=80, dport=dport, flags=flags, seq=9, ack=7) / data


def connect(lab: Lab, sport: int, src: str = A) -> int:
    """An established connection; returns its outside port."""
    port = lab.out(tcp(sport, "S", src=src), src=POOL).ip.sport
    lab.back(segment(port, "SA"), dst=src, dport=sport)
    lab.out(tcp(sport, "A", src=src), src=POOL, sport=port)
    return port


def checkpoint(lab: Lab) -> dict[str, Any]:
    return lab.app.telemetry.ask("/spinat/checkpoint")


def save(lab: Lab) -> None:
    said = lab.app.telemetry.ask("/spinat/checkpoint_now")
    assert said.startswith("ok: "), said


def begin_again(lab: Lab, config: cfg.Config | None = None) -> None:
    lab.config = config or lab.config
    lab.app.write(lab.config)
    lab.app.start()
    lab.settle()
    lab.forget_drops()


def crash(lab: Lab, config: cfg.Config | None = None) -> dict[str, Any]:
    """Kills the box behind a checkpoint and starts it again; returns what it says of that."""
    save(lab)
    lab.app.kill()
    begin_again(lab, config)
    return checkpoint(lab)


def kept(place: Path, **changes: Any) -> cfg.Config:
    return cfg.default_config(
        **{"checkpoint": {"file": str(place / "state"), "interval": 86400}} | changes
    )


def file_of(lab: Lab) -> Path:
    return Path(lab.config["checkpoint"]["file"])


@pytest.fixture(scope="class")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("state")


@pytest.fixture
def fresh(box: Lab, config: cfg.Config) -> Iterator[Lab]:
    """The box of the class, started without any state."""
    box.app.kill()
    place = Path(config["checkpoint"]["file"])
    place.unlink(missing_ok=True)
    box.in_port.waiting()
    box.out_port.waiting()
    begin_again(box, config)
    yield box


class TestKilled:
    @pytest.fixture(scope="class")
    def config(self, place: Path) -> cfg.Config:
        return kept(
            place,
            redirect=[
                {"outside": POOL, "protocol": "tcp", "port": 8080} | {
                    "inside": SERVER, "inside_port": 80,
                }
            ],
            static=[{"inside": STATIC_INSIDE, "outside": STATIC_OUTSIDE}],
        )

    def test_udp(self, fresh: Lab) -> None:
        """The gateway side speaks first, port, filtering and endpoint independence are as before."""
        lab = fresh
        first = lab.out(udp(4000), src=POOL).ip.sport
        second = lab.out(udp(4000, src=B), src=POOL).ip.sport
        assert first != second
        told = crash(lab)
        assert told["restored"]["sessions"] == 2 and sum(told["skipped"].values()) == 0
        lab.back(answer(first), dst=A, dport=4000)
        lab.back(answer(second), dst=B, dport=4000)
        lab.outside.send(answer(first, src=REMOTE2))
        lab.silent(filtered=1)
        lab.out(udp(4000, dst=REMOTE2), src=POOL, sport=first)
        lab.back(answer(first, src=REMOTE2), dst=A, dport=4000)
        # the ports are in use
        assert lab.out(udp(4000, src=C), src=POOL).ip.sport not in (first, second)
        lab.silent()

    def test_tcp(self, fresh: Lab) -> None:
        lab = fresh
        one, two = connect(lab, 4100), connect(lab, 4100, B)
        crash(lab)
        lab.back(segment(one, "PA", b"news"), dst=A, dport=4100)
        lab.out(tcp(4100, "PA", b"GET /", src=B), src=POOL, sport=two)
        lab.out(tcp(4100, "A"), src=POOL, sport=one)
        lab.back(segment(two, "PA", b"200"), dst=B, dport=4100)
        rows = lab.app.telemetry.sessions(protocol="tcp")
        assert {row["state"] for row in rows} == {"established"} and len(rows) == 2
        lab.back(segment(one, "FA"), dst=A, dport=4100)
        lab.out(tcp(4100, "FA"), src=POOL, sport=one)
        (row,) = [r for r in lab.app.telemetry.sessions(client=A)]
        assert row["state"] == "closing"
        lab.silent()

    def test_tcp_cannot_be_ended_by_a_guess(self, fresh: Lab) -> None:
        """Where the connection is is kept, too: what was no part of it before is none after."""
        lab = fresh
        port = connect(lab, 4150)
        crash(lab)
        for flags in ("R", "FA"):
            guess = segment(port, flags)
            guess[TCP].seq = 0x40000000
            lab.back(guess, dst=A, dport=4150)
        (row,) = lab.app.telemetry.sessions(client=A)
        assert row["state"] == "established"
        assert lab.app.telemetry.ask("/spinat/stats")["tcp_disbelieved"] == 2
        lab.back(segment(port, "R"), dst=A, dport=4150)
        (row,) = lab.app.telemetry.sessions(client=A)
        assert row["state"] == "closing"

    def test_icmp_echo(self, fresh: Lab) -> None:
        lab = fresh
        request = IP(src=A, dst=REMOTE) / ICMP(type=8, id=4200) / b"ping"
        number = lab.out(request, src=POOL).ip[ICMP].id
        crash(lab)
        reply = IP(src=REMOTE, dst=POOL) / ICMP(type=0, id=number) / b"ping"
        lab.back(reply, dst=A, dport=4200)
        lab.out(request, src=POOL, sport=number)

    def test_redirection_and_static_rule(self, fresh: Lab) -> None:
        """A connection that came from outside, and a protocol without ports."""
        lab = fresh
        syn = IP(src=REMOTE, dst=POOL) / TCP(sport=999, dport=8080, flags="S")
        synack = IP(src=SERVER, dst=REMOTE) / TCP(sport=80, dport=999, flags="SA")
        lab.back(syn, dst=SERVER, dport=80)
        lab.out(synack, src=POOL, sport=8080)
        other = IP(src=STATIC_INSIDE, dst=REMOTE, proto=132) / b"sixteen bytes of"
        lab.out(other, src=STATIC_OUTSIDE)
        told = crash(lab)
        assert told["restored"]["sessions"] == 2
        data = IP(src=SERVER, dst=REMOTE) / TCP(sport=80, dport=999, flags="PA") / b"220 hello"
        lab.out(data, src=POOL, sport=8080)
        data = IP(src=REMOTE, dst=POOL) / TCP(sport=999, dport=8080, flags="PA") / b"HELO"
        lab.back(data, dst=SERVER, dport=80)
        lab.back(IP(src=REMOTE, dst=STATIC_OUTSIDE, proto=132) / b"answer", dst=STATIC_INSIDE)

    def test_hairpin(self, fresh: Lab) -> None:
        lab = fresh
        theirs = lab.out(udp(4300, src=B), src=POOL).ip.sport
        mine = lab.out(udp(4300), src=POOL).ip.sport
        hello = IP(src=A, dst=POOL) / UDP(sport=4300, dport=theirs) / b"hello"
        back = IP(src=B, dst=POOL) / UDP(sport=4300, dport=mine) / b"hello yourself"
        lab.inside.send(hello)
        lab.dropped(filtered=1)
        lab.inside.send(back)
        expected = wire.translated(back, src=POOL, sport=theirs, dst=A, dport=4300)
        wire.assert_sent(lab.inside.receive().ip_bytes, expected)
        crash(lab)
        lab.inside.send(hello)
        expected = wire.translated(hello, src=POOL, sport=mine, dst=B, dport=4300)
        wire.assert_sent(lab.inside.receive().ip_bytes, expected)

    def test_twice(self, fresh: Lab) -> None:
        """What was restored is kept once more, with its age."""
        lab = fresh
        port = lab.out(udp(4400), src=POOL).ip.sport
        crash(lab)
        told = crash(lab)
        assert told["restored"]["sessions"] == 1
        (row,) = lab.app.telemetry.mappings(client=A)
        assert row["age_s"] * 1000 + 1000 >= told["down_ms"]
        lab.back(answer(port), dst=A, dport=4400)

    def test_all_of_it_is_there(self, fresh: Lab) -> None:
        lab = fresh
        for host in range(1, 11):
            for sport in range(5000, 5020):
                lab.inside.send(udp(sport, src=client(host)))
        before = {f.ip[UDP].sport for f in lab.outside.receive_all(200)}
        keys = ("inside", "outside", "remote", "protocol", "realm", "state")
        rows = [{k: r[k] for k in keys} for r in lab.app.telemetry.sessions()]
        told = crash(lab)
        assert told["restored"]["sessions"] == len(before) == 200
        again = [{k: r[k] for k in keys} for r in lab.app.telemetry.sessions()]
        assert sorted(rows, key=str) == sorted(again, key=str)
        (pool,) = [p for p in lab.app.telemetry.rows("/spinat/pools") if p["address"] == POOL]
        assert pool["udp"] == 200
        lab.silent()

    def test_expired_meanwhile(self, fresh: Lab) -> None:
        lab = fresh
        port = lab.out(udp(4550), src=POOL).ip.sport
        connect(lab, 4551)
        save(lab)
        lab.app.kill()
        time.sleep(2.1)
        begin_again(lab, copy.deepcopy(lab.config) | {"timeouts": {"udp": 2}})
        told = checkpoint(lab)
        assert told["down_ms"] >= 2000
        assert told["restored"]["sessions"] == 1 and told["skipped"]["expired"] == 1
        lab.outside.send(answer(port))
        lab.silent(no_mapping=1)

    def test_clean_exit(self, fresh: Lab) -> None:
        """Nobody has asked for a checkpoint, and none was due."""
        lab = fresh
        port = lab.out(udp(4600), src=POOL).ip.sport
        assert not file_of(lab).exists()
        lab.app.stop()
        assert file_of(lab).stat().st_mode & 0o777 == 0o600
        begin_again(lab)
        assert lab.app.says("event=restore", "result=ok", "sessions=1")
        lab.back(answer(port), dst=A, dport=4600)

    def test_periodically(self, fresh: Lab) -> None:
        lab = fresh
        config = copy.deepcopy(lab.config)
        config["checkpoint"]["interval"] = 1
        port = lab.out(udp(4700), src=POOL).ip.sport
        assert lab.app.reload(config).startswith("ok")
        save(lab)  # the next one is due a second after this one
        written = checkpoint(lab)["written"]
        eventually(lambda: checkpoint(lab)["written"] >= written + 2)
        lab.app.kill()
        begin_again(lab)
        lab.back(answer(port), dst=A, dport=4700)


def talk(lab: Lab, tunnel: Tunnel, sa: IkeSa, messages: list[tuple[bool, bytes]]) -> None:
    """IKE on port 500, both ways."""
    for outward, message in messages:
        if outward:
            lab.out(ipsec.udp(tunnel.client, tunnel.gateway, message), src=POOL, sport=500)
        else:
            lab.back(ipsec.udp(tunnel.gateway, POOL, message), dst=tunnel.client, dport=500)


def esp_in(lab: Lab, tunnel: Tunnel) -> None:
    packet, text = tunnel.inbound(POOL)
    tunnel.opens(tunnel.spi_in, lab.back(packet, dst=tunnel.client).ip_bytes, text)


def esp_out(lab: Lab, tunnel: Tunnel) -> None:
    packet, text = tunnel.outbound()
    tunnel.opens(tunnel.spi_out, lab.out(packet, src=POOL).ip_bytes, text)


def establish(lab: Lab, number: int) -> list[tuple[Tunnel, IkeSa]]:
    """As many clients with a tunnel to one gateway, one after the other, each binding settled."""
    pairs = [(Tunnel(client(n), GATEWAY), IkeSa()) for n in range(1, number + 1)]
    for tunnel, sa in pairs:
        talk(lab, tunnel, sa, sa.opening())
        for _ in range(3):
            esp_out(lab, tunnel)
            esp_in(lab, tunnel)
    rows = lab.app.telemetry.bindings()
    assert {r["state"] for r in rows} == {"settled"} and len(rows) == 2 * number, rows
    return pairs


class TestTunnels:
    """IPsec of several clients with one gateway."""

    @pytest.fixture(scope="class")
    def config(self, place: Path) -> cfg.Config:
        return kept(place)

    def copies(self, lab: Lab) -> int:
        return lab.app.telemetry.ask("/spinat/stats")["copies"]

    def test_gateway_first(self, fresh: Lab) -> None:
        """Every client gets its own, at once, and nobody a copy."""
        lab = fresh
        pairs = establish(lab, 6)
        told = crash(lab)
        assert told["restored"]["bindings"] == 12 and told["restored"]["ike"] == 6
        assert sum(told["skipped"].values()) == 0
        for tunnel, _ in reversed(pairs):
            tunnel.advance(1000)  # went by while the box was down
        for _ in range(3):
            for tunnel, _ in reversed(pairs):
                esp_in(lab, tunnel)
        for tunnel, _ in pairs:
            esp_out(lab, tunnel)
        assert self.copies(lab) == 0
        rows = lab.app.telemetry.bindings()
        assert {r["state"] for r in rows} == {"settled"} and len(rows) == 12
        lab.silent()

    def test_without_it_all_is_lost(self, fresh: Lab) -> None:
        """What the test above would see if nothing were restored."""
        lab = fresh
        ((tunnel, _),) = establish(lab, 1)
        save(lab)
        lab.app.kill()
        file_of(lab).unlink()
        begin_again(lab)
        lab.outside.send(tunnel.inbound(POOL)[0])
        lab.silent(spi_unknown=1)

    def test_ike(self, fresh: Lab) -> None:
        """The gateway speaks first on an IKE SA: liveness, then a rekey, then traffic."""
        lab = fresh
        pairs = establish(lab, 3)
        crash(lab)
        for tunnel, sa in pairs:
            talk(lab, tunnel, sa, sa.exchange_by_responder(INFORMATIONAL, 0))
        for tunnel, sa in pairs:
            talk(lab, tunnel, sa, sa.exchange_by_responder(CREATE_CHILD_SA, 1))
            tunnel.rekey()
            esp_in(lab, tunnel)
            esp_in(lab, tunnel)  # the second packet makes it a flow
            esp_out(lab, tunnel)
        assert self.copies(lab) == 0
        rows = lab.app.telemetry.ike()
        assert {r["client"] for r in rows} == {tunnel.client for tunnel, _ in pairs}
        lab.silent()

    def test_credit(self, fresh: Lab) -> None:
        """Who has negotiated and not been heard of yet is still expected to be."""
        lab = fresh
        pairs = establish(lab, 2)
        late, sa = Tunnel(C, GATEWAY), IkeSa()
        talk(lab, late, sa, sa.opening())
        told = crash(lab)
        assert told["restored"]["credits"] >= 1
        esp_in(lab, late)
        esp_out(lab, late)
        esp_in(lab, late)
        for tunnel, _ in pairs:
            esp_in(lab, tunnel)
        assert self.copies(lab) == 0
        lab.silent()

    def test_icmp_error_about_esp(self, fresh: Lab) -> None:
        lab = fresh
        pairs = establish(lab, 3)
        sent = [(t.outbound()[0], t) for t, _ in pairs]
        outside = [lab.out(packet, src=POOL).ip_bytes for packet, _ in sent]
        crash(lab)
        for (packet, tunnel), seen in zip(sent, outside):
            lab.outside.send(wire.error_about(TRANSIT, POOL, 3, 4, wire.quoted(seen, 8), 1300))
            quote = wire.quoted(wire.with_id(bytes(packet), seen), 8, hops=4)
            expected = wire.error_about(TRANSIT, tunnel.client, 3, 4, quote, 1300, ttl=63)
            wire.assert_same(lab.inside.receive().ip_bytes, expected)
        lab.silent()

    def test_pool_has_changed(self, fresh: Lab) -> None:
        lab = fresh
        establish(lab, 2)
        told = crash(lab, copy.deepcopy(lab.config) | {"realms": [cfg.realm(pool=[POOL2])]})
        assert told["restored"]["bindings"] == told["restored"]["ike"] == 0
        assert told["skipped"]["forbidden"] >= 6
        assert lab.app.telemetry.bindings() == []

    def test_expired_meanwhile(self, fresh: Lab) -> None:
        lab = fresh
        establish(lab, 1)
        save(lab)
        lab.app.kill()
        time.sleep(2.1)
        begin_again(lab, copy.deepcopy(lab.config) | {"timeouts": {"esp": 2, "ike": 2}})
        told = checkpoint(lab)
        assert told["restored"]["bindings"] == told["restored"]["ike"] == 0
        assert told["skipped"]["expired"] >= 3

    def test_nat_t(self, fresh: Lab) -> None:
        """ESP in UDP is UDP; the client is still no candidate for what comes without."""
        lab = fresh
        native, floated = Tunnel(A, GATEWAY), Tunnel(B, GATEWAY)
        sa, other = IkeSa(), IkeSa()
        talk(lab, native, sa, sa.opening())
        talk(lab, floated, other, other.opening()[:2])
        marked = ipsec.NON_ESP_MARKER + other.opening()[2][1]
        up = ipsec.udp(B, GATEWAY, marked, ipsec.NATT_PORT)
        port = lab.out(up, src=POOL).ip.sport
        down = IP(src=GATEWAY, dst=POOL) / UDP(sport=4500, dport=port) / marked
        lab.back(down, dst=B, dport=4500)
        esp = bytes(floated.outbound()[0])[20:]
        lab.out(ipsec.udp(B, GATEWAY, esp, ipsec.NATT_PORT), src=POOL, sport=port)
        crash(lab)
        lab.back(down, dst=B, dport=4500)
        esp_in(lab, native)
        lab.out(up, src=POOL, sport=port)
        assert self.copies(lab) == 0
        lab.silent()


class TestMappingByAddress:
    """A session that a stranger has opened goes through the mapping of another remote."""

    @pytest.fixture(scope="class")
    def config(self, place: Path) -> cfg.Config:
        realm = cfg.realm(mapping="address", filtering="endpoint-independent")
        return kept(place, realms=[realm])

    def test_both_go_on(self, fresh: Lab) -> None:
        lab = fresh
        # in both orders, since rows are restored in that of the table
        ports = []
        for inside, own, stranger in ((5000, REMOTE, REMOTE2), (5002, REMOTE2, REMOTE)):
            port = lab.out(udp(inside, dst=own), src=POOL).ip.sport
            lab.back(answer(port, src=stranger), dst=A, dport=inside)
            ports.append((inside, own, stranger, port))
        assert crash(lab)["restored"]["sessions"] == 4
        assert len(lab.app.telemetry.mappings()) == 2
        for inside, own, stranger, port in ports:
            lab.back(answer(port, src=stranger), dst=A, dport=inside)
            lab.out(udp(inside, dst=stranger), src=POOL, sport=port)
            lab.back(answer(port, src=own), dst=A, dport=inside)
            # the mapping is that of its own remote as before, and no other's
            again = IP(src=A, dst=own) / UDP(sport=inside, dport=54) / b"x"
            lab.out(again, src=POOL, sport=port)
            elsewhere = IP(src=A, dst=stranger) / UDP(sport=inside, dport=54) / b"x"
            assert lab.out(elsewhere, src=POOL).ip.sport != port


class TestChanged:
    """What the new configuration does not permit is skipped and counted."""

    @pytest.fixture(scope="class")
    def config(self, place: Path) -> cfg.Config:
        return kept(
            place,
            realms=[cfg.realm(pool=[POOL, POOL2])],
            redirect=[
                {"outside": POOL, "protocol": "udp", "port": 7000, "inside": SERVER},
            ],
            static=[{"inside": STATIC_INSIDE, "outside": STATIC_OUTSIDE}],
        )

    def test_pool(self, fresh: Lab) -> None:
        lab = fresh
        hosts = [client(n) for n in range(1, 21)]
        used = {}
        for host in hosts:
            lab.inside.send(udp(5000, src=host))
            frame = lab.outside.receive()
            used[host] = (frame.ip.src, frame.ip.sport)
        stay = {host: port for host, (addr, port) in used.items() if addr == POOL}
        assert 0 < len(stay) < len(hosts)
        config = copy.deepcopy(lab.config) | {"realms": [cfg.realm(pool=[POOL])]}
        told = crash(lab, config)
        assert told["restored"]["sessions"] == len(stay)
        assert told["skipped"]["forbidden"] == len(hosts) - len(stay)
        for host, port in stay.items():
            lab.back(answer(port), dst=host, dport=5000)

    def test_rules(self, fresh: Lab) -> None:
        lab = fresh
        lab.back(IP(src=REMOTE, dst=POOL) / UDP(sport=53, dport=7000) / b"q", dst=SERVER)
        lab.back(IP(src=REMOTE, dst=STATIC_OUTSIDE) / UDP(sport=53, dport=9) / b"q",
                 dst=STATIC_INSIDE)
        config = copy.deepcopy(lab.config) | {
            "redirect": [
                {"outside": POOL, "protocol": "udp", "port": 7000, "inside": "10.0.0.70"},
            ],
            "static": [],
        }
        told = crash(lab, config)
        assert told["restored"]["sessions"] == 0 and told["skipped"]["forbidden"] == 2
        lab.back(IP(src=REMOTE, dst=POOL) / UDP(sport=53, dport=7000) / b"q", dst="10.0.0.70")

    def test_host_is_static_now(self, fresh: Lab) -> None:
        lab = fresh
        lab.inside.send(udp(5100))
        lab.outside.receive()
        rule = {"inside": A, "outside": "192.0.2.62"}
        told = crash(lab, copy.deepcopy(lab.config) | {"static": [rule]})
        assert told["restored"]["sessions"] == 0 and told["skipped"]["forbidden"] == 1
        lab.out(udp(5100), src="192.0.2.62", sport=5100)


ALLOWANCES: dict[str, dict[str, Any]] = {
    "a few a second": {"client_rate": 5},
    "blocks": {"port_allocation": "block", "block_size": 64, "client_blocks": 2},
    "deterministic": {
        "port_allocation": "deterministic", "block_size": 64, "inside": "10.0.0.16/28",
    },
    "by address": {"mapping": "address"},
    "by endpoint": {"mapping": "address-port", "filtering": "address-port"},
}


class TestAllowances:
    """What a client had, it has again, whatever it would get in one moment as a new one."""

    @pytest.fixture(scope="class", params=ALLOWANCES)
    def config(self, place: Path, request: pytest.FixtureRequest) -> cfg.Config:
        return kept(place, realms=[cfg.realm(**ALLOWANCES[request.param])])

    def test_all_of_it(self, fresh: Lab) -> None:
        lab = fresh
        ports = {}
        for batch in range(3):
            for host in (client(1), client(2)):
                for sport in range(5000 + 4 * batch, 5004 + 4 * batch):
                    ports[host, sport] = lab.out(udp(sport, src=host), src=POOL).ip.sport
            time.sleep(1.1)
        pool = lab.app.telemetry.rows("/spinat/pools", outside=POOL)
        told = crash(lab)
        assert told["restored"]["sessions"] == len(ports) == 24
        assert lab.app.telemetry.rows("/spinat/pools", outside=POOL) == pool
        for (host, sport), port in ports.items():
            lab.back(answer(port), dst=host, dport=sport)
            lab.out(udp(sport, src=host), src=POOL, sport=port)
        lab.silent()


class TestWorkers:
    """Ports are dealt to the workers: with another number of them a host may not get its own."""

    @pytest.fixture(scope="class")
    def config(self, place: Path) -> cfg.Config:
        return self.with_workers(place, 2)

    @staticmethod
    def with_workers(place: Path, number: int) -> cfg.Config:
        hosts = [client(n) for n in range(1, 31)]
        return kept(
            place,
            workers=number,
            lcores="0@0," + ",".join(f"{i}@{i % 2}" for i in range(1, number + 1)),
            devices={side: f"{device},qpairs=2" for side, device in cfg.VETH.items()}
            if number > 1 else cfg.VETH,
            neighbours=[{"interface": "lan", "address": h, "mac": host_mac(h)} for h in hosts],
        )

    def fill(self, lab: Lab) -> None:
        for n in range(1, 31):
            lab.out(udp(6000 + n, src=client(n)), src=POOL)

    def check(self, lab: Lab) -> None:
        """Every session that is there is in the right place: the remote side speaks first."""
        for row in lab.app.telemetry.sessions(protocol="udp"):
            (host, sport), port = row["inside"].split(":"), row["outside"].split(":")[1]
            lab.back(answer(int(port)), dst=host, dport=int(sport))
            lab.out(udp(int(sport), src=host), src=POOL, sport=int(port))

    @pytest.mark.parametrize("number", [2, 1])
    def test_tunnels(self, fresh: Lab, place: Path, number: int) -> None:
        """Bindings have no ports: they go to the owner of their gateway, whoever that is now."""
        lab = fresh
        tunnels = [Tunnel(client(n), f"203.0.113.{n}") for n in range(1, 11)]
        tunnels += [Tunnel(client(n), "203.0.113.50") for n in range(11, 15)]
        for tunnel in tunnels:
            for _ in range(3):
                esp_out(lab, tunnel)
                esp_in(lab, tunnel)
        told = crash(lab, self.with_workers(place, number))
        assert told["restored"]["bindings"] == 28
        for tunnel in tunnels:
            esp_in(lab, tunnel)
            esp_out(lab, tunnel)

    @pytest.mark.parametrize("number", [2, 1])
    def test_as_many_or_fewer(self, fresh: Lab, place: Path, number: int) -> None:
        lab = fresh
        self.fill(lab)
        told = crash(lab, self.with_workers(place, number))
        assert told["restored"]["sessions"] == 30
        self.check(lab)

    def test_more(self, fresh: Lab, place: Path) -> None:
        lab = fresh
        lab.app.kill()
        begin_again(lab, self.with_workers(place, 1))
        self.fill(lab)
        told = crash(lab, self.with_workers(place, 2))
        assert 0 < told["restored"]["sessions"] < 30
        assert told["restored"]["sessions"] + told["skipped"]["worker"] == 30
        self.check(lab)


def flip(data: bytes, at: int) -> bytes:
    return data[:at] + bytes([data[at] ^ 1]) + data[at + 1 :]


DAMAGES: dict[str, tuple[Callable[[bytes], bytes], list[str]]] = {
    "row": (lambda d: flip(d, len(d) - 40), ["wrong checksum", "damaged"]),
    "checksum": (lambda d: flip(d, len(d) - 1), ["wrong checksum", "damaged"]),
    "cut": (lambda d: d[:-1], ["it was cut"]),
    "half": (lambda d: d[: len(d) // 2], ["expected"]),
    "longer": (lambda d: d + b"x", ["added to"]),
    "empty": (lambda _: b"", ["found 0 bytes"]),
    "foreign": (lambda _: b"#!/bin/sh\n" * 100, ["other data", "checkpoint of spinat"]),
    "older": (
        lambda d: d[:VERSION_AT] + struct.pack("=I", 1) + d[VERSION_AT + 4 :],
        ["format version 1, expected version 2"],
    ),
    "newer": (
        lambda d: d[:VERSION_AT] + struct.pack("=I", 3) + d[VERSION_AT + 4 :],
        ["format version 3, expected version 2"],
    ),
}


class TestRefused:
    """A file is taken whole or not at all, and the box starts without it."""

    @pytest.fixture(scope="class")
    def config(self, place: Path) -> cfg.Config:
        return kept(place)

    def refused(self, lab: Lab, port: int, words: list[str]) -> None:
        """The box has begun without state, has said why in one line, and works."""
        lines = [line for line in lab.app.lines if "event=restore" in line]
        assert len(lines) == 1 and "result=refused" in lines[0], lines
        assert str(file_of(lab)) in lines[0] and all(w in lines[0] for w in words), lines
        assert checkpoint(lab)["refused"] and "restored" not in checkpoint(lab)
        assert lab.app.telemetry.sessions() == []
        lab.outside.send(answer(port))
        lab.silent(no_mapping=1)
        assert file_of(lab).with_name("state.refused").exists() and not file_of(lab).exists()
        lab.out(udp(4000), src=POOL)
        save(lab)
        assert file_of(lab).exists()

    @pytest.mark.parametrize("name", DAMAGES)
    def test_damaged(self, fresh: Lab, name: str) -> None:
        lab = fresh
        damage, words = DAMAGES[name]
        port = lab.out(udp(4000), src=POOL).ip.sport
        save(lab)
        lab.app.kill()
        file_of(lab).write_bytes(damage(file_of(lab).read_bytes()))
        begin_again(lab)
        self.refused(lab, port, words)

    def test_of_another_instance(self, fresh: Lab) -> None:
        lab = fresh
        port = lab.out(udp(4000), src=POOL).ip.sport
        save(lab)
        lab.app.kill()
        name = lab.app.name
        lab.app.name = f"{name}o"
        begin_again(lab)
        self.refused(lab, port, [name, f"{name}o"])
        lab.app.name = name

    def test_what_is_no_file(self, fresh: Lab) -> None:
        lab = fresh
        lab.app.kill()
        file_of(lab).mkdir()
        begin_again(lab)
        assert lab.app.says("event=checkpoint", "result=impossible", "no regular file")
        lab.out(udp(4000), src=POOL)
        file_of(lab).rmdir()
        save(lab)


class TestNoDisk:
    """What the disk does not take is said and counted; packets go on."""

    @pytest.fixture(scope="class")
    def config(self, place: Path) -> cfg.Config:
        (place / "disk").mkdir()
        config = kept(place)
        config["checkpoint"]["file"] = str(place / "disk" / "state")
        return config

    def test_check_and_start(self, fresh: Lab, tmp_path: Path) -> None:
        lab = fresh
        config = copy.deepcopy(lab.config)
        config["checkpoint"]["file"] = str(tmp_path / "none" / "state")
        lab.app.kill()
        lab.app.write(config)
        done = run_binary(lab.app.namespace, "-c", str(lab.app.file), "--check")
        assert done.returncode == 1 and done.stdout == ""
        for word in (str(lab.app.file), "checkpoint.file", str(tmp_path), "No such file"):
            assert word in done.stderr
        begin_again(lab, config)
        assert lab.app.says("event=checkpoint", "result=impossible", "No such file")
        lab.out(udp(4000), src=POOL)
        for count in (1, 2):
            said = lab.app.telemetry.ask("/spinat/checkpoint_now")
            assert said.startswith("error: ") and "No such file" in said
            assert checkpoint(lab)["failures"] == count
        lab.out(udp(4001), src=POOL)
        lines = [line for line in lab.app.lines if "result=failed" in line]
        assert len(lines) == 1 and "No such file" in lines[0], lines
        (tmp_path / "none").mkdir()
        save(lab)
        lab.app.wait_says("event=checkpoint", "result=ok", "failures=2")
        assert checkpoint(lab)["failure"] == "" and checkpoint(lab)["written"] == 1

    def test_full(self, fresh: Lab) -> None:
        """The old file stays until a new one is whole."""
        lab = fresh
        disk = file_of(lab).parent
        lab.app.kill()
        subprocess.run(["mount", "-t", "tmpfs", "-o", "size=8k", "none", str(disk)], check=True)
        try:
            begin_again(lab)
            port = lab.out(udp(4000), src=POOL).ip.sport
            save(lab)
            for sport in range(10000, 10400):
                lab.inside.send(udp(sport))
            lab.outside.receive_all(400)
            said = lab.app.telemetry.ask("/spinat/checkpoint_now")
            assert said.startswith("error: ") and "No space left" in said
            assert [f.name for f in disk.iterdir()] == ["state"]
            lab.out(udp(4001), src=POOL)
            lab.app.kill()
            begin_again(lab)
            assert checkpoint(lab)["restored"]["sessions"] == 1
            lab.back(answer(port), dst=A, dport=4000)
            lab.app.kill()
        finally:
            lab.app.kill()
            subprocess.run(["umount", str(disk)], check=True)
        begin_again(lab)

    def test_off(self, fresh: Lab) -> None:
        lab = fresh
        path = file_of(lab)
        config = copy.deepcopy(lab.config)
        del config["checkpoint"]
        assert lab.app.reload(config).startswith("ok")
        said = lab.app.telemetry.ask("/spinat/checkpoint_now")
        assert said == "error: the configuration has no checkpoint"
        lab.config = config
        lab.app.stop()
        assert not path.exists()
        begin_again(lab)


class TestUnderTraffic:
    @pytest.fixture(scope="class")
    def config(self, place: Path) -> cfg.Config:
        return kept(place, limits={"sessions": 32768, "clients": 1024})

    def test_no_packet_is_lost_while_it_is_written(self, fresh: Lab) -> None:
        lab = fresh
        for host in range(1, 101):
            for sport in range(20000, 20040):
                lab.inside.send(udp(sport, src=client(host)))
            lab.outside.receive_all(40)
        packets = [udp(sport, src=client(1)) for sport in range(20000, 20040)]
        enough, sent = threading.Event(), 0

        def send() -> None:
            nonlocal sent
            while not enough.wait(0.001):
                lab.inside.send(packets[sent % len(packets)])
                sent += 1

        sender = threading.Thread(target=send)
        sender.start()
        try:
            for _ in range(20):
                save(lab)
        finally:
            enough.set()
            sender.join()
        assert sent > 20
        frames = lab.outside.receive_all(sent)
        assert {(f.ip.src, f.ip.dst) for f in frames} == {(POOL, REMOTE)}
        told = checkpoint(lab)
        assert told["written"] == 20 and told["rows"]["sessions"] == 4000
        assert told["bytes"] > 4000 * 32
        lab.silent()


class Stream:
    """Packets from outside, one after the other for each of several inside hosts, all the time.
    Each says in which phase of the test it was sent, and its number."""

    def __init__(self, lab: Lab, heads: list[tuple[str, Callable[[bytes], Packet]]]) -> None:
        self.phase = "before"
        self.sent: dict[str, dict[bytes, str]] = {"before": {}, "down": {}, "after": {}}
        self._lab, self._heads = lab, heads
        self._enough = threading.Event()
        self._thread = threading.Thread(target=self._send)
        self._thread.start()

    def _send(self) -> None:
        for number in itertools.count():
            if self._enough.wait(0.001):
                return
            phase = self.phase
            host, packet = self._heads[number % len(self._heads)]
            mark = f"<{phase} {number}>".encode()
            self.sent[phase][mark] = host
            self._lab.outside.send(packet(mark))

    def more(self, phase: str, packets: int) -> None:
        """Goes over to a phase and waits for that many packets of it."""
        self.phase = phase
        eventually(lambda: len(self.sent[phase]) >= packets)

    def stop(self) -> None:
        self._enough.set()
        self._thread.join()

    def received(self) -> dict[bytes, list[str]]:
        """Who has got what, so far."""
        found: dict[bytes, list[str]] = {}
        for frame in list(self._lab.in_port.capture):
            mark = re.search(rb"<\w+ \d+>", frame.raw)
            if mark is not None:
                found.setdefault(mark[0], []).append(frame.ip.dst)
        return found

    def arrived(self, phase: str) -> bool:
        """Whether all that was sent in a phase has come, once, and to the right host."""
        found = self.received()
        return all(found.get(mark) == [host] for mark, host in list(self.sent[phase].items()))


class TestKilledUnderTraffic:
    """Everybody outside goes on sending while the box is killed and comes back. Nothing is lost but
    what was sent while it was away, and nothing goes to anybody else."""

    @pytest.fixture(scope="class")
    def config(self, place: Path) -> cfg.Config:
        return kept(place, limits={"neighbour_queue": 256})

    def heads(self, lab: Lab) -> list[tuple[str, Callable[[bytes], Packet]]]:
        heads: list[tuple[str, Callable[[bytes], Packet]]] = []
        for n in range(1, 4):
            host = client(20 + n)
            port = lab.out(udp(4000, src=host), src=POOL).ip.sport
            base = IP(src=REMOTE, dst=POOL) / UDP(sport=53, dport=port)
            heads.append((host, lambda mark, base=base: base / mark))
            port = connect(lab, 4100, host)
            base = IP(src=REMOTE, dst=POOL) / TCP(sport=80, dport=port, flags="PA", seq=9, ack=7)
            heads.append((host, lambda mark, base=base: base / mark))
        sequence = itertools.count(100)
        for tunnel, sa in establish(lab, 4):

            def esp(mark: bytes, spi: int = tunnel.spi_in) -> Packet:
                header = struct.pack("!II", spi, next(sequence))
                return IP(src=GATEWAY, dst=POOL, proto=50) / (header + mark)

            def ike(mark: bytes, sa: IkeSa = sa) -> Packet:
                message = ipsec.ike_message(
                    sa.initiator, sa.responder, INFORMATIONAL,
                    flags=0, message_id=next(sequence), body=mark,
                )
                return ipsec.udp(GATEWAY, POOL, message)

            heads += [(tunnel.client, esp), (tunnel.client, ike)]
        return heads

    def test_server_and_gateway_go_on(self, fresh: Lab) -> None:
        lab = fresh
        stream = Stream(lab, self.heads(lab))
        try:
            stream.more("before", 300)
            stream.more("down", 1)
            eventually(lambda: stream.arrived("before"))
            save(lab)
            lab.app.kill()
            lab.app.start()
            lab.settle()
            stream.more("after", 300)
        finally:
            stream.stop()
        eventually(lambda: stream.arrived("after"))
        told = checkpoint(lab)
        assert told["restored"]["bindings"] == 8 and sum(told["skipped"].values()) == 0
        found = stream.received()
        lost = [mark for mark in stream.sent["down"] if mark not in found]
        assert lost  # the box was away
        for mark, host in stream.sent["down"].items():
            assert found.get(mark, [host]) == [host]
        assert lab.app.telemetry.ask("/spinat/stats")["copies"] == 0
        lab.in_port.waiting()
        lab.forget_drops()
