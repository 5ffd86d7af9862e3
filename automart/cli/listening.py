"""The address on which `automart up` listens.

`automart up` opens the socket itself, so that a taken port is reported before anything is started,
and a restarted web process finds its socket open.
"""

from __future__ import annotations

import errno
import socket
from typing import NamedTuple

from automart.cli.errors import CommandError

HOST = "127.0.0.1"
EVERYWHERE = "0.0.0.0"  # noqa: S104 - used only on request
EVERYWHERE_IPV6 = "::"
BACKLOG = 2048
_PORT_ERRORS = (errno.EADDRINUSE, errno.EACCES)


class Address(NamedTuple):
    """A host and a port to listen on."""

    host: str
    port: int

    @property
    def is_everywhere(self) -> bool:
        return self.host in (EVERYWHERE, EVERYWHERE_IPV6)

    @property
    def url(self) -> str:
        """The address for clients on this machine."""
        host = {EVERYWHERE: HOST, EVERYWHERE_IPV6: "::1"}.get(self.host, self.host)
        return f"http://{f'[{host}]' if ':' in host else host}:{self.port}"

    def listen(self) -> socket.socket:
        """Return a listening socket. Raise `CommandError` if the address is not available."""
        other = f"--host {HOST}"
        try:
            family, *_, found = socket.getaddrinfo(
                self.host, self.port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
            )[0]
            return socket.create_server(
                found[:2],  # only host and port, also of IPv6 addresses
                family=family,
                backlog=BACKLOG,
                dualstack_ipv6=self.host == EVERYWHERE_IPV6 and socket.has_dualstack_ipv6(),
            )
        except UnicodeError:
            reason = "It is not a valid host name"
        except OSError as error:
            if error.errno in _PORT_ERRORS:
                other = "--port NUMBER"
            # Python adds the address to the text of some of these errors.
            reason = str(error.strerror).partition(" (")[0]
        raise CommandError(
            f"Cannot listen on port {self.port} of {self.host}: {reason}. Try: automart up {other}"
        )


def free_port(preferred: int) -> int:
    """Return `preferred` if nothing listens on it on this machine, otherwise any free port."""
    for port in (preferred, 0):
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind((HOST, port))
            except OSError:
                continue
            return int(probe.getsockname()[1])
    raise CommandError("No port is free on this machine.")
