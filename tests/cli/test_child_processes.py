"""The programs of `automart up`, with small programs in place of web and worker."""

from __future__ import annotations

import socket

import pytest

from automart.cli import child_processes
from automart.cli.child_processes import Processes
from automart.cli.errors import CommandError
from automart.core import parent_death
from tests.cli.shown_lines import ShownLines
from tests.support.limits import LIMIT
from tests.support.processes import until

# These programs block SIGTERM: with a handler, one that arrives just before the wait would be lost.
RUNS = """
import os, signal, sys
signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGTERM])
print("runs as", os.environ["PART"], os.getsid(0) == os.getpid(), sys.stdin.read(), flush=True)
print("an error", file=sys.stderr, flush=True)
signal.sigwait([signal.SIGTERM])
print("ends")
"""
IGNORES_SIGTERM = """
import signal
signal.signal(signal.SIGTERM, signal.SIG_IGN)
print("runs", flush=True)
signal.pause()
"""
LEAVES_A_CHILD = """
import os, signal
signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGTERM])
if os.fork():
    os._exit(3)
if signal.sigtimedwait([signal.SIGTERM], 300):  # in case nobody ends it
    print("the child ends")
"""


@pytest.fixture
def shown() -> ShownLines:
    return ShownLines()


@pytest.fixture(autouse=True)
def _patient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(child_processes, "SHUTDOWN_SECONDS", LIMIT)
    monkeypatch.setattr(child_processes, "KILL_SECONDS", LIMIT)


def test_programs_run_in_sessions_of_their_own_and_end_together(shown: ShownLines) -> None:
    with Processes(shown) as processes:
        assert processes.all_running
        for part in ("web", "worker"):
            processes.start(part, ["-c", RUNS], {"PART": part})
        for part in ("web", "worker"):
            shown.wait_for(part, "an error")
        processes.supervise()
        assert processes.all_running
    assert not processes.all_running
    for part in ("web", "worker"):
        assert shown.of(part) == [f"runs as {part} True", "an error", "ends"]


def test_a_program_inherits_only_the_files_that_are_given(shown: ShownLines) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener, Processes(shown) as processes:
        number = listener.fileno()
        program = f"import os; os.fstat({number}); print('open')"
        processes.start("web", ["-c", program], {}, [number])
        shown.wait_for("web", "open")
        processes.start("worker", ["-c", program], {})
        shown.wait_for("worker", "OSError: [Errno 9] Bad file descriptor")


def test_a_program_that_keeps_ending_is_restarted_twice(
    shown: ShownLines, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(parent_death, "SHORTEST_PAUSE", 0.01)
    with Processes(shown) as processes:
        processes.start("web", ["-c", "raise SystemExit(7)"], {})
        with pytest.raises(CommandError) as error:
            until(processes.supervise)
        assert not processes.all_running
    assert str(error.value) == (
        "The web ended 3 times in a row soon after its start. See its last lines for the reason."
    )
    assert shown.of("web") == [
        "ended with status 7, restarting in 0.02 s",
        "ended with status 7, restarting in 0.04 s",
    ]


def test_the_children_of_a_program_that_ended_are_ended_too(shown: ShownLines) -> None:
    with Processes(shown) as processes:
        processes.start("web", ["-c", LEAVES_A_CHILD], {})
        until(lambda: processes.supervise() or shown.of("web"))
        assert shown.of("web") == ["the child ends", "ended with status 3, restarting in 1 s"]


def test_a_program_that_does_not_end_is_killed(
    shown: ShownLines, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(child_processes, "SHUTDOWN_SECONDS", 0)
    with Processes(shown) as processes:
        processes.start("worker", ["-c", IGNORES_SIGTERM], {})
        shown.wait_for("worker", "runs")
    assert shown.of("worker") == ["runs", "did not end in time and was killed"]
    assert not processes.all_running
