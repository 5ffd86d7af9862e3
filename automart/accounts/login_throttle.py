"""How often a login may fail: counted in the database, so over all processes and restarts.

Each account and each address has some patience, which failures use up and time gives back: the
"generic cell rate algorithm", one row and one statement. Nobody is locked out for good: there is a
next try within a minute, and whoever logs in from an address that the account has been logged into
before has patience of their own there, which strangers cannot use up.
"""

from __future__ import annotations

import hashlib
import math
import time
from dataclasses import dataclass
from datetime import timedelta

from sqlalchemy import case, select, update

from automart.accounts.models import FamiliarAddress, LoginThrottle
from automart.core.db import db, delete_in_batches, insert, rowcount, utcnow
from automart.core.errors import TooManyRequests
from automart.web.trusted_proxies import network_of

FAMILIAR_FOR = timedelta(days=90)


@dataclass(frozen=True, slots=True)
class Limit:
    """`burst` failures at once, and then one in `every` milliseconds."""

    name: str
    burst: int
    every: int

    @property
    def tolerance(self) -> int:
        return (self.burst - 1) * self.every


ACCOUNT = Limit("login-account", burst=10, every=60_000)
ADDRESS = Limit("login-address", burst=100, every=6_000)


@dataclass(frozen=True, slots=True)
class Attempt:
    """A try to log in, which has been charged as if it had failed already."""

    account: str
    address: str
    charges: tuple[tuple[str, Limit], ...]

    def succeed(self) -> None:
        """Give the charges back, and remember the address as one of this account's."""
        for key, limit in self.charges:
            mine = update(LoginThrottle).where(LoginThrottle.key == key)
            db.session.execute(mine.values(charged_until=LoginThrottle.charged_until - limit.every))
        seen = insert(FamiliarAddress).values(
            key=_key("familiar", self.account, self.address), seen_at=utcnow()
        )
        db.session.execute(
            seen.on_conflict_do_update(
                index_elements=["key"], set_={"seen_at": seen.excluded.seen_at}
            )
        )


def begin_attempt(account: str, address: str | None) -> Attempt:
    """Charge a try to log in to `account`, whether there is such an account or not.

    Raises `TooManyRequests`. Charged before the secret is looked at: many tries at once count too.
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
    """Raise `TooManyRequests` if no patience is left with `address`."""
    key = _key("address", network_of(address))
    until = db.session.scalar(select(LoginThrottle.charged_until).where(LoginThrottle.key == key))
    if until is not None and until > _now() + ADDRESS.tolerance:
        raise _refusal(until, ADDRESS)


def charge_address(address: str | None) -> None:
    """Count a failure that concerns no account that could be guessed."""
    _charge(_key("address", network_of(address)), ADDRESS)


def forget_old_throttles() -> int:
    """Delete what counts for nothing any more. Answers how many."""
    full_again = LoginThrottle.charged_until < _now()
    old = FamiliarAddress.seen_at < utcnow() - FAMILIAR_FOR
    return delete_in_batches(LoginThrottle, full_again) + delete_in_batches(FamiliarAddress, old)


def _charge(key: str, limit: Limit) -> None:
    now = _now()
    until = LoginThrottle.charged_until
    first = insert(LoginThrottle).values(key=key, charged_until=now + limit.every)
    charged = first.on_conflict_do_update(
        index_elements=["key"],
        set_={"charged_until": case((until > now, until), else_=now) + limit.every},
        where=until <= now + limit.tolerance,
    )
    if rowcount(charged) == 0:
        found = db.session.scalar(select(until).where(LoginThrottle.key == key))
        raise _refusal(found or now, limit)


def _refusal(until: int, limit: Limit) -> TooManyRequests:
    seconds = max(1, math.ceil((until - limit.tolerance - _now()) / 1000))
    return TooManyRequests(
        "Too many failed logins. Wait a little.",
        retry_after=seconds,
        policy=limit.name,
        quota=limit.burst,
    )


def _key(*parts: str) -> str:
    """Hashed, so that the table names neither people nor addresses."""
    return hashlib.sha256("\0".join(parts).encode("utf-8", "surrogatepass")).hexdigest()


def _now() -> int:
    return time.time_ns() // 1_000_000
