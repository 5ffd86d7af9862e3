"""Rate limits over all processes, with Redis and without."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from dataclasses import replace
from typing import Any

import pytest
import redis
from flask import Flask, Response
from flask.testing import FlaskClient
from limits import parse_many

from automart.core.config import Settings
from automart.web import rate_limits
from automart.web.rate_limits import RateLimiter
from tests.support import people
from tests.support.databases import on_sqlite
from tests.support.http import assert_problem
from tests.support.logs import logged
from tests.support.setup import application

NOWHERE = "unix:///nowhere/redis.sock"


def limits_of(text: str) -> tuple[Any, ...]:
    return tuple(sorted(parse_many(text)))


@pytest.fixture
def settings(settings: Settings) -> Settings:
    return replace(settings, rate_limit=limits_of("3/minute;100/hour"))


def left(response: Any) -> int:
    """Return the remaining requests of three per minute."""
    header: str = response.headers["RateLimit"]
    assert header.startswith('"3-per-1-minute";r=')
    return int(header.removeprefix('"3-per-1-minute";r=').partition(";")[0])


class TestLimits:
    def test_responses_show_what_is_left_and_then_how_long_to_wait(
        self, as_user: FlaskClient
    ) -> None:
        answers = [as_user.get("/v1/makes") for _ in range(4)]
        assert [answer.status_code for answer in answers] == [200, 200, 200, 429]
        assert [left(answer) for answer in answers] == [2, 1, 0, 0]
        refused = assert_problem(answers[3], 429)
        assert refused["detail"] == "Too many requests. Wait before the next one."
        assert 1 <= int(answers[3].headers["Retry-After"]) <= 60
        policy = '"3-per-1-minute";q=3;w=60, "100-per-1-hour";q=100;w=3600'
        assert {answer.headers["RateLimit-Policy"] for answer in answers} == {policy}
        assert ', "100-per-1-hour";r=96;t=' in answers[3].headers["RateLimit"]
        assert "Retry-After" not in answers[0].headers

    def test_the_tokens_of_a_caller_share_its_limit(self, app: Flask) -> None:
        ann, machine = people.make_user(), people.make_client()
        for who in (ann, machine):
            answers = [people.signed_in(app, who).get("/v1/makes") for _ in range(4)]
            assert [left(answer) for answer in answers] == [2, 1, 0, 0]

    def test_requests_without_a_valid_token_are_limited_by_address(self, app: Flask) -> None:
        headers: list[dict[str, str]] = [{}, {"Authorization": "Bearer made.up"}, {}]
        client = app.test_client()
        answers = [client.get("/v1/makes", headers=sent) for sent in headers]
        assert [answer.status_code for answer in answers] == [401] * 3
        assert_problem(client.get("/nowhere"), 429)
        elsewhere = client.get("/nowhere", environ_overrides={"REMOTE_ADDR": "192.0.2.1"})
        assert left(elsewhere) == 2
        assert left(people.signed_in(app, people.make_user()).get("/v1/makes")) == 2

    def test_a_limit_of_failed_logins_is_shown_beside_them(self, app: Flask) -> None:
        @app.get("/throttled")
        def throttled() -> Response:
            return Response(headers={"RateLimit": '"logins";r=0;t=9'})

        response = app.test_client().get("/throttled")
        shown = response.headers["RateLimit"].split(", ")
        assert [each.partition(";t=")[0] for each in shown] == [
            '"logins";r=0',
            '"3-per-1-minute";r=2',
            '"100-per-1-hour";r=99',
        ]
        policy = '"3-per-1-minute";q=3;w=60, "100-per-1-hour";q=100;w=3600'
        assert response.headers["RateLimit-Policy"] == policy

    def test_preflights_and_other_options_have_no_limit(self, client: FlaskClient) -> None:
        assert "RateLimit" not in client.options("/v1/makes").headers

    def test_oauth_endpoints_respond_in_the_form_of_oauth(self, client: FlaskClient) -> None:
        answers = [client.post("/oauth/token", data={}) for _ in range(4)]
        assert answers[3].status_code == 429
        assert answers[3].get_json()["error"] == "temporarily_unavailable"
        assert left(answers[3]) == 0

    def test_the_login_page_and_health_checks_have_no_limit(self, client: FlaskClient) -> None:
        for path in ("/login", "/health/live", "/health/ready", "/health", "/docs"):
            answers = [client.get(path) for _ in range(5)]
            assert {answer.status_code for answer in answers} == {200}
            assert "RateLimit" not in answers[0].headers


def test_the_longest_of_several_exceeded_limits_is_named(settings: Settings) -> None:
    two = replace(settings, rate_limit=limits_of("1/minute;1/hour"))
    with application(two) as app:
        client = app.test_client()
        assert_problem(client.get("/v1/makes"), 401)
        response = client.get("/v1/makes")
    assert_problem(response, 429)
    assert int(response.headers["Retry-After"]) > 60
    policy = '"1-per-1-minute";q=1;w=60, "1-per-1-hour";q=1;w=3600'
    assert response.headers["RateLimit-Policy"] == policy


def test_nothing_is_limited_by_default(settings: Settings) -> None:
    with application(replace(settings, rate_limit=())) as app:
        assert "RateLimit" not in app.test_client().get("/v1/makes").headers


def test_rate_limits_need_no_query(
    app: Flask,
    as_user: FlaskClient,
    settings: Settings,
    count_queries: Callable[[], AbstractContextManager[Any]],
) -> None:
    as_user.get("/v1/makes")
    with count_queries() as queries:
        as_user.get("/v1/makes")
    assert len([s for s in queries.statements if s.startswith("SELECT")]) == 2  # caller, makes


@pytest.fixture
def client_of_redis(redis_url: str) -> Iterator[redis.Redis]:
    with redis.Redis.from_url(redis_url) as client:
        client.flushall()
        yield client


class TestCounting:
    def test_requests_are_counted_over_all_processes(self, client_of_redis: redis.Redis) -> None:
        limiters = [RateLimiter(limits_of("10/minute"), client_of_redis) for _ in range(2)]
        used = [limiter.hit("ann")[0].used for limiter in limiters * 2]
        assert used == [1, 2, 3, 4]

    def test_counters_in_redis_expire_with_their_windows(
        self, client_of_redis: redis.Redis
    ) -> None:
        limiter = RateLimiter(limits_of("10/minute;20/2 hours"), client_of_redis)
        for number in (1, 2, 3):
            usages = limiter.hit("ann")
            assert [usage.used for usage in usages] == [number, number]
            assert 0 < usages[0].reset <= 60 < usages[1].reset <= 7200
        assert limiter.hit("ben")[0].used == 1
        lives = sorted(client_of_redis.ttl(key) for key in client_of_redis.keys("*"))
        assert len(lives) == 4
        assert 0 < lives[0] <= lives[1] <= 60 < lives[2] <= lives[3] <= 7200

    def test_requests_are_counted_locally_while_redis_is_down(
        self, client_of_redis: redis.Redis, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        now = 1000.0
        monkeypatch.setattr(rate_limits.time, "monotonic", lambda: now)
        asked = []
        up = client_of_redis.pipeline

        def down() -> Any:
            asked.append(now)
            raise redis.ConnectionError("down")

        limiter = RateLimiter(limits_of("10/minute"), client_of_redis)
        monkeypatch.setattr(client_of_redis, "pipeline", down)
        assert [limiter.hit("ann")[0].used for _ in range(5)] == [1, 2, 3, 4, 5]
        now += 5
        assert limiter.hit("ann")[0].used == 6
        now += 4.9
        assert limiter.hit("ann")[0].used == 7
        assert asked == [1000, 1005]
        monkeypatch.setattr(client_of_redis, "pipeline", up)
        now += 6
        assert [limiter.hit("ann")[0].used for _ in range(2)] == [1, 2]  # Redis again

    @on_sqlite
    def test_the_loss_of_redis_is_logged_once(
        self, app: Flask, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
    ) -> None:
        now = 1000.0
        monkeypatch.setattr(rate_limits.time, "monotonic", lambda: now)
        with redis.Redis.from_url(NOWHERE, retry=None) as client:
            limiter = RateLimiter(limits_of("2/minute"), client)
            for _ in range(3):
                limiter.hit("ann")
                now += 6
        (event,) = logged(caplog, "rate_limits_without_redis")
        assert "/nowhere/redis.sock" in event["error"]

    def test_local_counters_start_again_with_each_window(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        now = 1000.0
        monkeypatch.setattr(rate_limits.time, "monotonic", lambda: now)
        with redis.Redis.from_url(NOWHERE, retry=None) as client:
            limiter = RateLimiter(limits_of("2/minute"), client)
            found = []
            for passed in (0, 10.5, 49.25, 0.25, 1):
                now += passed
                (usage,) = limiter.hit("ann")
                found.append((usage.used, usage.reset))
        assert found == [(1, 60), (2, 50), (3, 1), (1, 60), (2, 59)]

    def test_local_counters_are_bounded(self, monkeypatch: pytest.MonkeyPatch) -> None:
        now = 1000.0
        monkeypatch.setattr(rate_limits.time, "monotonic", lambda: now)
        monkeypatch.setattr(rate_limits, "MAX_LOCAL_COUNTERS", 10)

        def hit(*callers: str) -> list[int]:
            return [limiter.hit(caller)[0].used for caller in callers]

        with redis.Redis.from_url(NOWHERE, retry=None) as client:
            limiter = RateLimiter(limits_of("2/minute"), client)
            hit(*"abcdef")
            now = 1001.0
            assert hit(*"vwxyz") == [1] * 5
            now = 1060.0  # only the windows of a to f have ended, and are deleted
            assert hit(*"vwxyz") == [2] * 5
            assert hit(*"abcdef") == [1] * 6
            assert hit(*"az") == [1, 1]  # no window of the eleven has ended: all are deleted
