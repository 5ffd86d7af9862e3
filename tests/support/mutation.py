"""`python -m tests.support.mutation AREA [SAMPLE]`: change the code of an area, and see which tests
notice.

mutmut changes one expression at a time and runs the tests that reach it. A change that no test
notices survives: a test is missing, or the change means the same. Only tests that start no
processes run, on SQLite, and with what survives once more on PostgreSQL, if it is installed. mutmut
does not change decorated functions.

Some code runs only in processes that tests start. For the areas in PROCESS_TESTS, such tests then
run with mutants that no other test reaches: with up to IN_PROCESSES of them, because each takes
about a minute.

The copy in `.mutation/AREA` keeps the results: another run repeats only what has changed since.

With SAMPLE, only that many mutants run. They are drawn at random, the same ones each time as long
as the code of the area stays the same; the score is then that of the sample.
"""

from __future__ import annotations

import contextlib
import os
import random
import re
import shutil
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.support import postgresql
from tests.support.mutated_areas import AREAS, PROCESS_TESTS
from tests.support.redis_server import stop_abandoned
from tests.support.setup import migrate

ROOT = Path(__file__).parent.parent.parent
COPIED = ("automart", "jobs", "sandbox", "tests", "migrations", "docs", "deploy", "stubs")
# `mutmut run` without the running: it has no command that only writes the mutants.
GENERATE = """
from mutmut import __main__ as mutmut

if __name__ == "__main__":
    mutmut.set_mutant_under_test("mutant_generation")
    mutmut.copy_src_dir()
    mutmut.copy_also_copy_files()
    mutmut.setup_source_paths()
    mutmut.create_mutants(2)
"""
FILES = ("pyproject.toml", "gunicorn.conf.py", "wsgi.py", "worker.py")

# It would find the mutants among the functions of a module.
LISTS_FUNCTIONS = "tests/jobs/test_housekeeping.py::test_every_function_of_maintenance_is_a_task"
# A mutant that is killed during them would leave the server of all others stopped.
STOPS_POSTGRESQL = "tests/operations/test_outages.py::TestHungPostgresql"

MUTMUT = (str(Path(sys.executable).with_name("mutmut")),)

IN_PROCESSES = 30
IN_PROCESS = ", in a process"
ON_POSTGRESQL = ", on PostgreSQL"
NOT_NOTICED = ("survived", "no tests", "timeout")

PYTEST_OPTIONS = [
    *("-n", "0"),
    *("-p", "no:cacheprovider"),
    *("--hypothesis-profile", "mutation"),
    *("-W", "default"),
]
# Tests that use no database have run with SQLite's.
DATABASES = {"sqlite": ["--database", "sqlite"], "postgresql": ["-k", "postgresql"]}


def main() -> int:
    area, *sample = sys.argv[1:] or [""]
    if area not in AREAS:
        print(f"Name an area: {', '.join(AREAS)}.")
        return 2
    mutmut = Mutmut.prepare(ROOT / ".mutation" / area, area, "sqlite")
    # Each mutant is a run of its own, which would spend most of its time on the migrations.
    template = mutmut.folder / "template.sqlite"
    template.unlink(missing_ok=True)
    migrate(f"sqlite:///{template}", mutmut.folder)
    mutmut.environment["SQLITE_TEMPLATE"] = str(template)
    names = sorted(mutmut.results())
    chosen = names
    if sample:
        chosen = random.Random(1).sample(names, len(names))[: int(sample[0])]
    status = mutmut.run(chosen)
    results = mutmut.results()
    of_chosen = {name: results[name] for name in chosen}
    if area in PROCESS_TESTS:
        of_chosen |= _in_processes(mutmut, PROCESS_TESTS[area], of_chosen)
    if status == 0:
        of_chosen |= _on_postgresql(area, of_chosen)
    stop_abandoned()  # killed mutants could not stop them
    _report(of_chosen, of=len(names))
    return status


def _on_postgresql(area: str, results: Mapping[str, str]) -> dict[str, str]:
    """Return the status of mutants that tests on PostgreSQL notice, of those that others do not."""
    survivors = [name for name, status in results.items() if status in NOT_NOTICED]
    if not survivors:
        return {}
    mutmut = Mutmut.prepare(ROOT / ".mutation" / f"{area}-postgresql", area, "postgresql")
    try:
        with postgresql.server() as server:
            template = postgresql.create_database(server)
            migrate(template.render_as_string(hide_password=False), mutmut.folder)
            mutmut.environment["TEST_DATABASE_URL"] = server.render_as_string(hide_password=False)
            mutmut.environment["POSTGRESQL_TEMPLATE"] = str(template.database)
            mutmut.run(survivors)
            postgresql.drop_database(server, template)
    except postgresql.Unavailable as reason:
        print(f"Not tried on PostgreSQL: {reason}.")
        return {}
    found = mutmut.results()
    return {name: found[name] + ON_POSTGRESQL for name in survivors if found[name] == "killed"}


def _in_processes(
    mutmut: Mutmut, tests: Sequence[str], results: Mapping[str, str]
) -> dict[str, str]:
    """Return the status of mutants without tests, by tests that start processes."""
    names = sorted(name for name, status in results.items() if status == "no tests")
    names = random.Random(1).sample(names, min(IN_PROCESSES, len(names)))
    started = time.monotonic()
    if not names:
        return {}
    if mutmut.failure_in_processes(tests, "", 600.0) is not None:
        print(f"Without a change, {' '.join(tests)} failed.")
        return {}
    limit = 8.0 + 2 * (time.monotonic() - started)
    found: dict[str, str] = {}
    for name in names:
        found[name] = (mutmut.failure_in_processes(tests, name, limit) or "survived") + IN_PROCESS
        print(f"{len(found)} of {len(names)}: {name}: {found[name]}", flush=True)
    return found


@dataclass(frozen=True)
class Mutmut:
    """The command, in a copy of the project."""

    folder: Path
    unclear: frozenset[str]
    """Mutants that an earlier run did not notice: tests may have changed since."""
    environment: dict[str, str] = field(default_factory=lambda: dict(os.environ))

    @classmethod
    def prepare(cls, folder: Path, area: str, database: str) -> Mutmut:
        """Bring the copy up to date and write the mutants."""
        _copy(folder, *AREAS[area], DATABASES[database])
        earlier = cls(folder, frozenset()).results()
        unclear = frozenset(name for name, status in earlier.items() if status in NOT_NOTICED)
        mutmut = cls(folder, unclear)
        mutmut._call(sys.executable, "-c", GENERATE, stdout=subprocess.DEVNULL).check_returncode()
        return mutmut

    def run(self, chosen: Sequence[str]) -> int:
        """Run the tests of mutants, unless their result is known. Return the status."""
        known = self.results()
        to_run = [name for name in chosen if name in self.unclear or known[name] == "not checked"]
        status = self._run(*to_run) if to_run else 0
        # mutmut forgets its results when the settings have changed, for example the list of tests.
        known = self.results()
        forgotten = [name for name in chosen if known[name] == "not checked"]
        return self._run(*forgotten) if forgotten and status == 0 else status

    def _run(self, *mutants: str) -> int:
        return self._call(*MUTMUT, "run", "--max-children", "2", *mutants).returncode

    def failure_in_processes(self, tests: Sequence[str], mutant: str, limit: float) -> str | None:
        """Run tests that start processes. Return how they noticed the mutant, None if not."""
        chosen = [*PYTEST_OPTIONS, *DATABASES["sqlite"], "-x", "-m", "processes"]
        command = [sys.executable, "-m", "pytest", *chosen, *tests]
        pytest = subprocess.Popen(
            command,
            cwd=self.folder / "mutants",
            env={**self.environment, "MUTANT_UNDER_TEST": mutant},
            stdout=subprocess.DEVNULL,
            start_new_session=True,
        )
        try:
            return "killed" if pytest.wait(limit) else None
        except subprocess.TimeoutExpired:
            return "timeout"
        finally:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(pytest.pid, signal.SIGKILL)
            pytest.wait()

    def results(self) -> dict[str, str]:
        """Return the status of each mutant."""
        printed = self._call(*MUTMUT, "results", "--all", "True", capture_output=True).stdout
        return dict(re.findall(r"(\S+): (.+)", printed))

    def _call(self, *command: str, **options: Any) -> subprocess.CompletedProcess[str]:
        return subprocess.run(command, cwd=self.folder, env=self.environment, text=True, **options)


def _report(results: Mapping[str, str], *, of: int) -> None:
    """Print the mutants that were not noticed, and the share of the others."""
    for name, status in results.items():
        if not status.startswith("killed"):
            print(f"  {name}: {status}")
    counts = Counter(results.values())
    print(", ".join(f"{status}: {count}" for status, count in sorted(counts.items())))
    noticed = sum(status.startswith(("killed", "timeout")) for status in results.values())
    measured = len(results) - counts["no tests"]
    print(f"{len(results)} of {of} mutants, {noticed / max(len(results), 1):.1%} noticed")
    print(f"{measured} of them ran, {noticed / max(measured, 1):.1%} noticed")


def _copy(folder: Path, changed: list[str], tests: list[str], database: list[str]) -> None:
    """Bring the copy of the project up to date, with the settings of mutmut for this area."""
    folder.mkdir(parents=True, exist_ok=True)
    for name in COPIED:
        shutil.rmtree(folder / name, ignore_errors=True)
        shutil.copytree(ROOT / name, folder / name, ignore=shutil.ignore_patterns("__pycache__"))
    for name in FILES:
        shutil.copy(ROOT / name, folder / name)
    options = [*PYTEST_OPTIONS, *database]
    options += ["-p", "tests.support.forked_tests", "-m", "not processes"]
    options += ["--deselect", LISTS_FUNCTIONS, "--deselect", STOPS_POSTGRESQL]
    with (folder / "pyproject.toml").open("a", encoding="utf-8") as settings:
        settings.write(
            f"""
[tool.mutmut]
source_paths = ["automart", "jobs"]
only_mutate = {changed}
# Its function runs when it is imported, before mutmut chooses a mutant.
do_not_mutate = ["automart/background/schemas.py"]
# SQLAlchemy looks at its parameters, which mutmut hides.
do_not_mutate_patterns = ["def time_of_creation", "context.get_current_parameters"]
also_copy = {list(COPIED[2:] + FILES)}
pytest_add_cli_args = {options}
timeout_constant = 8.0
timeout_multiplier = 3.0
pytest_add_cli_args_test_selection = {tests}
"""
        )


if __name__ == "__main__":
    sys.exit(main())
