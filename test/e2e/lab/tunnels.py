# SPDX-License-Identifier: BSD-3-Clause
# Copyright (c) 2026 the spinat authors
"""A scenario in which IKE daemons keep the tunnels."""

from typing import Any

from lab.daemon import at_once
from lab.libreswan import Libreswan
from lab.site import POOL, Scenario
from lab.strongswan import StrongSwan

DAEMONS = {"libreswan": Libreswan, "strongswan": StrongSwan}


class Tunnels:
    """Daemons in every host of a scenario; the clients' kind and the gateway's."""

    def __init__(
        self, scenario: Scenario, client: str, gateway: str, natt: bool = False, **options: Any
    ) -> None:
        """Without `natt`, ESP itself crosses: libreswan is told to ignore what NAT detection says;
        strongSwan can not be, so each of its clients takes the outside address for its own."""
        self.scenario = scenario
        if client == "strongswan" and not natt:
            for host in scenario.clients:
                host.believe(POOL)
        far = scenario.gateway
        far.script("ip route add 10.99.0.0/16 dev eth0")
        comers = {c: "%any" for c in scenario.clients}
        gateway_daemon, client_daemon = DAEMONS[gateway], DAEMONS[client]
        starts = [lambda: gateway_daemon(far, comers, **options)]
        for c in scenario.clients:
            starts.append(lambda c=c: client_daemon(c, {far: far.address}, **options))
        self.gateway, *self.clients = at_once(*starts)

    def up(self) -> None:
        """Every client negotiates, all in the same second."""
        far = self.scenario.gateway
        at_once(*[lambda d=d: d.initiate(far) for d in self.clients])
