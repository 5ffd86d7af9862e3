"""Processes that must not outlive whoever looks after them.

`python -m jobs.processes PARENT COMMAND…` becomes COMMAND, tied to the process PARENT.
"""

from __future__ import annotations

import ctypes
import os
import signal
import sys

_PR_SET_PDEATHSIG = 1


def end_with_parent(parent: int) -> None:
    """Have the kernel send SIGTERM to this process when `parent` dies, be it by kill -9.

    Linux alone can do that. Elsewhere an orphan works on until it is told to stop, which does no
    harm: its lease and its claims are its own.
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
