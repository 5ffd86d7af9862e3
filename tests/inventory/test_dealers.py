"""Dealers: create, list, update, delete."""

from __future__ import annotations

from flask.testing import FlaskClient

from tests.support.inventory import ids, make_car, make_dealer, pointers


class TestDealers:
    def test_a_dealer_is_created_read_and_listed(self, as_user: FlaskClient) -> None:
        body = {"name": " Oscar ", "location": "Munich"}
        created = as_user.post("/api/v1/dealers", json=body)
        assert created.status_code == 201
        dealer = created.get_json()
        assert dealer == {"id": dealer["id"], "name": "Oscar", "location": "Munich"}
        assert created.headers["Location"].endswith(f"/api/v1/dealers/{dealer['id']}")
        assert as_user.get(created.headers["Location"]).get_json() == dealer
        assert as_user.get("/v1/dealers").get_json() == {"items": [dealer], "next_cursor": None}

    def test_an_invalid_field_of_a_dealer_is_refused_with_a_pointer(
        self, as_user: FlaskClient
    ) -> None:
        for field in ("name", "location"):
            for value in (None, "", "  ", 7, "a\x00b", "a\nb", "\ud800", "x" * 201):
                body = {"name": "Oscar", "location": "Munich", field: value}
                assert pointers(as_user.post("/v1/dealers", json=body)) == {f"#/{field}"}
        assert ids(as_user.get("/v1/dealers")) == []

    def test_a_patch_of_a_dealer_changes_only_what_is_sent(self, as_user: FlaskClient) -> None:
        dealer = make_dealer()
        url = f"/v1/dealers/{dealer.id}"
        before = as_user.get(url)
        changed = as_user.patch(url, json={"location": "Berlin"})
        assert changed.get_json() == before.get_json() | {"location": "Berlin"}
        stale = {"If-Match": before.headers["ETag"]}
        assert as_user.patch(url, json={"name": "Oz"}, headers=stale).status_code == 412
        assert as_user.delete(url, headers=stale).status_code == 412
        assert as_user.patch(url, json={}).get_json() == changed.get_json()
        assert pointers(as_user.patch(url, json={"id": 7, "name": None})) == {"#/id", "#/name"}

    def test_a_dealer_is_deleted(self, as_user: FlaskClient) -> None:
        dealer = make_dealer()
        url = f"/v1/dealers/{dealer.id}"
        assert as_user.delete(url).status_code == 204
        assert as_user.get(url).status_code == 404
        assert as_user.delete(url).status_code == 404

    def test_a_dealer_with_cars_cannot_be_deleted(self, as_user: FlaskClient) -> None:
        car = make_car()
        answer = as_user.delete(f"/v1/dealers/{car.dealer_id}")
        assert answer.status_code == 409
        assert answer.get_json()["detail"] == f"Dealer {car.dealer_id} still has cars."
        assert ids(as_user.get("/v1/dealers")) == [car.dealer_id]

    def test_a_repeated_idempotency_key_creates_one_dealer(self, as_user: FlaskClient) -> None:
        def post() -> tuple[int, object]:
            body = {"name": "Oscar", "location": "Munich"}
            answer = as_user.post("/v1/dealers", json=body, headers={"Idempotency-Key": "k"})
            return answer.status_code, answer.get_json()

        assert post() == post()
        assert len(ids(as_user.get("/v1/dealers"))) == 1
