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


class Auto:
    """ike_port = "auto": translated first, 500 for gateways that do not answer then."""

    workers = 1
    devices = cfg.VETH

    @pytest.fixture(scope="class")
    def config(self) -> cfg.Config:
        return cfg.default_config(
            workers=self.workers,
            lcores="0@0,1@1" if self.workers == 1 else "0@0,1@0,2@1",
            devices=self.devices,
            realms=[cfg.realm(ike_port="auto")],
        )

    def sends(self, lab: Lab, host: str, gateway: str, message: bytes) -> int:
        """A message, long enough after the last to be none of the network's doubling; its source port
        outside."""
        time.sleep(0.12)
        return lab.out(udp(host, gateway, message), src=POOL).ip.sport

    def answered(self, lab: Lab, host: str, gateway: str, port: int, message: bytes) -> None:
        answer = udp(gateway, POOL, message)
        answer.dport = port
        lab.back(answer, dst=host, dport=500)

    def insist(self, lab: Lab, host: str, gateway: str, sa: IkeSa) -> None:
        """Until the box has understood."""
        ports = [self.sends(lab, host, gateway, sa.first()) for _ in range(3)]
        assert len(set(ports)) == 1 and ports[0] != 500
        assert self.sends(lab, host, gateway, sa.first()) == 500

    def test_gateway_that_insists_on_500(self, lab: Lab) -> None:
        gateway, sa = "203.0.113.30", IkeSa()
        self.insist(lab, A, gateway, sa)
        self.answered(lab, A, gateway, 500, sa.first_answer())
        exchange(lab, A, gateway, sa.exchange(ipsec.IKE_AUTH))
        (row,) = lab.app.telemetry.ike(remote=gateway)
        assert row["client"] == A
        # it is remembered: the next client begins with 500
        exchange(lab, B, gateway, IkeSa().opening())
        lab.app.wait_says("event=ike_port", f"gateway={gateway}", f"client={A}")

    def test_gateway_that_does_not(self, lab: Lab) -> None:
        """It answers at once, then the client says each message four times."""
        gateway = "203.0.113.31"
        for host in (A, B):
            sa = IkeSa()
            port = self.sends(lab, host, gateway, sa.first())
            assert port != 500
            self.answered(lab, host, gateway, port, sa.first_answer())
            for outward, message in sa.exchange(ipsec.IKE_AUTH):
                if not outward:
                    self.answered(lab, host, gateway, port, message)
                    continue
                for _ in range(4):
                    assert self.sends(lab, host, gateway, message) == port
        rows = {r["client"]: r for r in lab.app.telemetry.ike(remote=gateway)}
        assert {(r["exchange"], r["natt"]) for r in rows.values()} == {(ipsec.IKE_AUTH, 0)}
        assert set(rows) == {A, B}

    def test_cookie_is_an_answer(self, lab: Lab) -> None:
        """RFC 7296 2.6: the first message again, with what the gateway wants to see in it."""
        gateway, sa = "203.0.113.32", IkeSa()
        port = self.sends(lab, A, gateway, sa.first())
        self.answered(lab, A, gateway, port, sa.first_answer())
        again = ipsec.ike_message(
            sa.initiator, bytes(8), ipsec.SA_INIT, next_payload=41, body=bytes(100)
        )
        for _ in range(3):
            assert self.sends(lab, A, gateway, again) == port

    def test_sa_that_began_with_another_port_keeps_it(self, lab: Lab) -> None:
        """The gateway did answer, then it was away while another client tried."""
        gateway, old = "203.0.113.33", IkeSa()
        port = self.sends(lab, B, gateway, old.first())
        self.answered(lab, B, gateway, port, old.first_answer())
        self.insist(lab, A, gateway, IkeSa())
        for outward, message in old.exchange(ipsec.IKE_AUTH):
            if outward:
                assert self.sends(lab, B, gateway, message) == port
            else:
                self.answered(lab, B, gateway, port, message)
        new = IkeSa()
        exchange(lab, B, gateway, new.opening())

    def test_esp_goes_with_either(self, lab: Lab) -> None:
        gateway, sa = "203.0.113.34", IkeSa()
        port = self.sends(lab, C, gateway, sa.first())
        self.answered(lab, C, gateway, port, sa.first_answer())
        tunnel = ipsec.Tunnel(C, gateway)
        packet, text = tunnel.outbound()
        tunnel.opens(tunnel.spi_out, lab.out(packet, src=POOL).ip_bytes, text)
        packet, text = tunnel.inbound(POOL)
        tunnel.opens(tunnel.spi_in, lab.back(packet, dst=C).ip_bytes, text)


class TestAuto(Auto):
    pass


class TestAutoTwoWorkers(Auto):
    workers = 2
    devices = {side: f"{device},qpairs=2" for side, device in cfg.VETH.items()}


class TestAutoAndReload:
    """What has port 500 keeps it when the policy changes, over a restart too."""

    @pytest.fixture(scope="class")
    def config(self, tmp_path_factory: pytest.TempPathFactory) -> cfg.Config:
        place = tmp_path_factory.mktemp("state")
        return cfg.default_config(checkpoint={"file": str(place / "state"), "interval": 86400})

    def test_reload_and_restart(self, lab: Lab) -> None:
        sa = IkeSa()
        exchange(lab, A, GATEWAY, sa.opening())
        auto = dict(lab.config) | {"realms": [cfg.realm(ike_port="auto")]}
        assert lab.app.reload(auto).startswith("ok")
        exchange(lab, A, GATEWAY, sa.exchange(ipsec.INFORMATIONAL))
        assert lab.app.telemetry.ask("/spinat/checkpoint_now").startswith("ok")
        lab.app.kill()
        lab.app.start()
        lab.settle()
        lab.forget_drops()
        exchange(lab, A, GATEWAY, sa.exchange(ipsec.INFORMATIONAL))


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
