# SPDX-License-Identifier: BSD-3-Clause
# Copyright (c) 2026 the spinat authors
"""Random traffic through the running box, held against a small model of the RFCs.

The model knows endpoint-independent mappings with address-dependent filtering (RFC 4787,
RFC 5382), errors about what has passed (RFC 5508) and fragments. It does not foresee which outside
port a mapping gets, but learns it from the first packet and then insists on it, and that no two
mappings share one.
"""

from dataclasses import dataclass, field

import pytest
from harness import config as cfg
from harness import wire
from harness.lab import Lab
from harness.plan import A, B, POOL, POOL2, REMOTE, REMOTE2, TRANSIT
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from scapy.layers.inet import ICMP, IP, TCP, UDP
from scapy.packet import Packet

Endpoint = tuple[str, int]
Inside = tuple[str, str, int]  # protocol, address, port

HOSTS = st.sampled_from([A, B, "10.0.0.5"])
REMOTES = st.sampled_from([REMOTE, REMOTE2, "198.51.100.9"])
PORTS = st.sampled_from([5000, 5001])
PROTOCOLS = st.sampled_from(["udp", "tcp", "icmp"])


@dataclass
class Model:
    """What a NAT must know after the packets so far."""

    mappings: dict[Inside, Endpoint] = field(default_factory=dict)
    sessions: set[tuple[Inside, Endpoint]] = field(default_factory=set)
    addresses: dict[str, str] = field(default_factory=dict)

    def owner(self, protocol: str, outside: Endpoint) -> Inside | None:
        return next(
            (i for i, o in self.mappings.items() if i[0] == protocol and o == outside), None
        )

    def opens_outbound(self, inside: Inside, remote: Endpoint, opening: bool) -> bool:
        return (inside, remote) in self.sessions or inside[0] == "udp" or opening

    def learn(self, inside: Inside, remote: Endpoint, outside: Endpoint) -> None:
        """Outside endpoint of a packet that has passed: it is the mapping's, and nobody else's."""
        known = self.mappings.setdefault(inside, outside)
        assert known == outside, "endpoint-independent mapping (RFC 4787 REQ-1)"
        assert self.owner(inside[0], outside) == inside, "no port is overloaded (REQ-3)"
        address = self.addresses.setdefault(inside[1], outside[0])
        assert address == outside[0], "paired pooling (REQ-2)"
        if inside[0] != "icmp":
            assert outside[1] % 2 == inside[2] % 2, "parity (REQ-4)"
        self.sessions.add((inside, remote))

    def lets_in(self, protocol: str, outside: Endpoint, remote: Endpoint, opening: bool) -> str:
        """The reason why a packet from outside is dropped, "" where it passes."""
        inside = self.owner(protocol, outside)
        if inside is None:
            return "no_mapping"
        if (inside, remote) in self.sessions:
            return ""
        if protocol == "icmp" or not any(
            i == inside and r[0] == remote[0] for i, r in self.sessions
        ):
            return "filtered"
        if protocol == "tcp" and not opening:
            return "tcp_not_syn"
        return ""


def transport(protocol: str, sport: int, dport: int, outward: bool, opening: bool) -> Packet:
    if protocol == "udp":
        return UDP(sport=sport, dport=dport) / b"payload of some length"
    if protocol == "tcp":
        return TCP(sport=sport, dport=dport, flags="S" if opening else "A", seq=1, ack=1)
    return ICMP(type=8 if outward else 0, id=sport if outward else dport) / b"ping"


@st.composite
def outbound(draw: st.DrawFn) -> tuple[object, ...]:
    opening = draw(st.integers(0, 3)) > 0
    return ("out", draw(PROTOCOLS), draw(HOSTS), draw(PORTS), draw(REMOTES), draw(PORTS), opening)


@st.composite
def inbound(draw: st.DrawFn) -> tuple[object, ...]:
    which, opening = draw(st.integers(0, 7)), draw(st.booleans())
    return ("in", draw(PROTOCOLS), which, draw(REMOTES), draw(PORTS), opening)


@st.composite
def error(draw: st.DrawFn) -> tuple[object, ...]:
    kind = draw(st.sampled_from([(3, 1), (3, 3), (3, 4), (11, 0), (12, 0)]))
    return ("error", draw(st.integers(0, 7)), kind, draw(st.booleans()))


@st.composite
def fragmented(draw: st.DrawFn) -> tuple[object, ...]:
    order = draw(st.permutations(range(3)))
    return ("fragments", draw(HOSTS), draw(PORTS), draw(REMOTES), draw(PORTS), tuple(order))


STEPS = st.lists(st.one_of(outbound(), inbound(), error(), fragmented()), min_size=1, max_size=20)


class Run:
    """Plays steps through the box; every one has to end as the model says."""

    def __init__(self, lab: Lab, model: Model) -> None:
        self.lab, self.model = lab, model
        self.ids = 0

    def play(self, steps: list[tuple[object, ...]]) -> None:
        for name, *arguments in steps:
            getattr(self, f"step_{name}")(*arguments)

    def passed_out(self, sent: bytes, inside: Inside, remote: Endpoint, got: bytes) -> None:
        outside = (IP(got).src, wire.get_port(got, "sport"))
        self.model.learn(inside, remote, outside)
        wire.assert_sent(got, wire.translated(sent, src=outside[0], sport=outside[1]))

    def step_out(
        self, protocol: str, host: str, sport: int, remote: str, dport: int, opening: bool
    ) -> None:
        inside = (protocol, host, sport)
        there = (remote, 0 if protocol == "icmp" else dport)
        packet = IP(src=host, dst=remote) / transport(protocol, sport, dport, True, opening)
        self.lab.inside.send(packet)
        if self.model.opens_outbound(inside, there, opening or protocol == "icmp"):
            self.passed_out(bytes(packet), inside, there, self.lab.outside.receive().ip_bytes)
        else:
            self.lab.silent(tcp_not_syn=1)

    def endpoint(self, which: int) -> Endpoint:
        """One that is mapped where there are so many, else one that is not."""
        known = sorted(set(self.model.mappings.values()))
        return known[which] if which < len(known) else (POOL2, 40000 + which)

    def step_in(self, protocol: str, which: int, remote: str, sport: int, opening: bool) -> None:
        outside = self.endpoint(which)
        there = (remote, 0 if protocol == "icmp" else sport)
        packet = IP(src=remote, dst=outside[0]) / transport(
            protocol, sport, outside[1], False, opening
        )
        self.lab.outside.send(packet)
        reason = self.model.lets_in(protocol, outside, there, opening)
        if reason:
            self.lab.silent(**{reason: 1})
            return
        inside = self.model.owner(protocol, outside)
        assert inside is not None
        self.model.sessions.add((inside, there))
        got = self.lab.inside.receive().ip_bytes
        wire.assert_same(got, wire.translated(bytes(packet), dst=inside[1], dport=inside[2]))

    def step_error(self, which: int, kind: tuple[int, int], right: bool) -> None:
        """About a packet of a session, or about one that nobody has sent; it changes nothing."""
        sessions = sorted(self.model.sessions)
        if not sessions:
            return
        inside, remote = sessions[which % len(sessions)]
        outside = self.model.mappings[inside]
        dport = remote[1] if right else 9
        body = transport(inside[0], outside[1], dport, True, True)
        quote = wire.quoted(bytes(IP(src=outside[0], dst=remote[0]) / body), 8)
        wrong = not right and inside[0] != "icmp"
        self.lab.outside.send(wire.error_about(TRANSIT, outside[0], *kind, quote))
        if wrong:
            self.lab.silent(icmp_unknown=1)
            return
        got = self.lab.inside.receive().ip
        assert (got.src, got.dst, got[ICMP].type) == (TRANSIT, inside[1], kind[0])
        about = bytes(got[ICMP].payload)
        assert IP(about).src == inside[1] and wire.get_port(about, "sport") == inside[2]

    def step_fragments(
        self, host: str, sport: int, remote: str, dport: int, order: tuple[int, ...]
    ) -> None:
        self.ids += 1
        payload = UDP(sport=sport, dport=dport) / bytes(2000)
        packet = bytes(IP(src=host, dst=remote, id=self.ids) / payload)
        parts = wire.fragments(packet, 800)
        for i in order:
            self.lab.inside.send(parts[i])
        whole = wire.reassemble([f.ip_bytes for f in self.lab.outside.receive_all(3)])
        sent = wire.with_id(packet, whole)
        self.passed_out(sent, ("udp", host, sport), (remote, dport), whole)


class TestModel:
    """One box for all sequences, so that each begins in the state that the others have left."""

    @pytest.fixture(scope="class")
    def config(self) -> cfg.Config:
        return cfg.default_config(
            devices=cfg.TAP, realms=[cfg.realm(pool=[f"{POOL}-{POOL2}"])], timeouts={"icmp": 3600}
        )

    @pytest.fixture(scope="class")
    def model(self) -> Model:
        return Model()

    def test_random_sequences(self, lab: Lab, model: Model) -> None:
        @settings(
            max_examples=400,
            deadline=None,
            derandomize=True,
            database=None,
            suppress_health_check=list(HealthCheck),
        )
        @given(STEPS)
        def play(steps: list[tuple[object, ...]]) -> None:
            Run(lab, model).play(steps)

        play()
        assert len(model.mappings) == 18, "every inside endpoint of every protocol has occurred"
