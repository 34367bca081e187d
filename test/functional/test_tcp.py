# SPDX-License-Identifier: BSD-3-Clause
# Copyright (c) 2026 the spinat authors
"""TCP: translation, the life of a session by its flags (RFC 5382, RFC 7857), what opens one."""

import itertools
import time

import pytest
from harness import config as cfg
from harness import wire
from harness.lab import SLOW, Lab, eventually
from harness.plan import A, B, BOX_OUTSIDE, POOL, REMOTE, REMOTE2
from scapy.layers.inet import ICMP, IP, TCP
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
        return cfg.default_config(timeouts={"tcp_established": 10, "tcp_opening": 3, "tcp_closing": 3})

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


class TestRefusals:
    """What an inside host answers to strangers keeps no mapping alive (RFC 7857 7.1)."""

    @pytest.fixture(scope="class")
    def config(self) -> cfg.Config:
        timeouts = {"tcp_established": 3600, "tcp_opening": 2, "tcp_closing": 2}
        return cfg.default_config(timeouts=timeouts)

    def test_resets_refresh_nothing(self, lab: Lab) -> None:
        connection = Connection(lab)
        connection.out("S")

        def gone() -> bool:
            lab.inside.send(connection.segment_out("R"))
            return not connection.is_shown()

        eventually(gone)
        lab.settle()
        lab.out_port.waiting()
        moved = lab.drops_moved()
        assert set(moved) <= {"tcp_not_syn"}, moved
        lab.forget_drops()

    def test_the_one_that_ends_a_connection_begins_its_last_minutes(self, lab: Lab) -> None:
        connection = Connection(lab).open()
        time.sleep(2.5)
        connection.out("R")
        time.sleep(0.5)
        assert connection.is_shown()


class TestSequenceNumbers:
    """Who does not see a connection cannot end it (RFC 5961, RFC 7857 2.2)."""

    GUESSES = (0x00100000, 0x40000000, 0x80000000, 0xFFF00000)

    @pytest.fixture(scope="class")
    def config(self) -> cfg.Config:
        return cfg.default_config(timeouts={"tcp_established": 3600, "tcp_closing": 600})

    def disbelieved(self, lab: Lab) -> int:
        return int(lab.app.telemetry.ask("/spinat/stats")["tcp_disbelieved"])

    def state(self, lab: Lab, connection: Connection) -> str:
        rows = lab.app.telemetry.sessions(protocol="tcp")
        mine = f"{connection.client}:{connection.port}"
        return next(str(r["state"]) for r in rows if r["inside"] == mine)

    @pytest.mark.parametrize("flags", ["R", "RA", "FA"])
    def test_guessed_number_ends_nothing(self, lab: Lab, flags: str) -> None:
        connection = Connection(lab).open()
        connection.out("FA") if flags == "FA" else None
        before = self.disbelieved(lab)
        for guess in self.GUESSES:
            spoofed = connection.segment_in(flags)
            spoofed[TCP].seq = guess
            lab.back(spoofed, dst=A, dport=connection.port)  # it is passed on all the same
        assert self.state(lab, connection) == "established"
        assert self.disbelieved(lab) - before == len(self.GUESSES)

    @pytest.mark.parametrize("ahead", [0, 1460, 65535])
    def test_right_number_resets(self, lab: Lab, ahead: int) -> None:
        connection = Connection(lab).open()
        reset = connection.segment_in("R")
        reset[TCP].seq = 2000 + ahead
        lab.back(reset, dst=A, dport=connection.port)
        assert self.state(lab, connection) == "closing"

    def test_reset_from_inside(self, lab: Lab) -> None:
        connection = Connection(lab).open()
        connection.out("R")
        assert self.state(lab, connection) == "closing"

    def test_traffic_revives(self, lab: Lab) -> None:
        """The reset was lost on the way, or the host did not take it for real (RFC 5961 3.2)."""
        connection = Connection(lab).open()
        connection.back("R")
        assert self.state(lab, connection) == "closing"
        connection.out("A")
        assert self.state(lab, connection) == "established"

    def test_numbers_are_followed(self, lab: Lab) -> None:
        """Far into a long transfer the old numbers are as wrong as any other."""
        connection = Connection(lab).open()
        far = 2000 + 0x10000000
        for pause in (0, 1.2):  # the first segment of a second is looked at
            time.sleep(pause)
            answer = connection.segment_out("A")
            answer[TCP].ack = far
            lab.out(answer, src=POOL, sport=connection.port)
        connection.back("R")
        assert self.state(lab, connection) == "established"
        reset = connection.segment_in("R")
        reset[TCP].seq = far
        lab.back(reset, dst=A, dport=connection.port)
        assert self.state(lab, connection) == "closing"


class TestUnsolicited:
    """RFC 5382 REQ-4: a SYN that nobody has asked for is answered, but late."""

    @pytest.fixture(scope="class")
    def config(self) -> cfg.Config:
        return cfg.default_config(realms=[cfg.realm(unsolicited_syn="unreachable")])

    def test_answered_after_six_seconds(self, lab: Lab) -> None:
        syn = Connection(lab).segment_in("S")
        begin = time.monotonic()
        lab.outside.send(syn)
        lab.dropped(no_mapping=1)
        error = lab.outside.receive(timeout=SLOW)
        assert time.monotonic() - begin >= 6
        assert (error.ip[ICMP].type, error.ip[ICMP].code) == (3, 3)
        assert (error.ip.src, error.ip.dst) == (BOX_OUTSIDE, REMOTE)
        assert bytes(syn).startswith(bytes(error.ip[ICMP].payload)[:28])

    def test_not_where_both_open(self, lab: Lab) -> None:
        """The other one's SYN was early. That of a stranger, sent later, shows the time."""
        both, stranger = Connection(lab), Connection(lab)
        lab.outside.send(both.segment_in("S"))
        lab.outside.send(stranger.segment_in("S"))
        lab.dropped(no_mapping=2)
        both.out("S")
        both.back("S")
        both.out("SA")
        both.back("SA")
        error = lab.outside.receive(timeout=SLOW)
        assert bytes(error.ip[ICMP].payload)[20:24] == bytes(stranger.segment_in("S")[TCP])[:4]
        lab.silent()

    def test_only_a_syn(self, lab: Lab) -> None:
        lab.outside.send(Connection(lab).segment_in("A"))
        lab.outside.send(Connection(lab).segment_in("SA"))
        lab.outside.send(Connection(lab).segment_in("S"))
        lab.dropped(no_mapping=3)
        lab.outside.receive(timeout=SLOW)
        lab.silent()


class TestPickUp:
    @pytest.fixture(scope="class")
    def config(self) -> cfg.Config:
        return cfg.default_config(realms=[cfg.realm(tcp_pickup=True)])

    def test_goes_on_without_syn(self, lab: Lab) -> None:
        connection = Connection(lab)
        connection.out("PA", b"where were we?")
        connection.back("PA", b"here")
        (row,) = [
            r
            for r in lab.app.telemetry.sessions(protocol="tcp")
            if r["inside"] == f"{A}:{connection.port}"
        ]
        assert row["state"] == "established"

    def test_but_not_to_end_or_from_outside(self, lab: Lab) -> None:
        for flags in ("R", "RA", "FA", "SA"):
            lab.inside.send(Connection(lab).segment_out(flags))
        lab.silent(tcp_not_syn=4)
        lab.outside.send(Connection(lab).segment_in("A"))
        lab.silent(no_mapping=1)


class TestMaximumSegmentSize:
    """SYNs of both directions are clamped; nothing else is touched."""

    @pytest.fixture(scope="class")
    def config(self) -> cfg.Config:
        return cfg.default_config(realms=[cfg.realm(tcp_mss=1300)])

    @pytest.mark.parametrize("before", [[], [("NOP", None)], [("WScale", 7)]])
    def test_clamped(self, lab: Lab, before: list[tuple[str, int | None]]) -> None:
        connection = Connection(lab)
        for flags in ("S", "SA"):
            outward = flags == "S"
            segment = connection.segment_out(flags) if outward else connection.segment_in(flags)
            segment[TCP].options = [*before, ("MSS", 1460), ("SAckOK", b"")]
            expected = segment.copy()
            expected[TCP].options = [*before, ("MSS", 1300), ("SAckOK", b"")]
            side, other = (lab.inside, lab.outside) if outward else (lab.outside, lab.inside)
            side.send(segment)
            got = other.receive().ip_bytes
            if outward:
                wire.assert_sent(got, wire.translated(expected, src=POOL, sport=connection.port))
            else:
                wire.assert_same(got, wire.translated(expected, dst=A, dport=connection.port))

    def test_smaller_and_absent_are_kept(self, lab: Lab) -> None:
        for options in ([("MSS", 1300)], [("MSS", 536)], []):
            connection = Connection(lab)
            packet = connection.segment_out("S")
            packet[TCP].options = options
            lab.out(packet, src=POOL, sport=connection.port)

    def test_only_on_syn(self, lab: Lab) -> None:
        connection = Connection(lab).open()
        packet = connection.segment_out("PA", b"data")
        packet[TCP].options = [("MSS", 1460)]
        lab.out(packet, src=POOL, sport=connection.port)


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
