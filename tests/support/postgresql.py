"""The PostgreSQL of the tests: the one in `TEST_DATABASE_URL`, or one that is started here."""

from __future__ import annotations

import getpass
import os
import pwd
import shutil
import signal
import subprocess
import tempfile
import uuid
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import psycopg
from sqlalchemy.engine import URL, make_url

from tests.support.limits import LIMIT
from tests.support.ports import free_port
from tests.support.processes import until

OLDEST = 14
PLACES = ("/usr/lib/postgresql/*/bin", "/usr/pgsql-*/bin", "/opt/homebrew/opt/postgresql*/bin")
# The data is worth nothing, so nothing waits for the disk.
CAREFREE = ("fsync=off", "full_page_writes=off")
MANY_CONNECTIONS = "max_connections=200"


class Unavailable(Exception):
    """PostgreSQL is not available. The message gives the reason."""


@contextmanager
def server(*, carefree: bool = True) -> Iterator[URL]:
    """Yield the URL of a server on which databases can be created. Raise `Unavailable`.

    A server that is started here does not wait for the disk if `carefree`.
    """
    named = os.environ.get("TEST_DATABASE_URL")
    if named:
        yield make_url(named).set(drivername="postgresql+psycopg")
        return
    with _started(programs(), CAREFREE if carefree else ()) as url:
        yield url


@contextmanager
def connected(url: URL) -> Iterator[psycopg.Connection]:
    plain = url.set(drivername="postgresql").render_as_string(hide_password=False)
    with psycopg.connect(plain, autocommit=True) as connection:
        yield connection


def create_database(server: URL, *, template: str = "template1") -> URL:
    name = f"automart_test_{uuid.uuid4().hex[:12]}"
    with connected(server) as connection:
        connection.execute(f"CREATE DATABASE {name} TEMPLATE {template}")
    return server.set(database=name)


def drop_database(server: URL, database: URL) -> None:
    with connected(server) as connection:
        connection.execute(f"DROP DATABASE IF EXISTS {database.database} WITH (FORCE)")


def programs() -> Path:
    """Return the folder of the newest server programs on this machine."""
    found = [path for pattern in PLACES for path in Path("/").glob(pattern.removeprefix("/"))]
    on_path = shutil.which("initdb")
    if on_path:
        found.append(Path(on_path).resolve().parent)
    versions = {_version(folder): folder for folder in found if (folder / "postgres").exists()}
    if not versions or max(versions) < OLDEST:
        raise Unavailable(f"no server programs of PostgreSQL {OLDEST} or newer on this machine")
    return versions[max(versions)]


def _version(folder: Path) -> int:
    shown = subprocess.run([folder / "postgres", "--version"], capture_output=True, text=True)
    return int(shown.stdout.split()[2].split(".")[0])


def account_to_run_as() -> str | None:
    """Return the user to run as: PostgreSQL refuses to run as root."""
    if os.geteuid() != 0:
        return None
    for name in ("postgres", "nobody"):
        try:
            return pwd.getpwnam(name).pw_name
        except KeyError:
            continue
    raise Unavailable("PostgreSQL does not run as root, and there is no account to run it as")


@contextmanager
def _started(programs: Path, options: Sequence[str]) -> Iterator[URL]:
    account = account_to_run_as()
    folder = Path(tempfile.mkdtemp(prefix="automart-pg-"))
    if account:
        shutil.chown(folder, account)
    user = account or getpass.getuser()
    try:
        _run(
            [
                programs / "initdb",
                "-D",
                folder / "data",
                "-U",
                user,
                "-A",
                "trust",
                "-E",
                "UTF8",
                "--no-sync",
            ],
            user=account,
        )
        port = free_port()
        command = [
            programs / "postgres",
            "-D",
            folder / "data",
            "-p",
            str(port),
            "-k",
            folder,
            "-h",
            "127.0.0.1",
        ]
        for setting in (*options, MANY_CONNECTIONS):
            command += ["-c", setting]
        with (folder / "log").open("wb") as log:
            process = subprocess.Popen(command, user=account, stdout=log, stderr=log, cwd=folder)
        url = URL.create(
            "postgresql+psycopg", user, host="127.0.0.1", port=port, database="postgres"
        )
        try:
            _wait_for(url.set(host=None, query={"host": str(folder)}), process, folder / "log")
            yield url
        finally:
            process.send_signal(signal.SIGINT)  # the fast shutdown, which waits for no client
            process.wait(LIMIT)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _run(command: list[str | Path], *, user: str | None) -> None:
    done = subprocess.run(command, user=user, capture_output=True, text=True, cwd="/")
    if done.returncode:
        raise Unavailable(f"initdb failed: {done.stderr.strip()}")


def _wait_for(url: URL, process: subprocess.Popen[bytes], log: Path) -> None:
    """Wait until the server responds at its own socket, where nobody else does."""

    def responds() -> bool:
        try:
            with connected(url):
                return True
        except psycopg.OperationalError:
            return False

    until(lambda: process.poll() is not None or responds())
    # Not `Unavailable`: it is installed, and its tests must not be skipped.
    assert process.poll() is None, f"PostgreSQL did not start: {log.read_text()[-500:]}"
