"""What `automart doctor` has found."""

from __future__ import annotations

import enum
from collections.abc import Iterator
from dataclasses import dataclass


class Grade(enum.StrEnum):
    OK = "ok"
    NOTE = "note"
    BAD = "BAD"


@dataclass(frozen=True, slots=True)
class Finding:
    """The result of one check, and how to fix it."""

    grade: Grade
    subject: str
    detail: str
    advice: str = ""

    def __str__(self) -> str:
        line = f"{self.grade:<5} {self.subject}: {self.detail}"
        return f"{line}\n      → {self.advice}" if self.advice else line


Findings = Iterator[Finding]
