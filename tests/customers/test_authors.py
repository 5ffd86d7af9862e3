"""The users who created and last changed customers, and can be deleted at any time."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from flask.testing import FlaskClient
from sqlalchemy import Row, delete, text

from automart.accounts.models import User
from automart.core.db import db, transaction
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

    @contextmanager
    def transaction_after_deletion() -> Iterator[None]:
        with db.engine.begin() as another:
            another.execute(delete(User).where(User.id == writers.pop(0).id))
        with transaction():
            yield

    monkeypatch.setattr(customer_views, "transaction", transaction_after_deletion)
    values = {"first_name": "Grace", "last_name": "Hopper"}
    for answer in (
        clients[0].post("/v1/customers", json=values),
        clients[1].patch(url, json=values),
        upload(clients[2], ada["id"], jpeg()),
        clients[3].delete(f"{url}/photo"),
    ):
        assert answer.status_code == 401, answer.get_json()
        assert 'error="invalid_token"' in answer.headers["WWW-Authenticate"]
    assert as_user.get("/v1/customers").get_json()["items"] == [ada]
    assert len(files_in(photos)) == 1


@pytest.mark.parametrize("database_url", ["postgresql"], indirect=True)
def test_a_change_by_a_user_who_is_being_deleted_does_not_deadlock(
    make_user: Callable[..., User],
    signed_in: Callable[[User], FlaskClient],
    as_user: FlaskClient,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    user = make_user()
    client = signed_in(user)
    values = {"first_name": "Ada", "last_name": "Lovelace"}
    url = client.post("/v1/customers", json=values).headers["Location"]
    engine, lock_customer = db.engine, service.lock_customer_row

    def delete_user() -> None:
        with engine.begin() as another:
            another.execute(delete(User).where(User.id == user.id))

    def a_transaction_waits() -> bool:
        # By a connection of its own: a transaction sees pg_stat_activity as it was at first.
        with engine.connect() as another:
            return bool(another.scalar(waiting))

    def lock_before_deletion(customer_id: int) -> Row[Any]:
        customer = lock_customer(customer_id)
        deletions.append(pool.submit(delete_user))
        while not (deletions[0].done() or a_transaction_waits()):
            time.sleep(0.01)
        return customer

    deletions: list[Future[None]] = []
    waiting = text(
        "SELECT count(*) FROM pg_stat_activity"
        " WHERE datname = current_database() AND wait_event_type = 'Lock'"
    )
    monkeypatch.setattr(service, "lock_customer_row", lock_before_deletion)
    with ThreadPoolExecutor(1) as pool:
        response = client.patch(url, json={"phone": "1"})
        deletions[0].result()
    assert response.status_code == 200, response.get_json()
    db.session.expire_all()
    answer = as_user.get(url).get_json()
    assert (answer["phone"], answer["created_by"], answer["updated_by"]) == ("1", None, None)
