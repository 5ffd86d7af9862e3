"""`python -m tests.support.mutation AREA [SAMPLE]`: change the code of an area, and see which tests
notice.

mutmut changes one expression at a time and runs the tests that reach it. A change that no test
notices survives: a test is missing, or the change means the same. Only tests that start no
processes run, on SQLite. mutmut does not change decorated functions.

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
from dataclasses import dataclass
from pathlib import Path
from typing import Any

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

MUTMUT = (str(Path(sys.executable).with_name("mutmut")),)

# What is changed, and the tests that should notice. First the decisions that must not go wrong.
AREAS: dict[str, tuple[list[str], list[str]]] = {
    "addresses": (
        ["jobs/http/public_addresses.py", "jobs/http/transport.py"],
        ["tests/jobs/test_public_addresses.py", "tests/jobs/test_outbound.py"],
    ),
    "authorization": (
        ["automart/web/authorization.py", "automart/oauth/authentication.py"],
        [
            "tests/web/test_authorization.py",
            "tests/web/test_matrix.py",
            "tests/oauth/test_login.py",
            "tests/oauth/test_tokens.py",
            "tests/accounts/test_sessions.py",
            "tests/accounts/test_clients.py",
            "tests/web/test_rate_limits.py",
        ],
    ),
    "bookings": (
        [
            "automart/inventory/service.py",
            "automart/inventory/new_booking.py",
            "automart/inventory/availability.py",
            "automart/inventory/overlaps.py",
        ],
        ["tests/inventory"],
    ),
    "outbox": (
        [
            "automart/background/leases.py",
            "automart/background/maintenance.py",
            "automart/background/queues.py",
            "automart/background/service.py",
        ],
        ["tests/background", "tests/jobs/test_housekeeping.py", "tests/jobs/test_runner.py"],
    ),
    "signing": (
        ["automart/webhooks/signing.py", "automart/core/encryption.py"],
        [
            "tests/webhooks/test_signing.py",
            "tests/webhooks/test_sending.py",
            "tests/partners/test_offices.py",
            "tests/oauth/test_tokens.py",
            "tests/cli/test_accounts.py",
            "tests/test_encryption.py",
        ],
    ),
    "sync": (
        [
            "automart/catalogue/changes.py",
            "automart/catalogue/held_makes.py",
            "automart/catalogue/plan.py",
            "automart/catalogue/sync.py",
            "jobs/catalogue.py",
        ],
        ["tests/catalogue", "tests/cli/test_changes.py", "tests/jobs/test_sync_faults.py"],
    ),
    "tokens": (
        [
            "automart/oauth/tokens.py",
            "automart/oauth/grants.py",
            "automart/oauth/revocation.py",
            "automart/accounts/sessions.py",
        ],
        ["tests/oauth", "tests/accounts/test_sessions.py"],
    ),
    # Whole packages.
    "accounts": (
        ["automart/accounts/*"],
        [
            "tests/accounts",
            "tests/cli/test_accounts.py",
            "tests/oauth/test_login.py",
            "tests/web/test_matrix.py",
        ],
    ),
    "background": (
        ["automart/background/*"],
        [
            "tests/background",
            "tests/jobs/test_csv_imports.py",
            "tests/jobs/test_housekeeping.py",
            "tests/jobs/test_runner.py",
            "tests/catalogue/test_vehicle_syncs.py",
        ],
    ),
    "catalogue": (
        ["automart/catalogue/*"],
        [
            "tests/catalogue",
            "tests/cli/test_changes.py",
            "tests/cli/test_makes.py",
            "tests/cli/test_sync.py",
            "tests/inventory/test_csv.py",
            "tests/jobs/test_housekeeping.py",
            "tests/jobs/test_sync_faults.py",
        ],
    ),
    "cli": (
        ["automart/cli/*"],
        ["tests/cli", "tests/customers/test_csv.py", "tests/inventory/test_csv.py"],
    ),
    "core": (
        ["automart/core/*", "automart/app.py"],
        [
            "tests/core",
            "tests/test_encryption.py",
            "tests/accounts/test_clients.py",
            "tests/catalogue/test_makes.py",
            "tests/cli/test_accounts.py",
            "tests/cli/test_errors.py",
            "tests/cli/test_folder.py",
            "tests/cli/test_notify_test.py",
            "tests/customers/test_csv.py",
            "tests/customers/test_photos.py",
            "tests/inventory/test_csv.py",
            "tests/inventory/test_database.py",
            "tests/notices",
            "tests/oauth/test_tokens.py",
            "tests/operations",
            "tests/purchases",
            "tests/web/test_error_handlers.py",
            "tests/web/test_openapi.py",
            "tests/web/test_rate_limits.py",
            "tests/web/test_reading.py",
            "tests/web/test_urls.py",
            "tests/webhooks/test_signing.py",
        ],
    ),
    "customers": (
        ["automart/customers/*"],
        ["tests/customers", "tests/jobs/test_csv_imports.py"],
    ),
    "inventory": (["automart/inventory/*"], ["tests/inventory"]),
    "jobs": (
        ["jobs/*"],
        [
            "tests/background",
            "tests/catalogue",
            "tests/jobs",
            "tests/notices",
            "tests/purchases",
            "tests/vins",
            "tests/webhooks",
        ],
    ),
    "notices": (["automart/notices/*"], ["tests/notices", "tests/cli/test_notify_test.py"]),
    "oauth": (
        ["automart/oauth/*"],
        [
            "tests/oauth",
            "tests/accounts/test_clients.py",
            "tests/accounts/test_sessions.py",
            "tests/cli/test_accounts.py",
            "tests/cli/test_doctor.py::test_doctor_names_secrets_that_cannot_be_decrypted",
            "tests/web/test_authorization.py",
            "tests/web/test_header_parsers.py",
            "tests/web/test_matrix.py",
        ],
    ),
    "operations": (["automart/operations/*"], ["tests/operations"]),
    "partners": (["automart/partners/*"], ["tests/partners", "tests/purchases"]),
    "production": (["automart/production/*"], ["tests/production"]),
    "purchases": (["automart/purchases/*", "jobs/purchases.py"], ["tests/purchases"]),
    "vins": (["automart/vins/*", "jobs/vins.py"], ["tests/vins"]),
    "web": (
        ["automart/web/*"],
        [
            "tests/web",
            "tests/test_compatibility.py",
            "tests/accounts/test_clients.py",
            "tests/catalogue/test_models.py",
            "tests/core/test_logging.py",
            "tests/customers/test_photos.py",
            "tests/jobs/test_csv_imports.py",
            "tests/operations/test_metrics.py",
            "tests/production/test_factories.py",
        ],
    ),
    "webhooks": (
        ["automart/webhooks/*", "jobs/webhooks.py"],
        [
            "tests/webhooks",
            "tests/cli/test_webhooks.py",
            "tests/jobs/test_runner.py",
            "tests/partners/test_offices.py",
        ],
    ),
}

# Tests that start processes: few, because all of them run with each mutant that survives.
_WORKER = "tests/jobs/test_worker_processes.py"
PROCESS_TESTS = {
    "cli": ["tests/cli/test_up.py"],
    "jobs": [
        f"{_WORKER}::test_a_worker_refuses_a_queue_that_does_not_exist",
        f"{_WORKER}::test_a_worker_for_one_queue_serves_only_that_one",
        f"{_WORKER}::test_the_processes_of_a_worker_end_with_it",
        f"{_WORKER}::TestHanging",
        f"{_WORKER}::test_a_sync_continues_after_a_deployment",
    ],
}
IN_PROCESSES = 30
IN_PROCESS = ", in a process"

PYTEST_OPTIONS = [
    *("-n", "0"),
    *("-p", "no:cacheprovider"),
    *("--database", "sqlite"),
    *("--hypothesis-profile", "mutation"),
    *("-W", "default"),
]


def main() -> int:
    area, *sample = sys.argv[1:] or [""]
    if area not in AREAS:
        print(f"Name an area: {', '.join(AREAS)}.")
        return 2
    folder = ROOT / ".mutation" / area
    _copy(folder, *AREAS[area])
    mutmut = Mutmut(folder, _migrated(folder))
    repeated = ("survived", "no tests", "timeout")
    survivors = {name for name, status in mutmut.results().items() if status in repeated}
    mutmut.generate()
    names = sorted(mutmut.results())
    chosen = names
    if sample:
        chosen = random.Random(1).sample(names, len(names))[: int(sample[0])]
    # Tests may have changed, which mutmut does not look for.
    before = mutmut.results()
    to_run = [name for name in chosen if name in survivors or before[name] == "not checked"]
    status = mutmut.run(*to_run) if to_run else 0
    # mutmut forgets its results when the settings have changed, for example the list of tests.
    results = mutmut.results()
    forgotten = [name for name in chosen if results[name] == "not checked"]
    if forgotten and status == 0:
        status = mutmut.run(*forgotten)
    results = mutmut.results()
    of_chosen = {name: results[name] for name in chosen}
    if area in PROCESS_TESTS:
        of_chosen |= _in_processes(mutmut, PROCESS_TESTS[area], of_chosen)
    stop_abandoned()  # killed mutants could not stop them
    _report(of_chosen, of=len(names))
    return status


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
    """The command, in the copy of the project."""

    folder: Path
    template: Path

    def generate(self) -> None:
        """Write the mutants."""
        self._call(sys.executable, "-c", GENERATE, stdout=subprocess.DEVNULL).check_returncode()

    def run(self, *mutants: str) -> int:
        """Run the tests of the mutants. Return the status."""
        return self._call(*MUTMUT, "run", "--max-children", "2", *mutants).returncode

    def failure_in_processes(self, tests: Sequence[str], mutant: str, limit: float) -> str | None:
        """Run tests that start processes. Return how they noticed the mutant, None if not."""
        command = [sys.executable, "-m", "pytest", *PYTEST_OPTIONS, "-x", "-m", "processes", *tests]
        pytest = subprocess.Popen(
            command,
            cwd=self.folder / "mutants",
            env={**os.environ, "SQLITE_TEMPLATE": str(self.template), "MUTANT_UNDER_TEST": mutant},
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
        # Each mutant is a run of its own, which would spend most of its time on the migrations.
        environment = {**os.environ, "SQLITE_TEMPLATE": str(self.template)}
        return subprocess.run(command, cwd=self.folder, env=environment, text=True, **options)


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


def _migrated(folder: Path) -> Path:
    """Return a migrated, empty SQLite database."""
    path = folder / "template.sqlite"
    path.unlink(missing_ok=True)
    migrate(f"sqlite:///{path}", folder)
    return path


def _copy(folder: Path, changed: list[str], tests: list[str]) -> None:
    """Bring the copy of the project up to date, with the settings of mutmut for this area."""
    folder.mkdir(parents=True, exist_ok=True)
    for name in COPIED:
        shutil.rmtree(folder / name, ignore_errors=True)
        shutil.copytree(ROOT / name, folder / name, ignore=shutil.ignore_patterns("__pycache__"))
    for name in FILES:
        shutil.copy(ROOT / name, folder / name)
    options = [*PYTEST_OPTIONS, "-p", "tests.support.forked_tests", "-m", "not processes"]
    options += ["--deselect", LISTS_FUNCTIONS]
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
