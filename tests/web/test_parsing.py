"""Strict parsing: JSON only, with the right types and no unknown fields."""

from __future__ import annotations

import io
import json

import pytest
from flask.testing import FlaskClient
from werkzeug.test import TestResponse

from tests.support.catalogue import HONDA, add_make
from tests.support.databases import on_sqlite
from tests.support.http import assert_problem, pointers

pytestmark = on_sqlite  # nothing here depends on the database

JSON = "application/json"
INVALID = "The body is not valid JSON: "
AT = INVALID + "there is an error at line 1, column "
NO_JSON = {
    b"": AT + "1.",
    b" ": AT + "2.",
    b"make": AT + "1.",
    b'{"id": 1} {}': AT + "11.",
    b'{"id": NaN, "name": "Honda"}': INVALID + "NaN is not JSON.",
    b'{"id": -Infinity, "name": "Honda"}': INVALID + "-Infinity is not JSON.",
    b'{"id": 1, "name": "Honda", "id": 2}': INVALID + "an object has the same name twice.",
    b"[" * 100_000: "The JSON is nested too deeply.",
    b'{"a":' * 100_000: "The JSON is nested too deeply.",
    b'{"id": 1, "name": "\xff"}': "The body is not valid UTF-8.",
    '{"id": 1, "name": "Honda"}'.encode("utf-16"): "The body is not valid UTF-8.",
    b'{"id": 1, "name": "a\nb"}': AT + "21.",
}
OTHER_TYPES = (
    *(None, "", "garbage", "text/plain", "application/x-www-form-urlencoded", "application/xml"),
    *("multipart/form-data; boundary=x", "application/merge-patch+json", "application/jsonx"),
)
NO_IDS = (
    *("1.5", "1e400", "9007199254740993.0", '"1"', "true", "null", "[]", "{}", "[1]", "-1", "0"),
    *(str(2**63), "9" * 5000),
)


def post(client: FlaskClient, body: bytes, content_type: str | None = JSON) -> TestResponse:
    return client.post("/v1/makes", data=body, content_type=content_type)


def test_a_body_that_is_not_json_is_400(client: FlaskClient, subtests: pytest.Subtests) -> None:
    for body, detail in NO_JSON.items():
        with subtests.test(body[:40]):
            assert assert_problem(post(client, body), 400)["detail"] == detail
            assert client.get("/v1/makes").get_json() == {"items": [], "next_cursor": None}


def test_another_media_type_is_415_with_the_right_one(
    client: FlaskClient, subtests: pytest.Subtests
) -> None:
    for content_type in OTHER_TYPES:
        with subtests.test(content_type=content_type):
            response = post(client, b'{"id": 1, "name": "Honda"}', content_type)
            problem = assert_problem(response, 415)
            assert problem["detail"] == "The body must be sent as application/json."
            assert response.headers["Accept"] == JSON


@pytest.mark.parametrize(
    "content_type", [JSON, "Application/JSON", "application/json; charset=iso-8859-1"]
)
def test_json_is_read_as_utf_8_with_any_charset_parameter(
    client: FlaskClient, content_type: str
) -> None:
    response = post(client, '{"id": 1, "name": "Škoda"}'.encode(), content_type)
    assert response.status_code == 201
    assert response.get_json()["name"] == "Škoda"


def test_a_body_in_chunks_without_a_length_is_read(client: FlaskClient) -> None:
    response = chunked(client, b'{"id": 1, "name": "Honda"}')
    assert response.status_code == 201


def test_a_trailing_comma_is_400(client: FlaskClient) -> None:
    """Versions of Python differ in where they see the error."""
    problem = assert_problem(post(client, b'{"id": 1,}'), 400)
    assert problem["detail"].startswith(AT)


def test_a_body_above_a_million_bytes_is_413(client: FlaskClient) -> None:
    assert_problem(post(client, b" " * 1_000_001), 413)
    assert_problem(chunked(client, b" " * 1_000_001), 413)
    too_large_and_keyed = client.post(
        "/v1/makes", data=b" " * 1_000_001, content_type=JSON, headers={"Idempotency-Key": "k"}
    )
    assert_problem(too_large_and_keyed, 413)


def test_a_body_of_a_million_bytes_is_read(client: FlaskClient) -> None:
    body = b'{"id": 1, "name": "Honda"}'
    assert post(client, body + b" " * (1_000_000 - len(body))).status_code == 201


def test_a_body_where_none_is_expected_is_ignored(client: FlaskClient) -> None:
    add_make()
    assert client.get(f"/v1/makes/{HONDA}", data=b"{", content_type=JSON).status_code == 200
    assert client.delete(f"/v1/makes/{HONDA}", data=b"{", content_type=JSON).status_code == 204


def test_a_body_that_is_not_an_object_is_422_at_the_root(
    client: FlaskClient, subtests: pytest.Subtests
) -> None:
    for body in ["null", "[]", "1", '"Honda"', "true"]:
        with subtests.test(body=body):
            assert list(pointers(post(client, body.encode()))) == ["#"]


def test_an_invalid_id_is_422_even_if_python_could_convert_it(
    client: FlaskClient, subtests: pytest.Subtests
) -> None:
    for value in NO_IDS:
        with subtests.test(value=value):
            response = post(client, f'{{"id": {value}, "name": "Honda"}}'.encode())
            assert list(pointers(response)) == ["#/id"]


def test_a_value_that_is_not_a_string_is_422(
    client: FlaskClient, subtests: pytest.Subtests
) -> None:
    for value in [1, 1.5, True, None, [], ["Honda"], {"a": 1}]:
        with subtests.test(value=value):
            response = client.post("/v1/makes", json={"id": 1, "name": value})
            assert list(pointers(response)) == ["#/name"]


def test_a_value_that_is_not_a_boolean_is_422(
    client: FlaskClient, subtests: pytest.Subtests
) -> None:
    for value in ["yes", "true", 1, 0, None, "", []]:
        with subtests.test(value=value):
            response = client.post("/v1/vehicle-syncs", json={"approve_deletions": value})
            assert list(pointers(response)) == ["#/approve_deletions"]


def test_all_invalid_fields_are_reported_together(client: FlaskClient) -> None:
    errors = pointers(client.post("/v1/makes", json={"id": 0, "name": " ", "colour": "red"}))
    assert errors.keys() == {"#/id", "#/name", "#/colour"}


def test_missing_fields_are_reported(client: FlaskClient) -> None:
    assert pointers(client.post("/v1/sprockets", json={})).keys() == {
        "#/name",
        "#/sprocket_type_id",
        "#/factory_id",
    }


def test_pointers_name_the_items_of_a_list(client: FlaskClient) -> None:
    response = client.post("/v1/vehicle-syncs", json={"make_ids": [1, "2", 3, 0]})
    assert pointers(response).keys() == {"#/make_ids/1", "#/make_ids/3"}


def test_names_are_escaped_in_pointers(client: FlaskClient, subtests: pytest.Subtests) -> None:
    for name, pointer in [
        ("a/b", "#/a~1b"),
        ("a~b", "#/a~0b"),
        ("~1", "#/~01"),
        ("", "#/"),
        ("a b", "#/a%20b"),
        ("100%", "#/100%25"),
        ("größe", "#/gr%C3%B6%C3%9Fe"),
        ("a\u0000b", "#/a%00b"),
        ("\ud800", "#/?"),
    ]:
        with subtests.test(name=name, pointer=pointer):
            body = json.dumps({"id": 1, "name": "Honda", name: 1}).encode()
            assert pointers(post(client, body)) == {pointer: "Unknown field."}


def test_the_number_of_reported_errors_is_limited(
    client: FlaskClient,
) -> None:
    problem = assert_problem(client.post("/v1/vehicle-syncs", json={"make_ids": [0] * 50_000}), 422)
    assert len(problem["errors"]) == 100


class TestText:
    def name_as_stored(self, client: FlaskClient, name: str) -> str:
        body = json.dumps({"id": 1, "name": name}).encode()
        response = post(client, body)
        assert response.status_code == 201
        assert client.get("/v1/makes/1").get_json() == response.get_json()
        return str(response.get_json()["name"])

    def test_text_is_trimmed(self, client: FlaskClient) -> None:
        assert self.name_as_stored(client, " \t\u00a0\u2003Aston  Martin\r\n") == "Aston  Martin"

    def test_text_is_composed(self, client: FlaskClient) -> None:
        assert self.name_as_stored(client, "S\u030ckoda") == "\u0160koda"

    def test_all_of_unicode_is_stored(self, client: FlaskClient) -> None:
        name = "🚗 本田 \u202e \U0010fffd"
        assert self.name_as_stored(client, name) == name

    def test_blank_text_is_rejected(self, client: FlaskClient, subtests: pytest.Subtests) -> None:
        for name in ["", " ", "\n\t\u3000", "\u2028"]:
            with subtests.test(name=name):
                response = client.post("/v1/makes", json={"id": 1, "name": name})
                assert pointers(response) == {"#/name": "Must not be blank."}

    def test_control_characters_and_lone_surrogates_are_rejected(
        self, client: FlaskClient, subtests: pytest.Subtests
    ) -> None:
        for bad in ["\u0000", "\u0007", "\n", "\u007f", "\u0085", "\ud800", "\udfff"]:
            with subtests.test(bad=bad):
                body = json.dumps({"id": 1, "name": f"Hon{bad}da"}).encode()
                assert list(pointers(post(client, body))) == ["#/name"]

    def test_the_length_is_counted_in_characters_after_trimming(self, client: FlaskClient) -> None:
        assert self.name_as_stored(client, " " + "🚗" * 255 + " ") == "🚗" * 255
        response = client.post("/v1/makes", json={"id": 2, "name": "🚗" * 256})
        assert list(pointers(response)) == ["#/name"]

    def test_a_name_whose_casefold_key_is_longer_fits(self, client: FlaskClient) -> None:
        assert self.name_as_stored(client, "\ufb03" * 255) == "\ufb03" * 255
        found = client.get("/v1/makes", query_string={"name": "FFI" * 255})
        assert [make["id"] for make in found.get_json()["items"]] == [1]


def chunked(client: FlaskClient, body: bytes) -> TestResponse:
    return client.post(
        "/v1/makes",
        input_stream=io.BytesIO(body),
        content_type=JSON,
        headers={"Transfer-Encoding": "chunked"},
        environ_overrides={"wsgi.input_terminated": True},  # as gunicorn sets it
    )
