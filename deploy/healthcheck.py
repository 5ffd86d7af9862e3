"""The container's health check.

Exit status 0 if the web responds and, in a container that runs `automart up`, all of its processes
are running, including Redis and the worker.
"""

import fcntl
import http.client
import os
import sys
import time
from pathlib import Path

# Less than the timeout of the whole program in the Dockerfile.
SECONDS = 4
# Locked by `automart up`, which updates its time continually while everything is healthy.
LOCK = Path("instance/up.lock")
# The time that a process may take to restart.
LATE_SECONDS = 30


def main() -> int:
    failure = web_failure() or process_failure()
    if failure:
        print(failure)
        return 1
    return 0


def web_failure() -> str | None:
    """Return why the web is unhealthy; None if it is healthy."""
    port = int(os.environ.get("PORT") or 8000)
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=SECONDS)
    try:
        connection.request("GET", "/health/live")
        status = connection.getresponse().status
    except (OSError, http.client.HTTPException) as error:
        return f"The web does not respond: {error}"
    return None if status == http.HTTPStatus.OK else f"The web responds with status {status}"


def process_failure() -> str | None:
    """Return why `automart up` is unhealthy; None if it is healthy or not running.

    Without `automart up`, the orchestration supervises the other processes.
    """
    if not LOCK.exists():
        return None
    with LOCK.open() as file:
        try:
            fcntl.lockf(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except OSError:
            age = time.time() - os.fstat(file.fileno()).st_mtime
            late = age > LATE_SECONDS
            return f"A process has not run for {age:.0f} seconds; see the log" if late else None
    return None


if __name__ == "__main__":
    sys.exit(main())
