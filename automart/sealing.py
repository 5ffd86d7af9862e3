"""Secrets that must be read again, encrypted for the database under `SECRET_KEY`.

`SECRET_KEY` can be replaced: what was sealed under one of `SECRET_KEY_FALLBACKS` is still read, and
`reseal` puts it under the new one.
"""

from __future__ import annotations

import base64
from functools import cache

from cryptography.fernet import Fernet, InvalidToken, MultiFernet
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from flask import current_app

from automart.config import Settings


class CannotUnseal(Exception):
    """It was sealed under a secret that is neither `SECRET_KEY` nor one of its fallbacks."""


def seal(secret: bytes) -> str:
    """`secret`, encrypted and authenticated, as text."""
    return _box().encrypt(secret).decode()


def unseal(sealed: str) -> bytes:
    """What `seal` was given. Raises `CannotUnseal`."""
    try:
        return _box().decrypt(sealed)
    except InvalidToken:
        raise CannotUnseal(
            "SECRET_KEY has changed. Name the old one in SECRET_KEY_FALLBACKS."
        ) from None


def reseal(sealed: str) -> str:
    """The same secret, sealed under the present `SECRET_KEY`. Raises `CannotUnseal`."""
    return seal(unseal(sealed))


def _box() -> MultiFernet:
    settings: Settings = current_app.extensions["settings"]
    return MultiFernet([_key(s) for s in (settings.secret_key, *settings.secret_key_fallbacks)])


@cache
def _key(secret: str) -> Fernet:
    derived = HKDF(SHA256(), length=32, salt=None, info=b"automart sealing").derive(secret.encode())
    return Fernet(base64.urlsafe_b64encode(derived))
