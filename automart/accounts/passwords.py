"""Passwords: kept as argon2id, checked in the same time whether or not there is an account."""

from __future__ import annotations

import unicodedata
from functools import cache
from pathlib import Path

from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerificationError

from automart.core.db import refuse_in_transaction

SHORTEST = 12
LONGEST = 128
# The 3,000 commonest of at least 12 characters, case folded, out of SecLists' million by frequency
# (10-million-password-list-top-1000000.txt, MIT; from Mark Burnett's ten million, public domain).
COMMON = Path(__file__).with_name("common_passwords.txt")

# OWASP's recommendation for argon2id, and what all timings in docs/security.md were taken with.
_hasher = PasswordHasher(time_cost=2, memory_cost=19 * 1024, parallelism=1)


def hash_password(password: str) -> str:
    """Return the hash to store. Takes some 20 ms on purpose."""
    refuse_in_transaction("hashing a password")
    return _hasher.hash(_encoded(password))


def is_right(password: str, stored: str | None) -> bool:
    """Return whether `stored` is its hash. Without an account (None) it takes as long."""
    refuse_in_transaction("hashing a password")
    try:
        right = _hasher.verify(stored or _nobodys_hash(), _encoded(password))
    except (VerificationError, InvalidHashError):
        return False
    return right and stored is not None


def needs_rehash(stored: str) -> bool:
    """Whether `stored` was made with other parameters than today's."""
    return _hasher.check_needs_rehash(stored)


def what_is_wrong(password: str) -> str | None:
    """Why `password` cannot be set, if it cannot. There are no rules of composition."""
    if not SHORTEST <= len(password) <= LONGEST:
        return f"Must have {SHORTEST} to {LONGEST} characters."
    if not password.strip() or any(unicodedata.category(c) in ("Cc", "Cs") for c in password):
        return "Must not be blank, nor contain control characters."
    if password.casefold() in common_passwords():
        return "This is one of the commonest passwords, which are tried first."
    return None


@cache
def common_passwords() -> frozenset[str]:
    """The commonest passwords, case folded."""
    return frozenset(COMMON.read_text().splitlines())


def _encoded(password: str) -> bytes:
    # Exactly as received: not trimmed, not normalized. JSON can carry lone surrogates.
    return password.encode("utf-8", "surrogatepass")


@cache
def _nobodys_hash() -> str:
    return hash_password("nobody has this password")
