# SPDX-License-Identifier: BSD-3-Clause
# Copyright (c) 2026 the spinat authors
"""AH, which protects the addresses that a NAT changes (RFC 3715 2.1 a): the modes of a realm."""

import pytest
from harness import config as cfg
from harness import wire
from harness.ipsec import ah_packet, ah_verifies, fresh_spi
from harness.lab import Lab, eventually
from harness.plan import A, B, BOX_INSIDE, GATEWAY, POOL, REMOTE
from scapy.layers.inet import ICMP, IP, UDP
from scapy.layers.ipsec import AH, ESP


def plain_ah(src: str, dst: str, spi: int, seq: int = 1) -> IP:
    header = AH(nh=17, payloadlen=4, spi=spi, seq=seq, icv=b"twelve bytes")
    return IP(src=src, dst=dst) / header / b"x"


class TestReject:
    """The default."""

    def test_client_is_told(self, lab: Lab) -> None:
        packet = ah_packet(A, GATEWAY, fresh_spi())
        lab.inside.send(packet)
        error = lab.inside.receive().ip
        wire.assert_valid(bytes(error))
        assert (error.src, error.dst) == (BOX_INSIDE, A)
        assert (error[ICMP].type, error[ICMP].code) == (3, 13)
        assert bytes(error[ICMP].payload) == bytes(packet)[:548]
        lab.silent(ah_rejected=1)

    def test_log_names_the_reason_once_a_client(self, lab: Lab) -> None:
        for seq in range(1, 4):
            lab.inside.send(ah_packet(B, GATEWAY, 0x1234, seq))
            lab.inside.receive()
        lab.silent(ah_rejected=3)
        lab.app.wait_says("3715", B)
        assert sum("3715" in line and B in line for line in lab.app.lines) == 1

    def test_from_outside(self, lab: Lab) -> None:
        """Nobody outside is told anything."""
        lab.outside.send(ah_packet(GATEWAY, POOL, fresh_spi()))
        lab.silent(ah_rejected=1)

    def test_malformed(self, lab: Lab) -> None:
        lab.inside.send(plain_ah(A, GATEWAY, 0))
        lab.silent(spi_zero=1)
        lab.inside.send(plain_ah(A, GATEWAY, 255))
        lab.silent(spi_reserved=1)
        lab.inside.send(IP(src=A, dst=GATEWAY, proto=51) / b"\x11\x04\0\0\1\2\3\4\0\0\0")
        lab.silent(ah_short=1)
        lab.inside.send(IP(src=A, dst=GATEWAY) / AH(nh=17, payloadlen=200, spi=999, seq=1, icv=b""))
        lab.silent(ah_length=1)


class TestTranslate:
    @pytest.fixture(scope="class")
    def config(self) -> cfg.Config:
        return cfg.default_config(realms=[cfg.realm(ah="translate")])

    def test_both_ways(self, lab: Lab) -> None:
        """It passes; that the peer's check fails is the price that the mode names."""
        spi_out, spi_in = fresh_spi(), fresh_spi()
        for seq in range(1, 4):
            packet = ah_packet(A, GATEWAY, spi_out, seq)
            assert ah_verifies(bytes(packet), spi_out)
            frame = lab.out(packet, src=POOL)
            assert not ah_verifies(frame.ip_bytes, spi_out)
            lab.back(ah_packet(GATEWAY, POOL, spi_in, seq), dst=A)

    def test_reload_to_reject_ends_it(self, lab: Lab) -> None:
        """Both ways, what was translated so far as well."""
        spi_out, spi_in = fresh_spi(), fresh_spi()
        for seq in range(1, 4):
            lab.out(ah_packet(A, GATEWAY, spi_out, seq), src=POOL)
            lab.back(ah_packet(GATEWAY, POOL, spi_in, seq), dst=A)
        assert lab.app.telemetry.bindings(client=A)
        assert lab.app.reload(lab.config | {"realms": [cfg.realm()]}).startswith("ok")
        eventually(lambda: not lab.app.telemetry.bindings(client=A))
        lab.outside.send(ah_packet(GATEWAY, POOL, spi_in, 4))
        lab.silent(ah_rejected=1)
        lab.inside.send(ah_packet(A, GATEWAY, spi_out, 4))
        assert lab.inside.receive().ip[ICMP].code == 13
        lab.silent(ah_rejected=1)
        assert lab.app.reload(lab.config).startswith("ok")

    def test_two_clients_of_one_gateway(self, lab: Lab) -> None:
        gateway = "203.0.113.77"
        spis = {}
        for host in (A, B):
            spis[host] = fresh_spi(), fresh_spi()
            lab.out(ah_packet(host, gateway, spis[host][0], 1), src=POOL)
            lab.back(ah_packet(gateway, POOL, spis[host][1], 1), dst=host)
        for host in (A, B):
            lab.out(ah_packet(host, gateway, spis[host][0], 2), src=POOL)
            lab.back(ah_packet(gateway, POOL, spis[host][1], 2), dst=host)

    def test_ah_and_esp_are_told_apart(self, lab: Lab) -> None:
        """An SPI belongs to its protocol."""
        gateway, spi = "203.0.113.78", fresh_spi()
        lab.out(ah_packet(A, gateway, fresh_spi(), 1), src=POOL)
        lab.back(ah_packet(gateway, POOL, spi, 1), dst=A)
        lab.out(IP(src=B, dst=gateway) / ESP(spi=fresh_spi(), seq=1, data=bytes(40)), src=POOL)
        lab.back(IP(src=gateway, dst=POOL) / ESP(spi=spi, seq=1, data=bytes(40)), dst=B)
        lab.back(ah_packet(gateway, POOL, spi, 2), dst=A)


class TestExempt:
    @pytest.fixture(scope="class")
    def config(self) -> cfg.Config:
        return cfg.default_config(realms=[cfg.realm(ah="exempt")])

    @pytest.fixture(autouse=True)
    def inside_addresses_may_be_seen(self, box: Lab) -> None:
        box.leaks_allowed = True

    def test_both_ways_untouched(self, lab: Lab) -> None:
        spi_out, spi_in = fresh_spi(), fresh_spi()
        for seq in range(1, 4):
            frame = lab.out(ah_packet(A, GATEWAY, spi_out, seq), src=A)
            assert ah_verifies(frame.ip_bytes, spi_out)
            frame = lab.back(ah_packet(GATEWAY, A, spi_in, seq), dst=A)
            assert ah_verifies(frame.ip_bytes, spi_in)

    def test_everything_else_is_translated(self, lab: Lab) -> None:
        lab.out(IP(src=A, dst=REMOTE) / UDP(sport=4000, dport=53) / b"x", src=POOL, sport=4000)
        for frame in lab.out_port.capture:
            assert not wire.private_addresses(frame) or frame.raw[23] == 51

    def test_nothing_else_comes_in_untranslated(self, lab: Lab) -> None:
        lab.outside.send(IP(src=REMOTE, dst=A) / UDP(sport=53, dport=4000) / b"x")
        lab.outside.send(IP(src=REMOTE, dst=A) / ICMP(type=8, id=1) / b"x")
        lab.silent(not_ours=2)
