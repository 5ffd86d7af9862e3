"""Makes whose answers arrive together are stored in one transaction, as if one by one."""

from __future__ import annotations

import random
import uuid
from collections.abc import Callable
from typing import Any

import pytest
from flask.testing import FlaskClient

from automart.background import Job
from automart.catalogue import sync
from automart.catalogue.changes import publish
from automart.catalogue.service import start_sync
from automart.core.db import db, transaction
from jobs import catalogue
from sandbox.vpic import Vpic
from tests.support.changes import all_changes, without_times
from tests.support.databases import on_sqlite
from tests.support.sync import Models, add_models, catalogue_of, stored_models

MAKES = range(1, 9)


def random_models(chance: random.Random) -> Models:
    """Return the models of some makes. Many stand under two of them."""
    models: Models = {make_id: {} for make_id in MAKES}
    for ident in range(1, 40):
        for make_id in chance.sample(MAKES, chance.choice((0, 1, 2, 2))):
            models[make_id][ident] = f"{chance.choice(('Civic', 'CIVIC', 'Jazz'))} {ident % 7}"
    return models


def proposals(
    client: FlaskClient, fetched: Models, size: int, *, approved: bool
) -> tuple[list[Any], Any]:
    """Return the changes and the result of a dry run that stores `size` makes at a time."""
    with transaction():
        job_id: uuid.UUID = start_sync(None, approve_deletions=False, dry_run=True).id
        sync.enqueue_makes(job_id, None)
    for first in range(0, len(fetched), size):
        batch = dict(list(fetched.items())[first : first + size])
        with transaction():
            sync.apply(job_id, batch, approved=approved, dry_run=True)
            publish()
    changes = without_times(all_changes(client, sync_id=job_id))
    result = sync.summary(job_id)
    with transaction():
        db.session.delete(db.session.get_one(Job, job_id))
    return changes, result


def test_the_changes_do_not_depend_on_what_arrives_together(client: FlaskClient) -> None:
    chance = random.Random(5)
    kinds: set[str] = set()
    add_models({make_id: {} for make_id in MAKES})
    for approved in (False, True, False):
        for make_id in MAKES:  # some have such a model already
            own = {"make_id": make_id, "name": f"jazz {chance.randrange(7)}"}
            client.post("/v1/models", json=own)
        fetched = random_models(chance)
        one_by_one = proposals(client, fetched, 1, approved=approved)
        for size in (3, len(MAKES)):
            assert proposals(client, fetched, size, approved=approved) == one_by_one
        kinds |= {change["change"] for change in one_by_one[0]}
        with transaction():
            job_id = start_sync(None, approve_deletions=False).id
            sync.enqueue_makes(job_id, None)
            sync.apply(job_id, fetched, approved=approved)
            publish()
        applied = without_times(all_changes(client, sync_id=job_id))
        assert (applied, sync.summary(job_id)) == one_by_one
        with transaction():
            db.session.delete(db.session.get_one(Job, job_id))
    assert kinds == {"created", "renamed", "moved", "deleted", "adopted"}


@pytest.mark.parametrize("together", [2, len(MAKES)])
def test_a_make_that_cannot_be_stored_fails_alone(
    client: FlaskClient,
    run_jobs: Callable[[], None],
    vpic: Vpic,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    together: int,
) -> None:
    fetched = {make_id: {make_id: f"Model {make_id}"} for make_id in MAKES}
    old = {make_id: {100 * make_id + i: f"Old {i}" for i in range(4)} for make_id in MAKES}
    add_models(old)
    vpic.serve(catalogue_of(fetched))
    monkeypatch.setattr(catalogue, "MAX_BATCH", together)
    monkeypatch.setattr(sync, "name_key", lambda name: None if name == "Model 5" else name)

    order = {"make_ids": list(MAKES), "approve_deletions": True}
    url = client.post("/v1/vehicle-syncs", json=order).get_json()["url"]
    run_jobs()

    job = client.get(url).get_json()
    assert (job["state"], job["progress"]) == ("succeeded", {"done": 8, "total": 8})
    (failed,) = job["result"]["makes_failed"]
    reason = "The models could not be stored. The error has been logged."
    assert (failed["id"], failed["reason"]) == (5, reason)
    assert stored_models() == fetched | {5: old[5]}
    events = [record.msg for record in caplog.records if isinstance(record.msg, dict)]
    (event,) = [event for event in events if event["event"] == "make_not_stored"]
    assert event["make_id"] == 5


@on_sqlite
def test_a_make_of_a_batch_that_was_deleted_fails_alone(client: FlaskClient) -> None:
    add_models({1: {}, 2: {}})
    with transaction():
        job_id = start_sync(None, approve_deletions=False).id
        sync.enqueue_makes(job_id, None)
    assert client.delete("/v1/makes/1").status_code == 204
    with transaction():
        assert sync.apply(job_id, {1: {7: "Seven"}, 2: {7: "Seven"}}, approved=False) == []
    result = sync.summary(job_id)
    assert [make["id"] for make in result["makes_failed"]] == [1]
    assert [make["id"] for make in result["makes_updated"]] == [2]
    assert stored_models() == {2: {7: "Seven"}}
