"""`python -m benchmarks`: all that measure speed; `python -m benchmarks NAME [ARGUMENT…]`: one."""

from __future__ import annotations

import importlib
import pkgutil
import sys

import benchmarks

NOT_BENCHMARKS = {
    *("__main__", "support", "mixed_load"),
    *("real_catalogue", "sales_storm", "memory"),  # they take too long
}


def names() -> list[str]:
    found = {module.name for module in pkgutil.iter_modules(benchmarks.__path__)}
    return sorted(found - NOT_BENCHMARKS)


def run(name: str, *arguments: str) -> None:
    module = importlib.import_module(f"benchmarks.{name}")
    print(f"\n== {name}: {module.__doc__.strip().splitlines()[0]}", flush=True)
    module.main(*arguments)


if __name__ == "__main__":
    if len(sys.argv) > 1:
        run(*sys.argv[1:])
    else:
        for each in names():
            run(each)
