"""The output of `automart up`: its own messages, and the lines of its processes by name."""

from __future__ import annotations

import os
import signal
import sys

from rich.console import Console
from rich.text import Text

STYLES = {"web": "cyan", "worker": "magenta", "sandbox": "yellow", "redis": "red"}
WIDTH = max(len(name) for name in STYLES)


class Screen(Console):
    """Standard output, shared by several threads and a progress bar."""

    def process_line(self, name: str, line: str) -> None:
        """Print a line that the process `name` has written."""
        prefix = f"{name:<{WIDTH}} │ "
        self.print(Text.assemble((prefix, STYLES.get(name, "")), line), soft_wrap=True)

    def message(self, line: str, style: str = "bold") -> None:
        """Print a message of `automart up` itself."""
        self.print(Text(line, style), soft_wrap=True)

    def on_broken_pipe(self) -> None:
        """Stop when nobody reads the output any more. Discard the rest of the output."""
        self.quiet = True
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, sys.stdout.fileno())
        os.close(nowhere)
        os.kill(os.getpid(), signal.SIGTERM)
