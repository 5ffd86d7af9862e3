"""Commands whose input or output is closed, full, cut off, or in another encoding."""

from __future__ import annotations

import json
import os
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from flask import Flask

from automart.accounts.models import Client
from automart.core.config import Settings
from automart.core.db import db
from tests.support import people
from tests.support.databases import on_sqlite
from tests.support.limits import LIMIT

pytestmark = [
    on_sqlite,
    pytest.mark.processes,
    pytest.mark.skipif(shutil.which("bash") is None, reason="This system has no bash."),
]
CODE = "from automart.__main__ import main; main()"
AUTOMART = shlex.join([sys.executable, "-c", CODE])


class Shell:
    """Runs command lines in which `automart` is the command."""

    def __init__(self, settings: Settings, folder: Path) -> None:
        self._folder = folder
        self._environment = {
            "DATABASE_URL": settings.database_url,
            "SECRET_KEY": settings.secret_key,
            "LC_ALL": "C.UTF-8",
            "PATH": os.environ["PATH"],
        }

    def __call__(
        self, command: str, given: bytes = b"", **environment: str
    ) -> tuple[int, str, str]:
        """Return the status, the output and the errors. Other than UTF-8 is an error."""
        script = f'automart() {{ {AUTOMART} "$@"; }}; set -o pipefail; {command}'
        done = subprocess.run(
            ["bash", "-c", script],
            input=given,
            capture_output=True,
            cwd=self._folder,
            env=self._environment | environment,
            timeout=LIMIT,
        )
        return done.returncode, done.stdout.decode(), done.stderr.decode()


@pytest.fixture
def shell(app: Flask, settings: Settings, tmp_path: Path) -> Shell:
    return Shell(settings, tmp_path)


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="This system has no /dev/full.")
def test_a_client_whose_secret_cannot_be_shown_is_not_created(shell: Shell) -> None:
    known = db.session.query(Client).count()
    status, _, error = shell("automart clients create Nightly --scope catalogue > /dev/full")
    assert status != 0
    assert error.splitlines()[0] == "Error: [Errno 28] No space left on device"
    db.session.rollback()
    assert db.session.query(Client).count() == known
    status, _, error = shell("automart --help > /dev/full")
    assert status != 0
    assert error.splitlines()[0] == "Error: [Errno 28] No space left on device"


def test_nothing_is_said_when_nobody_reads_on(shell: Shell) -> None:
    _, output, error = shell("automart openapi | head -1")
    assert (output, error) == ("{\n", "")


def test_closed_streams_are_empty_or_ignored(shell: Shell) -> None:
    status, output, error = shell("automart users list 2>&-")
    assert (status, output.split()[:2], error) == (0, ["id", "e-mail"], "")
    assert shell("automart customers export >&-") == (0, "", "")
    status, _, error = shell("automart users create-admin ann@example.com <&-")
    assert (status, error) == (2, "Error: password: Must have 12 to 128 characters.\n")


def test_names_are_shown_in_any_encoding_and_exported_as_utf_8(shell: Shell) -> None:
    people.make_user(name="Žofie")
    status, output, error = shell("automart users list", PYTHONIOENCODING="ascii")
    assert (status, error) == (0, "")
    assert "\\u017dofie" in output
    status, output, error = shell(
        "automart customers import /dev/stdin && automart customers export",
        "first_name,last_name\nŽofie,Quinn\n".encode(),
        PYTHONIOENCODING="ascii",
    )
    assert (status, error) == (0, "")
    assert '"Žofie","Quinn"' in output
    status, output, error = shell("automart openapi", PYTHONIOENCODING="latin-1")
    assert (status, error) == (0, "")
    assert json.loads(output)["openapi"] == "3.1.0"


def test_a_file_from_a_pipe_is_read_as_often_as_needed(shell: Shell) -> None:
    given = b"first_name,last_name,email\nZoe,Quinn,zoe@example.com\nAnn,Lee,ann\n"
    refused = "line 3: email: Not a valid email address.\n"
    status, _, error = shell("automart customers import <(cat)", given)
    assert (status, error) == (1, f"{refused}Nothing was imported: 1 of 2 records are wrong.\n")
    status, output, error = shell("cat | automart customers import /dev/stdin --keep-good", given)
    assert (status, output, error) == (3, "1 imported, 1 refused.\n", refused)
    status, _, error = shell("cat > a.csv; automart customers import /dev/stdin < a.csv", given)
    assert (status, error) == (1, f"{refused}Nothing was imported: 1 of 2 records are wrong.\n")


@pytest.mark.skipif(sys.platform == "darwin", reason="Names of files on macOS are UTF-8.")
def test_the_name_of_a_file_need_not_be_utf_8(shell: Shell) -> None:
    status, output, _ = shell(
        "cat > $'Kunden\\374.csv' && automart customers import $'Kunden\\374.csv'",
        b"first_name,last_name\nZoe,Quinn\n",
    )
    assert (status, output) == (0, "1 imported, 0 refused.\n")


def test_a_password_that_is_not_utf_8_is_refused(shell: Shell) -> None:
    status, _, error = shell(
        "automart users create-admin ann@example.com",
        b"a long password \xfc\n",
    )
    assert (status, error) == (2, "Error: The password is not encoded as UTF-8.\n")
