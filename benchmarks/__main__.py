"""`python -m benchmarks`: compare Automart with plain references, or run one benchmark.

All comparisons: `python -m benchmarks [--short]`. The full form writes the table of
`benchmarks/README.md`. One of them, or another benchmark: `python -m benchmarks NAME [ARGUMENT…]`.
"""

from __future__ import annotations

import importlib
import pkgutil
import sys
from argparse import ArgumentParser, Namespace
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

import benchmarks
from benchmarks.comparison import FULL, SHORT, Comparison, Size, as_markdown, print_table

COMPARISONS = ("lists", "writes", "jobs_rate", "sync_rate")
NOT_BENCHMARKS = {"__main__", "comparison", "mixed_load", "plain_service", "support"}
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
    after = rest.partition(END)[2]
    table = f"{as_markdown(comparisons)}\n\nMeasured on {datetime.now(UTC):%Y-%m-%d}.\n"
    README.write_text(before + BEGIN + table + END + after)


def main() -> None:
    chosen = arguments()
    size = SHORT if chosen.short else FULL
    if chosen.name is None or chosen.name in COMPARISONS:
        comparisons = compare(COMPARISONS if chosen.name is None else [chosen.name], size)
        print_table(comparisons)
        if chosen.name is None and not chosen.short:
            write_table(comparisons)
        sys.exit(not all(comparison.reaches_aim for comparison in comparisons))
    importlib.import_module(f"benchmarks.{chosen.name}").main(*chosen.argument)


if __name__ == "__main__":
    main()
