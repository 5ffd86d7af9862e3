"""Even spacing of requests, on a clock that the test moves, and pauses."""

from __future__ import annotations

import threading
import time
from concurrent.futures import ThreadPoolExecutor
from itertools import pairwise

import pytest

from automart.catalogue import pacing
from automart.catalogue.pacing import Pace, Pauses, PauseTooLong, Stopped


class Clock:
    """Time that passes only while somebody waits."""

    def __init__(self) -> None:
        self.now = 1000.0

    def monotonic(self) -> float:
        return self.now


class NeverStopped(threading.Event):
    def __init__(self, clock: Clock) -> None:
        super().__init__()
        self.clock = clock

    def wait(self, timeout: float | None = None) -> bool:
        self.clock.now += timeout or 0
        return False


@pytest.mark.parametrize("rate", [0.5, 3, 50])
def test_no_second_has_more_requests_than_the_rate(
    monkeypatch: pytest.MonkeyPatch, rate: float
) -> None:
    clock = Clock()
    monkeypatch.setattr(pacing, "time", clock)
    paced = Pace(rate, NeverStopped(clock))
    starts = []
    for _ in range(200):
        paced.wait()
        starts.append(clock.now)

    for start in starts:
        assert sum(start <= other < start + 1 for other in starts) <= max(rate, 1)
    assert 199 / (starts[-1] - starts[0]) >= 0.95 * rate


class Timeline:
    """What Redis holds for all processes: until when time is reserved, and for which of them."""

    def __init__(self, clock: Clock) -> None:
        self.clock = clock
        self.until = 0.0
        self.holder: object = None
        self.reservations = 0


class OneProcess:
    """The slots of one process."""

    def __init__(self, timeline: Timeline) -> None:
        self.timeline = timeline

    def reserve(self, wait: float, seconds: float) -> float:
        line, now = self.timeline, self.timeline.clock.now
        first = now + wait if line.holder is self else max(now + wait, line.until)
        line.until, line.holder = first + seconds, self
        line.reservations += 1
        return first - now


def test_processes_that_share_slots_keep_the_rate_together(monkeypatch: pytest.MonkeyPatch) -> None:
    clock, rate = Clock(), 3
    monkeypatch.setattr(pacing, "time", clock)
    timeline = Timeline(clock)
    sync = Pace(rate, NeverStopped(clock), OneProcess(timeline), ahead=rate)
    decoding = Pace(rate, NeverStopped(clock), OneProcess(timeline))
    starts = []
    for number in range(200):
        (decoding if number % 7 == 6 else sync).wait()
        starts.append(clock.now)
        clock.now += 0.05 if number % 20 else 1.7  # what a request takes

    for start in starts:
        assert sum(start <= other < start + 1 for other in starts) <= rate


def test_one_process_alone_is_as_fast_with_shared_slots(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = Clock()
    monkeypatch.setattr(pacing, "time", clock)
    timeline = Timeline(clock)
    paced = Pace(50, NeverStopped(clock), OneProcess(timeline), ahead=50)
    began = clock.now
    for _ in range(500):
        paced.wait()
    assert 499 / (clock.now - began) >= 0.95 * 50
    assert timeline.reservations == 10

    began, late = clock.now, 0.0
    for number in range(500):
        paced.wait()
        if number % 25 == 0:
            clock.now += 0.03  # longer than the interval
            late += 0.03
    assert 499 / (clock.now - began - late) >= 0.95 * 50


def test_time_lost_by_slow_requests_is_not_caught_up(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = Clock()
    monkeypatch.setattr(pacing, "time", clock)
    paced = Pace(2, NeverStopped(clock))
    paced.wait()
    clock.now += 60
    starts = []
    for _ in range(4):
        paced.wait()
        starts.append(clock.now)

    assert min(b - a for a, b in pairwise(starts)) >= 0.5


def test_a_rate_of_zero_does_not_wait(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = Clock()
    monkeypatch.setattr(pacing, "time", clock)
    paced = Pace(0, NeverStopped(clock))
    for _ in range(1000):
        paced.wait()

    assert clock.now == 1000.0


@pytest.mark.parametrize("rate", [0, 0.001])
def test_a_stop_ends_the_wait(rate: float) -> None:
    stop = threading.Event()
    paced = Pace(rate, stop)
    paced.wait()
    stop.set()

    with pytest.raises(Stopped):
        paced.wait()


class TestPauses:
    def test_all_threads_wait_until_a_pause_ends(self) -> None:
        pauses = Pauses(10, threading.Event())
        began = time.monotonic()
        pauses.order(0.05, "slow down")
        pauses.order(0.01, "a shorter one does not shorten it")
        with ThreadPoolExecutor(3) as pool:
            for waiting in [pool.submit(pauses.wait) for _ in range(3)]:
                waiting.result()
        assert time.monotonic() - began >= 0.05
        assert not pauses.are_on

    def test_pauses_that_overlap_are_counted_once_and_too_many_end_all(self) -> None:
        pauses = Pauses(100, threading.Event())
        for _ in range(5):
            pauses.order(90, "slow down")
        with pytest.raises(PauseTooLong, match="stop"):
            pauses.order(110, "stop")
        with pytest.raises(PauseTooLong, match="stop"):
            pauses.wait()

    def test_a_stop_ends_the_wait(self) -> None:
        stop = threading.Event()
        pauses = Pauses(100, stop)
        pauses.order(90, "slow down")
        stop.set()
        with pytest.raises(Stopped):
            pauses.wait()
