"""Clients that send a part of a request, or a malformed body."""

from __future__ import annotations

import select
import socket
from contextlib import ExitStack
from pathlib import Path
from urllib.parse import urlsplit

import pytest
import requests

from tests.support.limits import LIMIT
from tests.support.setup import make_settings, migrate
from tests.support.web import CONFIG, gunicorn_running

pytestmark = pytest.mark.processes

HALF = b"GET /health/live HTTP/1.1\r\nHost: localhost"
LOGIN = b"POST /login HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
BAD_BODIES = (
    b"Transfer-Encoding: chunked\r\n\r\n-2\r\n{}\r\n0\r\n\r\n",
    b"Transfer-Encoding: chunked\r\n\r\n2\r\n{}extra\r\n0\r\n\r\n",
    b"Transfer-Encoding: chunked\r\n\r\n9\r\n{}",
    b"Content-Length: 9\r\n\r\n{}",
)


def response_of(client: socket.socket) -> bytes:
    response = b""
    while not response.endswith(b'{"status":"ok"}\n'):
        part = client.recv(4096)
        assert part, response
        response += part
    return response


def test_half_heads_occupy_no_thread_and_malformed_bodies_are_400(tmp_path: Path) -> None:
    settings = make_settings(f"sqlite:///{tmp_path}/automart.sqlite", instance=tmp_path)
    migrate(settings.database_url, tmp_path)
    config = tmp_path / "gunicorn.conf.py"
    config.write_text(f"exec(open({str(CONFIG)!r}).read())\nHEAD_SECONDS = {LIMIT}\n")
    few = ("--workers", "1", "--threads", "2", "--config", str(config))
    with gunicorn_running(settings, *few) as gunicorn, ExitStack() as stack:
        host, port = urlsplit(gunicorn.url).hostname, urlsplit(gunicorn.url).port
        slow = [
            stack.enter_context(socket.create_connection((host, port), timeout=LIMIT))
            for _ in range(20)
        ]
        for client in slow:
            client.sendall(HALF)
        with requests.Session() as session:
            for _ in range(5):
                assert session.get(f"{gunicorn.url}/health/live", timeout=LIMIT).ok
        gone = slow[1]
        gone.shutdown(socket.SHUT_WR)
        assert select.select(slow, [], [], LIMIT)[0] == [gone]  # the others wait for their deadline
        kept_alive = slow[0]
        kept_alive.sendall(b"\r\n\r\n")
        assert response_of(kept_alive).startswith(b"HTTP/1.1 200")
        kept_alive.sendall(HALF)
        assert requests.get(f"{gunicorn.url}/health/live", timeout=LIMIT).ok
        kept_alive.sendall(b"\r\nConnection: close\r\n\r\n")
        assert response_of(kept_alive).startswith(b"HTTP/1.1 200")
        for tail in BAD_BODIES:
            with socket.create_connection((host, port), timeout=LIMIT) as client:
                client.sendall(LOGIN + tail)
                client.shutdown(socket.SHUT_WR)
                assert client.recv(4096).startswith(b"HTTP/1.1 400"), tail
