"""`/v1/makes`: the makes that we follow, under NHTSA's ids."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from flask.testing import FlaskClient

from automart.catalogue.models import VehicleModel
from automart.core.db import db
from tests.support.catalogue import HONDA, HONDAS, add_make
from tests.support.http import assert_problem, at_once, parameters, pointers

ASTON_MARTIN = {"id": 440, "name": "Aston Martin"}


class TestCreating:
    def test_it_answers_with_the_make_and_where_it_is(self, client: FlaskClient) -> None:
        response = client.post("/v1/makes", json=ASTON_MARTIN)
        assert response.status_code == 201
        assert response.get_json() == ASTON_MARTIN | {"source": "nhtsa", "synced_at": None}
        assert response.headers["Location"] == "http://localhost/v1/makes/440"
        assert client.get("/v1/makes/440").get_json() == response.get_json()

    def test_an_id_that_is_there_is_a_conflict(self, client: FlaskClient) -> None:
        client.post("/v1/makes", json=ASTON_MARTIN)
        problem = assert_problem(client.post("/v1/makes", json={"id": 440, "name": "Acura"}), 409)
        assert problem["detail"] == "This id is already taken."
        assert client.get("/v1/makes/440").get_json()["name"] == "Aston Martin"

    @pytest.mark.parametrize(
        ("there", "new"),
        [
            ("Aston Martin", "ASTON MARTIN"),
            ("Citroën", "CITROE\u0308N"),
            ("Strauß", "STRAUSS"),
            ("Σίσυφος", "ΣΊΣΥΦΟΣ"),
        ],
    )
    def test_a_name_that_is_there_in_any_case_is_a_conflict(
        self, client: FlaskClient, there: str, new: str
    ) -> None:
        add_make(1, there)
        problem = assert_problem(client.post("/v1/makes", json={"id": 2, "name": new}), 409)
        assert problem["detail"] == "There is a make with this name already."
        assert_problem(client.get("/v1/makes/2"), 404)

    def test_names_that_differ_in_an_accent_are_different(self, client: FlaskClient) -> None:
        add_make(1, "Skoda")
        assert client.post("/v1/makes", json={"id": 2, "name": "Škoda"}).status_code == 201

    def test_the_largest_id_of_nhtsa_is_taken(self, client: FlaskClient) -> None:
        largest = {"id": 10**12, "name": "The last"}
        location = client.post("/v1/makes", json=largest).headers["Location"]
        assert client.get(location).get_json()["id"] == 10**12

    def test_an_id_that_no_database_holds_is_422(self, client: FlaskClient) -> None:
        for make_id in (0, -1, 2**63, 10**100):
            response = client.post("/v1/makes", json={"id": make_id, "name": "Honda"})
            assert pointers(response).keys() == {"#/id"}

    def test_when_it_was_synced_is_not_for_clients_to_say(self, client: FlaskClient) -> None:
        response = client.post("/v1/makes", json=ASTON_MARTIN | {"synced_at": None})
        assert pointers(response) == {"#/synced_at": "Unknown field."}

    def test_of_many_equal_ones_at_once_one_is_made(self, client: FlaskClient) -> None:
        answers = at_once(*[lambda: client.post("/v1/makes", json=ASTON_MARTIN)] * 5)
        assert sorted(answer.status_code for answer in answers) == [201, 409, 409, 409, 409]

    def test_of_many_with_one_name_at_once_one_is_made(self, client: FlaskClient) -> None:
        answers = at_once(
            *(
                lambda i=i: client.post("/v1/makes", json={"id": i, "name": "Acura"})
                for i in range(1, 6)
            )
        )
        assert sorted(answer.status_code for answer in answers) == [201, 409, 409, 409, 409]


class TestReading:
    def test_one_that_is_not_there_is_404(self, client: FlaskClient) -> None:
        assert assert_problem(client.get("/v1/makes/440"), 404)["detail"] == "There is no make 440."

    def test_what_can_be_no_id_is_404(self, client: FlaskClient, subtests: pytest.Subtests) -> None:
        add_make(1, "Honda")
        for text in ("0", "-1", "01", "+1", "1.0", "1e0", "x", "%D9%A1", "1%20", "9" * 5000):
            with subtests.test(text):
                for method in ("GET", "PATCH", "DELETE"):
                    assert_problem(client.open(f"/v1/makes/{text}", method=method, json={}), 404)
                assert_problem(client.get(f"/v1/makes/{text}/models"), 404)
        for beyond in (2**63 - 1, 2**63, 10**19):
            assert_problem(client.get(f"/v1/makes/{beyond}"), 404)

    def test_the_time_of_its_sync_is_in_utc(
        self, client: FlaskClient, run_jobs: Callable[[], None]
    ) -> None:
        add_make()
        client.post("/v1/vehicle-syncs")
        run_jobs()
        synced_at = client.get(f"/v1/makes/{HONDA}").get_json()["synced_at"]
        assert synced_at.endswith("Z")

    def test_they_are_found_by_the_whole_name_in_any_case(self, client: FlaskClient) -> None:
        add_make(1, "Citroën")
        add_make(2, "Citroën Racing")
        for name in ("Citroën", "CITROËN", "citroe\u0308n", " Citroën "):
            found = client.get("/v1/makes", query_string={"name": name}).get_json()
            assert [make["id"] for make in found["items"]] == [1]
        for name in ("Citro", "Citroen", "%", "_______", "x' OR 'x'='x"):
            assert client.get("/v1/makes", query_string={"name": name}).get_json()["items"] == []

    def test_a_name_with_control_characters_is_422(self, client: FlaskClient) -> None:
        assert parameters(client.get("/v1/makes?name=a%00b")).keys() == {"name"}


class TestChanging:
    def test_a_make_is_renamed(self, client: FlaskClient) -> None:
        add_make()
        response = client.patch(f"/v1/makes/{HONDA}", json={"name": " Honda Motor "})
        assert response.status_code == 200
        assert response.get_json() == {
            "id": HONDA,
            "name": "Honda Motor",
            "source": "nhtsa",
            "synced_at": None,
        }
        assert client.get(f"/v1/makes/{HONDA}").get_json() == response.get_json()
        assert client.get("/v1/makes?name=honda%20motor").get_json()["items"] == [
            response.get_json()
        ]
        assert client.get("/v1/makes?name=honda").get_json()["items"] == []

    def test_nothing_sent_changes_nothing(self, client: FlaskClient) -> None:
        add_make()
        before = client.get(f"/v1/makes/{HONDA}").get_json()
        response = client.patch(f"/v1/makes/{HONDA}", json={})
        assert (response.status_code, response.get_json()) == (200, before)

    def test_null_and_read_only_fields_are_refused(self, client: FlaskClient) -> None:
        add_make()
        path = f"/v1/makes/{HONDA}"
        assert pointers(client.patch(path, json={"name": None})).keys() == {"#/name"}
        assert pointers(client.patch(path, json={"id": HONDA})) == {"#/id": "Unknown field."}
        response = client.patch(path, json={"name": "Acura", "synced_at": None})
        assert pointers(response) == {"#/synced_at": "Unknown field."}
        assert client.get(path).get_json()["name"] == "Honda"

    def test_its_own_name_in_another_case_is_taken(self, client: FlaskClient) -> None:
        add_make()
        assert (
            client.patch(f"/v1/makes/{HONDA}", json={"name": "HONDA"}).get_json()["name"] == "HONDA"
        )

    def test_the_name_of_another_in_another_case_is_a_conflict(self, client: FlaskClient) -> None:
        add_make()
        add_make(475, "Acura")
        assert_problem(client.patch("/v1/makes/475", json={"name": "hONDA"}), 409)
        assert client.get("/v1/makes/475").get_json()["name"] == "Acura"

    def test_one_that_is_not_there_is_404(self, client: FlaskClient) -> None:
        assert_problem(client.patch("/v1/makes/440", json={"name": "Aston Martin"}), 404)

    def test_of_two_makes_renamed_alike_at_once_one_is(self, client: FlaskClient) -> None:
        for make_id in range(1, 5):
            add_make(make_id, f"Make {make_id}")
        answers = at_once(
            *(
                lambda i=i: client.patch(f"/v1/makes/{i}", json={"name": "Acura"})
                for i in range(1, 5)
            )
        )
        assert sorted(answer.status_code for answer in answers) == [200, 409, 409, 409]


class TestDeleting:
    def test_it_goes_with_its_models_and_no_others(self, client: FlaskClient) -> None:
        add_make(models=HONDAS)
        add_make(475, "Acura", {1: "Integra"})
        response = client.delete(f"/v1/makes/{HONDA}")
        assert (response.status_code, response.data) == (204, b"")
        assert "Content-Type" not in response.headers
        assert_problem(client.get(f"/v1/makes/{HONDA}"), 404)
        assert_problem(client.get("/v1/models/1861"), 404)
        assert [model["id"] for model in client.get("/v1/models").get_json()["items"]] == [1]
        db.session.rollback()
        assert db.session.query(VehicleModel).count() == 1

    def test_one_that_is_gone_is_404(self, client: FlaskClient) -> None:
        add_make()
        client.delete(f"/v1/makes/{HONDA}")
        assert_problem(client.delete(f"/v1/makes/{HONDA}"), 404)

    def test_its_id_and_name_can_be_used_again(self, client: FlaskClient) -> None:
        add_make(models=HONDAS)
        client.delete(f"/v1/makes/{HONDA}")
        again = client.post("/v1/makes", json={"id": HONDA, "name": "Honda"})
        assert again.status_code == 201
        assert client.get(f"/v1/makes/{HONDA}/models").get_json()["items"] == []

    def test_of_many_at_once_one_is_done(self, client: FlaskClient) -> None:
        add_make(models=HONDAS)
        answers = at_once(*[lambda: client.delete(f"/v1/makes/{HONDA}")] * 4)
        assert sorted(answer.status_code for answer in answers) == [204, 404, 404, 404]
