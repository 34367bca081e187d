# SPDX-License-Identifier: BSD-3-Clause
# Copyright (c) 2026 the spinat authors
"""IKE on UDP 500: the port is kept for every client, who is told apart by IKE SPI."""

import time

import pytest
from harness import config as cfg
from harness import ipsec
from harness.ipsec import IkeSa, udp
from harness.lab import Lab, eventually
from harness.plan import A, B, C, GATEWAY, GATEWAY2, POOL, client
from scapy.layers.inet import IP, UDP


def pass_message(lab: Lab, host: str, gateway: str, outward: bool, message: bytes) -> None:
    """One message of an exchange, both ports 500 on both sides."""
    if outward:
        lab.out(udp(host, gateway, message), src=POOL, sport=500)
    else:
        lab.back(udp(gateway, POOL, message), dst=host, dport=500)


def exchange(lab: Lab, host: str, gateway: str, messages: list[tuple[bool, bytes]]) -> None:
    for outward, message in messages:
        pass_message(lab, host, gateway, outward, message)


class TestKeep:
    @pytest.mark.parametrize("version", [1, 2])
    def test_opening(self, lab: Lab, version: int) -> None:
        exchange(lab, A, GATEWAY, IkeSa(version).opening())

    @pytest.mark.parametrize("version", [1, 2])
    def test_clients_of_one_gateway_interleaved(self, lab: Lab, version: int) -> None:
        """Three clients open at once; each answer reaches the one whose SPI it bears."""
        sas = {host: IkeSa(version) for host in (A, B, C)}
        for steps in zip(*(sa.opening() for sa in sas.values())):
            for host, step in zip(sas, steps):
                pass_message(lab, host, GATEWAY, *step)
        for host, sa in reversed(sas.items()):
            exchange(lab, host, GATEWAY, sa.exchange(ipsec.INFORMATIONAL))

    def test_fifty_clients_of_one_gateway(self, lab: Lab) -> None:
        sas = {client(number): IkeSa() for number in range(1, 51)}
        for host, sa in sas.items():
            pass_message(lab, host, GATEWAY2, True, sa.first())
        for host, sa in reversed(sas.items()):
            pass_message(lab, host, GATEWAY2, False, sa.first_answer())

    def test_one_client_two_gateways(self, lab: Lab) -> None:
        sas = {GATEWAY: IkeSa(), GATEWAY2: IkeSa()}
        for gateway, sa in sas.items():
            exchange(lab, A, gateway, sa.opening())

    def test_retransmissions_pass(self, lab: Lab) -> None:
        sa = IkeSa()
        for _ in range(3):
            pass_message(lab, A, GATEWAY, True, sa.first())
        for _ in range(2):
            pass_message(lab, A, GATEWAY, False, sa.first_answer())

    def test_exchanges_begun_by_the_gateway(self, lab: Lab) -> None:
        """Liveness and rekey of the child SA from the other end, in an IKE SA that is known."""
        sas = {host: IkeSa() for host in (A, B)}
        for host, sa in sas.items():
            exchange(lab, host, GATEWAY, sa.opening())
        for number, kind in enumerate((ipsec.INFORMATIONAL, ipsec.CREATE_CHILD_SA)):
            for host, sa in sas.items():
                exchange(lab, host, GATEWAY, sa.exchange_by_responder(kind, number))

    def test_new_ike_sa_begun_by_the_gateway(self, lab: Lab) -> None:
        """A rekey of the IKE SA has new SPIs: the only client of this gateway gets it."""
        gateway = "203.0.113.20"
        exchange(lab, A, gateway, IkeSa().opening())
        new = IkeSa()
        lab.back(udp(gateway, POOL, new.first()), dst=A, dport=500)
        lab.out(udp(A, gateway, new.first_answer()), src=POOL, sport=500)

    def test_unknown_spis_from_a_stranger(self, lab: Lab) -> None:
        lab.outside.send(udp("203.0.113.99", POOL, IkeSa().first()))
        lab.silent(ike_unknown=1)

    def test_spis_of_another_gateway(self, lab: Lab) -> None:
        """The gateway's address is part of the key: nobody else can speak in an IKE SA."""
        sa = IkeSa()
        exchange(lab, A, GATEWAY, sa.opening())
        lab.outside.send(udp("203.0.113.98", POOL, sa.first_answer()))
        lab.silent(ike_unknown=1)

    def test_large_message(self, lab: Lab) -> None:
        sa = IkeSa()
        message = ipsec.ike_message(
            sa.initiator, bytes(8), ipsec.SA_INIT, next_payload=33, body=bytes(range(256)) * 5
        )
        pass_message(lab, B, GATEWAY, True, message)

    def test_keepalive_of_one_byte(self, lab: Lab) -> None:
        """Not IKE by its length, but UDP all the same."""
        lab.out(udp(A, GATEWAY, ipsec.KEEPALIVE), src=POOL)

    def test_other_source_port_is_plain_udp(self, lab: Lab) -> None:
        sa = IkeSa()
        packet = IP(src=A, dst=GATEWAY) / UDP(sport=10500, dport=500) / sa.first()
        lab.out(packet, src=POOL, sport=10500)
        answer = IP(src=GATEWAY, dst=POOL) / UDP(sport=500, dport=10500) / sa.first_answer()
        lab.back(answer, dst=A, dport=10500)

    def test_malformed(self, lab: Lab) -> None:
        good = IkeSa().first()
        for bad in (
            bytes(8) + good[8:],  # initiator SPI 0
            good[:17] + b"\x30" + good[18:],  # version 3
            good[:24] + b"\0\0\0\x1b" + good[28:],  # length under 28
            good[:24] + b"\0\0\xff\xff" + good[28:],  # length beyond the packet
        ):
            lab.inside.send(udp(A, GATEWAY, bad))
            lab.outside.send(udp(GATEWAY, POOL, bad))
        lab.silent(ike_bad=8)
        lab.inside.send(udp(A, GATEWAY, good[:27]))
        lab.silent(ike_short=1)

    def test_telemetry_shows_the_sa(self, lab: Lab) -> None:
        gateway = "203.0.113.30"
        sa = IkeSa()
        exchange(lab, C, gateway, sa.opening())
        (row,) = [r for r in lab.app.telemetry.ike(client=C) if r["gateway"] == gateway]
        assert row["outside"] == POOL
        assert row["initiator_spi"].removeprefix("0x") == sa.initiator.hex()
        assert row["responder_spi"].removeprefix("0x") == sa.responder.hex()
        assert row["version"] == 2 and row["packets"] == 4


class TestTranslate:
    """ike_port = "translate": a port of its own for each, as RFC 3715 2.1 d would have it."""

    @pytest.fixture(scope="class")
    def config(self) -> cfg.Config:
        return cfg.default_config(realms=[cfg.realm(ike_port="translate")])

    def test_each_client_has_its_port(self, lab: Lab) -> None:
        ports = {}
        for host in (A, B, C):
            sa = IkeSa()
            frame = lab.out(udp(host, GATEWAY, sa.first()), src=POOL)
            ports[host] = frame.ip.sport, sa
        assert len({port for port, _ in ports.values()}) == 3
        for host, (port, sa) in ports.items():
            answer = udp(GATEWAY, POOL, sa.first_answer())
            answer.dport = port
            lab.back(answer, dst=host, dport=500)


class TestTimeout:
    @pytest.fixture(scope="class")
    def config(self) -> cfg.Config:
        return cfg.default_config(timeouts={"ike": 2, "esp": 2, "candidate": 2})

    def test_idle_sa_goes(self, lab: Lab) -> None:
        sa = IkeSa()
        exchange(lab, A, GATEWAY, sa.opening())
        assert len(lab.app.telemetry.ike()) == 1
        eventually(lambda: lab.app.telemetry.ike() == [])
        time.sleep(2.5)  # what its last exchange promised has no more time than that
        lab.outside.send(udp(GATEWAY, POOL, sa.first_answer()))
        lab.silent(ike_unknown=1)
