"""Processes that another one looks after.

`python -m automart.core.parent_death PARENT COMMAND…` becomes COMMAND, tied to the process PARENT.
"""

from __future__ import annotations

import ctypes
import os
import signal
import sys
from dataclasses import dataclass

_PR_SET_PDEATHSIG = 1
SHORTEST_PAUSE = 0.5
LONGEST_PAUSE = 10.0
# A process that lived for so long was not broken from the start.
HEALTHY_AFTER = 30.0


@dataclass
class Restarts:
    """How long to wait before a process that ended is started again."""

    early_ends: int = 0
    """How many times in a row it ended soon after its start."""

    def pause_after(self, lived: float) -> float:
        """Count the end of a process that lived for so many seconds. Return the pause: each time
        that a process ends early, it is twice as long."""
        self.early_ends = 0 if lived > HEALTHY_AFTER else self.early_ends + 1
        return float(min(SHORTEST_PAUSE * 2**self.early_ends, LONGEST_PAUSE))


def end_with_parent(parent: int) -> None:
    """Have the kernel send SIGTERM to this process when `parent` dies, be it by kill -9.

    Only Linux can do that. Elsewhere an orphan works on until it is ended, which does no harm:
    its lease and its claims are its own.
    """
    if sys.platform != "linux":
        return
    ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)
    if os.getppid() != parent:  # it died before the kernel was asked
        os.kill(os.getpid(), signal.SIGTERM)


if __name__ == "__main__":
    end_with_parent(int(sys.argv[1]))
    # The kernel keeps to its promise across exec.
    os.execvp(sys.argv[2], sys.argv[2:])  # noqa: S606 - the command line is `automart up`'s
