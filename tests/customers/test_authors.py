"""The users who created and last changed customers, and can be deleted at any time."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from flask.testing import FlaskClient
from sqlalchemy import delete, text

from automart.accounts.models import User
from automart.core.db import db, transaction, write
from automart.customers import service
from automart.customers.views import customers as customer_views
from tests.customers.pictures import files_in, jpeg, upload


def test_customers_are_kept_when_their_author_is_deleted(
    as_admin: FlaskClient,
    make_user: Callable[..., User],
    signed_in: Callable[[User], FlaskClient],
) -> None:
    user = make_user()
    values = {"first_name": "Ada", "last_name": "Lovelace"}
    url = signed_in(user).post("/v1/customers", json=values).headers["Location"]
    assert as_admin.delete(f"/v1/users/{user.id}").status_code == 204
    db.session.expire_all()
    answer = as_admin.get(url).get_json()
    assert (answer["created_by"], answer["updated_by"]) == (None, None)
    assert answer["first_name"] == "Ada"


def test_a_user_who_is_deleted_during_the_request_gets_401(
    make_user: Callable[..., User],
    signed_in: Callable[[User], FlaskClient],
    as_user: FlaskClient,
    ada: dict[str, Any],
    photos: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    writers = [make_user() for _ in range(4)]
    clients = [signed_in(writer) for writer in writers]
    url = f"/v1/customers/{ada['id']}"
    ada = upload(as_user, ada["id"], jpeg()).get_json()

    def delete_next() -> None:
        with db.engine.begin() as another:
            another.execute(delete(User).where(User.id == writers.pop(0).id))

    @contextmanager
    def transaction_after_deletion() -> Iterator[None]:
        delete_next()
        with transaction():
            yield

    def write_after_deletion(*args: Any, **parameters: Any) -> Sequence[Any]:
        delete_next()
        return write(*args, **parameters)

    monkeypatch.setattr(customer_views, "transaction", transaction_after_deletion)
    monkeypatch.setattr(service, "write", write_after_deletion)
    values = {"first_name": "Grace", "last_name": "Hopper"}
    for answer in (
        clients[0].post("/v1/customers", json=values),
        clients[1].patch(url, json=values),
        upload(clients[2], ada["id"], jpeg()),
        clients[3].delete(f"{url}/photo"),
    ):
        assert answer.status_code == 401, answer.get_json()
        assert 'error="invalid_token"' in answer.headers["WWW-Authenticate"]
        assert answer.get_json()["detail"] == "The user has been deleted."
    assert as_user.get("/v1/customers").get_json()["items"] == [ada]
    assert len(files_in(photos)) == 1


@pytest.fixture
def before_writing(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[Callable[[], object]]]:
    """A list of functions. Each is called once, after a customer is read and before the writing."""
    functions: list[Callable[[], object]] = []

    def write_after(*args: Any, **parameters: Any) -> Sequence[Any]:
        if functions:
            functions.pop(0)()
        return write(*args, **parameters)

    monkeypatch.setattr(service, "write", write_after)
    yield functions
    assert not functions


def test_a_customer_that_changes_between_reading_and_writing_is_read_again(
    as_user: FlaskClient,
    as_admin: FlaskClient,
    ada: dict[str, Any],
    before_writing: list[Callable[[], object]],
) -> None:
    url = f"/v1/customers/{ada['id']}"
    before_writing += [
        lambda: as_admin.patch(url, json={"last_name": "Byron"}),
        lambda: None,  # that change itself
        lambda: as_admin.patch(url, json={"phone": "7"}),
        lambda: None,
    ]
    response = as_user.patch(url, json={"first_name": "Augusta"})
    assert response.status_code == 200, response.get_json()
    answer = response.get_json()
    assert (answer["first_name"], answer["last_name"], answer["phone"]) == ("Augusta", "Byron", "7")
    assert as_admin.get(url).get_json() == answer
    version = {"If-Match": response.headers["ETag"]}
    before_writing += [lambda: as_admin.patch(url, json={"phone": "8"}), lambda: None]
    assert as_user.patch(url, json={"phone": "9"}, headers=version).status_code == 412
    assert as_admin.get(url).get_json()["phone"] == "8"
    before_writing.append(lambda: as_admin.delete(f"/v1/users/{ada['created_by']}"))
    version = {"If-Match": as_admin.get(url).headers["ETag"]}
    assert as_admin.patch(url, json={"phone": "9"}, headers=version).status_code == 412
    assert as_admin.get(url).get_json()["created_by"] is None
    before_writing.append(lambda: as_admin.delete(url))
    assert as_admin.patch(url, json={"phone": "9"}).status_code == 404


def test_each_version_is_later_even_if_the_clock_is_set_back(
    as_user: FlaskClient, ada: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    url = f"/v1/customers/{ada['id']}"
    monkeypatch.setattr(service, "utcnow", lambda: datetime(2020, 1, 1, tzinfo=UTC))
    first = as_user.patch(url, json={"phone": "1"}).get_json()
    second = as_user.patch(url, json={"phone": "2"}).get_json()
    assert ada["updated_at"] < first["updated_at"] < second["updated_at"]


@pytest.mark.parametrize("database_url", ["postgresql"], indirect=True)
def test_a_change_by_a_user_who_is_being_deleted_does_not_deadlock(
    make_user: Callable[..., User],
    signed_in: Callable[[User], FlaskClient],
    as_user: FlaskClient,
    before_writing: list[Callable[[], object]],
) -> None:
    user = make_user()
    client = signed_in(user)
    values = {"first_name": "Ada", "last_name": "Lovelace"}
    url = client.post("/v1/customers", json=values).headers["Location"]
    engine, has_deleted, has_committed = db.engine, threading.Event(), threading.Event()

    def delete_user() -> None:
        with engine.begin() as deletion, engine.connect() as another:
            deletion.execute(delete(User).where(User.id == user.id))
            has_deleted.set()
            # By a connection of its own: a transaction sees pg_stat_activity as it was at first.
            while not another.scalar(waiting):
                another.rollback()
        has_committed.set()

    waiting = text(
        "SELECT count(*) FROM pg_stat_activity"
        " WHERE datname = current_database() AND wait_event_type = 'Lock'"
    )
    with ThreadPoolExecutor(1) as pool:
        deletion = pool.submit(delete_user)
        before_writing.append(lambda: has_deleted.wait(60))
        response = client.patch(url, json={"phone": "1"})
        deletion.result()
    assert response.status_code == 401, response.get_json()
    assert has_committed.is_set()
    db.session.expire_all()
    answer = as_user.get(url).get_json()
    assert (answer["phone"], answer["created_by"], answer["updated_by"]) == (None, None, None)
