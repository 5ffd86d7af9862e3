"""Clients that generators make of the document work as they come, and pass the checks of types."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import pytest
from PIL import Image

from automart.core.config import Settings
from sandbox.office import Offices
from tests.support.catalogue import HONDAS, add_make
from tests.support.client_tools import SOURCES, Unavailable, node_tools, python_tools
from tests.support.databases import on_sqlite
from tests.support.openapi import FILE
from tests.support.people import PASSWORD, make_user
from tests.support.processes import until, worker_running
from tests.support.web import web_running

pytestmark = [pytest.mark.processes, pytest.mark.clients, pytest.mark.usefixtures("app", "vpic")]


def installed(tools: Callable[[], Path]) -> Path:
    try:
        return tools()
    except Unavailable as reason:
        pytest.skip(str(reason))


def run(*command: str | Path, folder: Path) -> None:
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def check_story(settings: Settings, folder: Path, story: Sequence[str | Path]) -> None:
    """Start Automart, and run `story` against it. The office of its sale must get a webhook."""
    add_make(models=HONDAS)
    email = make_user(is_admin=True).email
    picture = folder / "ada.png"
    Image.new("RGB", (64, 64), "red").save(picture)
    settings = replace(settings, webhook_allow_private=True)
    with (
        Offices() as offices,
        web_running(settings, processes=1, threads=4) as url,
        worker_running(settings),
    ):
        arguments = (url, email, PASSWORD, offices.url("north"), picture)
        used = subprocess.run(
            [*story, *arguments],
            env=os.environ | {"PYTHONPATH": str(folder), "PYTHONSAFEPATH": "1"},
            capture_output=True,
            text=True,
            check=False,
        )
        assert used.stdout == "done\n", used.stderr
        until(lambda: offices.received("north"))


def check_types(tools: Path, folder: Path, story: Path) -> None:
    """Check that mypy finds nothing in `story`, whatever it finds in the generated package."""
    options = ("--strict", "--config-file", os.devnull, "--cache-dir", str(folder / "cache"))
    checked = subprocess.run(
        [tools / "bin" / "mypy", *options, story],
        env=os.environ | {"MYPYPATH": str(folder)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert "1 source file" in checked.stdout, checked.stdout + checked.stderr
    assert [line for line in checked.stdout.splitlines() if story.name in line] == []


@on_sqlite
def test_a_client_by_openapi_python_client(settings: Settings, tmp_path: Path) -> None:
    tools = installed(python_tools)
    generator = tools / "bin" / "openapi-python-client"
    options = ("--path", FILE, "--meta", "none", "--output-path", tmp_path / "automart_client")
    run(generator, "generate", *options, folder=tmp_path)
    story = SOURCES / "story_of_openapi_python_client.py"
    check_types(tools, tmp_path, story)
    check_story(settings, tmp_path, [tools / "bin" / "python", story])


@on_sqlite
@pytest.mark.skipif(shutil.which("java") is None, reason="Java is not installed.")
def test_a_client_by_openapi_generator(settings: Settings, tmp_path: Path) -> None:
    tools = installed(python_tools)
    generator = tools / "bin" / "openapi-generator-cli"
    options = ("-g", "python", "-o", tmp_path, "--package-name", "automart_openapi")
    run(tools / "bin" / "python", generator, "generate", "-i", FILE, *options, folder=tmp_path)
    story = SOURCES / "story_of_openapi_generator.py"
    check_types(tools, tmp_path, story)
    check_story(settings, tmp_path, [tools / "bin" / "python", story])


@on_sqlite
def test_a_client_by_openapi_typescript(settings: Settings, tmp_path: Path) -> None:
    modules = installed(node_tools) / "node_modules"
    (tmp_path / "node_modules").symlink_to(modules)
    (tmp_path / "package.json").write_text('{"type": "module"}')
    shutil.copy(SOURCES / "story.ts", tmp_path)
    run(modules / ".bin" / "openapi-typescript", FILE, "-o", "api.ts", folder=tmp_path)
    options = ("--strict", "--target", "ES2022", "--module", "NodeNext", "--types", "node")
    run(modules / ".bin" / "tsc", *options, "story.ts", folder=tmp_path)
    check_story(settings, tmp_path, ["node", tmp_path / "story.js"])
