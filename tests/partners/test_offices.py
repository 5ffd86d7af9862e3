"""An administrator looks after regional offices."""

from __future__ import annotations

import base64

import pytest
from flask import Flask
from flask.testing import FlaskClient

from automart.accounts.models import Client
from automart.core.db import db
from automart.webhooks.models import WebhookSecret
from tests.support.databases import on_sqlite
from tests.support.http import assert_problem
from tests.support.inventory import ids, pointers
from tests.support.purchases import client_of, make_office, make_purchase

URL = "https://office.example/webhooks"


@pytest.fixture
def client(as_admin: FlaskClient) -> FlaskClient:
    return as_admin


def test_an_office_is_added_and_its_secret_shown_once(client: FlaskClient) -> None:
    created = client.post("/v1/regional-offices", json={"name": "Munich", "webhook_url": URL})
    assert created.status_code == 201
    office = created.get_json()
    secret = office.pop("webhook_secret")
    assert secret.startswith("whsec_")
    assert len(base64.b64decode(secret.removeprefix("whsec_"))) == 32
    assert created.headers["Cache-Control"] == "no-store"
    assert office == {
        "id": office["id"],
        "name": "Munich",
        "webhook_url": URL,
        "webhook_enabled": True,
    }
    read = client.get(created.headers["Location"])
    assert read.get_json() == office
    assert client.get("/v1/regional-offices").get_json()["items"] == [office]


def test_the_secret_is_not_stored_in_clear(client: FlaskClient) -> None:
    secret = client.post("/v1/regional-offices", json={"name": "Munich"}).get_json()
    (row,) = db.session.query(WebhookSecret).all()
    assert secret["webhook_secret"].removeprefix("whsec_") not in row.encrypted


@on_sqlite
@pytest.mark.parametrize(
    "url",
    [
        "ftp://office.example/",
        "office.example",
        "https://",
        "https:///path",
        "https://user@office.example/",
        "https://user:password@office.example/",
        "https://office.example:99999/",
        "https://office.example:0/",
        "https://[::1/",
        "https://exa$mple.com/",
        "https://a,b/",
        "https://(x)/",
        "https://./",
        "https://%/",
        "https://~/",
        "https://a..b/",
        "https://-office.example/",
        "https://999.1.1.1/",
        "https://office.example/#part",
        "https://office.example/#",
        'https://office.example/"x"',
        "https://office.example/<x>",
        "https://office.example/a b",
        "https://bücher.example/",
        "javascript:alert(1)",
        "https://office.example/" + "x" * 2000,
        "",
        7,
    ],
)
def test_a_url_that_is_none_is_refused(client: FlaskClient, url: object) -> None:
    response = client.post("/v1/regional-offices", json={"name": "Munich", "webhook_url": url})
    assert pointers(response) == {"#/webhook_url"}


@pytest.mark.parametrize(
    "url", ["http://office.example", "https://[2001:db8::1]:8443/x?y=z", "HTTPS://Office.Example/"]
)
def test_http_and_https_urls_are_taken(client: FlaskClient, url: str) -> None:
    response = client.post("/v1/regional-offices", json={"name": "Munich", "webhook_url": url})
    assert response.get_json()["webhook_url"] == url


def test_an_office_is_changed(client: FlaskClient) -> None:
    office = make_office(webhook_url=URL)
    path = f"/v1/regional-offices/{office.id}"
    changed = client.patch(path, json={"webhook_url": None, "webhook_enabled": False})
    assert changed.get_json() == {
        "id": office.id,
        "name": office.name,
        "webhook_url": None,
        "webhook_enabled": False,
    }
    assert client.patch(path, json={}).status_code == 200
    assert pointers(client.patch(path, json={"name": None})) == {"#/name"}
    assert pointers(client.patch(path, json={"webhook_secret": "x"})) == {"#/webhook_secret"}


def test_two_administrators_do_not_overwrite_each_other(client: FlaskClient) -> None:
    path = f"/v1/regional-offices/{make_office().id}"
    etag = client.get(path).headers["ETag"]
    assert client.patch(path, json={"name": "A"}, headers={"If-Match": etag}).status_code == 200
    assert client.patch(path, json={"name": "B"}, headers={"If-Match": etag}).status_code == 412
    assert client.delete(path, headers={"If-Match": etag}).status_code == 412


def test_what_comes_with_a_secret_can_be_changed_as_it_is(client: FlaskClient) -> None:
    created = client.post("/v1/regional-offices", json={"name": "Munich"})
    path = created.headers["Location"]
    rotated = client.post(f"{path}/rotate-webhook-secret")
    machine = client.post(f"{path}/clients", json={"name": "Till 1"})
    for answer, where in ((created, path), (rotated, path), (machine, machine.location)):
        etag = answer.headers["ETag"]
        assert client.get(where).headers["ETag"] == etag
        changed = client.patch(where, json={"name": "Till 2"}, headers={"If-Match": etag})
        assert changed.status_code == 200, where
        client.patch(where, json={"name": "Munich"})


def test_an_office_with_purchases_stays(client: FlaskClient) -> None:
    office, empty = make_office(), make_office()
    make_purchase(office)
    refused = assert_problem(client.delete(f"/v1/regional-offices/{office.id}"), 409)
    assert refused["detail"] == f"Regional office {office.id} still has purchases."
    assert client.delete(f"/v1/regional-offices/{empty.id}").status_code == 204
    assert ids(client.get("/v1/regional-offices")) == [office.id]


def test_an_office_has_clients_that_go_with_it(client: FlaskClient, app: Flask) -> None:
    office, other = make_office(), make_office()
    of_other = client_of(other).id
    created = client.post(f"/v1/regional-offices/{office.id}/clients", json={"name": "Till 1"})
    assert created.status_code == 201
    assert created.headers["Cache-Control"] == "no-store"
    machine = created.get_json()
    assert machine["kind"] == "service"
    assert machine["scopes"] == ["office"]
    credentials = {name: machine[name] for name in ("client_id", "client_secret")}
    login = app.test_client().post("/login", json=credentials)
    assert login.status_code == 200
    token = {"Authorization": f"Bearer {login.get_json()['access_token']}"}
    assert app.test_client().get("/v1/purchases", headers=token).status_code == 200
    listed = client.get("/v1/clients?limit=100").get_json()["items"]
    assert machine["client_id"] in [item["client_id"] for item in listed]
    assert client.delete(f"/v1/regional-offices/{office.id}").status_code == 204
    db.session.rollback()
    assert db.session.get(Client, machine["client_id"]) is None
    assert db.session.get(Client, of_other) is not None
    assert app.test_client().get("/v1/purchases", headers=token).status_code == 401


def test_the_scopes_of_partners_are_not_to_be_had_elsewhere(client: FlaskClient) -> None:
    for scope in ("office", "manufacturer"):
        body = {"name": "Sly", "kind": "service", "scopes": [scope]}
        assert client.post("/v1/clients", json=body).status_code == 422


def test_rotation_shows_a_new_secret(client: FlaskClient) -> None:
    created = client.post("/v1/regional-offices", json={"name": "Munich"}).get_json()
    path = f"/v1/regional-offices/{created['id']}/rotate-webhook-secret"
    rotated = client.post(path)
    assert rotated.status_code == 200
    assert rotated.headers["Cache-Control"] == "no-store"
    assert rotated.get_json()["webhook_secret"] != created["webhook_secret"]
    events = client.get("/v1/audit-events?kind=webhook_secret_rotated").get_json()["items"]
    assert [event["subject"] for event in events] == [f"regional_office:{created['id']}"]


@pytest.mark.parametrize("path", ["", "/clients", "/rotate-webhook-secret"])
def test_an_office_that_is_not_there(client: FlaskClient, path: str) -> None:
    send = client.post if path else client.get
    body = {"name": "Till"} if path == "/clients" else None
    assert send(f"/v1/regional-offices/4711{path}", json=body).status_code == 404
