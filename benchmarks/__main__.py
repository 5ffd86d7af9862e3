"""`python -m benchmarks`: all that measure speed; `python -m benchmarks NAME [ARGUMENT…]`: one."""

from __future__ import annotations

import importlib
import pkgutil
from argparse import ArgumentParser, Namespace

import benchmarks

NOT_BENCHMARKS = {"__main__", "support", "mixed_load"}
NOT_OF_SPEED = {"real_catalogue", "sales_storm", "memory"}  # and they take too long


def names() -> list[str]:
    found = {module.name for module in pkgutil.iter_modules(benchmarks.__path__)}
    return sorted(found - NOT_BENCHMARKS)


def asked_for() -> Namespace:
    parser = ArgumentParser(
        prog="python -m benchmarks",
        description="Measure what must be fast, side by side: all of it, or the one that is named.",
    )
    parser.add_argument("name", nargs="?", choices=names())
    parser.add_argument(
        "argument", nargs="*", help="its sizes: the first lines of benchmarks/NAME.py tell them"
    )
    return parser.parse_args()


def run(name: str, *arguments: str) -> None:
    module = importlib.import_module(f"benchmarks.{name}")
    print(f"\n== {name}: {module.__doc__.strip().splitlines()[0]}", flush=True)
    module.main(*arguments)


if __name__ == "__main__":
    asked = asked_for()
    if asked.name is not None:
        run(asked.name, *asked.argument)
    else:
        for each in names():
            if each not in NOT_OF_SPEED:
                run(each)
