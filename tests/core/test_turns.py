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


def wait_for(one: Turns, waiting: int) -> None:
    pause = threading.Event()
    while len(one._waiting) < waiting:
        pause.wait(0.001)


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
    released, go_on = threading.Event(), threading.Event()

    def slow() -> None:
        with turn_released():
            released.set()
            assert go_on.wait(LIMIT)
        order.append("returned")

    holder = pool.submit(in_turn, one, slow)
    assert released.wait(LIMIT)
    with one.taken():
        waiting = [pool.submit(in_turn, one, lambda: order.append("new")) for _ in range(3)]
        wait_for(one, 3)
        go_on.set()
        wait_for(one, 4)
    for each in (holder, *waiting):
        each.result()
    assert order == ["returned", "new", "new", "new"]


def test_threads_exchange_their_work_in_the_order_in_which_they_asked(
    pool: ThreadPoolExecutor, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(turns, "WAITING_SECONDS", LIMIT)
    one, done = Turns(1), list[tuple[str, int]]()

    def work(name: str) -> None:
        name = one.take(name)
        done.append((name, threading.get_ident()))
        one.give_back()

    assert one.take("a") == "a"
    waiting = []
    for number, name in enumerate("bc", start=1):
        waiting.append(pool.submit(work, name))
        wait_for(one, number)
    assert [one.exchange(name) for name in "abcabc"] == list("bcabca")
    assert has_turn()
    assert not done  # no other thread was needed
    one.give_back()
    for each in waiting:
        each.result()
    assert [name for name, _ in done] == ["b", "c"]
    assert one._free == 1


def test_a_thread_that_is_alone_goes_on_with_its_own_work() -> None:
    one = Turns(1)
    one.take("mine")
    assert one.exchange("mine") == "mine"
    assert has_turn()
    one.give_back()
    assert one._free == 1


def test_work_that_has_begun_stays_with_its_thread(
    pool: ThreadPoolExecutor, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(turns, "WAITING_SECONDS", LIMIT)
    one, order = Turns(1), list[str]()
    released, go_on = threading.Event(), threading.Event()

    def slow() -> None:
        with turn_released():
            released.set()
            assert go_on.wait(LIMIT)
        order.append("slow")

    holder = pool.submit(in_turn, one, slow)
    assert released.wait(LIMIT)
    one.take("mine")
    go_on.set()
    wait_for(one, 1)
    assert one.exchange("mine") == "mine"
    order.append("mine")
    one.give_back()
    holder.result()
    assert order == ["slow", "mine"]


def test_exchanged_work_that_has_waited_long_is_done_without_a_turn(
    pool: ThreadPoolExecutor, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(turns, "WAITING_SECONDS", 0.05)
    one = Turns(1)
    one.take("mine")
    waiting = pool.submit(one.take, "other")
    wait_for(one, 1)
    assert one.exchange("mine") == "other"
    assert waiting.result(LIMIT) == "mine"
    assert has_turn()
    # Who has no turn cannot go on with the work of those who wait for one.
    late = pool.submit(one.take, "late")
    wait_for(one, 1)
    without = ThreadPoolExecutor(1).submit(one.exchange, "without")
    assert without.result(LIMIT) == "without"
    assert late.result(LIMIT) == "late"
    one.give_back()


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
