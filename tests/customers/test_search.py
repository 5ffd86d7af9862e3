"""Search of customers by parts of names and e-mail addresses, without case and accents."""

from __future__ import annotations

import sys
import unicodedata
from typing import Any

import flask_migrate
import pytest
from flask import Flask
from flask.testing import FlaskClient
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy import Select, select, text, update
from sqlalchemy.dialects import postgresql

from automart.accounts.models import User
from automart.core.db import db, transaction
from automart.core.text import clean
from automart.customers import search
from automart.customers.models import Customer
from automart.customers.search_text import normalize, search_text
from tests.support.people import make_user

PEOPLE = [
    ("Zoë", "Quinn", "zoe@example.com"),
    ("Søren", "Kierkegård", None),
    ("Łukasz", "Żółć", "lukasz@example.org"),
    ("Nguyễn", "Thị Hồng", None),
    ("Straße", "Größe", None),
    ("ΣΊΣΥΦΟΣ", "Οδυσσεύς", None),
    ("İbrahim", "Işık", None),
    ("Sean", "O’Neil", "100%_sure@example.com"),
    ("王伟", "李", None),
    ("김", "민준", None),
    ("मोहन", "लाल", None),
    ("يوسف", "علي", None),
    ("Anna  Maria", "Back\\slash", None),
    ("Eve\u2011Lyn", "D\u02bcArcy\u2212Hill", None),
    ("\u0645\u062d\u0640\u0640\u0645\u062f", "D\u2032Or", None),
]
FOUND = {
    "zoe": ["Zoë"],
    "ZOË": ["Zoë"],
    "zoe\u0308": ["Zoë"],
    "oë q": ["Zoë"],
    "soren": ["Søren"],
    "kierkegard": ["Søren"],
    "KIERKEGÅRD": ["Søren"],
    "lukasz zolc": ["Łukasz"],
    "nguyen": ["Nguyễn"],
    "thi hong": ["Nguyễn"],
    "strasse": ["Straße"],
    "GRÖSSE": ["Straße"],
    "σισυφος": ["ΣΊΣΥΦΟΣ"],
    "οδυσσευς": ["ΣΊΣΥΦΟΣ"],
    "ibrahim": ["İbrahim"],
    "isik": ["İbrahim"],
    "o'neil": ["Sean"],
    "O’NEIL": ["Sean"],
    "王": ["王伟"],
    "李": ["王伟"],
    "伟 李": ["王伟"],
    "민": ["김"],
    "मोह": ["मोहन"],
    "علي": ["يوسف"],
    "anna maria": ["Anna  Maria"],
    "k\\s": ["Anna  Maria"],
    "\\": ["Anna  Maria"],
    "example.com": ["Zoë", "Sean"],
    "%": ["Sean"],
    "_": ["Sean"],
    "100%_s": ["Sean"],
    "eve-lyn": ["Eve\u2011Lyn"],
    "d\uff07arcy\u2014hill": ["Eve\u2011Lyn"],
    "d'or": ["\u0645\u062d\u0640\u0640\u0645\u062f"],
    "\u0645\u062d\u0645\u062f": ["\u0645\u062d\u0640\u0640\u0645\u062f"],
    "quinnzoe": [],
    "quinn zoe@": [],
    "z%e": [],
    "z_e": [],
    "nobody": [],
    "qx": [],
    "'; DROP TABLE customer": [],
}


def search_for(client: FlaskClient, q: str, **query: Any) -> list[str]:
    response = client.get("/v1/customers", query_string={"q": q, **query})
    assert response.status_code == 200, response.get_json()
    return [item["first_name"] for item in response.get_json()["items"]]


@pytest.fixture
def people(app: Flask) -> None:
    with transaction():
        for first, last, email in PEOPLE:
            db.session.add(
                Customer(
                    first_name=clean(first),
                    last_name=clean(last),
                    email=email and clean(email),
                )
            )


@pytest.mark.usefixtures("people")
class TestSearch:
    def test_customers_are_found_by_parts_without_case_and_accents(
        self, as_user: FlaskClient
    ) -> None:
        wrong = {
            q: found for q, names in FOUND.items() if (found := search_for(as_user, q)) != names
        }
        assert wrong == {}

    def test_a_blank_query_finds_all_customers(self, as_user: FlaskClient) -> None:
        for q in ("", "  ", "\u0301"):
            assert len(search_for(as_user, q)) == len(PEOPLE)

    def test_an_invalid_query_for_customers_is_refused(self, as_user: FlaskClient) -> None:
        for query in ("q=%00", "q=a%07b", "q=" + "a" * 255, "name=Ada"):
            response = as_user.get(f"/v1/customers?{query}")
            assert response.status_code == 422
            assert response.get_json()["errors"][0]["parameter"] == query.partition("=")[0]

    def test_search_results_follow_changes_of_customers(self, as_user: FlaskClient) -> None:
        zoe = as_user.get("/v1/customers?q=zoe").get_json()["items"][0]
        as_user.patch(f"/v1/customers/{zoe['id']}", json={"first_name": "Cleo", "email": None})
        assert search_for(as_user, "zoe") == []
        assert search_for(as_user, "cleo quinn") == ["Cleo"]
        as_user.patch(f"/v1/customers/{zoe['id']}", json={"email": "c@example.net"})
        assert search_for(as_user, "example.net") == ["Cleo"]
        as_user.delete(f"/v1/customers/{zoe['id']}")
        assert search_for(as_user, "cleo") == []

    def test_pages_have_each_match_once(
        self, as_user: FlaskClient, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        # A small number, so that both ways of searching are used.
        monkeypatch.setattr(search, "NEAR", 3)
        everyone = [first for first, _, _ in PEOPLE]
        for q, wanted in (
            ("", everyone),
            ("a", [p[0] for p in PEOPLE if "a" in search_text(*p)]),
        ):
            for limit in (1, 2, 100):
                seen: list[str] = []
                cursor = None
                while True:
                    query = {"q": q, "limit": limit} | ({"cursor": cursor} if cursor else {})
                    page = as_user.get("/v1/customers", query_string=query).get_json()
                    seen += [item["first_name"] for item in page["items"]]
                    cursor = page["next_cursor"]
                    if cursor is None:
                        break
                assert seen == [unicodedata.normalize("NFC", name) for name in wanted]
        cursor = as_user.get("/v1/customers?q=a&limit=1").get_json()["next_cursor"]
        assert as_user.get(f"/v1/customers?q=b&limit=1&cursor={cursor}").status_code == 422


@pytest.mark.usefixtures("people")
def test_all_ways_of_searching_find_the_same(app: Flask, monkeypatch: pytest.MonkeyPatch) -> None:
    def found(statement: Select[Customer]) -> list[str]:
        return [customer.first_name for customer in db.session.scalars(statement)]

    numbers = db.session.scalars(select(Customer.id).order_by(Customer.id)).all()
    for part in ("", "example.com", "100%_", "zoe", "ann", "an_a", "nobody"):
        for after in (0, numbers[0], numbers[9]):
            for count in (1, 2, 100):
                expected = found(search.in_order(part, after, count))
                assert found(search.near(part, after, count)) == expected
                assert found(search.by_index(part, after, count)) == expected
    monkeypatch.setattr(search, "NEAR", 3)
    assert found(search.near("grosse", numbers[1], 100)) == ["Straße"]
    assert found(search.near("anna", numbers[1], 100)) == []
    assert found(search.near("example.com", 0, 100)) == ["Zoë"]


def test_invisible_characters_do_not_matter() -> None:
    soft_hyphen, no_joiner, right_to_left = "\xad", "\u200c", "\u200f"
    assert normalize(f"Anna{soft_hyphen}lena {no_joiner}Ek{right_to_left}") == "annalena ek"


def test_every_dash_is_a_hyphen() -> None:
    dashes = [c for c in map(chr, range(sys.maxunicode + 1)) if unicodedata.category(c) == "Pd"]
    assert normalize("".join(dashes)) == "-" * len(dashes)


@given(st.text(max_size=20), st.data())
def test_a_part_of_a_name_is_normalized_to_a_part_of_the_normalized_name(
    name: str, data: st.DataObject
) -> None:
    start = data.draw(st.integers(0, len(name)))
    end = data.draw(st.integers(start, len(name)))
    assert normalize(name[start:end]) in normalize(name)


@given(st.text(max_size=20))
def test_normalizing_again_or_another_form_gives_the_same_text(name: str) -> None:
    once = normalize(name)
    assert normalize(once) == once
    assert normalize(unicodedata.normalize("NFC", name)) == once
    assert normalize(unicodedata.normalize("NFD", name)) == once
    assert not any(unicodedata.combining(character) for character in once)


@pytest.mark.parametrize(
    ("query", "index"),
    [("qwfpgj", "ix_customer_search_text"), ("qx", "ix_customer_short_parts")],
)
def test_postgresql_uses_an_index_for_a_rare_query(app: Flask, query: str, index: str) -> None:
    if db.engine.dialect.name != "postgresql":
        pytest.skip("SQLite scans the table")
    statement = search.by_index(query, 0, 51).compile(
        dialect=postgresql.dialect(), compile_kwargs={"literal_binds": True}
    )
    with transaction():
        db.session.execute(
            text(
                "INSERT INTO customer"
                " (first_name, last_name, search_text, created_at, updated_at)"
                " SELECT 'A', 'B', md5(n::text), now(), now() FROM generate_series(1, 20000) n"
            )
        )
    db.session.execute(text(f"SELECT gin_clean_pending_list('{index}')"))
    db.session.execute(text("ANALYZE customer"))
    sql = str(statement).replace("%%", "%")
    plan = "\n".join(db.session.scalars(text(f"EXPLAIN {sql}")))
    assert index in plan
    assert "Seq Scan" not in plan


def test_customers_and_accounts_of_before_0012_are_found_as_new_ones(
    app: Flask, as_user: FlaskClient
) -> None:
    address = "eve@bücher.example"
    made = as_user.post(
        "/v1/customers", json={"first_name": "Eve\u2011Lyn", "last_name": "Hill", "email": address}
    ).get_json()
    user = make_user(email=address)
    with transaction():
        db.session.execute(update(Customer).values(search_text="eve\u2010lyn hill\n"))
        db.session.execute(update(User).where(User.id == user.id).values(email_folded=address))
    flask_migrate.downgrade(revision="0011")
    assert search_for(as_user, "eve-lyn") == []
    flask_migrate.upgrade()
    assert search_for(as_user, "eve-lyn") == [made["first_name"]]
    key = db.session.scalar(select(User.email_folded).where(User.id == user.id))
    assert key == "eve@xn--bcher-kva.example"
