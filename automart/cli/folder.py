"""The folder `instance`: locked by one `automart up` at a time, readable only by its user."""

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
def locked(instance: Path) -> Iterator[Callable[[], None]]:
    """Lock the folder. Raise `CommandError` if another `automart up` has locked it.

    The value is a function to call while everything is healthy: it sets the time of the lock file,
    which the health check of the container reads (deploy/healthcheck.py).
    """
    os.umask(PRIVATE_UMASK)
    instance.mkdir(parents=True, exist_ok=True)
    with (instance / LOCK).open("a+") as file:
        try:
            # Children do not inherit it, and it ends with this process, however that ends.
            fcntl.lockf(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            if error.errno not in (errno.EACCES, errno.EAGAIN):
                raise
            file.seek(0)
            raise CommandError(
                f"Automart is already running in this folder, as process {file.read()}. "
                "Stop it, or start another one in another folder."
            ) from None
        _remove_permissions_of_others(instance)
        file.truncate(0)
        file.write(str(os.getpid()))
        file.flush()
        yield lambda: os.utime(file.fileno())


def _remove_permissions_of_others(instance: Path) -> None:
    """Undo the permissions that earlier releases gave to other users."""
    if instance.stat().st_mode & 0o077:
        for path in (instance, *instance.rglob("*")):
            if not path.is_symlink():
                path.chmod(path.stat().st_mode & ~0o077)
