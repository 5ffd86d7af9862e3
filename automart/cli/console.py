"""What `automart up` prints: its own words, and the lines of its processes under their names."""

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

    def tell(self, name: str, line: str) -> None:
        """Print a line of the process `name`."""
        prefix = f"{name:<{WIDTH}} │ "
        self.print(Text.assemble((prefix, STYLES.get(name, "")), line), soft_wrap=True)

    def say(self, line: str, style: str = "bold") -> None:
        """Print a line of our own."""
        self.print(Text(line, style), soft_wrap=True)

    def on_broken_pipe(self) -> None:
        """Nobody reads on: end as if told to. What is still printed goes nowhere."""
        self.quiet = True
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, sys.stdout.fileno())
        os.close(nowhere)
        os.kill(os.getpid(), signal.SIGTERM)
