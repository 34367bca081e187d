# SPDX-License-Identifier: BSD-3-Clause
# Copyright (c) 2026 the spinat authors
"""A host in the guest: a network namespace and a root of its own, so that daemons with fixed paths
run once in each."""

from collections.abc import Sequence
from typing import Any

from lab.vm import Result, Vm

# A host's root: the machine's own, the daemons of one kind over it, memory over both.
MAKE_ROOT = """
mkdir -p /hosts/{name} /run/layers/{name}/upper /run/layers/{name}/work
mount -t overlay {name} /hosts/{name} -o \
lowerdir={lower},upperdir=/run/layers/{name}/upper,workdir=/run/layers/{name}/work
for dir in run tmp; do mount -t tmpfs tmpfs /hosts/{name}/$dir; done
for dir in proc sys dev; do mount --bind /$dir /hosts/{name}/$dir; done
ip netns add {name}
ip -n {name} link set lo up
ip link add link {card} name new netns {name} type macvlan mode bridge
ip -n {name} link set new name eth0 address {mac} up
ip -n {name} addr add {address}/24 dev eth0
ip -n {name} addr add {inner}/32 dev lo
"""
BELIEVE = """
table ip believe {{
	chain post {{
		type filter hook postrouting priority 300
		oifname eth0 ip saddr {outer} ip saddr set {real}
	}}
	chain pre {{
		type filter hook prerouting priority -300
		iifname eth0 ip daddr {real} ip daddr set {outer}
	}}
}}
"""
CARDS = {"inside": "eth0", "outside": "eth1"}


class Host:
    """A client (side inside) or a gateway (side outside)."""

    def __init__(
        self, vm: Vm, name: str, side: str, address: str, inner: str, layers: Sequence[str]
    ) -> None:
        self.vm, self.name, self.side, self.address, self.inner = vm, name, side, address, inner
        self.layers = layers
        self.outer = address  # what its IPsec takes for its address

    def make(self, router: str | None) -> None:
        lower = ":".join([*(f"/run/layers/cache/{x}" for x in self.layers), "/run/layers/host"])
        number = int(self.address.rsplit(".", 1)[1])
        card = CARDS[self.side]
        mac = f"52:54:00:{card[-1]}0:00:{number:02x}"
        script = MAKE_ROOT.format(
            name=self.name, lower=lower, card=card, mac=mac, address=self.address, inner=self.inner
        )
        if router is not None:
            script += f"ip -n {self.name} route add default via {router}\n"
        self.vm.script(script)

    def believe(self, outer: str) -> None:
        """Makes the host take an outside address for its own, so that neither end detects a NAT and
        AH is computed over the address that arrives: its kernel writes the real one on the wire and
        takes it off again."""
        self.outer = outer
        self.run("/bin/ip", "addr", "add", f"{outer}/32", "dev", "lo")
        self.run("/usr/sbin/nft", BELIEVE.format(outer=outer, real=self.address))

    def delete(self) -> None:
        """Ends every process in the host, then takes it away."""
        self.vm.script(
            f"""
            ip netns pids {self.name} | xargs -r kill -9
            ip -n {self.name} link del eth0
            ip netns del {self.name}
            umount -R -l /hosts/{self.name}
            rm -rf /run/layers/{self.name} /hosts/{self.name}
            """
        )

    def run(self, *argv: str, **fields: Any) -> str:
        return self.vm.run(*argv, host=self.name, **fields)

    def request(self, *argv: str, **fields: Any) -> Result:
        return self.vm.request(argv, host=self.name, **fields)

    def script(self, text: str, **fields: Any) -> str:
        return self.vm.script(text, host=self.name, **fields)

    def write(self, path: str, text: str) -> None:
        self.run("/usr/bin/tee", path, input=text)

    def xfrm_errors(self) -> dict[str, int]:
        """The kernel's counters of IPsec packets that it could not use."""
        pairs = (line.split() for line in self.run("/bin/cat", "/proc/net/xfrm_stat").splitlines())
        return {name: int(count) for name, count in pairs}
