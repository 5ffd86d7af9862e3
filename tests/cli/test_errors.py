"""Errors of any command: one line, an exit status, no traceback."""

from __future__ import annotations

import ast
import json
import subprocess
import sys
from importlib.metadata import version
from pathlib import Path

import pytest
from flask import Flask
from redis import ConnectionError as RedisConnectionError
from sqlalchemy import text

from automart import create_app
from automart.cli import COMMANDS, load
from automart.cli.errors import explain
from automart.core.db import db, transaction
from tests.cli.conftest import Run, type_in
from tests.support.ports import free_port
from tests.support.setup import SECRET, make_settings


@pytest.fixture
def _in_a_new_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


@pytest.mark.usefixtures("_in_a_new_folder")
class TestErrors:
    def test_all_wrong_settings_are_reported_together(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("NHTSA_URL", "gopher://nhtsa")
        monkeypatch.setenv("VEHICLE_SYNC_AT", "half past three")
        result = type_in("sync")
        assert result.exit_code == 1
        assert result.stderr.startswith("Error: These settings are invalid:")
        assert "NHTSA_URL: Must be" in result.stderr
        assert "VEHICLE_SYNC_AT: Must be" in result.stderr

    @pytest.mark.parametrize(
        "arguments", [("sync",), ("makes", "add", "1", "One"), ("makes", "import", "1")]
    )
    def test_a_database_without_schema_is_an_error(self, arguments: tuple[str, ...]) -> None:
        result = type_in(*arguments)
        assert result.exit_code == 1
        error = "Error: The database has no schema. Run: flask --app wsgi db upgrade\n"
        assert result.stderr == error

    def test_an_older_schema_is_an_error(self, app: Flask, run: Run) -> None:
        with transaction():
            db.session.execute(text("UPDATE alembic_version SET version_num = '0001'"))
        result = run("sync")
        assert result.exit_code == 1
        assert result.stderr.startswith("Error: The database has an older release's schema.")

    def test_a_database_that_is_down_is_an_error_without_its_password(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        url = f"postgresql://someone:hidden@127.0.0.1:{free_port()}/automart"
        monkeypatch.setenv("DATABASE_URL", url)
        monkeypatch.setenv("SECRET_KEY", SECRET)
        monkeypatch.setenv("PUBLIC_URL", "http://localhost")
        result = type_in("sync")
        assert result.exit_code == 1
        assert result.stderr.startswith("Error: The database cannot be used: connection")
        assert "hidden" not in result.stderr
        assert result.stderr.count("\n") == 1

    def test_an_unreachable_redis_is_explained_in_one_line(self) -> None:
        error = RedisConnectionError("Error 111 connecting to localhost:6379.\nMore.")
        assert explain(error) == "Redis cannot be used: Error 111 connecting to localhost:6379."


@pytest.mark.usefixtures("_in_a_new_folder")
class TestOpenApi:
    def test_the_printed_document_is_the_one_that_is_served(self, tmp_path: Path) -> None:
        app = create_app(make_settings(f"sqlite:///{tmp_path}/a.sqlite", instance=tmp_path))
        served = app.test_client().get("/openapi.json").get_json()
        assert json.loads(type_in("openapi").stdout) == served

    def test_the_document_can_be_written_to_a_file(self, tmp_path: Path) -> None:
        result = type_in("openapi", "--output", str(tmp_path / "openapi.json"))
        assert (result.exit_code, result.stdout) == (0, "")
        assert json.loads((tmp_path / "openapi.json").read_text())["openapi"] == "3.1.0"

    def test_a_file_that_cannot_be_written_is_an_error(self, tmp_path: Path) -> None:
        result = type_in("openapi", "--output", str(tmp_path / "nowhere" / "openapi.json"))
        assert result.exit_code == 1
        assert result.stderr.startswith("Error: ")
        assert "Traceback" not in result.stderr


class TestHelp:
    @pytest.mark.parametrize("command", COMMANDS)
    def test_the_line_of_a_command_in_the_list_is_the_beginning_of_its_help(
        self, command: str
    ) -> None:
        _, summary = COMMANDS[command]
        own = load(command).help
        assert " ".join(own.split()).startswith(summary.removesuffix("."))
        assert type_in(command, "--help").exit_code == 0

    def test_the_version_is_printed(self) -> None:
        assert type_in("--version").stdout == f"{version('automart')}\n"

    @pytest.mark.parametrize("arguments", [["--version"], ["--help"]])
    def test_the_command_line_imports_no_slow_library(self, arguments: list[str]) -> None:
        script = f"""
import atexit, sys
sys.argv[1:] = {arguments}
atexit.register(lambda: print(sorted({{name.partition(".")[0] for name in sys.modules}})))
from automart.__main__ import main
main()
"""
        ran = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
        assert ran.returncode == 0, ran.stderr
        imported = set(ast.literal_eval(ran.stdout.splitlines()[-1]))
        assert "automart" in imported
        assert not imported & {"flask", "sqlalchemy", "redis", "requests", "marshmallow", "jobs"}
