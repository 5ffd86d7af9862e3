"""Signals that end a process, and the pauses before a process is started again."""

from __future__ import annotations

import signal
import threading

import pytest

from automart.core.interrupts import (
    ENDINGS,
    Endings,
    end_at_interrupt,
    interrupts_raised,
)
from automart.core.parent_death import Restarts
from tests.support.limits import LIMIT


@pytest.mark.parametrize("number", ENDINGS)
def test_a_signal_ends_the_wait_and_cannot_interrupt_the_end(number: signal.Signals) -> None:
    before = {each: signal.getsignal(each) for each in ENDINGS}
    try:
        with Endings() as endings:
            assert not endings.is_set()
            assert not endings.wait(0)
            for _ in range(2):
                signal.raise_signal(number)
            assert endings.is_set()
            assert endings.wait(LIMIT)
        assert {signal.getsignal(each) for each in ENDINGS} == {signal.SIG_IGN}
    finally:
        for each, handler in before.items():
            signal.signal(each, handler)


def test_a_thread_can_wait_for_the_end() -> None:
    found = []
    endings = Endings()
    thread = threading.Thread(target=lambda: found.append(endings.wait(LIMIT)))
    thread.start()
    endings.set()
    thread.join()
    assert found == [True]


def test_without_a_signal_the_handlers_are_those_of_before() -> None:
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        handlers = {each: signal.getsignal(each) for each in ENDINGS}
        with Endings():
            assert signal.getsignal(signal.SIGTERM) is not handlers[signal.SIGTERM]
            assert signal.getsignal(signal.SIGHUP) is signal.SIG_IGN, "nohup"
        assert {each: signal.getsignal(each) for each in ENDINGS} == handlers
    finally:
        signal.signal(signal.SIGHUP, before)


def test_an_interrupt_is_an_exception_only_where_that_is_wanted() -> None:
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        with interrupts_raised():
            assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
        assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
        end_at_interrupt()
        assert signal.getsignal(signal.SIGINT) is signal.SIG_DFL
        with pytest.raises(KeyboardInterrupt), interrupts_raised():
            signal.raise_signal(signal.SIGINT)
        assert signal.getsignal(signal.SIGINT) is signal.SIG_DFL
        signal.signal(signal.SIGINT, signal.SIG_IGN)  # as in the background of a script
        end_at_interrupt()
        with interrupts_raised():
            assert signal.getsignal(signal.SIGINT) is signal.SIG_IGN
        assert signal.getsignal(signal.SIGINT) is signal.SIG_IGN
    finally:
        signal.signal(signal.SIGINT, before)


def test_pauses_before_restarts_become_longer_until_a_process_has_run_for_a_while() -> None:
    restarts = Restarts()
    assert [restarts.pause_after(30) for _ in range(6)] == [1, 2, 4, 8, 10, 10]
    assert restarts.early_ends == 6
    assert [restarts.pause_after(lived) for lived in (30.1, 0, 0)] == [0.5, 1, 2]
