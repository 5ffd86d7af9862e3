"""The last lines of a run: results by database, reasons for skips, and the coverage."""

from __future__ import annotations

from collections import Counter

import pytest

NAMES = {"sqlite": "SQLite", "postgresql": "PostgreSQL", "": "no database"}


class Report:
    def __init__(self, config: pytest.Config) -> None:
        self._config = config
        self._counts: dict[str, Counter[str]] = {name: Counter() for name in NAMES}
        self._reasons: Counter[str] = Counter()

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        if report.when == "call" or report.outcome != "passed":
            self._counts[_database_of(report.nodeid)][report.outcome] += 1
        if report.skipped and isinstance(report.longrepr, tuple):
            self._reasons[report.longrepr[2].removeprefix("Skipped: ")] += 1

    @pytest.hookimpl(trylast=True)
    def pytest_terminal_summary(self, terminalreporter: pytest.TerminalReporter) -> None:
        terminalreporter.section("what ran on which database")
        for key, name in NAMES.items():
            counts = ", ".join(f"{n} {outcome}" for outcome, n in sorted(self._counts[key].items()))
            terminalreporter.write_line(f"{name}: {counts or 'nothing'}")
        for reason, count in self._reasons.most_common():
            terminalreporter.write_line(f"Skipped, {count} times: {reason}")
        coverage = self._config.pluginmanager.getplugin("_cov")
        if coverage is not None and getattr(coverage, "cov_total", None) is not None:
            terminalreporter.write_line(
                f"Coverage with branches (PostgreSQL's tests left out): {coverage.cov_total:.1f} %"
            )


def _database_of(node_id: str) -> str:
    parameters = node_id.rpartition("[")[2].rstrip("]").split("-") if "[" in node_id else []
    return next((name for name in NAMES if name and name in parameters), "")
