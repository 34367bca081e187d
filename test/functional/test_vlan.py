# SPDX-License-Identifier: BSD-3-Clause
# Copyright (c) 2026 the spinat authors
"""VLAN interfaces on one device, and realms whose inside address plans overlap."""

from dataclasses import dataclass

import pytest
from harness import config as cfg
from harness import ipsec, wire
from harness.ipsec import IkeSa, Tunnel
from harness.lab import Lab
from harness.plan import BOX_OUTSIDE, INSIDE_NET, OUTSIDE_NET, REMOTE, ROUTER
from harness.port import Side
from scapy.layers.inet import ICMP, IP, TCP, UDP

HOST = "10.0.0.2"  # the same in every realm
GATEWAY = "203.0.113.5"
POOLS = {0: "192.0.2.10", 1: "192.0.2.11", 2: "192.0.2.12"}
VLANS = {0: 10, 1: 20, 2: 30}
OUTSIDE_VLAN = 100


@dataclass
class Tenants:
    """The lab with an inside for every realm, one of them in use at a time."""

    lab: Lab
    sides: dict[int, Side]

    def enter(self, realm: int) -> tuple[Lab, str]:
        self.lab.inside = self.sides[realm]
        return self.lab, POOLS[realm]


@pytest.fixture(scope="class")
def config() -> cfg.Config:
    inside = [
        {
            "name": f"tenant{realm}",
            "device": cfg.VETH["lan"],
            "vlan": vlan,
            "role": "inside",
            "realm": realm,
            "addresses": ["10.0.0.1/24"],
        }
        for realm, vlan in VLANS.items()
    ]
    outside = {
        "name": "wan",
        "device": cfg.VETH["wan"],
        "vlan": OUTSIDE_VLAN,
        "role": "outside",
        "addresses": [f"{BOX_OUTSIDE}/24"],
    }
    return cfg.default_config(
        interfaces=[*inside, outside],
        routes=[{"to": "0.0.0.0/0", "via": ROUTER}]
        + [{"to": "10.1.0.0/16", "via": "10.0.0.254", "realm": realm} for realm in VLANS],
        realms=[cfg.realm(id=realm, pool=[pool]) for realm, pool in POOLS.items()],
    )


@pytest.fixture
def tenants(box: Lab, lab: Lab) -> Tenants:
    sides = {
        realm: Side(
            lab.in_port, vlan, cfg.MAC_IN, "10.0.0.1", INSIDE_NET, "10.0.0.254", {"10.0.0.1"}
        )
        for realm, vlan in VLANS.items()
    }
    lab.outside = Side(
        lab.out_port,
        OUTSIDE_VLAN,
        cfg.MAC_OUT,
        BOX_OUTSIDE,
        OUTSIDE_NET,
        ROUTER,
        {BOX_OUTSIDE, *POOLS.values()},
    )
    lab.inside = sides[0]
    return Tenants(lab, sides)


class TestRealms:
    def test_udp_of_hosts_with_one_address(self, tenants: Tenants) -> None:
        for realm in VLANS:
            lab, pool = tenants.enter(realm)
            packet = IP(src=HOST, dst=REMOTE) / UDP(sport=4000, dport=53) / b"q"
            lab.out(packet, src=pool, sport=4000)
        for realm in VLANS:
            lab, pool = tenants.enter(realm)
            answer = IP(src=REMOTE, dst=pool) / UDP(sport=53, dport=4000) / b"a"
            frame = lab.back(answer, dst=HOST, dport=4000)
            assert frame.vlan == VLANS[realm]

    def test_tcp_and_ping(self, tenants: Tenants) -> None:
        for realm in VLANS:
            lab, pool = tenants.enter(realm)
            syn = IP(src=HOST, dst=REMOTE) / TCP(sport=4001, dport=80, flags="S")
            assert lab.out(syn, src=pool, sport=4001).vlan == OUTSIDE_VLAN
            lab.out(IP(src=HOST, dst=REMOTE) / ICMP(id=4100) / b"x", src=pool, sport=4100)
        for realm in VLANS:
            lab, pool = tenants.enter(realm)
            answer = IP(src=REMOTE, dst=pool) / TCP(sport=80, dport=4001, flags="SA")
            lab.back(answer, dst=HOST, dport=4001)
            lab.back(IP(src=REMOTE, dst=pool) / ICMP(type=0, id=4100) / b"x", dst=HOST, dport=4100)

    def test_ike_and_esp(self, tenants: Tenants) -> None:
        tunnels = {}
        for realm in VLANS:
            lab, pool = tenants.enter(realm)
            for outward, message in IkeSa().opening():
                if outward:
                    lab.out(ipsec.udp(HOST, GATEWAY, message), src=pool, sport=500)
                else:
                    lab.back(ipsec.udp(GATEWAY, pool, message), dst=HOST, dport=500)
            tunnels[realm] = Tunnel(HOST, GATEWAY)
            lab.out(tunnels[realm].outbound()[0], src=pool)
        for realm, tunnel in tunnels.items():
            lab, pool = tenants.enter(realm)
            packet, text = tunnel.inbound(pool)
            tunnel.opens(tunnel.spi_in, lab.back(packet, dst=HOST).ip_bytes, text)

    def test_host_behind_a_router_of_the_realm(self, tenants: Tenants) -> None:
        for realm in VLANS:
            lab, pool = tenants.enter(realm)
            packet = IP(src="10.1.0.9", dst=REMOTE) / UDP(sport=4002, dport=53) / b"q"
            lab.out(packet, src=pool, sport=4002)
            answer = IP(src=REMOTE, dst=pool) / UDP(sport=53, dport=4002) / b"a"
            lab.back(answer, dst="10.1.0.9", dport=4002)

    def test_one_tenant_reaches_another_by_its_outside_address(self, tenants: Tenants) -> None:
        lab, pool = tenants.enter(1)
        # realm 1 lets the outside address of realm 0 in by sending there, which nobody has yet
        lab.inside.send(IP(src=HOST, dst=POOLS[0]) / UDP(sport=4003, dport=4004) / b"knock")
        lab.silent(no_mapping=1)
        tenants.sides[0].send(IP(src=HOST, dst=pool) / UDP(sport=4004, dport=4003) / b"hello")
        frame = lab.inside.receive()
        assert (frame.ip.src, frame.ip.dst) == (POOLS[0], HOST)
        assert (frame.ip[UDP].sport, frame.ip[UDP].dport) == (4004, 4003)
        wire.assert_valid(frame.ip_bytes)

    def test_sessions_are_shown_by_realm(self, tenants: Tenants) -> None:
        for realm in VLANS:
            lab, pool = tenants.enter(realm)
            packet = IP(src=HOST, dst=REMOTE) / UDP(sport=4005, dport=9) / b"q"
            lab.out(packet, src=pool, sport=4005)
        for realm, pool in POOLS.items():
            rows = lab.app.telemetry.sessions(realm=realm, protocol="udp")
            assert rows and {r["realm"] for r in rows} == {realm}
            assert {r["outside"].split(":")[0] for r in rows} == {pool}

    def test_ping_to_the_box_in_every_vlan(self, tenants: Tenants) -> None:
        for realm in VLANS:
            lab, _ = tenants.enter(realm)
            lab.inside.send(IP(src=HOST, dst="10.0.0.1") / ICMP(id=5) / b"ping")
            frame = lab.inside.receive()
            assert frame.ip[ICMP].type == 0 and frame.vlan == VLANS[realm]

    def test_frames_of_no_vlan_of_ours(self, tenants: Tenants) -> None:
        lab, _ = tenants.enter(0)
        packet = bytes(IP(src=HOST, dst=REMOTE) / UDP(sport=1, dport=2) / b"x")
        for vlan in (0, 11, 4094):
            stray = Side(lab.in_port, vlan, cfg.MAC_IN, "10.0.0.1", INSIDE_NET, "10.0.0.254")
            stray.send(packet)
        lab.silent(vlan_unknown=3)
