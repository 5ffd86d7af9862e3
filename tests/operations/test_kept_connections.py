"""Clients that keep their connections share few threads, and each gets its own responses."""

from __future__ import annotations

import json
import socket
import threading
import time
import uuid
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path
from random import Random

import psutil
import pytest
import requests

from automart.core.config import Settings
from tests.support.limits import LIMIT
from tests.support.processes import until
from tests.support.setup import make_settings, migrate
from tests.support.web import at_once, gunicorn_running

pytestmark = pytest.mark.processes

CLIENTS = 12
REQUESTS = 60
GET = b"GET /health/live HTTP/1.1\r\nHost: x\r\n\r\n"
WAITS = "a thread waits for a client"
REPORT = f"""
from gunicorn.workers import gthread

handle = gthread.ThreadWorker.handle

def report(self, conn):
    if not conn.has_head():
        print("{WAITS}", flush=True)
    return handle(self, conn)

gthread.ThreadWorker.handle = report
"""


def connected(url: str) -> socket.socket:
    """Return a connection to the web."""
    host, port = url.removeprefix("http://").split(":")
    return socket.create_connection((host, int(port)), timeout=10)


def use(url: str, seed: int) -> Counter[int]:
    """Send requests over connections that stay open for some of them. Count the statuses."""
    chance, statuses = Random(seed), Counter[int]()
    client = requests.Session()
    for _ in range(REQUESTS):
        request_id = {"X-Request-ID": uuid.uuid4().hex}
        if chance.random() < 0.1:  # computes without a turn
            login = {"email": "nobody@example.com", "password": "wrong" * 3}
            response = client.post(f"{url}/login", json=login, headers=request_id, timeout=LIMIT)
        else:
            response = client.get(f"{url}/health/live", headers=request_id, timeout=LIMIT)
        assert response.headers["X-Request-ID"] == request_id["X-Request-ID"]
        statuses[response.status_code] += 1
        if chance.random() < 0.05:
            client.close()
    client.close()
    return statuses


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    settings = make_settings(f"sqlite:///{tmp_path}/automart.sqlite", instance=tmp_path)
    migrate(settings.database_url, tmp_path)
    return settings


def test_each_client_gets_its_own_responses_and_no_connection_is_left(settings: Settings) -> None:
    with gunicorn_running(settings, "--workers", "1") as gunicorn:
        calls = [lambda seed=seed: use(gunicorn.url, seed) for seed in range(CLIENTS)]
        statuses = sum(at_once(calls), Counter[int]())
        assert statuses.keys() <= {200, 401, 429}
        assert statuses.total() == CLIENTS * REQUESTS
        (worker,) = map(psutil.Process, gunicorn.workers())
        until(lambda: {each.status for each in worker.net_connections("tcp")} == {"LISTEN"})


def test_no_thread_waits_for_a_client_that_keeps_its_connection(settings: Settings) -> None:
    """It would wait for 20 seconds."""
    with gunicorn_running(settings, "--workers", "1", patch=REPORT) as web, ExitStack() as stack:
        idle = [stack.enter_context(connected(web.url)) for _ in range(40)]
        for _ in range(5):
            for client in idle:  # so fast that these requests wait for each other
                client.sendall(GET)
            for client in idle:
                response = b""
                while not response.endswith(b'{"status":"ok"}\n'):
                    response += client.recv(65_536)
            # No client can see when a thread has given its connection back to the poller, which it
            # does after 5 ms. If that takes longer, a round tests less, but does not fail.
            time.sleep(0.02)
    assert WAITS not in (settings.instance / "web.log").read_text("utf-8")


@pytest.mark.parametrize(
    "request_",
    [
        pytest.param(GET + b"GE", id="a part of the next head"),
        pytest.param(GET.replace(b"x\r\n", b"x\r\nConnection: close\r\n"), id="it does not close"),
    ],
)
def test_a_client_that_leaves_its_connection_open_blocks_nobody(
    settings: Settings, request_: bytes
) -> None:
    with (
        gunicorn_running(settings, "--workers", "1", "--threads", "4") as web,
        ExitStack() as stack,
    ):
        clients = [stack.enter_context(connected(web.url)) for _ in range(12)]
        for client in clients:
            client.sendall(request_)
            assert client.recv(65_536).startswith(b"HTTP/1.1 200")
        assert requests.get(f"{web.url}/health/live", timeout=10).status_code == 200
        for client in clients:
            client.close()
        (worker,) = map(psutil.Process, web.workers())
        until(lambda: {each.status for each in worker.net_connections("tcp")} == {"LISTEN"})


def test_clients_that_never_pause_do_not_keep_all_threads(settings: Settings) -> None:
    enough = threading.Event()

    def never_pause(url: str) -> None:
        with connected(url) as client:
            client.sendall(GET * 200)
            while not enough.is_set():
                client.sendall(GET * 200)  # before the last 200 have been answered
                answered = 0
                while answered < 200:
                    answered += client.recv(65_536).count(b"HTTP/1.1 200")

    with (
        gunicorn_running(settings, "--workers", "1", "--threads", "4") as web,
        ThreadPoolExecutor(4) as pool,
    ):
        greedy = [pool.submit(never_pause, web.url) for _ in range(4)]
        try:
            for _ in range(3):
                assert requests.get(f"{web.url}/health/live", timeout=10).status_code == 200
        finally:
            enough.set()
        for each in greedy:
            each.result()


def test_requests_that_are_sent_together_are_all_answered(settings: Settings) -> None:
    """Pipelining (RFC 9112 §9.3.2): the next requests may already have been read."""
    with (
        gunicorn_running(settings, "--workers", "1") as gunicorn,
        connected(gunicorn.url) as client,
    ):
        body = json.dumps({"email": "nobody@example.com", "password": "wrong" * 3}).encode()
        login = (
            b"POST /login HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n"
            b"Content-Length: %d\r\n\r\n%s" % (len(body), body)
        )
        unread = b"POST /nowhere HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\n\r\n12345"
        last = GET.replace(b"\r\n\r\n", b"\r\nConnection: close\r\n\r\n")
        client.sendall(GET + login + unread + GET * 3 + last)
        answers = b"".join(iter(lambda: client.recv(65_536), b""))
    statuses = [int(each.split()[0]) for each in answers.split(b"HTTP/1.1 ")[1:]]
    assert statuses == [200, 401, 404, 200, 200, 200, 200]
