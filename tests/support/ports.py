"""Ports that no other process takes."""

from __future__ import annotations

import atexit
import socket
from contextlib import ExitStack

_reserved = ExitStack()
atexit.register(_reserved.close)


def free_port() -> int:
    """Return a port of 127.0.0.1 that nobody is given until this test process ends.

    A socket that is bound and does not listen keeps it from others who ask for any port, and from
    outgoing connections. With SO_REUSEADDR, which servers set, one can still listen on it.
    """
    reserved = _reserved.enter_context(socket.socket())
    reserved.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    reserved.bind(("127.0.0.1", 0))
    return int(reserved.getsockname()[1])
