"""Signals that end a process."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator

import pytest

from automart.core.interrupts import ENDINGS, Endings, end_at_interrupt, interrupts_raised
from tests.support.limits import LIMIT


@pytest.fixture(autouse=True)
def _not_ignored() -> Iterator[None]:
    """Let no signal be ignored from the start, as SIGHUP is under nohup. Restore the handlers."""
    before = {number: signal.getsignal(number) for number in ENDINGS}
    for number in ENDINGS:
        signal.signal(number, signal.default_int_handler)
    yield
    for number, handler in before.items():
        signal.signal(number, handler)


@pytest.mark.parametrize("number", ENDINGS)
def test_a_signal_ends_the_wait_and_cannot_interrupt_the_end(number: signal.Signals) -> None:
    with Endings() as endings:
        assert not endings.is_set()
        assert not endings.wait(0)
        for _ in range(2):
            signal.raise_signal(number)
        assert endings.is_set()
        assert endings.wait(LIMIT)
    assert {signal.getsignal(each) for each in ENDINGS} == {signal.SIG_IGN}


def test_a_thread_can_wait_for_the_end() -> None:
    found = []
    endings = Endings()
    thread = threading.Thread(target=lambda: found.append(endings.wait(LIMIT)))
    thread.start()
    endings.set()
    thread.join()
    assert found == [True]


def test_without_a_signal_the_handlers_are_those_of_before() -> None:
    signal.signal(signal.SIGHUP, signal.SIG_IGN)  # as under nohup
    handlers = {each: signal.getsignal(each) for each in ENDINGS}
    with Endings():
        assert signal.getsignal(signal.SIGTERM) is not handlers[signal.SIGTERM]
        assert signal.getsignal(signal.SIGHUP) is signal.SIG_IGN
    assert {each: signal.getsignal(each) for each in ENDINGS} == handlers


def test_an_interrupt_is_an_exception_only_where_that_is_wanted() -> None:
    with interrupts_raised():
        assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
    end_at_interrupt()
    assert signal.getsignal(signal.SIGINT) is signal.SIG_DFL
    with pytest.raises(KeyboardInterrupt), interrupts_raised():
        signal.raise_signal(signal.SIGINT)
    assert signal.getsignal(signal.SIGINT) is signal.SIG_DFL


def test_an_interrupt_that_was_ignored_stays_ignored() -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # as in the background of a script
    end_at_interrupt()
    with interrupts_raised():
        assert signal.getsignal(signal.SIGINT) is signal.SIG_IGN
    assert signal.getsignal(signal.SIGINT) is signal.SIG_IGN
