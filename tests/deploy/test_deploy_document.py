"""`docs/deploy.md` and the backup of PostgreSQL: their commands lead to a synced catalogue, and to
the same one after a restore."""

from __future__ import annotations

import configparser
import getpass
import os
import shlex
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest
from sqlalchemy.engine import URL

from automart.background.kinds import Queue
from jobs.supervisor import PROCESSES
from sandbox import Vpic
from tests.support import documents, postgresql
from tests.support.documents import Step
from tests.support.ports import free_port
from tests.support.programs import ROOT, clean_environment

pytestmark = pytest.mark.processes

DEPLOY = ROOT / "docs" / "deploy.md"
BACKUP = ROOT / "docs" / "backup.md"
# Those that serve no queue: the supervisor and housekeeping.
OTHERS = 2
OWNER = "postgresql://automart:a-long-password@db.internal"


def test_the_document_names_the_number_of_processes_of_a_worker() -> None:
    text = DEPLOY.read_text(encoding="utf-8")
    count = OTHERS + sum(PROCESSES.get(queue, 1) for queue in Queue)
    assert f"{PROCESSES[Queue.WEBHOOKS]} webhooks at a time" in text
    assert f"{count} processes" in text


@pytest.fixture
def programs(monkeypatch: pytest.MonkeyPatch) -> None:
    """Use client programs of PostgreSQL that are as new as the server."""
    try:
        folder = postgresql.programs()
    except postgresql.Unavailable as reason:
        pytest.skip(str(reason))
    monkeypatch.setenv("PATH", f"{folder}{os.pathsep}{os.environ['PATH']}")
    missing = [name for name in ("curl", "openssl", "pg_dump") if shutil.which(name) is None]
    if missing:
        pytest.skip(f"Not installed: {', '.join(missing)}.")


@pytest.fixture
def release(tmp_path: Path) -> Path:
    """`current` as the commands for root create it."""
    current = tmp_path / "srv" / "current"
    current.mkdir(parents=True)
    for name in ("wsgi.py", "worker.py", "gunicorn.conf.py", "migrations", "deploy"):
        (current / name).symlink_to(ROOT / name)
    (current / ".venv").symlink_to(sys.prefix)
    data = tmp_path / "srv" / "data"
    data.mkdir()
    (current / "instance").symlink_to(data)
    return current


@pytest.mark.seconds(12)
def test_the_commands_lead_to_a_catalogue_that_is_backed_up_and_restored(
    programs: None,
    release: Path,
    tmp_path: Path,
    postgresql_server: URL,
    redis_url: str,
    vpic: Vpic,
) -> None:
    database = postgresql.create_database(postgresql_server)
    restored = postgresql.create_database(postgresql_server)
    port = free_port()
    stand_ins = {
        f"{OWNER}/automart": plain(database),
        f"{OWNER}/restored": plain(restored),
        "redis://:another-long-password@redis.internal:6379/0": redis_url,
        "/srv/automart": str(tmp_path / "srv"),
        "/etc/automart.env": str(tmp_path / "automart.env"),
        ":8000": f":{port}",
    }
    env = clean_environment() | {"NHTSA_URL": vpic.url, "WEB_CONCURRENCY": "1"}
    steps = documents.steps(DEPLOY)
    started_before = next(i for i, step in enumerate(steps) if "/health/ready" in step.command)
    try:
        with documents.shell(tmp_path, tmp_path, env) as bash:
            documents.run(steps[:started_before], bash, stand_ins)
            settings = tmp_path / "automart.env"
            assert_as_systemd_reads_it(settings)
            with running(release, env | read(settings), port):
                documents.run(steps[started_before:], bash, stand_ins)
                back_up_and_restore(bash, stand_ins, tmp_path / "srv" / "data" / "photos")
        with postgresql.connected(restored) as connection:
            makes = connection.execute("SELECT id FROM vehicle_make ORDER BY id").fetchall()
            users = connection.execute("SELECT email FROM user_account").fetchall()
            (models,) = connection.execute("SELECT count(*) FROM vehicle_model").fetchone() or ()
        assert makes == [(448,), (474,), (515,)]
        assert users == [("you@example.com",)]
        assert models > 3
    finally:
        postgresql.drop_database(postgresql_server, database)
        postgresql.drop_database(postgresql_server, restored)


def back_up_and_restore(bash: documents.Shell, stand_ins: dict[str, str], photos: Path) -> None:
    steps = documents.steps(BACKUP, "PostgreSQL")
    first = next(i for i, step in enumerate(steps) if step.command.startswith("RESTORED="))
    for number, night in enumerate(("2031-01-01", "2031-01-02"), 1):
        documents.run(on(night, steps[:first]), bash, stand_ins)
        photos.mkdir(parents=True, exist_ok=True)
        (photos / f"{number}.webp").write_bytes(b"a photo")
    documents.run(on("2031-01-03", steps[:first]), bash, stand_ins)
    shutil.rmtree(photos)
    documents.run(steps[first:], bash, stand_ins)
    assert {path.name for path in photos.iterdir()} >= {"1.webp", "2.webp"}


def on(night: str, steps: list[Step]) -> list[Step]:
    """The same commands, at another time."""
    return [
        Step(step.command.replace("$(date -u +%Y-%m-%dT%H-%M-%S)", night), step.output, step.place)
        for step in steps
    ]


def plain(url: URL) -> str:
    return url.set(drivername="postgresql").render_as_string(hide_password=False)


def read(settings: Path) -> dict[str, str]:
    """A file of settings as systemd reads it: to the end of the line."""
    lines = settings.read_text(encoding="utf-8").splitlines()
    return dict(line.split("=", 1) for line in lines)


def assert_as_systemd_reads_it(settings: Path) -> None:
    values = read(settings)
    assert not any(character in value for value in values.values() for character in " \t#'\"")
    assert len(values["SECRET_KEY"]) == 64


@contextmanager
def running(release: Path, env: dict[str, str], port: int) -> Iterator[None]:
    """Web and worker, as the units of systemd start them."""
    with ExitStack() as stack:
        for unit, more in (("web", ["--bind", f"127.0.0.1:{port}"]), ("worker", [])):
            command = [*started_by(f"automart-{unit}.service", release), *more]
            log = stack.enter_context((release.parent / f"{unit}.log").open("wb"))
            process = subprocess.Popen(command, cwd=release, env=env, stdout=log, stderr=log)
            stack.callback(process.wait, 60)
            stack.callback(process.terminate)
        yield


def started_by(unit: str, release: Path) -> list[str]:
    parser = configparser.RawConfigParser(strict=False, interpolation=None)
    parser.read(ROOT / "deploy" / "systemd" / unit, encoding="utf-8")
    command = parser["Service"]["ExecStart"].replace("/srv/automart/current", str(release))
    return shlex.split(command)


def test_systemd_finds_no_fault_with_the_units(release: Path, tmp_path: Path) -> None:
    if shutil.which("systemd-analyze") is None:
        pytest.skip("systemd-analyze is not installed.")
    units = tmp_path / "units"
    shutil.copytree(ROOT / "deploy" / "systemd", units)
    for unit in units.glob("*.service"):
        text = unit.read_text(encoding="utf-8").replace("/srv/automart/current", str(release))
        # The account exists only on a host where Automart is installed.
        unit.write_text(text.replace("User=automart", f"User={getpass.getuser()}"), "utf-8")
    verify = ["systemd-analyze", "verify", "--man=no", *units.iterdir()]
    verified = subprocess.run(verify, capture_output=True, text=True)
    assert (verified.returncode, verified.stdout, verified.stderr) == (0, "", "")
