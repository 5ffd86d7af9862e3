"""`python -m benchmarks`: run all that measure speed; `… NAME [ARGUMENT…]`: run one."""

from __future__ import annotations

import importlib
import pkgutil
from argparse import ArgumentParser, Namespace

import benchmarks

NOT_BENCHMARKS = {"__main__", "support", "mixed_load"}
ON_REQUEST = {"real_catalogue", "sales_storm", "soak"}  # slow, and do not measure speed


def names() -> list[str]:
    found = {module.name for module in pkgutil.iter_modules(benchmarks.__path__)}
    return sorted(found - NOT_BENCHMARKS)


def arguments() -> Namespace:
    parser = ArgumentParser(
        prog="python -m benchmarks",
        description="Run one benchmark, or all that measure speed.",
    )
    parser.add_argument("name", nargs="?", choices=names())
    parser.add_argument("argument", nargs="*", help="see the first lines of benchmarks/NAME.py")
    return parser.parse_args()


def run(name: str, *arguments: str) -> None:
    module = importlib.import_module(f"benchmarks.{name}")
    print(f"\n== {name}: {module.__doc__.strip().splitlines()[0]}", flush=True)
    module.main(*arguments)


if __name__ == "__main__":
    chosen = arguments()
    if chosen.name is not None:
        run(chosen.name, *chosen.argument)
    else:
        for each in names():
            if each not in ON_REQUEST:
                run(each)
