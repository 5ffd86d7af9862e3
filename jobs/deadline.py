"""One limit of time for many steps."""

from __future__ import annotations

import time


class Deadline:
    """The moment by which all must be done, `seconds` from now."""

    def __init__(self, seconds: float) -> None:
        self.seconds = seconds
        self._end = time.monotonic() + seconds

    def left(self, shares: int = 1) -> float:
        """The seconds that are left, for one of so many shares. Raises TimeoutError if none are."""
        left = self._end - time.monotonic()
        if left <= 0:
            raise TimeoutError
        return left / shares
