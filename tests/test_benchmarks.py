"""The benchmarks, which nothing else imports."""

from __future__ import annotations

import importlib
import pkgutil

import pytest

import benchmarks

MODULES = [module.name for module in pkgutil.iter_modules(benchmarks.__path__, "benchmarks.")]


@pytest.mark.parametrize("module", sorted(set(MODULES) - {"benchmarks.__main__"}))
def test_it_can_be_imported(module: str) -> None:
    assert importlib.import_module(module).__doc__
