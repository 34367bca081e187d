# SPDX-License-Identifier: BSD-3-Clause
# Copyright (c) 2026 the spinat authors
"""UDP: mappings, filtering, timeouts, checksums."""

import time

import pytest
from harness import config as cfg
from harness import wire
from harness.ipsec import Tunnel
from harness.lab import Lab, eventually
from harness.plan import A, B, BEHIND, C, ONLINK, POOL, REMOTE, REMOTE2, client
from scapy.layers.inet import IP, TCP, UDP
from scapy.packet import Packet


def query(src: str, sport: int, dst: str = REMOTE, dport: int = 53, **fields: int) -> Packet:
    return IP(src=src, dst=dst, **fields) / UDP(sport=sport, dport=dport) / b"question?"


def answer(dport: int, src: str = REMOTE, sport: int = 53, dst: str = POOL) -> Packet:
    return IP(src=src, dst=dst, ttl=57, id=4711) / UDP(sport=sport, dport=dport) / b"the answer"


class TestTranslation:
    def test_both_ways(self, lab: Lab) -> None:
        lab.out(query(A, 4000), src=POOL, sport=4000)
        lab.back(answer(4000), dst=A, dport=4000)

    def test_header_fields_are_kept(self, lab: Lab) -> None:
        packet = query(A, 4001, id=0xBEEF, tos=0xB8, flags="DF", ttl=3)
        frame = lab.out(packet, src=POOL, sport=4001)
        assert frame.ip.id == 0xBEEF and frame.ip.ttl == 2 and frame.ip.flags.DF
        lab.back(answer(4001), dst=A, dport=4001)

    def test_ip_options_are_kept(self, lab: Lab) -> None:
        header = IP(src=A, dst=REMOTE, options=b"\x94\x04\x00\x00")
        packet = header / UDP(sport=4002, dport=9) / b"o"
        lab.out(packet, src=POOL, sport=4002)

    @pytest.mark.parametrize("size", [0, 1, 17, 18, 19, 1471, 1472])
    def test_any_size(self, lab: Lab, size: int) -> None:
        payload = bytes(i & 0xFF for i in range(size))
        lab.out(IP(src=A, dst=REMOTE) / UDP(sport=4003, dport=9) / payload, src=POOL, sport=4003)
        packet = IP(src=REMOTE, dst=POOL) / UDP(sport=9, dport=4003) / payload
        lab.back(packet, dst=A, dport=4003)

    def test_no_checksum_stays_none(self, lab: Lab) -> None:
        packet = IP(src=A, dst=REMOTE) / UDP(sport=4004, dport=53, chksum=0) / b"x"
        lab.out(packet, src=POOL, sport=4004)
        back = IP(src=REMOTE, dst=POOL) / UDP(sport=53, dport=4004, chksum=0) / b"y"
        assert lab.back(back, dst=A, dport=4004).ip[UDP].chksum == 0

    def test_wrong_checksum_is_not_repaired(self, lab: Lab) -> None:
        """The receiver must still see that the packet was damaged (RFC 1624 by difference)."""
        packet = IP(src=A, dst=REMOTE) / UDP(sport=4005, dport=53) / b"damaged"
        right = IP(bytes(packet))[UDP].chksum
        packet[UDP].chksum = (right + 1) & 0xFFFF or 1
        lab.inside.send(packet)
        raw = lab.outside.receive().ip_bytes
        assert IP(raw)[UDP].chksum != wire.transport_checksum(raw)

    def test_checksum_that_computes_to_zero_is_sent_as_ffff(self, lab: Lab) -> None:
        """One payload word is chosen so that the outgoing checksum would be 0, i.e. "none"."""
        base = wire.translated(query(A, 4006), src=POOL, sport=4006)
        payload = base[28:] + b"\0"  # to an even length, for one more word
        packet = IP(src=POOL, dst=REMOTE) / UDP(sport=4006, dport=53) / (payload + b"\0\0")
        word = IP(bytes(packet))[UDP].chksum.to_bytes(2, "big")
        packet = IP(src=A, dst=REMOTE) / UDP(sport=4006, dport=53) / (payload + word)
        frame = lab.out(packet, src=POOL, sport=4006)
        assert frame.ip[UDP].chksum == 0xFFFF

    def test_remote_in_the_outside_subnet(self, lab: Lab) -> None:
        lab.out(query(A, 4007, dst=ONLINK), src=POOL, sport=4007)
        lab.back(answer(4007, src=ONLINK), dst=A, dport=4007)

    def test_client_behind_an_inside_router(self, lab: Lab) -> None:
        lab.out(query(BEHIND, 4008), src=POOL, sport=4008)
        lab.back(answer(4008), dst=BEHIND, dport=4008)

    def test_session_and_mapping_are_shown(self, lab: Lab) -> None:
        lab.out(query(C, 4009), src=POOL, sport=4009)
        lab.out(query(C, 4009, dst=REMOTE2), src=POOL, sport=4009)
        rows = lab.app.telemetry.sessions(client=C)
        assert {r["remote"] for r in rows} == {f"{REMOTE}:53", f"{REMOTE2}:53"}
        assert {(r["inside"], r["outside"], r["realm"]) for r in rows} == {
            (f"{C}:4009", f"{POOL}:4009", 0)
        }
        (mapping,) = lab.app.telemetry.mappings(client=C)
        assert mapping["inside"] == f"{C}:4009" and mapping["outside"] == f"{POOL}:4009"
        assert mapping["sessions"] == 2

    def test_unasked_packet_is_refused(self, lab: Lab) -> None:
        lab.outside.send(answer(4999))
        lab.silent(no_mapping=1)

    def test_other_transport_has_no_part_in_a_mapping(self, lab: Lab) -> None:
        """A UDP mapping opens nothing for TCP on the same port (RFC 7857)."""
        lab.out(query(A, 4010), src=POOL, sport=4010)
        lab.outside.send(IP(src=REMOTE, dst=POOL) / TCP(sport=53, dport=4010, flags="SA"))
        lab.silent(no_mapping=1)


class TestMapping:
    """Endpoint-independent mapping (RFC 4787 REQ-1 to REQ-4)."""

    def test_one_outside_endpoint_for_all_remotes(self, lab: Lab) -> None:
        for dst, dport in ((REMOTE, 53), (REMOTE, 54), (REMOTE2, 53), (ONLINK, 9999)):
            lab.out(query(A, 5000, dst=dst, dport=dport), src=POOL, sport=5000)

    @pytest.mark.parametrize("port", [1024, 5001, 5002, 33333, 65535])
    def test_free_port_is_kept(self, lab: Lab, port: int) -> None:
        lab.out(query(A, port), src=POOL, sport=port)

    @pytest.mark.parametrize("port", [5100, 5101])
    def test_port_in_use_gets_another_of_the_same_parity(self, lab: Lab, port: int) -> None:
        lab.out(query(A, port), src=POOL, sport=port)
        frame = lab.out(query(B, port), src=POOL)
        other = frame.ip[UDP].sport
        assert other != port and other % 2 == port % 2
        lab.back(answer(port), dst=A, dport=port)
        lab.back(answer(other), dst=B, dport=port)

    def test_many_clients_with_one_source_port(self, lab: Lab) -> None:
        ports = {}
        for number in range(1, 101):
            frame = lab.out(query(client(number), 5353), src=POOL)
            ports[frame.ip[UDP].sport] = client(number)
        assert len(ports) == 100
        for port, host in ports.items():
            lab.back(answer(port), dst=host, dport=5353)

    def test_all_traffic_of_a_client_has_one_outside_address(self, lab: Lab) -> None:
        addresses = {lab.out(query(A, port), src=POOL).ip.src for port in range(5200, 5250)}
        assert addresses == {POOL}


def filtering(mode: str) -> cfg.Config:
    return cfg.default_config(realms=[cfg.realm(filtering=mode)])


class Filtering:
    """What comes back through one mapping from whom. `accepts` is (same address, stranger)."""

    accepts = (False, False)

    def test_asked_endpoint(self, lab: Lab) -> None:
        lab.out(query(A, 6000), src=POOL, sport=6000)
        lab.back(answer(6000), dst=A, dport=6000)

    def test_other_port_of_an_asked_address(self, lab: Lab) -> None:
        lab.out(query(A, 6001), src=POOL, sport=6001)
        self._inbound(lab, answer(6001, sport=54), 6001, self.accepts[0])

    def test_stranger(self, lab: Lab) -> None:
        lab.out(query(A, 6002), src=POOL, sport=6002)
        self._inbound(lab, answer(6002, src=REMOTE2), 6002, self.accepts[1])

    def test_stranger_becomes_known_by_a_packet_to_it(self, lab: Lab) -> None:
        lab.out(query(A, 6003), src=POOL, sport=6003)
        lab.out(query(A, 6003, dst=REMOTE2), src=POOL, sport=6003)
        lab.back(answer(6003, src=REMOTE2), dst=A, dport=6003)

    def _inbound(self, lab: Lab, packet: Packet, port: int, accepted: bool) -> None:
        if accepted:
            lab.back(packet, dst=A, dport=port)
        else:
            lab.outside.send(packet)
            lab.silent(filtered=1)


class TestFilteringDefault(Filtering):
    accepts = (True, False)


class TestFilteringEndpointIndependent(Filtering):
    accepts = (True, True)

    @pytest.fixture(scope="class")
    def config(self) -> cfg.Config:
        return filtering("endpoint-independent")


class TestFilteringAddress(Filtering):
    accepts = (True, False)

    @pytest.fixture(scope="class")
    def config(self) -> cfg.Config:
        return filtering("address")


class TestFilteringAddressPort(Filtering):
    accepts = (False, False)

    @pytest.fixture(scope="class")
    def config(self) -> cfg.Config:
        return filtering("address-port")


class TestIdentification:
    """RFC 6864 5.3.1: inside hosts that share an outside address share no identification, in case
    somebody on the way cuts their datagrams."""

    def test_two_hosts_with_one(self, lab: Lab) -> None:
        seen = []
        for _ in range(8):
            for host, port in ((A, 4100), (B, 4102)):
                packet = IP(src=host, dst=REMOTE, id=0x4242) / UDP(sport=port, dport=53) / b"x"
                seen.append(lab.out(packet, src=POOL, sport=port).ip.id)
        assert len(set(seen)) == len(seen)

    def test_of_esp(self, lab: Lab) -> None:
        tunnel = Tunnel(A, REMOTE)
        packets = [tunnel.outbound()[0] for _ in range(4)]
        assert len({lab.out(packet, src=POOL).ip.id for packet in packets}) == 4

    def test_what_cannot_be_cut_keeps_its_own(self, lab: Lab) -> None:
        packet = IP(src=A, dst=REMOTE, id=0x4242, flags="DF") / UDP(sport=4104, dport=53) / b"x"
        assert lab.out(packet, src=POOL, sport=4104).ip.id == 0x4242

    def test_from_outside_it_stays(self, lab: Lab) -> None:
        lab.out(IP(src=A, dst=REMOTE) / UDP(sport=4106, dport=53) / b"x", src=POOL, sport=4106)
        answer = IP(src=REMOTE, dst=POOL, id=0x4242) / UDP(sport=53, dport=4106) / b"y"
        assert lab.back(answer, dst=A, dport=4106).ip.id == 0x4242


class TestTimeout:
    @pytest.fixture(scope="class")
    def config(self) -> cfg.Config:
        return cfg.default_config(timeouts={"udp": 6})

    def test_idle_session_goes_with_its_mapping(self, lab: Lab) -> None:
        lab.out(query(A, 7000), src=POOL, sport=7000)
        time.sleep(1.5)
        lab.back(answer(7000), dst=A, dport=7000)
        assert eventually(lambda: lab.app.telemetry.sessions() == []) > 1.5
        assert lab.app.telemetry.mappings() == []
        lab.outside.send(answer(7000))
        lab.silent(no_mapping=1)
        # its port is free again
        lab.out(query(B, 7000), src=POOL, sport=7000)

    def test_traffic_keeps_it(self, lab: Lab) -> None:
        for _ in range(12):
            lab.out(query(A, 7001), src=POOL, sport=7001)
            time.sleep(0.6)
        lab.back(answer(7001), dst=A, dport=7001)

    def test_inbound_traffic_alone_keeps_it(self, lab: Lab) -> None:
        """RFC 4787 REQ-6 lets the operator choose; the default is yes."""
        lab.out(query(A, 7002), src=POOL, sport=7002)
        for _ in range(12):
            time.sleep(0.6)
            lab.back(answer(7002), dst=A, dport=7002)


class TestTimeoutWithoutInboundRefresh:
    @pytest.fixture(scope="class")
    def config(self) -> cfg.Config:
        return cfg.default_config(timeouts={"udp": 3}, realms=[cfg.realm(inbound_refresh=False)])

    def test_inbound_traffic_alone_does_not_keep_it(self, lab: Lab) -> None:
        lab.out(query(A, 7003), src=POOL, sport=7003)
        lab.back(answer(7003), dst=A, dport=7003)

        def refused() -> bool:
            lab.outside.send(answer(7003))
            lab.settle()
            return lab.drops_moved() == {"no_mapping": 1}

        assert eventually(refused) > 1
        lab.dropped(no_mapping=1)
        lab.in_port.waiting()
