"""What becomes of large blocks of memory that a thread has freed."""

from __future__ import annotations

import ctypes

LARGE = 4 << 20
_M_TRIM_THRESHOLD = -1
_M_MMAP_THRESHOLD = -3


def return_large_blocks() -> None:
    """Let glibc return large blocks to the system when they are freed.

    Otherwise it keeps up to 32 MiB in each of its arenas, of which there are eight per processor,
    for the next such block. A process of many threads that hash passwords (19 MiB each) would keep
    500 MB for the two that hash at the same time.
    """
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (AttributeError, OSError, TypeError):
        return  # another C library
    mallopt(_M_MMAP_THRESHOLD, LARGE)
    # Setting one of them makes the other small.
    mallopt(_M_TRIM_THRESHOLD, 2 * LARGE)
