"""The keys that sign access tokens: in the database, private halves encrypted."""

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
from automart.core.encryption import CannotDecrypt, Rotation, decrypt, encrypt, rotate_rows
from automart.oauth.models import SigningKey

log = structlog.get_logger(__name__)

ALGORITHM = "ES256"
# Other processes learn of a new key, and of one withdrawn, within this time.
READ_EVERY_SECONDS = 30.0
# A retired key verifies until the last token that it signed has expired, in any process.
VERIFIES_AFTER_RETIREMENT = TOKEN_LIFETIME + timedelta(minutes=5)


class KeyRing:
    """What this process knows of the keys. One per application."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._public: dict[str, ECKey] = {}
        self._signing: ECKey | None = None
        self._read_at = float("-inf")

    def public_key(self, kid: str) -> ECKey | None:
        """The key named `kid` if tokens signed by it are good at present."""
        self._read(at_least_every=READ_EVERY_SECONDS)
        if kid not in self._public:
            # It may be new. A stranger who invents names must not cost a query each time.
            self._read(at_least_every=1.0)
        return self._public.get(kid)

    def signing_key(self) -> ECKey:
        """The key to sign with, made if there is none yet."""
        self._read(at_least_every=READ_EVERY_SECONDS)
        if self._signing is None:
            with transaction():
                _add_key()
            self._read(at_least_every=0)
        if self._signing is None:
            raise CannotDecrypt("There is no key to sign with.")
        return self._signing

    def published(self) -> list[dict[str, Any]]:
        """The public keys as JWKs (RFC 7517)."""
        self.signing_key()
        return [key.as_dict(private=False) for key in self._public.values()]

    def forget(self) -> None:
        """Read the keys anew when they are needed next."""
        self._read_at = float("-inf")

    def _read(self, *, at_least_every: float) -> None:
        if time.monotonic() - self._read_at <= at_least_every:
            return
        with self._lock:
            still_good = or_(
                SigningKey.retired_at.is_(None),
                SigningKey.retired_at > utcnow() - VERIFIES_AFTER_RETIREMENT,
            )
            found = select(SigningKey).where(still_good).order_by(SigningKey.created_at.desc())
            keys = list(db.session.scalars(found))
            self._public = {key.kid: ECKey.import_key(dict(key.public_jwk)) for key in keys}
            self._signing = next(filter(None, map(_private_key, keys)), None)
            self._read_at = time.monotonic()


def key_ring() -> KeyRing:
    ring: KeyRing = current_app.extensions["key_ring"]
    return ring


def rotate_signing_key(*, at_once: bool = False) -> str:
    """Sign with a new key from now on. Answers its name.

    Tokens of the old keys stay good until they expire; `at_once`, for keys that have leaked, makes
    them bad as soon as every process has read the keys again.
    """
    with transaction():
        if at_once:
            db.session.execute(delete(SigningKey))
        else:
            active = update(SigningKey).where(SigningKey.retired_at.is_(None))
            db.session.execute(active.values(retired_at=utcnow()))
        kid = _add_key()
    key_ring().forget()
    return kid


def reencrypt_signing_keys() -> Rotation:
    """Encrypt all private keys under the current `SECRET_KEY`."""
    with transaction():
        keys = db.session.scalars(select(SigningKey).order_by(SigningKey.kid).with_for_update())
        named = ((f"signing key {key.kid}", key) for key in keys)
        return rotate_rows(named, "encrypted_private_key")


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
        # Its tokens are still verified, and a new key is made: nobody is locked out.
        log.warning("signing_key_encrypted_under_another_secret", kid=row.kid, error=str(error))
        return None
    return ECKey.import_key(pem, {"kid": row.kid, "use": "sig", "alg": ALGORITHM})
