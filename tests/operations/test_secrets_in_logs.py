"""No password, token or other secret is ever logged."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace

import pytest
from flask import Flask
from flask.testing import FlaskClient

from automart.accounts.service import create_application
from automart.core.config import Settings
from automart.core.db import db, transaction
from automart.core.errors import Unavailable
from automart.core.logging import configure_logging
from automart.core.storage import current_storage
from automart.partners.models import RegionalOffice
from automart.purchases.models import PurchaseState
from sandbox.office import Offices
from tests.oauth.pages import CALLBACK, VERIFIER, code_for, exchange, log_in, refresh
from tests.support import people
from tests.support.people import PASSWORD
from tests.support.purchases import make_purchase
from tests.support.setup import SECRET

NEW_PASSWORD = "another four words entirely"
S3_KEY, S3_SECRET = "an-access-key-of-s3", "a-secret-of-s3"


@pytest.fixture
def settings(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> Settings:
    """Return settings with offices on this machine, and an S3 that is down."""
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:1")
    photos = {"aws_access_key_id": S3_KEY, "aws_secret_access_key": S3_SECRET}
    return replace(settings, webhook_allow_private=True, photo_storage="s3://photos", **photos)


@pytest.fixture(autouse=True)
def _as_deployed() -> Iterator[None]:
    configure_logging("json")
    yield
    configure_logging("console")


def test_no_use_of_secrets_logs_them(
    app: Flask,
    client: FlaskClient,
    offices: Offices,
    run_jobs: Callable[[], None],
    capsys: pytest.CaptureFixture[str],
) -> None:
    configure_logging("json")  # each phase of a test has another standard error
    secrets = {PASSWORD, NEW_PASSWORD, VERIFIER, SECRET}
    admin = people.make_user(is_admin=True)
    secrets |= people_log_in(app, admin.email)
    as_admin = people.signed_in(app, admin)
    secrets.add(as_admin.environ_base["HTTP_AUTHORIZATION"].removeprefix("Bearer "))
    secrets |= machines_log_in(client, as_admin)
    secrets |= {"wrong password of somebody", "no.good.token", "token-in-a-query"}
    failures(client, as_admin)
    secrets |= an_office_is_notified(as_admin, offices, run_jobs)
    secrets |= {S3_KEY, S3_SECRET}
    with pytest.raises(Unavailable):
        current_storage().get("ab/cd.webp")

    logged = capsys.readouterr().err
    assert logged.count('"event": "request"') >= 20
    assert logged.count('"event": "audit"') >= 5
    assert logged.count('"event": "webhook_sent"') == 1
    assert logged.count('"event": "storage_unavailable"') == 1
    assert len(secrets) >= 20
    assert [secret for secret in secrets if secret in logged] == []


def people_log_in(app: Flask, email: str) -> set[str]:
    """Log in by JSON and on the page, also for an application, and change the password."""
    browser, program = app.test_client(), app.test_client()
    tokens = program.post("/login", json={"email": email, "password": PASSWORD}).get_json()
    found = {tokens["access_token"], tokens["refresh_token"]}
    refreshed = refresh(program, tokens["refresh_token"]).get_json()
    found |= {refreshed["access_token"], refreshed["refresh_token"]}

    assert log_in(browser, email).status_code == 303
    with transaction():
        front = create_application("Front end", [CALLBACK]).id
    code = code_for(browser, front)
    exchanged = exchange(program, front, code).get_json()
    found |= {code, exchanged["access_token"], exchanged["refresh_token"]}
    cookie = browser.get_cookie("automart_session")
    assert cookie is not None
    found.add(cookie.value)

    change = {"current_password": PASSWORD, "password": NEW_PASSWORD}
    headers = {"Authorization": f"Bearer {refreshed['access_token']}"}
    assert program.patch("/v1/users/me", json=change, headers=headers).status_code == 200
    form = {"token": refreshed["refresh_token"]}
    assert program.post("/oauth/revoke", data=form).status_code == 200
    return found


def machines_log_in(client: FlaskClient, as_admin: FlaskClient) -> set[str]:
    """Create a client secret, use it in both ways, and replace it."""
    wanted = {"name": "Robot", "kind": "service", "scopes": ["catalogue"]}
    made = as_admin.post("/v1/clients", json=wanted).get_json()
    named = {"client_id": made["client_id"], "client_secret": made["client_secret"]}
    found = {made["client_secret"], client.post("/login", json=named).get_json()["access_token"]}
    form = {"grant_type": "client_credentials"}
    basic = client.post("/oauth/token", data=form, auth=tuple(named.values()))
    posted = client.post("/oauth/token", data=form | named)
    found |= {basic.get_json()["access_token"], posted.get_json()["access_token"]}
    rotated = as_admin.post(f"/v1/clients/{made['client_id']}/rotate-secret").get_json()
    assert client.post("/login", json=named).status_code == 401
    return found | {rotated["client_secret"]}


def failures(client: FlaskClient, as_admin: FlaskClient) -> None:
    """Send secrets to the wrong places."""
    wrong = {"email": "somebody@example.com", "password": "wrong password of somebody"}
    assert client.post("/login", json=wrong).status_code == 401
    assert client.post("/login", json=wrong | {"extra": 1}).status_code == 422
    assert client.post("/login", data=str(wrong)).status_code == 415
    headers = {"Authorization": "Bearer no.good.token"}
    assert client.get("/v1/makes", headers=headers).status_code == 401
    assert client.get("/v1/makes?access_token=token-in-a-query").status_code == 401
    named = {"name": PASSWORD, "email": "x@example.com", "password": PASSWORD, "is_admin": "yes"}
    assert as_admin.post("/v1/users", json=named).status_code == 422


def an_office_is_notified(
    as_admin: FlaskClient, offices: Offices, run_jobs: Callable[[], None]
) -> set[str]:
    """Deliver a webhook that is signed with an old and a new secret."""
    wanted = {"name": "Munich", "webhook_url": offices.url("munich")}
    made = as_admin.post("/v1/regional-offices", json=wanted).get_json()
    rotate = f"/v1/regional-offices/{made['id']}/rotate-webhook-secret"
    rotated = as_admin.post(rotate).get_json()
    offices.trust("munich", rotated["webhook_secret"])
    office = db.session.get_one(RegionalOffice, made["id"])
    make_purchase(office, PurchaseState.MANUFACTURING)
    run_jobs()
    (webhook,) = offices.received()
    assert webhook.verified, webhook.reason
    found = {answer["webhook_secret"].removeprefix("whsec_") for answer in (made, rotated)}
    return found | set(webhook.headers["webhook-signature"].split())
