"""Helpers for the expectations of clients."""

from __future__ import annotations

import io
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from threading import Barrier
from typing import Any

from flask import Flask
from werkzeug.test import TestResponse

from automart.core.db import db
from automart.core.errors import FIELDS_ARE_WRONG

PROBLEM_MEMBERS = {"type", "title", "status", "detail", "instance", "request_id"}


class Watched(io.BytesIO):
    """A body that records the number of database connections in use when it is read."""

    def __init__(self, app: Flask, content: bytes) -> None:
        super().__init__(content)
        self._app = app
        self.in_use: set[int] = set()

    def read(self, size: int | None = -1) -> bytes:
        with self._app.app_context():
            self.in_use.add(db.engine.pool.checkedout())  # type: ignore[attr-defined]
        return super().read(size)

    def readinto(self, buffer: bytearray) -> int:
        content = self.read(len(buffer))
        buffer[: len(content)] = content
        return len(content)


def assert_problem(response: TestResponse, status: int) -> dict[str, Any]:
    """Check that `response` is a problem with this status, and return it."""
    assert response.status_code == status, response.get_data(as_text=True)
    assert response.mimetype == "application/problem+json"
    problem: dict[str, Any] = response.get_json()
    assert problem.keys() >= PROBLEM_MEMBERS
    assert all(problem[member] for member in PROBLEM_MEMBERS)
    assert problem["status"] == status
    assert problem["request_id"] == response.headers["X-Request-ID"]
    return problem


def pointers(response: TestResponse) -> dict[str, str]:
    """Return the messages by pointer of a body that was refused with 422."""
    return {e["pointer"]: e["detail"] for e in _errors(response)}


def parameters(response: TestResponse) -> dict[str, str]:
    """Return the messages by parameter of a query that was refused with 422."""
    return {e["parameter"]: e["detail"] for e in _errors(response)}


def _errors(response: TestResponse) -> list[dict[str, str]]:
    problem = assert_problem(response, 422)
    assert problem["detail"] == FIELDS_ARE_WRONG
    errors: list[dict[str, str]] = problem["errors"]
    return errors


def at_once(*calls: Callable[[], TestResponse]) -> list[TestResponse]:
    """Make all `calls` at the same time, each in a thread. Return their results."""
    barrier = Barrier(len(calls))

    def call(request: Callable[[], TestResponse]) -> TestResponse:
        barrier.wait()
        return request()

    with ThreadPoolExecutor(len(calls)) as pool:
        return list(pool.map(call, calls))
