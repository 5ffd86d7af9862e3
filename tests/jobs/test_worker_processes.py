"""Workers as in production, and syncs whose worker is killed."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import redis
import rq
from flask import Flask
from flask.testing import FlaskClient

from automart.background import JobState
from automart.background.kinds import Queue
from automart.core.config import Settings
from automart.operations.collectors import living_workers
from sandbox import Fault
from sandbox.vpic import Vpic
from tests.support.changes import Reader
from tests.support.databases import on_sqlite
from tests.support.forks import output_of
from tests.support.processes import WorkerProcesses, is_alive, until, worker_running
from tests.support.redis_server import RedisServer
from tests.support.sync import add_models, catalogue_of, stored_models, the_job

pytestmark = pytest.mark.processes

SYNCS = "/v1/vehicle-syncs"
MAKES = 120


@pytest.fixture
def models(app: Flask, vpic: Vpic) -> Any:
    """Add makes for which vPIC responds slowly, so that there is time to interfere."""
    models = {make_id: {make_id: f"Model {make_id}"} for make_id in range(1, MAKES + 1)}
    add_models({make_id: {} for make_id in models})
    vpic.serve(catalogue_of(models))
    vpic.order(Fault.LATENCY, seconds=0.2)
    return models


@pytest.fixture
def worker(settings: Settings) -> Iterator[Any]:
    with worker_running(settings) as worker:
        yield worker


def in_the_middle() -> bool:
    return MAKES / 4 < the_job().done < MAKES * 3 / 4


def ended() -> bool:
    return the_job().state.has_ended


def done_so_far() -> set[int]:
    return {make_id for make_id, found in stored_models().items() if found}


def assert_as_if_undisturbed(
    client: FlaskClient, models: dict[int, dict[int, str]], url: str, reader: Reader | None = None
) -> None:
    until(lambda: (reader is None or reader.poll() is not None) and ended())
    job = client.get(url).get_json()
    assert job["state"] == "succeeded", job
    assert job["progress"] == {"done": MAKES, "total": MAKES}
    created = {make["id"]: make["created"] for make in job["result"]["makes_updated"]}
    assert created == dict.fromkeys(models, 1)
    assert stored_models() == models


KILLS = {
    "the process of the job": lambda worker: worker.horse().kill(),
    "its parent": lambda worker: worker.rq_worker().kill(),
    "the whole worker": lambda worker: (worker.kill_all(), worker.restart()),
}


@pytest.mark.seconds(10)
@pytest.mark.parametrize(
    ("database_url", "victim"),
    [("sqlite", victim) for victim in KILLS] + [("postgresql", "the whole worker")],
    indirect=["database_url"],
)
def test_a_sync_continues_after_kill_9(
    client: FlaskClient,
    vpic: Vpic,
    models: dict[int, dict[int, str]],
    worker: WorkerProcesses,
    victim: str,
) -> None:
    url = client.post(SYNCS).get_json()["url"]
    reader = Reader(client)
    until(in_the_middle)
    reader.poll()

    KILLS[victim](worker)
    done_before, asked_before = done_so_far(), len(vpic.requests)

    assert_as_if_undisturbed(client, models, url, reader)
    reader.poll()
    assert reader.models == models
    asked_after = {request.make_id for request in vpic.requests[asked_before:]}
    # Requests under way at that moment may be counted on both sides.
    in_flight = {request.make_id for request in vpic.requests[asked_before - 16 : asked_before]}
    assert not (done_before - in_flight) & asked_after
    # On a machine that is busy with other work, a lease may run out once more.
    asked = Counter(request.make_id for request in vpic.requests)
    assert max(asked.values()) <= max(2, the_job().attempts)


@pytest.mark.seconds(10)
@on_sqlite
def test_a_sync_continues_after_a_deployment(
    client: FlaskClient, vpic: Vpic, models: dict[int, dict[int, str]], worker: WorkerProcesses
) -> None:
    url = client.post(SYNCS).get_json()["url"]
    until(in_the_middle)

    parts = worker.below()
    assert worker.terminate() < 20
    assert the_job().state is JobState.QUEUED
    assert the_job().attempts == 0
    assert not any(is_alive(part) for part in parts)
    worker.restart()

    assert_as_if_undisturbed(client, models, url)
    assert the_job().attempts == 1


@on_sqlite
def test_short_work_does_not_wait_for_a_long_sync(
    client: FlaskClient, models: dict[int, dict[int, str]], worker: WorkerProcesses, redis_url: str
) -> None:
    client.post(SYNCS)
    until(in_the_middle)
    with redis.Redis.from_url(redis_url) as client_of_redis:
        short = rq.Queue(Queue.SHORT, connection=client_of_redis).enqueue("time.monotonic")
        until(lambda: short.get_status() == rq.job.JobStatus.FINISHED)

    assert the_job().state is JobState.RUNNING


@on_sqlite
def test_a_cancelled_sync_stops_and_the_next_one_starts(
    client: FlaskClient, vpic: Vpic, models: dict[int, dict[int, str]], worker: WorkerProcesses
) -> None:
    url = client.post(SYNCS).get_json()["url"]
    until(in_the_middle)
    cancelled = client.post(f"{url}/cancel")
    assert cancelled.get_json()["state"] == "cancelled"
    vpic.behave()

    second = client.post(SYNCS, headers={"Prefer": "wait=30"})

    assert second.status_code == 200
    assert second.get_json()["state"] == "succeeded"
    assert second.headers["Preference-Applied"] == "wait=30"
    assert client.get(url).get_json()["state"] == "cancelled"
    assert stored_models() == models


@on_sqlite
class TestRedis:
    @pytest.fixture
    def redis_server(self) -> Iterator[RedisServer]:
        """Return a Redis that this test can stop."""
        with RedisServer() as server:
            yield server

    @pytest.fixture
    def redis_url(self, redis_server: RedisServer) -> str:
        return redis_server.url

    def test_a_redis_that_is_down_during_the_post_delays_the_job(
        self,
        client: FlaskClient,
        models: dict[int, dict[int, str]],
        worker: WorkerProcesses,
        redis_server: RedisServer,
    ) -> None:
        worker.rq_worker()
        redis_server.stop()
        response = client.post(SYNCS)
        assert response.status_code == 202
        redis_server.start()

        assert_as_if_undisturbed(client, models, response.get_json()["url"])

    @pytest.mark.seconds(8)
    def test_a_redis_that_stops_does_not_stop_a_running_job(
        self,
        client: FlaskClient,
        models: dict[int, dict[int, str]],
        worker: WorkerProcesses,
        redis_server: RedisServer,
    ) -> None:
        url = client.post(SYNCS).get_json()["url"]
        until(in_the_middle)
        redis_server.stop()

        assert_as_if_undisturbed(client, models, url)
        redis_server.start()
        assert client.post(SYNCS, headers={"Prefer": "wait=30"}).get_json()["state"] == "succeeded"

    def test_emptying_redis_does_not_stop_a_running_job(
        self,
        client: FlaskClient,
        models: dict[int, dict[int, str]],
        worker: WorkerProcesses,
        redis_url: str,
    ) -> None:
        url = client.post(SYNCS).get_json()["url"]
        until(in_the_middle)
        with redis.Redis.from_url(redis_url) as client_of_redis:
            client_of_redis.flushall()

        assert_as_if_undisturbed(client, models, url)

    def test_workers_register_again_with_an_emptied_redis(
        self, app: Flask, worker: WorkerProcesses, redis_server: RedisServer
    ) -> Any:
        def known() -> bool:
            return all(living_workers(queue) for queue in Queue)

        until(known)
        redis_server.stop()
        until(lambda: worker.log.read_text().count("could not connect to Redis") >= len(Queue))
        redis_server.lose_everything()
        redis_server.start()

        until(known)

    @pytest.mark.seconds(8)
    def test_emptying_redis_does_not_lose_a_queued_job(
        self,
        client: FlaskClient,
        models: dict[int, dict[int, str]],
        settings: Settings,
        redis_url: str,
    ) -> None:
        url = client.post(SYNCS).get_json()["url"]
        with redis.Redis.from_url(redis_url) as client_of_redis:
            client_of_redis.flushall()

        with worker_running(settings):
            assert_as_if_undisturbed(client, models, url)


@on_sqlite
def test_a_worker_for_one_queue_serves_only_that_one(
    client: FlaskClient, models: dict[int, dict[int, str]], settings: Settings
) -> None:
    with worker_running(settings, "short") as worker:
        worker.rq_worker("short")
        assert until(lambda: worker.below("housekeeping"))
        assert worker.below("long") == []


def test_a_worker_refuses_a_queue_that_does_not_exist(tmp_path: Path) -> None:
    status, printed = output_of("worker.py", ["nonsense"], env=os.environ, folder=tmp_path)
    assert status == 2
    assert "nonsense" in printed


@on_sqlite
def test_the_processes_of_a_worker_end_with_it(settings: Settings) -> None:
    with worker_running(settings) as worker:
        worker.rq_worker("short")
        parts = until(lambda: len(worker.below()) >= 3 and worker.below())
        worker.kill_supervisor()

        until(lambda: not any(is_alive(part) for part in parts))


@on_sqlite
class TestHanging:
    """A process that is stopped by `kill -STOP` exists, but does nothing."""

    PATCH = """
from jobs import pulse, rq_workers
pulse.MAX_SILENCE = 4
pulse.BEAT_INTERVAL = 0.5
rq_workers.MONITORING_SECONDS = rq_workers._Worker.dequeue_timeout = 1
"""

    @pytest.fixture
    def worker(self, settings: Settings) -> Iterator[Any]:
        with worker_running(settings, patch=self.PATCH) as worker:
            yield worker

    def test_a_process_that_hangs_is_replaced(
        self, client: FlaskClient, worker: WorkerProcesses
    ) -> None:
        hanging = worker.rq_worker("short")
        hanging.suspend()
        until(lambda: not is_alive(hanging))
        assert worker.rq_worker("short").pid != hanging.pid
        assert "process_hangs" in worker.log.read_text()

    @pytest.mark.seconds(10)
    def test_the_job_of_a_process_that_hangs_is_run_by_another(
        self, client: FlaskClient, models: dict[int, dict[int, str]], worker: WorkerProcesses
    ) -> None:
        url = client.post(SYNCS).get_json()["url"]
        until(in_the_middle)
        worker.horse().suspend()
        assert_as_if_undisturbed(client, models, url)
        assert "job_hangs" in worker.log.read_text()
