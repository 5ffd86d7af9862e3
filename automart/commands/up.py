"""`automart up`: all of Automart on this machine, under one Ctrl-C."""

from __future__ import annotations

import errno
import fcntl
import os
import signal
import socket
import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Annotated, NamedTuple

import typer

from automart import create_app
from automart.commands.embedded_redis import embedded_redis
from automart.commands.errors import CommandError
from automart.commands.preparation import prepare
from automart.commands.presenting import Presenter
from automart.commands.processes import Processes
from automart.commands.screen import Screen
from automart.config import Settings
from jobs.nhtsa import NhtsaClient, NhtsaError

HOST = "127.0.0.1"
EVERYWHERE = "0.0.0.0"  # noqa: S104 - nothing listens there unless it is asked to
ROOT = Path(__file__).parent.parent.parent
ENDINGS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)

# Asked for to see whether NHTSA can be reached. A cold answer takes eight seconds.
PROBED_MAKE = 474
PROBE_SECONDS = 8.0


class Address(NamedTuple):
    """Where the API listens."""

    host: str
    port: int

    @property
    def url(self) -> str:
        """How this machine's own programs reach it."""
        return f"http://{HOST if self.host == EVERYWHERE else self.host}:{self.port}"


def up(
    port: Annotated[
        int, typer.Option(min=1, max=65535, envvar="PORT", help="Where the API listens.")
    ] = 8000,
    host: Annotated[
        str,
        typer.Option(help=f"Whom it listens to: this machine only, or all with {EVERYWHERE}."),
    ] = HOST,
    sync: Annotated[
        bool,
        typer.Option(
            "--sync",
            help="Then sync the catalogue before your eyes; against the sandbox, if NHTSA "
            "cannot be reached.",
        ),
    ] = False,
) -> None:
    """Start Automart here: database, Redis, web and worker. Ctrl-C stops everything.

    The data is kept in the folder `instance`; the next start goes on with it. A Redis is brought
    along unless REDIS_URL names one.
    """
    settings = Settings.from_environment(log_format="console")
    address = Address(host, port)
    if not settings.public_url and host != EVERYWHERE:
        settings = replace(settings, public_url=address.url)
    screen = Screen()
    with _until_told_to_end(screen):
        ended = _run(settings, screen, address, sync=sync)
        raise CommandError(f"The {ended} has ended by itself. Its last lines say why.")


def _run(settings: Settings, screen: Screen, address: Address, *, sync: bool) -> str:
    with ExitStack() as stack:
        stack.enter_context(_alone(settings.instance))
        _check(address)
        if settings.wants_embedded_redis:
            stack.enter_context(embedded_redis(settings))
            screen.say(f"Redis listens at {settings.redis_socket}")
        app = create_app(settings)
        prepare(app, screen)
        stop = threading.Event()
        presenter = Presenter(app, screen, address.url, stop, sync=sync)
        stack.callback(presenter.join)
        processes = stack.enter_context(Processes(screen.tell))
        stack.callback(_announce_end, screen, stop)
        _start(processes, settings, screen, address, sync=sync)
        presenter.start()
        return processes.wait()


def _announce_end(screen: Screen, stop: threading.Event) -> None:
    stop.set()
    screen.say("Stopping …")


def _start(
    processes: Processes, settings: Settings, screen: Screen, address: Address, *, sync: bool
) -> None:
    env = os.environ | {
        "LOG_FORMAT": settings.log_format,
        "PUBLIC_URL": settings.public_url or "",
        # `wsgi` is no part of the package.
        "PYTHONPATH": os.pathsep.join(filter(None, [str(ROOT), os.environ.get("PYTHONPATH")])),
    }
    gunicorn = ["-m", "gunicorn", "--config", str(ROOT / "gunicorn.conf.py")]
    processes.start("web", [*gunicorn, "--bind", "{}:{}".format(*address), "wsgi:app"], env)
    # The web never asks NHTSA, and starts meanwhile.
    if sync and not _nhtsa_answers(settings, screen):
        sandbox_port = _free_port()
        env["NHTSA_URL"] = f"http://{HOST}:{sandbox_port}/api"
        processes.start("sandbox", ["-m", "sandbox", "vpic", "--port", str(sandbox_port)], env)
    processes.start("worker", [str(ROOT / "worker.py")], env)


def _nhtsa_answers(settings: Settings, screen: Screen) -> bool:
    screen.say(f"Asking {settings.nhtsa_url} whether it is there …")
    client = NhtsaClient(settings.nhtsa_url, rate=0, connections=1, give_up_after=PROBE_SECONDS)
    try:
        with client:
            client.models(PROBED_MAKE)
    except NhtsaError as error:
        screen.say(f"NHTSA cannot be reached: {error}", style="bold yellow")
        screen.say(
            "The sync runs against the sandbox, which plays NHTSA with data of its own.",
            style="bold yellow",
        )
        return False
    return True


@contextmanager
def _until_told_to_end(screen: Screen) -> Iterator[None]:
    """Ends quietly when Ctrl-C or SIGTERM comes, or when the terminal is closed."""

    def end(*_: object) -> None:
        # What is being ended is not interrupted again.
        for number in ENDINGS:
            signal.signal(number, signal.SIG_IGN)
        raise KeyboardInterrupt

    before = {number: signal.signal(number, end) for number in ENDINGS}
    try:
        yield
    except KeyboardInterrupt:
        screen.say("Stopped. The data is kept; the next start goes on with it.")
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


@contextmanager
def _alone(instance: Path) -> Iterator[None]:
    """Hold the folder. Raises `CommandError` if another `automart up` does."""
    instance.mkdir(parents=True, exist_ok=True)
    with (instance / "up.lock").open("a+") as file:
        try:
            # Not inherited by children, and gone with this process, however it ends.
            fcntl.lockf(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            if error.errno not in (errno.EACCES, errno.EAGAIN):
                raise
            file.seek(0)
            raise CommandError(
                f"Automart runs in this folder already, as process {file.read()}."
            ) from None
        file.truncate(0)
        file.write(str(os.getpid()))
        file.flush()
        yield


def _check(address: Address) -> None:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(address)
        except OSError as error:
            raise CommandError(
                f"Cannot listen on port {address.port}: {error.strerror}. "
                "Name another one: automart up --port NUMBER"
            ) from None


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind((HOST, 0))
        return int(probe.getsockname()[1])
