"""`python -m tests.support.audit`: does a known hole gape in a package that is deployed?

Exits with 1 if so. Where no list of holes can be reached, that is said, and nothing is wrong.
"""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

REQUIREMENTS = Path(__file__).parent.parent.parent / "requirements" / "base.txt"
COMMAND = ("-m", "pip_audit", "--disable-pip", "--progress-spinner", "off", "--format", "json")
ANSWER_SECONDS = 5
# One question for each package, most of them answered from a cache.
TIMEOUT_SECONDS = 90
# Its message if the index does not respond. Some errors it leaves to Python.
OF_NETWORK = re.compile(r"vulnerability feed|not redirecting properly|requests\.exceptions\.\w+:")


class Unreachable(Exception):
    """The list of known holes cannot be read from here."""


def read_holes(requirements: Path) -> list[str]:
    """The known holes of the pinned packages, each in a line. Raises `Unreachable`."""
    command = [sys.executable, *COMMAND, "--timeout", str(ANSWER_SECONDS), "-r", str(requirements)]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=TIMEOUT_SECONDS)
    except subprocess.TimeoutExpired:
        raise Unreachable("no answer in time") from None
    return holes_in(packages_in(done.stdout, done.stderr))


def packages_in(answer: str, errors: str) -> list[dict[str, Any]]:
    """What pip-audit has to say. Raises `Unreachable` only if the network was to blame."""
    if answer.strip():
        packages: list[dict[str, Any]] = json.loads(answer)["dependencies"]
        return packages
    if OF_NETWORK.search(errors):
        raise Unreachable(errors.strip().splitlines()[-1])
    raise RuntimeError(f"pip-audit failed: {errors}")


def holes_in(packages: list[dict[str, Any]]) -> list[str]:
    """What pip-audit found. Raises `Unreachable` if it knew none of the packages."""
    if not any("vulns" in package for package in packages):
        raise Unreachable("it knows none of the packages")
    return [
        f"{package['name']} {package['version']}: {hole['id']}, "
        f"mended in {', '.join(hole['fix_versions']) or 'no version yet'}"
        for package in packages
        for hole in package.get("vulns", ())
    ]


def main() -> int:
    try:
        holes = read_holes(REQUIREMENTS)
    except Unreachable as reason:
        print(f"Packages not audited: the list of known holes cannot be reached ({reason}).")
        return 0
    for hole in holes:
        print(hole)
    return 1 if holes else 0


if __name__ == "__main__":
    sys.exit(main())
