"""The README's tour and docs/tour.md, pasted into one shell beside a running Automart."""

from __future__ import annotations

import re
import shutil
import signal
import sys
from pathlib import Path

import pytest

from tests.support import documents
from tests.support.documents import Step
from tests.support.ports import free_port
from tests.support.programs import ROOT, Program, automart, clean_environment

pytestmark = [pytest.mark.processes, pytest.mark.seconds(30)]

NHTSA = "https://vpic.nhtsa.dot.gov/api"
PROCESS_LINE = re.compile(r"^(web|worker|sandbox|redis) +│|^\d{4}-\d\d-\d\dT")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder that looks like a checkout after `make run` has installed it."""
    if shutil.which("curl") is None:
        pytest.skip("curl is not installed.")
    folder = tmp_path / "automart"
    folder.mkdir()
    (folder / ".venv").symlink_to(sys.prefix)
    return folder


def test_the_tour_prints_what_the_documents_show(folder: Path, tmp_path: Path) -> None:
    start, *tour = documents.steps(ROOT / "README.md")
    tour += documents.steps(ROOT / "docs" / "tour.md")
    assert start.command == "make run"
    unreachable = f"http://127.0.0.1:{free_port()}/api"
    stand_ins = {":8000": f":{free_port()}", "8002": str(free_port()), NHTSA: unreachable}
    # The tour restarts Automart with the setting for webhooks; here it is set from the start.
    env = {"NHTSA_URL": unreachable, "WEBHOOK_ALLOW_PRIVATE": "1", "WEB_CONCURRENCY": "1"}
    with automart("up", "--sync", "--port", stand_ins[":8000"][1:], folder=folder, env=env) as up:
        up.wait_for("keeps running")
        stand_ins[":8100"] = f":{port_of_sandbox(up)}"
        assert_shown(start, up, stand_ins)
        with documents.shell(folder, tmp_path, clean_environment()) as shell:
            documents.run(tour, shell, stand_ins)
        assert up.end(signal.SIGINT) == 0


def port_of_sandbox(up: Program) -> str:
    (port,) = re.findall(
        r"^The sandbox listens on http://127\.0\.0\.1:(\d+)$", up.output, re.MULTILINE
    )
    return str(port)


def assert_shown(start: Step, up: Program, stand_ins: dict[str, str]) -> None:
    lines = [line for line in up.output.splitlines() if not PROCESS_LINE.match(line)]
    printed = documents.replaced("\n".join(lines), {new: old for old, new in stand_ins.items()})
    assert documents.is_shown(start.output, printed), printed
