# SPDX-License-Identifier: BSD-3-Clause
# Copyright (c) 2026 the spinat authors
"""IKE and ESP in UDP on port 4500 (RFC 3947, RFC 3948): plain UDP with its own timeout."""

import time

import pytest
from harness import config as cfg
from harness import ipsec
from harness.ipsec import KEEPALIVE, NATT_PORT, NON_ESP_MARKER, IkeSa, Tunnel
from harness.lab import Lab, eventually
from harness.plan import A, B, C, GATEWAY, GATEWAY2, POOL
from scapy.layers.inet import IP, UDP
from scapy.packet import Packet


def encapsulated(src: str, dst: str, sport: int, dport: int, tunnel: Tunnel, out: bool) -> Packet:
    """An ESP packet in UDP without a checksum, as RFC 3948 2.1 wants it."""
    packet, _ = tunnel.outbound() if out else tunnel.inbound(dst)
    esp = bytes(packet)[20:]
    return IP(src=src, dst=dst) / UDP(sport=sport, dport=dport, chksum=0) / esp


def to_gateway(src: str, payload: bytes, gateway: str = GATEWAY) -> Packet:
    return IP(src=src, dst=gateway) / UDP(sport=NATT_PORT, dport=NATT_PORT) / payload


def from_gateway(port: int, payload: bytes, gateway: str = GATEWAY) -> Packet:
    return IP(src=gateway, dst=POOL) / UDP(sport=NATT_PORT, dport=port) / payload


class TestNatt:
    def test_three_clients_of_one_gateway(self, lab: Lab) -> None:
        """SA_INIT on 500, then all float to 4500, where ports tell them apart."""
        ports = {}
        for host in (A, B, C):
            sa = IkeSa()
            lab.out(ipsec.udp(host, GATEWAY, sa.first()), src=POOL, sport=500)
            lab.back(ipsec.udp(GATEWAY, POOL, sa.first_answer()), dst=host, dport=500)
            for outward, message in sa.exchange(ipsec.IKE_AUTH):
                if outward:
                    frame = lab.out(to_gateway(host, NON_ESP_MARKER + message), src=POOL)
                    ports[host] = frame.ip[UDP].sport
                else:
                    packet = from_gateway(ports[host], NON_ESP_MARKER + message)
                    lab.back(packet, dst=host, dport=NATT_PORT)
        assert len(set(ports.values())) == 3
        tunnels = {host: Tunnel(host, GATEWAY) for host in ports}
        for _ in range(3):
            for host, tunnel in tunnels.items():
                packet = encapsulated(host, GATEWAY, NATT_PORT, NATT_PORT, tunnel, True)
                frame = lab.out(packet, src=POOL, sport=ports[host])
                assert frame.ip[UDP].chksum == 0
            for host, tunnel in tunnels.items():
                packet = encapsulated(GATEWAY, POOL, NATT_PORT, ports[host], tunnel, False)
                frame = lab.back(packet, dst=host, dport=NATT_PORT)
                assert frame.ip[UDP].chksum == 0

    def test_checksum_that_is_there_is_kept_right(self, lab: Lab) -> None:
        sa = IkeSa()
        packet = to_gateway(A, NON_ESP_MARKER + sa.first(), GATEWAY2)
        frame = lab.out(packet, src=POOL)
        assert frame.ip[UDP].chksum != 0

    def test_one_outside_endpoint_for_two_gateways(self, lab: Lab) -> None:
        first = lab.out(to_gateway(A, NON_ESP_MARKER + IkeSa().first()), src=POOL)
        second = lab.out(to_gateway(A, NON_ESP_MARKER + IkeSa().first(), GATEWAY2), src=POOL)
        assert first.ip[UDP].sport == second.ip[UDP].sport

    @pytest.mark.parametrize("payload", [b"", b"\0", b"\0\0\0", b"\xff\xff", KEEPALIVE * 9])
    def test_runts_pass_as_udp(self, lab: Lab, payload: bytes) -> None:
        lab.out(to_gateway(A, payload), src=POOL)

    def test_keepalive_both_ways(self, lab: Lab) -> None:
        port = lab.out(to_gateway(B, KEEPALIVE), src=POOL).ip[UDP].sport
        lab.back(from_gateway(port, KEEPALIVE), dst=B, dport=NATT_PORT)

    def test_ike_on_4500_from_another_port(self, lab: Lab) -> None:
        packet = IP(src=C, dst=GATEWAY) / UDP(sport=40500, dport=NATT_PORT) / NON_ESP_MARKER
        lab.out(packet, src=POOL, sport=40500)


class TestNoCandidate:
    def test_who_uses_nat_t_gets_no_native_esp(self, lab: Lab) -> None:
        """Two clients of one gateway have finished IKE; one of them keeps a NAT open for ESP in UDP.
        What the gateway sends in ESP, first, can only be for the other."""
        gateway = "203.0.113.77"
        sas = {host: IkeSa() for host in (A, B)}
        for host, sa in sas.items():
            lab.out(ipsec.udp(host, gateway, sa.first()), src=POOL, sport=500)
            lab.back(ipsec.udp(gateway, POOL, sa.first_answer()), dst=host, dport=500)
        request, answer = (message for _, message in sas[A].exchange(ipsec.IKE_AUTH))
        frame = lab.out(to_gateway(A, NON_ESP_MARKER + request, gateway), src=POOL)
        packet = from_gateway(frame.ip[UDP].sport, NON_ESP_MARKER + answer, gateway)
        lab.back(packet, dst=A, dport=NATT_PORT)
        lab.out(to_gateway(A, KEEPALIVE, gateway), src=POOL)
        request, answer = (message for _, message in sas[B].exchange(ipsec.IKE_AUTH))
        lab.out(ipsec.udp(B, gateway, request), src=POOL, sport=500)
        lab.back(ipsec.udp(gateway, POOL, answer), dst=B, dport=500)
        tunnel = Tunnel(B, gateway)
        for _ in range(2):
            lab.back(tunnel.inbound(POOL)[0], dst=B)
            lab.out(tunnel.outbound()[0], src=POOL)


class TestTimeout:
    """Its own timeout, here the longer one; plain UDP beside it goes first."""

    @pytest.fixture(scope="class")
    def config(self) -> cfg.Config:
        return cfg.default_config(timeouts={"udp": 1, "natt": 5})

    def test_outlives_plain_udp(self, lab: Lab) -> None:
        lab.out(to_gateway(A, NON_ESP_MARKER), src=POOL, sport=NATT_PORT)
        lab.out(IP(src=A, dst=GATEWAY) / UDP(sport=1234, dport=1234) / b"x", src=POOL, sport=1234)
        eventually(lambda: len(lab.app.telemetry.sessions()) < 2)
        rows = lab.app.telemetry.sessions()
        assert [r["inside"] for r in rows] == [f"{A}:{NATT_PORT}"]
        eventually(lambda: lab.app.telemetry.sessions() == [])

    def test_keepalives_alone_keep_it(self, lab: Lab) -> None:
        lab.out(to_gateway(A, NON_ESP_MARKER), src=POOL, sport=NATT_PORT)
        for _ in range(9):
            time.sleep(1)
            lab.out(to_gateway(A, KEEPALIVE), src=POOL, sport=NATT_PORT)
        lab.back(from_gateway(NATT_PORT, b"\1\2\3\4"), dst=A, dport=NATT_PORT)
