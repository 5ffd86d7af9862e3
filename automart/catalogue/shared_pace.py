"""The pace of requests to NHTSA that all processes on all hosts keep together, by way of Redis."""

from __future__ import annotations

import time
from typing import Self, cast

import redis
import structlog
from flask import current_app

log = structlog.get_logger(__name__)

KEY = "automart:nhtsa:next-request"
RETRY_SECONDS = 10.0
_MICROSECONDS = 1_000_000

# Redis' clock counts, because those of hosts disagree. The key expires soon after its time, so that
# a clock that was set back does not stop all requests.
_RESERVE = """
local time = redis.call('TIME')
local now = time[1] * 1000000 + time[2]
local first = math.max(now + ARGV[1], tonumber(redis.call('GET', KEYS[1]) or 0))
local after = first + ARGV[2]
local lifetime = math.ceil((after - now) / 1000) + 1000
redis.call('SET', KEYS[1], string.format('%.0f', after), 'PX', string.format('%.0f', lifetime))
return first - now
"""


class RedisSlots:
    """Times for requests, which are reserved in Redis. While Redis is down, each process keeps the
    pace alone."""

    def __init__(self, client: redis.Redis) -> None:
        self._client = client
        self._down_until = 0.0

    @classmethod
    def of_current_app(cls) -> Self:
        return cls(current_app.extensions["redis"])

    def reserve(self, wait: float, seconds: float) -> float:
        """Reserve the next `seconds` that are free and begin in `wait` seconds or later.

        Return in how many seconds they begin.
        """
        if time.monotonic() < self._down_until:
            return wait
        arguments = (str(round(value * _MICROSECONDS)) for value in (wait, seconds))
        try:
            begins = self._client.eval(_RESERVE, 1, KEY, *arguments)
        except redis.RedisError as error:
            log.warning("nhtsa_pace_not_shared", error=str(error))
            self._down_until = time.monotonic() + RETRY_SECONDS
            return wait
        return cast("int", begins) / _MICROSECONDS
