# SPDX-License-Identifier: BSD-3-Clause
# Copyright (c) 2026 the spinat authors
"""An IPsec client of the quickstart: IKE with a gateway, then echo requests in ESP, a few one by
one, then many while the other client does the same. Native ESP, or, with --natt, ESP in UDP."""

import argparse
import os
import random
import select
import socket
import struct
import time

import esp
import ike
import inner
import results

NON_ESP = bytes(4)
SO_NO_CHECK = 11  # Linux: UDP checksum 0, as RFC 3948 asks for
WAIT_S = 3.0


class Client:
    def __init__(self, args: argparse.Namespace) -> None:
        self.args = args
        self.token = os.urandom(8)  # in every echo request: nobody else's answer has it
        self.inner = socket.inet_aton(args.inner)
        self.remote = socket.inet_aton(args.remote)
        self.foreign = 0  # packets of another client's SPI
        self.wrong: list[str] = []
        self.answered = 0  # echo requests whose answer verified
        self.ike_sent = self.ike_back = 0
        self.sock500 = self._udp(500)
        self.sock4500 = self._udp(4500) if args.natt else None
        if not args.natt:
            self.raw = socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_ESP)
            self.raw.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4 << 20)

    def _udp(self, port: int) -> socket.socket:
        sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        sock.bind(("", port))
        if port == 4500:
            sock.setsockopt(socket.SOL_SOCKET, SO_NO_CHECK, 1)
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4 << 20)
        return sock

    def _ask(self, message: bytes, port: int) -> bytes:
        """Sends an IKE message and gives its answer, told by the initiator SPI."""
        sock = self.sock500 if port == 500 else self.sock4500
        marker = NON_ESP if port == 4500 else b""
        sock.sendto(marker + message, (self.args.gateway, port))
        self.ike_sent += 1
        end = time.monotonic() + WAIT_S
        while select.select([sock], [], [], max(0, end - time.monotonic()))[0]:
            data, _ = sock.recvfrom(65535)
            reply = data.removeprefix(marker)
            if reply[:8] == message[:8]:
                self.ike_back += 1
                return reply
            self.foreign += 1
        raise SystemExit(f"client {self.args.name}: no answer to IKE exchange {message[18]}")

    def negotiate(self) -> None:
        with open(self.args.secret, "rb") as f:
            self.ike = ike.IkeSA(True, f.read())
        self.ike.make_init()
        self.ike.take_init(self._ask(self.ike.sent_init, 500))
        self.spi = random.randrange(256, 1 << 32)
        request = self.ike.make_auth(self.args.name.encode(), self.args.algorithm, self.spi,
                                     (self.inner, self.remote))
        algorithm, peer_spi, _ = self.ike.take_auth(
            self._ask(request, 4500 if self.args.natt else 500))
        key_out, key_in = self.ike.esp_keys(algorithm)
        self.outgoing = esp.SA(peer_spi, algorithm, key_out)
        self.incoming = esp.SA(self.spi, algorithm, key_in)

    def send(self, sequence: int) -> None:
        echo = inner.Echo(self.inner, self.remote, inner.REQUEST, sequence,
                          self.token + random.randbytes(random.randrange(8, 1200)))
        packet = self.outgoing.seal(inner.build(echo))
        if self.args.natt:
            self.sock4500.sendto(packet, (self.args.gateway, 4500))
        else:
            self.raw.sendto(packet, (self.args.gateway, 0))

    def receive(self, seconds: float) -> bool:
        """Takes one packet; true where one came in that time."""
        sock = self.sock4500 if self.args.natt else self.raw
        if not select.select([sock], [], [], max(0, seconds))[0]:
            return False
        data = sock.recv(65535)
        packet = data if self.args.natt else data[(data[0] & 15) * 4:]
        if struct.unpack_from("!I", packet)[0] != self.spi:
            self.foreign += 1
            return True
        try:
            echo = inner.read(self.incoming.open(packet))
            if echo.kind != inner.REPLY or echo.data[:8] != self.token:
                raise ValueError("not the answer to what this client sent")
            self.answered += 1
        except (ValueError, esp.Rejected) as e:
            self.wrong.append(str(e))
        return True

    def one_by_one(self, count: int) -> None:
        for i in range(count):
            before, end = self.answered, time.monotonic() + WAIT_S
            self.send(i)
            while self.answered == before and self.receive(end - time.monotonic()):
                pass

    def all_at_once(self, first: int, count: int, gap_s: float) -> None:
        begin = time.monotonic()
        for i in range(count):
            self.send(first + i)
            while self.receive(begin + (i + 1) * gap_s - time.monotonic()):
                pass
        end = time.monotonic() + WAIT_S
        while self.answered < first + count and self.receive(end - time.monotonic()):
            pass

    def keepalive(self) -> None:
        self.sock4500.sendto(b"\xff", (self.args.gateway, 4500))

    def rows(self, sent: int) -> list[results.Row]:
        path = f"{self.args.name} -> {self.args.gateway}"
        ports = "500, then 4500" if self.args.natt else "500"
        note = f"{self.args.algorithm}, inbound SPI {self.spi:#010x}"
        if self.foreign:
            note += f", {self.foreign} packets of another client"
        if self.wrong:
            note += f", wrong: {self.wrong[0]} ({len(self.wrong)} in all)"
        return [
            {"what": f"IKEv2 on UDP {ports}", "path": path, "sent": self.ike_sent,
             "back": self.ike_back, "note": f"SPI {self.ike.init_spi.hex()}",
             "ok": self.ike_back == self.ike_sent},
            {"what": "ESP in UDP 4500" if self.args.natt else "ESP", "path": path, "sent": sent,
             "back": self.answered, "note": note, "ok": self.answered == sent and not self.wrong},
        ]


def main() -> None:
    parser = argparse.ArgumentParser()
    for option in ("name", "secret", "gateway", "inner", "remote", "out", "ready", "go"):
        parser.add_argument(f"--{option}", required=True)
    parser.add_argument("--algorithm", choices=[esp.GCM, esp.CBC], required=True)
    parser.add_argument("--natt", action="store_true")
    parser.add_argument("--count", type=int, default=500)
    args = parser.parse_args()

    client = Client(args)
    client.negotiate()
    client.one_by_one(20)
    open(args.ready, "w", encoding="utf-8").close()
    for _ in range(6000):  # a minute
        if os.path.exists(args.go):
            break
        time.sleep(0.01)
    if args.natt:
        client.keepalive()
    client.all_at_once(20, args.count, 0.002)
    rows = client.rows(20 + args.count)
    results.write(args.out, {"rows": rows, "client": args.name, "spi": client.spi,
                             "init_spi": client.ike.init_spi.hex(), "natt": args.natt})
    raise SystemExit(not all(row["ok"] for row in rows))


if __name__ == "__main__":
    main()
