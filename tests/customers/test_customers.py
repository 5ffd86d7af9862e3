"""Creating, reading, updating and deleting customers; names in any script."""

from __future__ import annotations

import unicodedata
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from flask import Flask
from flask.testing import FlaskClient

from automart.accounts.models import User
from automart.core.db import db, transaction
from automart.customers.models import Customer
from automart.customers.seed import add_sample_customer
from tests.support.databases import on_sqlite

FIELDS = {
    "id",
    "first_name",
    "last_name",
    "email",
    "phone",
    "photo_url",
    "created_by",
    "updated_by",
    "created_at",
    "updated_at",
}
NAMES = [
    "O",
    "D'Arcy O’Neil",
    "José María",
    "Zoë",
    "Nguyễn Thị Hồng",
    "שָׁלוֹם",
    "محمد\u200f",
    "李",
    "ज़ाकिर",
    "สมชาย",
    "김",
    "𝔄𝔡𝔞",
    "👩‍🚀",
    "\U00031350",  # new in Unicode 15, which Python 3.12 was the first to support
    "\ue000",
    "a" * 50,
    "é" * 50,
]
INVALID_NAMES: list[Any] = [
    "",
    "   ",
    "\u200b\u200d",
    "\u0301",
    "a\tb",
    "a\x00b",
    "\x07",
    "a\nb",
    "\x85x\x85y",
    "a\ud800",
    "\udfff\ud800",
    "a" * 51,
    None,
    7,
    True,
    ["Ada"],
]


class TestCreation:
    def test_a_new_customer_has_all_fields(self, as_user: FlaskClient) -> None:
        me = as_user.get("/v1/users/me").get_json()["id"]
        response = as_user.post("/v1/customers", json={"first_name": " Ada ", "last_name": "L"})
        assert response.status_code == 201
        answer = response.get_json()
        assert answer.keys() == FIELDS
        assert answer["first_name"] == "Ada"
        assert [answer[name] for name in ("email", "phone", "photo_url")] == [None] * 3
        assert answer["created_by"] == answer["updated_by"] == me
        location = response.headers["Location"]
        assert location == f"http://localhost/v1/customers/{answer['id']}"
        read = as_user.get(location)
        assert read.get_json() == answer
        assert read.headers["ETag"] == response.headers["ETag"]

    def test_names_in_any_script_are_stored_in_nfc(self, as_user: FlaskClient) -> None:
        for name in NAMES:
            for written in (name, unicodedata.normalize("NFD", name)):
                values = {"first_name": written, "last_name": written}
                response = as_user.post("/v1/customers", json=values)
                assert response.status_code == 201, name
                read = as_user.get(response.headers["Location"]).get_json()
                assert read["first_name"] == read["last_name"]
                assert read["first_name"] == unicodedata.normalize("NFC", name.strip("\u200f"))

    def test_an_invalid_name_is_refused_with_a_pointer(self, as_user: FlaskClient) -> None:
        for field in ("first_name", "last_name"):
            for name in INVALID_NAMES:
                values = {"first_name": "Ada", "last_name": "L", field: name}
                response = as_user.post("/v1/customers", json=values)
                assert response.status_code == 422, repr(name)
                pointers = [error["pointer"] for error in response.get_json()["errors"]]
                assert pointers == [f"#/{field}"], repr(name)
        assert as_user.get("/v1/customers").get_json()["items"] == []

    @on_sqlite
    def test_a_name_of_marks_alone_is_blank(self, as_user: FlaskClient) -> None:
        response = as_user.post("/v1/customers", json={"first_name": "\u0301", "last_name": "L"})
        assert response.get_json()["errors"] == [
            {"pointer": "#/first_name", "detail": "Must not be blank."}
        ]

    @on_sqlite
    @pytest.mark.parametrize(
        ("values", "pointer"),
        [
            ({"last_name": "L"}, "#/first_name"),
            ({"first_name": "A"}, "#/last_name"),
            ({"email": "no address"}, "#/email"),
            ({"email": ""}, "#/email"),
            ({"email": "a\ud800@example.com"}, "#/email"),
            ({"email": "a@" + "b" * 250 + ".com"}, "#/email"),
            ({"phone": "1" * 51}, "#/phone"),
            ({"phone": "1\x002"}, "#/phone"),
            ({"phone": 12}, "#/phone"),
            ({"id": 5}, "#/id"),
            ({"photo_url": None}, "#/photo_url"),
            ({"created_by": 1}, "#/created_by"),
            ({"nickname": "x"}, "#/nickname"),
        ],
    )
    def test_an_invalid_field_of_a_customer_is_refused_with_a_pointer(
        self, as_user: FlaskClient, values: dict[str, Any], pointer: str
    ) -> None:
        names = {} if "name" in pointer and "nick" not in pointer else {"first_name": "A"}
        if names:
            names["last_name"] = "L"
        response = as_user.post("/v1/customers", json=names | values)
        assert response.status_code == 422
        assert [error["pointer"] for error in response.get_json()["errors"]] == [pointer]

    def test_a_repeated_idempotency_key_creates_one_customer(self, as_user: FlaskClient) -> None:
        values = {"first_name": "Ada", "last_name": "Lovelace"}
        key = {"Idempotency-Key": "once"}
        first = as_user.post("/v1/customers", json=values, headers=key)
        second = as_user.post("/v1/customers", json=values, headers=key)
        assert (second.status_code, second.get_json()) == (201, first.get_json())
        assert second.headers["Idempotent-Replayed"] == "true"
        assert len(as_user.get("/v1/customers").get_json()["items"]) == 1


class TestUpdates:
    def test_a_patch_of_a_customer_changes_only_what_is_sent(
        self, as_user: FlaskClient, as_admin: FlaskClient, ada: dict[str, Any]
    ) -> None:
        url = f"/v1/customers/{ada['id']}"
        changed = as_admin.patch(url, json={"last_name": "King", "email": None}).get_json()
        assert changed["updated_by"] not in (None, ada["updated_by"])
        assert changed["updated_at"] > ada["updated_at"]
        expected = {"last_name": "King", "email": None}
        expected |= {name: changed[name] for name in ("updated_by", "updated_at")}
        assert changed == ada | expected
        assert as_user.get(url).get_json() == changed

    def test_a_patch_with_equal_values_changes_nothing(
        self, as_admin: FlaskClient, ada: dict[str, Any]
    ) -> None:
        url = f"/v1/customers/{ada['id']}"
        for changes in ({}, {"first_name": "Ada"}, {"first_name": " Ada", "phone": None}):
            response = as_admin.patch(url, json=changes)
            assert (response.status_code, response.get_json()) == (200, ada)

    def test_an_invalid_patch_of_a_customer_is_refused(
        self, as_user: FlaskClient, ada: dict[str, Any]
    ) -> None:
        url = f"/v1/customers/{ada['id']}"
        for changes in ({"first_name": None}, {"last_name": " "}, {"id": 7}, {"created_at": "x"}):
            response = as_user.patch(url, json=changes)
            assert response.status_code == 422
            assert response.get_json()["errors"][0]["pointer"] == f"#/{next(iter(changes))}"
        assert as_user.get(url).get_json() == ada

    def test_the_second_of_two_changes_to_one_version_gets_412(
        self, as_user: FlaskClient, as_admin: FlaskClient, ada: dict[str, Any]
    ) -> None:
        url = f"/v1/customers/{ada['id']}"
        version = {"If-Match": as_user.get(url).headers["ETag"]}
        first = as_user.patch(url, json={"phone": "1"}, headers=version)
        second = as_admin.patch(url, json={"phone": "2"}, headers=version)
        assert (first.status_code, second.status_code) == (200, 412)
        assert as_admin.delete(url, headers=version).status_code == 412
        assert as_user.get(url).get_json()["phone"] == "1"
        fresh = {"If-Match": first.headers["ETag"]}
        assert as_admin.delete(url, headers=fresh).status_code == 204
        assert as_user.get(url).status_code == 404
        assert as_user.patch(url, json={}, headers=fresh).status_code == 404

    def test_one_of_many_concurrent_changes_to_one_version_succeeds(
        self,
        app: Flask,
        make_user: Callable[..., User],
        signed_in: Callable[[User], FlaskClient],
        as_user: FlaskClient,
        ada: dict[str, Any],
    ) -> None:
        url = f"/v1/customers/{ada['id']}"
        version = {"If-Match": as_user.get(url).headers["ETag"]}
        clients = [signed_in(make_user()) for _ in range(6)]
        db.session.commit()

        def patch(number: int) -> int:
            answer = clients[number].patch(url, json={"phone": str(number)}, headers=version)
            return answer.status_code

        with ThreadPoolExecutor(len(clients)) as pool:
            statuses = sorted(pool.map(patch, range(len(clients))))
        assert statuses == [200] + [412] * 5


class TestIdsAndDocument:
    def test_ids_of_deleted_customers_are_not_reused(
        self, as_user: FlaskClient, ada: dict[str, Any]
    ) -> None:
        assert as_user.delete(f"/v1/customers/{ada['id']}").status_code == 204
        values = {"first_name": "Grace", "last_name": "Hopper"}
        assert as_user.post("/v1/customers", json=values).get_json()["id"] > ada["id"]

    def test_the_sample_customer_is_the_first_of_a_new_database(
        self, app: Flask, as_user: FlaskClient
    ) -> None:
        with transaction():
            assert add_sample_customer()
        answer = as_user.get("/v1/customers/1").get_json()
        assert (answer["first_name"], answer["last_name"]) == ("John", "Doe")
        with transaction():
            assert not add_sample_customer()
        assert db.session.query(Customer).count() == 1

    def test_the_openapi_document_describes_photos(self, client: FlaskClient) -> None:
        paths = client.get("/openapi.json").get_json()["paths"]
        put = paths["/v1/customers/{customer_id}/photo"]["put"]
        assert "multipart/form-data" in put["requestBody"]["content"]
        assert {"200", "404", "412", "413", "415", "422"} <= put["responses"].keys()
        photo = paths["/v1/photos/{token}"]["get"]
        assert "image/webp" in photo["responses"]["200"]["content"]
        assert photo["security"] == []
