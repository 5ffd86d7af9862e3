"""How a worker supervises its processes, with small forks in place of its workers."""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import psutil
import pytest

from automart.core import parent_death
from automart.core.logging import configure_logging
from jobs import pulse
from jobs.pulse import Pulse
from jobs.supervisor import SHOW_STACKS, Child
from tests.support.limits import LIMIT
from tests.support.logs import logged
from tests.support.processes import until

Start = Callable[[Callable[[Pulse], None]], Child]


@pytest.fixture(autouse=True)
def _logging(caplog: pytest.LogCaptureFixture) -> Iterator[None]:
    configure_logging("json")
    yield
    configure_logging("console")


@pytest.fixture
def start() -> Iterator[Start]:
    """A function that starts a child with this work. It is killed at the end."""
    children = []

    def start(work: Callable[[Pulse], None]) -> Child:
        child = Child("short", work)
        children.append(child)
        child.supervise()
        return child

    yield start
    for child in children:
        if child.process is not None:
            child.process.kill()
            child.process.join()


def write_and_wait(path: Path, _pulse: Pulse) -> None:
    """Write what this process is, and wait for a signal."""
    blocked = signal.pthread_sigmask(signal.SIG_BLOCK, ()) & {signal.SIGTERM, signal.SIGINT}
    title = psutil.Process().cmdline()[0]
    new = path.with_suffix(".new")
    new.write_text(f"{os.getsid(0) == os.getpid()} {blocked} {title}")
    new.rename(path)
    threading.Event().wait()


def show_stacks_and_end(path: Path, _pulse: Pulse) -> None:
    """Wait until the stacks are requested. End when they have been written."""
    signal.pthread_sigmask(signal.SIG_BLOCK, {SHOW_STACKS})
    path.touch()
    while SHOW_STACKS not in signal.sigpending():
        time.sleep(0.01)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, {SHOW_STACKS})
    os._exit(0)


def end_at_once(_pulse: Pulse) -> None:
    os._exit(3)


def fail(_pulse: Pulse) -> None:
    raise LookupError


def ended(child: Child) -> bool:
    child.supervise()
    return child.process is None


def test_a_process_has_a_session_and_a_title_and_ends_by_a_signal(
    start: Start, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path = tmp_path / "written"
    child = start(partial(write_and_wait, path))
    until(path.exists)
    assert path.read_text() == "True set() automart worker: short"
    assert child.process is not None
    process = child.process
    child.supervise()
    assert child.process is process
    for_this_process = signal.pthread_sigmask(signal.SIG_BLOCK, ())
    assert not for_this_process & {signal.SIGTERM, signal.SIGINT}
    process.terminate()
    until(lambda: ended(child))
    assert logged(caplog, "process_ended", "process_hangs") == [
        {"event": "process_ended", "name": "short", "code": -signal.SIGTERM, "restart_in": 1.0}
    ]


@pytest.mark.parametrize(("work", "code"), [(end_at_once, 3), (fail, 1)])
def test_a_process_that_ended_is_restarted_after_longer_and_longer_pauses(
    start: Start,
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
    work: Callable[[Pulse], None],
    code: int,
) -> None:
    monkeypatch.setattr(parent_death, "SHORTEST_PAUSE", 0.01)
    child = start(work)

    def events() -> list[dict[str, object]]:
        child.supervise()
        found = logged(caplog, "process_ended")
        return found if len(found) == 2 else []

    assert until(events) == [
        {"event": "process_ended", "name": "short", "code": code, "restart_in": pause}
        for pause in (0.02, 0.04)
    ]


def test_a_process_that_hangs_is_killed_and_restarted(
    start: Start,
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("jobs.supervisor.STACKS_SECONDS", 0)
    path = tmp_path / "written"
    child = start(partial(write_and_wait, path))
    until(path.exists)
    assert child.process is not None
    pid = child.process.pid
    child.pulse.beat(-1)
    child.supervise()
    until(lambda: ended(child))
    assert logged(caplog, "process_hangs", "process_ended") == [
        {"event": "process_hangs", "name": "short", "pid": pid},
        {"event": "process_ended", "name": "short", "code": -signal.SIGKILL, "restart_in": 1.0},
    ]


def test_a_process_that_hangs_writes_its_stacks(
    start: Start,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr("jobs.supervisor.STACKS_SECONDS", LIMIT)
    path = tmp_path / "waits"
    child = start(partial(show_stacks_and_end, path))
    until(path.exists)
    child.pulse.beat(-1)
    child.supervise()
    assert "in show_stacks_and_end\n" in capfd.readouterr().err


def test_a_process_that_never_sends_a_heartbeat_is_overdue(
    start: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pulse, "MAX_SILENCE", -1)
    assert start(end_at_once).pulse.is_overdue
