"""Passwords: kept as argon2id, checked in the same time whether or not there is an account."""

from __future__ import annotations

from functools import cache

from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerificationError

# OWASP's recommendation for argon2id, and what all timings in docs/security.md were taken with.
_hasher = PasswordHasher(time_cost=2, memory_cost=19 * 1024, parallelism=1)


def hash_password(password: str) -> str:
    """The hash to store. Takes some 20 ms on purpose: not inside a transaction."""
    return _hasher.hash(_encoded(password))


def is_right(password: str, stored: str | None) -> bool:
    """Whether `password` is the one behind `stored`. Without an account (None) it takes as long."""
    try:
        right = _hasher.verify(stored or _nobodys_hash(), _encoded(password))
    except (VerificationError, InvalidHashError):
        return False
    return right and stored is not None


def needs_rehash(stored: str) -> bool:
    """Whether `stored` was made with other parameters than today's."""
    return _hasher.check_needs_rehash(stored)


def _encoded(password: str) -> bytes:
    # Exactly as received: not trimmed, not normalized. JSON can carry lone surrogates.
    return password.encode("utf-8", "surrogatepass")


@cache
def _nobodys_hash() -> str:
    return hash_password("nobody has this password")
