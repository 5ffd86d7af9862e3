"""Ctrl-C during the imports of a program."""

from __future__ import annotations

import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.limits import LIMIT
from tests.support.programs import clean_environment

pytestmark = pytest.mark.processes

# The first import prints that the interpreter has started, and then hangs.
SLOW_IMPORT = "print('importing', flush=True)\nimport time\ntime.sleep(600)\n"


@pytest.mark.parametrize(
    ("slow", "command"),
    [
        ("typer", ["-m", "automart"]),
        ("flask", ["-m", "automart", "users", "list"]),
        ("typer", ["worker.py"]),
        ("typer", ["-m", "sandbox"]),
    ],
)
def test_ctrl_c_while_a_program_is_imported_ends_it_without_a_traceback(
    tmp_path: Path, slow: str, command: list[str]
) -> None:
    (tmp_path / f"{slow}.py").write_text(SLOW_IMPORT)
    env = clean_environment()
    root = Path(env["PYTHONPATH"])
    env["PYTHONPATH"] = f"{tmp_path}:{root}"
    program = [str(root / part) if part.endswith(".py") else part for part in command]
    process = subprocess.Popen(
        [sys.executable, *program],
        cwd=tmp_path,
        env=env,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    assert process.stdout is not None
    with process.stdout:
        assert process.stdout.readline() == "importing\n"
        process.send_signal(signal.SIGINT)
        assert process.stdout.read() == ""
    assert process.wait(LIMIT) == -signal.SIGINT
