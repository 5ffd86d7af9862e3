"""Running servers, used by a standard client library that knows only their URL."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import pytest
import requests
from authlib.integrations.requests_client import OAuth2Session
from authlib.oauth2.rfc8414 import AuthorizationServerMetadata
from authlib.oauth2.rfc9207 import AuthorizationServerMetadata as IssuerMetadata
from flask import Flask

from automart.accounts.login_throttle import ACCOUNT
from automart.accounts.models import Client, User
from automart.accounts.service import create_application
from automart.core.config import Settings
from automart.core.db import db, release_connection, transaction
from tests.oauth.pages import hidden_fields
from tests.support.databases import on_sqlite
from tests.support.forks import ROOT, Fork
from tests.support.limits import LIMIT
from tests.support.people import PASSWORD
from tests.support.ports import free_port
from tests.support.processes import environment, until

pytestmark = pytest.mark.processes

THROTTLED_SECONDS = 3600
# No attempt to log in becomes free during a test.
PATCH = f"""
from dataclasses import replace
from automart.accounts import login_throttle
from automart.oauth import signing_keys
signing_keys.MAX_AGE_SECONDS = 1.0
login_throttle.ACCOUNT = replace(
    login_throttle.ACCOUNT, interval_ms={THROTTLED_SECONDS * 1000}
)
"""
CALLBACK = "http://127.0.0.1:9/callback"  # no server listens here: the redirect is not followed


@contextmanager
def serving(settings: Settings, port: int, *, workers: int = 1) -> Iterator[str]:
    """Yield the URL of a gunicorn whose processes read the signing keys every second."""
    options = ["--bind", f"127.0.0.1:{port}", "--workers", str(workers), "--threads", "4"]
    url = f"http://127.0.0.1:{port}"
    log = settings.instance / "web.log"
    web = Fork(
        "gunicorn",
        ["wsgi:app", *options, "--chdir", str(ROOT)],
        env=environment(settings),
        folder=settings.instance,
        log=log,
        patch=PATCH,
    )
    try:
        until(lambda: web.poll() is not None or answers(url))
        assert web.poll() is None, log.read_text()
        yield url
    finally:
        web.terminate()
        web.wait()


def answers(url: str) -> bool:
    try:
        return requests.get(f"{url}/.well-known/jwks.json", timeout=LIMIT).ok
    except (requests.ConnectionError, requests.Timeout):
        return False


def discover(url: str) -> dict[str, Any]:
    """Fetch and validate the metadata as RFC 8414 requires of a client."""
    found = requests.get(f"{url}/.well-known/oauth-authorization-server", timeout=LIMIT).json()
    metadata = AuthorizationServerMetadata(found)
    # `validate()` would require https, except for localhost.
    metadata.validate_response_types_supported()
    metadata.validate_grant_types_supported()
    metadata.validate_token_endpoint_auth_methods_supported()
    metadata.validate_code_challenge_methods_supported()
    IssuerMetadata(found).validate_authorization_response_iss_parameter_supported()
    assert found["issuer"] == url
    return dict(found)


def log_in_and_return(address: str, email: str) -> str:
    """Act as the browser of a user until the redirect to the application. Return its URL."""
    with requests.Session() as browser:
        login_page = browser.get(address, timeout=LIMIT)
        root = "/".join(address.split("/")[:3])
        consent_page = submit(browser, root, login_page, email=email, password=PASSWORD)
        while consent_page.is_redirect:
            url = root + consent_page.headers["Location"]
            consent_page = browser.get(url, allow_redirects=False, timeout=LIMIT)
        return submit(browser, root, consent_page, consent="yes").headers["Location"]


def submit(
    browser: requests.Session, root: str, page: requests.Response, **values: str
) -> requests.Response:
    """Submit the last form of a page."""
    action = re.findall(r'<form method="post" action="([^"]+)"', page.text)[-1]
    fields = hidden_fields(page.text) | values
    return browser.post(root + action, data=fields, allow_redirects=False, timeout=LIMIT)


def can_read(url: str, token: str) -> bool:
    header = {"Authorization": f"Bearer {token}"}
    return requests.get(f"{url}/v1/makes", headers=header, timeout=LIMIT).ok


def test_a_standard_client_completes_every_grant_found_by_discovery_alone(
    app: Flask,
    settings: Settings,
    make_user: Callable[..., User],
    make_client: Callable[..., Client],
) -> None:
    user, machine = make_user(), make_client("catalogue", secret="a secret")
    email, service_id = user.email, machine.id
    with transaction():
        front = create_application("Front end", [CALLBACK]).id
    release_connection()
    port = free_port()
    named = replace(settings, public_url=f"http://127.0.0.1:{port}")
    with serving(named, port) as url:
        server = discover(url)

        person = OAuth2Session(
            front,
            redirect_uri=CALLBACK,
            code_challenge_method="S256",
            token_endpoint=server["token_endpoint"],
            token_endpoint_auth_method="none",
        )
        verifier = "a verifier of at least forty-three characters".replace(" ", "-")
        address, state = person.create_authorization_url(
            server["authorization_endpoint"], code_verifier=verifier
        )
        back = log_in_and_return(address, email)
        first = person.fetch_token(authorization_response=back, state=state, code_verifier=verifier)
        assert can_read(url, first["access_token"])
        second = person.refresh_token()
        assert second["refresh_token"] != first["refresh_token"]
        assert can_read(url, second["access_token"])
        revoked = person.revoke_token(server["revocation_endpoint"], second["refresh_token"])
        assert revoked.status_code == 200
        assert not can_read(url, second["access_token"])

        for method in ("client_secret_basic", "client_secret_post"):
            service = OAuth2Session(
                service_id,
                "a secret",
                token_endpoint=server["token_endpoint"],
                token_endpoint_auth_method=method,
            )
            token = service.fetch_token(grant_type="client_credentials", scope="catalogue")
            assert can_read(url, token["access_token"])
        person.close()
        service.close()


@on_sqlite
def test_throttling_holds_over_processes_and_survives_a_restart(
    app: Flask, settings: Settings, make_user: Callable[..., User]
) -> None:
    body = {"email": make_user().email, "password": "wrong"}
    db.session.rollback()
    port = free_port()
    with serving(settings, port, workers=3) as url:
        statuses = [
            requests.post(f"{url}/login", json=body, timeout=LIMIT).status_code
            for _ in range(ACCOUNT.burst + 3)
        ]
        assert statuses == [401] * ACCOUNT.burst + [429] * 3
    with serving(settings, port) as url:
        right = body | {"password": PASSWORD}
        answer = requests.post(f"{url}/login", json=right, timeout=LIMIT)
        assert answer.status_code == 429
        assert 0 < int(answer.headers["Retry-After"]) <= THROTTLED_SECONDS


@on_sqlite
def test_every_process_finds_new_keys(
    app: Flask, settings: Settings, make_user: Callable[..., User]
) -> None:
    body = {"email": make_user().email, "password": PASSWORD}
    db.session.rollback()
    with serving(settings, free_port()) as url:

        def new_token() -> str:
            return str(
                requests.post(f"{url}/login", json=body, timeout=LIMIT).json()["access_token"]
            )

        first = new_token()
        rotate_keys(settings)
        second = new_token()
        assert can_read(url, first)
        assert can_read(url, second)
        rotate_keys(settings, "--at-once")
        until(lambda: not can_read(url, second))
        assert can_read(url, new_token())


def rotate_keys(settings: Settings, *options: str) -> None:
    command = Fork(
        "automart",
        ["keys", "rotate", *options],
        env=environment(settings),
        folder=settings.instance,
        log=settings.instance / "rotation.log",
    )
    assert command.wait() == 0
