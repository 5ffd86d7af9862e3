"""Concurrent calls from many threads, and faults during them."""

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
POLL_INTERVAL = 0.05
# Recovery takes at most a minute, whatever was killed, on a machine without other load.
STALL_SECONDS = 300.0
RESPONSE_SECONDS = 120.0
MOST_REQUESTS = 5


class Senders:
    """Posts to a running web, over connections that are kept open."""

    def __init__(self, url: str, count: int = SENDERS) -> None:
        self._url = url
        self.refused = 0
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
        """Return the response. Repeat a request that gets 503, a limited number of times."""
        headers = {"Authorization": f"Bearer {token}"}
        with self._session() as session:
            for _ in range(MOST_REQUESTS):
                answer = session.post(
                    self._url + path, json=body, headers=headers, timeout=RESPONSE_SECONDS
                )
                if answer.status_code != HTTPStatus.SERVICE_UNAVAILABLE:
                    break
                self.refused += 1
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
class ScheduledFault:
    """A fault to cause when this share (0 to 1) of all work is done."""

    share: float
    happen: Callable[[], object]


class Work(Protocol):
    """Calls to make, and the number of results to wait for."""

    calls: Sequence[Callable[[], Any]]
    expected: int

    def count_done(self) -> int:
        """Return the number of results so far."""

    def check(self, answers: Sequence[Any]) -> Counter[str]:
        """Fail unless all results are correct. Return counts to print."""


def run_with_faults(works: Sequence[Work], faults: Sequence[ScheduledFault]) -> Counter[str]:
    """Make all calls from many threads while `faults` happen. Check the results at the end.

    Fail as soon as a call raises, or when there is no progress for `STALL_SECONDS` seconds.
    """
    pending = sorted(faults, key=lambda fault: fault.share, reverse=True)
    answered: list[Future[Any]] = []
    with ThreadPoolExecutor(SENDERS) as pool:
        asked = {id(call): pool.submit(call) for call in _mixed(works)}
        for future in asked.values():
            future.add_done_callback(answered.append)
        try:
            _watch(works, answered, pending)
        except BaseException:
            pool.shutdown(cancel_futures=True)
            raise
    counts = Counter[str]()
    for work in works:
        counts.update(work.check([asked[id(call)].result() for call in work.calls]))
    return counts


def _mixed(works: Sequence[Work]) -> list[Callable[[], Any]]:
    """Return the calls of all works, interleaved so that all works begin and end together."""
    placed = [
        (place / len(work.calls), call) for work in works for place, call in enumerate(work.calls)
    ]
    return [call for _, call in sorted(placed, key=lambda pair: pair[0])]


def _watch(
    works: Sequence[Work], answered: list[Future[Any]], pending: list[ScheduledFault]
) -> None:
    wanted = sum(len(work.calls) for work in works), sum(work.expected for work in works)
    before, since, checked = (-1, -1), time.monotonic(), 0
    while pending or before != wanted:
        now = len(answered), sum(work.count_done() for work in works)
        for future in answered[checked : now[0]]:
            future.result()  # raises what the call has raised
        checked = now[0]
        if pending and now[0] / wanted[0] + now[1] / wanted[1] >= 2 * pending[-1].share:
            pending.pop().happen()
        elif now != before:
            before, since = now, time.monotonic()
        elif time.monotonic() > since + STALL_SECONDS:
            raise AssertionError(
                f"No progress: {now[0]} of {wanted[0]} calls are answered,"
                f" {now[1]} of {wanted[1]} results are there."
            )
        time.sleep(POLL_INTERVAL)
