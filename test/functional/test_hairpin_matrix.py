# SPDX-License-Identifier: BSD-3-Clause
# Copyright (c) 2026 the spinat authors
"""Every way that an inside host can be known outside, talking with every other and with itself.

Mappings, static hosts, hosts of a static prefix, redirected ports, runs and protocols, in two realms
whose inside addresses are the same (RFC 4787 REQ-9, RFC 5382 REQ-8, RFC 5508 REQ-7): packets, answers,
fragments, and errors about all of them.
"""

import itertools
from dataclasses import dataclass

import pytest
from harness import config as cfg
from harness import wire
from harness.lab import Lab
from harness.plan import A, B, BOX_INSIDE, INSIDE_NET, INSIDE_ROUTER, POOL, POOL2, REMOTE
from harness.port import Side
from scapy.layers.inet import ICMP, IP, TCP, UDP
from scapy.packet import Packet

OTHER_VLAN = 20
SERVER = "10.0.0.80"
RUN_SERVER = "10.0.0.81"
GRE_SERVER = "10.0.0.82"
GRE = 47
_ids = itertools.count(0x3000)


@dataclass(frozen=True)
class Actor:
    """An inside host, and what it is outside."""

    name: str
    address: str
    outside: str
    port: int
    outside_port: int | None  # None: of a mapping, which says
    realm: int = 0


STATIC = Actor("static", "10.0.0.60", "192.0.2.60", 5000, 5000)
PREFIX1 = Actor("prefix1", "10.0.0.66", "192.0.2.66", 5000, 5000)
PREFIX2 = Actor("prefix2", "10.0.0.67", "192.0.2.67", 5000, 5000)
OTHER_STATIC = Actor("other_static", "10.0.0.60", "192.0.2.90", 5000, 5000, 1)
HAVE_ADDRESS = [STATIC, PREFIX1, PREFIX2, OTHER_STATIC]
MAPPED = [
    Actor("mapped1", A, POOL, 5000, None),
    Actor("mapped2", B, POOL, 5000, None),
    Actor("other_mapped", A, POOL2, 5000, None, 1),
]
HAVE_PORTS = HAVE_ADDRESS + MAPPED + [
    Actor("port", SERVER, POOL, 8080, 80),
    Actor("run", RUN_SERVER, POOL, 105, 7005),
    Actor("other_port", SERVER, POOL2, 8080, 80, 1),
]
HAVE_GRE = HAVE_ADDRESS + [Actor("protocol", GRE_SERVER, POOL, 0, 0)]


def redirects() -> list[dict[str, object]]:
    rules: list[dict[str, object]] = [{"outside": POOL, "protocol": "gre", "inside": GRE_SERVER}]
    for protocol in ("udp", "tcp"):
        run = {"port": "7000-7009", "inside": RUN_SERVER, "inside_port": 100}
        rules.append({"outside": POOL, "protocol": protocol} | run)
        for realm, pool in ((0, POOL), (1, POOL2)):
            server = {"port": 80, "inside": SERVER, "inside_port": 8080, "realm": realm}
            rules.append({"outside": pool, "protocol": protocol} | server)
    return rules


@pytest.fixture(scope="class")
def config() -> cfg.Config:
    base = cfg.default_config(
        devices=cfg.TAP,
        realms=[
            cfg.realm(filtering="endpoint-independent"),
            cfg.realm(id=1, pool=[POOL2], filtering="endpoint-independent"),
        ],
        static=[
            {"inside": STATIC.address, "outside": STATIC.outside},
            {"inside": "10.0.0.64/29", "outside": "192.0.2.64/29"},
            {"inside": OTHER_STATIC.address, "outside": OTHER_STATIC.outside, "realm": 1},
        ],
        redirect=redirects(),
        routes=[{"to": "0.0.0.0/0", "via": "192.0.2.1"}],
    )
    other = base["interfaces"][0] | {"name": "other", "vlan": OTHER_VLAN, "realm": 1}
    return base | {"interfaces": [*base["interfaces"], other]}


@pytest.fixture(scope="class")
def sides(box: Lab) -> dict[int, Side]:
    """The inside of each realm; mappings are there from now on."""
    other = Side(
        box.in_port, OTHER_VLAN, cfg.MAC_IN, BOX_INSIDE, INSIDE_NET, INSIDE_ROUTER, {BOX_INSIDE}
    )
    return {0: box.inside, 1: other}


class Talk:
    """What two actors send each other."""

    def __init__(self, lab: Lab, sides: dict[int, Side], here: Actor, there: Actor) -> None:
        self.lab, self.sides = lab, sides
        self.here, self.there = here, there

    def outside_port(self, actor: Actor, transport: type[Packet]) -> int:
        """A mapping is opened, or found again, by a packet to a remote."""
        if actor.outside_port is not None:
            return actor.outside_port
        flags = {"flags": "S"} if transport is TCP else {}
        opening = transport(sport=actor.port, dport=9, **flags)
        self.sides[actor.realm].send(IP(src=actor.address, dst=REMOTE) / opening)
        return wire.get_port(self.lab.outside.receive().ip_bytes, "sport")

    def crosses(self, sender: Actor, receiver: Actor, packet: Packet, **ports: int) -> bytes:
        """What the receiver gets: from what the sender is outside, to what it is itself inside."""
        self.sides[sender.realm].send(packet)
        got = self.sides[receiver.realm].receive().ip_bytes
        expected = wire.translated(packet, src=sender.outside, dst=receiver.address, **ports)
        wire.assert_sent(got, expected)
        wire.assert_valid(got)
        return got

    def crosses_in_pieces(
        self, sender: Actor, receiver: Actor, packet: Packet, **ports: int
    ) -> None:
        parts = wire.fragments(packet, 800)
        for i in (1, 0, 2):
            self.sides[sender.realm].send(parts[i])
        got = [frame.ip_bytes for frame in self.sides[receiver.realm].receive_all(3)]
        expected = wire.translated(packet, src=sender.outside, dst=receiver.address, **ports)
        wire.assert_sent(wire.reassemble(got), expected)
        first = min(got, key=wire.fragment_offset)
        self.error(receiver, sender, (11, 1), parts[0], first)

    def error(
        self, teller: Actor, told: Actor, what: tuple[int, int], sent: bytes, got: bytes
    ) -> None:
        """The error about what came reaches who sent it, and quotes what he sent."""
        self.sides[teller.realm].send(wire.error_about(teller.address, told.outside, *what, got))
        quote = wire.quoted(wire.with_id(sent, got), hops=1)
        expected = wire.error_about(teller.outside, told.address, *what, quote, ttl=63)
        wire.assert_sent(self.sides[told.realm].receive().ip_bytes, expected)

    def there_and_back(self, transport: type[Packet], body: bytes = b"payload") -> None:
        here, there = self.here, self.there
        mine, theirs = self.outside_port(here, transport), self.outside_port(there, transport)
        for number in range(2):
            flags = [{}, {}] if transport is UDP else [{"flags": "S"}, {"flags": "SA"}]
            if transport is TCP and number == 1:
                flags = [{"flags": "PA"}, {"flags": "PA"}]
            content = transport(sport=here.port, dport=theirs, **flags[0]) / body
            packet = IP(src=here.address, dst=there.outside, id=next(_ids)) / content
            got = self.crosses(here, there, packet, sport=mine, dport=there.port)
            self.error(there, here, (3, 3), bytes(packet), got)
            content = transport(sport=there.port, dport=mine, **flags[1]) / body
            answer = IP(src=there.address, dst=here.outside, id=next(_ids)) / content
            got = self.crosses(there, here, answer, sport=theirs, dport=here.port)
            self.error(here, there, (3, 4), bytes(answer), got)
        content = transport(sport=here.port, dport=theirs, **flags[0]) / bytes(2000)
        packet = IP(src=here.address, dst=there.outside, id=next(_ids)) / content
        self.crosses_in_pieces(here, there, packet, sport=mine, dport=there.port)


def pairs(actors: list[Actor], others: list[Actor]) -> list[object]:
    return [
        pytest.param(here, there, id=f"{here.name}-{there.name}")
        for here in actors
        for there in others
    ]


class TestMatrix:
    @pytest.mark.parametrize("here,there", pairs(HAVE_PORTS, HAVE_PORTS))
    def test_udp(self, lab: Lab, sides: dict[int, Side], here: Actor, there: Actor) -> None:
        Talk(lab, sides, here, there).there_and_back(UDP)

    @pytest.mark.parametrize("here,there", pairs(HAVE_PORTS, HAVE_PORTS))
    def test_tcp(self, lab: Lab, sides: dict[int, Side], here: Actor, there: Actor) -> None:
        Talk(lab, sides, here, there).there_and_back(TCP)

    @pytest.mark.parametrize("here,there", pairs(HAVE_PORTS, HAVE_ADDRESS))
    def test_ping(self, lab: Lab, sides: dict[int, Side], here: Actor, there: Actor) -> None:
        """To hosts that have an address for themselves: who else is meant, nobody can know."""
        talk = Talk(lab, sides, here, there)
        request = IP(src=here.address, dst=there.outside) / ICMP(id=5000) / b"x"
        sides[here.realm].send(request)
        got = sides[there.realm].receive().ip_bytes
        ident = wire.get_port(got, "sport")
        expected = wire.translated(request, src=here.outside, dst=there.address, sport=ident)
        wire.assert_sent(got, expected)
        talk.error(there, here, (3, 1), bytes(request), got)
        reply = IP(src=there.address, dst=here.outside) / ICMP(type=0, id=ident) / b"x"
        got = talk.crosses(there, here, reply, sport=5000)
        talk.error(here, there, (3, 1), bytes(reply), got)
        talk.crosses_in_pieces(
            here,
            there,
            IP(src=here.address, dst=there.outside, id=next(_ids)) / ICMP(id=5000) / bytes(2000),
            sport=ident,
        )

    @pytest.mark.parametrize("here,there", pairs(HAVE_GRE, HAVE_GRE))
    def test_gre(self, lab: Lab, sides: dict[int, Side], here: Actor, there: Actor) -> None:
        talk = Talk(lab, sides, here, there)
        for sender, receiver in ((here, there), (there, here)):
            body = b"\0\0\x08\0whatever"
            packet = IP(src=sender.address, dst=receiver.outside, proto=GRE) / body
            got = talk.crosses(sender, receiver, packet)
            talk.error(receiver, sender, (3, 2), bytes(packet), got)
        big = IP(src=here.address, dst=there.outside, proto=GRE, id=next(_ids)) / bytes(2000)
        talk.crosses_in_pieces(here, there, big)
