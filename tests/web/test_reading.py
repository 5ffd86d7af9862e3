"""Requests as proxies, spreadsheets and other programs send them."""

from __future__ import annotations

from flask.testing import FlaskClient

from tests.support.catalogue import HONDA, add_make
from tests.support.inventory import car_body, make_car

PATH = f"/v1/makes/{HONDA}"


def test_invisible_characters_at_the_ends_are_trimmed(as_user: FlaskClient) -> None:
    sent = {"first_name": "\u2060Ada\u3164", "last_name": "\ufeffLovelace\u2800"}
    created = as_user.post("/v1/customers", json=sent).get_json()
    assert (created["first_name"], created["last_name"]) == ("Ada", "Lovelace")
    for blank in ("\u200d\u00ad", "\u034f", "\ufe0f \u180b"):
        refused = as_user.post("/v1/customers", json=sent | {"last_name": blank})
        assert refused.status_code == 422


def test_choices_codes_and_uris_are_trimmed(as_admin: FlaskClient) -> None:
    sent = {
        "name": "App",
        "kind": " application\u200b",
        "redirect_uris": ["\u2060https://a.example "],
    }
    created = as_admin.post("/v1/clients", json=sent).get_json()
    assert (created["kind"], created["redirect_uris"]) == ("application", ["https://a.example"])
    sent = {"name": "Job", "kind": "service", "scopes": ["metrics\u00a0"]}
    assert as_admin.post("/v1/clients", json=sent).get_json()["scopes"] == ["metrics"]
    place = {"name": "Here", "address_1": "1", "city": "Ulm", "postal_code": "1"}
    created = as_admin.post("/v1/locations", json=place | {"country_code": "\ufeffDE "}).get_json()
    assert created["country_code"] == "DE"
    body = car_body(make_car().dealer_id, status="maintenance\u2800")
    assert as_admin.post("/v1/cars", json=body).get_json()["status"] == "maintenance"


def test_a_patch_takes_merge_patches_and_a_byte_order_mark(client: FlaskClient) -> None:
    add_make()
    merged = client.patch(
        PATH, data=b'\xef\xbb\xbf{"name": "Acura"}', content_type="application/merge-patch+json"
    )
    assert (merged.status_code, merged.get_json()["name"]) == (200, "Acura")
    posted = client.post("/v1/makes", data="{}", content_type="application/merge-patch+json")
    assert posted.status_code == 415
    patched = client.patch(PATH, data="{}", content_type="text/plain")
    assert patched.status_code == 415
    assert patched.headers["Accept"] == "application/json, application/merge-patch+json"


def test_a_compressed_body_is_415(client: FlaskClient) -> None:
    for coding in ("gzip", "br, identity"):
        response = client.post("/login", data=b"\x1f\x8b", headers={"Content-Encoding": coding})
        assert response.status_code == 415
        assert response.headers["Accept-Encoding"] == "identity"
        assert response.get_json()["detail"] == "The body must not be compressed."
    headers = {"Content-Encoding": " Identity"}
    assert client.post("/login", json={}, headers=headers).status_code == 422


def test_deeply_nested_json_is_400_at_the_login(client: FlaskClient) -> None:
    response = client.post("/login", data="[" * 9000, content_type="application/json")
    assert response.status_code == 400


def test_parameters_without_a_value_are_absent(client: FlaskClient) -> None:
    add_make()
    page = client.get("/v1/makes?name=&limit=&cursor=")
    assert [make["id"] for make in page.get_json()["items"]] == [HONDA]
    for blank in ("%20", "%E2%80%8B%C2%A0", "%E3%85%A4"):
        assert client.get(f"/v1/makes?name={blank}&limit={blank}").get_json() == page.get_json()
    assert client.get("/v1/makes?name=%07").status_code == 422
    assert client.get("/v1/makes?nmae=").status_code == 422


def test_if_match_takes_weak_etags(client: FlaskClient) -> None:
    add_make()
    weak = f"W/{client.get(PATH).headers['ETag']}"
    for expected in (200, 412):
        changed = client.patch(PATH, json={"name": "Acura"}, headers={"If-Match": weak})
        assert changed.status_code == expected


def test_a_wrong_time_is_refused_with_what_is_wrong(as_user: FlaskClient) -> None:
    for sent, reason in {
        "2026-03-01T10:00:00+02:00": "%2B",
        "2026-06-31T10:00:00Z": "no such day",
        "2026-06-30T23:59:60Z": "Leap seconds",
        "2026-06-30T10:00:00-03:75": "59",
        "2026-06-30T10:00:00": "offset is missing",
    }.items():
        refused = as_user.get(f"/v1/bookings?start_datetime={sent}")
        assert refused.status_code == 422
        assert reason in refused.get_json()["errors"][0]["detail"]


def test_email_addresses_are_checked_to_the_end(as_user: FlaskClient) -> None:
    name = {"first_name": "Ada", "last_name": "Lovelace"}
    for address in ("ada@bücher.example", "zoë@localhost", "a" * 64 + "@a-b.example"):
        created = as_user.post("/v1/customers", json=name | {"email": address + "\u200b"})
        assert (created.status_code, created.get_json()["email"]) == (201, address)
    for address in (
        *("ada@example.com\u2019", "ada@exa_mple.com", "ada@-example.com", "a\u200bda@example.com"),
        *(
            "ada@exam\u2024ple.com ple",
            "a" * 65 + "@example.com",
            "ada@a..example",
            "ada@ⅷ\u0301.a",
        ),
    ):
        refused = as_user.post("/v1/customers", json=name | {"email": address})
        assert (refused.status_code, address) == (422, address)


def test_phones_have_no_invisible_characters(as_user: FlaskClient) -> None:
    name = {"first_name": "Ada", "last_name": "Lovelace"}
    pasted = as_user.post("/v1/customers", json=name | {"phone": "\u202a+49 30\u00a01234\u202c"})
    assert pasted.get_json()["phone"] == "+49 30\u00a01234"
    refused = as_user.post("/v1/customers", json=name | {"phone": "+49\u202d 30"})
    assert refused.status_code == 422


def test_accounts_and_bookings_compare_the_ascii_form_of_a_domain(
    as_admin: FlaskClient, client: FlaskClient
) -> None:
    sent = {"email": "Zoe@BÜCHER.example", "name": "Zoe", "password": "six sober sheep"}
    assert as_admin.post("/v1/users", json=sent).status_code == 201
    again = as_admin.post("/v1/users", json=sent | {"email": "zoe@xn--bcher-kva.example"})
    assert again.status_code == 409
    login = {"email": " zoe@xn--bcher-kva.example\u2060", "password": "six sober sheep"}
    assert client.post("/login", json=login).status_code == 200
