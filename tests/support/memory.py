"""Where files of tests do not wait for a disk."""

from __future__ import annotations

import os
from pathlib import Path

# Files there are created with names of their own, which S108 is about.
MEMORY = Path("/dev/shm") if os.access("/dev/shm", os.W_OK) else None  # noqa: S108
"""None, where there is no such folder: the default one."""
