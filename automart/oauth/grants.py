"""The grant types (RFC 6749 §4 and §6) and PKCE (RFC 7636).

They add to Authlib's: codes and refresh tokens are stored as hashes and used up by one statement,
so that of two concurrent requests only one succeeds. A second use ends the login.
"""

from __future__ import annotations

import uuid
from dataclasses import dataclass
from typing import Any

from authlib.oauth2.rfc6749 import grants
from authlib.oauth2.rfc6749.errors import InvalidGrantError, InvalidRequestError, OAuth2Error
from authlib.oauth2.rfc7636 import CodeChallenge
from sqlalchemy import select, update

from automart.accounts import audit
from automart.accounts.models import LOGIN_CLIENT, Client, Login, User
from automart.accounts.sessions import create_login, create_service_login, end_login, hash_token
from automart.core.db import db, get_for_share, rowcount, utcnow
from automart.oauth.clients import AUTHENTICATION_METHODS, OAuthClient
from automart.oauth.models import CODE_LIFETIME, AuthorizationCode, RefreshToken
from automart.oauth.requests import FormRequest
from automart.oauth.tokens import issue_tokens


@dataclass(frozen=True)
class IssuedCode:
    """An authorization code with the methods that Authlib calls."""

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
    """The login of a token, with the methods that Authlib calls."""

    login: Login
    token_hash: str | None = None

    def check_client(self, client: OAuthClient) -> bool:
        return self.login.client_id == client.client.id

    def get_scope(self) -> str:
        return ""


class AuthorizationCodeGrant(grants.AuthorizationCodeGrant):
    TOKEN_ENDPOINT_AUTH_METHODS = AUTHENTICATION_METHODS

    def save_authorization_code(self, code: str, oauth_request: FormRequest) -> None:
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
        code_hash = hash_token(code)
        found = db.session.get(AuthorizationCode, code_hash)
        if found is None or found.client_id != client.client.id:
            return None
        # A concurrent deactivation, which ends all logins, happens either before this or after the
        # login that this transaction adds. Locked before the code: a deletion of the user or the
        # client locks them in this order.
        locked_client = get_for_share(Client, found.client_id)
        get_for_share(User, found.user_id)
        row = db.session.get(AuthorizationCode, code_hash, populate_existing=True)
        if locked_client is None or not locked_client.is_active or row is None:
            return None
        if row.expires_at <= utcnow():
            return None
        if row.used_at is not None:
            _end_reused(row.login_id)
            return None
        if _ended_session_since(row):
            return None
        return IssuedCode(row)

    def authenticate_user(self, code: IssuedCode) -> User | None:
        """Use up the code. Return None if a concurrent request has used it."""
        unused = update(AuthorizationCode).where(
            AuthorizationCode.code_hash == code.row.code_hash, AuthorizationCode.used_at.is_(None)
        )
        if rowcount(unused.values(used_at=utcnow())) == 0:
            db.session.refresh(code.row)
            _end_reused(code.row.login_id)
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
        return issue_tokens(login, with_refresh_token=True)

    def save_token(self, _token: dict[str, Any]) -> None:
        """Do nothing: `generate_token` has stored everything."""

    def delete_authorization_code(self, _code: IssuedCode) -> None:
        """Do nothing: the code is kept, so that a second use is detected."""


class ClientCredentialsGrant(grants.ClientCredentialsGrant):
    TOKEN_ENDPOINT_AUTH_METHODS = AUTHENTICATION_METHODS

    def generate_token(self, scope: str | None = None, **_unused: Any) -> dict[str, Any]:
        client: Client = self.client.client
        allowed = self.client.get_allowed_scope(scope)
        if allowed is None:
            raise OAuth2Error("The client does not have this scope.", error="invalid_scope")
        login = create_service_login(client)
        audit.record(audit.Event.LOGIN_SUCCEEDED, subject=client.caller_id, actor=client.caller_id)
        return issue_tokens(login, scopes=allowed.split())

    def save_token(self, _token: dict[str, Any]) -> None:
        """Do nothing: `generate_token` has stored everything."""


class RefreshTokenGrant(grants.RefreshTokenGrant):
    TOKEN_ENDPOINT_AUTH_METHODS = AUTHENTICATION_METHODS

    def authenticate_refresh_token(self, refresh_token: str) -> IssuedToken | None:
        token_hash = hash_token(refresh_token)
        row = db.session.get(RefreshToken, token_hash, populate_existing=True)
        login = db.session.get(Login, row.login_id) if row else None
        if row is None or login is None or login.client_id != self.request.client.client.id:
            return None
        if row.used_at is not None:
            _end_reused(login.id)
            return None
        return IssuedToken(login, token_hash)

    def authenticate_user(self, token: IssuedToken) -> User:
        """Use up the token. Raises `InvalidGrantError` if its login has ended."""
        unused = update(RefreshToken).where(
            RefreshToken.token_hash == token.token_hash, RefreshToken.used_at.is_(None)
        )
        if rowcount(unused.values(used_at=utcnow())) == 0:
            _end_reused(token.login.id)
            raise InvalidGrantError("The refresh token has already been used.")
        # Locked, so that a concurrent transaction ends the login either before or after this one.
        # The user is not: a deactivation locks the user before the login.
        db.session.refresh(token.login, with_for_update=True)
        user = _active_user(token.login.user_id)
        if token.login.ended_at is not None or token.login.expires_at <= utcnow() or user is None:
            raise InvalidGrantError("The login has ended. Log in again.")
        token.login.last_used_at = utcnow()
        return user

    def issue_token(self, _user: User, token: IssuedToken) -> dict[str, Any]:
        return issue_tokens(token.login, with_refresh_token=True)

    def save_token(self, _token: dict[str, Any]) -> None:
        """Do nothing: `issue_token` has stored everything."""

    def revoke_old_credential(self, _token: IssuedToken) -> None:
        """Do nothing: `authenticate_user` has used up the old token."""


class RequiredPkce(CodeChallenge):
    """PKCE with S256, required of all applications."""

    SUPPORTED_CODE_CHALLENGE_METHOD = ["S256"]  # noqa: RUF012 - Authlib declares it so

    def validate_code_challenge(self, grant: AuthorizationCodeGrant, redirect_uri: str) -> None:
        sent = grant.request.payload.data
        if not sent.get("code_challenge") or sent.get("code_challenge_method") != "S256":
            raise InvalidRequestError("PKCE is required: code_challenge with the method S256.")
        super().validate_code_challenge(grant, redirect_uri)


def _active_user(user_id: int | None) -> User | None:
    found = select(User).where(User.id == user_id, User.is_active)
    return db.session.scalars(found).one_or_none()


def _ended_session_since(code: AuthorizationCode) -> bool:
    """Return whether a session of the user has ended since the code was issued.

    A code does not say which session it comes from. A logout, a new password or a deactivation
    ends what it could become.
    """
    issued_at = code.expires_at - CODE_LIFETIME
    ended = select(Login.id).where(
        Login.user_id == code.user_id,
        Login.client_id == LOGIN_CLIENT,
        Login.ended_at >= issued_at,
    )
    return db.session.scalar(ended.limit(1)) is not None


def _end_reused(login_id: uuid.UUID | None) -> None:
    """End the login of a code or refresh token that was used twice: one of the two was stolen."""
    if login_id is not None and end_login(login_id):
        login = db.session.get_one(Login, login_id)
        audit.record(audit.Event.TOKEN_REUSED, subject=login.subject)
