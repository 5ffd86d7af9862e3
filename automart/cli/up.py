"""`automart up`: runs all of Automart on this machine until Ctrl-C."""

from __future__ import annotations

import os
import socket
import threading
import time
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from typing import Annotated, Any

import typer

from automart import create_app
from automart.cli.bootstrap import prepare
from automart.cli.child_processes import Processes
from automart.cli.console import Screen
from automart.cli.embedded_redis import EmbeddedRedis
from automart.cli.folder import locked
from automart.cli.listening import EVERYWHERE, HOST, Address, free_port
from automart.cli.nhtsa_probe import nhtsa_failure
from automart.cli.startup import Presenter
from automart.core.config import Settings
from automart.core.interrupts import Endings

ROOT = Path(__file__).parent.parent.parent
SANDBOX_PORT = 8100
CHECK_INTERVAL = 0.1

# A response that NHTSA has not cached takes eight seconds.
PROBE_SECONDS = 8.0


def up(
    port: Annotated[
        int, typer.Option(min=1, max=65535, envvar="PORT", help="Port of the API.")
    ] = 8000,
    host: Annotated[
        str,
        typer.Option(
            help=f"Address to listen on. {EVERYWHERE} accepts connections from other machines."
        ),
    ] = HOST,
    sync: Annotated[
        bool,
        typer.Option(
            "--sync",
            help="Sync the catalogue and show the result. Uses the sandbox if NHTSA cannot be "
            "reached.",
        ),
    ] = False,
) -> None:
    """Start Automart here: database, Redis, web and worker. Ctrl-C stops everything.

    Data is kept in the folder `instance`, and the next start continues with it. A Redis is started
    unless REDIS_URL is set. Processes that end by themselves are restarted.
    """
    address = Address(host, port)
    own_url: dict[str, Any] = {} if address.is_everywhere else {"public_url": address.url}
    settings = Settings.from_environment(log_format="console", **own_url)
    screen = Screen()
    with Endings() as stop:
        _run(settings, screen, address, stop, sync=sync)
        screen.message("Stopped. The data is kept, and the next start continues with it.")


def _run(
    settings: Settings, screen: Screen, address: Address, stop: Endings, *, sync: bool
) -> None:
    """Return when everything is stopped. Raise `CommandError` if a process keeps ending."""
    with ExitStack() as stack:
        mark_healthy = stack.enter_context(locked(settings.instance))
        listener = stack.enter_context(address.listen())
        redis = None
        if settings.wants_embedded_redis:
            redis = stack.enter_context(EmbeddedRedis(settings, screen.process_line))
            screen.message(f"Redis listens on {redis.socket}")
        app = create_app(settings)
        prepare(app, screen)
        if stop.is_set():
            return
        presenter = Presenter(app, screen, address.url, sync=sync)
        stack.callback(presenter.join)
        processes = stack.enter_context(Processes(screen.process_line))
        stack.callback(_announce_end, screen, presenter)
        _start(processes, settings, screen, listener, stop, sync=sync)
        presenter.start()
        while not stop.wait(CHECK_INTERVAL):
            processes.supervise()
            if redis is not None:
                redis.supervise()
            if processes.all_running and (redis is None or redis.is_healthy):
                mark_healthy()


def _announce_end(screen: Screen, presenter: Presenter) -> None:
    presenter.stop.set()
    screen.message("Stopping …")


def _start(
    processes: Processes,
    settings: Settings,
    screen: Screen,
    listener: socket.socket,
    stop: Endings,
    *,
    sync: bool,
) -> None:
    env = os.environ | {
        "LOG_FORMAT": settings.log_format,
        "PUBLIC_URL": settings.public_url or "",
        # `wsgi` is not part of the package.
        "PYTHONPATH": os.pathsep.join(filter(None, [str(ROOT), os.environ.get("PYTHONPATH")])),
    }
    gunicorn = ["-m", "gunicorn", "--config", str(ROOT / "gunicorn.conf.py")]
    bind = f"fd://{listener.fileno()}"
    processes.start("web", [*gunicorn, "--bind", bind, "wsgi:app"], env, [listener.fileno()])
    # The web never calls NHTSA, so it can start during the probe.
    if sync and not _nhtsa_responds(settings, screen, stop):
        port = free_port(SANDBOX_PORT)
        url = f"http://{HOST}:{port}"
        screen.message(f"The sandbox listens on {url}")
        env["NHTSA_URL"] = f"{url}/api"
        processes.start("sandbox", ["-m", "sandbox", "vpic", "--port", str(port)], env)
    if not stop.is_set():
        processes.start("worker", [str(ROOT / "worker.py")], env)


def _nhtsa_responds(settings: Settings, screen: Screen, stop: Endings) -> bool:
    """Return whether NHTSA responds. False if `stop` is set first."""
    screen.message(f"Connecting to {settings.nhtsa_url} …")
    failure = _probe(settings.nhtsa_url, stop)
    if failure and not stop.is_set():
        screen.message(f"NHTSA cannot be reached: {failure}", style="bold yellow")
        screen.message(
            "The sync uses the sandbox, a local stand-in for NHTSA with sample data.",
            style="bold yellow",
        )
    return failure is None


def _probe(url: str, stop: Endings) -> str | None:
    """Return why NHTSA cannot be reached, None if it responds. Takes at most `PROBE_SECONDS`.

    The request runs in a thread, because resolving a host name without a network has no timeout.
    """
    found: list[str | None] = []
    request = partial(nhtsa_failure, url, give_up_after=PROBE_SECONDS)
    probing = threading.Thread(target=lambda: found.append(request()), daemon=True)
    probing.start()
    deadline = time.monotonic() + PROBE_SECONDS
    while probing.is_alive() and time.monotonic() < deadline and not stop.wait(CHECK_INTERVAL):
        pass
    return found[0] if found else f"No response within {PROBE_SECONDS:g} seconds."
