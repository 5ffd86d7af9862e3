"""Clients that act on shared resources at random, and record what they did and saw."""

from __future__ import annotations

import sys
import threading
import time
import uuid
from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass
from random import Random
from typing import Any, ClassVar, Protocol

import requests
from flask import Flask

from automart.accounts.sessions import create_login
from automart.core.db import transaction
from automart.oauth.tokens import issue_tokens
from tests.histories import rules
from tests.histories.checker import Operation, check
from tests.histories.rules import CONFLICT, DONE, MISSING, REFUSED, STALE
from tests.support.inventory import booking_body, day, iso, make_car, make_customer
from tests.support.limits import LIMIT
from tests.support.people import make_user

DAYS = 12
OPERATIONS_PER_RESOURCE = 60


class Busy(Exception):
    """The response was 503: nothing was done, and nothing is recorded."""


@dataclass(eq=False)
class Http:
    """The connection of one client."""

    url: str
    token: str
    random: Random
    session: requests.Session

    def send(self, method: str, path: str, *, wanted: set[int], **body: Any) -> requests.Response:
        """Return the response, whose status must be among `wanted`. Raises `Busy`."""
        headers = {"Authorization": f"Bearer {self.token}"} | body.pop("headers", {})
        answer = self.session.request(
            method, self.url + path, headers=headers, timeout=LIMIT, **body
        )
        if answer.status_code == 503:
            raise Busy
        assert answer.status_code in wanted, f"{method} {path}: {answer.status_code} {answer.text}"
        return answer


class Subject(Protocol):
    """What is acted on. `histories` has the operations of each resource, with its first state."""

    name: ClassVar[str]
    histories: History

    def act(self, http: Http) -> None:
        """Do something at random, and record it."""


class History:
    """The operations of the resources of one subject. Methods may be called in any thread."""

    def __init__(
        self,
        rule: Any,
        begin: Callable[[], tuple[Any, Any]],
        operations: int = OPERATIONS_PER_RESOURCE,
    ) -> None:
        """`begin` makes a resource, and returns it with its first state. A new one is begun after
        so many operations."""
        self._rule = rule
        self._begin = begin
        self._lock = threading.Lock()
        self._operations: dict[int, list[Operation]] = defaultdict(list)
        self._initial: list[Any] = []
        self._resource: Any = None
        self._limit = self._given = operations

    @property
    def count(self) -> int:
        return sum(map(len, self._operations.values()))

    def resource(self) -> tuple[int, Any]:
        """Return the present resource and its number."""
        with self._lock:
            if self._given == self._limit:
                self._resource, initial = self._begin()
                self._initial.append(initial)
                self._given = 0
            self._given += 1
            return len(self._initial) - 1, self._resource

    def record(self, number: int, call: tuple[Any, ...], send: Callable[[], Any]) -> Operation:
        """Send a request. Record the call and what `send` returns."""
        begin = time.perf_counter()
        result = send()
        operation = Operation(call, result, begin, time.perf_counter())
        self.add(number, operation)
        return operation

    def add(self, number: int, operation: Operation) -> None:
        with self._lock:
            self._operations[number].append(operation)

    def check(self) -> None:
        """Raise `NotLinearizable` unless an order explains the operations of each resource."""
        for number, initial in enumerate(self._initial):
            check(self._operations[number], initial, self._rule)


class Bookings:
    name = "bookings"

    def __init__(self) -> None:
        self.histories = History(rules.bookings, self._begin)

    def _begin(self) -> tuple[Any, Any]:
        return (make_car().id, []), frozenset()

    def act(self, http: Http) -> None:
        number, (car_id, booked) = self.histories.resource()
        start = http.random.randrange(DAYS)
        end = start + http.random.randint(1, 3)
        ident = http.random.choice(booked) if booked else 0
        calls: dict[tuple[Any, ...], Callable[[], Any]] = {
            ("book", start, end): lambda: self._book(http, car_id, start, end),
            ("list",): lambda: self._list(http, car_id),
            ("is-free", start, end): lambda: self._is_free(http, car_id, start, end),
        }
        if booked:
            calls[("move", ident, start, end)] = lambda: self._move(http, ident, start, end)
            calls[("cancel", ident)] = lambda: self._cancel(http, ident)
        call = http.random.choice(list(calls))
        result = self.histories.record(number, call, calls[call]).result
        if call[0] == "book" and result != CONFLICT:
            booked.append(result)

    def _book(self, http: Http, car_id: int, start: int, end: int) -> Any:
        body = booking_body(car_id, day(start), day(end))
        answer = http.send("POST", "/v1/bookings", json=body, wanted={201, 409})
        return answer.json()["id"] if answer.status_code == 201 else CONFLICT

    def _move(self, http: Http, ident: int, start: int, end: int) -> str:
        body = {"start_datetime": iso(day(start)), "end_datetime": iso(day(end))}
        answer = http.send("PATCH", f"/v1/bookings/{ident}", json=body, wanted={200, 409})
        return DONE if answer.status_code == 200 else CONFLICT

    def _cancel(self, http: Http, ident: int) -> str:
        http.send("DELETE", f"/v1/bookings/{ident}", wanted={204})
        return DONE

    def _list(self, http: Http, car_id: int) -> set[int]:
        path = f"/v1/bookings?car_id={car_id}&status=confirmed&limit=100"
        return {one["id"] for one in http.send("GET", path, wanted={200}).json()["items"]}

    def _is_free(self, http: Http, car_id: int, start: int, end: int) -> bool:
        query = {"start_datetime": iso(day(start)), "end_datetime": iso(day(end)), "limit": 100}
        answer = http.send("GET", "/v1/bookings/available-cars", params=query, wanted={200}).json()
        assert answer["next_cursor"] is None
        return car_id in {car["id"] for car in answer["items"]}


class Versions:
    """Updates with `If-Match`."""

    name = "If-Match edits"

    def __init__(self, http: Http) -> None:
        self._first = http
        self.histories = History(rules.versions, self._begin)

    def _begin(self) -> tuple[Any, Any]:
        path = f"/v1/customers/{make_customer().id}"
        seen = [self._read(self._first, path)]
        return (path, seen), seen[0]

    def act(self, http: Http) -> None:
        number, (path, seen) = self.histories.resource()
        if http.random.random() < 0.4:
            read = self.histories.record(number, ("read",), lambda: self._read(http, path))
            seen.append(read.result)
            return
        # Mostly the newest version that any client has seen.
        etag = http.random.choice([seen[-1], seen[-1], http.random.choice(seen)])[0]
        value = uuid.uuid4().hex
        result = self.histories.record(
            number, ("write", etag, value), lambda: self._write(http, path, etag, value)
        ).result
        if result != STALE:
            seen.append((result, value))

    def _read(self, http: Http, path: str) -> tuple[str, str]:
        answer = http.send("GET", path, wanted={200})
        return answer.headers["ETag"], answer.json()["last_name"]

    def _write(self, http: Http, path: str, etag: str, value: str) -> str:
        headers = {"If-Match": etag}
        body = {"last_name": value}
        answer = http.send("PATCH", path, json=body, headers=headers, wanted={200, 412})
        return answer.headers["ETag"] if answer.status_code == 200 else STALE


class IdempotentPosts:
    """Many POSTs under each key."""

    name = "idempotent POSTs"

    def __init__(self) -> None:
        self.histories = History(rules.idempotency, lambda: (uuid.uuid4().hex, None), 8)

    def act(self, http: Http) -> None:
        number, key = self.histories.resource()
        self.histories.record(number, ("post",), lambda: self._post(http, key))

    def _post(self, http: Http, key: str) -> tuple[int, bool]:
        body = {"first_name": "Ann", "last_name": key}
        headers = {"Idempotency-Key": key}
        answer = http.send("POST", "/v1/customers", json=body, headers=headers, wanted={201})
        return answer.json()["id"], "Idempotent-Replayed" in answer.headers


class Counts:
    """Sprockets that are added, moved and deleted, and the counts and charts of two factories."""

    name = "counts and charts"

    def __init__(self, http: Http) -> None:
        self._first = http
        self._location = self._make("locations", city="Leeds", country_code="GB")
        self._kind = self._make("sprocket-types")
        self.histories = History(rules.counts, self._begin)

    def _make(self, what: str, **values: Any) -> int:
        defaults: dict[str, dict[str, Any]] = {
            "locations": {"name": "Works", "address_1": "1 Road", "postal_code": "LS1 1AA"},
            "sprocket-types": {
                "name": "Sprocket",
                "teeth": 5,
                "pitch": 1,
                "pitch_diameter": 5,
                "outside_diameter": 6,
            },
            "factories": {"name": "Factory", "sprocket_production_goal": 10},
        }
        body = defaults[what] | values
        ident = self._first.send("POST", f"/v1/{what}", json=body, wanted={201}).json()["id"]
        return int(ident)

    def _begin(self) -> tuple[Any, Any]:
        factories = [self._make("factories", location_id=self._location) for _ in range(2)]
        return (factories, []), ((0, 1), (0, 1))

    def act(self, http: Http) -> None:
        number, (factories, sprockets) = self.histories.resource()
        place = http.random.randrange(2)
        # A client that takes a sprocket out of the list is the only one that changes it.
        chance = http.random.random()
        if chance < 0.3:
            body = {"name": "S", "factory_id": factories[place], "sprocket_type_id": self._kind}
            made: list[int] = []

            def add() -> str:
                answer = http.send("POST", "/v1/sprockets", json=body, wanted={201})
                made.append(answer.json()["id"])
                return DONE

            self.histories.record(number, ("add", place), add)
            sprockets.append((made[0], place))
        elif chance < 0.6 and sprockets:
            self._change(http, number, factories, sprockets)
        elif chance < 0.9:
            path = f"/v1/factories/{factories[place]}?with_chart_data=true"
            self.histories.record(number, ("read", place), lambda: self._read(http, path))
        else:
            self.histories.record(number, ("read-all",), lambda: self._read_all(http, factories))

    def _change(
        self, http: Http, number: int, factories: list[int], sprockets: list[tuple[int, int]]
    ) -> None:
        try:
            ident, place = sprockets.pop()
        except IndexError:  # another client was faster
            return
        path = f"/v1/sprockets/{ident}"
        if http.random.random() < 0.5:
            self.histories.record(
                number, ("remove", place), lambda: http.send("DELETE", path, wanted={204}) and DONE
            )
            return
        other = 1 - place
        body = {"factory_id": factories[other]}
        self.histories.record(
            number,
            ("move", place, other),
            lambda: http.send("PATCH", path, json=body, wanted={200}) and DONE,
        )
        sprockets.append((ident, other))

    def _read(self, http: Http, path: str) -> tuple[int, int, int]:
        factory = http.send("GET", path, wanted={200}).json()
        points = factory["chart_data"]["sprocket_production_actual"]
        return factory["sprocket_production_actual"], points[-1], len(points)

    def _read_all(self, http: Http, factories: list[int]) -> tuple[int, ...]:
        # One page is one statement, and all factories are on it.
        answer = http.send("GET", "/v1/factories?limit=100", wanted={200}).json()
        counts = {item["id"]: item["sprocket_production_actual"] for item in answer["items"]}
        return tuple(counts[ident] for ident in factories)


class Tokens:
    """Refresh tokens that rotate, and are sometimes used twice."""

    name = "token rotation"

    def __init__(self, app: Flask) -> None:
        self._app = app
        self._user = make_user()
        self.histories = History(rules.tokens, self._begin)

    def _begin(self) -> tuple[Any, Any]:
        with self._app.test_request_context(), transaction():
            tokens = issue_tokens(create_login(self._user), with_refresh_token=True)
        return (tokens["access_token"], [tokens["refresh_token"]]), tokens["refresh_token"]

    def act(self, http: Http) -> None:
        number, (access, known) = self.histories.resource()
        chance = http.random.random()
        if chance < 0.7:
            self.histories.record(number, ("use",), lambda: self._use(http, access))
            return
        # One that is taken out of the list is used once; one that stays there may be used twice.
        is_theft = http.random.random() < 0.1
        try:
            token = known[-1] if is_theft else known.pop()
        except IndexError:
            return
        result = self.histories.record(
            number, ("refresh", token), lambda: self._refresh(http, token)
        ).result
        known.append(result if result != REFUSED else token)

    def _use(self, http: Http, access: str) -> bool:
        headers = {"Authorization": f"Bearer {access}"}
        answer = http.send("GET", "/v1/users/me", headers=headers, wanted={200, 401})
        return answer.status_code == 200

    def _refresh(self, http: Http, token: str) -> str:
        form = {"grant_type": "refresh_token", "refresh_token": token}
        answer = http.send("POST", "/oauth/token", data=form, wanted={200, 400})
        if answer.status_code == 400:
            assert answer.json()["error"] == "invalid_grant", answer.text
            return REFUSED
        return str(answer.json()["refresh_token"])


class OwnModels:
    """Models of our own under one make, with few different names, and followers of all changes."""

    name = "own models"
    NAMES = ("Ant", "Bee", "Cat", "Dog")
    LIMIT = 100

    def __init__(self, http: Http) -> None:
        self._first = http
        self.histories = History(rules.names, self._begin)
        self.log = History(rules.log, lambda: (None, ()), sys.maxsize)
        self.log.resource()
        # What each follower has read: the last id, and the number of changes.
        self._read: dict[Http, tuple[int, int]] = {}

    def _begin(self) -> tuple[Any, Any]:
        name = f"Make {uuid.uuid4().hex}"
        made = self._first.send("POST", "/v1/makes", json={"name": name}, wanted={201})
        return (made.json()["id"], []), frozenset()

    def act(self, http: Http) -> None:
        number, (make_id, known) = self.histories.resource()
        name = http.random.choice(self.NAMES)
        calls: dict[tuple[Any, ...], Callable[[], Any]] = {
            ("create", name): lambda: self._create(http, make_id, name),
            ("list",): lambda: self._list(http, make_id),
            ("follow", self._read.get(http, (0, 0))[1]): lambda: self._follow(http),
        }
        if known:
            ident = http.random.choice(known)
            path = f"/v1/models/{ident}"
            calls[("rename", ident, name)] = lambda: self._status(
                http.send("PATCH", path, json={"name": name}, wanted={200, 404, 409})
            )
            calls[("delete", ident)] = lambda: self._status(
                http.send("DELETE", path, wanted={204, 404})
            )
        call = http.random.choice(list(calls))
        if call[0] == "follow":
            self.log.record(0, call, calls[call])
            return
        operation = self.histories.record(number, call, calls[call])
        if call[0] == "create" and operation.result != CONFLICT:
            known.append(operation.result)
            self._change("created", operation.result, operation)
        if call[0] == "delete" and operation.result == DONE:
            self._change("deleted", call[1], operation)

    def _change(self, kind: str, model_id: int, operation: Operation) -> None:
        change = ("change", kind, model_id)
        self.log.add(0, Operation(change, DONE, operation.begin, operation.end))

    def _create(self, http: Http, make_id: int, name: str) -> Any:
        body = {"make_id": make_id, "name": name}
        answer = http.send("POST", "/v1/models", json=body, wanted={201, 409})
        return answer.json()["id"] if answer.status_code == 201 else CONFLICT

    def _list(self, http: Http, make_id: int) -> frozenset[tuple[int, str]]:
        answer = http.send("GET", f"/v1/models?make_id={make_id}", wanted={200})
        return frozenset((one["id"], one["name"]) for one in answer.json()["items"])

    def _follow(self, http: Http) -> tuple[rules.Log, bool]:
        after, count = self._read.get(http, (0, 0))
        path = f"/v1/model-changes?after={after}&limit={self.LIMIT}"
        items = http.send("GET", path, wanted={200}).json()["items"]
        ids = [after, *(item["id"] for item in items)]
        assert ids == sorted(set(ids))
        # What a rename changes depends on the name before, which its client does not know.
        changes = [(one["change"], one["model_id"]) for one in items if one["change"] != "renamed"]
        self._read[http] = ids[-1], count + len(changes)
        return tuple(changes), len(items) < self.LIMIT

    def _status(self, answer: requests.Response) -> str:
        return {404: MISSING, 409: CONFLICT}.get(answer.status_code, DONE)
