"""Clients for Authlib, and how they authenticate (RFC 6749 §2.3)."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any
from urllib.parse import unquote_plus

from flask import g, request

from automart.accounts import login_throttle
from automart.accounts.credentials import find_client, find_client_by_secret, record_failed_client
from automart.accounts.models import DOCS_CLIENT, LOGIN_CLIENT, Client, ClientKind
from automart.oauth.requests import FormRequest, has_basic_authentication
from automart.web.urls import origin, url_root

# RFC 8252 §7.3: the port, which the system chooses at each start, is not compared.
_LOOPBACK_URI = re.compile(
    r"(http://(?:127\.0\.0\.1|\[::1\]|localhost))(?::[1-9][0-9]{0,4})?([/?].*)?"
)
AUTHENTICATION_METHODS = ["client_secret_basic", "client_secret_post", "none"]


@dataclass(frozen=True)
class OAuthClient:
    """A client with the methods that Authlib calls."""

    client: Client

    def get_client_id(self) -> str:
        return self.client.id

    def get_default_redirect_uri(self) -> None:
        """Return None: requests must contain their redirect URI."""

    def get_allowed_scope(self, scope: str | None) -> str | None:
        """Return the granted scopes: the requested ones, or all if none are requested.

        Return None if the client does not have all of the requested scopes. Applications have none:
        they may do whatever their users may do.
        """
        available = self.client.scopes
        requested = scope.split() if scope else available
        return " ".join(sorted(requested)) if set(requested) <= set(available) else None

    def check_redirect_uri(self, redirect_uri: str) -> bool:
        if self.client.id == DOCS_CLIENT:
            return redirect_uri in _redirect_uris_of_docs()
        registered = self.client.redirect_uris
        without_port = _without_port(redirect_uri)
        return redirect_uri in registered or (
            without_port is not None and without_port in map(_without_port, registered)
        )

    def needs_consent(self, redirect_uri: str) -> bool:
        """Return whether the user must agree each time (RFC 8252 §8.6).

        Other programs on the user's machine can pretend to be a native application.
        """
        return self.client.id != DOCS_CLIENT and not redirect_uri.startswith("https:")

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


def query_client(client_id: str) -> OAuthClient | None:
    """Return the active client with this id."""
    client = find_client(client_id)
    return OAuthClient(client) if client is not None and client.is_active else None


def authenticate_basic(_query: Any, _request: FormRequest) -> OAuthClient | None:
    """Return the client whose id and secret are in the `Authorization` header."""
    try:
        sent = request.authorization
    except ValueError:  # werkzeug: not Base64
        return None
    if sent is None or sent.type != "basic":
        return None
    # RFC 6749 §2.3.1: both parts are form-encoded.
    return _client_by_secret(unquote_plus(sent.username or ""), unquote_plus(sent.password or ""))


def authenticate_post(_query: Any, oauth_request: FormRequest) -> OAuthClient | None:
    """Return the client whose id and secret are in the body."""
    form = oauth_request.form
    return _client_by_secret(form.get("client_id"), form.get("client_secret"))


def authenticate_none(_query: Any, oauth_request: FormRequest) -> OAuthClient | None:
    """Return the application whose id is in the body. Applications have no secret."""
    form = oauth_request.form
    if "client_secret" in form or has_basic_authentication():
        return None
    # Callers of `/login` do not know the id of the client that their refresh tokens belong to.
    return query_client(form.get("client_id", LOGIN_CLIENT))


def record_failed_authentication() -> None:
    """Record a failed login if a client of the current request could not be authenticated.

    Call this after the transaction of the request, which `TooManyRequests` would roll back.
    """
    client_id = g.pop("failed_client", None)
    if client_id is not None:
        record_failed_client(client_id)


def _client_by_secret(client_id: str | None, secret: str | None) -> OAuthClient | None:
    if not client_id or not secret:
        return None
    login_throttle.check_address(request.remote_addr)
    client = find_client_by_secret(client_id, secret)
    if client is None:
        g.failed_client = client_id
        return None
    return OAuthClient(client)


def _without_port(uri: str) -> tuple[str, str] | None:
    """Return a redirect URI at a loopback address in two parts, without its port."""
    found = _LOOPBACK_URI.fullmatch(uri)
    return (found[1], found[2] or "") if found else None


def _redirect_uris_of_docs() -> list[str]:
    # The page can also be opened at a loopback address. It is sent back to the same host and port.
    return [
        f"{root}{prefix}/docs/oauth2-redirect.html"
        for root in (url_root(), origin())
        for prefix in ("", "/api")
    ]
