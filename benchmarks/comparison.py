"""A figure of Automart beside that of a plain reference, measured alternately in one run."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import date
from typing import TypeVar

from rich.console import Console
from rich.table import Table

T = TypeVar("T")
HEADINGS = ("what", "database", "Automart", "reference", "which is", "ratio", "spread", "aim")


@dataclass(frozen=True)
class Size:
    """How much a benchmark measures: much, or little where a rough figure is enough.

    `database` is the name of the only database on which it measures, None for all.
    """

    rounds: int
    seconds: float
    rows: int
    jobs: int
    makes: int
    database: str | None = None


FULL = Size(rounds=5, seconds=4, rows=1_000_000, jobs=1_000, makes=2_000)
SHORT = Size(rounds=2, seconds=1, rows=100_000, jobs=150, makes=200)


@dataclass(frozen=True)
class Comparison:
    """Pairs of figures, of Automart and of the reference, of which more is better.

    A figure that is a duration is less if it is better: `less_is_better`.
    """

    what: str
    database: str
    reference: str
    unit: str
    aim: float | None
    pairs: Sequence[tuple[float, float]]
    less_is_better: bool = False

    @property
    def ratios(self) -> list[float]:
        """How many times as good as the reference Automart is, round by round."""
        return [b / a if self.less_is_better else a / b for a, b in self.pairs]

    @property
    def ratio(self) -> float:
        return statistics.median(self.ratios)

    @property
    def reaches_aim(self) -> bool:
        return self.aim is None or self.ratio >= self.aim

    @property
    def cells(self) -> tuple[str, ...]:
        """The row of the table."""
        ours, others = (statistics.median(side) for side in zip(*self.pairs, strict=True))
        return (
            self.what,
            self.database,
            f"{_number(ours)} {self.unit}",
            f"{_number(others)} {self.unit}",
            self.reference,
            _number(self.ratio),
            f"{_number(min(self.ratios))} to {_number(max(self.ratios))}",
            "" if self.aim is None else f"≥ {self.aim:g}",
        )


def alternately(
    ours: Callable[[], T], reference: Callable[[], T], rounds: int
) -> list[tuple[T, T]]:
    """Return the figures of both, round by round, after a round that does not count."""
    ours(), reference()
    return [(ours(), reference()) for _ in range(rounds)]


def print_table(comparisons: Sequence[Comparison]) -> None:
    table = Table(*HEADINGS)
    for comparison in comparisons:
        table.add_row(*comparison.cells)
    Console(width=150).print(table)


def updated_table(table: str, comparisons: Sequence[Comparison], day: date) -> str:
    """Return a Markdown table with these comparisons instead of the same ones of earlier runs."""
    lines = [f"| {' | '.join((*HEADINGS, 'measured'))} |", "|---" * (len(HEADINGS) + 1) + "|"]
    rows = {_key(line): line for line in table.splitlines() if line.startswith("| ")}
    rows.pop(_key(lines[0]), None)
    for comparison in comparisons:
        measured = f"{day}, {_rounds(len(comparison.pairs))}"
        line = f"| {' | '.join((*comparison.cells, measured))} |"
        rows[_key(line)] = line
    return "\n".join([*lines, *rows.values()]) + "\n"


def _rounds(number: int) -> str:
    return "1 round" if number == 1 else f"{number} rounds"


def _key(row: str) -> tuple[str, ...]:
    """Return what distinguishes a row: what was measured, on which database, beside what."""
    cells = row.split(" | ")
    return (cells[0], cells[1], cells[HEADINGS.index("which is")])


def _number(value: float) -> str:
    """Return a number as people read it: two decimals below 10, none from 100 on."""
    return f"{value:,.{2 if value < 10 else 1 if value < 100 else 0}f}"
