"""The pace that processes keep together by way of Redis."""

from __future__ import annotations

import redis

from automart.background.queues import connect
from automart.catalogue.shared_pace import KEY, RedisSlots


def test_what_one_process_has_reserved_is_not_free_for_another(redis_url: str) -> None:
    client = redis.Redis.from_url(redis_url)
    client.delete(KEY)
    one, other = RedisSlots(client), RedisSlots(redis.Redis.from_url(redis_url))
    assert one.reserve(0, 100) == 0
    assert 0 < other.reserve(0, 1000) <= 100
    assert 1000 < one.reserve(0, 100) <= 1100
    assert one.reserve(5000, 100) == 5000  # its own turn is later


def test_what_a_process_has_left_over_is_free_for_itself(redis_url: str) -> None:
    client = redis.Redis.from_url(redis_url)
    client.delete(KEY)
    one, other = RedisSlots(client), RedisSlots(client)
    assert (one.reserve(0, 100), one.reserve(60, 100)) == (0, 60)
    assert 60 < other.reserve(0, 1) <= 160
    assert 60 < one.reserve(70, 1) <= 161
    client.delete(KEY)


def test_a_reservation_is_deleted_after_its_time(redis_url: str) -> None:
    client = redis.Redis.from_url(redis_url)
    client.delete(KEY)
    RedisSlots(client).reserve(10, 20)
    assert 0 < client.pttl(KEY) <= 31_000  # type: ignore[operator] # not a coroutine
    client.delete(KEY)


def test_each_process_keeps_the_pace_alone_while_redis_is_down() -> None:
    slots = RedisSlots(connect("unix:///nowhere/redis.sock"))
    assert [slots.reserve(wait, 1) for wait in (0, 0.25, 3)] == [0, 0.25, 3]
