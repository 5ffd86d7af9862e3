"""Callers on a host of its web: `python -m tests.hosts.callers URL SECONDS THREADS FILE`.

Each answer is a line of JSON in FILE at the end. Whether it is right is judged elsewhere.
"""

from __future__ import annotations

import json
import random
import sys
import threading
import time
import uuid
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import requests

EMAIL = "caller@example.com"
PASSWORD = "four words nobody guesses"
# Longer than any answer may take, so that it is known how long the longest did.
GIVE_UP_AFTER = 90.0
PAUSE = 0.05
MAKES = (448, 473, 474, 475, 478, 480, 481, 509, 515, 523, 542)


@dataclass
class Answer:
    """A request and its result. Times are from the monotonic clock of the machine."""

    kind: str
    started: float
    ended: float
    status: int | None
    """None if there was no response."""
    retry_after: bool
    ident: str | int | None = None
    """The id of the resource that was written."""
    name: str | None = None
    """The value that was or should have been written."""
    error: str | None = None


class Caller(threading.Thread):
    """Sends one request after the other until the time is over."""

    def __init__(self, url: str, seconds: float, logged_in: threading.Barrier) -> None:
        super().__init__()
        self.answers: list[Answer] = []
        self._url = url
        self._seconds = seconds
        self._logged_in = logged_in
        self._session = requests.Session()
        self._session.trust_env = False
        self._token = ""

    def run(self) -> None:
        calls: list[Callable[[], None]] = [self._read, self._create, self._change, self._order]
        with self._session:
            while not self._token:
                self._log_in()
            self.answers.clear()  # the first ones found processes that were just started
            self._logged_in.wait()
            until = time.monotonic() + self._seconds
            while time.monotonic() < until:
                if not self._token:
                    self._log_in()
                else:
                    random.choices(calls, weights=[45, 30, 15, 10])[0]()
                time.sleep(PAUSE)

    def _log_in(self) -> None:
        body = {"email": EMAIL, "password": PASSWORD}
        answer = self._send("log in", "POST", "/login", body)
        if answer is not None and answer.ok:
            self._token = answer.json()["access_token"]

    def _read(self) -> None:
        path = random.choice(["/v1/customers?limit=20", "/v1/makes", "/v1/cars", "/jobs?limit=5"])
        self._send("read", "GET", path)

    def _create(self) -> None:
        name = uuid.uuid4().hex
        body = {"first_name": "Load", "last_name": name}
        answer = self._send("create", "POST", "/v1/customers", body)
        self.answers[-1].name = name
        self._note_id(answer, requests.codes.created)

    def _change(self) -> None:
        """Update the last customer of this caller. No other caller updates it."""
        mine = [each for each in self.answers if each.kind == "create" and each.ident]
        if not mine:
            return
        ident, name = mine[-1].ident, uuid.uuid4().hex
        self._send("change", "PATCH", f"/v1/customers/{ident}", {"last_name": name})
        self.answers[-1].ident, self.answers[-1].name = ident, name

    def _order(self) -> None:
        make = random.choice(MAKES)
        answer = self._send("order", "POST", "/v1/vehicle-syncs", {"make_ids": [make]})
        self._note_id(answer, requests.codes.accepted)

    def _note_id(self, answer: requests.Response | None, status: int) -> None:
        if answer is not None and answer.status_code == status:
            self.answers[-1].ident = answer.json()["id"]

    def _send(
        self, kind: str, method: str, path: str, body: dict[str, Any] | None = None
    ) -> requests.Response | None:
        started = time.monotonic()
        header = {"Authorization": f"Bearer {self._token}"} if self._token else {}
        try:
            answer = self._session.request(
                method, self._url + path, json=body, headers=header, timeout=GIVE_UP_AFTER
            )
        except requests.RequestException as error:
            ended = time.monotonic()
            self.answers.append(Answer(kind, started, ended, None, False, error=str(error)))
            return None
        ended = time.monotonic()
        retry_after = "Retry-After" in answer.headers
        self.answers.append(Answer(kind, started, ended, answer.status_code, retry_after))
        if answer.status_code == requests.codes.unauthorized:
            self._token = ""  # it has run out
        return answer


def started(file: Path) -> Path:
    """Return the path of the file that exists once the callers of `file` have begun."""
    return file.with_suffix(".started")


def main() -> None:
    url, seconds, threads, output = sys.argv[1:]
    logged_in = threading.Barrier(int(threads) + 1)
    callers = [Caller(url, float(seconds), logged_in) for _ in range(int(threads))]
    for caller in callers:
        caller.start()
    logged_in.wait()
    started(Path(output)).touch()
    for caller in callers:
        caller.join()
    lines = [json.dumps(asdict(answer)) for caller in callers for answer in caller.answers]
    Path(output).write_text("\n".join(lines))


if __name__ == "__main__":
    main()
