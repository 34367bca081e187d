# SPDX-License-Identifier: BSD-3-Clause
# Copyright (c) 2026 the spinat authors
"""A new configuration at run time: what it still permits goes on, what is wrong changes nothing."""

import copy
import os
import re
import signal
import time

import pytest
from harness import config as cfg
from harness import ipsec
from harness.ipsec import IkeSa, Tunnel
from harness.lab import Lab
from harness.plan import A, B, GATEWAY, POOL, POOL2, REMOTE, REMOTE2
from scapy.layers.inet import IP, TCP, UDP
from scapy.packet import Packet

SERVER = "10.0.0.60"
SERVER_OUTSIDE = "192.0.2.60"


def query(sport: int, dst: str = REMOTE, src: str = A) -> Packet:
    return IP(src=src, dst=dst) / UDP(sport=sport, dport=53) / b"question"


def answer(dport: int, src: str = REMOTE, dst: str = POOL) -> Packet:
    return IP(src=src, dst=dst) / UDP(sport=53, dport=dport) / b"answer"


@pytest.fixture
def fresh(lab: Lab) -> Lab:
    """Begins with the configuration of the class, whatever the test before has left."""
    assert lab.app.reload(lab.config).startswith("ok")
    lab.outside.absent |= {SERVER_OUTSIDE}
    return lab


def changed(lab: Lab, **keys: object) -> cfg.Config:
    return copy.deepcopy(lab.config) | keys


class TestAccepted:
    def test_everything_goes_on(self, fresh: Lab) -> None:
        lab = fresh
        tunnel, sa = Tunnel(A, GATEWAY), IkeSa()
        syn = IP(src=A, dst=REMOTE) / TCP(sport=5001, dport=80, flags="S")
        lab.out(query(5000), src=POOL, sport=5000)
        lab.out(syn, src=POOL, sport=5001)
        lab.out(ipsec.udp(A, GATEWAY, sa.first()), src=POOL, sport=500)
        lab.out(tunnel.outbound()[0], src=POOL)
        lab.back(tunnel.inbound(POOL)[0], dst=A)
        before = lab.app.telemetry.ask("/spinat/info")["generation"]

        rule = {"inside": SERVER, "outside": SERVER_OUTSIDE}
        new = changed(lab, timeouts={"udp": 600}, static=[rule])
        assert lab.app.reload(new).startswith("ok")
        assert lab.app.telemetry.ask("/spinat/info")["generation"] == before + 1

        lab.back(answer(5000), dst=A, dport=5000)
        synack = IP(src=REMOTE, dst=POOL) / TCP(sport=80, dport=5001, flags="SA")
        lab.back(synack, dst=A, dport=5001)
        lab.back(ipsec.udp(GATEWAY, POOL, sa.first_answer()), dst=A, dport=500)
        lab.back(tunnel.inbound(POOL)[0], dst=A)
        lab.out(tunnel.outbound()[0], src=POOL)
        rows = lab.app.telemetry.sessions(protocol="udp")
        (row,) = [r for r in rows if r["inside"] == f"{A}:5000"]
        assert row["timeout_s"] == 600
        # and what is new works
        lab.back(query(5002, SERVER_OUTSIDE, REMOTE), dst=SERVER, dport=53)

    def test_static_rule_goes(self, fresh: Lab) -> None:
        lab = fresh
        new = changed(lab, static=[{"inside": SERVER, "outside": SERVER_OUTSIDE}])
        assert lab.app.reload(new).startswith("ok")
        lab.back(query(5100, SERVER_OUTSIDE, REMOTE), dst=SERVER, dport=53)
        assert lab.app.reload(lab.config).startswith("ok")
        time.sleep(1.5)
        lab.outside.send(query(5100, SERVER_OUTSIDE, REMOTE))
        lab.silent(not_ours=1)

    def test_redirection_comes_and_goes(self, fresh: Lab) -> None:
        lab = fresh
        rule = {"outside": POOL, "protocol": "udp", "port": 7000} | {
            "inside": SERVER,
            "inside_port": 53,
        }
        packet = IP(src=REMOTE2, dst=POOL) / UDP(sport=1234, dport=7000) / b"x"
        lab.outside.send(packet)
        lab.silent(no_mapping=1)
        assert lab.app.reload(changed(lab, redirect=[rule])).startswith("ok")
        lab.back(packet, dst=SERVER, dport=53)
        assert lab.app.reload(lab.config).startswith("ok")
        time.sleep(1.5)
        lab.outside.send(packet)
        lab.silent(no_mapping=1)

    def test_pool_address_goes_and_another_comes(self, fresh: Lab) -> None:
        """Sessions on the old address are no longer permitted, new ones get the new address."""
        lab = fresh
        lab.out(query(5200), src=POOL, sport=5200)
        assert lab.app.reload(changed(lab, realms=[cfg.realm(pool=[POOL2])])).startswith("ok")
        time.sleep(1.5)
        lab.out(query(5200), src=POOL2, sport=5200)
        lab.outside.send(answer(5200))
        lab.silent(not_ours=1)
        lab.back(answer(5200, dst=POOL2), dst=A, dport=5200)

    def test_new_addresses_are_announced(self, fresh: Lab) -> None:
        lab = fresh
        since = time.monotonic()
        lab.app.reload(changed(lab, realms=[cfg.realm(pool=[POOL, "192.0.2.77"])]))
        lab.out_port.wait_arp(lambda a: a.psrc == a.pdst == "192.0.2.77")
        assert time.monotonic() - since < 2

    def test_filtering(self, fresh: Lab) -> None:
        lab = fresh
        lab.out(query(5300), src=POOL, sport=5300)
        lab.outside.send(answer(5300, src=REMOTE2))
        lab.silent(filtered=1)
        new = changed(lab, realms=[cfg.realm(filtering="endpoint-independent")])
        assert lab.app.reload(new).startswith("ok")
        lab.back(answer(5300, src=REMOTE2), dst=A, dport=5300)

    def test_route(self, fresh: Lab) -> None:
        lab = fresh
        lab.out(query(5400), src=POOL, sport=5400)
        routes = [{"to": "0.0.0.0/0", "via": "192.0.2.9"}, lab.config["routes"][1]]
        assert lab.app.reload(changed(lab, routes=routes)).startswith("ok")
        lab.outside.router = "192.0.2.9"
        lab.out(query(5400), src=POOL, sport=5400)
        lab.outside.router = "192.0.2.1"

    def test_signal(self, fresh: Lab) -> None:
        lab = fresh
        before = lab.app.telemetry.ask("/spinat/info")["generation"]
        lab.app.write(changed(lab, timeouts={"udp": 700}))
        os.kill(lab.app.process.pid, signal.SIGHUP)
        lab.app.wait_says("event=reload", "result=ok", f"generation={before + 1}")
        lab.out(query(5500), src=POOL, sport=5500)
        (row,) = [r for r in lab.app.telemetry.sessions(client=A) if r["inside"] == f"{A}:5500"]
        assert row["timeout_s"] == 700

    def test_under_traffic_nothing_is_lost(self, fresh: Lab) -> None:
        lab = fresh
        lab.out(query(5600, src=B), src=POOL, sport=5600)
        for number in range(8):
            for _ in range(10):
                lab.inside.send(query(5600, src=B))
            assert lab.app.reload(changed(lab, timeouts={"udp": 400 + number})).startswith("ok")
            frames = lab.outside.receive_all(10)
            assert {(f.ip.src, f.ip[UDP].sport) for f in frames} == {(POOL, 5600)}


WRONG = {
    "unknown key": {"colour": "red"},
    "syntax": None,
    "wrong type": {"timeouts": {"udp": "long"}},
    "out of range": {"timeouts": {"udp": 0}},
    "pool in an inside subnet": {"realms": [cfg.realm(pool=["10.0.0.9"])]},
    "unknown word": {"realms": [cfg.realm(ah="maybe")]},
    "route to nowhere": {"routes": [{"to": "0.0.0.0/0", "via": "172.31.0.1"}]},
}
RESTART = {
    "workers": {"workers": 2},
    "limit": {"limits": {"sessions": 999}},
    "lcores": {"lcores": "0@0,1@0"},
}


class TestRefused:
    @pytest.mark.parametrize("name", WRONG)
    def test_wrong_file_changes_nothing(self, fresh: Lab, name: str) -> None:
        lab = fresh
        lab.out(query(6000), src=POOL, sport=6000)
        before = lab.app.telemetry.ask("/spinat/config")
        generation = lab.app.telemetry.ask("/spinat/info")["generation"]
        if WRONG[name] is None:
            lab.app.file.write_text('name = "x";\ninterfaces = ( {\n')
            said = lab.app.telemetry.ask("/spinat/reload")
        else:
            said = lab.app.reload(changed(lab, **WRONG[name]))
        assert said.startswith("error: ")
        assert re.search(rf"{re.escape(str(lab.app.file))}:\d+: ", said), said
        lab.app.wait_says("event=reload", "result=refused")
        assert lab.app.telemetry.ask("/spinat/config") == before
        assert lab.app.telemetry.ask("/spinat/info")["generation"] == generation
        lab.back(answer(6000), dst=A, dport=6000)
        lab.out(query(6001), src=POOL, sport=6001)

    @pytest.mark.parametrize("name", RESTART)
    def test_what_needs_a_restart_says_so(self, fresh: Lab, name: str) -> None:
        lab = fresh
        said = lab.app.reload(changed(lab, **RESTART[name]))
        assert said.startswith("error: ") and "restart" in said, said
        lab.out(query(6002), src=POOL, sport=6002)

    def test_missing_file(self, fresh: Lab) -> None:
        lab = fresh
        lab.app.file.unlink()
        assert lab.app.telemetry.ask("/spinat/reload").startswith("error: ")
        lab.out(query(6003), src=POOL, sport=6003)
