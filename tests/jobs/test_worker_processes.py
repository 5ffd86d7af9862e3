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
from jobs.catalogue import MAX_CONNECTIONS
from sandbox import Fault
from sandbox.vpic import Vpic
from tests.support.changes import Reader
from tests.support.databases import on_sqlite
from tests.support.forks import output_of
from tests.support.limits import LIMIT
from tests.support.processes import WorkerProcesses, is_alive, until, worker_running
from tests.support.redis_server import RedisServer
from tests.support.sync import add_models, catalogue_of, stored_models, the_job

pytestmark = pytest.mark.processes

SYNCS = "/v1/vehicle-syncs"
MAKES = 120
# vPIC answers the requests for these makes at once, and those for the others when it is released.
# So the middle of a sync lasts as long as a test needs it.
ANSWERED = 40
# The connections of a sync wait for vPIC in the middle, however long that takes.
PATIENT = f"""
from automart.catalogue import nhtsa
nhtsa.READ_TIMEOUT = nhtsa.GIVE_UP_AFTER = {LIMIT}
"""


@pytest.fixture
def models(app: Flask, vpic: Vpic) -> Any:
    """Add makes whose sync stays in the middle until `go_on`."""
    models = {make_id: {make_id: f"Model {make_id}"} for make_id in range(1, MAKES + 1)}
    add_models({make_id: {} for make_id in models})
    vpic.serve(catalogue_of(models))
    for make_id in range(ANSWERED + 1, MAKES + 1):
        vpic.order(Fault.LATENCY, make_id=make_id, seconds=LIMIT)
    return models


@pytest.fixture
def worker(settings: Settings) -> Iterator[Any]:
    with worker_running(settings, patch=PATIENT) as worker:
        yield worker


def until_the_middle(vpic: Vpic) -> None:
    """Wait until all answers so far are stored, and all connections wait for an answer."""
    waiting = ANSWERED + MAX_CONNECTIONS
    until(lambda: vpic.request_count >= waiting and the_job().done == ANSWERED)


def go_on(vpic: Vpic) -> None:
    vpic.behave()
    vpic.release()


def assert_as_if_undisturbed(
    client: FlaskClient, models: dict[int, dict[int, str]], url: str, reader: Reader | None = None
) -> None:
    def ended() -> bool:
        if reader is not None:
            reader.poll()
        return the_job().state.has_ended

    until(ended)
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
    until_the_middle(vpic)
    reader.poll()

    KILLS[victim](worker)
    # Not those that wait for an answer: the process that asked may still be ending.
    vpic.behave()

    assert_as_if_undisturbed(client, models, url, reader)
    reader.poll()
    assert reader.models == models
    asked = Counter(request.make_id for request in vpic.requests)
    # What is stored is not asked for again, and nothing twice in one run. There are two runs,
    # unless the process of one gets no processor time for so long that its lease runs out.
    runs = worker.log.read_text().count("job_started")
    assert runs >= 2
    assert {asked[make_id] for make_id in range(1, ANSWERED + 1)} == {1}
    in_flight = range(ANSWERED + 1, ANSWERED + MAX_CONNECTIONS + 1)
    assert {asked[make_id] for make_id in in_flight} <= set(range(2, runs + 1))
    others = range(ANSWERED + MAX_CONNECTIONS + 1, MAKES + 1)
    assert {asked[make_id] for make_id in others} <= set(range(1, runs))


@pytest.mark.seconds(10)
@on_sqlite
def test_a_sync_continues_after_a_deployment(
    client: FlaskClient, vpic: Vpic, models: dict[int, dict[int, str]], worker: WorkerProcesses
) -> None:
    url = client.post(SYNCS).get_json()["url"]
    until_the_middle(vpic)

    parts = worker.below()
    attempts = the_job().attempts
    worker.terminate()
    assert the_job().state is JobState.QUEUED
    assert the_job().attempts == attempts - 1
    assert not any(is_alive(part) for part in parts)
    assert "process_killed" not in worker.log.read_text()
    vpic.behave()
    worker.restart()

    assert_as_if_undisturbed(client, models, url)


@on_sqlite
def test_short_work_does_not_wait_for_a_long_sync(
    client: FlaskClient,
    vpic: Vpic,
    models: dict[int, dict[int, str]],
    worker: WorkerProcesses,
    redis_url: str,
) -> None:
    client.post(SYNCS)
    until_the_middle(vpic)
    with redis.Redis.from_url(redis_url) as client_of_redis:
        short = rq.Queue(Queue.SHORT, connection=client_of_redis).enqueue("time.monotonic")
        until(lambda: short.get_status() == rq.job.JobStatus.FINISHED)

    assert the_job().state is JobState.RUNNING


def assert_a_sync_succeeds(client: FlaskClient) -> None:
    url = client.post(SYNCS).get_json()["url"]
    until(lambda: client.get(url).get_json()["finished_at"])
    assert client.get(url).get_json()["state"] == "succeeded"


@on_sqlite
def test_a_cancelled_sync_stops_and_the_next_one_starts(
    client: FlaskClient, vpic: Vpic, models: dict[int, dict[int, str]], worker: WorkerProcesses
) -> None:
    url = client.post(SYNCS).get_json()["url"]
    until_the_middle(vpic)
    cancelled = client.post(f"{url}/cancel")
    assert cancelled.get_json()["state"] == "cancelled"
    go_on(vpic)

    assert_a_sync_succeeds(client)
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
        vpic: Vpic,
        models: dict[int, dict[int, str]],
        worker: WorkerProcesses,
        redis_server: RedisServer,
    ) -> None:
        vpic.behave()
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
        vpic: Vpic,
        models: dict[int, dict[int, str]],
        worker: WorkerProcesses,
        redis_server: RedisServer,
    ) -> None:
        url = client.post(SYNCS).get_json()["url"]
        until_the_middle(vpic)
        redis_server.stop()
        go_on(vpic)

        assert_as_if_undisturbed(client, models, url)
        redis_server.start()
        assert_a_sync_succeeds(client)

    def test_emptying_redis_does_not_stop_a_running_job(
        self,
        client: FlaskClient,
        vpic: Vpic,
        models: dict[int, dict[int, str]],
        worker: WorkerProcesses,
        redis_url: str,
    ) -> None:
        url = client.post(SYNCS).get_json()["url"]
        until_the_middle(vpic)
        with redis.Redis.from_url(redis_url) as client_of_redis:
            client_of_redis.flushall()
        go_on(vpic)

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
        vpic: Vpic,
        models: dict[int, dict[int, str]],
        settings: Settings,
        redis_url: str,
    ) -> None:
        vpic.behave()
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

    PATCH = f"""{PATIENT}
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

    def test_a_process_that_hangs_shows_where(self, settings: Settings) -> None:
        hang = """
import time
def hang_here(_worker):
    time.sleep(600)
rq_workers.InlineWorker.register_birth = hang_here
pulse.MAX_SILENCE = 1
"""
        with worker_running(settings, patch=self.PATCH + hang) as worker:
            until(lambda: worker.log.exists() and "in hang_here\n" in worker.log.read_text())

    @pytest.mark.seconds(10)
    def test_the_job_of_a_process_that_hangs_is_run_by_another(
        self,
        client: FlaskClient,
        vpic: Vpic,
        models: dict[int, dict[int, str]],
        worker: WorkerProcesses,
    ) -> None:
        url = client.post(SYNCS).get_json()["url"]
        until_the_middle(vpic)
        worker.horse().suspend()
        vpic.behave()
        assert_as_if_undisturbed(client, models, url)
        assert "job_hangs" in worker.log.read_text()
