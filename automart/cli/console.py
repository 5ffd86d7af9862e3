"""Where commands print: names and texts of others appear as they are."""

from __future__ import annotations

import os
import signal
import sys
from typing import Any

from rich.console import Console
from rich.text import Text

from automart.core.text import escape_controls

STYLES = {"web": "cyan", "worker": "magenta", "sandbox": "yellow", "redis": "red"}
WIDTH = max(len(name) for name in STYLES)
UNLIMITED = 100_000
DEFAULT_WIDTH = 80


class Output(Console):
    """Standard output, or standard error, without Rich's markup and names of emoji: `[/b]` may be a
    part of a name. What could control a terminal is escaped.

    A file or program gets each row of a table on one line, whatever its width.
    """

    def __init__(self, **options: Any) -> None:
        super().__init__(markup=False, emoji=False, highlight=False, **options)
        if not self.is_terminal and "width" not in options and "COLUMNS" not in os.environ:
            self.width = UNLIMITED
        elif self.width == 0:  # nothing would be printed
            self.width = DEFAULT_WIDTH

    def render_str(self, text: str, **options: Any) -> Text:
        """Return a text or a cell of a table as it is printed."""
        return super().render_str(escape_controls(text, keep_lines=True), **options)


class Screen(Output):
    """The output of `automart up`: its own messages, and the lines of its processes by name.

    It is shared by several threads and a progress bar.
    """

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
