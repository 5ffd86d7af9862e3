"""`python -m tests.support.mutation AREA`: change the code of an area, and see which tests notice.

mutmut changes one expression at a time and runs the tests that reach it. A change that no test
notices survives: a test is missing, or the change means the same. Only tests that start no
processes run, on SQLite. mutmut does not change decorated functions.

The copy in `.mutation/AREA` keeps the results: another run repeats only what has changed since.
"""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parent.parent.parent
COPIED = ("automart", "jobs", "sandbox", "tests", "migrations", "docs", "deploy", "stubs")
FILES = ("pyproject.toml", "gunicorn.conf.py", "wsgi.py", "worker.py")

# What is changed, and the tests that should notice.
AREAS: dict[str, tuple[list[str], list[str]]] = {
    "addresses": (
        ["jobs/http/public_addresses.py"],
        ["tests/jobs/test_public_addresses.py", "tests/jobs/test_outbound.py"],
    ),
    "authorization": (
        ["automart/web/authorization.py"],
        ["tests/web/test_authorization.py", "tests/web/test_matrix.py"],
    ),
    "bookings": (
        ["automart/inventory/service.py", "automart/inventory/availability.py"],
        ["tests/inventory"],
    ),
    "outbox": (
        ["automart/background/*.py"],
        ["tests/background", "tests/jobs/test_housekeeping.py", "tests/jobs/test_runner.py"],
    ),
    "signing": (
        ["automart/webhooks/signing.py"],
        ["tests/webhooks", "tests/test_encryption.py"],
    ),
    "sync": (["automart/catalogue/sync.py"], ["tests/catalogue"]),
    "text": (["automart/core/text.py"], ["tests/core/test_text.py", "tests/web/test_reading.py"]),
    "tokens": (["automart/oauth/tokens.py"], ["tests/oauth"]),
    "vins": (["automart/vins/decoding.py", "automart/vins/check_digit.py"], ["tests/vins"]),
}


def main() -> int:
    area = sys.argv[1] if len(sys.argv) > 1 else ""
    if area not in AREAS:
        print(f"Name an area: {', '.join(AREAS)}.")
        return 2
    folder = ROOT / ".mutation" / area
    _copy(folder, *AREAS[area])
    mutmut = [str(Path(sys.executable).with_name("mutmut"))]
    before = subprocess.run([*mutmut, "results"], cwd=folder, capture_output=True, text=True)
    survivors = re.findall(r"(\S+): survived", before.stdout)
    run = subprocess.run([*mutmut, "run", "--max-children", "2"], cwd=folder)
    if survivors:  # tests may have changed, which mutmut does not look for
        subprocess.run([*mutmut, "run", "--max-children", "2", *survivors], cwd=folder)
    subprocess.run([*mutmut, "results"], cwd=folder)
    return run.returncode


def _copy(folder: Path, changed: list[str], tests: list[str]) -> None:
    """Bring the copy of the project up to date, with the settings of mutmut for this area."""
    folder.mkdir(parents=True, exist_ok=True)
    for name in COPIED:
        shutil.rmtree(folder / name, ignore_errors=True)
        shutil.copytree(ROOT / name, folder / name, ignore=shutil.ignore_patterns("__pycache__"))
    for name in FILES:
        shutil.copy(ROOT / name, folder / name)
    options = [
        "-n",
        "0",
        "-p",
        "no:cacheprovider",
        "--database",
        "sqlite",
        "--hypothesis-profile",
        "mutation",
    ]
    options += ["-m", "not processes", "-W", "default"]
    with (folder / "pyproject.toml").open("a", encoding="utf-8") as settings:
        settings.write(
            f"""
[tool.mutmut]
source_paths = ["automart", "jobs"]
only_mutate = {changed}
also_copy = {list(COPIED[2:] + FILES)}
pytest_add_cli_args = {options}
pytest_add_cli_args_test_selection = {tests}
"""
        )


if __name__ == "__main__":
    sys.exit(main())
