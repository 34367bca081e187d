# SPDX-License-Identifier: BSD-3-Clause
# Copyright (c) 2026 the spinat authors
"""IPsec peers: IKE messages by their clear headers, ESP and AH with real cryptography."""

import itertools
import struct

from scapy.layers.inet import ICMP, IP, UDP
from scapy.layers.ipsec import AH, ESP, SecurityAssociation
from scapy.packet import Packet

IKE_PORT = 500
NATT_PORT = 4500
NON_ESP_MARKER = b"\0\0\0\0"
KEEPALIVE = b"\xff"

# Exchange types (RFC 2408, 2409, 7296).
MAIN, AGGRESSIVE, INFORMATIONAL_V1, QUICK = 2, 4, 5, 32
SA_INIT, IKE_AUTH, CREATE_CHILD_SA, INFORMATIONAL = 34, 35, 36, 37
FLAG_INITIATOR, FLAG_RESPONSE = 0x08, 0x20  # IKEv2
FLAG_ENCRYPTED = 0x01  # IKEv1
PAYLOAD_SA, PAYLOAD_SK = 33, 46

# A byte string that no compressor or guess could make.
_body = bytes((i * 37 + 11) & 0xFF for i in range(64))
_counter = itertools.count(0x5EED)


def fresh_spi() -> int:
    """Another number of 32 bits every time, never a reserved one."""
    return (next(_counter) * 0x9E3779B1) & 0xFFFFFFFF | 0x10000000


def fresh_cookie() -> bytes:
    return struct.pack("!Q", next(_counter) * 0x9E3779B97F4A7C15 & 0xFFFFFFFFFFFFFFFF | 1)


def ike_message(
    initiator: bytes,
    responder: bytes,
    exchange: int,
    *,
    version: int = 2,
    flags: int = FLAG_INITIATOR,
    message_id: int = 0,
    next_payload: int = PAYLOAD_SK,
    body: bytes = _body,
) -> bytes:
    """An IKE message: 28 bytes in the clear (RFC 7296 3.1), then what a NAT can not read."""
    header = struct.pack(
        "!8s8sBBBBII",
        initiator,
        responder,
        next_payload,
        version << 4,
        exchange,
        flags,
        message_id,
        28 + len(body),
    )
    return header + body


class IkeSa:
    """Both ends of one IKE SA; messages are (from the initiator?, bytes)."""

    def __init__(self, version: int = 2) -> None:
        self.version = version
        self.initiator = fresh_cookie()
        self.responder = fresh_cookie()
        self._message_id = 1

    def first(self) -> bytes:
        """IKE_SA_INIT request or first message of main mode: no responder SPI yet."""
        if self.version == 2:
            return ike_message(self.initiator, bytes(8), SA_INIT, next_payload=PAYLOAD_SA)
        return ike_message(
            self.initiator, bytes(8), MAIN, version=1, flags=0, next_payload=1
        )

    def first_answer(self) -> bytes:
        if self.version == 2:
            return ike_message(
                self.initiator,
                self.responder,
                SA_INIT,
                flags=FLAG_RESPONSE,
                next_payload=PAYLOAD_SA,
            )
        return ike_message(
            self.initiator, self.responder, MAIN, version=1, flags=0, next_payload=1
        )

    def exchange(self, kind: int) -> list[tuple[bool, bytes]]:
        """The messages of an encrypted exchange begun by the initiator."""
        number, self._message_id = self._message_id, self._message_id + 1
        if self.version == 1:
            turns = (True, False, True) if kind == QUICK else (True,)
            return [(turn, self._v1(kind, number)) for turn in turns]
        return [
            (True, ike_message(self.initiator, self.responder, kind, message_id=number)),
            (
                False,
                ike_message(
                    self.initiator, self.responder, kind, flags=FLAG_RESPONSE, message_id=number
                ),
            ),
        ]

    def exchange_by_responder(self, kind: int, number: int) -> list[tuple[bool, bytes]]:
        """The same, begun by the gateway."""
        request = ike_message(self.initiator, self.responder, kind, flags=0, message_id=number)
        answer = ike_message(
            self.initiator,
            self.responder,
            kind,
            flags=FLAG_INITIATOR | FLAG_RESPONSE,
            message_id=number,
        )
        return [(False, request), (True, answer)]

    def _v1(self, kind: int, number: int) -> bytes:
        return ike_message(
            self.initiator,
            self.responder,
            kind,
            version=1,
            flags=FLAG_ENCRYPTED,
            message_id=number * 0x01000193,
            next_payload=8,
        )

    def opening(self) -> list[tuple[bool, bytes]]:
        """All messages until the first child SA is there: version 2 in four, version 1 in nine."""
        first = [(True, self.first()), (False, self.first_answer())]
        if self.version == 2:
            return first + self.exchange(IKE_AUTH)
        middle = [(turn, self._v1(MAIN, 0)) for turn in (True, False, True, False)]
        return first + middle + self.exchange(QUICK)


def udp(src: str, dst: str, payload: bytes, port: int = IKE_PORT, **fields: int) -> Packet:
    """IKE or NAT-T between the same ports."""
    return IP(src=src, dst=dst, **fields) / UDP(sport=port, dport=port) / payload


SUITES = {
    "cbc-sha256": {
        "crypt_algo": "AES-CBC",
        "crypt_key": b"sixteen byte key",
        "auth_algo": "SHA2-256-128",
        "auth_key": b"authentication key of 32 bytes!!",
    },
    "gcm": {"crypt_algo": "AES-GCM", "crypt_key": b"sixteen byte keysalt"},
}


class Tunnel:
    """One pair of ESP SAs between a client and a gateway, both ends. SPIs: `spi_in` is chosen by
    the client and comes in at the NAT, `spi_out` is chosen by the gateway."""

    def __init__(
        self, client: str, gateway: str, suite: str = "gcm", *, transport: bool = False
    ) -> None:
        self.client, self.gateway = client, gateway
        self.transport = transport
        self._suite = SUITES[suite]
        self._number = itertools.count(1)
        self.fill = b""  # makes packets larger
        self.rekey()

    def rekey(self) -> None:
        """Goes over to new SAs: new SPIs, sequence numbers from 1."""
        self.spi_in, self.spi_out = fresh_spi(), fresh_spi()
        self._seq_in = self._seq_out = 0

    def advance(self, packets: int) -> None:
        """As many packets have gone by that nobody has seen."""
        self._seq_in += packets
        self._seq_out += packets

    def _inner(self, src: str, dst: str) -> Packet:
        text = f"from {src} to {dst} number {next(self._number)}".encode() + self.fill
        if self.transport:
            return IP(src=src, dst=dst) / UDP(sport=1701, dport=1701) / text
        return IP(src="172.16.9.1", dst="172.17.9.1") / ICMP(type=8) / text

    def _seal(self, spi: int, src: str, dst: str, seq: int) -> tuple[IP, bytes]:
        header = None if self.transport else IP(src=src, dst=dst)
        sa = SecurityAssociation(ESP, spi=spi, tunnel_header=header, **self._suite)
        inner = self._inner(src, dst)
        packet = IP(bytes(sa.encrypt(inner, seq_num=seq)))
        return packet, bytes(inner.lastlayer())

    def opens(self, spi: int, packet: bytes, text: bytes) -> None:
        """Decrypts a packet as the receiver does, which fails if the NAT has touched it."""
        header = None if self.transport else IP(src="0.0.0.0", dst="0.0.0.0")
        sa = SecurityAssociation(ESP, spi=spi, tunnel_header=header, **self._suite)
        assert bytes(sa.decrypt(IP(packet)).lastlayer()) == text

    def outbound(self) -> tuple[IP, bytes]:
        """A packet from the client to the gateway, and what is in it."""
        self._seq_out += 1
        return self._seal(self.spi_out, self.client, self.gateway, self._seq_out)

    def inbound(self, outside: str) -> tuple[IP, bytes]:
        """A packet from the gateway to the client's outside address, and what is in it."""
        self._seq_in += 1
        return self._seal(self.spi_in, self.gateway, outside, self._seq_in)


def ah_packet(src: str, dst: str, spi: int, seq: int = 1) -> Packet:
    """A packet in transport mode AH, its ICV right for these addresses."""
    sa = SecurityAssociation(
        AH, spi=spi, auth_algo="SHA2-256-128", auth_key=b"authentication key of 32 bytes!!"
    )
    packet = IP(src=src, dst=dst, id=seq) / UDP(sport=1701, dport=1701) / f"ah {seq}".encode()
    return IP(bytes(sa.encrypt(packet, seq_num=seq)))


def ah_verifies(packet: bytes, spi: int) -> bool:
    """Whether the receiver's check of the ICV succeeds."""
    sa = SecurityAssociation(
        AH, spi=spi, auth_algo="SHA2-256-128", auth_key=b"authentication key of 32 bytes!!"
    )
    try:
        sa.decrypt(IP(packet))
    except Exception as problem:  # scapy raises types of its own and of cryptography
        assert type(problem).__name__ in ("IPSecIntegrityError", "InvalidSignature"), problem
        return False
    return True
