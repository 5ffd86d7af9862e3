"""`automart notify-test`, and what the doctor says of notices."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from http import HTTPStatus

import pytest
from flask import Flask

from automart.core.db import db, transaction
from automart.notices.models import Notice, NoticeState
from tests.cli.conftest import Run
from tests.support.databases import on_sqlite
from tests.support.notified import PASSWORD, NotifiedService, notified_service


@pytest.fixture
def service() -> Iterator[NotifiedService]:
    with notified_service() as service:
        yield service


@on_sqlite
def test_each_service_gets_a_trial_message(
    run: Run, service: NotifiedService, monkeypatch: pytest.MonkeyPatch
) -> None:
    result = run("notify-test")
    error = "Error: NOTIFY_URLS is not set. README.md explains it.\n"
    assert (result.exit_code, result.stderr) == (1, error)
    monkeypatch.setenv("NOTIFY_URLS", service.url)
    result = run("notify-test")
    assert (result.exit_code, result.output) == (0, "URL 1, JSON: accepted\n")
    (message,) = service.requests
    assert message["title"] == "Automart: a trial message"
    assert message["message"] == "Notices about nightly syncs will arrive here."
    monkeypatch.setenv("NOTIFY_URLS", f"{service.url}, json://127.0.0.1:1/nobody")
    result = run("notify-test")
    refused = "URL 2, JSON: not accepted, or it could not be reached\n"
    assert (result.exit_code, result.stdout) == (3, f"URL 1, JSON: accepted\n{refused}")
    service.status = HTTPStatus.FORBIDDEN
    result = run("notify-test")
    assert result.exit_code == 1
    assert PASSWORD not in result.output


@on_sqlite
def test_the_doctor_checks_notices(
    app: Flask, run: Run, service: NotifiedService, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert "NOTIFY_URLS" not in run("doctor").output
    monkeypatch.setenv("VEHICLE_SYNC_AT", "03:30")
    assert (
        """
note  NOTIFY_URLS: not set; nobody is notified when a nightly sync fails or holds makes
      → Set it to URLs of Apprise, then run automart notify-test.
"""
        in run("doctor").output
    )
    monkeypatch.setenv("NOTIFY_URLS", service.url)
    lines = run("doctor").output.splitlines()
    assert "ok    NOTIFY_URLS: valid: 1 service" in lines
    assert "ok    Notices: none is refused" in lines
    at = datetime(2026, 1, 15, 8, 30, 0, 500, tzinfo=UTC)
    with transaction():
        db.session.add(Notice(subject="new", title="…", body="…"))
        sent = Notice(subject="sent", title="…", body="…", tries=1)
        db.session.add(sent)
        db.session.flush()
        sent.state, sent.next_attempt_at, sent.ended_at = NoticeState.SENT, None, at
    assert "ok    Notices: none is refused" in run("doctor").output.splitlines()
    with transaction():
        for later in range(2):
            notice = Notice(subject=f"refused {later}", title="…", body="…", tries=1)
            notice.created_at = at + timedelta(minutes=later)
            db.session.add(notice)
    result = run("doctor")
    assert result.exit_code == 1
    assert (
        """
BAD   Notices: 2 not accepted, the oldest of 2026-01-15T08:30:00Z
      → Run automart notify-test.
"""
        in result.output
    )
    monkeypatch.setenv("NOTIFY_URLS", f"{service.url}, {service.url}/2")
    assert "ok    NOTIFY_URLS: valid: 2 services" in run("doctor").output.splitlines()
    monkeypatch.setenv("NOTIFY_URLS", f"{service.url} nope://bot:{PASSWORD}@chat")
    result = run("doctor")
    assert result.exit_code == 1
    assert "NOTIFY_URLS: URL 2 of 2 is not one" in result.output
    assert PASSWORD not in result.output
