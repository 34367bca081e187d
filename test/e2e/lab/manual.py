# SPDX-License-Identifier: BSD-3-Clause
# Copyright (c) 2026 the spinat authors
"""Security associations with keys set by hand, ip-xfrm(8): tunnel mode, no IKE, no UDP."""

from dataclasses import dataclass

from lab.host import Host

ESP = "proto esp", "aead 'rfc4106(gcm(aes))' 0x{key:040x} 128"
AH = "proto ah", "auth-trunc 'hmac(sha256)' 0x{key:064x} 128"


@dataclass(frozen=True)
class Pair:
    """The two SPIs of a client; `into` is the one that it gave to the gateway."""

    into: int
    out: int


def numbered(number: int) -> Pair:
    return Pair(0x10000000 + number * 0x111, 0x20000000 + number * 0x777)


def connect(
    client: Host,
    gateway: Host,
    spis: Pair,
    *,
    client_seen_as: str,
    kind: tuple[str, str] = ESP,
    mark: int = 0,
) -> None:
    """Sets up both ends; the gateway sees the client at an outside address."""
    lines = state_lines(client.outer, gateway.address, spis, kind, 0)
    lines += policy_lines(client.inner, gateway.inner, client.outer, gateway.address, spis, kind, 0)
    client.script(lines)
    back = Pair(into=spis.out, out=spis.into)
    lines = state_lines(gateway.address, client_seen_as, back, kind, mark)
    lines += policy_lines(
        gateway.inner, client.inner, gateway.address, client_seen_as, back, kind, mark
    )
    gateway.script(lines)
    client.script(f"ip route replace {gateway.inner} dev eth0 via 10.0.0.1 src {client.inner}")
    gateway.script(f"ip route replace {client.inner} dev eth0 src {gateway.inner}")


def state_lines(here: str, there: str, spis: Pair, kind: tuple[str, str], mark: int) -> str:
    """Mode tunnel, one state a direction; no two clients have a key in common, even with one SPI."""
    proto, algorithm = kind
    text = ""
    for src, dst, spi, marked in ((here, there, spis.out, mark), (there, here, spis.into, 0)):
        key = algorithm.format(key=((spis.out ^ spis.into) << 32) + spi)
        text += f"ip xfrm state add src {src} dst {dst} {proto} spi {spi:#x} mode tunnel {key}"
        text += f" replay-window 64{f' mark {marked}' if marked else ''}\n"
    return text


def policy_lines(
    inner: str, far: str, here: str, there: str, spis: Pair, kind: tuple[str, str], mark: int
) -> str:
    proto = kind[0]
    text = ""
    ways = (("out", inner, far, here, there, spis.out), ("in", far, inner, there, here, spis.into))
    for way, src, dst, outer_src, outer_dst, spi in ways:
        marked = f" mark {mark}" if mark and way == "out" else ""
        text += f"ip xfrm policy add src {src} dst {dst} dir {way}{marked}"
        text += f" tmpl src {outer_src} dst {outer_dst} {proto}"
        text += f"{f' spi {spi:#x}' if way == 'out' else ''} mode tunnel\n"
    return text
