"""Uses the login page as a browser does, without JavaScript."""

from __future__ import annotations

import base64
import hashlib
import re
import secrets
from typing import Any
from urllib.parse import parse_qs, urlencode, urlsplit

from flask.testing import FlaskClient
from werkzeug.test import TestResponse

from automart.accounts.models import AuditEvent
from automart.core.db import db
from tests.support.people import PASSWORD

VERIFIER = secrets.token_urlsafe(32)
CALLBACK = "https://front.example/callback"


def challenge_of(verifier: str) -> str:
    digest = hashlib.sha256(verifier.encode()).digest()
    return base64.urlsafe_b64encode(digest).rstrip(b"=").decode()


def hidden_fields(page: str) -> dict[str, str]:
    """Return the hidden fields of the last form on a page."""
    form = page[page.rindex("<form") :]
    fields = re.findall(r'<input type="hidden" name="(\w+)" value="([^"]*)"', form)
    return {name: value.replace("&amp;", "&").replace("&#39;", "'") for name, value in fields}


def log_in(
    browser: FlaskClient, email: str, password: str = PASSWORD, *, where: str = "/login"
) -> TestResponse:
    """Open the login page, fill in the form and send it."""
    fields = hidden_fields(browser.get(where).get_data(as_text=True))
    return browser.post("/login", data=fields | {"email": email, "password": password})


def shown_problem(page: str) -> str:
    """Return the error that a page shows."""
    (problem,) = re.findall(r'<p class="problem" role="alert" id="problem">(.*)</p>', page)
    return str(problem)


def authorize_url(client_id: str | None, **changes: Any) -> str:
    """Return an authorization request. Parameters that are None are omitted."""
    parameters = {
        "response_type": "code",
        "client_id": client_id,
        "redirect_uri": CALLBACK,
        "code_challenge": challenge_of(VERIFIER),
        "code_challenge_method": "S256",
        "state": "a state",
    } | changes
    kept = {name: value for name, value in parameters.items() if value is not None}
    return "/oauth/authorize?" + urlencode(kept)


def sent_back(response: TestResponse) -> dict[str, str]:
    """Return the parameters of a redirect to the application."""
    query = parse_qs(urlsplit(response.headers["Location"]).query)
    return {name: values[0] for name, values in query.items()}


def code_for(browser: FlaskClient, client_id: str) -> str:
    """Return an authorization code, requested with a browser that is logged in."""
    return sent_back(browser.get(authorize_url(client_id)))["code"]


def exchange(client: FlaskClient, client_id: str, code: str, **changes: str) -> TestResponse:
    """Return the response to the exchange of a code for tokens."""
    form = {
        "grant_type": "authorization_code",
        "client_id": client_id,
        "code": code,
        "redirect_uri": CALLBACK,
        "code_verifier": VERIFIER,
    }
    return client.post("/oauth/token", data=form | changes)


def refresh(client: FlaskClient, token: str, **more: str) -> TestResponse:
    form = {"grant_type": "refresh_token", "refresh_token": token}
    return client.post("/oauth/token", data=form | more)


def me(client: FlaskClient, access_token: str) -> int:
    """Return the status of a request for the current user."""
    header = {"Authorization": f"Bearer {access_token}"}
    return client.get("/v1/users/me", headers=header).status_code


def audited(kind: str) -> list[tuple[str | None, str | None, dict[str, Any] | None]]:
    """Return actor, subject and detail of the events of this kind in the audit trail."""
    db.session.rollback()
    events = db.session.query(AuditEvent).filter_by(kind=kind).order_by(AuditEvent.id)
    return [(event.actor, event.subject, event.detail) for event in events]


def error_of(response: Any, status: int = 400) -> str:
    """Return the error of a response in the format of RFC 6749 §5.2."""
    assert response.status_code == status, response.get_data(as_text=True)
    assert response.mimetype == "application/json"
    assert response.get_json()["error_description"]
    error: str = response.get_json()["error"]
    return error
