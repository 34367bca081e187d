# SPDX-License-Identifier: BSD-3-Clause
# Copyright (c) 2026 the spinat authors
"""TCP: translation, the life of a session by its flags (RFC 5382, RFC 7857), what opens one."""

import itertools
import time

import pytest
from harness import config as cfg
from harness.lab import Lab, eventually
from harness.plan import A, B, POOL, REMOTE, REMOTE2
from scapy.layers.inet import IP, TCP
from scapy.packet import Packet

_ports = itertools.count(20000, 2)


class Connection:
    """Segments of one connection between an inside client and an outside server."""

    def __init__(self, lab: Lab, client: str = A, server: str = REMOTE) -> None:
        self.lab, self.client, self.server = lab, client, server
        self.port = next(_ports)
        self.outside_port = self.port

    def segment_out(self, flags: str, payload: bytes = b"", **fields: int) -> Packet:
        segment = TCP(sport=self.port, dport=80, flags=flags, seq=1000, ack=2000, **fields)
        return IP(src=self.client, dst=self.server) / segment / payload

    def segment_in(self, flags: str, payload: bytes = b"", **fields: int) -> Packet:
        segment = TCP(sport=80, dport=self.outside_port, flags=flags, seq=2000, ack=1001, **fields)
        return IP(src=self.server, dst=POOL) / segment / payload

    def out(self, flags: str, payload: bytes = b"") -> None:
        self.lab.out(self.segment_out(flags, payload), src=POOL, sport=self.outside_port)

    def back(self, flags: str, payload: bytes = b"") -> None:
        self.lab.back(self.segment_in(flags, payload), dst=self.client, dport=self.port)

    def open(self) -> "Connection":
        self.out("S")
        self.back("SA")
        self.out("A")
        return self

    def is_shown(self) -> bool:
        rows = self.lab.app.telemetry.sessions(protocol="tcp", client=self.client)
        return any(r["inside"] == f"{self.client}:{self.port}" for r in rows)


class TestTranslation:
    def test_whole_connection(self, lab: Lab) -> None:
        connection = Connection(lab).open()
        connection.out("PA", b"GET / HTTP/1.0\r\n\r\n")
        connection.back("A")
        connection.back("PA", bytes(range(256)) * 5)
        connection.out("A")
        connection.back("FA")
        connection.out("FA")
        connection.back("A")

    def test_options_are_kept(self, lab: Lab) -> None:
        connection = Connection(lab)
        packet = connection.segment_out("S")
        packet[TCP].options = [("MSS", 1460), ("SAckOK", b""), ("WScale", 7), ("Timestamp", (1, 0))]
        lab.out(packet, src=POOL, sport=connection.port)

    def test_urgent_pointer_and_ecn_bits_are_kept(self, lab: Lab) -> None:
        connection = Connection(lab).open()
        lab.out(connection.segment_out("PAUEC", b"!", urgptr=1), src=POOL, sport=connection.port)

    def test_port_in_use_gets_another(self, lab: Lab) -> None:
        first = Connection(lab, A).open()
        packet = IP(src=B, dst=REMOTE) / TCP(sport=first.port, dport=80, flags="S")
        other = lab.out(packet, src=POOL).ip[TCP].sport
        assert other != first.port and other % 2 == first.port % 2

    def test_one_outside_endpoint_for_all_remotes(self, lab: Lab) -> None:
        """RFC 5382 REQ-1."""
        first = Connection(lab).open()
        second = Connection(lab, server=REMOTE2)
        second.port = second.outside_port = first.port
        second.open()

    def test_connection_without_syn_is_refused(self, lab: Lab) -> None:
        lab.inside.send(Connection(lab).segment_out("A"))
        lab.inside.send(Connection(lab).segment_out("PA", b"data"))
        lab.inside.send(Connection(lab).segment_out("FA"))
        lab.inside.send(Connection(lab).segment_out("SA"))
        lab.inside.send(Connection(lab).segment_out("R"))
        lab.silent(tcp_not_syn=5)

    def test_connection_from_outside_is_refused(self, lab: Lab) -> None:
        connection = Connection(lab)
        lab.outside.send(connection.segment_in("S"))
        lab.silent(no_mapping=1)

    def test_simultaneous_open(self, lab: Lab) -> None:
        """RFC 5382 REQ-2: both ends send SYN to each other."""
        connection = Connection(lab)
        connection.out("S")
        connection.back("S")
        connection.out("SA")
        connection.back("SA")
        connection.out("PA", b"established")

    @pytest.mark.parametrize("flags", ["", "SF", "SR", "SFRPAU"])
    def test_impossible_flags_are_refused(self, lab: Lab, flags: str) -> None:
        connection = Connection(lab).open()
        lab.inside.send(connection.segment_out(flags))
        lab.silent(tcp_flags=1)
        lab.outside.send(connection.segment_in(flags))
        lab.silent(tcp_flags=1)
        connection.back("PA", b"still there")


class TestTimeouts:
    """Transitory 3 s, established 10 s: which one is in force is seen by what is left after 6 s."""

    @pytest.fixture(scope="class")
    def config(self) -> cfg.Config:
        return cfg.default_config(timeouts={"tcp_established": 10, "tcp_transitory": 3})

    def test_which_state_lives_how_long(self, lab: Lab) -> None:
        established = Connection(lab).open()
        half_closed = Connection(lab).open()
        closed = Connection(lab).open()
        reset_out = Connection(lab).open()
        reset_in = Connection(lab).open()
        unanswered = Connection(lab)

        half_closed.out("FA")
        half_closed.back("A")
        closed.out("FA")
        closed.back("FA")
        closed.out("A")
        reset_out.out("R")
        reset_in.back("R")
        unanswered.out("S")

        names = {
            r["inside"].rsplit(":", 1)[1]: r["state"]
            for r in lab.app.telemetry.sessions(protocol="tcp")
        }
        assert len(names) == 6
        assert names[str(established.port)] == "established"
        assert names[str(closed.port)] != "established"
        assert names[str(unanswered.port)] != "established"

        time.sleep(6.5)
        assert established.is_shown()
        assert half_closed.is_shown(), "one FIN leaves the other direction open (RFC 5382 REQ-5)"
        for gone in (closed, reset_out, reset_in, unanswered):
            assert not gone.is_shown(), gone.port
        established.back("PA", b"keepalive")
        lab.outside.send(reset_in.segment_in("A"))
        lab.silent(no_mapping=1)

        eventually(lambda: lab.app.telemetry.sessions() == [])
        lab.inside.send(established.segment_out("PA", b"too late"))
        lab.silent(tcp_not_syn=1)

    def test_a_closed_connection_can_be_opened_again(self, lab: Lab) -> None:
        connection = Connection(lab).open()
        connection.out("FA")
        connection.back("FA")
        connection.out("A")
        connection.open()
        connection.out("PA", b"again")
        time.sleep(6.5)
        assert connection.is_shown(), "a new SYN begins a new life"


class TestFilteringEndpointIndependent:
    @pytest.fixture(scope="class")
    def config(self) -> cfg.Config:
        return cfg.default_config(realms=[cfg.realm(filtering="endpoint-independent")])

    def test_stranger_may_open_to_a_mapped_endpoint(self, lab: Lab) -> None:
        connection = Connection(lab).open()
        packet = IP(src=REMOTE2, dst=POOL) / TCP(sport=9, dport=connection.port, flags="S")
        lab.back(packet, dst=A, dport=connection.port)
        answer = IP(src=A, dst=REMOTE2) / TCP(sport=connection.port, dport=9, flags="SA")
        lab.out(answer, src=POOL, sport=connection.port)
