"""What all tests have in common, except for their fixtures (`tests/fixtures.py`)."""

from __future__ import annotations

import atexit
import gc
import os
import signal
import sys

import hypothesis
import pytest

from tests.support.order import in_order
from tests.support.report import Report

# Without compiled modules, each program that a test starts compiles all that it imports, for two
# seconds. Test processes and programs take the setting over from here.
sys.dont_write_bytecode = False
os.environ.pop("PYTHONDONTWRITEBYTECODE", None)

# Each test builds an application: thousands of objects that live until its end. Looking for garbage
# among them after every 700 new ones takes a quarter of the processor's time, and at the end of a
# test process half a second.
gc.set_threshold(100_000, 50, 50)
atexit.register(gc.freeze)


def pytest_collection_finish() -> None:
    """Leave the modules and tests, which stay, out of collections. pytest makes ten at its end."""
    gc.freeze()


# A busy machine is slow, and a run says the same when it is repeated.
hypothesis.settings.register_profile(
    "automart",
    deadline=None,
    derandomize=True,
    suppress_health_check=[hypothesis.HealthCheck.too_slow],
)
# For `make fuzz`: more examples, and others each time.
hypothesis.settings.register_profile(
    "fuzz", hypothesis.settings.get_profile("automart"), derandomize=False, max_examples=5_000
)
# For `make mutation`: mutmut runs tests several times in one process.
hypothesis.settings.register_profile(
    "mutation",
    hypothesis.settings.get_profile("automart"),
    suppress_health_check=list(hypothesis.HealthCheck),
)
hypothesis.settings.load_profile("automart")


# A run in the background of a script starts with Ctrl-C ignored, and so would the programs that
# tests send it to.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--database",
        choices=("sqlite", "postgresql"),
        help="Leave out the tests of the other database.",
    )


def pytest_configure(config: pytest.Config) -> None:
    if not hasattr(config, "workerinput"):
        config.pluginmanager.register(Report(config), "automart-report")
    if not _leaves_tests_to_others(config):
        config.pluginmanager.import_plugin("tests.fixtures")


def _leaves_tests_to_others(config: pytest.Config) -> bool:
    """Return whether other processes run the tests. They start only after this one, which need not
    import the product for that."""
    is_distributed = config.getoption("dist", "no") != "no"  # `pytest -n`. The others have "no".
    # Coverage starts in the others only after they have imported the product.
    measures_imports = config.getoption("cov_source", [])
    return is_distributed and not config.option.collectonly and not measures_imports


@pytest.hookimpl(trylast=True)  # after -m has left out others
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    chosen = config.getoption("--database")
    other = {item for item in items if chosen and database_of(item) not in (None, chosen)}
    if other:
        config.hook.pytest_deselected(items=list(other))
        items[:] = [item for item in items if item not in other]
    if hasattr(config, "workerinput"):
        items[:] = in_order(items)


def database_of(item: pytest.Item) -> str | None:
    """Return the database that a test uses, None if it uses none."""
    callspec = getattr(item, "callspec", None)
    return None if callspec is None else callspec.params.get("database_url")
