"""The container's health check."""

from __future__ import annotations

import http.server
import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from automart.cli.folder import LOCK, locked
from tests.support.ports import free_port
from tests.support.programs import ROOT

pytestmark = pytest.mark.processes


class Live(http.server.BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        self.send_response(200)
        self.end_headers()

    def log_message(self, *_: object) -> None:
        """Say nothing."""


@pytest.fixture
def port() -> Iterator[int]:
    with http.server.HTTPServer(("127.0.0.1", 0), Live) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield server.server_port
        server.shutdown()


@pytest.fixture
def _umask_of_ours() -> Iterator[None]:
    before = os.umask(0o022)
    yield
    os.umask(before)


def check(folder: Path, port: int) -> tuple[int, str]:
    program = [sys.executable, str(ROOT / "deploy" / "healthcheck.py")]
    env = os.environ | {"PORT": str(port)}
    ran = subprocess.run(program, cwd=folder, env=env, capture_output=True, text=True)
    return ran.returncode, ran.stdout


def test_a_container_of_the_web_is_healthy_if_its_web_is(tmp_path: Path, port: int) -> None:
    assert check(tmp_path, port) == (0, "")
    status, said = check(tmp_path, free_port())
    assert status == 1
    assert said.startswith("The web does not respond")


@pytest.mark.usefixtures("_umask_of_ours")
def test_a_container_of_automart_up_is_healthy_if_all_its_processes_are(
    tmp_path: Path, port: int
) -> None:
    instance = tmp_path / "instance"
    with locked(instance) as mark_healthy:
        mark_healthy()
        assert check(tmp_path, port) == (0, "")
        os.utime(instance / LOCK, (0, 0))
        status, said = check(tmp_path, port)
        assert status == 1
        assert said.startswith("A process has not run for")
        mark_healthy()
        assert check(tmp_path, port) == (0, "")
        os.utime(instance / LOCK, (0, 0))
    # The next container on this volume may run the web alone.
    assert check(tmp_path, port) == (0, "")
