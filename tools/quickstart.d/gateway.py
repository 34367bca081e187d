# SPDX-License-Identifier: BSD-3-Clause
# Copyright (c) 2026 the spinat authors
"""The IPsec gateway of the quickstart: answers IKE on ports 500 and 4500, and echo requests that
come in ESP, plain or in UDP. gateway.py SECRET FACTS NAME=ADDRESS..."""

import random
import selectors
import socket
import struct
import sys
from typing import Any, Callable

import esp
import ike
import inner
import results

NON_ESP = bytes(4)
Send = Callable[[bytes], object]  # back to where the packet came from


class Tunnel:
    """Both directions of an ESP tunnel to one client."""

    def __init__(self, incoming: esp.SA, outgoing: esp.SA, client: bytes) -> None:
        self.incoming, self.outgoing, self.client = incoming, outgoing, client


class Gateway:
    def __init__(self, name: str, secret: bytes) -> None:
        self.name, self.secret = name, secret
        self.ike: dict[bytes, ike.IkeSA] = {}
        self.tunnels: dict[int, Tunnel] = {}
        self.facts: dict[str, Any] = {"ike": [], "keepalives": 0, "esp": 0, "rejected": []}

    def take_ike(self, port: int, message: bytes, source: tuple[str, int], send: Send) -> None:
        init_spi, exchange = message[:8], message[18]
        self.facts["ike"].append([port, *source])
        if exchange == ike.SA_INIT:
            sa = self.ike[init_spi] = ike.IkeSA(False, self.secret, init_spi)
            reply = sa.make_init()
            sa.take_init(message)
        else:
            sa = self.ike[init_spi]
            algorithm, peer_spi, client = sa.take_auth(message)
            spi = random.randrange(256, 1 << 32)
            key_out, key_in = sa.esp_keys(algorithm)
            self.tunnels[spi] = Tunnel(esp.SA(spi, algorithm, key_in),
                                       esp.SA(peer_spi, algorithm, key_out), client)
            reply = sa.make_auth(self.name.encode(), algorithm, spi, (client, client))
        send(reply)

    def take_esp(self, packet: bytes, send: Send) -> None:
        tunnel = self.tunnels[int.from_bytes(packet[:4], "big")]
        echo = inner.read(tunnel.incoming.open(packet))
        if echo.source != tunnel.client:
            raise ValueError("inner address of somebody else")
        self.facts["esp"] += 1
        send(tunnel.outgoing.seal(inner.build(inner.answer(echo))))

    def on_500(self, sock: socket.socket) -> None:
        data, source = sock.recvfrom(65535)
        self.take_ike(500, data, source, lambda m: sock.sendto(m, source))

    def on_4500(self, sock: socket.socket) -> None:
        data, source = sock.recvfrom(65535)
        if data == b"\xff":
            self.facts["keepalives"] += 1
        elif data.startswith(NON_ESP):
            self.take_ike(4500, data[4:], source,
                          lambda m: sock.sendto(NON_ESP + m, source))
        else:
            self.take_esp(data, lambda p: sock.sendto(p, source))

    def on_esp(self, sock: socket.socket) -> None:
        data, source = sock.recvfrom(65535)
        self.take_esp(data[(data[0] & 15) * 4:], lambda p: sock.sendto(p, (source[0], 0)))

    def listen(self, selector: selectors.BaseSelector, address: str) -> None:
        for kind, proto, port, handler in (
                (socket.SOCK_DGRAM, socket.IPPROTO_UDP, 500, self.on_500),
                (socket.SOCK_DGRAM, socket.IPPROTO_UDP, 4500, self.on_4500),
                (socket.SOCK_RAW, socket.IPPROTO_ESP, 0, self.on_esp)):
            sock = socket.socket(socket.AF_INET, kind, proto)
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4 << 20)
            sock.bind((address, port))
            selector.register(sock, selectors.EVENT_READ, (self, handler))


def main(secret_file: str, facts_file: str, *names: str) -> None:
    with open(secret_file, "rb") as f:
        secret = f.read()
    selector = selectors.DefaultSelector()
    gateways = [Gateway(name.partition("=")[0], secret) for name in names]
    for gateway, name in zip(gateways, names):
        gateway.listen(selector, name.partition("=")[2])
    dirty = True
    while True:
        ready = selector.select(timeout=0.2 if dirty else None)
        if not ready:
            results.write(facts_file, {g.name: g.facts for g in gateways})
            dirty = False
        for key, _ in ready:
            gateway, handler = key.data
            dirty = True
            try:
                handler(key.fileobj)
            except (ValueError, KeyError, IndexError, struct.error, esp.Rejected) as e:
                gateway.facts["rejected"].append(f"{type(e).__name__}: {e}")


if __name__ == "__main__":
    main(*sys.argv[1:])
