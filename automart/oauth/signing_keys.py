"""The keys that sign access tokens. They are stored in the database, private keys encrypted."""

from __future__ import annotations

import threading
import time
from datetime import timedelta
from typing import Any

import structlog
import uuid6
from flask import current_app
from joserfc.jwk import ECKey, KeyParameters
from sqlalchemy import delete, or_, select, update

from automart.accounts.sessions import TOKEN_LIFETIME
from automart.core.db import db, transaction, utcnow
from automart.core.encryption import (
    CannotDecrypt,
    Rotation,
    decrypt,
    encrypt,
    rotate_rows,
    undecryptable,
)
from automart.oauth.models import SigningKey

log = structlog.get_logger(__name__)

ALGORITHM = "ES256"
# Other processes learn of new and withdrawn keys within this time.
MAX_AGE_SECONDS = 30.0
# A retired key verifies until the last token that it signed has expired, in any process.
VERIFIES_AFTER_RETIREMENT = TOKEN_LIFETIME + timedelta(minutes=5)


class KeyRing:
    """The cached keys of this process. One per application."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._public: dict[str, ECKey] = {}
        self._signing: ECKey | None = None
        self._read_at = float("-inf")

    def public_key(self, kid: str) -> ECKey | None:
        """Return the key `kid`, if tokens that it signed are valid."""
        self._read(max_age=MAX_AGE_SECONDS)
        if kid not in self._public:
            # It may be new. Requests with invented ids must not cause a query each.
            self._read(max_age=1.0)
        return self._public.get(kid)

    def signing_key(self) -> ECKey:
        """Return the key to sign with. It is created if there is none yet."""
        self._read(max_age=MAX_AGE_SECONDS)
        if self._signing is None:
            with transaction():
                _add_key()
            self._read(max_age=0)
        if self._signing is None:
            raise CannotDecrypt("There is no key to sign tokens with.")
        return self._signing

    def published(self) -> list[dict[str, Any]]:
        """Return the public keys as JWKs (RFC 7517)."""
        self.signing_key()
        return [key.as_dict(private=False) for key in self._public.values()]

    def invalidate(self) -> None:
        """Read the keys again the next time that they are used."""
        self._read_at = float("-inf")

    def _read(self, *, max_age: float) -> None:
        if time.monotonic() - self._read_at <= max_age:
            return
        with self._lock:
            not_expired = or_(
                SigningKey.retired_at.is_(None),
                SigningKey.retired_at > utcnow() - VERIFIES_AFTER_RETIREMENT,
            )
            found = select(SigningKey).where(not_expired).order_by(SigningKey.created_at.desc())
            keys = list(db.session.scalars(found))
            self._public = {key.kid: ECKey.import_key(dict(key.public_jwk)) for key in keys}
            self._signing = next(filter(None, map(_private_key, keys)), None)
            self._read_at = time.monotonic()


def key_ring() -> KeyRing:
    ring: KeyRing = current_app.extensions["key_ring"]
    return ring


def rotate_signing_key(*, at_once: bool = False) -> str:
    """Add a key that signs tokens from now on. Return its id.

    Tokens of the old keys stay valid until they expire. `at_once` is for leaked keys: their tokens
    become invalid as soon as every process has read the keys again.
    """
    with transaction():
        if at_once:
            db.session.execute(delete(SigningKey))
        else:
            active = update(SigningKey).where(SigningKey.retired_at.is_(None))
            db.session.execute(active.values(retired_at=utcnow()))
        kid = _add_key()
    key_ring().invalidate()
    return kid


def reencrypt_signing_keys() -> Rotation:
    """Encrypt all private keys under the current `SECRET_KEY`."""
    with transaction():
        keys = db.session.scalars(select(SigningKey).order_by(SigningKey.kid).with_for_update())
        return rotate_rows(map(_named, keys), "encrypted_private_key")


def undecryptable_keys() -> list[str]:
    """Return the names of the keys that should sign, and cannot be decrypted."""
    active = select(SigningKey).where(SigningKey.retired_at.is_(None)).order_by(SigningKey.kid)
    return undecryptable(map(_named, db.session.scalars(active)), "encrypted_private_key")


def _named(key: SigningKey) -> tuple[str, SigningKey]:
    return f"signing key {key.kid}", key


def _add_key() -> str:
    kid = uuid6.uuid7().hex
    parameters: KeyParameters = {"kid": kid, "use": "sig", "alg": ALGORITHM}
    key = ECKey.generate_key("P-256", parameters=parameters, private=True)
    public = dict(key.as_dict(private=False))
    encrypted = encrypt(key.as_pem(private=True))
    db.session.add(SigningKey(kid=kid, public_jwk=public, encrypted_private_key=encrypted))
    return kid


def _private_key(row: SigningKey) -> ECKey | None:
    if row.retired_at is not None:
        return None
    try:
        pem = decrypt(row.encrypted_private_key)
    except CannotDecrypt as error:
        # Its tokens are still verified, and a new key is created, so all users can still log in.
        log.warning("signing_key_encrypted_under_another_secret", kid=row.kid, error=str(error))
        return None
    return ECKey.import_key(pem, {"kid": row.kid, "use": "sig", "alg": ALGORITHM})
