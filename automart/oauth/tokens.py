"""Access tokens (RFC 9068): signed by us, verified once, then known by their hash."""

from __future__ import annotations

import hashlib
import secrets
import threading
import time
import uuid
from collections import OrderedDict
from collections.abc import Iterable
from dataclasses import dataclass

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
# Without PUBLIC_URL nothing names this deployment, and a host name comes from the client.
NAMELESS_AUDIENCE = "urn:automart"
LONGEST_TOKEN = 4096


@dataclass(frozen=True, slots=True)
class AccessToken:
    """What a verified access token says."""

    subject: str
    login_id: uuid.UUID
    client_id: str
    scopes: frozenset[str]
    kid: str
    expires_at: int


class VerifiedTokens:
    """The tokens that this process has verified of late, by hash. Bounded. One per application."""

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
    """Who issues tokens: `PUBLIC_URL`, whichever prefix was used; without it the client's host."""
    return url_root()


def audience() -> str:
    """For whom access tokens are: this deployment."""
    settings = current_settings()
    return settings.public_url or NAMELESS_AUDIENCE


def issue_access_token(login: Login, scopes: Iterable[str]) -> str:
    """A signed token that is good for `LIFETIME_SECONDS`, and no longer than `login`."""
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


def verify_access_token(text: str) -> AccessToken:
    """What the token says. Raises `Unauthenticated` unless it is ours and has not expired."""
    known: VerifiedTokens = current_app.extensions["verified_tokens"]
    digest = hashlib.sha256(text.encode()).digest()
    token = known.get(digest)
    if token is None:
        token = _verify(text)
        known.add(digest, token)
    if token.expires_at <= time.time():
        raise _bad("The access token has expired.")
    if key_ring().public_key(token.kid) is None:
        raise _bad("The key of this access token has been withdrawn.")
    return token


def _verify(text: str) -> AccessToken:
    if len(text) > LONGEST_TOKEN:
        raise _bad("The access token is malformed.")
    try:
        # One algorithm, ours: neither `none`, nor HMAC with what we publish as its key.
        token = jwt.decode(text, _key_of, algorithms=[ALGORITHM])
        claims, header = token.claims, token.header
        rules = jwt.JWTClaimsRegistry(
            leeway=0,
            aud={"essential": True, "value": audience()},
            exp={"essential": True},
            iat={"essential": True},
            sub={"essential": True},
        )
        rules.validate(claims)
        if str(header.get("typ", "")).lower() not in TOKEN_TYPES or not _is_our_issuer(claims):
            raise _bad("This is no access token of ours.")
        return AccessToken(
            subject=str(claims["sub"]),
            login_id=uuid.UUID(claims["sid"]),
            client_id=str(claims["client_id"]),
            scopes=frozenset(str(claims.get("scope", "")).split()),
            kid=str(header["kid"]),
            expires_at=int(claims["exp"]),
        )
    except (JoseError, ValueError, TypeError, KeyError, AttributeError):
        raise _bad("The access token is not valid.") from None


def _key_of(signature: GuestProtocol) -> ECKey:
    key = key_ring().public_key(str(signature.headers().get("kid")))
    if key is None:
        raise ValueError("unknown key")
    return key


def _is_our_issuer(claims: dict[str, object]) -> bool:
    settings = current_settings()
    # Without PUBLIC_URL the issuer is whatever host the client used, and the key alone is proof.
    return settings.public_url is None or claims.get("iss") == settings.public_url


def _bad(detail: str) -> Unauthenticated:
    return Unauthenticated(detail, error="invalid_token")
