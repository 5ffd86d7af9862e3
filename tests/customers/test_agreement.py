"""Random sequences of requests have the same effect on the API as on a model in memory.

By default a few fixed sequences run. `CUSTOMER_SEQUENCES=1000` runs 1,000 new ones.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any, ClassVar

from flask import Flask
from flask.testing import FlaskClient
from hypothesis import HealthCheck, Phase
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from automart.core.db import db
from automart.customers.models import OrphanedPhoto
from automart.customers.search_text import normalize
from tests.customers.pictures import files_in, jpeg, upload
from tests.support.people import make_user, signed_in

SEQUENCES = int(os.environ.get("CUSTOMER_SEQUENCES", "10"))
STEPS = 15
PICTURE = jpeg((8, 4))
BROKEN = PICTURE[:100]

NAMES = st.sampled_from(["Ada", "Zoë", "O", "李", "Éa", "  Bo ", "Nguyễn", "x" * 50])
BAD_NAMES = st.sampled_from(["", " ", "x" * 51, "a\x00b", None, 5])
EMAILS = st.sampled_from([None, "a@example.com", "Zoe@Example.com"])
QUERIES = st.sampled_from(["a", "zoe", "O", "ea b", "example", "x" * 30, "李", "nguyen", "%"])
# None: without If-Match. True: with the current version. False: with all earlier versions.
VERSIONS = st.sampled_from([None, True, False])
PICKS = st.integers(0, 1000)


class Requests(RuleBasedStateMachine):
    """The requests, and the expected responses."""

    log_in: ClassVar[Callable[[], FlaskClient]]
    photos: ClassVar[Path]

    def __init__(self) -> None:
        super().__init__()
        self.client = self.log_in()  # a token expires after 15 minutes, a long run does not
        self.known: dict[int, dict[str, Any]] = {}
        self.deleted_ids: list[int] = []
        self.expired_urls: list[str] = []
        self.versions: dict[int, list[str]] = {}

    @initialize()
    def begin(self) -> None:
        assert self._list("") == []

    def teardown(self) -> None:
        for customer_id in self.known:
            assert self.client.delete(f"/v1/customers/{customer_id}").status_code == 204
        db.session.rollback()
        assert files_in(self.photos) == []
        assert db.session.query(OrphanedPhoto).count() == 0

    @rule(first=NAMES, last=NAMES, email=EMAILS)
    def create(self, first: str, last: str, email: str | None) -> None:
        values = {"first_name": first, "last_name": last, "email": email}
        response = self.client.post("/v1/customers", json=values)
        assert response.status_code == 201
        answer = response.get_json()
        assert answer["id"] not in self.known
        assert answer["id"] not in self.deleted_ids
        trimmed = {"first_name": first.strip(), "last_name": last.strip(), "email": email}
        assert answer == answer | trimmed | {"phone": None, "photo_url": None}
        self._record(response)

    @rule(name=BAD_NAMES)
    def create_with_invalid_name(self, name: Any) -> None:
        response = self.client.post("/v1/customers", json={"first_name": name, "last_name": "X"})
        assert response.status_code == 422

    @precondition(lambda self: self.known)
    @rule(pick=PICKS, version=VERSIONS, first=NAMES, email=EMAILS, keep_email=st.booleans())
    def patch(
        self, pick: int, version: bool | None, first: str, email: str | None, keep_email: bool
    ) -> None:
        customer_id = self._pick(pick)
        changes = {"first_name": first} | ({} if keep_email else {"email": email})
        response = self.client.patch(
            self._url(customer_id), json=changes, headers=self._if_match(customer_id, version)
        )
        if version is False:
            assert response.status_code == 412
            return
        assert response.status_code == 200
        answer, before = response.get_json(), self.known[customer_id]
        expected = before | changes | {"first_name": first.strip()}
        assert answer == expected | {"updated_at": answer["updated_at"]}
        assert (answer == before) == (expected == before)
        self._record(response)

    @precondition(lambda self: self.known)
    @rule(pick=PICKS, name=BAD_NAMES)
    def patch_with_invalid_name(self, pick: int, name: Any) -> None:
        response = self.client.patch(self._url(self._pick(pick)), json={"last_name": name})
        assert response.status_code == 422

    @precondition(lambda self: self.known)
    @rule(pick=PICKS, version=VERSIONS)
    def delete(self, pick: int, version: bool | None) -> None:
        customer_id = self._pick(pick)
        headers = self._if_match(customer_id, version)
        response = self.client.delete(self._url(customer_id), headers=headers)
        assert response.status_code == (412 if version is False else 204)
        if version is not False:
            self._expire_url(self.known.pop(customer_id)["photo_url"])
            self.deleted_ids.append(customer_id)

    @precondition(lambda self: self.known)
    @rule(pick=PICKS, version=VERSIONS)
    def put_photo(self, pick: int, version: bool | None) -> None:
        customer_id = self._pick(pick)
        headers = self._if_match(customer_id, version)
        response = upload(self.client, customer_id, PICTURE, headers=headers)
        assert response.status_code == (412 if version is False else 200)
        if version is False:
            return
        answer, before = response.get_json(), self.known[customer_id]
        assert answer["photo_url"] not in (None, before["photo_url"], *self.expired_urls)
        changed = {name: answer[name] for name in ("photo_url", "updated_at")}
        assert answer == before | changed
        self._expire_url(before["photo_url"])
        self._record(response)

    @precondition(lambda self: self.known)
    @rule(pick=PICKS)
    def put_broken_photo(self, pick: int) -> None:
        assert upload(self.client, self._pick(pick), BROKEN).status_code == 422

    @precondition(lambda self: self.known)
    @rule(pick=PICKS, version=VERSIONS)
    def delete_photo(self, pick: int, version: bool | None) -> None:
        customer_id = self._pick(pick)
        response = self.client.delete(
            f"{self._url(customer_id)}/photo", headers=self._if_match(customer_id, version)
        )
        url = self.known[customer_id]["photo_url"]
        if version is False:
            assert response.status_code == 412
            return
        assert response.status_code == (204 if url else 404)
        if url:
            self._expire_url(url)
            read = self.client.get(self._url(customer_id))
            changed = {"photo_url": None, "updated_at": read.get_json()["updated_at"]}
            assert read.get_json() == self.known[customer_id] | changed
            self._record(read)

    @precondition(lambda self: self.deleted_ids)
    @rule(pick=PICKS)
    def request_deleted_customer(self, pick: int) -> None:
        url = self._url(self.deleted_ids[pick % len(self.deleted_ids)])
        assert self.client.get(url).status_code == 404
        assert self.client.patch(url, json={}, headers={"If-Match": "*"}).status_code == 404
        assert self.client.delete(url).status_code == 404

    @rule(q=QUERIES)
    def find(self, q: str) -> None:
        assert self._list(q) == [
            customer for customer in self.known.values() if _matches(customer, normalize(q))
        ]

    @invariant()
    def api_agrees_with_model(self) -> None:
        assert self._list("") == list(self.known.values())
        live = [c["photo_url"] for c in self.known.values() if c["photo_url"]]
        assert all(self.client.get(url).status_code == 200 for url in live)
        assert all(self.client.get(url).status_code == 404 for url in self.expired_urls[-2:])
        wanted = sorted(f"{url.rpartition('/')[2]}.webp" for url in live)
        assert files_in(self.photos) == wanted

    def _list(self, q: str) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = []
        query: dict[str, Any] = {"q": q, "limit": 3}
        while True:
            page = self.client.get("/v1/customers", query_string=query).get_json()
            found += page["items"]
            if page["next_cursor"] is None:
                return found
            query["cursor"] = page["next_cursor"]

    def _pick(self, pick: int) -> int:
        return list(self.known)[pick % len(self.known)]

    def _url(self, customer_id: int) -> str:
        return f"/v1/customers/{customer_id}"

    def _if_match(self, customer_id: int, version: bool | None) -> dict[str, str]:
        if version is None:
            return {}
        *earlier, current = self.versions[customer_id]
        return {"If-Match": current if version else ", ".join(earlier) or '"earlier"'}

    def _record(self, response: Any) -> None:
        answer = response.get_json()
        self.known[answer["id"]] = answer
        versions = self.versions.setdefault(answer["id"], [])
        if response.headers["ETag"] not in versions[-1:]:
            versions.append(response.headers["ETag"])

    def _expire_url(self, url: str | None) -> None:
        if url is not None:
            self.expired_urls.append(url)


def _matches(customer: dict[str, Any], part: str) -> bool:
    name = normalize(f"{customer['first_name']} {customer['last_name']}")
    return part in name or part in normalize(customer["email"] or "")


def test_sequences_of_requests_agree_with_the_model(app: Flask, photos: Path) -> None:
    user = make_user()
    Requests.log_in = staticmethod(lambda: signed_in(app, user))
    Requests.photos = photos
    run_state_machine_as_test(
        Requests,
        settings=hypothesis_settings(
            max_examples=SEQUENCES,
            stateful_step_count=STEPS,
            derandomize="CUSTOMER_SEQUENCES" not in os.environ,
            database=None,
            deadline=None,
            suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much],
            phases=[Phase.generate, Phase.shrink],
        ),
    )
