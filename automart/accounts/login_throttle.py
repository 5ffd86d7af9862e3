"""Rate limits of failed logins, stored in the database: they hold for all processes and restarts.

Each account and each address has a limit, enforced by the generic cell rate algorithm (GCRA): one
row and one statement. Nobody is locked out for long, because one more attempt is allowed after at
most a minute. An address from which the account has been logged into before has a limit of its
own, which attempts from other addresses do not use up.
"""

from __future__ import annotations

import hashlib
import math
import time
from dataclasses import dataclass

from sqlalchemy import case, select, update

from automart.accounts.models import FamiliarAddress, LoginThrottle
from automart.core.db import db, insert, rowcount, utcnow
from automart.core.errors import TooManyRequests
from automart.web.trusted_proxies import network_of


@dataclass(frozen=True, slots=True)
class Limit:
    """Allows `burst` failures at once, and then one in `interval_ms` milliseconds."""

    name: str
    burst: int
    interval_ms: int

    @property
    def tolerance_ms(self) -> int:
        return (self.burst - 1) * self.interval_ms


ACCOUNT = Limit("login-account", burst=10, interval_ms=60_000)
ADDRESS = Limit("login-address", burst=100, interval_ms=6_000)


@dataclass(frozen=True, slots=True)
class Attempt:
    """An attempt to log in. It counts as a failure until it succeeds."""

    account: str
    address: str
    charges: tuple[tuple[str, Limit], ...]

    def succeed(self) -> None:
        """Undo the charges, and store that the account was logged into from this address."""
        for key, limit in self.charges:
            charged = update(LoginThrottle).where(LoginThrottle.key == key)
            reduced = LoginThrottle.charged_until - limit.interval_ms
            db.session.execute(charged.values(charged_until=reduced))
        familiar = insert(FamiliarAddress).values(
            key=_key("familiar", self.account, self.address), seen_at=utcnow()
        )
        db.session.execute(
            familiar.on_conflict_do_update(
                index_elements=["key"], set_={"seen_at": familiar.excluded.seen_at}
            )
        )


def begin_attempt(account: str, address: str | None) -> Attempt:
    """Charge an attempt to log in to `account`, which need not exist.

    Raises `TooManyRequests`. Call this before the secret is compared, so that concurrent attempts
    count too.
    """
    network = network_of(address)
    familiar = _key("familiar", account, network)
    is_familiar = db.session.get(FamiliarAddress, familiar) is not None
    charges = (
        (_key("address", network), ADDRESS),
        (familiar if is_familiar else _key("account", account), ACCOUNT),
    )
    for key, limit in charges:
        _charge(key, limit)
    return Attempt(account, network, charges)


def check_address(address: str | None) -> None:
    """Raise `TooManyRequests` if the limit of `address` is exhausted."""
    key = _key("address", network_of(address))
    until = db.session.scalar(select(LoginThrottle.charged_until).where(LoginThrottle.key == key))
    if until is not None and until > now_ms() + ADDRESS.tolerance_ms:
        raise _too_many_requests(until, ADDRESS)


def charge_address(address: str | None) -> None:
    """Count a failure against the address alone. Secrets of clients are too long to guess."""
    _charge(_key("address", network_of(address)), ADDRESS)


def now_ms() -> int:
    """Return the current time in the unit of `LoginThrottle.charged_until`."""
    return time.time_ns() // 1_000_000


def _charge(key: str, limit: Limit) -> None:
    now = now_ms()
    until = LoginThrottle.charged_until
    first = insert(LoginThrottle).values(key=key, charged_until=now + limit.interval_ms)
    charged = first.on_conflict_do_update(
        index_elements=["key"],
        set_={"charged_until": case((until > now, until), else_=now) + limit.interval_ms},
        where=until <= now + limit.tolerance_ms,
    )
    if rowcount(charged) == 0:
        found = db.session.scalar(select(until).where(LoginThrottle.key == key))
        raise _too_many_requests(found or now, limit)


def _too_many_requests(until: int, limit: Limit) -> TooManyRequests:
    seconds = max(1, math.ceil((until - limit.tolerance_ms - now_ms()) / 1000))
    return TooManyRequests(
        f"Too many failed logins. Try again in {seconds} seconds.",
        retry_after=seconds,
        policy=limit.name,
        quota=limit.burst,
    )


def _key(*parts: str) -> str:
    # Hashed, so that the table contains neither e-mail addresses nor IP addresses.
    return hashlib.sha256("\0".join(parts).encode()).hexdigest()
