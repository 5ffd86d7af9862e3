"""Notices reach every service: after failures, after crashes, and without secrets in the logs."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import replace
from datetime import timedelta
from http import HTTPStatus

import pytest
from flask import Flask

from automart.background import Job, JobState
from automart.background.maintenance import requeue_orphans
from automart.core.db import db, transaction, utcnow
from automart.core.logging import configure_logging
from automart.notices import deliveries
from automart.notices.deliveries import GIVEN_UP_AFTER
from automart.notices.maintenance import resume_notices
from automart.notices.models import Notice, NoticeState
from automart.notices.service import ensure_job
from tests.support.databases import on_sqlite
from tests.support.logs import logged
from tests.support.notified import PASSWORD, NotifiedService

Send = Callable[[], Notice]


@pytest.fixture
def send(app: Flask, run_jobs: Callable[[], None]) -> Send:
    """A function that lets the job of a notice run now. Returns the notice."""
    with transaction():
        db.session.add(Notice(subject="a subject", title="A title", body="A body"))
        ensure_job()

    def run() -> Notice:
        with transaction():
            db.session.query(Job).filter_by(state=JobState.QUEUED).update({"due_at": utcnow()})
            pending = db.session.query(Notice).filter_by(state=NoticeState.PENDING)
            pending.update({"next_attempt_at": utcnow()})
        run_jobs()
        return db.session.query(Notice).one()

    return run


@pytest.fixture
def _as_deployed() -> Iterator[None]:
    configure_logging("json")
    yield
    configure_logging("console")


OF_THE_JOB = {"job_id", "kind", "caller"}


def test_only_the_service_that_did_not_accept_a_notice_gets_it_again(
    send: Send, mail: NotifiedService, chat: NotifiedService, caplog: pytest.LogCaptureFixture
) -> None:
    chat.status = HTTPStatus.SERVICE_UNAVAILABLE
    for tries in (1, 2):
        notice = send()
        assert (notice.state, notice.tries) == (NoticeState.PENDING, tries)
        assert notice.next_attempt_at > utcnow()
        job = db.session.query(Job).filter_by(state=JobState.QUEUED).one()
        assert job.due_at == notice.next_attempt_at
        line = logged(caplog, "notice_not_accepted")[-1]
        assert {name: line[name] for name in line if name not in OF_THE_JOB} == {
            "event": "notice_not_accepted",
            "notice_id": notice.id,
            "service": "JSON",
            "url_number": 2,
            "tries": tries,
            "error": None,
        }
    assert list(notice.accepted_by) == [deliveries.fingerprint(mail.url)]
    chat.status = HTTPStatus.OK
    sent = send()
    assert sent.state is NoticeState.SENT
    assert sent.ended_at is not None
    assert sent.next_attempt_at is None
    assert sent.accepted_by.keys() == set(map(deliveries.fingerprint, (mail.url, chat.url)))
    assert all(accepted.endswith("Z") for accepted in sent.accepted_by.values())
    (line,) = logged(caplog, "notice_sent")
    assert (line["notice_id"], line["title"]) == (notice.id, "A title")
    assert (len(mail.requests), len(chat.requests)) == (1, 3)
    send()
    assert (len(mail.requests), len(chat.requests)) == (1, 3)


def test_a_process_that_is_killed_after_sending_repeats_only_that_message(
    send: Send, mail: NotifiedService, chat: NotifiedService, monkeypatch: pytest.MonkeyPatch
) -> None:
    record, killed = deliveries.record_acceptance, []

    def die_at_the_second(notice_id: int, url: str) -> None:
        if url == chat.url and not killed:
            killed.append(url)
            raise SystemExit  # nothing in the process can record anything after this
        record(notice_id, url)

    monkeypatch.setattr(deliveries, "record_acceptance", die_at_the_second)
    with suppress(SystemExit):
        send()
    db.session.rollback()
    assert db.session.query(Notice).one().state is NoticeState.PENDING
    with transaction():
        expired = {"lease_until": utcnow() - timedelta(minutes=1)}
        db.session.query(Job).filter_by(state=JobState.RUNNING).update(expired)
    assert requeue_orphans() == 1
    assert send().state is NoticeState.SENT
    assert (len(mail.requests), len(chat.requests)) == (1, 2)


@on_sqlite
def test_retries_become_rarer(send: Send, chat: NotifiedService) -> None:
    chat.status = HTTPStatus.SERVICE_UNAVAILABLE

    def minutes_until_the_next() -> int:
        before = utcnow()
        notice = send()
        assert notice.next_attempt_at is not None
        return (notice.next_attempt_at - before) // timedelta(minutes=1)

    assert [minutes_until_the_next() for _ in range(6)] == [1, 5, 30, 120, 120, 120]


@on_sqlite
def test_the_notice_that_has_been_due_for_the_longest_time_is_sent_first(
    app: Flask, mail: NotifiedService, chat: NotifiedService, run_jobs: Callable[[], None]
) -> None:
    now = utcnow()
    due = {"A later one": 1, "The first": 3, "The second": 2, "Not due": -60}
    with transaction():
        for title, minutes in due.items():
            at = now - timedelta(minutes=minutes)
            db.session.add(Notice(subject=title, title=title, body="…", next_attempt_at=at))
        ensure_job()
    run_jobs()
    assert mail.titles == chat.titles == ["The first", "The second", "A later one"]
    ended, submitted = db.session.query(Job).order_by(Job.id)
    assert ended.result == {"pending": 1}
    assert submitted.due_at == now + timedelta(minutes=60)
    pending = db.session.query(Notice).filter_by(state=NoticeState.PENDING).one()
    assert (pending.title, pending.accepted_by) == ("Not due", {})


@on_sqlite
def test_a_notice_is_given_up_after_three_days(
    send: Send, chat: NotifiedService, caplog: pytest.LogCaptureFixture
) -> None:
    chat.status = HTTPStatus.FORBIDDEN
    with transaction():
        db.session.query(Notice).update({"created_at": utcnow() - GIVEN_UP_AFTER})
    notice = send()
    assert (notice.state, notice.next_attempt_at) == (NoticeState.FAILED, None)
    assert notice.ended_at is not None
    (line,) = logged(caplog, "notice_given_up")
    assert (line["notice_id"], line["title"]) == (notice.id, "A title")
    assert line["reason"] == "It was not accepted."
    jobs = db.session.query(Job).filter_by(kind="notice_delivery")
    assert {job.state for job in jobs} == {JobState.SUCCEEDED}


@on_sqlite
def test_a_notice_ends_if_there_is_no_service_any_more(
    app: Flask, send: Send, caplog: pytest.LogCaptureFixture
) -> None:
    app.extensions["settings"] = replace(app.extensions["settings"], notify_urls=())
    assert send().state is NoticeState.FAILED
    (line,) = logged(caplog, "notice_given_up")
    assert line["reason"] == "NOTIFY_URLS is not set any more."


@on_sqlite
def test_an_overdue_notice_gets_a_new_job(
    send: Send, mail: NotifiedService, run_jobs: Callable[[], None]
) -> None:
    failed = {"state": JobState.FAILED, "finished_at": utcnow()}
    with transaction():
        db.session.query(Job).update(failed)
    assert resume_notices()
    run_jobs()
    assert mail.titles == ["A title"]
    assert not resume_notices()


@on_sqlite
@pytest.mark.usefixtures("_as_deployed")
def test_no_part_of_the_urls_is_logged_or_stored(
    app: Flask,
    send: Send,
    mail: NotifiedService,
    chat: NotifiedService,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:
    configure_logging("json")  # each phase of a test has another standard error
    mail.status = HTTPStatus.UNAUTHORIZED
    chat.server_close()
    notice = send()

    def explode(url: str, *_: str) -> bool:
        raise RuntimeError(f"Cannot use {url}")

    monkeypatch.setattr("automart.core.notification_services.send_notice", explode)
    send()
    output = "".join(capfd.readouterr())
    assert output.count("notice_not_accepted") == 4
    assert '"error": "RuntimeError"' in output
    stored = str([*notice.accepted_by, *(job.error for job in db.session.query(Job))])
    for text in (PASSWORD, "a-secret-path", str(mail.server_port)):
        assert text not in output + stored + repr(app.extensions["settings"])
