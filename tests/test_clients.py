"""A client that openapi-python-client generates from the document works as it comes."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

from automart.core.config import Settings
from tests.support import generated_client, openapi
from tests.support.catalogue import HONDAS, add_make
from tests.support.databases import on_sqlite
from tests.support.people import PASSWORD, make_user
from tests.support.web import web_running

# Not among the tools of development: it would hold back a package that runs in production.
GENERATOR = shutil.which("openapi-python-client")


@on_sqlite
@pytest.mark.processes
@pytest.mark.usefixtures("app")
@pytest.mark.skipif(GENERATOR is None, reason="openapi-python-client is not installed")
def test_a_generated_python_client_logs_in_and_books_a_car(
    settings: Settings, tmp_path: Path
) -> None:
    assert GENERATOR is not None
    folder = tmp_path / "generated"
    folder.mkdir()
    package = folder / generated_client.PACKAGE
    generate = [GENERATOR, "generate", "--meta", "none", "--output-path", str(package)]
    subprocess.run([*generate, "--path", openapi.FILE], check=True, capture_output=True)
    add_make(models=HONDAS)
    email = make_user().email
    python = Path(GENERATOR).resolve().parent / "python"
    with web_running(settings, processes=1, threads=2) as url:
        used = subprocess.run(
            [python, "-P", generated_client.__file__, folder, url, email, PASSWORD],
            capture_output=True,
            text=True,
            check=False,
        )
    assert used.stdout == "done\n", used.stderr
