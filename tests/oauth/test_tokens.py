"""Access tokens and signing keys: which tokens are refused, and what applies to existing ones."""

from __future__ import annotations

import base64
import hmac
import json
import time
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from flask import Flask
from flask.testing import FlaskClient
from joserfc import jwt
from joserfc.jwk import ECKey

from automart.accounts.models import Client, Login, User
from automart.core.config import Settings
from automart.core.db import db, transaction, utcnow
from automart.core.encryption import Rotation
from automart.oauth import signing_keys
from automart.oauth.authentication import token_subject
from automart.oauth.maintenance import expire_signing_keys
from automart.oauth.models import SigningKey
from automart.oauth.signing_keys import VERIFIES_AFTER_RETIREMENT, key_ring
from automart.oauth.tokens import VerifiedTokens, issue_access_token, verify_access_token
from tests.support.databases import on_sqlite
from tests.support.people import make_user, signed_in, token_of, with_token
from tests.support.setup import application

PUBLIC_URL = "https://shop.example"
INVALID = "The access token is invalid."


@pytest.fixture
def ann(make_user: Callable[..., User]) -> User:
    return make_user()


@pytest.fixture
def token(app: Flask, ann: User) -> str:
    return token_of(app, ann)


def status_of(app: Flask, token: str, reason: str | None = None) -> int:
    """Return the status of a request with `token`. If it is 401, check its `reason`, if given."""
    response = with_token(app, token).get("/v1/users/me")
    if response.status_code == 401:
        detail = response.get_json()["detail"]
        assert response.headers["WWW-Authenticate"] == (
            f'Bearer realm="automart", error="invalid_token", error_description="{detail}"'
        )
        assert reason in (None, detail)
    return response.status_code


def parts_of(token: str) -> tuple[dict[str, Any], dict[str, Any]]:
    header, claims = (
        json.loads(base64.urlsafe_b64decode(part + "==")) for part in token.split(".")[:2]
    )
    return header, claims


def encoded(part: dict[str, Any]) -> str:
    return base64.urlsafe_b64encode(json.dumps(part).encode()).rstrip(b"=").decode()


def signed_again(token: str, header: dict[str, Any], claims: dict[str, Any]) -> str:
    """Return the token with changes, signed with the server's own key."""
    old_header, old_claims = parts_of(token)
    key = key_ring().signing_key()
    new_header, new_claims = old_header | header, old_claims | claims
    kept = {name: value for name, value in new_claims.items() if value is not None}
    return jwt.encode(new_header, kept, key, algorithms=["ES256"])


class TestForm:
    def test_the_token_follows_rfc_9068(self, token: str, ann: User) -> None:
        header, claims = parts_of(token)
        assert (header["alg"], header["typ"]) == ("ES256", "at+jwt")
        assert claims.keys() >= {"iss", "aud", "sub", "client_id", "iat", "exp", "jti"}
        assert claims["exp"] - claims["iat"] == 900
        assert claims["sub"] == str(ann.id)

    def test_the_subject_and_the_scopes_are_those_of_the_caller(
        self, app: Flask, token: str, ann: User, make_client: Callable[..., Client]
    ) -> None:
        service = make_client("catalogue", "metrics")
        for sent, subject, scopes in (
            (token, str(ann.id), set()),
            (token_of(app, service), service.id, {"catalogue", "metrics"}),
        ):
            _header, claims = parts_of(sent)
            assert (claims["sub"], set(claims.get("scope", "").split())) == (subject, scopes)
            with app.test_request_context(headers={"Authorization": f"Bearer {sent}"}):
                assert token_subject() == subject
                assert verify_access_token(sent).scopes == scopes
        with app.test_request_context(headers={"Authorization": "Bearer a.b.c"}):
            assert token_subject() is None

    def test_the_issuer_is_the_public_url_with_and_without_the_prefix(
        self, settings: Settings
    ) -> None:
        with application(replace(settings, public_url=PUBLIC_URL)) as app, app.app_context():
            token = token_of(app, make_user())
            _header, claims = parts_of(token)
            assert (claims["iss"], claims["aud"]) == (PUBLIC_URL, PUBLIC_URL)
            client = with_token(app, token)
            assert client.get("/v1/users/me").status_code == 200
            assert client.get("/api/v1/users/me").status_code == 200


class TestAttacks:
    def test_the_unchanged_token_is_valid(self, app: Flask, token: str) -> None:
        assert status_of(app, token) == 200
        assert status_of(app, token) == 200  # cached

    @on_sqlite
    @pytest.mark.parametrize("part", [0, 1, 2])
    def test_a_tampered_token_is_refused(self, app: Flask, token: str, part: int) -> None:
        assert status_of(app, token) == 200
        parts = token.split(".")
        middle = len(parts[part]) // 2
        other = "A" if parts[part][middle] != "A" else "B"
        parts[part] = parts[part][:middle] + other + parts[part][middle + 1 :]
        assert status_of(app, ".".join(parts)) == 401

    def test_another_subject_with_the_same_signature_is_refused(
        self, app: Flask, token: str
    ) -> None:
        header, claims = parts_of(token)
        forged = f"{encoded(header)}.{encoded(claims | {'sub': '1'})}.{token.split('.')[2]}"
        assert status_of(app, forged, INVALID) == 401

    @on_sqlite
    @pytest.mark.parametrize("algorithm", ["none", "None", "NONE"])
    def test_the_algorithm_none_is_refused(self, app: Flask, token: str, algorithm: str) -> None:
        header, claims = parts_of(token)
        forged = f"{encoded(header | {'alg': algorithm})}.{encoded(claims)}."
        assert status_of(app, forged) == 401

    def test_hmac_with_the_public_key_is_refused(self, app: Flask, token: str) -> None:
        header, claims = parts_of(token)
        public = key_ring().signing_key().public_key
        forms = [
            public.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo),
            public.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo),
            json.dumps(key_ring().published()[0]).encode(),
        ]
        for form in forms:
            signed = f"{encoded(header | {'alg': 'HS256'})}.{encoded(claims)}"
            mac = hmac.digest(form, signed.encode(), "sha256")
            forged = f"{signed}.{base64.urlsafe_b64encode(mac).rstrip(b'=').decode()}"
            assert status_of(app, forged) == 401

    def test_an_attackers_key_is_refused(self, app: Flask, token: str) -> None:
        header, claims = parts_of(token)
        own = ECKey.generate_key("P-256")
        for more in ({}, {"jwk": own.as_dict(private=False)}, {"kid": "unknown"}):
            forged = jwt.encode(header | more, claims, own, algorithms=["ES256"])
            assert status_of(app, forged) == 401

    @on_sqlite
    @pytest.mark.parametrize(
        ("header", "claims"),
        [
            ({}, {"exp": 1}),
            ({}, {"exp": int(time.time()) - 1}),
            ({}, {"exp": None}),
            ({}, {"exp": "never"}),
            ({}, {"sub": None}),
            ({}, {"sub": ""}),
            ({}, {"iat": None}),
            ({}, {"nbf": int(time.time()) + 3600}),
            ({}, {"iat": int(time.time()) + 3600}),
            ({}, {"aud": "https://elsewhere.example"}),
            ({}, {"aud": ["https://elsewhere.example"]}),
            ({}, {"aud": None}),
            ({}, {"sid": None}),
            ({}, {"sid": "no UUID"}),
            ({}, {"sid": "0" * 32}),
            ({}, {"client_id": None}),
            ({"typ": "JWT"}, {}),
            ({"typ": "id_token+jwt"}, {}),
        ],
    )
    def test_expired_or_foreign_claims_are_refused(
        self, app: Flask, token: str, header: dict[str, Any], claims: dict[str, Any]
    ) -> None:
        assert status_of(app, signed_again(token, header, claims)) == 401

    @on_sqlite
    def test_a_refused_token_is_refused_with_the_reason(self, app: Flask, token: str) -> None:
        foreign = "The token was not issued as an access token by this server."
        expired = "The access token has expired."
        ended = "The login has ended. Log in again."
        malformed = "The access token is malformed."
        for refused, reason in (
            (signed_again(token, {"typ": "JWT"}, {}), foreign),
            (signed_again(token, {}, {"exp": int(time.time()) - 1}), expired),
            (signed_again(token, {}, {"sid": "0" * 32}), ended),
            (signed_again(token, {}, {"aud": None}), INVALID),
            ("a" * 4096, INVALID),
            ("a" * 4097, malformed),
        ):
            assert status_of(app, refused, reason) == 401

    @on_sqlite
    def test_the_type_of_a_token_may_be_a_whole_media_type(self, app: Flask, token: str) -> None:
        for media_type in ("application/at+jwt", "AT+JWT"):
            assert status_of(app, signed_again(token, {"typ": media_type}, {})) == 200

    def test_the_clock_of_the_issuing_host_may_be_ahead(self, app: Flask, token: str) -> None:
        ahead = signed_again(token, {}, {"iat": int(time.time()) + 10})
        assert status_of(app, ahead) != 401

    def test_a_foreign_issuer_or_audience_is_refused(self, settings: Settings) -> None:
        with application(replace(settings, public_url=PUBLIC_URL)) as app, app.app_context():
            token = token_of(app, make_user())
            assert status_of(app, signed_again(token, {}, {"iss": "https://evil.example"})) == 401
            assert status_of(app, signed_again(token, {}, {"aud": "urn:automart"})) == 401
            assert status_of(app, signed_again(token, {}, {})) == 200

    @on_sqlite
    @pytest.mark.parametrize("text", ["a", "a.b.c", "..", "é.é.é", "a" * 5000, "e30.e30.e30"])
    def test_malformed_tokens_are_refused(self, app: Flask, text: str) -> None:
        assert status_of(app, text) == 401

    def test_a_cached_token_expires(
        self, app: Flask, token: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        assert status_of(app, token) == 200
        expires_at = parts_of(token)[1]["exp"]
        now = expires_at - 1
        monkeypatch.setattr("automart.oauth.tokens.time.time", lambda: now)
        assert status_of(app, token) == 200
        now = expires_at
        assert status_of(app, token, "The access token has expired.") == 401


class TestExistingTokens:
    def test_tokens_of_deleted_and_deactivated_users_are_refused(
        self, app: Flask, as_admin: FlaskClient, make_user: Callable[..., User]
    ) -> None:
        deleted, deactivated = make_user(), make_user()
        tokens = [token_of(app, user) for user in (deleted, deactivated)]
        assert [status_of(app, token) for token in tokens] == [200, 200]
        assert as_admin.delete(f"/v1/users/{deleted.id}").status_code == 204
        body = {"is_active": False}
        assert as_admin.patch(f"/v1/users/{deactivated.id}", json=body).status_code == 200
        assert [status_of(app, token) for token in tokens] == [401, 401]

    def test_demotion_and_promotion_apply_to_existing_tokens(
        self, app: Flask, as_admin: FlaskClient, make_user: Callable[..., User]
    ) -> None:
        user = make_user(is_admin=True)
        client = signed_in(app, user)
        for is_admin, status in ((True, 200), (False, 403), (True, 200)):
            as_admin.patch(f"/v1/users/{user.id}", json={"is_admin": is_admin})
            assert client.get("/v1/users").status_code == status
            assert client.get("/v1/users/me").status_code == 200

    def test_a_new_name_or_email_address_ends_no_login(
        self, app: Flask, as_admin: FlaskClient, ann: User, token: str
    ) -> None:
        body = {"name": "Another", "email": "another@example.com"}
        assert as_admin.patch(f"/v1/users/{ann.id}", json=body).status_code == 200
        assert status_of(app, token) == 200

    def test_a_new_password_set_by_an_admin_ends_all_logins(
        self, app: Flask, as_admin: FlaskClient, ann: User, token: str
    ) -> None:
        body = {"password": "another four words"}
        assert as_admin.patch(f"/v1/users/{ann.id}", json=body).status_code == 200
        assert status_of(app, token) == 401

    def test_removed_scopes_and_deactivation_apply_to_existing_tokens(
        self, app: Flask, as_admin: FlaskClient, make_client: Callable[..., Client]
    ) -> None:
        service = make_client("catalogue")
        client = signed_in(app, service)
        path = f"/v1/clients/{service.id}"

        def status() -> int:
            return client.post("/v1/makes", json={}).status_code

        assert status() == 422
        as_admin.patch(path, json={"scopes": ["metrics"]})
        assert status() == 403
        as_admin.patch(path, json={"scopes": ["catalogue"]})
        assert status() == 422
        other = signed_in(app, make_client("catalogue"))
        for is_active in (False, True):  # its logins have ended
            as_admin.patch(path, json={"is_active": is_active})
            assert status() == 401
        assert other.post("/v1/makes", json={}).status_code == 422


class TestKeys:
    def test_key_rotation_ends_no_login(self, app: Flask, ann: User, token: str) -> None:
        old = parts_of(token)[0]["kid"]
        new = signing_keys.rotate_signing_key()
        assert {key["kid"] for key in key_ring().published()} == {old, new}
        assert status_of(app, token) == 200
        fresh = token_of(app, ann)
        assert parts_of(fresh)[0]["kid"] == new
        assert status_of(app, fresh) == 200

    def test_another_process_finds_the_new_key(
        self, app: Flask, settings: Settings, ann: User, token: str
    ) -> None:
        with application(settings) as other, other.app_context():
            assert status_of(other, token) == 200
            signing_keys.rotate_signing_key()
            fresh = token_of(other, ann)
        with app.app_context():
            # An unknown key causes another query, but at most once per second.
            key_ring()._read_at -= 2
            assert status_of(app, fresh) == 200

    def test_tokens_of_a_leaked_key_are_refused(self, app: Flask, token: str) -> None:
        assert status_of(app, token) == 200
        signing_keys.rotate_signing_key(at_once=True)
        reason = "The signing key of the access token has been withdrawn."
        assert status_of(app, token, reason) == 401

    def test_retired_keys_are_deleted_when_their_tokens_have_expired(
        self, app: Flask, token: str
    ) -> None:
        signing_keys.rotate_signing_key()
        with transaction():
            assert expire_signing_keys() == 0
            old = db.session.query(SigningKey).filter(SigningKey.retired_at.is_not(None)).one()
            old.retired_at = utcnow() - VERIFIES_AFTER_RETIREMENT
            db.session.flush()
            assert expire_signing_keys() == 1
        key_ring().invalidate()
        assert status_of(app, token) == 401

    def test_private_keys_are_stored_encrypted(self, app: Flask, token: str) -> None:
        (row,) = db.session.query(SigningKey)
        assert "PRIVATE" not in row.encrypted_private_key
        assert "d" not in row.public_jwk

    def test_a_new_secret_key_decrypts_keys_of_its_fallback(
        self, settings: Settings, app: Flask, token: str
    ) -> None:
        new = replace(
            settings, secret_key="a new secret", secret_key_fallbacks=(settings.secret_key,)
        )
        with application(new) as renewed, renewed.app_context():
            assert status_of(renewed, token) == 200
            kid = key_ring().signing_key().kid
            assert kid == parts_of(token)[0]["kid"]
            assert signing_keys.reencrypt_signing_keys() == Rotation(1, [])
        with application(replace(new, secret_key_fallbacks=())) as alone, alone.app_context():
            assert key_ring().signing_key().kid == kid

    def test_a_lost_secret_key_ends_no_login(
        self, settings: Settings, app: Flask, ann: User, token: str
    ) -> None:
        with application(replace(settings, secret_key="another")) as other, other.app_context():
            assert status_of(other, token) == 200
            assert status_of(other, token_of(other, ann)) == 200
            assert signing_keys.undecryptable_keys() == [f"signing key {parts_of(token)[0]['kid']}"]
            rotation = signing_keys.reencrypt_signing_keys()
        (lost,) = rotation.undecryptable
        assert rotation.rotated == 1  # the key that was created since then
        assert lost == f"signing key {parts_of(token)[0]['kid']}"


def test_the_cache_of_verified_tokens_is_bounded(app: Flask, token: str) -> None:
    with_token(app, token).get("/v1/users/me")
    known: VerifiedTokens = app.extensions["verified_tokens"]
    (found,) = known._tokens.values()
    small = VerifiedTokens(size=2)
    for number in range(5):
        small.add(bytes([number]), found)
    assert [small.get(bytes([number])) for number in range(5)] == [None, None, None, found, found]


def test_a_login_can_have_several_access_tokens(app: Flask, token: str) -> None:
    login = db.session.query(Login).one()
    assert login.last_used_at == login.created_at
    with app.test_request_context():
        again = issue_access_token(login, ())
    assert again != token
    assert status_of(app, again) == 200
