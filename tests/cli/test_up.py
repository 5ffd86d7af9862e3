"""`automart up`, run as a process: what it starts, and that nothing is left running."""

from __future__ import annotations

import re
import signal
import socket
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import psutil
import pytest
import requests

from automart.cli.listening import EVERYWHERE
from sandbox import Vpic
from tests.support.limits import LIMIT
from tests.support.ports import free_port
from tests.support.programs import Program, automart

pytestmark = pytest.mark.processes

SYNCED = "keeps running"
HONDA = 474


@pytest.fixture
def port() -> int:
    return free_port()


@pytest.fixture
def env(vpic: Vpic) -> dict[str, str]:
    return {"NHTSA_URL": vpic.url, "NHTSA_REQUESTS_PER_SECOND": "0", "WEB_CONCURRENCY": "1"}


def up(folder: Path, port: int, env: Mapping[str, str], *options: str) -> Any:
    return automart("up", "--port", str(port), *options, folder=folder, env=env)


def log_in(port: int, shown: str) -> str:
    """Return an access token of the administrator whose password was shown."""
    email, password = re.findall(r"^  (?:E-mail|Password) +(\S+)$", shown, re.MULTILINE)
    body = {"email": email, "password": password}
    answer = requests.post(f"http://127.0.0.1:{port}/login", json=body, timeout=LIMIT)
    token: str = answer.json()["access_token"]
    return token


def items(port: int, token: str, path: str) -> list[dict[str, Any]]:
    header = {"Authorization": f"Bearer {token}"}
    answer = requests.get(f"http://127.0.0.1:{port}/v1/{path}", headers=header, timeout=LIMIT)
    assert answer.status_code == 200
    found: list[dict[str, Any]] = answer.json()["items"]
    return found


def assert_nothing_runs(processes: list[psutil.Process]) -> None:
    assert len(processes) >= 6
    _, alive = psutil.wait_procs(processes, timeout=LIMIT)
    assert alive == []


def end(program: Program, number: signal.Signals) -> None:
    processes = program.descendants()
    assert program.end(number) == 0
    assert "Stopped. The data is kept" in program.output
    _, alive = psutil.wait_procs(processes, timeout=0)
    assert alive == []


def part_of(process: psutil.Process) -> str:
    """Return the name of the program that `process` runs; empty for its children."""
    command = " ".join(process.cmdline())
    programs = {"valkey-server": "redis", "worker.py": "worker", "gunicorn": "web"}
    return next((part for program, part in programs.items() if program in command), "")


class TestUp:
    @pytest.mark.seconds(20)
    def test_up_syncs_serves_stops_continues_with_the_same_data_and_restarts_what_dies(
        self, tmp_path: Path, port: int, env: dict[str, str]
    ) -> None:
        with up(tmp_path, port, env, "--sync") as program:
            program.wait_for(SYNCED)
            assert "11 makes: 11 updated, 0 unchanged, 0 held, 0 failed." in program.output
            assert f"http://127.0.0.1:{port}/docs" in program.output
            shown = program.output
            token = log_in(port, shown)
            assert len(items(port, token, "makes")) == 11
            models = items(port, token, f"makes/{HONDA}/models")
            assert len(models) > 3
            self._rejects_a_second_one(tmp_path, env)
            assert "sandbox" not in program.output
            end(program, signal.SIGTERM)
        env["NHTSA_URL"] = f"http://127.0.0.1:{free_port()}/api"
        env["PORT"] = str(port)
        with automart("up", "--sync", "--host", EVERYWHERE, folder=tmp_path, env=env) as program:
            program.wait_for(SYNCED)
            assert "The database is new" not in program.output
            assert "Password" not in program.output
            assert "NHTSA cannot be reached" in program.output
            assert "The sync uses the sandbox" in program.output
            assert "11 makes: 0 updated, 11 unchanged" in program.output
            token = log_in(port, shown)
            assert items(port, token, f"makes/{HONDA}/models") == models
            self._uses_the_host_of_the_request(port)
            self._restarts_what_dies(program)
            with automart("sync", "--make", str(HONDA), folder=tmp_path, env=env) as other:
                assert other.wait() == 0, program.output
            assert "1 make: 0 updated, 1 unchanged" in other.output
            assert len(items(port, token, "makes")) == 11
            processes = program.descendants()
            if sys.platform != "linux":
                end(program, signal.SIGINT)
                return
            program.process.kill()
            assert_nothing_runs(processes)
        with up(tmp_path, port, env) as program:
            program.wait_for(f"http://127.0.0.1:{port}/docs")
            token = log_in(port, shown)
            assert items(port, token, f"makes/{HONDA}/models") == models
            end(program, signal.SIGINT)
        assert "11 makes" not in program.output

    @pytest.mark.seconds(6)
    def test_a_process_that_keeps_dying_stops_automart_up(
        self, tmp_path: Path, port: int, env: dict[str, str]
    ) -> None:
        with up(tmp_path, port, env | {"GUNICORN_CMD_ARGS": "--no-such-option"}) as program:
            assert program.wait() == 1
        assert "Error: The web ended 3 times in a row soon after its start." in program.output

    def test_a_taken_port_is_an_error(self, tmp_path: Path, env: dict[str, str]) -> None:
        with socket.create_server(("127.0.0.1", 0)) as other:
            port = other.getsockname()[1]
            with up(tmp_path, port, env) as program:
                assert program.wait() == 1
        assert program.output.startswith(f"Error: Cannot listen on port {port} of 127.0.0.1: ")

    def test_ctrl_c_during_startup_leaves_nothing_behind(
        self, tmp_path: Path, port: int, env: dict[str, str]
    ) -> None:
        folder = tmp_path / ("a name that makes the path too long for a socket " * 3).strip()
        folder.mkdir()
        with up(folder, port, env) as program:
            program.wait_for("Redis listens on /tmp/automart-")
            end(program, signal.SIGINT)
        (socket_path,) = re.findall(r"Redis listens on (\S+)", program.output)
        assert not Path(socket_path).parent.exists()

    def _restarts_what_dies(self, program: Program) -> None:
        for part in ("redis", "worker", "web"):
            victim = next(each for each in program.children() if part_of(each) == part)
            victim.kill()
            program.wait_for(f"{part:<7} │ ended with status -9, restarting")

    def _uses_the_host_of_the_request(self, port: int) -> None:
        url = f"http://127.0.0.1:{port}/.well-known/oauth-authorization-server"
        answer = requests.get(url, headers={"Host": "cars.example"}, timeout=LIMIT)
        assert answer.json()["issuer"] == "http://cars.example"

    def _rejects_a_second_one(self, folder: Path, env: dict[str, str]) -> None:
        with up(folder, free_port(), env) as second:
            assert second.wait() == 1
        assert second.output.startswith(
            "Error: Automart is already running in this folder, as process"
        )
