"""The folder `instance`: held by one `automart up` at a time, and readable by its user alone."""

from __future__ import annotations

import errno
import fcntl
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from automart.cli.errors import CommandError
from automart.core.config import PRIVATE_UMASK

LOCK = "up.lock"


@contextmanager
def held(instance: Path) -> Iterator[Callable[[], None]]:
    """Hold the folder. Raises `CommandError` if another `automart up` does.

    What it gives is to be called while all is well: it sets the time of the lock file, at which the
    health check of the container looks (deploy/healthcheck.py).
    """
    os.umask(PRIVATE_UMASK)
    instance.mkdir(parents=True, exist_ok=True)
    with (instance / LOCK).open("a+") as file:
        try:
            # Not inherited by children, and gone with this process, however it ends.
            fcntl.lockf(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            if error.errno not in (errno.EACCES, errno.EAGAIN):
                raise
            file.seek(0)
            raise CommandError(
                f"Automart runs in this folder already, as process {file.read()}. "
                "Stop that one, or start this one in another folder."
            ) from None
        _make_private(instance)
        file.truncate(0)
        file.write(str(os.getpid()))
        file.flush()
        yield lambda: os.utime(file.fileno())


def _make_private(instance: Path) -> None:
    """Take the rights of other users away that earlier releases left them."""
    if instance.stat().st_mode & 0o077:
        for path in (instance, *instance.rglob("*")):
            if not path.is_symlink():
                path.chmod(path.stat().st_mode & ~0o077)
