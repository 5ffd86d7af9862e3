"""Virtual hosts on this machine: network namespaces, joined by a bridge inside one of them.

Nothing of it is seen or reached from outside.
"""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

STORE = "store"
BRIDGE = "bridge"


class Impossible(Exception):
    """This machine does not support it. The message gives the reason."""


class Network:
    """Hosts with addresses 10.77.0.1, 10.77.0.2, …. The first, `STORE`, contains the bridge."""

    def __init__(self, hosts: Sequence[str]) -> None:
        self._hosts = [STORE, *hosts]
        self._tag = f"automart{os.getpid()}"

    def address(self, host: str) -> str:
        return f"10.77.0.{self._hosts.index(host) + 1}"

    def command(self, host: str, command: Sequence[str | Path]) -> list[str]:
        """Return the command line that runs `command` on `host`."""
        return ["ip", "netns", "exec", self._name(host), *map(str, command)]

    def start(
        self,
        host: str,
        command: Sequence[str | Path],
        *,
        output: IO[bytes],
        folder: Path,
        env: Mapping[str, str] | None = None,
    ) -> subprocess.Popen[bytes]:
        """Start a program on `host`. `ip netns exec` becomes that program."""
        return subprocess.Popen(
            self.command(host, command), stdout=output, stderr=output, cwd=folder, env=env
        )

    def cut_off(self, host: str) -> None:
        """Drop all traffic to and from the host silently."""
        self._in(STORE, "link", "set", host, "nomaster")

    def join(self, host: str) -> None:
        self._in(STORE, "link", "set", host, "master", BRIDGE)

    def build(self) -> None:
        for host in self._hosts:
            _ip("netns", "add", self._name(host))
            self._in(host, "link", "set", "lo", "up")
        self._in(STORE, "link", "add", BRIDGE, "type", "bridge")
        self._in(STORE, "addr", "add", f"{self.address(STORE)}/24", "dev", BRIDGE)
        self._in(STORE, "link", "set", BRIDGE, "up")
        for host in self._hosts[1:]:
            there = ["peer", "name", "eth0", "netns", self._name(host)]
            self._in(STORE, "link", "add", host, "type", "veth", *there)
            self._in(STORE, "link", "set", host, "up")
            self._in(host, "addr", "add", f"{self.address(host)}/24", "dev", "eth0")
            self._in(host, "link", "set", "eth0", "up")
            self.join(host)

    def remove(self) -> None:
        for host in self._hosts:
            subprocess.run(["ip", "netns", "del", self._name(host)], capture_output=True)

    def _name(self, host: str) -> str:
        return f"{self._tag}-{host}"

    def _in(self, host: str, *arguments: str) -> None:
        _ip("-n", self._name(host), *arguments)


@contextmanager
def network(hosts: Sequence[str]) -> Iterator[Network]:
    """Yield the hosts. Raise `Impossible` if this machine does not support them."""
    if os.geteuid() != 0:
        raise Impossible("Hosts of their own can be made by root alone.")
    if not shutil.which("ip"):
        raise Impossible("There is no `ip` on this machine: install iproute2.")
    made = Network(hosts)
    try:
        made.build()
        yield made
    finally:
        made.remove()


def _ip(*arguments: Any) -> None:
    done = subprocess.run(["ip", *arguments], capture_output=True, text=True)
    if done.returncode:
        raise Impossible(f"ip {' '.join(arguments)}: {done.stderr.strip()}")
