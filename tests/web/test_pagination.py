"""Pages by cursor, which neither skip nor repeat a row during concurrent writes."""

from __future__ import annotations

from urllib.parse import parse_qs, urlsplit

import pytest
from flask.testing import FlaskClient
from sqlalchemy import event
from werkzeug.test import TestResponse

from automart.background import kinds
from automart.background.service import submit
from automart.core.db import db, transaction
from tests.support.catalogue import HONDA, HONDAS, add_make, add_makes
from tests.support.http import parameters


def ids(response: TestResponse) -> list[int]:
    assert response.status_code == 200, response.text
    return [item["id"] for item in response.get_json()["items"]]


def walk(client: FlaskClient, path: str, **query: object) -> list[TestResponse]:
    """Yield all pages, by `next_cursor`."""
    pages = [client.get(path, query_string=query)]
    while pages[-1].json["next_cursor"] is not None:
        cursor = {"cursor": pages[-1].json["next_cursor"]}
        pages.append(client.get(path, query_string=query | cursor))
    return pages


def test_an_empty_list_has_no_next_page(client: FlaskClient) -> None:
    response = client.get("/v1/makes")
    assert response.get_json() == {"items": [], "next_cursor": None}
    assert "Link" not in response.headers


def test_all_pages_together_have_every_row_once_in_order(client: FlaskClient) -> None:
    expected = add_makes(7)
    pages = walk(client, "/v1/makes", limit=3)
    assert [ids(page) for page in pages] == [expected[:3], expected[3:6], expected[6:]]


def test_a_full_last_page_has_no_next_page(client: FlaskClient) -> None:
    add_makes(4)
    assert [len(ids(page)) for page in walk(client, "/v1/makes", limit=2)] == [2, 2]


def test_a_page_has_fifty_items_by_default_and_a_hundred_at_most(
    client: FlaskClient,
) -> None:
    expected = add_makes(101)
    assert ids(client.get("/v1/makes")) == expected[:50]
    for limit in (100, 101, 10**30):
        assert ids(client.get(f"/v1/makes?limit={limit}")) == expected[:100]


def test_an_invalid_limit_is_422(client: FlaskClient, subtests: pytest.Subtests) -> None:
    for limit in ["0", "-1", "ten", "1.0", "+1", "0x1", "\u0661", "1 ", "9" * 401]:
        with subtests.test(limit=limit):
            response = client.get("/v1/makes", query_string={"limit": limit})
            assert parameters(response).keys() == {"limit"}


@pytest.mark.parametrize("prefix", ["", "/api"])
def test_the_link_to_the_next_page_keeps_the_prefix_of_the_request(
    client: FlaskClient, prefix: str
) -> None:
    expected = add_makes(3)
    first = client.get(f"{prefix}/v1/makes?limit=2")
    link = first.headers["Link"]
    assert link.endswith('>; rel="next"')
    url = urlsplit(link.removeprefix("<").partition(">")[0])
    assert (url.scheme, url.netloc, url.path) == ("http", "localhost", f"{prefix}/v1/makes")
    assert parse_qs(url.query) == {"limit": ["2"], "cursor": [first.get_json()["next_cursor"]]}
    second = client.get(url.geturl())
    assert ids(second) == expected[2:]
    assert "Link" not in second.headers


def test_the_newest_come_first_in_some_lists(as_admin: FlaskClient) -> None:
    for number in range(3):
        as_admin.post("/v1/clients", json={"name": f"C{number}", "kind": "service"})
    pages = [ids(page) for page in walk(as_admin, "/v1/audit-events", limit=2)]
    found = [ident for page in pages for ident in page]
    assert len(found) >= 3
    assert found == sorted(set(found), reverse=True)
    assert found == ids(as_admin.get("/v1/audit-events"))


def test_the_link_keeps_the_filters(client: FlaskClient) -> None:
    add_make(models=HONDAS | {1: "Civic"})
    first = client.get("/v1/models", query_string={"name": "CIVIC", "limit": 1})
    target = first.headers["Link"].removeprefix("<").partition(">")[0]
    assert ids(client.get(target)) == [1863]


def test_rows_that_exist_throughout_are_listed_once_despite_concurrent_writes(
    client: FlaskClient,
) -> None:
    lasting = add_makes(12, first=100)
    seen: list[int] = []
    query: dict[str, object] = {"limit": 3}
    for step in range(1, 100):
        page = client.get("/v1/makes", query_string=query)
        seen += ids(page)
        if page.get_json()["next_cursor"] is None:
            break
        query["cursor"] = page.get_json()["next_cursor"]
        # A row before the cursor is added and deleted, rows after it are added, all are renamed.
        add_make(step, f"Behind {step}")
        if step < 5:
            add_make(111 + step, f"Ahead {step}")
        for place, make_id in enumerate(lasting):
            client.patch(f"/v1/makes/{make_id}", json={"name": f"Renamed {step} {-place}"})
        client.delete(f"/v1/makes/{step}")
    assert seen == [*lasting, 112, 113, 114, 115]


def test_a_cursor_is_valid_after_its_row_was_deleted(client: FlaskClient) -> None:
    add_makes(4)
    first = client.get("/v1/makes?limit=2")
    client.delete("/v1/makes/2")
    cursor = first.get_json()["next_cursor"]
    assert ids(client.get(f"/v1/makes?limit=2&cursor={cursor}")) == [3, 4]


def test_an_invented_cursor_is_422(client: FlaskClient, subtests: pytest.Subtests) -> None:
    for cursor in ["x", "é", "\u0000", "a.b", "Ijki.", "." * 1000, "9" * 5000]:
        with subtests.test(cursor=cursor):
            response = client.get("/v1/makes", query_string={"cursor": cursor})
            detail = "Not a cursor of this list with these filters."
            assert parameters(response) == {"cursor": detail}


def test_a_modified_cursor_is_422(client: FlaskClient) -> None:
    add_makes(2)
    cursor = client.get("/v1/makes?limit=1").get_json()["next_cursor"]
    for place, character in enumerate(cursor):
        other = "A" if character != "A" else "B"
        changed = cursor[:place] + other + cursor[place + 1 :]
        if place < len(cursor) - 1:  # two bits of the last character have no meaning in base64
            response = client.get("/v1/makes", query_string={"cursor": changed})
            assert parameters(response).keys() == {"cursor"}


def test_a_cursor_of_another_list_is_422(client: FlaskClient) -> None:
    add_make(models=HONDAS)
    add_make(448, "Toyota", {2469: "Camry", 2208: "Corolla"})
    cursor = client.get(f"/v1/makes/{HONDA}/models?limit=1").get_json()["next_cursor"]
    for path in ("/v1/makes/448/models", "/v1/models", "/v1/makes", "/jobs"):
        assert parameters(client.get(path, query_string={"cursor": cursor})).keys() == {"cursor"}


def test_a_cursor_is_valid_with_another_limit_but_not_with_other_filters(
    client: FlaskClient,
) -> None:
    add_make(models=HONDAS)
    cursor = client.get(f"/v1/models?limit=1&make_id={HONDA}").get_json()["next_cursor"]
    assert parameters(client.get(f"/v1/models?cursor={cursor}")).keys() == {"cursor"}
    assert parameters(client.get(f"/v1/models?cursor={cursor}&make_id=448")).keys() == {"cursor"}
    rest = client.get(f"/v1/models?cursor={cursor}&make_id={HONDA}&limit=100")
    assert ids(rest) == [1863, 1864]


def test_a_cursor_is_valid_under_both_prefixes(client: FlaskClient) -> None:
    expected = add_makes(2)
    cursor = client.get("/api/v1/makes?limit=1").get_json()["next_cursor"]
    assert ids(client.get(f"/v1/makes?cursor={cursor}")) == expected[1:]


def test_unknown_parameters_are_422(client: FlaskClient) -> None:
    response = client.get("/v1/makes?nmae=Honda&Limit=1")
    known = "Unknown parameter. Known are: cursor, limit, name."
    assert parameters(response) == dict.fromkeys(("nmae", "Limit"), known)


def test_a_parameter_without_a_value_counts_as_absent(client: FlaskClient) -> None:
    expected = add_makes(2)
    assert ids(client.get("/v1/makes?name=&limit=%20&cursor=")) == expected
    assert parameters(client.get("/v1/makes?nmae=&name=")).keys() == {"nmae"}


def test_a_parameter_that_is_given_twice_is_422(client: FlaskClient) -> None:
    response = client.get("/v1/makes?name=Honda&name=Honda&limit=1")
    assert parameters(response) == {"name": "Given more than once."}


def test_a_very_long_query_is_answered(client: FlaskClient) -> None:
    assert ids(client.get("/v1/makes", query_string={"name": "x" * 200_000})) == []
    many = {f"parameter{i}": "x" for i in range(5_000)}
    assert len(parameters(client.get("/v1/makes", query_string=many))) == 100


def test_a_query_that_is_not_utf_8_is_answered(client: FlaskClient) -> None:
    assert ids(client.get("/v1/makes?name=%ff%fe")) == []


@pytest.mark.parametrize("path", ["/v1/makes", "/v1/models", f"/v1/makes/{HONDA}/models", "/jobs"])
def test_a_longer_page_needs_as_many_queries(client: FlaskClient, path: str) -> None:
    add_make(models={i: f"Model {i}" for i in range(1, 41)})
    add_makes(40, first=1000)
    with transaction():
        for _ in range(40):
            submit(kinds.VEHICLE_SYNC)
    queries: list[str] = []
    event.listen(db.engine, "before_cursor_execute", lambda *args: queries.append(args[2]))
    numbers = []
    for limit in (1, 40):
        queries.clear()
        assert len(ids(client.get(f"{path}?limit={limit}"))) == limit
        numbers.append(sum("SELECT" in query for query in queries))
    # One of them reads the caller.
    assert numbers[0] == numbers[1] <= 3
