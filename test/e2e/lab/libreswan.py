# SPDX-License-Identifier: BSD-3-Clause
# Copyright (c) 2026 the spinat authors
"""libreswan in a host, with pre-shared keys and without UDP encapsulation, so that ESP itself
crosses: it can be told to leave NAT detection out, which most others can not."""

from lab.daemon import wait_for
from lab.host import Host

LAYER = "libreswan"
BIN = "/usr/libexec/ipsec"
SETUP = """
mkdir -p /run/pluto /var/lib/ipsec/nss /etc/ipsec.d
certutil -N -d sql:/var/lib/ipsec/nss --empty-password
"""
CONFIG = """config setup
	uniqueids=no
	nhelpers=0
	ikev1-policy=accept

conn %default
	ikev2={ikev2}
	authby=secret
	nat-ikev1-method={nat_method}
	encapsulation={encapsulation}
	nat-keepalive=no
	mobike=no
	fragmentation=no
	ikelifetime={ike_seconds}s
	salifetime={child_seconds}s
	rekeymargin=3s
	rekeyfuzz=0%
	retransmit-interval=500ms
	left={host.outer}
	leftid=@{host.name}
	leftsubnet={host.inner}/32
	leftupdown=/bin/true
	auto=add
"""
CONN = """
conn {peer.name}
	right={right}
	rightid=@{peer.name}
	rightsubnet={peer.inner}/32
"""


class Libreswan:
    """The daemon pluto in one host."""

    def __init__(
        self,
        host: Host,
        peers: dict[Host, str],
        *,
        version: int = 2,
        natt: bool = False,
        child_seconds: int = 3600,
        ike_seconds: int = 7200,
    ) -> None:
        """peers: each with the address under which it is reached, %any where it comes by itself."""
        self.host = host
        self.version = version
        text = CONFIG.format(
            host=host,
            ikev2="yes" if version == 2 else "no",
            nat_method="both" if natt else "none",
            encapsulation="auto" if natt else "no",
            child_seconds=child_seconds,
            ike_seconds=ike_seconds,
        )
        text += "".join(CONN.format(peer=p, right=right) for p, right in peers.items())
        host.write("/etc/ipsec.conf", text)
        host.write("/etc/ipsec.secrets", ': PSK "a secret of more than thirty-two bytes"\n')
        host.script(SETUP)
        self.names = [peer.name for peer in peers]
        self.start()

    def start(self) -> None:
        """Starts the daemon and waits until it knows its peers."""
        command = f"{BIN}/pluto --config /etc/ipsec.conf --nofork --stderrlog".split()
        self._log = self.host.request(*command, daemon=True).out
        wait_for(self.loaded, 30, self.log)

    def loaded(self) -> bool:
        status = self.host.request(f"{BIN}/whack", "--status").out
        return all(f'"{name}":' in status for name in self.names)

    def initiate(self, peer: Host, timeout: float = 30) -> None:
        """Negotiates; returns when there is a child SA."""
        whack = (f"{BIN}/whack", "--initiate", "--name", peer.name)
        done = self.host.request(*whack, timeout=timeout)
        assert done.rc == 0, f"{self.host.name}: {done.rc} {done.out}{done.err}\n{self.log()}"

    def rekey_child(self, name: str) -> None:
        self.host.request(f"{BIN}/whack", "--rekey-ipsec", "--name", name)

    def rekey_ike(self, name: str) -> None:
        self.host.request(f"{BIN}/whack", "--rekey-ike", "--name", name)

    def status(self) -> str:
        return self.host.run(f"{BIN}/whack", "--status")

    def log(self) -> str:
        return self.host.vm.run("/usr/bin/tail", "-n", "60", self._log)

    def kill(self) -> None:
        """As a power failure does: no message to anyone, and the kernel forgets its SAs."""
        self.host.script("kill -9 $(cat /run/pluto/pluto.pid); rm -f /run/pluto/*")
        self.host.script("ip xfrm state flush; ip xfrm policy flush")
