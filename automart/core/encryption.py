"""Encrypts stored secrets that must be read again, with keys derived from `SECRET_KEY`.

After `SECRET_KEY` is replaced, values encrypted under one of `SECRET_KEY_FALLBACKS` are still read;
`rotate` encrypts them under the new one.
"""

from __future__ import annotations

import base64
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cache

from cryptography.fernet import Fernet, InvalidToken, MultiFernet
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from automart.core.config import current_settings
from automart.core.db import Model

NOT_DECRYPTED = "SECRET_KEY has changed. Add the old one to SECRET_KEY_FALLBACKS."


class CannotDecrypt(Exception):
    """A value was encrypted under a secret that is neither `SECRET_KEY` nor a fallback of it."""


@dataclass(frozen=True, slots=True)
class Rotation:
    """The number of values that were encrypted anew, and the names of those that could not be."""

    rotated: int
    undecryptable: list[str]


def encrypt(secret: bytes) -> str:
    """Return `secret`, encrypted and authenticated, as text."""
    return _fernet().encrypt(secret).decode()


def decrypt(token: str) -> bytes:
    """Return what `encrypt` was called with. Raises `CannotDecrypt`."""
    try:
        return _fernet().decrypt(token)
    except InvalidToken:
        raise CannotDecrypt(NOT_DECRYPTED) from None


def rotate(token: str) -> str:
    """Return the same secret, encrypted under the current `SECRET_KEY`. Raises `CannotDecrypt`."""
    try:
        return _fernet().rotate(token).decode()
    except InvalidToken:
        raise CannotDecrypt(NOT_DECRYPTED) from None


def rotate_rows(named_rows: Iterable[tuple[str, Model]], attribute: str) -> Rotation:
    """Rotate an attribute of all rows, in the current transaction.

    A row that cannot be decrypted stays as it is, and the others are still rotated.
    """
    rotated, undecryptable = 0, []
    for name, row in named_rows:
        try:
            setattr(row, attribute, rotate(getattr(row, attribute)))
        except CannotDecrypt:
            undecryptable.append(name)
        else:
            rotated += 1
    return Rotation(rotated, undecryptable)


def undecryptable(named_rows: Iterable[tuple[str, Model]], attribute: str) -> list[str]:
    """Return the names of the rows whose attribute cannot be decrypted."""
    found = []
    for name, row in named_rows:
        try:
            decrypt(getattr(row, attribute))
        except CannotDecrypt:
            found.append(name)
    return found


def _fernet() -> MultiFernet:
    settings = current_settings()
    return MultiFernet(
        [_derive_key(s) for s in (settings.secret_key, *settings.secret_key_fallbacks)]
    )


@cache
def _derive_key(secret: str) -> Fernet:
    # `info` separates these keys from others that are derived from the same secret. It cannot be
    # changed: stored values need it.
    derived = HKDF(SHA256(), length=32, salt=None, info=b"automart sealing").derive(secret.encode())
    return Fernet(base64.urlsafe_b64encode(derived))
