"""Passwords: the rules for new ones, hashing (argon2id) and verification in constant time."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from threading import BoundedSemaphore

from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerificationError

from automart.core.db import refuse_in_transaction
from automart.core.errors import Unavailable
from automart.core.text import trim
from automart.core.turns import turn_released

# In a password, this word and those of the user's name and e-mail address count for nothing.
PRODUCT = "automart"
SHORTEST_WORD = 3
SHORTEST_REST = 6
_SEPARATORS = re.compile(r"[\W_]+")

SHORTEST_PASSWORD = 12
LONGEST_PASSWORD = 128
# The 3,000 most common of at least 12 characters, case-folded, from SecLists' million by frequency
# (10-million-password-list-top-1000000.txt, MIT; from Mark Burnett's ten million, public domain).
COMMON_PASSWORDS = Path(__file__).with_name("common_passwords.txt")

# OWASP's recommendation for argon2id. The timings in docs/security.md were measured with it.
_hasher = PasswordHasher(time_cost=2, memory_cost=19 * 1024, parallelism=1)


# Each takes 19 MiB and a processor: more at the same time take no less, and use up the memory.
MOST_AT_ONCE = 2
WAITING_SECONDS = 10
_slots = BoundedSemaphore(MOST_AT_ONCE)


@contextmanager
def _slot() -> Iterator[None]:
    """Wait until few enough passwords are hashed in this process. Raises `Unavailable`."""
    with turn_released():
        if not _slots.acquire(timeout=WAITING_SECONDS):
            raise Unavailable("Too many people log in at the same time. Try again soon.")
        try:
            yield
        finally:
            _slots.release()


def hash_password(password: str) -> str:
    """Return the hash to store. Takes about 20 ms on purpose."""
    refuse_in_transaction("hashing a password")
    with _slot():
        return _hasher.hash(_encoded(password))


def verify_password(password: str, stored: str | None) -> bool:
    """Return whether `stored` is the hash of `password`.

    Takes the same time if there is no account (None).
    """
    refuse_in_transaction("hashing a password")
    try:
        with _slot():
            is_right = _hasher.verify(stored or _dummy_hash(), _encoded(password))
    except (VerificationError, InvalidHashError):
        return False
    return is_right and stored is not None


def needs_rehash(stored: str) -> bool:
    """Return whether `stored` was made with other parameters than the current ones."""
    return _hasher.check_needs_rehash(stored)


def password_problem(password: str) -> str | None:
    """Return why `password` cannot be set, or None. There are no composition rules."""
    if not SHORTEST_PASSWORD <= len(password) <= LONGEST_PASSWORD:
        return f"Must have {SHORTEST_PASSWORD} to {LONGEST_PASSWORD} characters."
    if not trim(password) or any(unicodedata.category(c) in ("Cc", "Cs") for c in password):
        return "Must not be blank or contain control characters."
    if password.casefold() in common_passwords():
        return "This is one of the most common passwords, which attackers try first."
    return None


def is_personal(password: str, words: Iterable[str]) -> bool:
    """Return whether `password` has almost nothing besides `words`, which attackers try first."""
    parts = {part for word in (*words, PRODUCT) for part in _SEPARATORS.split(word.casefold())}
    rest = folded = password.casefold()
    for part in sorted(parts, key=len, reverse=True):
        if len(part) >= SHORTEST_WORD:
            rest = rest.replace(part, "")
    more = sum(unicodedata.category(c)[0] not in "PZ" for c in rest)
    return rest != folded and more < SHORTEST_REST


@cache
def common_passwords() -> frozenset[str]:
    """Return the most common passwords, case-folded."""
    return frozenset(COMMON_PASSWORDS.read_text().splitlines())


def _encoded(password: str) -> bytes:
    # Exactly as received: not trimmed, not normalized. JSON can contain lone surrogates.
    return password.encode("utf-8", "surrogatepass")


@cache
def _dummy_hash() -> str:
    return hash_password("a password that no user has")
