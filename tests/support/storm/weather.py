"""Calls from all sides at once, and what strikes meanwhile."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from http import HTTPStatus
from queue import SimpleQueue
from typing import Any, Protocol

import requests

SENDERS = 16
LOOKS_EVERY = 0.05
# Recovery takes at most a minute, whatever was killed, if the machine is not busy otherwise.
PATIENCE = 300.0
ANSWER_SECONDS = 120.0
ASKS = 5


class Senders:
    """Posts to a served application, over connections that are kept open."""

    def __init__(self, url: str, count: int = SENDERS) -> None:
        self._url = url
        self.sent_away = 0
        self._idle: SimpleQueue[requests.Session] = SimpleQueue()
        for _ in range(count):
            session = requests.Session()
            session.trust_env = False
            self._idle.put(session)

    def __enter__(self) -> Senders:
        return self

    def __exit__(self, *_: object) -> None:
        while not self._idle.empty():
            self._idle.get().close()

    def post(self, path: str, token: str, body: Any) -> requests.Response:
        """The answer. Who is told to come again later (503) does, so many times."""
        headers = {"Authorization": f"Bearer {token}"}
        with self._session() as session:
            for _ in range(ASKS):
                answer = session.post(
                    self._url + path, json=body, headers=headers, timeout=ANSWER_SECONDS
                )
                if answer.status_code != HTTPStatus.SERVICE_UNAVAILABLE:
                    break
                self.sent_away += 1
                time.sleep(int(answer.headers["Retry-After"]))
        return answer

    @contextmanager
    def _session(self) -> Iterator[requests.Session]:
        session = self._idle.get()
        try:
            yield session
        finally:
            self._idle.put(session)


@dataclass(frozen=True)
class Strike:
    """Something to happen when this share (0 to 1) of all work is done."""

    share: float
    happen: Callable[[], object]


class Work(Protocol):
    """Calls to make, and what must come of them in time: so many things done."""

    calls: Sequence[Callable[[], Any]]
    expected: int

    def count_done(self) -> int:
        """How many of the `expected` are done by now."""

    def check(self, answers: Sequence[Any]) -> Counter[str]:
        """Fail unless all came out right. Answers what was counted."""


def rage(works: Sequence[Work], strikes: Sequence[Strike]) -> Counter[str]:
    """Make all calls from many threads while `strikes` happen; when everything is done, check it.

    Fails as soon as a call raises, or when nothing has gone on for `PATIENCE` seconds.
    """
    coming = sorted(strikes, key=lambda strike: strike.share, reverse=True)
    answered: list[Future[Any]] = []
    with ThreadPoolExecutor(SENDERS) as pool:
        asked = {id(call): pool.submit(call) for call in _mixed(works)}
        for future in asked.values():
            future.add_done_callback(answered.append)
        try:
            _watch(works, answered, coming)
        except BaseException:
            pool.shutdown(cancel_futures=True)
            raise
    counts = Counter[str]()
    for work in works:
        counts.update(work.check([asked[id(call)].result() for call in work.calls]))
    return counts


def _mixed(works: Sequence[Work]) -> list[Callable[[], Any]]:
    """The calls of all works, so that these begin and end together."""
    placed = [
        (place / len(work.calls), call) for work in works for place, call in enumerate(work.calls)
    ]
    return [call for _, call in sorted(placed, key=lambda pair: pair[0])]


def _watch(works: Sequence[Work], answered: list[Future[Any]], coming: list[Strike]) -> None:
    wanted = sum(len(work.calls) for work in works), sum(work.expected for work in works)
    before, since, checked = (-1, -1), time.monotonic(), 0
    while coming or before != wanted:
        now = len(answered), sum(work.count_done() for work in works)
        for future in answered[checked : now[0]]:
            future.result()  # raises what the call has raised
        checked = now[0]
        if coming and now[0] / wanted[0] + now[1] / wanted[1] >= 2 * coming[-1].share:
            coming.pop().happen()
        elif now != before:
            before, since = now, time.monotonic()
        elif time.monotonic() > since + PATIENCE:
            raise AssertionError(
                f"Nothing goes on: {now[0]} of {wanted[0]} calls are answered,"
                f" {now[1]} of {wanted[1]} things done."
            )
        time.sleep(LOOKS_EVERY)
