"""Access tokens (RFC 9068), which are verified once and then cached; and refresh tokens."""

from __future__ import annotations

import hashlib
import secrets
import threading
import time
import uuid
from collections import OrderedDict
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from flask import current_app
from joserfc import jwt
from joserfc.errors import JoseError
from joserfc.jwk import ECKey, GuestProtocol

from automart.accounts.models import Login
from automart.accounts.sessions import TOKEN_LIFETIME, hash_token
from automart.core.config import current_settings
from automart.core.db import db
from automart.core.errors import Unauthenticated
from automart.oauth.models import RefreshToken
from automart.oauth.signing_keys import ALGORITHM, key_ring
from automart.web.urls import url_root

LIFETIME_SECONDS = int(TOKEN_LIFETIME.total_seconds())
TOKEN_TYPES = ("at+jwt", "application/at+jwt")
# Used without PUBLIC_URL: the only other name of this deployment is sent by the client.
DEFAULT_AUDIENCE = "urn:automart"
LONGEST_TOKEN = 4096
# The clock of the host that issued a token may be ahead of ours.
CLOCK_TOLERANCE_SECONDS = 30


@dataclass(frozen=True, slots=True)
class AccessToken:
    """The claims of a verified access token."""

    subject: str
    login_id: uuid.UUID
    client_id: str
    scopes: frozenset[str]
    kid: str
    expires_at: int


class VerifiedTokens:
    """A bounded cache of verified tokens by their hash. One per application."""

    def __init__(self, size: int = 10_000) -> None:
        self._size = size
        self._lock = threading.Lock()
        self._tokens: OrderedDict[bytes, AccessToken] = OrderedDict()

    def get(self, digest: bytes) -> AccessToken | None:
        return self._tokens.get(digest)

    def add(self, digest: bytes, token: AccessToken) -> None:
        with self._lock:
            self._tokens[digest] = token
            while len(self._tokens) > self._size:
                self._tokens.popitem(last=False)


def issuer() -> str:
    """Return `PUBLIC_URL`, or the host that the client uses. It does not depend on the prefix."""
    return url_root()


def audience() -> str:
    """Return the audience of access tokens: this deployment."""
    return current_settings().public_url or DEFAULT_AUDIENCE


def issue_access_token(login: Login, scopes: Iterable[str]) -> str:
    """Return a signed token that is valid for `LIFETIME_SECONDS`, unless `login` ends earlier."""
    now = int(time.time())
    key = key_ring().signing_key()
    claims: dict[str, str | int] = {
        "iss": issuer(),
        "aud": audience(),
        "sub": str(login.user_id) if login.user_id is not None else login.client_id,
        "client_id": login.client_id,
        "sid": login.id.hex,
        "iat": now,
        "exp": now + LIFETIME_SECONDS,
        "jti": secrets.token_urlsafe(12),
    }
    scope = " ".join(sorted(scopes))
    if scope:
        claims["scope"] = scope
    header = {"alg": ALGORITHM, "typ": TOKEN_TYPES[0], "kid": key.kid}
    return jwt.encode(header, claims, key, algorithms=[ALGORITHM])


def issue_refresh_token(login: Login) -> str:
    """Return a new refresh token of `login`. Only its hash is stored."""
    token = secrets.token_urlsafe(32)
    db.session.add(RefreshToken(token_hash=hash_token(token), login_id=login.id))
    return token


def issue_tokens(
    login: Login, *, scopes: Iterable[str] = (), with_refresh_token: bool = False
) -> dict[str, Any]:
    """Return a token response (RFC 6749 §5.1) with new tokens of `login`."""
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


def verify_access_token(text: str) -> AccessToken:
    """Return the claims of a token. Raises `Unauthenticated` if it is invalid or has expired."""
    verified: VerifiedTokens = current_app.extensions["verified_tokens"]
    digest = hashlib.sha256(text.encode()).digest()
    token = verified.get(digest)
    if token is None:
        token = _verify(text)
        verified.add(digest, token)
    if token.expires_at <= time.time():
        raise _invalid_token("The access token has expired.")
    if key_ring().public_key(token.kid) is None:
        raise _invalid_token("The signing key of the access token has been withdrawn.")
    return token


def _verify(text: str) -> AccessToken:
    if len(text) > LONGEST_TOKEN:
        raise _invalid_token("The access token is malformed.")
    try:
        # Only one algorithm is allowed: neither `none` nor HMAC, whose key would be public.
        token = jwt.decode(text, _find_key, algorithms=[ALGORITHM])
        claims, header = token.claims, token.header
        rules = jwt.JWTClaimsRegistry(
            # For `iat`. The caller checks `exp` again, without leeway.
            leeway=CLOCK_TOLERANCE_SECONDS,
            aud={"essential": True, "value": audience()},
            iat={"essential": True},
            sub={"essential": True},
        )
        rules.validate(claims)
        if str(header.get("typ")).lower() not in TOKEN_TYPES or not _has_valid_issuer(claims):
            raise _invalid_token("The token was not issued as an access token by this server.")
        return AccessToken(
            subject=str(claims["sub"]),
            login_id=uuid.UUID(claims["sid"]),
            client_id=str(claims["client_id"]),
            scopes=frozenset(str(claims.get("scope", "")).split()),
            kid=str(header["kid"]),
            expires_at=int(claims["exp"]),
        )
    except (JoseError, ValueError, TypeError, KeyError, AttributeError):
        raise _invalid_token("The access token is invalid.") from None


def _find_key(signature: GuestProtocol) -> ECKey:
    key = key_ring().public_key(str(signature.headers().get("kid")))
    if key is None:
        raise ValueError("unknown key")
    return key


def _has_valid_issuer(claims: dict[str, object]) -> bool:
    public_url = current_settings().public_url
    # Without PUBLIC_URL the issuer is the host that the client used. Then only the key matters.
    return public_url is None or claims.get("iss") == public_url


def _invalid_token(detail: str) -> Unauthenticated:
    return Unauthenticated(detail, error="invalid_token")
