"""The settings that `gunicorn.conf.py` derives from its environment."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.forks import ROOT, output_of
from tests.support.limits import LIMIT
from tests.support.programs import clean_environment

pytestmark = pytest.mark.processes

CONNECTIONS = """
import resource, runpy, sys

resource.setrlimit(resource.RLIMIT_NOFILE, (256, int(sys.argv[2])))
settings = runpy.run_path(sys.argv[1])
print(settings["worker_connections"], *resource.getrlimit(resource.RLIMIT_NOFILE))
sys.exit()
"""

WAITING = """
import runpy, socket, sys, tempfile, threading
from automart.core import turns

turns.WAITING_SECONDS = 60
settings = runpy.run_path(sys.argv[1])
one = turns.Turns(1)
large = b"x" * 10_000_000


def others_continue(use, end):
    ours, client = socket.socketpair()
    ours, has_begun = settings["Socket"](fileno=ours.detach()), threading.Event()

    def work():
        with one.taken():
            has_begun.set()
            use(ours)

    thread = threading.Thread(target=work)
    thread.start()
    has_begun.wait()
    with one.taken():
        print(turns.has_turn())
        end(client)
    thread.join()


others_continue(lambda ours: ours.recv(9), lambda client: client.sendall(b"x"))
with tempfile.TemporaryFile() as file:
    file.write(large)
    file.flush()
    sent = []
    others_continue(
        lambda ours: sent.append(ours.sendfile(file, offset=1, count=len(large) - 1)),
        lambda client: print(len(client.recv(len(large) - 1, socket.MSG_WAITALL))),
    )
print(*sent)
others_continue(lambda ours: ours.sendall(large), lambda client: client.close())
sys.exit()
"""


@pytest.mark.parametrize(("allowed", "connections"), [(400, 256), (1024, 524), (4096, 3596)])
def test_a_process_accepts_fewer_connections_than_it_may_open_files(
    allowed: int, connections: int, tmp_path: Path
) -> None:
    status, printed = output_of(
        "gunicorn",
        [str(ROOT / "gunicorn.conf.py"), str(allowed)],
        env=clean_environment(),
        folder=tmp_path,
        patch=CONNECTIONS,
    )
    assert status == 0, printed
    assert printed.split() == [str(connections), str(allowed), str(allowed)]


def test_others_have_their_turn_while_a_thread_waits_for_its_client(tmp_path: Path) -> None:
    status, printed = output_of(
        "gunicorn",
        [str(ROOT / "gunicorn.conf.py")],
        env=clean_environment(),
        folder=tmp_path,
        patch=WAITING,
    )
    assert status == 0, printed
    # What has ended with its client may print a traceback after this
    assert printed.split()[:5] == ["True", "True", "9999999", "9999999", "True"], printed


@pytest.mark.parametrize("program", [("gunicorn",), ("python", "-m", "gunicorn", "--preload")])
def test_invalid_settings_end_it_with_one_message(program: tuple[str, ...], tmp_path: Path) -> None:
    wrong = {"PORT": "http", "SECRET_KEY": "x", "RATE_LIMIT": "often"}
    if program == ("gunicorn",):
        wrong |= {"WEB_CONCURRENCY": "two"}  # gunicorn itself would fail with it
    name, *options = program
    done = subprocess.run(
        [Path(sys.executable).parent / name, *options, "wsgi:app"],
        cwd=ROOT,
        env=clean_environment() | wrong | {"DATABASE_URL": f"sqlite:///{tmp_path}/a.sqlite"},
        capture_output=True,
        text=True,
        timeout=LIMIT,
    )
    assert done.returncode == 1
    first, *lines = done.stderr.splitlines()
    assert first == "These settings are invalid:"
    assert [line.split(":")[0].strip() for line in lines] == sorted(wrong)


def test_an_empty_number_of_processes_counts_as_unset(tmp_path: Path) -> None:
    done = subprocess.run(
        [Path(sys.executable).parent / "gunicorn", "--version"],
        cwd=tmp_path,
        env=clean_environment() | {"WEB_CONCURRENCY": ""},
        capture_output=True,
        text=True,
    )
    assert (done.returncode, done.stderr) == (0, "")
