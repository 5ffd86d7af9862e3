"""Health checks and memory while 100 people log in and 300 connections are silent: the limits.

One web process. Each person has an address and an account of their own, so that all passwords are
hashed. The references are the limits of both.
"""

from __future__ import annotations

import http.client
import socket
import tempfile
import threading
import time
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack, closing
from pathlib import Path

import requests

from benchmarks.comparison import Comparison, Size
from benchmarks.request_rate import SERVERS, Web, automart_running
from benchmarks.support import databases, serving_redis
from tests.support.setup import make_settings

SILENT = 300
PEOPLE = 100
LONGEST_MS = 1000.0
MOST_MEGABYTES = 300.0
BETWEEN_CHECKS = 0.01


def compare(size: Size) -> Iterator[Comparison]:
    with (
        tempfile.TemporaryDirectory() as folder,
        serving_redis(Path(folder)) as redis_url,
        databases(size.database) as found,
    ):
        for database, url in found:
            settings = make_settings(url, redis_url=redis_url, instance=Path(folder))
            with automart_running(settings, SERVERS[0], TRUSTED_PROXIES="127.0.0.1") as web:
                rounds = [_crowd(web) for _ in range(size.rounds)]
            slowest = [(longest, LONGEST_MS) for longest, _ in rounds]
            yield Comparison(
                "health check beside a crowd", database, "limit", "ms", 1, slowest, True
            )
            memory = [(megabytes, MOST_MEGABYTES) for _, megabytes in rounds]
            yield Comparison("memory beside a crowd", database, "limit", "MB", 1, memory, True)


def _crowd(web: Web) -> tuple[float, float]:
    """Return the longest health check in milliseconds, and the most memory in megabytes."""
    health, memory = [], []
    with ExitStack() as stack:
        for _ in range(SILENT):
            stack.enter_context(socket.create_connection(("127.0.0.1", web.port)))
        pool = stack.enter_context(ThreadPoolExecutor(PEOPLE))
        people = threading.Barrier(PEOPLE + 1)
        logins = [pool.submit(_log_in, web.port, number, people) for number in range(PEOPLE)]
        people.wait()
        while not all(map(Future.done, logins)):
            health.append(_health_ms(web.port))
            memory.append(web.megabytes())
            time.sleep(BETWEEN_CHECKS)
    statuses = {login.result() for login in logins}
    if not statuses <= {401, 503}:  # a password that waits too long is refused
        raise RuntimeError(f"The logins were answered with {statuses}.")
    return max(health), max(memory)


def _log_in(port: int, number: int, people: threading.Barrier) -> int:
    login = {"email": f"somebody{number}@example.com", "password": f"wrong {time.time_ns()}"}
    people.wait()
    return requests.post(
        f"http://127.0.0.1:{port}/login",
        json=login,
        headers={"X-Forwarded-For": f"10.0.0.{number + 1}"},
        timeout=60,
    ).status_code


def _health_ms(port: int) -> float:
    began = time.perf_counter()
    with closing(http.client.HTTPConnection("127.0.0.1", port, timeout=60)) as connection:
        connection.request("GET", "/health/live")
        status = connection.getresponse().status
    if status != http.client.OK:
        raise RuntimeError(f"The health check was answered with {status}.")
    return (time.perf_counter() - began) * 1000
