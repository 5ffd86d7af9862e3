"""The last lines of a test run."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.programs import ROOT

TESTS = """
import pytest

pytestmark = pytest.mark.processes

@pytest.mark.parametrize("database", ["sqlite", "postgresql"])
def test_on_both(database):
    if database == "postgresql":
        pytest.skip("There is no server.")

@pytest.mark.skip(reason="There is no server.")
def test_without_database():
    pass

def test_that_passes():
    pass
"""
PLUGIN = """
from tests.support.report import Report

def pytest_configure(config):
    config.pluginmanager.register(Report(config))
"""


@pytest.mark.processes
def test_the_last_lines_count_by_database_and_give_reasons_for_skips(tmp_path: Path) -> None:
    (tmp_path / "test_it.py").write_text(TESTS)
    (tmp_path / "conftest.py").write_text(PLUGIN)
    command = [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", "--rootdir", tmp_path]
    run = subprocess.run(
        [*command, tmp_path],
        cwd=tmp_path,
        env={"PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
    )
    lines = run.stdout.partition("what ran on which database")[2].splitlines()[1:-1]
    assert [line for line in lines if line] == [
        "SQLite: 1 passed",
        "PostgreSQL: 1 skipped",
        "no database: 1 passed, 1 skipped",
        "Skipped, 2 times: There is no server.",
    ]
