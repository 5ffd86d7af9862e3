"""`automart notify-test`, and what the doctor says of notices."""

from __future__ import annotations

from collections.abc import Iterator
from http import HTTPStatus

import pytest
from flask import Flask

from automart.core.db import db, transaction
from automart.notices.models import Notice
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
    assert run("notify-test").exit_code == 1
    monkeypatch.setenv("NOTIFY_URLS", service.url)
    result = run("notify-test")
    assert (result.exit_code, result.output) == (0, "URL 1, JSON: accepted\n")
    assert service.titles == ["Automart: a trial message"]
    monkeypatch.setenv("NOTIFY_URLS", f"{service.url}, json://127.0.0.1:1/nobody")
    result = run("notify-test")
    assert result.exit_code == 3
    assert "URL 2, JSON: not accepted" in result.output
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
    assert "note  NOTIFY_URLS: not set" in run("doctor").output
    monkeypatch.setenv("NOTIFY_URLS", service.url)
    lines = run("doctor").output.splitlines()
    assert "ok    NOTIFY_URLS: valid: 1 service" in lines
    assert "ok    Notices: none is refused" in lines
    with transaction():
        db.session.add(Notice(subject="…", title="…", body="…", tries=1))
    assert "BAD   Notices: 1 not accepted, the oldest of " in run("doctor").output
    monkeypatch.setenv("NOTIFY_URLS", f"{service.url} nope://bot:{PASSWORD}@chat")
    result = run("doctor")
    assert result.exit_code == 1
    assert "NOTIFY_URLS: URL 2 of 2 is not one" in result.output
    assert PASSWORD not in result.output
