"""The pace of requests to NHTSA that all processes on all hosts keep together, by way of Redis."""

from __future__ import annotations

import time
import uuid
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
local first = now + ARGV[1]
local held = redis.call('HMGET', KEYS[1], 'until', 'holder')
if held[1] and held[2] ~= ARGV[3] then
    first = math.max(first, tonumber(held[1]))
end
local after = first + ARGV[2]
redis.call('HSET', KEYS[1], 'until', string.format('%.0f', after), 'holder', ARGV[3])
redis.call('PEXPIRE', KEYS[1], string.format('%.0f', math.ceil((after - now) / 1000) + 1000))
return first - now
"""


class RedisSlots:
    """Times for requests of one process, which are reserved in Redis.

    While Redis is down, each process keeps the pace alone.
    """

    def __init__(self, client: redis.Redis) -> None:
        self._client = client
        self._holder = uuid.uuid4().hex
        self._down_until = 0.0

    @classmethod
    def of_current_app(cls) -> Self:
        return cls(current_app.extensions["redis"])

    def reserve(self, wait: float, seconds: float) -> float:
        """Reserve the next `seconds` that are free and begin in `wait` seconds or later.

        Return in how many seconds they begin. If no other process has reserved anything since the
        last call, the end of its time may still be free: it is reserved again.
        """
        if time.monotonic() < self._down_until:
            return wait
        microseconds = (str(round(value * _MICROSECONDS)) for value in (wait, seconds))
        try:
            begins = self._client.eval(_RESERVE, 1, KEY, *microseconds, self._holder)
        except redis.RedisError as error:
            log.warning("nhtsa_pace_not_shared", error=str(error))
            self._down_until = time.monotonic() + RETRY_SECONDS
            return wait
        return cast("int", begins) / _MICROSECONDS
