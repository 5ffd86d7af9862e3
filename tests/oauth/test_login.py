"""Logins with JSON and with the page."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from argon2 import PasswordHasher
from flask import Flask
from flask.testing import FlaskClient
from itsdangerous import TimestampSigner
from sqlalchemy import event, select, update

from automart.accounts import login_throttle, passwords
from automart.accounts.login_throttle import ACCOUNT, ADDRESS, LoginThrottle
from automart.accounts.models import Client, Login, User
from automart.accounts.passwords import hash_password, needs_rehash
from automart.accounts.sessions import BROWSER_SESSION_LIFETIME
from automart.core.config import Settings
from automart.core.db import db, transaction, utcnow
from automart.oauth.models import RefreshToken
from tests.oauth.pages import audited, authorize_url, hidden_fields, log_in, me, shown_problem
from tests.support.databases import on_sqlite
from tests.support.http import assert_problem
from tests.support.people import PASSWORD, RECOMMENDED_HASHER, token_of, with_token
from tests.support.setup import application


@pytest.fixture
def ann(make_user: Callable[..., User]) -> User:
    return make_user(email="Ann@example.com")


@pytest.fixture
def recommended_hasher(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Hash passwords as the product does, not at the low cost of other tests."""
    monkeypatch.setattr(passwords, "_hasher", RECOMMENDED_HASHER)
    passwords._dummy_hash.cache_clear()
    yield
    passwords._dummy_hash.cache_clear()


def post_login(client: FlaskClient, email: str, password: str = PASSWORD, **kwargs: Any) -> Any:
    return client.post("/login", json={"email": email, "password": password}, **kwargs)


class TestJsonLogin:
    def test_a_login_returns_valid_tokens(self, client: FlaskClient, ann: User) -> None:
        response = post_login(client, "ann@EXAMPLE.com")
        assert response.status_code == 200
        assert response.headers["Cache-Control"] == "no-store"
        tokens = response.get_json()
        assert tokens.keys() == {"access_token", "token_type", "expires_in", "refresh_token"}
        assert (tokens["token_type"], tokens["expires_in"]) == ("Bearer", 900)
        assert me(client, tokens["access_token"]) == 200

    def test_a_json_login_opens_no_session(self, client: FlaskClient, ann: User) -> None:
        response = post_login(client, ann.email)
        assert "Set-Cookie" not in response.headers

    def test_a_service_client_gets_no_refresh_token(
        self, client: FlaskClient, make_client: Callable[..., Client]
    ) -> None:
        service = make_client("catalogue", secret="a secret")
        body = {"client_id": service.id, "client_secret": "a secret"}
        tokens = client.post("/login", json=body).get_json()
        assert "refresh_token" not in tokens
        header = {"Authorization": f"Bearer {tokens['access_token']}"}
        made = client.post("/v1/makes", json={"id": 1, "name": "A"}, headers=header)
        assert made.status_code == 201

    def test_refresh_tokens_are_stored_as_hashes(self, client: FlaskClient, ann: User) -> None:
        refresh_token = post_login(client, ann.email).get_json()["refresh_token"]
        stored = [row.token_hash for row in db.session.query(RefreshToken)]
        assert len(stored) == 1
        assert refresh_token not in stored[0]

    @on_sqlite
    @pytest.mark.parametrize(
        ("body", "status"),
        [
            ({"email": "a@example.com"}, 422),
            ({"client_id": "a"}, 422),
            ({"email": "a@example.com", "password": "b", "more": 1}, 422),
            ({"email": 1, "password": "b"}, 422),
            ([], 422),
            ({"email": "\x00", "password": "\ud800"}, 401),
            ({"email": "\ud800@example.com", "password": "b"}, 401),
            ({"email": "a" * 100_000, "password": "b" * 100_000}, 401),
            ({"client_id": "\x00", "client_secret": "\ud800"}, 401),
        ],
    )
    def test_an_invalid_login_gets_a_problem(
        self, client: FlaskClient, body: Any, status: int
    ) -> None:
        response = client.post("/login", json=body)
        assert response.status_code == status
        assert response.mimetype == "application/problem+json"

    def test_other_media_types_are_refused(self, client: FlaskClient) -> None:
        response = client.post("/login", data="a", content_type="text/plain")
        assert response.status_code == 415

    def test_a_password_is_compared_exactly_as_sent(
        self, client: FlaskClient, make_user: Callable[..., User]
    ) -> None:
        user = make_user(password=" Spaces, and ÄÖÜ count ")
        assert post_login(client, user.email, " Spaces, and ÄÖÜ count ").status_code == 200
        assert post_login(client, user.email, "Spaces, and ÄÖÜ count").status_code == 401
        assert post_login(client, user.email, " spaces, and äöü count ").status_code == 401
        decomposed = " Spaces, and A\u0308O\u0308U\u0308 count "
        assert post_login(client, user.email, decomposed).status_code == 401

    @pytest.mark.usefixtures("recommended_hasher")
    def test_a_hash_with_old_parameters_is_replaced_at_login(
        self, client: FlaskClient, ann: User
    ) -> None:
        weak = PasswordHasher(time_cost=1, memory_cost=8192, parallelism=1).hash(PASSWORD)
        with transaction():
            ann.password_hash = weak
        assert needs_rehash(weak)
        assert post_login(client, ann.email).status_code == 200
        db.session.refresh(ann)
        assert ann.password_hash.startswith("$argon2id$v=19$m=19456,t=2,p=1$")
        assert post_login(client, ann.email).status_code == 200


class TestNoEnumeration:
    def test_unknown_wrong_and_inactive_accounts_get_the_same_response(
        self, client: FlaskClient, ann: User, make_user: Callable[..., User]
    ) -> None:
        gone = make_user(is_active=False)
        answers = [
            post_login(client, "nobody@example.com"),
            post_login(client, ann.email, "not the password"),
            post_login(client, gone.email),
        ]
        assert {answer.status_code for answer in answers} == {401}
        for answer in answers:
            assert answer.headers["WWW-Authenticate"].startswith("Bearer")
        responses = {
            tuple(v for k, v in sorted(answer.get_json().items()) if k != "request_id")
            for answer in answers
        }
        assert len(responses) == 1

    def test_unknown_clients_and_wrong_secrets_get_the_same_response(
        self, client: FlaskClient, make_client: Callable[..., Client]
    ) -> None:
        bodies = [
            {"client_id": name, "client_secret": "wrong"}
            for name in (make_client().id, "unknown", "docs")
        ]
        answers = [client.post("/login", json=body) for body in bodies]
        assert {(a.status_code, a.get_json()["detail"]) for a in answers} == {
            (401, "The credentials are wrong.")
        }

    def test_an_unknown_account_costs_the_same_work(
        self, app: Flask, client: FlaskClient, ann: User, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Compares the work instead of the time: hashes of the same cost, the same statements."""
        work: list[str] = []
        verify = PasswordHasher.verify

        def watched(hasher: PasswordHasher, stored: str, password: bytes) -> bool:
            work.append(stored.rpartition("$")[0].rpartition("$")[0])
            return verify(hasher, stored, password)

        monkeypatch.setattr(PasswordHasher, "verify", watched)
        event.listen(
            db.engine, "before_cursor_execute", lambda *args: work.append(args[2].split()[0])
        )
        done = []
        for email in (ann.email, "first@example.com", ann.email, "second@example.com"):
            work.clear()
            assert post_login(client, email, "not the password").status_code == 401
            done.append(list(work))
        assert "$argon2id$v=19$m=8,t=1,p=1" in done[0]
        # The first request of a process also fills its caches.
        assert done[1] == done[2] == done[3]


class TestThrottling:
    def test_an_account_is_throttled_after_repeated_failures(
        self, client: FlaskClient, ann: User, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        now = login_throttle.now_ms()
        monkeypatch.setattr(login_throttle, "now_ms", lambda: now)
        for _ in range(ACCOUNT.burst):
            assert post_login(client, ann.email, "wrong").status_code == 401
        response = post_login(client, ann.email)
        detail = assert_problem(response, 429)["detail"]
        assert detail == "Too many failed logins. Try again in 60 seconds."
        assert response.headers["Retry-After"] == "60"
        assert response.headers["RateLimit-Policy"] == '"login-account";q=10'
        assert response.headers["RateLimit"].startswith('"login-account";r=0;t=')

    def test_an_unknown_account_is_throttled_like_a_known_one(self, client: FlaskClient) -> None:
        statuses = [post_login(client, "nobody@example.com").status_code for _ in range(11)]
        assert statuses == [401] * 10 + [429]

    def test_an_account_can_log_in_again_after_a_minute(
        self, client: FlaskClient, ann: User
    ) -> None:
        for _ in range(ACCOUNT.burst):
            post_login(client, ann.email, "wrong")
        assert post_login(client, ann.email).status_code == 429
        with transaction():  # a minute passes
            db.session.query(LoginThrottle).update(
                {LoginThrottle.charged_until: LoginThrottle.charged_until - ACCOUNT.interval_ms}
            )
        assert post_login(client, ann.email).status_code == 200

    def test_successful_logins_do_not_count_against_the_limit(
        self, client: FlaskClient, ann: User
    ) -> None:
        statuses = {post_login(client, ann.email).status_code for _ in range(ACCOUNT.burst + 2)}
        assert statuses == {200}

    def test_strangers_cannot_lock_out_a_user_at_a_familiar_address(
        self, client: FlaskClient, ann: User
    ) -> None:
        home: dict[str, Any] = {"environ_base": {"REMOTE_ADDR": "192.0.2.1"}}
        assert post_login(client, ann.email, **home).status_code == 200
        for number in range(ACCOUNT.burst + 1):
            stranger = {"REMOTE_ADDR": f"198.51.100.{number}"}
            post_login(client, ann.email, "wrong", environ_base=stranger)
        elsewhere = {"REMOTE_ADDR": "203.0.113.1"}
        assert post_login(client, ann.email, environ_base=elsewhere).status_code == 429
        assert post_login(client, ann.email, **home).status_code == 200

    def test_an_address_is_throttled_over_all_accounts_that_it_tries(
        self, client: FlaskClient, ann: User
    ) -> None:
        with transaction():
            row = LoginThrottle(key="x", charged_until=0)
            db.session.add(row)
        bad: dict[str, Any] = {"environ_base": {"REMOTE_ADDR": "2001:db8::1"}}
        client.post("/login", json={"client_id": "a", "client_secret": "b"}, **bad)
        with transaction():  # as if it had failed often
            db.session.query(LoginThrottle).update(
                {LoginThrottle.charged_until: LoginThrottle.charged_until + ADDRESS.tolerance_ms}
            )
        neighbour: dict[str, Any] = {"environ_base": {"REMOTE_ADDR": "2001:db8::ffff"}}
        assert post_login(client, ann.email, **neighbour).status_code == 429
        service = client.post("/login", json={"client_id": "a", "client_secret": "b"}, **bad)
        assert service.status_code == 429
        other: dict[str, Any] = {"environ_base": {"REMOTE_ADDR": "2001:db8:0:1::1"}}
        assert post_login(client, ann.email, **other).status_code == 200

    def test_the_throttle_table_contains_only_hashes(self, client: FlaskClient, ann: User) -> None:
        post_login(client, ann.email, "wrong")
        keys = " ".join(row.key for row in db.session.query(LoginThrottle))
        assert len(keys) == 2 * 64 + 1


class TestLoginPage:
    def test_the_login_page_works_without_javascript(self, client: FlaskClient, ann: User) -> None:
        response = log_in(client, ann.email)
        assert response.status_code == 303
        assert response.headers["Location"] == "/docs"
        cookie = response.headers["Set-Cookie"]
        assert "HttpOnly" in cookie
        assert "SameSite=Lax" in cookie
        assert f"You are logged in as {ann.email}." in client.get("/login").get_data(as_text=True)
        login = db.session.query(Login).one()
        assert login.expires_at - login.created_at == BROWSER_SESSION_LIFETIME

    def test_the_login_page_has_no_external_assets_and_cannot_be_framed(
        self, client: FlaskClient
    ) -> None:
        response = client.get("/login")
        page = response.get_data(as_text=True)
        assert "http:" not in page
        assert "https:" not in page
        assert "<script" not in page
        (nonce,) = re.findall(r'<style nonce="([\w-]{22})">', page)
        assert response.headers["Content-Security-Policy"] == (
            f"default-src 'none'; style-src 'nonce-{nonce}'; base-uri 'none';"
            " frame-ancestors 'none'"
        )
        assert response.headers["X-Frame-Options"] == "DENY"
        assert response.headers["Referrer-Policy"] == "no-referrer"
        assert response.headers["Cache-Control"] == "no-store"

    def test_the_login_page_has_labels_and_a_language(self, client: FlaskClient) -> None:
        page = client.get("/login").get_data(as_text=True)
        assert '<html lang="en">' in page
        for name in ("email", "password"):
            assert f'<label for="{name}">' in page
            assert f'id="{name}"' in page

    def test_a_wrong_password_shows_the_login_page_again(
        self, client: FlaskClient, ann: User
    ) -> None:
        response = log_in(client, ann.email, "wrong")
        assert response.status_code == 401
        page = response.get_data(as_text=True)
        assert shown_problem(page) == "The e-mail address or the password is wrong."
        assert f'value="{ann.email}"' in page
        fields = hidden_fields(page)
        without_password = client.post("/login", data=fields | {"email": ann.email})
        assert without_password.status_code == 401

    def test_a_throttled_login_shows_the_page_with_the_seconds_to_wait(
        self, client: FlaskClient, ann: User
    ) -> None:
        for _ in range(ACCOUNT.burst):
            post_login(client, ann.email, "wrong")
        response = log_in(client, ann.email)
        assert response.status_code == 429
        seconds = int(response.headers["Retry-After"])
        assert seconds > 0
        problem = f"Too many failed logins. Try again in {seconds} seconds."
        assert shown_problem(response.text) == problem

    def test_a_login_form_without_csrf_token_is_refused(
        self, client: FlaskClient, ann: User
    ) -> None:
        form = {"email": ann.email, "password": PASSWORD}
        refused = client.post("/login", data=form)
        client.get("/login")
        for response in (refused, client.post("/login", data=form | {"csrf_token": "guess"})):
            assert response.status_code == 400
            assert shown_problem(response.text) == "The page has expired. Please try again."
            assert f'value="{ann.email}"' in response.text
        assert db.session.query(Login).count() == 0

    @pytest.mark.parametrize(
        "where",
        [
            "https://evil.example/",
            "//evil.example/",
            "/\\evil.example/",
            "javascript:alert(1)",
            "\t//evil.example",
        ],
    )
    def test_a_login_never_redirects_to_another_host(
        self, client: FlaskClient, ann: User, where: str
    ) -> None:
        fields = hidden_fields(client.get("/login").get_data(as_text=True))
        form = fields | {"email": ann.email, "password": PASSWORD, "next": where}
        wrong = client.post("/login", data=form | {"password": "wrong"})
        assert hidden_fields(wrong.text)["next"] == ""
        assert client.post("/login", data=form).headers["Location"] == "/docs"

    def test_the_login_page_names_the_application(self, client: FlaskClient) -> None:
        response = client.get(
            authorize_url("docs", redirect_uri="http://localhost/docs/oauth2-redirect.html"),
            follow_redirects=True,
        )
        assert "API documentation" in response.get_data(as_text=True)

    def test_a_new_login_ends_the_previous_session(self, client: FlaskClient, ann: User) -> None:
        log_in(client, ann.email)
        with client.session_transaction() as session:
            first = session["login"]
        log_in(client, ann.email)
        with client.session_transaction() as session:
            assert session["login"] != first
        ended = [login.ended_at is not None for login in db.session.query(Login)]
        assert sorted(ended) == [False, True]

    def test_the_session_cookie_belongs_to_one_host_over_https(self, app: Flask, ann: User) -> None:
        browser = app.test_client()
        at_host = {"base_url": "https://localhost"}
        response = browser.get("/login", **at_host)
        cookie, *attributes = response.headers["Set-Cookie"].split("; ")
        assert cookie.startswith("__Host-automart_session=")
        assert {"Secure", "HttpOnly", "Path=/", "SameSite=Lax"} <= set(attributes)
        assert not any(attribute.startswith("Domain") for attribute in attributes)
        form = hidden_fields(response.text) | {"email": ann.email, "password": PASSWORD}
        assert browser.post("/login", data=form, **at_host).status_code == 303
        assert "You are logged in" in browser.get("/login", **at_host).text

    def test_the_login_page_keeps_the_prefix(self, client: FlaskClient, ann: User) -> None:
        page = client.get("/api/login").get_data(as_text=True)
        assert 'action="/api/login"' in page
        fields = hidden_fields(page) | {"email": ann.email, "password": PASSWORD}
        assert client.post("/api/login", data=fields).headers["Location"] == "/api/docs"

    def test_the_cookie_may_be_from_a_host_whose_clock_is_ahead(
        self, client: FlaskClient, ann: User, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def clock(seconds: int) -> None:
            monkeypatch.setattr(TimestampSigner, "get_timestamp", lambda _: 2 * 10**9 + seconds)

        clock(0)
        log_in(client, ann.email)
        cookie = client.get_cookie("automart_session")
        assert cookie is not None
        longest = 31 * 86_400
        for seconds, is_valid in ((-30, True), (-31, False), (longest, True), (longest + 1, False)):
            clock(seconds)
            client.set_cookie("automart_session", cookie.value)
            page = client.get("/login").get_data(as_text=True)
            assert ("You are logged in" in page) == is_valid, seconds

    def test_the_use_of_a_session_is_recorded_every_quarter_of_an_hour(
        self, app: Flask, client: FlaskClient, ann: User
    ) -> None:
        log_in(client, ann.email)
        api = with_token(app, token_of(app, ann))
        for minutes, is_recorded in ((14, False), (16, True)):
            before = utcnow() - timedelta(minutes=minutes)
            with transaction():
                db.session.execute(update(Login).values(last_used_at=before))
            api.get("/v1/users/me")
            client.get("/login")
            db.session.rollback()
            uses = db.session.scalars(select(Login.last_used_at).order_by(Login.id)).all()
            assert [use > before for use in uses] == [is_recorded, False]


class TestLogout:
    def test_a_copied_cookie_is_invalid_after_logout(self, app: Flask, ann: User) -> None:
        browser, thief = app.test_client(), app.test_client()
        log_in(browser, ann.email)
        stolen = browser.get_cookie("automart_session")
        assert stolen is not None
        thief.set_cookie("automart_session", stolen.value)
        assert "You are logged in" in thief.get("/login").get_data(as_text=True)
        fields = hidden_fields(browser.get("/login").get_data(as_text=True))
        response = browser.post("/logout", data={"csrf_token": fields["csrf_token"]})
        assert response.status_code == 303
        for client in (browser, thief):
            assert "You are logged in" not in client.get("/login").get_data(as_text=True)
        assert audited("login_ended") == [(ann.caller_id, ann.caller_id, None)]

    def test_a_logout_form_without_csrf_token_is_ignored(
        self, client: FlaskClient, ann: User
    ) -> None:
        log_in(client, ann.email)
        client.post("/logout", data={"csrf_token": "guess"})
        assert "You are logged in" in client.get("/login").get_data(as_text=True)

    def test_deactivation_ends_sessions_permanently(
        self, client: FlaskClient, as_admin: FlaskClient, ann: User
    ) -> None:
        log_in(client, ann.email)
        for is_active in (False, True):
            as_admin.patch(f"/v1/users/{ann.id}", json={"is_active": is_active})
            assert "You are logged in" not in client.get("/login").get_data(as_text=True)


@pytest.mark.usefixtures("recommended_hasher")
def test_hashes_are_argon2id_with_the_recommended_cost() -> None:
    assert hash_password("a password").startswith("$argon2id$v=19$m=19456,t=2,p=1$")


def test_expired_logins_are_refused(app: Flask, ann: User) -> None:
    client = with_token(app, token_of(app, ann))
    assert client.get("/v1/users/me").status_code == 200
    with transaction():
        db.session.query(Login).update({Login.expires_at: Login.created_at})
    assert client.get("/v1/users/me").status_code == 401


@on_sqlite
def test_the_cookie_of_the_session_is_secure_if_there_is_tls(settings: Settings) -> None:
    secure, insecure = ("__Host-automart_session", True), ("automart_session", False)
    for public_url, sent_to, expected in (
        (None, "http://localhost/", insecure),
        (None, "https://localhost/", secure),
        ("https://shop.example", "http://localhost/", secure),
    ):
        with (
            application(replace(settings, public_url=public_url)) as app,
            app.test_request_context(base_url=sent_to),
        ):
            sessions = app.session_interface
            found = (sessions.get_cookie_name(app), sessions.get_cookie_secure(app))
        assert found == expected, (public_url, sent_to)
