"""Turns: who has one, who waits, and who continues without one."""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import pytest

from automart.core import turns
from automart.core.turns import RepeatedWait, Turns, has_turn, turn_released
from tests.support.limits import LIMIT


@pytest.fixture
def pool() -> ThreadPoolExecutor:
    return ThreadPoolExecutor(8)


def in_turn(one: Turns, work: Callable[[], None]) -> None:
    with one.taken():
        work()


def test_only_so_many_threads_have_a_turn(
    pool: ThreadPoolExecutor, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(turns, "WAITING_SECONDS", LIMIT)
    two, inside, most, lock = Turns(2), 0, 0, threading.Lock()
    both = threading.Barrier(2)

    def work() -> None:
        nonlocal inside, most
        with lock:
            inside += 1
            most = max(most, inside)
        both.wait(LIMIT)
        with lock:
            inside -= 1

    for each in [pool.submit(in_turn, two, work) for _ in range(40)]:
        each.result()
    assert most == 2
    assert two._free == 2


def test_a_thread_that_has_waited_long_continues_without_a_turn(
    pool: ThreadPoolExecutor, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(turns, "WAITING_SECONDS", 0.01)
    one, done = Turns(1), threading.Event()
    holder = pool.submit(in_turn, one, done.wait)
    pool.submit(in_turn, one, lambda: None).result(timeout=LIMIT)
    done.set()
    holder.result()
    assert one._free == 1
    assert not one._waiting


def test_a_released_turn_is_given_to_a_thread_that_waits(
    pool: ThreadPoolExecutor, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(turns, "WAITING_SECONDS", LIMIT)
    one, released, other_is_done = Turns(1), threading.Event(), threading.Event()

    def slow() -> None:
        with turn_released():
            released.set()
            assert other_is_done.wait(LIMIT)

    holder = pool.submit(in_turn, one, slow)
    released.wait(LIMIT)
    pool.submit(in_turn, one, other_is_done.set)
    holder.result()
    assert one._free == 1


def test_a_thread_that_released_its_turn_is_the_next(
    pool: ThreadPoolExecutor, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(turns, "WAITING_SECONDS", LIMIT)
    one, order = Turns(1), list[str]()
    others_wait, released, go_on = threading.Event(), threading.Event(), threading.Event()

    def slow() -> None:
        with turn_released():
            released.set()
            assert go_on.wait(LIMIT)
        order.append("returned")

    holder = pool.submit(in_turn, one, slow)
    assert released.wait(LIMIT)
    with one.taken():
        waiting = [pool.submit(in_turn, one, lambda: order.append("new")) for _ in range(3)]
        while len(one._waiting) < 3:
            others_wait.wait(0.001)
        go_on.set()
        while len(one._waiting) < 4:
            others_wait.wait(0.001)
    for each in (holder, *waiting):
        each.result()
    assert order == ["returned", "new", "new", "new"]


def test_a_turn_within_a_turn_is_the_same_one() -> None:
    one = Turns(1)
    with one.taken():
        with one.taken():
            assert has_turn()
        assert has_turn()
        assert one._free == 0
    assert not has_turn()
    assert one._free == 1


def test_outside_of_requests_there_is_no_turn_to_release() -> None:
    with turn_released():
        pass
    Turns(1).give_back()


def test_others_continue_during_a_wait_unless_the_last_one_was_short(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    one, wait = Turns(1), RepeatedWait()

    def others_continue() -> bool:
        with wait.waiting():
            return one._free == 1

    with one.taken():
        monkeypatch.setattr(turns, "SHORT_WAIT_SECONDS", 60)
        assert others_continue()  # it is not known yet how long it takes
        assert not others_continue()
        monkeypatch.setattr(turns, "SHORT_WAIT_SECONDS", 0)
        assert not others_continue()
        assert others_continue()
        assert has_turn()
