"""The container's health check. Exit status 0 if the web answers and, where this container runs
`automart up`, all of its parts run: Redis and the worker too."""

import fcntl
import http.client
import os
import sys
import time
from pathlib import Path

# Less than what the Dockerfile gives the whole program.
SECONDS = 4
# Held by `automart up`, which sets its time every moment while all is well.
LOCK = Path("instance/up.lock")
# A part that is started again is given so long.
LATE_SECONDS = 30


def main() -> int:
    trouble = trouble_of_web() or trouble_of_parts()
    if trouble:
        print(trouble)
        return 1
    return 0


def trouble_of_web() -> str | None:
    """Return why the web is not well."""
    port = int(os.environ.get("PORT") or 8000)
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=SECONDS)
    try:
        connection.request("GET", "/health/live")
        status = connection.getresponse().status
    except (OSError, http.client.HTTPException) as error:
        return f"The web does not answer: {error}"
    return None if status == http.HTTPStatus.OK else f"The web answers {status}"


def trouble_of_parts() -> str | None:
    """Return why `automart up` is not well. A container that does not run it has no such trouble:
    orchestration looks after its other parts."""
    if not LOCK.exists():
        return None
    with LOCK.open() as file:
        try:
            fcntl.lockf(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except OSError:
            age = time.time() - os.fstat(file.fileno()).st_mtime
            late = age > LATE_SECONDS
            return f"A part has not run for {age:.0f} seconds; see the log" if late else None
    return None


if __name__ == "__main__":
    sys.exit(main())
