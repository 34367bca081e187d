# SPDX-License-Identifier: BSD-3-Clause
# Copyright (c) 2026 the spinat authors
"""strongSwan in a host, with pre-shared keys. It always detects NAT where the other side does, and
then puts ESP into UDP 4500; with a peer that leaves NAT detection out it sends ESP itself."""

from lab.daemon import wait_for
from lab.host import Host
from lab.vm import Result

LAYER = "strongswan"
DAEMON_CONFIG = """charon {
	load = random nonce openssl aes gcm hmac sha1 sha2 kdf pem pkcs1 pubkey gmp drbg vici kernel-netlink socket-default
	retransmit_timeout = 1.0
	retransmit_base = 1.4
	keep_alive = 5s
	plugins { vici { socket = unix:///run/charon.vici } }
	filelog { stderr { default = 1 } }
}
"""
CONNECTION = """
	{peer.name} {{
		version = {version}
		local_addrs = {host.outer}
		remote_addrs = {remote}
		rekey_time = {ike_seconds}s
		mobike = {mobike}
		proposals = aes256-sha256-modp2048
		local {{ auth = psk
			id = @{host.name} }}
		remote {{ auth = psk
			id = @{peer.name} }}
		children {{ net {{
			local_ts = {host.inner}/32
			remote_ts = {peer.inner}/32
			rekey_time = {child_seconds}s
			esp_proposals = aes256gcm16-modp2048,aes256-sha256-modp2048
		}} }}
	}}
"""
SECRETS = """
secrets { ike { secret = "a secret of more than thirty-two bytes" } }
"""


class StrongSwan:
    """The daemon charon in one host."""

    def __init__(
        self,
        host: Host,
        peers: dict[Host, str],
        *,
        version: int = 2,
        child_seconds: int = 3600,
        ike_seconds: int = 7200,
        mobike: bool = False,
    ) -> None:
        """peers: each with the address under which it is reached, %any where it comes by itself.
        mobike: IKE moves to port 4500, whether there is NAT or not (RFC 4555 3.3)."""
        self.host = host
        options = {
            "version": version,
            "child_seconds": child_seconds,
            "ike_seconds": ike_seconds,
            "mobike": "yes" if mobike else "no",
        }
        connections = "".join(
            CONNECTION.format(host=host, peer=p, remote=remote, **options)
            for p, remote in peers.items()
        )
        host.write("/etc/strongswan.conf", DAEMON_CONFIG)
        host.script("mkdir -p /etc/swanctl")
        host.write("/etc/swanctl/swanctl.conf", f"connections {{{connections}}}\n{SECRETS}")
        self.start()

    def start(self) -> None:
        """Starts the daemon and waits until it knows its peers."""
        self._log = self.host.request("/usr/lib/ipsec/charon", daemon=True).out
        wait_for(lambda: self.swanctl("--load-all").rc == 0, 30, self.log)

    def swanctl(self, *argv: str, timeout: float = 30) -> Result:
        uri = "unix:///run/charon.vici"
        return self.host.request("/usr/sbin/swanctl", *argv, "--uri", uri, timeout=timeout)

    def initiate(self, peer: Host, timeout: float = 30) -> None:
        """Negotiates; returns when there is a child SA."""
        done = self.swanctl("--initiate", "--child", "net", "--ike", peer.name, timeout=timeout)
        assert done.rc == 0, f"{self.host.name}: {done.rc} {done.out}{done.err}\n{self.log()}"

    def rekey_child(self, name: str) -> None:
        self.swanctl("--rekey", "--ike", name, "--child", "net")

    def rekey_ike(self, name: str) -> None:
        self.swanctl("--rekey", "--ike", name)

    def status(self) -> str:
        return self.swanctl("--list-sas").out

    def log(self) -> str:
        return self.host.vm.run("/usr/bin/tail", "-n", "60", self._log)
