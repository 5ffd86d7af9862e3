"""Syncs with faults of NHTSA: one make fails or is held, and the others are updated."""

from __future__ import annotations

from collections.abc import Callable, Collection
from typing import Any

import pytest
from flask.testing import FlaskClient

from automart.catalogue import nhtsa
from automart.catalogue.nhtsa import NhtsaClient
from jobs import catalogue
from sandbox import Catalogue, Fault
from sandbox.vpic import Vpic
from tests.support.databases import on_sqlite
from tests.support.sync import add_makes, add_models, catalogue_of, stored_models

SYNCS = "/v1/vehicle-syncs"
TOYOTA = 448


pytestmark = on_sqlite


@pytest.fixture(autouse=True)
def _limits(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let requests fail without a retry, which would have to wait for longer than it may."""
    monkeypatch.setattr(nhtsa, "FIRST_BACKOFF", 3 * nhtsa.GIVE_UP_AFTER)
    monkeypatch.setattr(nhtsa, "LONGEST_BACKOFF", 3 * nhtsa.GIVE_UP_AFTER)
    monkeypatch.setattr(nhtsa, "LARGEST_ANSWER", 100_000)


@pytest.fixture
def give_up(
    monkeypatch: pytest.MonkeyPatch, vpic: Vpic
) -> Callable[[Collection[int], float], None]:
    """A function that shortens the time limit of requests for some makes. Requests for others may
    take as long as usual, because a busy machine is slow."""

    def shorten(make_ids: Collection[int], seconds: float) -> None:
        models = NhtsaClient.models

        def ask(client: NhtsaClient, make_id: int) -> dict[int, str]:
            if make_id not in make_ids:
                return models(client, make_id)
            with NhtsaClient(vpic.url, rate=0, connections=1, give_up_after=seconds) as hurried:
                return models(hurried, make_id)

        monkeypatch.setattr(NhtsaClient, "models", ask)

    return shorten


@pytest.fixture
def synced(client: FlaskClient, run_jobs: Callable[[], None], vpic: Vpic) -> Any:
    """Sync the database with vPIC."""
    add_makes(Catalogue.sample())
    client.post(SYNCS)
    run_jobs()
    vpic.clear_requests()
    return stored_models()


def events_named(name: str, caplog: pytest.LogCaptureFixture) -> list[dict[str, Any]]:
    """Return the logged events with this name."""
    events = [record.msg for record in caplog.records if isinstance(record.msg, dict)]
    return [event for event in events if event["event"] == name]


FAILURES = [
    (Fault.FORBIDDEN, {}, "NHTSA answered 403 Forbidden."),
    (Fault.TOO_MANY_REQUESTS, {}, "NHTSA answered 429 Too Many Requests."),
    (Fault.SERVER_ERROR, {"status": 500}, "NHTSA answered 500 Internal Server Error."),
    (Fault.SERVER_ERROR, {"status": 503}, "NHTSA answered 503 Service Unavailable."),
    (Fault.TIMEOUT, {}, "NHTSA did not answer in time."),
    (Fault.DISCONNECT, {}, "The connection to NHTSA failed"),
    (Fault.HTML, {}, "NHTSA's answer is not JSON. It begins with '<"),
    (Fault.BROKEN_JSON, {}, "NHTSA's answer is not JSON."),
    (Fault.WRONG_SHAPE, {}, "NHTSA's answer has no list of results."),
    (Fault.TRUNCATED, {}, "NHTSA's answer is truncated"),
    (Fault.FOREIGN_MAKE, {}, "NHTSA's answer has a model of another make"),
    (Fault.DUPLICATE_ID, {}, "twice."),
    (Fault.BLANK_NAME, {}, "NHTSA's answer has no name for model"),
    (Fault.DRIP, {"seconds": 0.05}, "NHTSA's answer did not come to an end in time."),
    (Fault.HUGE, {}, "NHTSA's answer is larger than"),
]


@pytest.mark.parametrize(("fault", "options", "reason"), FAILURES)
def test_a_fault_fails_only_its_make_and_deletes_nothing(
    client: FlaskClient,
    run_jobs: Callable[[], None],
    vpic: Vpic,
    synced: Any,
    fault: Fault,
    options: Any,
    reason: str,
    give_up: Callable[[Collection[int], float], None],
    caplog: pytest.LogCaptureFixture,
) -> None:
    if fault in (Fault.TIMEOUT, Fault.DRIP):
        # Between two bytes that drip, a busy machine can be late.
        give_up({TOYOTA}, 0.2 if fault is Fault.TIMEOUT else 1.0)
    vpic.order(fault, make_id=TOYOTA, **options)

    url = client.post(SYNCS).get_json()["url"]
    run_jobs()

    job = client.get(url).get_json()
    assert job["state"] == "succeeded"
    assert job["progress"] == {"done": 11, "total": 11}
    assert job["result"]["makes_unchanged"] == 10
    (failed,) = job["result"]["makes_failed"]
    assert failed["id"] == TOYOTA
    assert reason in failed["reason"]
    (event,) = events_named("make_failed", caplog)
    assert (event["make_id"], event["reason"]) == (TOYOTA, failed["reason"])
    assert stored_models() == synced


def test_a_temporary_fault_is_retried(
    client: FlaskClient,
    run_jobs: Callable[[], None],
    vpic: Vpic,
    synced: Any,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(nhtsa, "FIRST_BACKOFF", 0.2)
    vpic.order(Fault.SERVER_ERROR, make_id=TOYOTA, times=2, status=502)

    url = client.post(SYNCS).get_json()["url"]
    run_jobs()

    assert client.get(url).get_json()["result"]["makes_unchanged"] == 11


def test_latency_fails_nothing(
    client: FlaskClient, run_jobs: Callable[[], None], vpic: Vpic, synced: Any
) -> None:
    vpic.order(Fault.LATENCY, seconds=0.05)

    url = client.post(SYNCS).get_json()["url"]
    run_jobs()

    assert client.get(url).get_json()["result"]["makes_unchanged"] == 11


def test_an_empty_answer_is_held(
    client: FlaskClient, run_jobs: Callable[[], None], vpic: Vpic, synced: Any
) -> None:
    vpic.order(Fault.EMPTY, make_id=TOYOTA)

    url = client.post(SYNCS).get_json()["url"]
    run_jobs()

    result = client.get(url).get_json()["result"]
    (held,) = result["makes_held"]
    assert held["would_delete"] == len(synced[TOYOTA])
    assert result["makes_unchanged"] == 10
    assert stored_models() == synced


def test_a_sync_whose_makes_all_failed_ends_failed_and_still_names_them(
    client: FlaskClient, run_jobs: Callable[[], None], vpic: Vpic, synced: Any
) -> None:
    vpic.order(Fault.HTML)

    url = client.post(SYNCS).get_json()["url"]
    run_jobs()

    job = client.get(url).get_json()
    assert job["state"] == "failed"
    assert job["error"]["status"] == 502
    assert "All 11 makes failed" in job["error"]["detail"]
    assert len(job["result"]["makes_failed"]) == 11
    assert stored_models() == synced

    url = client.post(SYNCS, json={"make_ids": [TOYOTA]}).get_json()["url"]
    run_jobs()

    job = client.get(url).get_json()
    (toyota,) = job["result"]["makes_failed"]
    assert toyota["reason"].startswith("NHTSA's answer is not JSON.")
    assert job["error"]["detail"] == f"The make failed: {toyota['reason']}"


@pytest.mark.parametrize(
    "fault",
    [
        *(Fault.FORBIDDEN, Fault.TIMEOUT, Fault.DISCONNECT),
        *(Fault.SERVER_ERROR, Fault.TOO_MANY_REQUESTS),
    ],
)
def test_five_unanswered_makes_in_a_row_end_the_sync(
    client: FlaskClient,
    run_jobs: Callable[[], None],
    vpic: Vpic,
    fault: Fault,
    give_up: Callable[[Collection[int], float], None],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(catalogue, "MAX_CONNECTIONS", 1)
    monkeypatch.setattr(catalogue, "REQUESTS_AHEAD", 1)
    monkeypatch.setattr(catalogue, "MAX_BATCH", 1)
    if fault is Fault.TIMEOUT:
        give_up(range(11, 41), 0.1)
    models = {make_id: {make_id: f"Model {make_id}"} for make_id in range(1, 41)}
    add_models(models)
    vpic.serve(catalogue_of(models))
    for make_id in range(11, 41):
        vpic.order(fault, make_id=make_id)

    url = client.post(SYNCS).get_json()["url"]
    run_jobs()

    job = client.get(url).get_json()
    assert job["state"] == "succeeded"
    assert job["progress"] == {"done": 40, "total": 40}
    assert job["result"]["makes_unchanged"] == 10
    failed = {make["id"]: make["reason"] for make in job["result"]["makes_failed"]}
    assert failed.keys() == set(range(11, 41))
    assert failed[40].startswith("Not requested: 5 makes in a row failed.")
    assert max(request.make_id for request in vpic.requests) <= 17
    assert stored_models() == models


def test_unanswered_makes_that_are_not_in_a_row_do_not_end_the_sync(
    client: FlaskClient, run_jobs: Callable[[], None], vpic: Vpic, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(catalogue, "MAX_CONNECTIONS", 1)
    monkeypatch.setattr(catalogue, "REQUESTS_AHEAD", 1)
    monkeypatch.setattr(catalogue, "MAX_BATCH", 1)
    models = {make_id: {make_id: f"Model {make_id}"} for make_id in range(1, 13)}
    add_models(models)
    vpic.serve(catalogue_of(models))
    for make_id in (1, 2, 3, 4, 6, 7, 8, 9, 11):
        vpic.order(Fault.FORBIDDEN, make_id=make_id)

    url = client.post(SYNCS).get_json()["url"]
    run_jobs()

    assert client.get(url).get_json()["result"]["makes_unchanged"] == 3


def test_a_bug_fails_the_job_and_is_logged(
    client: FlaskClient,
    run_jobs: Callable[[], None],
    vpic: Vpic,
    synced: Any,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def broken(*_args: Any, **_kwargs: Any) -> None:
        raise ZeroDivisionError("a bug")

    monkeypatch.setattr(catalogue, "_record", broken)
    url = client.post(SYNCS).get_json()["url"]

    with pytest.raises(ZeroDivisionError):
        run_jobs()

    job = client.get(url).get_json()
    assert job["state"] == "failed"
    assert "a bug" not in job["error"]["detail"]
    assert stored_models() == synced


def test_a_long_pause_that_nhtsa_asks_for_ends_the_sync_at_once(
    client: FlaskClient,
    run_jobs: Callable[[], None],
    vpic: Vpic,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    monkeypatch.setattr(catalogue, "LONGEST_PAUSE_OF_SYNC", 5.0)  # other clients wait longer
    models = {make_id: {make_id: f"Model {make_id}"} for make_id in range(1, 301)}
    add_models(models)
    vpic.serve(catalogue_of(models))
    vpic.order(Fault.SERVER_ERROR, status=503, retry_after=6)

    url = client.post(SYNCS).get_json()["url"]
    run_jobs()

    job = client.get(url).get_json()
    assert job["state"] == "failed"
    reason = "NHTSA answered 503 Service Unavailable and asks for a pause of 6 seconds."
    assert job["error"]["detail"] == f"All 300 makes failed: {reason}"
    assert all(reason in make["reason"] for make in job["result"]["makes_failed"])
    assert len(job["result"]["makes_failed"]) == 300
    (event,) = events_named("sync_aborted", caplog)
    assert event["reason"] == f"Not requested. {reason}"
    assert vpic.request_count <= catalogue.MAX_CONNECTIONS
    assert stored_models() == models


def test_a_pause_that_nhtsa_asks_for_is_waited_for(
    client: FlaskClient,
    run_jobs: Callable[[], None],
    vpic: Vpic,
    synced: Any,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(catalogue, "MAX_CONNECTIONS", 2)
    vpic.order(Fault.TOO_MANY_REQUESTS, times=1, retry_after=1)
    # The other connection may begin more requests before the first answer has been read, but few.
    vpic.order(Fault.LATENCY, seconds=0.1)

    url = client.post(SYNCS).get_json()["url"]
    run_jobs()

    assert client.get(url).get_json()["result"]["makes_unchanged"] == 11
    first, *others = vpic.requests
    later = [request.at - first.at for request in others]
    under_way = [seconds for seconds in later if seconds < 1]
    assert len(under_way) < len(later) / 2


def test_a_held_make_is_logged(
    client: FlaskClient,
    run_jobs: Callable[[], None],
    vpic: Vpic,
    synced: Any,
    caplog: pytest.LogCaptureFixture,
) -> None:
    vpic.order(Fault.EMPTY, make_id=TOYOTA)
    client.post(SYNCS)
    run_jobs()
    (held,) = events_named("make_held", caplog)
    assert (held["make_id"], held["make"]) == (TOYOTA, "TOYOTA")
    assert held["reason"] == "NHTSA's answer was empty"
