"""The changes of models, and readers that keep a copy by them."""

from __future__ import annotations

import random
import threading
from collections.abc import Callable
from typing import Any

import pytest
from flask import Flask
from flask.testing import FlaskClient
from sqlalchemy import select

from automart.background.models import Job
from automart.catalogue.changes import Change, is_published, record
from automart.catalogue.maintenance import publish_changes
from automart.catalogue.models import (
    LARGEST_NHTSA_ID,
    MakeOfChange,
    ModelChange,
    ModelChangeKind,
    VehicleMake,
)
from automart.catalogue.seed import add_samples
from automart.catalogue.service import create_model
from automart.core.config import Settings
from automart.core.db import db, transaction
from jobs.housekeeping import all_tasks
from sandbox.vpic import Vpic
from tests.support.catalogue import HONDA, HONDAS, add_make
from tests.support.changes import Reader, all_changes, without_times
from tests.support.databases import on_postgresql, on_sqlite
from tests.support.http import parameters, pointers
from tests.support.limits import LIMIT
from tests.support.logs import logged
from tests.support.sync import Models, add_models, catalogue_of, stored_models

SYNCS = "/v1/vehicle-syncs"
FIRST_OWN_ID = 1_000_000_000_001
NAMES = ("Civic", "CIVIC", "Jazz", "JAZZ", "City", "Brio", "Fit")

Sync = Callable[..., Any]


@pytest.fixture
def sync(
    client: FlaskClient, run_jobs: Callable[[], None], monkeypatch: pytest.MonkeyPatch
) -> Sync:
    """Run a sync with these arguments, in the order of makes. Return its job."""
    monkeypatch.setattr("jobs.catalogue.REQUESTS_AHEAD", 1)

    def run(**arguments: object) -> Any:
        url = client.post(SYNCS, json=arguments).get_json()["url"]
        run_jobs()
        return client.get(url).get_json()

    return run


def test_changes_by_hand_are_listed_in_their_order(client: FlaskClient) -> None:
    add_make(models=HONDAS)
    created = client.post("/v1/models", json={"make_id": HONDA, "name": "Jazz"}).get_json()
    path = f"/v1/models/{created['id']}"
    for name in ("Fit", "Fit"):
        assert client.patch(path, json={"name": name}).status_code == 200
    assert client.delete(path).status_code == 204
    assert client.delete(f"/v1/makes/{HONDA}").status_code == 204

    first, *others = all_changes(client)
    honda = {"id": HONDA, "name": "Honda"}
    assert first == {
        "id": 1,
        "at": first["at"],
        "sync_id": None,
        "make": honda,
        "model_id": FIRST_OWN_ID,
        "change": "created",
        "name": "Jazz",
        "previous_name": None,
        "previous_make_id": None,
        "replaced_id": None,
        "applied": True,
    }
    shown = [(c["change"], c["model_id"], c["name"], c["previous_name"]) for c in others]
    assert shown == [
        ("renamed", FIRST_OWN_ID, "Fit", "Jazz"),
        ("deleted", FIRST_OWN_ID, "Fit", None),
        *(("deleted", ident, name, None) for ident, name in HONDAS.items()),
    ]
    assert [c["id"] for c in others] == [2, 3, 4, 5, 6]
    assert all(c["make"] == honda and c["sync_id"] is None for c in others)


@on_sqlite
def test_a_refused_change_is_not_recorded(client: FlaskClient) -> None:
    add_make(models=HONDAS)
    assert client.post("/v1/models", json={"make_id": HONDA, "name": "civic"}).status_code == 409
    car = {"brand": "Honda", "model": "Civic", "dealer_id": 1}
    client.post("/v1/cars", json=car)
    assert all_changes(client) == []


@on_sqlite
def test_the_samples_of_a_new_database_are_recorded(client: FlaskClient) -> None:
    with transaction():
        assert add_samples()
        assert not add_samples()
    reader = Reader(client)
    reader.poll()
    assert reader.models == stored_models()


@on_sqlite
def test_ids_of_own_makes_and_models_are_never_used_again(client: FlaskClient) -> None:
    for collection, values in (
        ("/v1/makes", {"name": "Dacia"}),
        ("/v1/models", {"make_id": HONDA, "name": "Jazz"}),
    ):
        if collection == "/v1/models":
            add_make()
        ids = []
        for _ in range(3):
            ids.append(client.post(collection, json=values).get_json()["id"])
            assert client.delete(f"{collection}/{ids[-1]}").status_code == 204
        assert ids == [FIRST_OWN_ID, FIRST_OWN_ID + 1, FIRST_OWN_ID + 2]


def test_the_list_is_filtered(client: FlaskClient, sync: Sync, vpic: Vpic) -> None:
    add_models({7: {}, 8: {}})
    many = {ident: f"Model {ident}" for ident in range(10, 20)}
    vpic.serve(catalogue_of({7: {1: "One"}, 8: many}))
    job = sync()
    vpic.serve(catalogue_of({7: {1: "One", 2: "Two"}, 8: {}}))
    held = sync()
    client.post("/v1/models", json={"make_id": 7, "name": "Own"})

    def found(**filters: object) -> list[Any]:
        changes = all_changes(client, **filters)
        return [(c["model_id"], c["change"]) for c in changes]

    created, gone = [(i, "created") for i in many], [(i, "deleted") for i in many]
    own = (FIRST_OWN_ID, "created")
    assert found(make_id=7) == [(1, "created"), (2, "created"), own]
    assert found(model_id=15) == [(15, "created"), (15, "deleted")]
    assert found(sync_id=job["id"]) == [(1, "created"), *created]
    assert found(sync_id=held["id"], applied="true") == [(2, "created")]
    assert found(applied="false") == gone
    assert found(applied="false", sync_id=held["id"], make_id=8) == gone
    assert found(applied="true", make_id=8) == created
    last = all_changes(client)[-1]["id"]
    assert found(after=last - 1) == [own]
    assert found(after=last) == found(after=2**63 - 1) == []
    assert len(found(after=0)) == last
    for query, name in (
        ("after=-1", "after"),
        ("after=x", "after"),
        ("sync_id=7", "sync_id"),
        ("applied=1", "applied"),
        ("since=2026-01-01", "since"),
    ):
        assert parameters(client.get(f"/v1/model-changes?{query}")).keys() == {name}


def test_of_a_held_make_the_changes_are_proposals_until_they_are_approved(
    client: FlaskClient, sync: Sync, vpic: Vpic
) -> None:
    models = {i: f"Model {i}" for i in range(1, 6)}
    add_models({7: models})
    vpic.serve(catalogue_of({7: {5: "FIVE", 9: "New"}}))
    held = sync()
    assert held["result"]["makes_held"][0]["would_delete"] == 4

    proposed = all_changes(client)
    assert {(c["sync_id"], c["applied"]) for c in proposed} == {(held["id"], False)}
    kinds = [(c["model_id"], c["change"]) for c in proposed]
    assert kinds == [
        (1, "deleted"),
        *((i, "deleted") for i in (2, 3, 4)),
        (5, "renamed"),
        (9, "created"),
    ]

    reader = Reader(client, {7: models})
    approved = sync(make_ids=[7], approve_deletions=True)
    applied = reader.poll(applied="true")
    assert reader.models == stored_models() == {7: {5: "FIVE", 9: "New"}}
    assert without_times(applied) == without_times(proposed)
    assert {c["sync_id"] for c in applied} == {approved["id"]}

    with transaction():
        db.session.query(Job).delete()
    assert all_changes(client) == applied  # ids are not used again
    client.post("/v1/models", json={"make_id": 7, "name": "Own"})
    assert all_changes(client)[-1]["id"] == applied[-1]["id"] + 1

    vpic.serve(catalogue_of({7: {5: "FIVE"}}))
    sync(dry_run=True)
    last = all_changes(client)[-1]
    with transaction():
        db.session.query(Job).delete()
    client.post("/v1/models", json={"make_id": 7, "name": "Another"})
    assert all_changes(client)[-1]["id"] == last["id"] + 1  # nor is the last one


def random_models(chance: random.Random) -> Models:
    """Return the models of some makes. Each model stands under one or two of them."""
    models: Models = {make_id: {} for make_id in range(1, 6)}
    for ident in range(1, 40):
        makes = chance.sample(range(1, 6), chance.choice((0, 1, 1, 1, 1, 2)))
        for make_id in makes:
            models[make_id][ident] = f"{chance.choice(NAMES)} {ident % 9}"
    return models


def add_own_models(client: FlaskClient, chance: random.Random) -> None:
    for make_id in range(1, 6):
        name = f"{chance.choice(NAMES)} {chance.randrange(9)}"
        client.post("/v1/models", json={"make_id": make_id, "name": name.lower()})


def test_who_replays_the_changes_has_the_models(
    client: FlaskClient, sync: Sync, vpic: Vpic
) -> None:
    chance = random.Random(18)
    reader, kinds = Reader(client), set()
    add_models({make_id: {} for make_id in range(1, 6)})
    for _ in range(6):
        add_own_models(client, chance)
        vpic.serve(catalogue_of(random_models(chance)))
        expected = sync(dry_run=True)
        before = stored_models()
        reader.poll(applied="true")
        assert reader.models == before
        result = sync()
        assert expected["result"] == result["result"]
        changes = all_changes(client, sync_id=result["id"])
        proposed = all_changes(client, sync_id=expected["id"])
        assert without_times(proposed) == without_times(changes)
        assert {c["applied"] for c in proposed} == {False}
        reader.poll(applied="true")
        assert reader.models == stored_models()
        kinds |= {(c["change"], c["previous_make_id"] is None) for c in changes if c["applied"]}
        assert counted(changes) == {
            make["id"]: (make["created"], make["updated"], make["deleted"])
            for make in result["result"]["makes_updated"]
        }
    assert kinds >= {
        *(("created", True), ("renamed", True), ("deleted", True)),
        *(("moved", False), ("adopted", True), ("adopted", False)),
    }


def counted(changes: list[Any]) -> dict[int, tuple[int, int, int]]:
    """Return the numbers of created, updated and deleted models of each make."""
    found: dict[int, list[str]] = {}
    for change in changes:
        if change["applied"]:
            found.setdefault(change["make"]["id"], []).append(change["change"])
    return {
        make_id: (
            kinds.count("created") + kinds.count("moved"),
            kinds.count("renamed") + kinds.count("adopted"),
            kinds.count("deleted"),
        )
        for make_id, kinds in found.items()
    }


def test_a_dry_run_changes_no_model_and_no_make(
    client: FlaskClient, sync: Sync, vpic: Vpic, caplog: pytest.LogCaptureFixture
) -> None:
    models = {i: f"Model {i}" for i in range(1, 6)}
    add_models({7: models, 8: {9: "Nine"}})
    vpic.serve(catalogue_of({7: {1: "One"}, 8: {9: "NINE", 10: "Ten"}}))
    makes = client.get("/v1/makes").get_json()
    for arguments in ({}, {"make_ids": [7], "approve_deletions": True}):
        job = sync(dry_run=True, **arguments)
        assert job["state"] == "succeeded"
        assert bool(job["result"]["makes_held"]) is not bool(arguments)
        assert stored_models() == {7: models, 8: {9: "Nine"}}
        assert client.get("/v1/makes").get_json() == makes
    assert set(db.session.scalars(select(VehicleMake.held_since))) == {None}
    assert all_changes(client, applied="true") == []
    assert logged(caplog, "make_held") == []


@on_sqlite
def test_a_dry_run_takes_the_place_of_the_sync(client: FlaskClient) -> None:
    first = client.post(SYNCS, json={"dry_run": True}).get_json()
    assert client.post(SYNCS, json={"dry_run": True}).get_json()["id"] == first["id"]
    refused = client.post(SYNCS, json={"dry_run": False})
    assert (refused.status_code, refused.get_json()["job_url"]) == (409, first["url"])
    assert pointers(client.post(SYNCS, json={"dry_run": None})).keys() == {"#/dry_run"}


@on_sqlite
def test_a_model_with_the_largest_id_of_nhtsa_is_none_of_our_own(
    client: FlaskClient, sync: Sync, vpic: Vpic
) -> None:
    add_models({7: {LARGEST_NHTSA_ID: "Last"}, 8: {}})
    vpic.serve(catalogue_of({7: {}, 8: {LARGEST_NHTSA_ID: "Last"}}))
    sync(make_ids=[8])
    (change,) = all_changes(client)
    assert (change["change"], change["previous_make_id"]) == ("moved", 7)


@on_sqlite
def test_a_hundred_own_models_of_which_nhtsa_adopts_two(
    client: FlaskClient, sync: Sync, vpic: Vpic
) -> None:
    add_make(7, "Seven", {1: "One"})
    with transaction():
        own = [create_model({"make_id": 7, "name": f"Own {number}"}) for number in range(100)]
    ids = {model.name: model.id for model in own}
    reader = Reader(client, {7: {1: "One"}})
    vpic.serve(catalogue_of({7: {1: "One", 2: "OWN   17", 3: "oWN\u00a04"}}))
    job = sync()
    assert job["result"]["makes_updated"] == [
        {"id": 7, "name": "Seven", "created": 0, "updated": 2, "deleted": 0}
    ]
    adopted = all_changes(client, sync_id=job["id"])
    assert [(c["change"], c["name"], c["replaced_id"]) for c in adopted] == [
        ("adopted", "OWN   17", ids["Own 17"]),
        ("adopted", "oWN\u00a04", ids["Own 4"]),
    ]
    reader.poll()
    assert reader.models == stored_models()
    assert len(reader.models[7]) == 101
    assert sync()["result"]["makes_unchanged"] == 1


def record_one(ident: int) -> None:
    record({MakeOfChange(7, "Seven"): [Change(ModelChangeKind.CREATED, ident, "Model")]})


@on_postgresql
def test_a_larger_id_is_never_visible_before_a_smaller_one(app: Flask) -> None:
    first_has_id, second_done = threading.Event(), threading.Event()

    def second() -> None:
        with app.app_context():
            first_has_id.wait(LIMIT)
            with transaction():
                record_one(2)
            second_done.set()

    thread = threading.Thread(target=second)
    thread.start()
    try:
        with transaction():
            record_one(1)
            first_has_id.set()
            waiting = "SELECT count(*) FROM pg_stat_activity WHERE wait_event = 'transactionid'"
            until_waits(waiting)
            assert not second_done.is_set()
    finally:
        thread.join(LIMIT)
    found = db.session.execute(select(ModelChange.id, ModelChange.model_id).order_by("id"))
    assert [tuple(row) for row in found] == [(1, 1), (2, 2)]


def until_waits(question: str) -> None:
    with db.engine.connect() as connection:
        while not connection.exec_driver_sql(question).scalar_one():
            connection.rollback()


def test_changes_that_a_power_failure_could_undo_are_not_shown(
    client: FlaskClient, settings: Settings
) -> None:
    add_make(7, "Seven")
    assert not publish_changes()
    with transaction(durable=False):
        record_one(1)
    assert all_changes(client) == []
    assert publish_changes()
    assert [change["model_id"] for change in all_changes(client)] == [1]
    with transaction(durable=False):
        record_one(2)
    client.post("/v1/models", json={"make_id": 7, "name": "Own"})
    assert [change["model_id"] for change in all_changes(client)] == [1, 2, FIRST_OWN_ID]
    assert is_published()
    assert publish_changes in [task.function for task in all_tasks(settings)]
