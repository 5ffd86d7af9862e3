"""`Cache-Control`: what one caller sees is for no other."""

from __future__ import annotations

from flask import Flask
from flask.testing import FlaskClient

from tests.support.catalogue import HONDA, add_make

PRIVATE = "private, no-cache"


def test_responses_to_those_who_are_logged_in_are_private(as_admin: FlaskClient) -> None:
    add_make()
    found = as_admin.get(f"/v1/makes/{HONDA}")
    unchanged = {"If-None-Match": found.headers["ETag"]}
    for response, status in (
        (found, 200),
        (as_admin.get(f"/v1/makes/{HONDA}", headers=unchanged), 304),
        (as_admin.get("/v1/makes"), 200),
        (as_admin.get("/v1/makes/1"), 404),
        (as_admin.get("/v1/nothing"), 404),
        (as_admin.post("/v1/makes", json={"id": 1}), 422),
        (as_admin.patch(f"/v1/makes/{HONDA}", json={"name": "HONDA"}), 200),
        (as_admin.delete(f"/v1/makes/{HONDA}"), 204),
        (as_admin.get("/metrics"), 200),
    ):
        assert response.status_code == status
        assert response.headers["Cache-Control"] == PRIVATE, response.request.path


def test_denials_are_private_too(app: Flask, as_user: FlaskClient) -> None:
    assert as_user.get("/v1/users").status_code == 403
    assert as_user.get("/v1/users").headers["Cache-Control"] == PRIVATE
    refused = app.test_client().get("/v1/makes", headers={"Authorization": "Bearer wrong"})
    assert refused.status_code == 401
    assert refused.headers["Cache-Control"] == PRIVATE


def test_public_responses_are_not_private(app: Flask) -> None:
    assert "private" not in app.test_client().get("/health").headers.get("Cache-Control", "")


def test_health_is_never_stored(app: Flask) -> None:
    for path in ("/health", "/health/live", "/health/ready"):
        assert app.test_client().get(path).headers["Cache-Control"] == "no-store"
