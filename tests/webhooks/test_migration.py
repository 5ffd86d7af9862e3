"""Migration 0008 keeps endpoints, secrets, deliveries and jobs of the release before."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import flask_migrate
import pytest
import sqlalchemy as sa
from flask import Flask
from flask.testing import FlaskClient
from sqlalchemy.engine import URL

from automart.background.models import Job
from automart.core.db import db, table_of, transaction, utcnow
from automart.core.encryption import encrypt
from automart.webhooks.models import WebhookDelivery, WebhookEndpoint
from automart.webhooks.signing import valid_secrets
from sandbox.office import Offices
from tests.fixtures import DATABASES
from tests.support import people, postgresql
from tests.support.purchases import all_deliveries, all_jobs
from tests.support.webhooks import states

SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
CHANGED_AT = datetime(2026, 11, 20, 8, 30, 15, 123456, UTC)
WHOLE_SECOND = datetime(2026, 11, 21, 8, 30, 0, 0, UTC)
ORDER_NUMBER = 'A-1 "größer" \\ /'
FIRST_BODY = (
    '{"type":"purchase.state_changed","timestamp":"2026-11-20T08:30:15.123456Z","data":'
    '{"purchase_id":31,"external_order_number":"A-1 \\"größer\\" \\\\ /",'
    '"previous_state":"ordered","state":"manufacturing"}}'
)
SECOND_BODY = (
    '{"type":"purchase.state_changed","timestamp":"2026-11-21T08:30:00Z","data":'
    '{"purchase_id":31,"external_order_number":"A-1 \\"größer\\" \\\\ /",'
    '"previous_state":"manufacturing","state":"manufactured"}}'
)
JOB_ID = uuid.uuid4()


@pytest.fixture(params=DATABASES)
def database_url(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    """An empty database without any tables."""
    if request.param == "sqlite":
        yield f"sqlite:///{tmp_path}/empty.sqlite"
        return
    server: URL = request.getfixturevalue("postgresql_server")
    database = postgresql.create_database(server)
    yield database.render_as_string(hide_password=False)
    postgresql.drop_database(server, database)


@pytest.fixture
def old_data(app: Flask, offices: Offices) -> None:
    """Two offices at revision 0007, and the deliveries of a purchase of one of them."""
    flask_migrate.upgrade(revision="0007")
    due, now = utcnow() - timedelta(minutes=1), utcnow()
    with transaction():
        insert(
            "regional_office",
            {"id": 7, "name": "Munich", "webhook_url": offices.url("munich")}
            | {"webhook_enabled": True, "failing_since": CHANGED_AT},
            {"id": 9, "name": "Berlin", "webhook_url": None}
            | {"webhook_enabled": False, "failing_since": None},
        )
        insert(
            "webhook_secret",
            {"id": 1, "regional_office_id": 7, "sealed": encrypt(SECRET.encode())}
            | {"created_at": now, "retired_at": None},
        )
        insert("vehicle_make", make_of_catalogue())
        insert(
            "purchase",
            {"id": 31, "regional_office_id": 7, "external_order_number": ORDER_NUMBER}
            | {"make_id": 474, "car_model": "Civic", "state": "ordered"}
            | {"created_at": now, "updated_at": now},
        )
        for state, previous, at in (
            ("ordered", None, CHANGED_AT),
            ("manufacturing", "ordered", CHANGED_AT),
            ("manufactured", "manufacturing", WHOLE_SECOND),
        ):
            change = {"previous_state": previous, "state": state, "at": at}
            insert("purchase_change", {"purchase_id": 31} | change)
        common = {"regional_office_id": 7, "purchase_id": 31, "created_at": CHANGED_AT}
        insert(
            "webhook_delivery",
            {"id": 51, "webhook_id": "msg_1", "change_id": 2, "request_id": "r-1", **common}
            | {"state": "pending", "tries": 1, "next_attempt_at": due, "ended_at": None},
            {"id": 52, "webhook_id": "msg_2", "change_id": 3, "request_id": None, **common}
            | {"state": "pending", "tries": 0, "next_attempt_at": None, "ended_at": None},
        )
        insert(
            "delivery_attempt",
            {"id": 61, "delivery_id": 51, "at": CHANGED_AT}
            | {"status": 500, "response": "Oh!", "error": None},
        )
        job = {"id": JOB_ID, "kind": "webhook_delivery", "singleton": "webhooks:7"}
        arguments = {"regional_office_id": 7}
        db.session.execute(sa.insert(Job).values(**job, arguments=arguments, time_limit=120))
    db.session.remove()


def make_of_catalogue() -> dict[str, Any]:
    return {"id": 474, "name": "Honda", "name_folded": "honda"}


def columns_at(table: str) -> sa.Table:
    return sa.Table(table, sa.MetaData(), autoload_with=db.session.connection())


def insert(table: str, *rows: dict[str, Any]) -> None:
    """Insert rows into a table as it is at the current revision."""
    db.session.execute(sa.insert(columns_at(table)), list(rows))


def rows_of(table: str) -> list[tuple[Any, ...]]:
    found = columns_at(table)
    return [tuple(row) for row in db.session.execute(sa.select(found).order_by(found.c.id))]


def test_everything_is_kept(old_data: None, app: Flask, offices: Offices) -> None:
    flask_migrate.upgrade()
    munich, berlin = db.session.query(WebhookEndpoint).order_by(WebhookEndpoint.regional_office_id)
    assert (munich.url, munich.enabled, munich.failing_since) == (
        offices.url("munich"),
        True,
        CHANGED_AT,
    )
    assert (berlin.url, berlin.enabled, berlin.failing_since) == (None, False, None)
    assert valid_secrets(munich.id) == [SECRET]
    first, second = all_deliveries()
    assert (first.body, second.body) == (FIRST_BODY, SECOND_BODY)
    assert {first.type, second.type} == {"purchase.state_changed"}
    assert {first.subject, second.subject} == {"purchase:31"}
    assert (first.id, first.webhook_id, first.request_id, first.tries) == (51, "msg_1", "r-1", 1)
    assert (second.webhook_id, second.next_attempt_at) == ("msg_2", None)
    assert first.created_at == CHANGED_AT
    assert [(one.status, one.response) for one in first.attempts] == [(500, "Oh!")]


def test_pending_deliveries_arrive(
    old_data: None, offices: Offices, run_jobs: Callable[..., None]
) -> None:
    flask_migrate.upgrade()
    offices.trust("munich", SECRET)
    run_jobs()
    received = offices.received()
    assert states(received) == ["manufacturing", "manufactured"]
    assert [one.body for one in received] == [FIRST_BODY.encode(), SECOND_BODY.encode()]
    assert [one.webhook_id for one in received] == ["msg_1", "msg_2"]
    assert all(one.verified for one in received)
    (job,) = all_jobs("webhook_delivery")
    assert (job.id, job.state.value) == (JOB_ID, "succeeded")


def test_the_api_shows_them_and_adds_more(old_data: None, app: Flask, offices: Offices) -> None:
    flask_migrate.upgrade()
    admin: FlaskClient = people.signed_in(app, people.make_user(is_admin=True))
    items = admin.get("/v1/webhook-deliveries?regional_office_id=7").get_json()["items"]
    assert [(item["id"], item["purchase_id"]) for item in items] == [(51, 31), (52, 31)]
    assert admin.get("/v1/regional-offices/7").get_json()["webhook_url"] == offices.url("munich")
    created = admin.post("/v1/regional-offices", json={"name": "Rome"})
    assert created.status_code == 201
    assert admin.get(created.headers["Location"]).get_json()["name"] == "Rome"


def test_the_way_back_and_forth_loses_nothing(old_data: None, app: Flask) -> None:
    tables = ("regional_office", "webhook_secret", "webhook_delivery", "delivery_attempt")
    before = {table: rows_of(table) for table in tables}
    db.session.remove()
    flask_migrate.upgrade()
    flask_migrate.downgrade(revision="0007")
    assert {table: rows_of(table) for table in tables} == before
    (job,) = all_jobs("webhook_delivery")
    assert (job.arguments, job.singleton) == ({"regional_office_id": 7}, "webhooks:7")
    db.session.remove()
    flask_migrate.upgrade()
    assert [one.body for one in all_deliveries()] == [FIRST_BODY, SECOND_BODY]


def test_more_deliveries_than_fit_on_a_page(old_data: None, app: Flask) -> None:
    """They are read and written in pages of a thousand."""
    numbers = range(1000, 3001)
    now = utcnow()
    with transaction():
        common = {"regional_office_id": 7, "make_id": 474, "car_model": "Civic"}
        times = {"created_at": now, "updated_at": now}
        insert(
            "purchase",
            *(
                {"id": n, "external_order_number": str(n), "state": "ordered", **common, **times}
                for n in numbers
            ),
        )
        change = {"previous_state": "ordered", "state": "cancelled", "at": now}
        insert("purchase_change", *({"id": n, "purchase_id": n, **change} for n in numbers))
        ended = {"state": "failed", "tries": 1, "next_attempt_at": None, "ended_at": now}
        shared = {"regional_office_id": 7, "request_id": None, "created_at": now, **ended}
        insert(
            "webhook_delivery",
            *(
                {"id": n, "webhook_id": f"msg_{n}", "purchase_id": n, "change_id": n, **shared}
                for n in numbers
            ),
        )
    db.session.remove()
    flask_migrate.upgrade()
    delivery = table_of(WebhookDelivery)
    found = db.session.execute(
        sa.select(delivery.c.id, delivery.c.subject).where(delivery.c.id >= 1000)
    )
    assert {tuple(row) for row in found} == {(n, f"purchase:{n}") for n in numbers}
