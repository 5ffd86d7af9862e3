"""Ports that no other process takes."""

from __future__ import annotations

import socket

_reserved: list[socket.socket] = []


def free_port() -> int:
    """Return a port of 127.0.0.1 that nobody is given until this test process ends.

    A socket that is bound and does not listen keeps it from others who ask for any port, and from
    outgoing connections. With SO_REUSEADDR, which servers set, one can still listen on it.
    """
    reserved = socket.socket()
    reserved.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    reserved.bind(("127.0.0.1", 0))
    _reserved.append(reserved)
    return int(reserved.getsockname()[1])
