# SPDX-License-Identifier: BSD-3-Clause
# Copyright (c) 2026 the spinat authors
"""As much IKEv2 (RFC 7296) as two hosts of the quickstart need to agree on keys: IKE_SA_INIT with a
real X25519 exchange, and IKE_AUTH encrypted with AES-GCM (RFC 5282), which carries the SPIs of the
ESP SAs, authenticated with a shared secret. No retransmission, no rekeying, one proposal."""

import hashlib
import hmac
import os
import struct
from collections.abc import Iterator

from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

import esp

SA_INIT, AUTH = 34, 35
INITIATOR, RESPONSE = 0x08, 0x20
P_SA, P_KE, P_IDI, P_IDR, P_AUTH, P_NONCE, P_TSI, P_TSR, P_SK = 33, 34, 35, 36, 39, 40, 44, 45, 46
HEADER = struct.Struct("!8s8sBBBBII")
X25519 = 31  # Diffie-Hellman group
SHARED_KEY_MIC = 2
KEY_PAD = b"Key Pad for IKEv2"

Payloads = list[tuple[int, bytes]]


def prf(key: bytes, data: bytes) -> bytes:
    return hmac.digest(key, data, hashlib.sha256)


def prf_plus(key: bytes, seed: bytes, length: int) -> bytes:
    out = block = b""
    for i in range(1, 256):
        if len(out) >= length:
            break
        block = prf(key, block + seed + bytes([i]))
        out += block
    return out[:length]


def chain(payloads: Payloads) -> bytes:
    """Payloads with their generic headers."""
    out = b""
    for i, (_, body) in enumerate(payloads):
        following = payloads[i + 1][0] if i + 1 < len(payloads) else 0
        out += struct.pack("!BBH", following, 0, 4 + len(body)) + body
    return out


def unchain(kind: int, data: bytes) -> Iterator[tuple[int, bytes]]:
    while kind:
        following, _, length = struct.unpack_from("!BBH", data)
        if not 4 <= length <= len(data):
            raise ValueError("IKE payload length")
        yield kind, data[4:length]
        kind, data = following, data[length:]


def proposal(protocol: int, spi: bytes, transforms: list[tuple[int, int, int]]) -> bytes:
    """An SA payload with one proposal; transforms are (type, id, key bits or 0)."""
    body = b""
    for i, (kind, ident, bits) in enumerate(transforms):
        attribute = struct.pack("!HH", 0x800E, bits) if bits else b""
        more = 3 if i + 1 < len(transforms) else 0
        body += struct.pack("!BBHBBH", more, 0, 8 + len(attribute), kind, 0, ident) + attribute
    head = struct.pack("!BBHBBBB", 0, 0, 8 + len(spi) + len(body), 1, protocol, len(spi),
                       len(transforms))
    return head + spi + body


IKE_PROPOSAL = proposal(1, b"", [(1, 20, 256), (2, 5, 0), (4, X25519, 0)])
ESP_TRANSFORMS = {esp.GCM: [(1, 20, 256), (5, 0, 0)],
                  esp.CBC: [(1, 12, 256), (3, 12, 0), (5, 0, 0)]}


def esp_proposal(algorithm: str, spi: int) -> bytes:
    return proposal(3, struct.pack("!I", spi), ESP_TRANSFORMS[algorithm])


def read_esp_proposal(body: bytes) -> tuple[str, int]:
    """The algorithm and the SPI that the other side proposes or accepts."""
    spi, = struct.unpack_from("!I", body, 8)
    for algorithm in ESP_TRANSFORMS:
        if esp_proposal(algorithm, spi) == body:
            return algorithm, spi
    raise ValueError("ESP proposal with algorithms that this host has not")


def traffic_selector(address: bytes) -> bytes:
    """One IPv4 address, any protocol and port."""
    return struct.pack("!B3xBBHHH", 1, 7, 0, 16, 0, 65535) + address + address


class IkeSA:
    """One side of an IKE SA."""

    def __init__(self, initiator: bool, secret: bytes, init_spi: bytes = b"") -> None:
        self.initiator, self.secret = initiator, secret
        self.init_spi = init_spi or os.urandom(8)
        self.resp_spi = bytes(8) if initiator else os.urandom(8)
        self.private = X25519PrivateKey.generate()
        self.nonce = os.urandom(32)
        self.sent_init = self.peer_init = b""  # whole IKE_SA_INIT messages, for AUTH
        self.peer_nonce = b""
        self.sk_d = self.sk_out = self.sk_in = self.sk_p_out = self.sk_p_in = b""
        self.iv = 0

    def _header(self, first: int, exchange: int, message_id: int, length: int) -> bytes:
        flags = INITIATOR if self.initiator else RESPONSE
        return HEADER.pack(self.init_spi, self.resp_spi, first, 0x20, exchange, flags, message_id,
                           HEADER.size + length)

    def make_init(self) -> bytes:
        public = self.private.public_key().public_bytes(Encoding.Raw, PublicFormat.Raw)
        body = chain([(P_SA, IKE_PROPOSAL), (P_KE, struct.pack("!HH", X25519, 0) + public),
                      (P_NONCE, self.nonce)])
        self.sent_init = self._header(P_SA, SA_INIT, 0, len(body)) + body
        return self.sent_init

    def take_init(self, message: bytes) -> None:
        """Reads the peer's IKE_SA_INIT and derives the keys (once both were made)."""
        payloads = dict(unchain(message[16], message[HEADER.size:]))
        self.peer_init, self.peer_nonce = message, payloads[P_NONCE]
        if payloads[P_SA] != IKE_PROPOSAL:
            raise ValueError("another IKE proposal")
        if self.initiator:
            self.resp_spi = message[8:16]
        shared = self.private.exchange(X25519PublicKey.from_public_bytes(payloads[P_KE][4:]))
        nonces = self._both(self.nonce, self.peer_nonce)
        seed = prf(nonces, shared)
        keys = prf_plus(seed, nonces + self.init_spi + self.resp_spi, 32 + 2 * 36 + 2 * 32)
        self.sk_d, sk_ei, sk_er = keys[:32], keys[32:68], keys[68:104]
        sk_pi, sk_pr = keys[104:136], keys[136:168]
        self.sk_out, self.sk_in = (sk_ei, sk_er) if self.initiator else (sk_er, sk_ei)
        self.sk_p_out, self.sk_p_in = (sk_pi, sk_pr) if self.initiator else (sk_pr, sk_pi)

    def _both(self, mine: bytes, peer: bytes) -> bytes:
        """The initiator's, then the responder's."""
        return mine + peer if self.initiator else peer + mine

    def _auth(self, message: bytes, nonce: bytes, sk_p: bytes, ident: bytes) -> bytes:
        """Body of an AUTH payload (RFC 7296 2.15)."""
        signed = message + nonce + prf(sk_p, ident)
        return struct.pack("!B3x", SHARED_KEY_MIC) + prf(prf(self.secret, KEY_PAD), signed)

    def make_auth(self, name: bytes, algorithm: str, spi: int, inner: tuple[bytes, bytes]) -> bytes:
        """IKE_AUTH: who I am, the proof, my inbound ESP SPI, the inner addresses (TSi, TSr)."""
        ident = struct.pack("!B3x", 2) + name  # ID_FQDN
        proof = self._auth(self.sent_init, self.peer_nonce, self.sk_p_out, ident)
        return self._seal(1, [(P_IDI if self.initiator else P_IDR, ident), (P_AUTH, proof),
                              (P_SA, esp_proposal(algorithm, spi)),
                              (P_TSI, traffic_selector(inner[0])),
                              (P_TSR, traffic_selector(inner[1]))])

    def take_auth(self, message: bytes) -> tuple[str, int, bytes]:
        """Verifies the peer's IKE_AUTH. Returns algorithm, the peer's ESP SPI, address of TSi."""
        payloads = dict(self._open(message))
        ident = payloads[P_IDR if self.initiator else P_IDI]
        proof = self._auth(self.peer_init, self.nonce, self.sk_p_in, ident)
        if not hmac.compare_digest(payloads[P_AUTH], proof):
            raise ValueError("peer does not know the shared secret")
        algorithm, spi = read_esp_proposal(payloads[P_SA])
        return algorithm, spi, payloads[P_TSI][16:20]

    def esp_keys(self, algorithm: str) -> tuple[bytes, bytes]:
        """Keys of what this side sends and of what it receives (RFC 7296 2.17)."""
        n = esp.KEY_LENGTH[algorithm]
        keys = prf_plus(self.sk_d, self._both(self.nonce, self.peer_nonce), 2 * n)
        return (keys[:n], keys[n:]) if self.initiator else (keys[n:], keys[:n])

    def _seal(self, message_id: int, payloads: Payloads) -> bytes:
        clear = chain(payloads) + bytes(1)  # no padding
        length = 4 + 8 + len(clear) + 16
        head = self._header(P_SK, AUTH, message_id, length)
        head += struct.pack("!BBH", payloads[0][0], 0, length)
        self.iv += 1
        iv = struct.pack("!Q", self.iv)
        return head + iv + AESGCM(self.sk_out[:32]).encrypt(self.sk_out[32:] + iv, clear, head)

    def _open(self, message: bytes) -> Iterator[tuple[int, bytes]]:
        head, iv, body = message[:32], message[32:40], message[40:]
        if message[16] != P_SK or message[18] != AUTH:
            raise ValueError("no IKE_AUTH")
        clear = AESGCM(self.sk_in[:32]).decrypt(self.sk_in[32:] + iv, body, head)
        return unchain(head[28], clear[:-1 - clear[-1]])
