# SPDX-License-Identifier: BSD-3-Clause
# Copyright (c) 2026 the spinat authors
"""IKE whose ports are not 500 at both ends: it is UDP like any other, and it is followed all the same."""

import itertools
import subprocess
import time

import pytest
from harness import config as cfg
from harness import ipsec, wire
from harness.appliance import REPOSITORY
from harness.ipsec import KEEPALIVE, NATT_PORT, NON_ESP_MARKER, IkeSa, Tunnel
from harness.lab import Lab, eventually
from harness.plan import A, B, C, POOL
from scapy.layers.inet import IP, UDP, IPOption_NOP
from scapy.packet import Packet

CLI = REPOSITORY / "tools" / "spinat-cli"
KEPT_S = 0.35  # the box keeps a packet for 0.3 s, for those that may turn out to own it
Messages = list[tuple[bool, bytes]]  # (from the client?, message)
_gateways = itertools.count(1)


class Peers:
    """A client and a gateway, and the client's ports outside."""

    def __init__(self, lab: Lab, client: str, gateway: str) -> None:
        self.lab, self.client, self.gateway = lab, client, gateway
        self.sa, self.tunnel = IkeSa(), Tunnel(client, gateway)
        self.ports: dict[int, int] = {}

    def out(self, payload: bytes, port: int = NATT_PORT, **fields: object) -> None:
        packet = ipsec.udp(self.client, self.gateway, payload, port, **fields)  # type: ignore
        frame = self.lab.out(packet, src=POOL, sport=self.ports.get(port))
        self.ports[port] = frame.ip[UDP].sport

    def back(self, payload: bytes, port: int = NATT_PORT) -> None:
        packet: Packet = IP(src=self.gateway, dst=POOL) / UDP(sport=port, dport=self.ports[port])
        self.lab.back(packet / payload, dst=self.client, dport=port)

    def say(self, messages: Messages, port: int = NATT_PORT) -> None:
        marker = NON_ESP_MARKER if port == NATT_PORT else b""
        for outward, message in messages:
            (self.out if outward else self.back)(marker + message, port)
        self.lab.settle()  # where workers tell each other, it is told

    def float(self) -> None:
        """IKE_SA_INIT on 500, IKE_AUTH on 4500."""
        messages = self.sa.opening()
        self.say(messages[:2], 500)
        self.say(messages[2:])

    def esp_in_udp(self) -> None:
        self.out(bytes(self.tunnel.outbound()[0])[20:])
        self.back(bytes(self.tunnel.inbound(POOL)[0])[20:])
        self.lab.settle()

    def esp_out(self) -> None:
        packet, text = self.tunnel.outbound()
        frame = self.lab.out(packet, src=POOL)
        self.tunnel.opens(self.tunnel.spi_out, frame.ip_bytes, text)

    def esp_back(self) -> None:
        """To this client and nobody else."""
        packet, text = self.tunnel.inbound(POOL)
        frame = self.lab.back(packet, dst=self.client)
        self.tunnel.opens(self.tunnel.spi_in, frame.ip_bytes, text)
        self.lab.settle()
        assert self.lab.in_port.waiting() == []

    def row(self) -> dict[str, object]:
        self.lab.settle()
        (row,) = self.lab.app.telemetry.ike(client=self.client, remote=self.gateway)
        return row

    def states(self) -> list[object]:
        rows = self.lab.app.telemetry.bindings(client=self.client, remote=self.gateway)
        return [row["state"] for row in rows if row["direction"] == "in"]


def reached(lab: Lab, packet: IP) -> set[str]:
    """Who gets it, at once or late."""
    lab.outside.send(packet)
    lab.settle()
    time.sleep(KEPT_S)
    lab.settle()
    return {frame.ip.dst for frame in lab.in_port.waiting()}


@pytest.fixture
def gateway() -> str:
    """One that no test has used."""
    return f"198.18.1.{next(_gateways)}"


class Followed:
    """What a box does with one worker and with two, where what is learned at one is told to the other."""

    workers = 1
    devices = cfg.VETH
    ike_port = "keep"

    @pytest.fixture(scope="class")
    def config(self) -> cfg.Config:
        return cfg.default_config(
            workers=self.workers,
            lcores="0@0,1@1" if self.workers == 1 else "0@0,1@0,2@1",
            devices=self.devices,
            realms=[cfg.realm(ike_port=self.ike_port)],
        )

    def test_sa_that_floats(self, lab: Lab, gateway: str) -> None:
        peers = Peers(lab, A, gateway)
        peers.float()
        row = peers.row()
        assert (row["natt"], row["esp_in_udp"]) == (1, 0)
        assert (row["exchange"], row["packets"]) == (ipsec.IKE_AUTH, 4)
        assert row["initiator_spi"] == peers.sa.initiator.hex()
        assert row["responder_spi"] == peers.sa.responder.hex()
        assert row["initiator"] == "client"
        eventually(lambda: int(str(peers.row()["idle_s"])) >= 2)
        peers.say(peers.sa.exchange_by_responder(ipsec.INFORMATIONAL, 0))
        row = peers.row()
        assert (row["exchange"], row["packets"]) == (ipsec.INFORMATIONAL, 6)
        assert int(str(row["idle_s"])) < int(str(row["age_s"]))

    def test_two_clients_with_native_esp(self, lab: Lab, gateway: str) -> None:
        """The gateway speaks first to each when both have negotiated, and to the later one first."""
        port = NATT_PORT if self.ike_port == "keep" else 500
        first, second = (Peers(lab, host, gateway) for host in (A, B))
        first.say(first.sa.opening(), port)
        for _ in range(3):
            first.esp_back()
            first.esp_out()
        second.say(second.sa.opening(), port)
        assert second.ports != first.ports
        for _ in range(3):
            for each in (second, first):
                each.esp_back()
                each.esp_out()
        # a rekey of each, the gateway first again
        for each in (first, second):
            each.say(each.sa.exchange(ipsec.CREATE_CHILD_SA), port)
            each.tunnel.rekey()
            for _ in range(3):
                each.esp_back()
                each.esp_out()
        assert [each.states() for each in (first, second)] == [["settled"] * 2] * 2

    def test_client_that_leaves_and_comes_back(self, lab: Lab, gateway: str) -> None:
        """Who has negotiated on 4500 may be meant by ESP until it shows that its own is in UDP."""
        other, natt = Peers(lab, B, gateway), Peers(lab, A, gateway)
        other.float()
        natt.float()
        packets = [Tunnel(B, gateway).inbound(POOL)[0] for _ in range(2)]
        assert reached(lab, packets[0]) == {A, B}
        natt.esp_in_udp()
        assert natt.row()["esp_in_udp"] == 1 and other.row()["esp_in_udp"] == 0
        assert reached(lab, packets[0]) == {B}
        assert reached(lab, packets[1]) == {B}
        # its rekeys are of ESP in UDP too
        natt.say(natt.sa.exchange(ipsec.CREATE_CHILD_SA))
        natt.esp_in_udp()
        assert reached(lab, Tunnel(B, gateway).inbound(POOL)[0]) == {B}
        natt.tunnel.rekey()
        natt.esp_out()
        assert natt.row()["esp_in_udp"] == 0
        assert A in reached(lab, natt.tunnel.inbound(POOL)[0])

    def test_keepalive_shows_it(self, lab: Lab, gateway: str) -> None:
        peers = Peers(lab, C, gateway)
        peers.float()
        peers.back(KEEPALIVE)  # nobody's: only who is behind the NAT says it
        assert peers.row()["esp_in_udp"] == 0
        peers.out(KEEPALIVE)
        assert peers.row()["esp_in_udp"] == 1

    def test_what_is_not_ike(self, lab: Lab, gateway: str) -> None:
        """It passes as UDP and leaves no trace."""
        peers = Peers(lab, A, gateway)
        good = NON_ESP_MARKER + IkeSa().first()
        for port in (NATT_PORT, 500):
            for bad in (
                NON_ESP_MARKER,
                good[:31],
                bytes(12) + good[12:],  # initiator SPI 0
                good[:21] + b"\x30" + good[22:],  # version 3
                good[:28] + b"\0\0\0\x1b" + good[32:],  # length under 28
                good[:28] + b"\0\0\xff\xff" + good[32:],  # length beyond the packet
            ):
                packet = IP(src=A, dst=gateway) / UDP(sport=40500, dport=port) / bad
                sport = lab.out(packet, src=POOL).ip.sport
                answer = IP(src=gateway, dst=POOL) / UDP(sport=port, dport=sport) / bad
                lab.back(answer, dst=A, dport=40500)
        assert lab.app.telemetry.ike(remote=gateway) == []
        peers.out(good)
        assert peers.row()["packets"] == 1

    def test_strangers_make_no_sa(self, lab: Lab, gateway: str) -> None:
        """Nor does a gateway, before the client answers."""
        peers = Peers(lab, B, gateway)
        peers.out(KEEPALIVE)
        peers.back(NON_ESP_MARKER + peers.sa.first())
        assert lab.app.telemetry.ike(remote=gateway) == []
        peers.out(NON_ESP_MARKER + peers.sa.first_answer())
        assert peers.row()["initiator"] == "gateway"

    def test_frames_that_are_not_plain(self, lab: Lab, gateway: str) -> None:
        """An IP option, which the short way through the box does not take."""
        peers = Peers(lab, A, gateway)
        option = [IPOption_NOP(), IPOption_NOP(), IPOption_NOP(), IPOption_NOP()]
        for outward, message in peers.sa.opening():
            if outward:
                peers.out(NON_ESP_MARKER + message, options=option)
            else:
                peers.back(NON_ESP_MARKER + message)
        assert peers.row()["packets"] == 4
        peers.out(b"\1\2\3\4\0\0\0\1", options=option)
        assert peers.row()["esp_in_udp"] == 1


class TestFollowed(Followed):
    def test_cli_shows_it(self, lab: Lab, gateway: str) -> None:
        peers = Peers(lab, A, gateway)
        peers.float()
        peers.esp_in_udp()
        run = subprocess.run(
            ["/usr/bin/python3", str(CLI), "--name", lab.app.name, "show", "ike"],
            capture_output=True,
            text=True,
            timeout=60,
            check=True,
        )
        head, *lines = run.stdout.splitlines()
        (line,) = (line for line in lines if gateway in line.split())
        shown = dict(zip(head.split(), line.split(), strict=True))
        assert (shown["natt"], shown["esp_in_udp"]) == ("1", "1")
        assert shown["exchange"] == "IKE_AUTH"


class TestFollowedByTwoWorkers(Followed):
    workers = 2
    devices = {side: f"{device},qpairs=2" for side, device in cfg.VETH.items()}


class TestFollowedTranslated(Followed):
    ike_port = "translate"


class TestRestart:
    @pytest.fixture(scope="class")
    def config(self, tmp_path_factory: pytest.TempPathFactory) -> cfg.Config:
        place = tmp_path_factory.mktemp("state")
        return cfg.default_config(
            checkpoint={"file": str(place / "state"), "interval": 86400},
            realms=[cfg.realm(ike_port="auto")],
        )

    def test_all_is_kept(self, lab: Lab, gateway: str) -> None:
        """What is on 4500, whose ESP is in UDP, and that a gateway which knows another port does not get
        500."""
        natt, native, translated = (Peers(lab, host, gateway) for host in (A, B, C))
        natt.float()
        natt.esp_in_udp()
        native.float()
        translated.say(translated.sa.opening(), 500)
        before = {r["client"]: r for r in lab.app.telemetry.ike(remote=gateway)}
        assert {c: (r["natt"], r["esp_in_udp"]) for c, r in before.items()} == {
            A: (1, 1),
            B: (1, 0),
            C: (0, 0),
        }
        assert lab.app.telemetry.ask("/spinat/checkpoint_now").startswith("ok")
        lab.app.kill()
        lab.app.start()
        lab.settle()
        lab.forget_drops()
        after = {r["client"]: r for r in lab.app.telemetry.ike(remote=gateway)}
        for client, row in before.items():
            for name in ("natt", "esp_in_udp", "exchange", "packets", "initiator_spi"):
                assert after[client][name] == row[name], (client, name)
        translated.say(translated.sa.exchange(ipsec.INFORMATIONAL), 500)
        assert translated.ports[500] != 500
        natt.say(natt.sa.exchange(ipsec.CREATE_CHILD_SA))
        assert reached(lab, Tunnel(B, gateway).inbound(POOL)[0]) == {B, C}


class TestFragments:
    """IKE_AUTH in fragments of IP, of which the first holds all that is read. The box has taps here: the
    kernel's packet sockets would put fragments together before the box sees them."""

    @pytest.fixture(scope="class")
    def config(self) -> cfg.Config:
        return cfg.default_config(devices=cfg.TAP)

    def test_large_message(self, lab: Lab, gateway: str) -> None:
        sa = IkeSa()
        peers = Peers(lab, A, gateway)
        peers.say(sa.opening()[:2])
        message = ipsec.ike_message(
            sa.initiator, sa.responder, ipsec.IKE_AUTH, message_id=1, body=bytes(2000)
        )
        packet = ipsec.udp(A, gateway, NON_ESP_MARKER + message, NATT_PORT, id=0x4500)
        parts = wire.fragments(packet, 800)
        for part in parts:
            lab.inside.send(part)
        lab.outside.receive_all(len(parts))
        row = peers.row()
        assert (row["exchange"], row["packets"], row["natt"]) == (ipsec.IKE_AUTH, 3, 1)
