"""The OAuth 2 server: Authlib's grants, with what it leaves open closed.

Authlib by itself stores tokens in clear, lets two requests that race use one code or refresh token
twice, takes parameters from the query, and tells whether a client exists. Here everything that
proves something is stored as a hash, used up in one statement, and a second use ends the login.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import timedelta
from typing import Any
from urllib.parse import unquote_plus

from authlib.integrations.flask_oauth2 import AuthorizationServer
from authlib.integrations.flask_oauth2.requests import FlaskOAuth2Payload, FlaskOAuth2Request
from authlib.oauth2.rfc6749 import OAuth2Request, grants
from authlib.oauth2.rfc6749.errors import (
    InvalidGrantError,
    InvalidRequestError,
    OAuth2Error,
)
from authlib.oauth2.rfc7009 import RevocationEndpoint
from authlib.oauth2.rfc7636 import CodeChallenge
from authlib.oauth2.rfc9207 import IssuerParameter
from flask import Response, g, request
from sqlalchemy import select, update

from automart.accounts import audit, login_throttle
from automart.accounts.credentials import find_client, find_client_by_secret
from automart.accounts.models import (
    DOCS_CLIENT,
    LOGIN_CLIENT,
    Client,
    ClientKind,
    Login,
    User,
)
from automart.accounts.sessions import (
    create_login,
    create_service_login,
    end_login,
    hash_token,
)
from automart.core.db import db, rowcount, utcnow
from automart.core.errors import Unauthenticated
from automart.oauth.models import AuthorizationCode, RefreshToken
from automart.oauth.tokens import (
    LIFETIME_SECONDS,
    issue_access_token,
    issue_refresh_token,
    issuer,
    verify_access_token,
)
from automart.web.urls import origin, url_root

CODE_LIFETIME = timedelta(seconds=60)
SECRET_METHODS = ["client_secret_basic", "client_secret_post"]
ALL_METHODS = [*SECRET_METHODS, "none"]
# RFC 6749 §5.2: what an error description may repeat of what was sent.
_PLAIN = re.compile(r"[\x20\x21\x23-\x5b\x5d-\x7e]*")
_REPEATED = ("client_id", "grant_type", "redirect_uri", "response_type", "token_type_hint")


@dataclass(frozen=True)
class OAuthClient:
    """A client, as Authlib asks about it."""

    client: Client

    def get_client_id(self) -> str:
        return self.client.id

    def get_default_redirect_uri(self) -> None:
        """None: the address is always to be named."""

    def get_allowed_scope(self, scope: str | None) -> str | None:
        """What is granted of `scope`, all if nothing is asked; None if more is asked than there is.

        People act by applications with all that they may do, so there is nothing to be asked.
        """
        have = self.client.scopes
        asked = scope.split() if scope else have
        return " ".join(sorted(asked)) if set(asked) <= set(have) else None

    def check_redirect_uri(self, redirect_uri: str) -> bool:
        if self.client.id == DOCS_CLIENT:
            return redirect_uri in _redirect_uris_of_docs()
        return redirect_uri in self.client.redirect_uris

    def check_endpoint_auth_method(self, method: str, _endpoint: str) -> bool:
        return (method == "none") == (self.client.kind is ClientKind.APPLICATION)

    def check_response_type(self, response_type: str) -> bool:
        return response_type == "code" and self.check_grant_type("authorization_code")

    def check_grant_type(self, grant_type: str) -> bool:
        if self.client.kind is ClientKind.SERVICE:
            return grant_type == "client_credentials"
        if self.client.id == LOGIN_CLIENT:
            return grant_type == "refresh_token"
        return grant_type in ("authorization_code", "refresh_token")


@dataclass(frozen=True)
class IssuedCode:
    """An authorization code, as Authlib asks about it."""

    row: AuthorizationCode
    code_challenge_method = "S256"

    @property
    def code_challenge(self) -> str:
        return self.row.code_challenge

    def get_redirect_uri(self) -> str | None:
        return self.row.redirect_uri

    def get_scope(self) -> str:
        return ""


@dataclass(frozen=True)
class IssuedToken:
    """A token's login, as Authlib asks about it."""

    login: Login
    token_hash: str | None = None

    def check_client(self, client: OAuthClient) -> bool:
        return self.login.client_id == client.client.id

    def get_scope(self) -> str:
        return ""


class _Payload(FlaskOAuth2Payload):
    """The parameters: of a POST only those in its body, for a query stands in logs."""

    @property
    def data(self) -> Any:
        return request.form if request.method == "POST" else request.args


class _Request(FlaskOAuth2Request):
    def __init__(self) -> None:
        # Authlib refuses plain http; whether TLS ends here or before us, the deployment knows.
        uri = request.url.replace("http://", "https://", 1)
        OAuth2Request.__init__(self, request.method, uri, headers=request.headers)
        self._request = request
        self.payload = _Payload(request)


class _Server(AuthorizationServer):
    def create_oauth2_request(self, _request: Any) -> _Request:
        return _Request()

    def send_signal(self, *_args: Any, **_kwargs: Any) -> None:
        """Nobody listens."""


class _CodeGrant(grants.AuthorizationCodeGrant):
    TOKEN_ENDPOINT_AUTH_METHODS = ALL_METHODS

    def save_authorization_code(self, code: str, oauth_request: _Request) -> None:
        row = AuthorizationCode(
            code_hash=hash_token(code),
            client_id=self.client.client.id,
            user_id=oauth_request.user.id,
            redirect_uri=oauth_request.payload.redirect_uri,
            code_challenge=oauth_request.payload.data["code_challenge"],
            expires_at=utcnow() + CODE_LIFETIME,
        )
        db.session.add(row)

    def query_authorization_code(self, code: str, client: OAuthClient) -> IssuedCode | None:
        row = db.session.get(AuthorizationCode, hash_token(code), populate_existing=True)
        if row is None or row.client_id != client.client.id or row.expires_at <= utcnow():
            return None
        if row.used_at is not None:
            _end_stolen(row.login_id)
            return None
        return IssuedCode(row)

    def authenticate_user(self, code: IssuedCode) -> User | None:
        """Use the code up. None if another request was quicker."""
        unused = update(AuthorizationCode).where(
            AuthorizationCode.code_hash == code.row.code_hash, AuthorizationCode.used_at.is_(None)
        )
        if rowcount(unused.values(used_at=utcnow())) == 0:
            db.session.refresh(code.row)
            _end_stolen(code.row.login_id)
            return None
        return _active_user(code.row.user_id)

    def generate_token(self, user: User, **_unused: Any) -> dict[str, Any]:
        login = create_login(user, self.client.client.id)
        self.request.authorization_code.row.login_id = login.id
        audit.record(
            audit.Event.LOGIN_SUCCEEDED,
            subject=user.caller_id,
            actor=user.caller_id,
            client_id=login.client_id,
        )
        return tokens_of(login, with_refresh_token=True)

    def save_token(self, _token: dict[str, Any]) -> None:
        """`generate_token` has stored what there is to store."""

    def delete_authorization_code(self, _code: IssuedCode) -> None:
        """It stays, used up, to be known again."""


class _ClientCredentialsGrant(grants.ClientCredentialsGrant):
    TOKEN_ENDPOINT_AUTH_METHODS = ALL_METHODS

    def generate_token(self, scope: str | None = None, **_unused: Any) -> dict[str, Any]:
        client: Client = self.client.client
        allowed = self.client.get_allowed_scope(scope)
        if allowed is None:
            raise OAuth2Error("The scope is not this client's.", error="invalid_scope")
        login = create_service_login(client)
        audit.record(audit.Event.LOGIN_SUCCEEDED, subject=client.caller_id, actor=client.caller_id)
        return tokens_of(login, scopes=allowed.split())

    def save_token(self, _token: dict[str, Any]) -> None:
        """`generate_token` has stored what there is to store."""


class _RefreshTokenGrant(grants.RefreshTokenGrant):
    TOKEN_ENDPOINT_AUTH_METHODS = ALL_METHODS

    def authenticate_refresh_token(self, refresh_token: str) -> IssuedToken | None:
        token_hash = hash_token(refresh_token)
        row = db.session.get(RefreshToken, token_hash, populate_existing=True)
        login = db.session.get(Login, row.login_id) if row else None
        if row is None or login is None or login.client_id != self.request.client.client.id:
            return None
        if row.used_at is not None:
            _end_stolen(login.id)
            return None
        return IssuedToken(login, token_hash)

    def authenticate_user(self, token: IssuedToken) -> User:
        """Use the token up, if its login and its user still are."""
        unused = update(RefreshToken).where(
            RefreshToken.token_hash == token.token_hash, RefreshToken.used_at.is_(None)
        )
        if rowcount(unused.values(used_at=utcnow())) == 0:
            _end_stolen(token.login.id)
            raise InvalidGrantError("The refresh token has been used before.")
        # The login's row is locked: whoever ends it at this moment comes before or after us.
        db.session.refresh(token.login, with_for_update=True)
        user = _active_user(token.login.user_id)
        if token.login.ended_at is not None or token.login.expires_at <= utcnow() or user is None:
            raise InvalidGrantError("This login has ended.")
        return user

    def issue_token(self, _user: User, token: IssuedToken) -> dict[str, Any]:
        return tokens_of(token.login, with_refresh_token=True)

    def save_token(self, _token: dict[str, Any]) -> None:
        """`issue_token` has stored what there is to store."""

    def revoke_old_credential(self, _token: IssuedToken) -> None:
        """It was used up before the new one was issued."""


class _Pkce(CodeChallenge):
    """PKCE for everyone, with S256 and nothing else."""

    SUPPORTED_CODE_CHALLENGE_METHOD = ["S256"]  # noqa: RUF012 - Authlib declares it so

    def validate_code_challenge(self, grant: _CodeGrant, redirect_uri: str) -> None:
        sent = grant.request.payload.data
        if not sent.get("code_challenge") or sent.get("code_challenge_method") != "S256":
            raise InvalidRequestError("PKCE is required: code_challenge with the method S256.")
        super().validate_code_challenge(grant, redirect_uri)


class _Revocation(RevocationEndpoint):
    CLIENT_AUTH_METHODS = ALL_METHODS

    def query_token(self, text: str, _hint: str | None) -> IssuedToken | None:
        row = db.session.get(RefreshToken, hash_token(text))
        try:
            login_id = row.login_id if row else verify_access_token(text).login_id
        except Unauthenticated:
            return None  # it is good for nothing as it is (RFC 7009 §2.2)
        login = db.session.get(Login, login_id)
        return IssuedToken(login) if login else None

    def revoke_token(self, token: IssuedToken, _request: _Request) -> None:
        if end_login(token.login.id):
            audit.record(audit.Event.LOGIN_ENDED, subject=_subject_of(token.login))


class _Issuer(IssuerParameter):
    def get_issuer(self) -> str:
        return issuer()


_ISSUER = _Issuer()


def _basic(_query: Any, _request: _Request) -> OAuthClient | None:
    try:
        sent = request.authorization
    except ValueError:  # werkzeug: no base64
        return None
    if sent is None or sent.type != "basic":
        return None
    # RFC 6749 §2.3.1: both are form-encoded before they are put together.
    return _by_secret(unquote_plus(sent.username or ""), unquote_plus(sent.password or ""))


def _post(_query: Any, oauth_request: _Request) -> OAuthClient | None:
    form = oauth_request.form
    return _by_secret(form.get("client_id"), form.get("client_secret"))


def _none(_query: Any, oauth_request: _Request) -> OAuthClient | None:
    form = oauth_request.form
    if "client_secret" in form or "Authorization" in oauth_request.headers:
        return None
    # Refresh tokens from `/login` belong to no application that would know its name.
    return _by_id(form.get("client_id", LOGIN_CLIENT))


def _by_secret(client_id: str | None, secret: str | None) -> OAuthClient | None:
    if not client_id or not secret:
        return None
    login_throttle.check_address(request.remote_addr)
    client = find_client_by_secret(client_id, secret)
    if client is None:
        g.failed_client = client_id
        return None
    return OAuthClient(client)


def _by_id(client_id: str) -> OAuthClient | None:
    client = find_client(client_id)
    return OAuthClient(client) if client is not None and client.is_active else None


def _make_server() -> _Server:
    server = _Server(query_client=_by_id)
    server.register_client_auth_method("client_secret_basic", _basic)
    server.register_client_auth_method("client_secret_post", _post)
    server.register_client_auth_method("none", _none)
    server.register_grant(_CodeGrant, [_Pkce(required=True)])
    server.register_grant(_ClientCredentialsGrant)
    server.register_grant(_RefreshTokenGrant)
    server.register_endpoint(_Revocation)
    _ISSUER(server)
    return server


server = _make_server()


def tokens_of(
    login: Login, *, scopes: Iterable[str] = (), with_refresh_token: bool = False
) -> dict[str, Any]:
    """The tokens of `login`, as they are answered (RFC 6749 §5.1)."""
    scope = " ".join(sorted(scopes))
    tokens = {
        "access_token": issue_access_token(login, scope.split()),
        "token_type": "Bearer",
        "expires_in": LIFETIME_SECONDS,
    }
    if with_refresh_token:
        tokens["refresh_token"] = issue_refresh_token(login)
    if scope:
        tokens["scope"] = scope
    return tokens


def refusal(error: OAuth2Error) -> Response:
    """`error` as RFC 6749 has it: sent back to the application, or told as JSON."""
    response: Response = server.handle_error_response(None, error)
    _ISSUER.add_issuer_parameter(server, response)
    return response


def what_is_malformed() -> OAuth2Error | None:
    """The error if the parameters of the present request stand twice, or cannot be repeated."""
    sent = request.form if request.method == "POST" else request.args
    for name in sent:
        if len(sent.getlist(name)) > 1:
            return InvalidRequestError("A parameter stands twice in the request.")
        if name in _REPEATED and not _PLAIN.fullmatch(sent[name]):
            return InvalidRequestError(f"The parameter {name} has characters that it cannot have.")
    return None


def _redirect_uris_of_docs() -> list[str]:
    # At a loopback name the page is sent back to its own host, never to another port.
    return [
        f"{root}{prefix}/docs/oauth2-redirect.html"
        for root in (url_root(), origin())
        for prefix in ("", "/api")
    ]


def _active_user(user_id: int | None) -> User | None:
    found = select(User).where(User.id == user_id, User.is_active)
    return db.session.scalars(found).one_or_none()


def _end_stolen(login_id: Any) -> None:
    """Something good for one use was used twice: one of the users is a thief, so both lose it."""
    if login_id is not None and end_login(login_id):
        login = db.session.get_one(Login, login_id)
        audit.record(audit.Event.TOKEN_REUSED, subject=_subject_of(login))


def _subject_of(login: Login) -> str:
    return f"client:{login.client_id}" if login.user_id is None else f"user:{login.user_id}"
