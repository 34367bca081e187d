# SPDX-License-Identifier: BSD-3-Clause
# Copyright (c) 2026 the spinat authors
"""Every way that IKE sets up a tunnel, followed by its clear headers alone: what the gateway then
sends first reaches the client that negotiated, and it alone, beside another client of the gateway."""

import itertools
from collections.abc import Callable

import pytest
from harness import config as cfg
from harness import ipsec
from harness.ipsec import FLAG_ENCRYPTED, FLAG_INITIATOR, FLAG_RESPONSE, IkeSa, Tunnel, ike_message
from harness.lab import Lab
from harness.plan import A, B, BOX_INSIDE, C, INSIDE_NET, INSIDE_ROUTER, POOL, POOL2
from harness.port import Side

CONFIG, INTERMEDIATE = 6, 43
PAYLOAD_SKF, PAYLOAD_V1_FRAGMENT, PAYLOAD_NOTIFY, PAYLOAD_HASH = 53, 132, 41, 8
Messages = list[tuple[bool, bytes]]  # (from the client?, message)
Way = tuple[int, bytes, bool]  # the gateway's port, what precedes a message, is the client's kept?
PORT_500: Way = (500, b"", True)
TRANSLATED: Way = (500, b"", False)
PORT_4500: Way = (ipsec.NATT_PORT, ipsec.NON_ESP_MARKER, False)
_gateways = itertools.count(1)


def v1(sa: IkeSa, kind: int, number: int, *, first: bool = False, clear: bool = False) -> bytes:
    return ike_message(
        sa.initiator,
        bytes(8) if first else sa.responder,
        kind,
        version=1,
        flags=0 if clear else FLAG_ENCRYPTED,
        message_id=number,
        next_payload=1 if clear else PAYLOAD_HASH,
    )


def v2(
    sa: IkeSa,
    outward: bool,
    kind: int,
    number: int,
    size: int = 64,
    next_payload: int = ipsec.PAYLOAD_SK,
) -> bytes:
    """A request of the client, or its answer."""
    return ike_message(
        sa.initiator,
        sa.responder,
        kind,
        flags=FLAG_INITIATOR if outward else FLAG_RESPONSE,
        message_id=number,
        next_payload=next_payload,
        body=bytes(size),
    )


def pair(sa: IkeSa, kind: int, number: int) -> Messages:
    return [(outward, v2(sa, outward, kind, number)) for outward in (True, False)]


def main_mode(sa: IkeSa) -> Messages:
    clear = [(True, v1(sa, ipsec.MAIN, 0, first=True, clear=True))]
    clear += [(out, v1(sa, ipsec.MAIN, 0, clear=True)) for out in (False, True, False)]
    return clear + [(out, v1(sa, ipsec.MAIN, 0)) for out in (True, False)]


def quick_mode(sa: IkeSa, number: int = 0x1234567) -> Messages:
    return [(out, v1(sa, ipsec.QUICK, number)) for out in (True, False, True)]


def main_and_quick(sa: IkeSa) -> Messages:
    return main_mode(sa) + quick_mode(sa)


def aggressive(sa: IkeSa) -> Messages:
    return [
        (True, v1(sa, ipsec.AGGRESSIVE, 0, first=True, clear=True)),
        (False, v1(sa, ipsec.AGGRESSIVE, 0, clear=True)),
        (True, v1(sa, ipsec.AGGRESSIVE, 0)),
    ] + quick_mode(sa)


def xauth_and_mode_config(sa: IkeSa) -> Messages:
    """The gateway asks for a name and a password, then the client for an address."""
    xauth = [(out, v1(sa, CONFIG, 77)) for out in (False, True, False, True)]
    config = [(out, v1(sa, CONFIG, 78)) for out in (True, False)]
    return main_mode(sa) + xauth + config + quick_mode(sa)


def dead_peer_detection(sa: IkeSa) -> Messages:
    probes = [(out, v1(sa, ipsec.INFORMATIONAL_V1, 90 + i)) for i, out in enumerate((True, False))]
    return main_mode(sa) + probes + quick_mode(sa) + probes


def v1_fragments(sa: IkeSa) -> Messages:
    """The two large messages of main mode, in pieces that are IKE messages in the clear."""

    def pieces(outward: bool) -> Messages:
        return [
            (
                outward,
                ike_message(
                    sa.initiator,
                    sa.responder,
                    ipsec.MAIN,
                    version=1,
                    flags=0,
                    next_payload=PAYLOAD_V1_FRAGMENT,
                    body=bytes(size),
                ),
            )
            for size in (500, 500, 120)
        ]

    return main_mode(sa)[:4] + pieces(True) + pieces(False) + quick_mode(sa)


def two_inits(sa: IkeSa) -> Messages:
    """The gateway wants a cookie, or another Diffie-Hellman group (RFC 7296 2.6, 1.3)."""
    refusal = ike_message(
        sa.initiator,
        bytes(8),
        ipsec.SA_INIT,
        flags=FLAG_RESPONSE,
        next_payload=PAYLOAD_NOTIFY,
        body=bytes(24),
    )
    again = ike_message(
        sa.initiator,
        bytes(8),
        ipsec.SA_INIT,
        next_payload=PAYLOAD_NOTIFY,
        body=bytes(100),
    )
    opening = [(True, sa.first()), (False, refusal), (True, again), (False, sa.first_answer())]
    return opening + pair(sa, ipsec.IKE_AUTH, 1)


def eap(sa: IkeSa) -> Messages:
    rounds = [m for number in range(1, 6) for m in pair(sa, ipsec.IKE_AUTH, number)]
    return [(True, sa.first()), (False, sa.first_answer())] + rounds


def intermediate(sa: IkeSa) -> Messages:
    """RFC 9242: exchanges between the two, for keys that are too large."""
    middle = pair(sa, INTERMEDIATE, 1) + pair(sa, INTERMEDIATE, 2)
    opening = [(True, sa.first()), (False, sa.first_answer())]
    return opening + middle + pair(sa, ipsec.IKE_AUTH, 3)


def v2_fragments(sa: IkeSa) -> Messages:
    """RFC 7383: IKE_AUTH in pieces of one message ID."""

    def pieces(outward: bool, sizes: tuple[int, ...]) -> Messages:
        return [
            (outward, v2(sa, outward, ipsec.IKE_AUTH, 1, size, PAYLOAD_SKF)) for size in sizes
        ]

    opening = [(True, sa.first()), (False, sa.first_answer())]
    return opening + pieces(True, (500, 500, 80)) + pieces(False, (500, 300))


def retransmissions(sa: IkeSa) -> Messages:
    return [step for step in sa.opening() for _ in range(3)]


KINDS: list[tuple[Callable[[IkeSa], Messages], int]] = [
    (main_and_quick, 1),
    (aggressive, 1),
    (xauth_and_mode_config, 1),
    (dead_peer_detection, 1),
    (v1_fragments, 1),
    (two_inits, 2),
    (eap, 2),
    (intermediate, 2),
    (v2_fragments, 2),
    (retransmissions, 2),
]


def say(lab: Lab, host: str, gateway: str, messages: Messages, way: Way = PORT_500) -> int:
    """Returns the client's port outside."""
    port, marker, kept = way
    outside = port
    for outward, message in messages:
        if outward:
            packet = ipsec.udp(host, gateway, marker + message, port)
            outside = lab.out(packet, src=POOL, sport=500 if kept else None).ip.sport
        else:
            packet = ipsec.udp(gateway, POOL, marker + message, port)
            packet.dport = outside
            lab.back(packet, dst=host, dport=port)
    return outside


def esp_out(lab: Lab, tunnel: Tunnel) -> None:
    packet, text = tunnel.outbound()
    tunnel.opens(tunnel.spi_out, lab.out(packet, src=POOL).ip_bytes, text)


def esp_back(lab: Lab, tunnel: Tunnel) -> None:
    """To its client and nobody else."""
    packet, text = tunnel.inbound(POOL)
    tunnel.opens(tunnel.spi_in, lab.back(packet, dst=tunnel.client).ip_bytes, text)
    lab.settle()
    assert lab.in_port.waiting() == []


def beside_another(lab: Lab, gateway: str, way: Way = PORT_500) -> Tunnel:
    """A client with a tunnel in use, whose SPIs are known."""
    other = Tunnel(B, gateway)
    say(lab, B, gateway, IkeSa().opening(), way)
    for _ in range(3):
        esp_out(lab, other)
        esp_back(lab, other)
    return other


@pytest.fixture
def gateway() -> str:
    """One that no test has used."""
    return f"198.18.0.{next(_gateways)}"


class Kinds:
    way = PORT_500

    @pytest.mark.parametrize("kind,version", KINDS, ids=[k.__name__ for k, _ in KINDS])
    def test_gateway_first_after(
        self, lab: Lab, gateway: str, kind: Callable[[IkeSa], Messages], version: int
    ) -> None:
        other = beside_another(lab, gateway, self.way)
        sa = IkeSa(version)
        messages = kind(sa)
        say(lab, A, gateway, messages, self.way)
        tunnel = Tunnel(A, gateway)
        esp_back(lab, tunnel)
        esp_out(lab, tunnel)
        for each in (other, tunnel, other):
            esp_back(lab, each)
        (row,) = lab.app.telemetry.ike(client=A, remote=gateway)
        assert (row["version"], row["packets"]) == (version, len(messages))
        assert row["initiator_spi"] == sa.initiator.hex()
        assert row["responder_spi"] == sa.responder.hex()
        assert row["natt"] == (self.way is PORT_4500) and row["esp_in_udp"] == 0

    def test_no_sa_no_credit(self, lab: Lab, gateway: str) -> None:
        """Who has only come as far as IKE_SA_INIT gets nothing, the only one with a tunnel gets it: the
        control of the tests above."""
        beside_another(lab, gateway, self.way)
        say(lab, A, gateway, IkeSa().opening()[:2], self.way)
        lab.back(Tunnel(A, gateway).inbound(POOL)[0], dst=B)


class TestKindsOn4500(Kinds):
    """All of it behind the non-ESP marker, as some peers do, and native ESP all the same."""

    way = PORT_4500


class TestKindsTranslated(Kinds):
    """With a port of each client's own."""

    way = TRANSLATED

    @pytest.fixture(scope="class")
    def config(self) -> cfg.Config:
        return cfg.default_config(realms=[cfg.realm(ike_port="translate")])


class TestKinds(Kinds):

    def test_pair_is_shown(self, lab: Lab, gateway: str) -> None:
        tunnel = beside_another(lab, gateway)
        rows = {r["direction"]: r for r in lab.app.telemetry.bindings(remote=gateway)}
        assert rows["in"]["peer_spi"] == rows["out"]["spi"] == f"{tunnel.spi_out:#010x}"
        assert rows["out"]["peer_spi"] == rows["in"]["spi"] == f"{tunnel.spi_in:#010x}"


class TestMove:
    def test_client_with_another_address(self, lab: Lab, gateway: str) -> None:
        """RFC 4555, without NAT-T: the client says so from its new address, and all follows it."""
        other = beside_another(lab, gateway)
        sa, tunnel = IkeSa(), Tunnel(A, gateway)
        say(lab, A, gateway, sa.opening())
        for _ in range(3):
            esp_out(lab, tunnel)
            esp_back(lab, tunnel)
        tunnel.client = C
        say(lab, C, gateway, sa.exchange(ipsec.INFORMATIONAL))
        esp_back(lab, tunnel)
        esp_out(lab, tunnel)
        esp_back(lab, tunnel)
        esp_back(lab, other)
        assert lab.app.telemetry.ike(client=A, remote=gateway) == []
        assert lab.app.telemetry.bindings(client=A, remote=gateway) == []
        assert len(lab.app.telemetry.bindings(client=C, remote=gateway)) == 2


class TestSerialise:
    """One negotiation with a gateway at a time: the second client's waits."""

    @pytest.fixture(scope="class")
    def config(self) -> cfg.Config:
        return cfg.default_config(realms=[cfg.realm(ambiguity="serialise")])

    def test_second_waits_until_the_first_is_done(self, lab: Lab, gateway: str) -> None:
        sas = {host: IkeSa() for host in (A, B)}
        for host, sa in sas.items():
            say(lab, host, gateway, sa.opening()[:2])
        request = {host: sa.exchange(ipsec.IKE_AUTH) for host, sa in sas.items()}
        say(lab, A, gateway, request[A])
        lab.inside.send(ipsec.udp(B, gateway, request[B][0][1]))
        lab.silent(ike_serialised=1)
        tunnel = Tunnel(A, gateway)
        for _ in range(2):
            esp_back(lab, tunnel)
            esp_out(lab, tunnel)
        say(lab, B, gateway, request[B])
        second = Tunnel(B, gateway)
        esp_back(lab, second)
        esp_out(lab, second)
        esp_back(lab, tunnel)


class TestRealms:
    """Each realm has its own mode, and no copy crosses from one to the other."""

    @pytest.fixture(scope="class")
    def config(self) -> cfg.Config:
        config = cfg.default_config(
            realms=[
                cfg.realm(ambiguity="fanout"),
                cfg.realm(id=1, pool=[POOL2], ambiguity="drop"),
            ]
        )
        config["interfaces"].append(
            {
                "name": "blue",
                "device": cfg.VETH["lan"],
                "vlan": 7,
                "role": "inside",
                "realm": 1,
                "addresses": [f"{BOX_INSIDE}/24"],
            }
        )
        config["routes"] = config["routes"][:1]
        return config

    def test_modes(self, lab: Lab, gateway: str) -> None:
        blue = Side(lab.in_port, 7, cfg.MAC_IN, BOX_INSIDE, INSIDE_NET, INSIDE_ROUTER, {BOX_INSIDE})
        for host in (A, B):
            say(lab, host, gateway, IkeSa().opening())
            for outward, message in IkeSa().opening():
                packet = ipsec.udp(*((host, gateway) if outward else (gateway, POOL2)), message)
                (blue if outward else lab.outside).send(packet)
                frame = (lab.outside if outward else blue).receive()
                assert frame.ip.src == (POOL2 if outward else gateway)
        lab.outside.send(Tunnel(A, gateway).inbound(POOL2)[0])
        lab.silent(spi_ambiguous=1)
        lab.outside.send(Tunnel(A, gateway).inbound(POOL)[0])
        lab.settle()
        got = lab.in_port.waiting()
        assert {(frame.ip.dst, frame.vlan) for frame in got} == {(A, 0), (B, 0)}
