"""`python -m benchmarks`: compare Automart with plain references, or run one benchmark.

All comparisons: `python -m benchmarks [--short]`. The full form writes the table of
`benchmarks/README.md`. One of them, or another benchmark: `python -m benchmarks NAME [ARGUMENT…]`;
with `--write` one comparison updates its rows of the table. Comparisons and the soak can run on one
`--database` only.
"""

from __future__ import annotations

import dataclasses
import importlib
import pkgutil
import sys
from argparse import ArgumentParser, Namespace
from collections.abc import Sequence
from datetime import UTC, datetime
from inspect import signature
from pathlib import Path

import benchmarks
from benchmarks.comparison import FULL, SHORT, Comparison, Size, print_table, updated_table

COMPARISONS = ("request_rate", "crowd", "lists", "writes", "jobs_rate", "sync_rate")
NOT_BENCHMARKS = {"__main__", "comparison", "load", "mixed_load", "references", "support"}
DATABASES = ("SQLite", "PostgreSQL")
README = Path(__file__).parent / "README.md"
BEGIN, END = "<!-- table: begin -->\n", "<!-- table: end -->\n"


def names() -> list[str]:
    found = {module.name for module in pkgutil.iter_modules(benchmarks.__path__)}
    return sorted(found - NOT_BENCHMARKS)


def arguments() -> Namespace:
    parser = ArgumentParser(
        prog="python -m benchmarks",
        description="Compare Automart with plain references, or run one benchmark.",
    )
    parser.add_argument("--short", action="store_true", help="measure little, in three minutes")
    parser.add_argument("--write", action="store_true", help="update the table of README.md")
    parser.add_argument("--rounds", type=int, help="measure each side so many times")
    parser.add_argument("--database", choices=DATABASES, help="measure on this one only")
    parser.add_argument("name", nargs="?", choices=names())
    parser.add_argument("argument", nargs="*", help="see the first lines of benchmarks/NAME.py")
    return parser.parse_args()


def compare(chosen: Sequence[str], size: Size) -> list[Comparison]:
    """Run comparisons, and print each result as soon as it is there."""
    found = []
    for name in chosen:
        module = importlib.import_module(f"benchmarks.{name}")
        print(f"\n== {name}: {module.__doc__.strip().splitlines()[0]}", flush=True)
        for comparison in module.compare(size):
            print(*comparison.cells, sep="  ", flush=True)
            found.append(comparison)
    return found


def write_table(comparisons: Sequence[Comparison]) -> None:
    before, _, rest = README.read_text().partition(BEGIN)
    table, _, after = rest.partition(END)
    table = updated_table(table, comparisons, datetime.now(UTC).date())
    README.write_text(before + BEGIN + table + END + after)


def size_of(chosen: Namespace) -> Size:
    size = dataclasses.replace(SHORT if chosen.short else FULL, database=chosen.database)
    return dataclasses.replace(size, rounds=chosen.rounds) if chosen.rounds else size


def main() -> None:
    chosen = arguments()
    if chosen.name is None or chosen.name in COMPARISONS:
        size = size_of(chosen)
        comparisons = compare(COMPARISONS if chosen.name is None else [chosen.name], size)
        print_table(comparisons)
        if chosen.write or (chosen.name is None and not chosen.short):
            write_table(comparisons)
        sys.exit(not all(comparison.reaches_aim for comparison in comparisons))
    run = importlib.import_module(f"benchmarks.{chosen.name}").main
    options = {"database": chosen.database} if chosen.database else {}
    if not options.keys() <= signature(run).parameters.keys():
        sys.exit(f"{chosen.name} has no --database.")
    run(*chosen.argument, **options)


if __name__ == "__main__":
    main()
