# SPDX-License-Identifier: BSD-3-Clause
# Copyright (c) 2026 the spinat authors
"""One direction of an ESP security association in tunnel mode (RFC 4303), for the quickstart."""

import hashlib
import hmac
import os
import struct

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

GCM, CBC = "AES-GCM-256", "AES-CBC-256 + HMAC-SHA-256"
KEY_LENGTH = {GCM: 36, CBC: 64}  # key and salt; cipher key and authentication key
IPV4 = 4  # next header: a whole IPv4 packet


class Rejected(Exception):
    """The packet does not verify."""


class SA:
    """Keys, sequence numbers and the replay window of one SPI."""

    def __init__(self, spi: int, algorithm: str, key: bytes) -> None:
        assert len(key) == KEY_LENGTH[algorithm]
        self.spi, self.algorithm, self.key = spi, algorithm, key
        self.sequence = 0
        self.seen: set[int] = set()

    def seal(self, packet: bytes) -> bytes:
        """Encrypts an inner packet; returns the ESP packet from the SPI on."""
        self.sequence += 1
        header = struct.pack("!II", self.spi, self.sequence)
        block = 4 if self.algorithm == GCM else 16
        padding = bytes(range(1, 1 + -(len(packet) + 2) % block))
        clear = packet + padding + bytes([len(padding), IPV4])
        if self.algorithm == GCM:  # RFC 4106
            iv = struct.pack("!Q", self.sequence)
            return header + iv + AESGCM(self.key[:32]).encrypt(self.key[32:] + iv, clear, header)
        iv = os.urandom(16)  # RFC 3602, RFC 4868
        cipher = Cipher(algorithms.AES(self.key[:32]), modes.CBC(iv)).encryptor()
        body = header + iv + cipher.update(clear) + cipher.finalize()
        return body + self._icv(body)

    def open(self, esp: bytes) -> bytes:
        """Verifies and decrypts; returns the inner packet."""
        if len(esp) < 34:
            raise Rejected("too short")
        spi, sequence = struct.unpack_from("!II", esp)
        if spi != self.spi:
            raise Rejected(f"SPI {spi:#010x} is not mine")
        clear = self._open_gcm(esp) if self.algorithm == GCM else self._open_cbc(esp)
        if sequence in self.seen:
            raise Rejected(f"sequence number {sequence} again")
        self.seen.add(sequence)
        padding, following = clear[-2], clear[-1]
        if following != IPV4 or padding + 2 > len(clear):
            raise Rejected("no IPv4 packet inside")
        return clear[:len(clear) - 2 - padding]

    def _open_gcm(self, esp: bytes) -> bytes:
        try:
            return AESGCM(self.key[:32]).decrypt(self.key[32:] + esp[8:16], esp[16:], esp[:8])
        except InvalidTag:
            raise Rejected("wrong integrity check value") from None

    def _open_cbc(self, esp: bytes) -> bytes:
        body, icv = esp[:-16], esp[-16:]
        if (len(body) - 24) % 16 or not hmac.compare_digest(icv, self._icv(body)):
            raise Rejected("wrong integrity check value")
        cipher = Cipher(algorithms.AES(self.key[:32]), modes.CBC(body[8:24])).decryptor()
        return cipher.update(body[24:]) + cipher.finalize()

    def _icv(self, body: bytes) -> bytes:
        return hmac.digest(self.key[32:], body, hashlib.sha256)[:16]
