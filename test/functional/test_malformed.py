# SPDX-License-Identifier: BSD-3-Clause
# Copyright (c) 2026 the spinat authors
"""One packet for every way to be malformed: its counter moves, nothing comes out, all goes on."""

import itertools
import struct
import time

import pytest
from harness import config as cfg
from harness import wire
from harness.lab import Lab
from harness.plan import (
    A,
    BEHIND,
    BOX_INSIDE,
    BOX_OUTSIDE,
    GATEWAY,
    POOL,
    REMOTE,
    REMOTE2,
    ROUTER,
    host_mac,
)
from scapy.layers.inet import ICMP, IP, TCP, UDP
from scapy.layers.l2 import Ether
from scapy.packet import Packet
from scapy.utils import wrpcap

GOOD = bytes(IP(src=A, dst=REMOTE) / UDP(sport=4000, dport=53) / b"0123456789")


def patched(raw: bytes, *changes: tuple[int, bytes], fix: bool = True) -> bytes:
    """The packet with bytes overwritten, the header checksum right again unless told otherwise."""
    new = bytearray(raw)
    for at, value in changes:
        new[at : at + len(value)] = value
    if fix:
        wire.fix_ip_checksum(new)
    return bytes(new)


def cut(packet: Packet, length: int) -> bytes:
    """The packet ends after so many bytes of what follows its header, and says so itself."""
    raw = bytes(packet)[: 20 + length]
    return patched(raw, (2, struct.pack("!H", len(raw))))


def addresses(src: str, dst: str) -> bytes:
    return bytes(IP(src=src, dst=dst) / UDP(sport=4000, dport=53) / b"x")


UDP_IP = IP(src=A, dst=REMOTE) / UDP(sport=4000, dport=53) / b"0123456789"
TCP_IP = IP(src=A, dst=REMOTE) / TCP(sport=4000, dport=80, flags="S")
ICMP_IP = IP(src=A, dst=REMOTE) / ICMP(type=8, id=4000) / b"x"
ESP_IP = IP(src=A, dst=GATEWAY, proto=50) / bytes.fromhex("12345678000000010000000000000000")

ETHERNET = bytes(Ether(dst=cfg.MAC_IN, src=host_mac(A), type=0x0800))

# What the frame holds behind its Ethernet header, and the one counter that it moves.
CASES = {
    "version 6": (patched(GOOD, (0, b"\x65")), "ip_version"),
    "version 0": (patched(GOOD, (0, b"\x05")), "ip_version"),
    "header of 16 bytes": (patched(GOOD, (0, b"\x44"), fix=False), "ip_version"),
    "header longer than the frame": (patched(GOOD, (0, b"\x4f"), fix=False), "ip_short"),
    "total length longer than the frame": (patched(GOOD, (2, b"\x04\x00")), "ip_short"),
    "total length shorter than the header": (patched(GOOD, (2, b"\x00\x13")), "ip_length"),
    "total length 0": (patched(GOOD, (2, b"\x00\x00")), "ip_length"),
    "header checksum": (patched(GOOD, (10, b"\x12\x34"), fix=False), "ip_checksum"),
    "ttl changed, checksum not": (patched(GOOD, (8, b"\x22"), fix=False), "ip_checksum"),
    "source 0.0.0.0": (addresses("0.0.0.0", REMOTE), "ip_source"),
    "source loopback": (addresses("127.0.0.1", REMOTE), "ip_source"),
    "source multicast": (addresses("224.0.0.1", REMOTE), "ip_source"),
    "source broadcast": (addresses("255.255.255.255", REMOTE), "ip_source"),
    "source of the box": (addresses(BOX_INSIDE, REMOTE), "ip_source"),
    "destination multicast": (addresses(A, "224.0.0.251"), "ip_destination"),
    "destination broadcast": (addresses(A, "255.255.255.255"), "ip_destination"),
    "destination loopback": (addresses(A, "127.0.0.1"), "ip_destination"),
    "udp of 7 bytes": (cut(UDP_IP, 7), "udp_short"),
    "udp without a header": (cut(UDP_IP, 0), "udp_short"),
    "udp length beyond the packet": (patched(GOOD, (24, b"\x00\x20")), "udp_length"),
    "udp length under 8": (patched(GOOD, (24, b"\x00\x07")), "udp_length"),
    "tcp of 19 bytes": (cut(TCP_IP, 19), "tcp_short"),
    "tcp data offset of 16": (patched(bytes(TCP_IP), (32, b"\x40")), "tcp_offset"),
    "tcp data offset beyond": (patched(bytes(TCP_IP), (32, b"\xf0")), "tcp_offset"),
    "tcp without flags": (patched(bytes(TCP_IP), (33, b"\x00")), "tcp_flags"),
    "tcp syn and fin": (patched(bytes(TCP_IP), (33, b"\x03")), "tcp_flags"),
    "icmp of 7 bytes": (cut(ICMP_IP, 7), "icmp_short"),
    "icmp redirect": (patched(bytes(ICMP_IP), (20, b"\x05")), "icmp_type"),
    "icmp of type 255": (patched(bytes(ICMP_IP), (20, b"\xff")), "icmp_type"),
    "esp of 7 bytes": (cut(ESP_IP, 7), "esp_short"),
    "esp spi 0": (patched(bytes(ESP_IP), (20, bytes(4))), "spi_zero"),
    "esp spi 255": (patched(bytes(ESP_IP), (20, b"\0\0\0\xff")), "spi_reserved"),
}


class TestSpoofed:
    """Sources that are not from the side they come from (RFC 3704), or the box's own. No filtering
    by remote address stands in their way here."""

    @pytest.fixture(scope="class")
    def config(self) -> cfg.Config:
        return cfg.default_config(realms=[cfg.realm(filtering="endpoint-independent")])

    def test_from_inside(self, lab: Lab) -> None:
        for source in (REMOTE, "192.0.2.100", POOL, BOX_OUTSIDE, BOX_INSIDE):
            packet = IP(src=source, dst=REMOTE2) / UDP(sport=4000, dport=53) / b"x"
            lab.in_port.send(ETHERNET + bytes(packet))
        lab.silent(ip_source=5)

    def test_from_outside(self, lab: Lab) -> None:
        lab.out(IP(src=A, dst=REMOTE) / UDP(sport=4000, dport=53) / b"x", src=POOL, sport=4000)
        header = bytes(Ether(dst=lab.outside.box_mac, src=host_mac(ROUTER), type=0x0800))
        for source in (A, BEHIND, POOL, BOX_OUTSIDE, BOX_INSIDE):
            packet = IP(src=source, dst=POOL) / UDP(sport=53, dport=4000) / b"x"
            lab.out_port.send(header + bytes(packet))
        lab.silent(ip_source=5)


class TestMalformed:
    @pytest.mark.parametrize("name", CASES)
    def test_dropped_and_counted(self, lab: Lab, name: str) -> None:
        raw, reason = CASES[name]
        lab.in_port.send(ETHERNET + raw)
        lab.silent(**{reason: 1})
        lab.out(IP(src=A, dst=REMOTE) / UDP(sport=4000, dport=53) / b"x", src=POOL, sport=4000)

    @pytest.mark.parametrize("kind", [0x86DD, 0x8100 + 0x788, 0x88CC, 0x0000, 0xFFFF])
    def test_other_ethertypes(self, lab: Lab, kind: int) -> None:
        header = bytes(Ether(dst=lab.inside.box_mac, src=host_mac(A), type=kind))
        lab.in_port.send(header + bytes(50))
        lab.silent(eth_type=1)

    def test_arp_too_short(self, lab: Lab) -> None:
        header = bytes(Ether(dst="ff:ff:ff:ff:ff:ff", src=host_mac(A), type=0x0806))
        lab.in_port.send(header + b"\0\1\x08\0\6\4\0\1")
        lab.silent(arp_bad=1)

    def test_frame_without_anything(self, lab: Lab) -> None:
        lab.in_port.send(ETHERNET)
        lab.silent(ip_short=1)

    def test_padding_is_not_part_of_the_packet(self, lab: Lab) -> None:
        """Short frames are padded on the wire: what comes out is the packet alone."""
        packet = IP(src=A, dst=REMOTE) / UDP(sport=4001, dport=53) / b"x"
        lab.in_port.send(ETHERNET + bytes(packet) + b"\xaa" * 17)
        frame = lab.outside.receive()
        wire.assert_sent(frame.ip_bytes, wire.translated(packet, src=POOL, sport=4001))
        assert b"\xaa" not in frame.raw

    def test_frames_to_other_hosts(self, lab: Lab) -> None:
        """A hub or a switch that floods: what is not for the box's MAC address is none of its
        business."""
        header = bytes(Ether(dst="02:00:00:00:99:99", src=host_mac(A), type=0x0800))
        lab.in_port.send(header + GOOD)
        lab.silent(eth_destination=1)


class TestNoise:
    """On taps, for the kernel's packet sockets would keep what looks like a fragment."""

    @pytest.fixture(scope="class")
    def config(self) -> cfg.Config:
        return cfg.default_config(devices=cfg.TAP, timeouts={"fragment": 1})

    def test_every_byte_of_the_headers(self, lab: Lab) -> None:
        """Each overwritten with values at the edges: the box sees all of it and stays up."""
        before = lab.app.telemetry.ask("/spinat/stats")["interfaces"]["lan"]["rx_packets"]
        count = 0
        for at, value in itertools.product(range(40), (0x00, 0x01, 0x7F, 0x80, 0xFF)):
            for packet in (UDP_IP, TCP_IP, ICMP_IP, ESP_IP):
                raw = bytes(packet)
                if at < len(raw):
                    lab.in_port.send(ETHERNET + patched(raw, (at, bytes([value]))))
                    count += 1
            lab.settle()
        after = lab.app.telemetry.ask("/spinat/stats")["interfaces"]["lan"]["rx_packets"]
        assert after - before >= count
        time.sleep(2.5)
        lab.forget_drops()
        lab.in_port.waiting()
        lab.out_port.waiting()


class TestRunt:
    """No kernel sends frames shorter than an Ethernet header: they come from a file."""

    @pytest.fixture(scope="class")
    def config(self, tmp_path_factory: pytest.TempPathFactory) -> cfg.Config:
        file = tmp_path_factory.mktemp("runts") / "runts.pcap"
        wrpcap(str(file), [bytes(10), bytes(13), bytes(12) + b"\x81\x00\x00", b"\0"], linktype=1)
        config = cfg.default_config()
        config["interfaces"].append(
            {
                "name": "runts",
                "device": f"net_pcap0,rx_pcap={file},tx_pcap={file}.out",
                "role": "inside",
                "addresses": ["10.9.0.1/24"],
            }
        )
        return config

    def test_counted(self, box: Lab) -> None:
        box.settle()
        assert box.app.telemetry.drops()["eth_short"] == 4
