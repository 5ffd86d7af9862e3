"""Makes and models of our own, which NHTSA does not have."""

from __future__ import annotations

import uuid

import pytest
from flask.testing import FlaskClient

from automart.background.models import Job
from automart.catalogue import sync
from automart.catalogue.service import start_sync
from automart.core.db import db, transaction
from tests.support.catalogue import HONDA, HONDAS, add_make
from tests.support.databases import on_sqlite
from tests.support.http import assert_problem, pointers

FIRST_OWN_ID = 1_000_000_000_001


@pytest.fixture(autouse=True)
def catalogue(client: FlaskClient) -> None:
    add_make(models=HONDAS)


def create(client: FlaskClient, path: str, **values: object) -> int:
    response = client.post(path, json=values)
    assert response.status_code == 201, response.text
    assert client.get(response.headers["Location"]).get_json() == response.get_json()
    assert response.get_json()["source"] == "own"
    ident: int = response.get_json()["id"]
    return ident


def names(client: FlaskClient) -> dict[int, str]:
    listed = client.get(f"/v1/makes/{HONDA}/models").get_json()["items"]
    return {model["id"]: model["name"] for model in listed}


def apply(fetched: dict[int, str], make_id: int = HONDA) -> dict[str, int]:
    """Return the counts of a sync of one make for which NHTSA answers `fetched`."""
    with transaction():
        job_id: uuid.UUID = start_sync([make_id], approve_deletions=False).id
        sync.enqueue_makes(job_id, [make_id])
    with transaction():
        assert sync.apply(job_id, {make_id: fetched}, approved=False) == []
        (updated,) = sync.summary(job_id)["makes_updated"] or [{}]
        db.session.delete(db.session.get_one(Job, job_id))
    return {name: updated.get(name, 0) for name in ("created", "updated", "deleted")}


def test_ids_of_own_makes_and_models_are_above_those_of_nhtsa(client: FlaskClient) -> None:
    dacia = create(client, "/v1/makes", name="Dacia")
    assert dacia == FIRST_OWN_ID
    assert create(client, "/v1/makes", name="Skoda") == FIRST_OWN_ID + 1
    assert create(client, "/v1/models", make_id=dacia, name="Sandero") == FIRST_OWN_ID
    assert create(client, "/v1/models", make_id=HONDA, name="Jazz") == FIRST_OWN_ID + 1
    assert client.get(f"/v1/makes/{HONDA}").get_json()["source"] == "nhtsa"


@on_sqlite
def test_an_id_of_an_own_make_cannot_be_chosen(client: FlaskClient) -> None:
    for ident in (FIRST_OWN_ID, 0):
        response = client.post("/v1/makes", json={"id": ident, "name": "Dacia"})
        assert pointers(response).keys() == {"#/id"}
    largest = client.post("/v1/makes", json={"id": FIRST_OWN_ID - 1, "name": "Dacia"})
    assert largest.get_json()["source"] == "nhtsa"


def test_a_name_stands_under_a_make_once(client: FlaskClient) -> None:
    jazz = create(client, "/v1/models", make_id=HONDA, name="Jazz")
    for name in ("CIVIC", " jazz "):
        taken = client.post("/v1/models", json={"make_id": HONDA, "name": name})
        detail = "Honda has a model with this name already."
        assert assert_problem(taken, 409)["detail"] == detail
    assert_problem(client.patch(f"/v1/models/{jazz}", json={"name": "civic"}), 409)
    assert client.patch(f"/v1/models/{jazz}", json={"name": "JAZZ"}).status_code == 200
    assert names(client) == HONDAS | {jazz: "JAZZ"}
    unknown = client.post("/v1/models", json={"make_id": 7, "name": "Jazz"})
    assert pointers(unknown).keys() == {"#/make_id"}


def test_models_of_nhtsa_are_not_changed_by_hand(client: FlaskClient) -> None:
    refused = assert_problem(client.patch("/v1/models/1861", json={"name": "Jazz"}), 409)
    assert refused["detail"] == "Only syncs change the models of NHTSA."
    assert_problem(client.delete("/v1/models/1861"), 409)
    assert_problem(client.delete(f"/v1/models/{FIRST_OWN_ID}"), 404)
    assert names(client) == HONDAS


def test_an_own_model_is_deleted(client: FlaskClient) -> None:
    jazz = create(client, "/v1/models", make_id=HONDA, name="Jazz")
    path = f"/v1/models/{jazz}"
    assert_problem(client.delete(path, headers={"If-Match": '"another"'}), 412)
    assert client.delete(path).status_code == 204
    assert names(client) == HONDAS


@on_sqlite
def test_a_sync_never_asks_for_own_makes(client: FlaskClient) -> None:
    dacia = create(client, "/v1/makes", name="Dacia")
    response = client.post("/v1/vehicle-syncs", json={"make_ids": [HONDA, dacia]})
    assert pointers(response) == {
        "#/make_ids/1": f"NHTSA does not have make {dacia}, which is one of your own."
    }
    with transaction():
        job = start_sync(None, approve_deletions=False)
        assert sync.enqueue_makes(job.id, None) == 1


def test_a_sync_leaves_own_models_alone_and_adopts_those_that_nhtsa_has(
    client: FlaskClient,
) -> None:
    jazz = create(client, "/v1/models", make_id=HONDA, name="Jazz")
    create(client, "/v1/models", make_id=HONDA, name="Brio's One")

    fetched = HONDAS | {1900: "BRIO\u2019S  ONE", 1901: "Prelude"}
    assert apply(fetched) == {"created": 1, "updated": 1, "deleted": 0}
    assert names(client) == fetched | {jazz: "Jazz"}
    assert apply(fetched) == {"created": 0, "updated": 0, "deleted": 0}
    fetched |= {1864: "JAZZ"}  # a model that is renamed to ours, while none is new
    assert apply(fetched) == {"created": 0, "updated": 1, "deleted": 0}
    assert names(client) == fetched


def test_an_empty_answer_is_not_held_for_a_make_with_own_models_only(client: FlaskClient) -> None:
    add_make(7, "Tiny")
    one = create(client, "/v1/models", make_id=7, name="One")
    assert apply({}, make_id=7) == {"created": 0, "updated": 0, "deleted": 0}
    assert client.get(f"/v1/models/{one}").status_code == 200
