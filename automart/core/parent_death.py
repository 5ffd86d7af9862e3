"""Processes that are supervised by another one.

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
# A process that ran for so long is not broken from the start.
HEALTHY_AFTER = 30.0


@dataclass
class Restarts:
    """Counts the early ends of a process, and derives the pauses before its restarts."""

    early_ends: int = 0
    """How many times in a row it ended soon after its start."""

    def pause_after(self, lived: float) -> float:
        """Count the end of a process that ran for `lived` seconds. Return the pause before its
        restart, which doubles with each early end."""
        self.early_ends = 0 if lived > HEALTHY_AFTER else self.early_ends + 1
        return float(min(SHORTEST_PAUSE * 2**self.early_ends, LONGEST_PAUSE))


def end_with_parent(parent: int) -> None:
    """Have the kernel send SIGTERM to this process when `parent` ends, even by kill -9.

    Only Linux can do that. Elsewhere, an orphan works on until it is ended. That does no harm: its
    leases are valid.
    """
    if sys.platform != "linux":
        return
    ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)
    if os.getppid() != parent:  # it ended before the call
        os.kill(os.getpid(), signal.SIGTERM)


if __name__ == "__main__":
    end_with_parent(int(sys.argv[1]))
    # The setting survives exec.
    os.execvp(sys.argv[2], sys.argv[2:])  # noqa: S606 - the command line is `automart up`'s
