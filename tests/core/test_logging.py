"""Request ids, and logs: one JSON object per line, without secrets."""

from __future__ import annotations

import json
import logging
import re
import uuid
from collections.abc import Callable, Iterator
from contextvars import Context
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import structlog
from flask import Flask, request
from flask.testing import FlaskClient
from sqlalchemy import insert

from automart.background import Job
from automart.catalogue.models import VehicleMake
from automart.core.config import Settings
from automart.core.db import db, transaction
from automart.core.logging import configure_logging, start_logging
from automart.web import request_logging
from jobs import runner
from jobs.http.client import post
from tests.support.databases import on_sqlite
from tests.support.peers import Peer, answering

Lines = Callable[[], list[dict[str, Any]]]


@pytest.fixture
def lines(app: Flask, capsys: pytest.CaptureFixture[str]) -> Iterator[Lines]:
    """Return a function that returns the events since its last call."""

    def read() -> list[dict[str, Any]]:
        logged = [json.loads(line) for line in capsys.readouterr().err.splitlines()]
        # Each phase of a test has another standard error.
        configure_logging("json")
        return logged

    yield read
    configure_logging("console")


@pytest.fixture
def client(as_admin: FlaskClient) -> FlaskClient:
    """These tests are not about access: an administrator sends their requests."""
    return as_admin


class TestRequestIds:
    @pytest.mark.parametrize("asked", ["abc", "a" * 128, "0192-ab.c_d~e:f/g+h=i@j"])
    def test_a_valid_request_id_is_used(self, client: FlaskClient, asked: str) -> None:
        response = client.get("/nowhere", headers={"X-Request-ID": asked})
        assert response.headers["X-Request-ID"] == asked
        assert response.get_json()["request_id"] == asked

    @on_sqlite
    @pytest.mark.parametrize("asked", ["", " ", "a b", "a" * 129, 'a"b', "<x>", "é", "a,b", "a\tb"])
    def test_an_invalid_request_id_is_replaced(self, client: FlaskClient, asked: str) -> None:
        made = client.get("/v1/makes", headers={"X-Request-ID": asked}).headers["X-Request-ID"]
        assert re.fullmatch("[0-9a-f]{32}", made)

    def test_every_request_has_its_own_id_whatever_its_status(self, client: FlaskClient) -> None:
        answers = [
            client.get("/v1/makes"),
            client.get("/v1/makes"),
            client.get("/nowhere"),
            client.put("/v1/makes"),
            client.post("/v1/makes", data="x"),
            client.options("/v1/makes"),
            client.get("/docs"),
            client.get("/v1/makes", headers={"Host": "a b"}),
        ]
        assert len({answer.headers["X-Request-ID"] for answer in answers}) == len(answers)

    def test_jobs_get_the_request_id(self, client: FlaskClient) -> None:
        response = client.post("/v1/vehicle-syncs", headers={"X-Request-ID": "from-afar"})
        job = db.session.query(Job).one()
        assert (str(job.id), job.request_id) == (response.get_json()["id"], "from-afar")


class TestLogs:
    def test_the_url_of_a_webhook_is_not_logged_when_its_response_is_malformed(
        self, lines: Lines
    ) -> None:
        assert lines() == []
        with Peer(answering(b"HTTP/1.1 200 OK\r\nno header\r\n\r\n")) as peer:
            url = f"http://127.0.0.1:{peer.port}/secret"
            assert post(url, body=b"", headers={}, allow_private=True).status == 200
        assert lines() == []

    def test_each_request_is_one_line_with_its_id(self, client: FlaskClient, lines: Lines) -> None:
        assert lines() == []
        client.get("/api/v1/makes?name=secret", headers={"X-Request-ID": "abc"})
        client.get("/nowhere")
        first, second = lines()
        assert first.pop("duration_ms") > 0
        assert first.pop("timestamp").endswith("Z")
        assert first == {
            "event": "request",
            "level": "info",
            "logger": "automart.web.request_logging",
            "request_id": "abc",
            "method": "GET",
            "path": "/api/v1/makes",
            "route": "/v1/makes",
            "caller": "user:1",
            "status": 200,
            "address": "127.0.0.1",
        }
        assert second["status"] == 404
        assert second["route"] is None
        assert "caller" not in second  # a public view does not authenticate
        assert second["request_id"] != "abc"

    def test_a_request_takes_milliseconds(
        self, client: FlaskClient, lines: Lines, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        assert lines() == []
        clock = SimpleNamespace(perf_counter=iter((100.0, 100.0123)).__next__)
        monkeypatch.setattr(request_logging, "time", clock)
        client.get("/nowhere")
        (line,) = lines()
        assert line["duration_ms"] == 12.3

    def test_each_line_of_a_job_has_its_id_its_request_and_its_owner(
        self, client: FlaskClient, lines: Lines, run_jobs: Callable[[], None]
    ) -> None:
        assert lines() == []
        response = client.post("/v1/vehicle-syncs", headers={"X-Request-ID": "abc"})
        lines()
        run_jobs()
        logged = lines()
        assert {line["event"] for line in logged} >= {"job_started", "job_ended"}
        for line in logged:
            assert (line["job_id"], line["kind"]) == (response.get_json()["id"], "vehicle_sync")
            assert (line["request_id"], line["caller"]) == ("abc", "user:1")

    def test_lines_after_a_request_have_nothing_of_it(
        self, client: FlaskClient, lines: Lines
    ) -> None:
        assert lines() == []

        def serve() -> None:
            client.get("/v1/makes", headers={"X-Request-ID": "abc"})
            logging.getLogger("gunicorn.error").warning("a malformed request")

        Context().run(serve)
        request, other = lines()
        assert request["request_id"] == "abc"
        assert other.keys() == {"event", "level", "logger", "timestamp"}

    def test_lines_of_a_job_have_nothing_of_the_one_before(
        self, client: FlaskClient, lines: Lines, run_jobs: Callable[[], None]
    ) -> None:
        assert lines() == []
        client.post("/v1/vehicle-syncs", headers={"X-Request-ID": "abc"})
        run_jobs()
        lines()
        runner.run(str(uuid.uuid4()))
        (line,) = lines()
        assert line["event"] == "job_not_claimed"
        assert not line.keys() & {"request_id", "caller", "kind"}

    def test_what_a_client_sends_cannot_break_the_line(
        self, client: FlaskClient, lines: Lines
    ) -> None:
        assert lines() == []
        client.get('/a%0a{"event":"forged"}%22')
        (line,) = lines()
        assert line["path"] == '/a\n{"event":"forged"}"'

    def test_libraries_log_in_the_same_format(self, app: Flask, lines: Lines) -> None:
        assert lines() == []
        logging.getLogger("some.library").warning("odd %s", "thing", extra={"number": 7})
        (line,) = lines()
        assert line.items() >= {"event": "odd thing", "level": "warning", "number": 7}.items()
        assert line["logger"] == "some.library"

    def test_an_unexpected_error_is_logged_with_its_traceback_and_request(
        self, app: Flask, lines: Lines
    ) -> None:
        @app.get("/broken")
        def broken() -> str:
            password = "hunter2"
            raise RuntimeError(f"no secret of {len(password)} letters")

        assert lines() == []
        app.test_client().get("/broken", headers={"X-Request-ID": "abc"})
        error, request = lines()
        assert error["event"] == "unexpected_error"
        assert error["level"] == "error"
        assert error["request_id"] == request["request_id"] == "abc"
        assert "RuntimeError: no secret of 7 letters" in error["exception"]
        assert "hunter2" not in str(error["exception"]).replace('password = "hunter2"', "")
        assert request["status"] == 500

    @pytest.mark.parametrize("log_format", ["json", "console"])
    def test_an_error_of_the_database_is_logged_without_the_values_of_the_row(
        self, app: Flask, capsys: pytest.CaptureFixture[str], log_format: str
    ) -> None:
        @app.post("/broken")
        def broken() -> str:
            with transaction():
                # Without `name_folded`, which no client can omit.
                name = request.headers["Name"]
                db.session.execute(insert(VehicleMake).values(id=1, name=name))
            return ""

        configure_logging(log_format)
        response = app.test_client().post("/broken", headers={"Name": "hunter2"})
        logged = capsys.readouterr().err
        assert response.status_code == 500
        assert "IntegrityError" in logged
        assert "INSERT INTO vehicle_make" in logged
        assert "hunter2" not in logged

    def test_values_of_rows_are_removed_from_every_field(
        self, app: Flask, capsys: pytest.CaptureFixture[str]
    ) -> None:
        error = (
            "violates a constraint\nDETAIL:  Failing row contains (hunter2,\nhunter2).\n"
            "CONTEXT:  unnamed portal parameter $1 = 'hunter2'\nHINT:  Try again.\n[SQL: INSERT x]"
        )
        for log_format in ("json", "console"):
            configure_logging(log_format)
            logging.getLogger("rq.worker").error("job %s failed\n%s", 1, error)
            structlog.get_logger("automart").warning("lost", error=error, as_repr=repr(error))
            logged = capsys.readouterr().err
            assert logged.count("Try again.") == 3
            assert logged.count("violates a constraint") == 3
            assert "hunter2" not in logged

    def test_control_characters_reach_no_terminal(
        self, client: FlaskClient, capsys: pytest.CaptureFixture[str]
    ) -> None:
        configure_logging("console")
        client.get("/z%1b%5b2J%0aforged%c2%9b%e2%80%ae%7f")
        structlog.get_logger("automart").warning("odd\x1b[2J", text="\r\x07")
        logged = capsys.readouterr().err
        own = re.sub("\x1b\\[[0-9;]*m", "", logged)  # colours of the console
        assert r"/z\x1b[2J\nforged\x9b\u202e\x7f" in own
        assert r"odd\x1b[2J" in own
        assert not set(own) & set("\x1b\x07\r\x7f\x9b\u202e")
        assert len(own.splitlines()) == 2

    def test_bodies_and_headers_are_not_logged(self, client: FlaskClient, lines: Lines) -> None:
        assert lines() == []
        headers = {"Authorization": "Bearer hunter2", "Idempotency-Key": "hunter2"}
        client.post("/v1/makes", json={"id": 1, "name": "hunter2"}, headers=headers)
        client.post("/v1/makes", json={"id": 1, "name": "hunter2"})
        client.post("/v1/makes?token=hunter2", data="hunter2")
        logged = lines()
        statuses = [line["status"] for line in logged if line["event"] == "request"]
        assert statuses == [401, 201, 415]
        assert "hunter2" not in json.dumps(logged)

    @on_sqlite
    def test_libraries_that_log_each_step_or_urls_are_quieter(
        self, app: Flask, lines: Lines
    ) -> None:
        assert lines() == []
        for name in ("rq.worker", "werkzeug", "alembic", "urllib3", "gunicorn.error"):
            for level in (logging.DEBUG, logging.INFO, logging.WARNING, logging.ERROR):
                logging.getLogger(name).log(level, "a line")
        logged: dict[str, list[str]] = {}
        for line in lines():
            logged.setdefault(line["logger"], []).append(line["level"])
        assert logged == {
            "rq.worker": ["warning", "error"],
            "werkzeug": ["warning", "error"],
            "alembic": ["warning", "error"],
            "urllib3": ["error"],
            "gunicorn.error": ["info", "warning", "error"],
        }

    @on_sqlite
    def test_a_value_of_any_type_can_be_logged(self, app: Flask, lines: Lines) -> None:
        assert lines() == []
        structlog.get_logger("automart").warning("odd", value={1: timedelta(1)}, path=Path("/x"))
        (line,) = lines()
        assert line["value"] == {"1": "datetime.timedelta(days=1)"}
        assert line["path"] == "PosixPath('/x')"

    @on_sqlite
    def test_a_server_logs_the_warnings_about_its_settings(
        self, settings: Settings, lines: Lines
    ) -> None:
        warnings = ("PROT is not a setting.", "NHTSA_RATE is not a setting.")
        start_logging(replace(settings, log_format="json", warnings=warnings))
        assert [(line["event"], line["level"], line["detail"]) for line in lines()] == [
            ("suspicious_setting", "warning", warning) for warning in warnings
        ]
