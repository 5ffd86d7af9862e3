"""Rate limits of callers (`RATE_LIMIT`), counted in Redis for all processes and hosts.

While Redis is down, each process counts its own requests, so that limits still apply. The headers
are those of draft-ietf-httpapi-ratelimit-headers-10.
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

# A Redis that hangs delays a request by a second. Only one request in this time may try it.
REDIS_RETRY_SECONDS = 5.0
MAX_LOCAL_COUNTERS = 10_000

Count = tuple[int, float]
"""The number of requests in the current window, and the seconds until it ends."""


@dataclass(frozen=True, slots=True)
class Usage:
    """The usage of one limit by one caller."""

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
    """Counts requests in windows. A window begins with the first request of a caller."""

    def __init__(self, limits: Sequence[RateLimitItem], client: redis.Redis) -> None:
        self._limits = limits
        self._redis = client
        self._redis_retry_at = 0.0
        self._local = _LocalCounters()

    def hit(self, caller: str) -> list[Usage]:
        """Count a request of `caller`. Return the usage of each limit, shortest window first."""
        return [
            Usage(limit, used, max(1, math.ceil(seconds)))
            for limit, (used, seconds) in zip(self._limits, self._count(caller), strict=True)
        ]

    def _count(self, caller: str) -> list[Count]:
        windows = [
            (f"ratelimit:{limit.amount}/{limit.get_expiry()}:{caller}", limit.get_expiry())
            for limit in self._limits
        ]
        if time.monotonic() >= self._redis_retry_at:
            was_down = self._redis_retry_at > 0
            if was_down:  # if it still hangs, other threads must not wait for it too
                self._postpone_redis()
            try:
                counted = self._count_in_redis(windows)
            except redis.RedisError as error:
                self._postpone_redis()
                if not was_down:
                    log.warning("rate_limits_without_redis", error=str(error))
            else:
                self._redis_retry_at = 0.0
                return counted
        return self._local.count(windows)

    def _postpone_redis(self) -> None:
        self._redis_retry_at = time.monotonic() + REDIS_RETRY_SECONDS

    def _count_in_redis(self, windows: list[tuple[str, int]]) -> list[Count]:
        with self._redis.pipeline() as pipeline:
            for key, seconds in windows:
                pipeline.set(key, 0, ex=seconds, nx=True)
                pipeline.incr(key)
                pipeline.pttl(key)
            answers = pipeline.execute()
        return [
            (answers[3 * place + 1], answers[3 * place + 2] / 1000) for place in range(len(windows))
        ]


class _LocalCounters:
    """Counts requests in this process, while Redis is down."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._windows: dict[str, tuple[int, float]] = {}

    def count(self, windows: list[tuple[str, int]]) -> list[Count]:
        now = time.monotonic()
        with self._lock:
            if len(self._windows) > MAX_LOCAL_COUNTERS:
                self._evict(now)
            return [self._count(key, seconds, now) for key, seconds in windows]

    def _count(self, key: str, seconds: int, now: float) -> Count:
        used, until = self._windows.get(key, (0, 0.0))
        if until <= now:
            used, until = 0, now + seconds
        self._windows[key] = (used + 1, until)
        return used + 1, until - now

    def _evict(self, now: float) -> None:
        self._windows = {key: seen for key, seen in self._windows.items() if seen[1] > now}
        if len(self._windows) > MAX_LOCAL_COUNTERS // 2:
            self._windows.clear()  # bounds the memory, at the price of extra requests


def limit_requests(
    app: Flask,
    limits: Sequence[RateLimitItem],
    client: redis.Redis,
    subject: Callable[[], str | None],
    *,
    exempt: frozenset[str],
) -> None:
    """Apply `limits` to the callers of `app`.

    `subject` returns the id of a caller. If that is None, the address is limited. `exempt` are
    endpoints without limits.
    """
    if not limits:
        return
    limiter = RateLimiter(limits, client)

    @app.before_request
    def count() -> None:
        if request.method == "OPTIONS" or request.endpoint in exempt:
            return
        caller = subject() or f"address:{network_of(request.remote_addr)}"
        g.rate_limits = limiter.hit(caller)
        exceeded = [each for each in g.rate_limits if each.used > each.limit.amount]
        if exceeded:
            longest = max(exceeded, key=lambda each: each.reset)
            raise TooManyRequests(
                "Too many requests. Wait before the next one.",
                retry_after=longest.reset,
                policy=longest.name,
                quota=longest.limit.amount,
            )

    @app.after_request
    def add_headers(response: Response) -> Response:
        usages: list[Usage] = g.get("rate_limits", [])
        if usages:
            _add_limits(response, "RateLimit-Policy", {each.name: each.policy for each in usages})
            _add_limits(response, "RateLimit", {each.name: each.left for each in usages})
        return response


def _add_limits(response: Response, header: str, limits: dict[str, str]) -> None:
    """Add limits, by name, to a header. It may already contain a limit of failed logins."""
    present = response.headers.get(header)
    if present is not None and not any(present.startswith(f'"{name}"') for name in limits):
        limits = {"": present} | limits
    response.headers[header] = ", ".join(limits.values())
