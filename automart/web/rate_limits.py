"""How often each caller may ask: `RATE_LIMIT`, counted in Redis over all processes and hosts.

While Redis is down each process counts by itself, so that nobody is kept out and nobody gets
everything. The headers are those of draft-ietf-httpapi-ratelimit-headers-10.
"""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import redis
import structlog
from flask import Flask, Response, g, request
from limits import RateLimitItem

from automart.core.errors import TooManyRequests
from automart.web.trusted_proxies import network_of

log = structlog.get_logger(__name__)

# Redis may hang for a second until it counts as down; not for each request.
REDIS_LEFT_ALONE_SECONDS = 5.0
MOST_COUNTED_HERE = 10_000

Counted = tuple[int, float]
"""How many requests there were in this window, and how many seconds it still has."""


@dataclass(frozen=True, slots=True)
class Standing:
    """What is left of one limit for one caller."""

    limit: RateLimitItem
    used: int
    reset: int

    @property
    def name(self) -> str:
        return f"{self.limit.amount}-per-{self.limit.multiples}-{self.limit.GRANULARITY.name}"

    @property
    def policy(self) -> str:
        return f'"{self.name}";q={self.limit.amount};w={self.limit.get_expiry()}'

    @property
    def left(self) -> str:
        remaining = max(0, self.limit.amount - self.used)
        return f'"{self.name}";r={remaining};t={self.reset}'


class RateLimiter:
    """Counts requests in windows that begin with a caller's first one."""

    def __init__(self, limits: Sequence[RateLimitItem], client: redis.Redis) -> None:
        self._limits = limits
        self._redis = client
        self._redis_left_alone_until = 0.0
        self._here = _CountsOfThisProcess()

    def hit(self, who: str) -> list[Standing]:
        """Count a request of `who`. Answers what is left of each limit, tightest window first."""
        return [
            Standing(limit, used, max(1, math.ceil(seconds)))
            for limit, (used, seconds) in zip(self._limits, self._count(who), strict=True)
        ]

    def _count(self, who: str) -> list[Counted]:
        windows = [
            (f"ratelimit:{limit.amount}/{limit.get_expiry()}:{who}", limit.get_expiry())
            for limit in self._limits
        ]
        if time.monotonic() >= self._redis_left_alone_until:
            was_down = self._redis_left_alone_until > 0
            if was_down:  # should it hang, the other threads need not find out for themselves
                self._leave_redis_alone()
            try:
                counted = self._count_in_redis(windows)
            except redis.RedisError as error:
                self._leave_redis_alone()
                if not was_down:
                    log.warning("rate_limits_without_redis", error=str(error))
            else:
                self._redis_left_alone_until = 0.0
                return counted
        return self._here.count(windows)

    def _leave_redis_alone(self) -> None:
        self._redis_left_alone_until = time.monotonic() + REDIS_LEFT_ALONE_SECONDS

    def _count_in_redis(self, windows: list[tuple[str, int]]) -> list[Counted]:
        with self._redis.pipeline() as pipeline:
            for key, seconds in windows:
                pipeline.set(key, 0, ex=seconds, nx=True)
                pipeline.incr(key)
                pipeline.pttl(key)
            answers = pipeline.execute()
        return [
            (answers[3 * place + 1], answers[3 * place + 2] / 1000) for place in range(len(windows))
        ]


class _CountsOfThisProcess:
    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._windows: dict[str, tuple[int, float]] = {}

    def count(self, windows: list[tuple[str, int]]) -> list[Counted]:
        now = time.monotonic()
        with self._lock:
            if len(self._windows) > MOST_COUNTED_HERE:
                self._forget(now)
            return [self._count(key, seconds, now) for key, seconds in windows]

    def _count(self, key: str, seconds: int, now: float) -> Counted:
        used, until = self._windows.get(key, (0, 0.0))
        if until <= now:
            used, until = 0, now + seconds
        self._windows[key] = (used + 1, until)
        return used + 1, until - now

    def _forget(self, now: float) -> None:
        self._windows = {key: seen for key, seen in self._windows.items() if seen[1] > now}
        if len(self._windows) > MOST_COUNTED_HERE // 2:
            self._windows.clear()  # better generous for once than without bounds


def limit_requests(
    app: Flask,
    limits: Sequence[RateLimitItem],
    client: redis.Redis,
    subject: Callable[[], str | None],
    *,
    exempt: frozenset[str],
) -> None:
    """Hold the callers of `app` to `limits`: whom `subject` names, or else each address.

    `exempt` are the endpoints that anyone may ask as often as they like.
    """
    if not limits:
        return
    limiter = RateLimiter(limits, client)

    @app.before_request
    def count() -> None:
        if request.method == "OPTIONS" or request.endpoint in exempt:
            return
        who = subject()
        g.rate_limits = limiter.hit(who or f"address:{network_of(request.remote_addr)}")
        exceeded = [each for each in g.rate_limits if each.used > each.limit.amount]
        if exceeded:
            longest = max(exceeded, key=lambda each: each.reset)
            raise TooManyRequests(
                "Too many requests. Wait a little.",
                retry_after=longest.reset,
                policy=longest.name,
                quota=longest.limit.amount,
            )

    @app.after_request
    def tell(response: Response) -> Response:
        standings: list[Standing] = g.get("rate_limits", [])
        if standings:
            _add(response, "RateLimit-Policy", {each.name: each.policy for each in standings})
            _add(response, "RateLimit", {each.name: each.left for each in standings})
        return response


def _add(response: Response, header: str, told: dict[str, str]) -> None:
    """A list of all limits, with those of another kind (failed logins) that stand there already."""
    already = response.headers.get(header)
    if already is not None and not any(already.startswith(f'"{name}"') for name in told):
        told = {"": already} | told
    response.headers[header] = ", ".join(told.values())
