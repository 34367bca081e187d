# SPDX-License-Identifier: BSD-3-Clause
# Copyright (c) 2026 the spinat authors
"""Inside hosts and remotes that are routed untranslated (RFC 6888 REQ-6)."""

import pytest
from harness import config as cfg
from harness import wire
from harness.ipsec import Tunnel
from harness.lab import Lab, eventually
from harness.plan import A, B, BEHIND, GATEWAY, POOL, REMOTE, TRANSIT
from scapy.layers.inet import ICMP, IP, TCP, UDP
from scapy.packet import Packet


def udp(src: str, dst: str, sport: int = 5000, dport: int = 53) -> Packet:
    return IP(src=src, dst=dst) / UDP(sport=sport, dport=dport) / b"x"


class TestExempt:
    """A talks with the gateway's network as it is; with others, and others with it, through NAT."""

    @pytest.fixture(scope="class")
    def config(self) -> cfg.Config:
        return cfg.default_config(
            devices=cfg.TAP, exempt=[{"from": f"{A}/32", "to": "203.0.113.0/24"}]
        )

    @pytest.fixture(autouse=True)
    def inside_addresses_are_seen(self, lab: Lab) -> None:
        lab.leaks_allowed = True

    @pytest.mark.parametrize(
        "payload",
        [
            UDP(sport=500, dport=500)
            / (b"\1" * 8 + b"\0" * 8 + b"\1\x10\2" + b"\0" * 6 + b"\0\0\x1c"),
            UDP(sport=5000, dport=53) / b"x",
            TCP(sport=5000, dport=80, flags="A"),
            ICMP(type=8, id=7) / b"ping",
            ICMP(type=0, id=7) / b"pong",
        ],
    )
    def test_both_ways(self, lab: Lab, payload: Packet) -> None:
        lab.out(IP(src=A, dst=GATEWAY) / payload, src=A, sport=None)
        lab.back(IP(src=GATEWAY, dst=A) / payload, dst=A)
        assert lab.app.telemetry.sessions() == []

    @pytest.mark.parametrize("proto", [47, 50, 51])
    def test_other_protocols(self, lab: Lab, proto: int) -> None:
        body = b"\4\4\0\0" + b"\0\0\x20\x01" * 6
        lab.out(IP(src=A, dst=GATEWAY, proto=proto) / body, src=A)
        lab.back(IP(src=GATEWAY, dst=A, proto=proto) / body, dst=A)

    def test_fragments(self, lab: Lab) -> None:
        packet = IP(src=A, dst=GATEWAY, id=77) / UDP(sport=5000, dport=53) / bytes(2000)
        for part in reversed(wire.fragments(packet, 800)):
            lab.inside.send(part)
        got = [frame.ip_bytes for frame in lab.outside.receive_all(3)]
        wire.assert_same(wire.reassemble(got), wire.translated(packet))

    def test_errors(self, lab: Lab) -> None:
        quote = wire.quoted(bytes(udp(A, GATEWAY)))
        error = wire.error_about(TRANSIT, A, 3, 4, quote, 1400)
        lab.outside.send(error)
        wire.assert_same(lab.inside.receive().ip_bytes, wire.translated(error))
        quote = wire.quoted(bytes(udp(GATEWAY, A)))
        error = wire.error_about(A, GATEWAY, 3, 3, quote)
        lab.inside.send(error)
        wire.assert_same(lab.outside.receive().ip_bytes, wire.translated(error))

    def test_others_are_translated(self, lab: Lab) -> None:
        lab.out(udp(A, REMOTE), src=POOL, sport=5000)
        lab.out(udp(B, GATEWAY, 5002), src=POOL, sport=5002)
        lab.out(udp(BEHIND, GATEWAY, 5004), src=POOL, sport=5004)

    def test_others_stay_out(self, lab: Lab) -> None:
        lab.outside.send(udp(REMOTE, A))
        lab.outside.send(udp(GATEWAY, B))
        lab.silent(not_ours=2)
        quote = wire.quoted(bytes(udp(A, REMOTE)))
        lab.outside.send(wire.error_about(TRANSIT, A, 3, 4, quote, 1400))
        quote = wire.quoted(bytes(udp(B, GATEWAY)))
        lab.outside.send(wire.error_about(TRANSIT, A, 3, 4, quote, 1400))
        lab.silent(not_ours=2)

    def test_reload(self, lab: Lab) -> None:
        """A session that becomes exempt is closed, and goes on untranslated."""
        lab.out(udp(B, GATEWAY, 6000), src=POOL, sport=6000)
        rules = [*lab.config["exempt"], {"from": f"{B}/32", "to": f"{GATEWAY}/32"}]
        assert lab.app.reload(lab.config | {"exempt": rules}).startswith("ok")
        eventually(lambda: lab.app.telemetry.sessions(client=B, remote=GATEWAY) == [])
        lab.out(udp(B, GATEWAY, 6000), src=B, sport=6000)

    def test_reload_closes_tunnels(self, lab: Lab) -> None:
        """What the binder knows of such a pair, too: its packets would go on translated."""
        tunnel, other = Tunnel(B, "203.0.113.77"), Tunnel(B, "203.0.113.78")
        for t in (tunnel, other):
            lab.out(t.outbound()[0], src=POOL)
            lab.back(t.inbound(POOL)[0], dst=B)
            lab.out(t.outbound()[0], src=POOL)
        rules = [*lab.config["exempt"], {"from": f"{B}/32", "to": f"{tunnel.gateway}/32"}]
        assert lab.app.reload(lab.config | {"exempt": rules}).startswith("ok")
        bindings = lab.app.telemetry.bindings
        eventually(lambda: bindings(client=B, remote=tunnel.gateway) == [])
        lab.out(tunnel.outbound()[0], src=B)
        lab.back(tunnel.inbound(B)[0], dst=B)
        assert len(bindings(client=B, remote=other.gateway)) == 2
        lab.back(other.inbound(POOL)[0], dst=B)
        # and with another address for all that it does
        static = [{"inside": B, "outside": "192.0.2.99"}]
        assert lab.app.reload(lab.config | {"exempt": rules, "static": static}).startswith("ok")
        lab.outside.absent.add("192.0.2.99")
        eventually(lambda: bindings(client=B) == [])
        lab.out(other.outbound()[0], src="192.0.2.99")
