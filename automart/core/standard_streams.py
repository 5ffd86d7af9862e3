"""Standard input, output and error as commands find them. Imports nothing of the application."""

from __future__ import annotations

import io
import os
import sys
from typing import TextIO


def prepare_standard_streams() -> None:
    """Open what the caller has closed (`>&-`), and print `\\xfc` for what an encoding lacks.

    Input that is not in its encoding is an error. In the locales C and POSIX, Python would read it
    as surrogates, which were later refused for a reason that has nothing to do with them.
    """
    if sys.stdin is None:
        sys.stdin = _nothing("r")
    elif isinstance(sys.stdin, io.TextIOWrapper):
        sys.stdin.reconfigure(errors="strict")
    for name in ("stdout", "stderr"):
        stream = getattr(sys, name)
        if stream is None:
            setattr(sys, name, _nothing("w"))
        elif isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")


def utf_8_output() -> TextIO:
    """Return standard output for data that others read: UTF-8, whatever the terminal's encoding."""
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(encoding="utf-8", errors="strict")
    return sys.stdout


def _nothing(mode: str) -> TextIO:
    """Return a stream that is empty, or loses what is written to it. It stays open to the end."""
    return io.TextIOWrapper(io.FileIO(os.devnull, mode), encoding="utf-8", write_through=True)
