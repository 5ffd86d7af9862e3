"""Heartbeats, which a parent reads from the memory that it shares with its fork."""

import os
import signal
import tempfile
from contextlib import suppress

import pytest

from jobs.pulse import Pulse
from tests.support.processes import until


def test_a_pulse_that_has_not_begun_is_not_overdue() -> None:
    assert not Pulse().is_overdue


def test_the_parent_sees_the_heartbeat_of_its_fork() -> None:
    pulse = Pulse()
    pulse.beat(-1)
    assert pulse.is_overdue
    child = os.fork()
    if child == 0:
        pulse.beat(60)
        os._exit(0)
    os.waitpid(child, 0)
    assert not pulse.is_overdue


def test_a_reader_sees_no_half_written_heartbeat() -> None:
    pulse = Pulse()
    reader = os.getpid()
    child = os.fork()
    if child == 0:
        try:
            while os.getppid() == reader:  # it may be killed
                pulse.beat(60)
        finally:
            os._exit(1)
    try:
        assert not any(pulse.is_overdue for _ in range(1_000_000))
    finally:
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)


def test_it_beats_while_a_job_runs_and_after_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("jobs.pulse.BEAT_INTERVAL", 0.001)
    pulse = Pulse()
    for _ in range(3):
        with suppress(LookupError), pulse.kept_beating(60):
            pulse.beat(-1)
            until(lambda: not pulse.is_overdue)
            pulse.beat(-1)
            raise LookupError
        assert not pulse.is_overdue


def test_it_needs_no_writable_folder(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_args: object, **_kwargs: object) -> None:
        raise OSError(30, "Read-only file system")

    monkeypatch.setattr(tempfile, "mkstemp", refuse)
    monkeypatch.setattr(tempfile, "mkdtemp", refuse)
    pulse = Pulse()
    pulse.beat(-1)
    assert pulse.is_overdue
