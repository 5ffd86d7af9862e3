"""`automart up`: all of Automart on this machine, under one Ctrl-C."""

from __future__ import annotations

import os
import socket
import threading
import time
from contextlib import ExitStack
from pathlib import Path
from typing import Annotated, Any

import typer

from automart import create_app
from automart.catalogue.nhtsa import NhtsaClient, NhtsaError
from automart.cli.bootstrap import prepare
from automart.cli.child_processes import Processes
from automart.cli.console import Screen
from automart.cli.embedded_redis import EmbeddedRedis
from automart.cli.folder import held
from automart.cli.listening import EVERYWHERE, HOST, Address, free_port
from automart.cli.startup import Presenter
from automart.core.config import Settings
from automart.core.interrupts import Endings

ROOT = Path(__file__).parent.parent.parent
SANDBOX_PORT = 8100
LOOKED_AFTER_EVERY = 0.1

# Asked for to see whether NHTSA can be reached. A cold answer takes eight seconds.
PROBED_MAKE = 474
PROBE_SECONDS = 8.0


def up(
    port: Annotated[
        int, typer.Option(min=1, max=65535, envvar="PORT", help="Where the API listens.")
    ] = 8000,
    host: Annotated[
        str,
        typer.Option(help=f"Who can reach it: this machine only, or all with {EVERYWHERE}."),
    ] = HOST,
    sync: Annotated[
        bool,
        typer.Option(
            "--sync",
            help="Then sync the catalogue and show the result; against the sandbox, if NHTSA "
            "cannot be reached.",
        ),
    ] = False,
) -> None:
    """Start Automart here: database, Redis, web and worker. Ctrl-C stops everything.

    The data is kept in the folder `instance`; the next start goes on with it. A Redis is brought
    along unless REDIS_URL names one. A part that ends by itself is started again.
    """
    address = Address(host, port)
    own_url: dict[str, Any] = {} if address.is_everywhere else {"public_url": address.url}
    settings = Settings.from_environment(log_format="console", **own_url)
    screen = Screen()
    with Endings() as stop:
        _run(settings, screen, address, stop, sync=sync)
        screen.say("Stopped. The data is kept; the next start goes on with it.")


def _run(
    settings: Settings, screen: Screen, address: Address, stop: Endings, *, sync: bool
) -> None:
    """Return when all has been stopped. Raises `CommandError` if a part cannot be kept running."""
    with ExitStack() as stack:
        tell_well = stack.enter_context(held(settings.instance))
        listener = stack.enter_context(address.listen())
        redis = None
        if settings.wants_embedded_redis:
            redis = stack.enter_context(EmbeddedRedis(settings, screen.tell))
            screen.say(f"Redis listens at {redis.socket}")
        app = create_app(settings)
        prepare(app, screen)
        if stop.is_set():
            return
        presenter = Presenter(app, screen, address.url, sync=sync)
        stack.callback(presenter.join)
        processes = stack.enter_context(Processes(screen.tell))
        stack.callback(_announce_end, screen, presenter)
        _start(processes, settings, screen, listener, stop, sync=sync)
        presenter.start()
        while not stop.wait(LOOKED_AFTER_EVERY):
            processes.look_after()
            if redis is not None:
                redis.look_after()
            if processes.are_well and (redis is None or redis.is_well):
                tell_well()


def _announce_end(screen: Screen, presenter: Presenter) -> None:
    presenter.stop.set()
    screen.say("Stopping …")


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
        # `wsgi` is no part of the package.
        "PYTHONPATH": os.pathsep.join(filter(None, [str(ROOT), os.environ.get("PYTHONPATH")])),
    }
    gunicorn = ["-m", "gunicorn", "--config", str(ROOT / "gunicorn.conf.py")]
    bind = f"fd://{listener.fileno()}"
    processes.start("web", [*gunicorn, "--bind", bind, "wsgi:app"], env, [listener.fileno()])
    # The web never asks NHTSA, and starts meanwhile.
    if sync and not _nhtsa_answers(settings, screen, stop):
        port = free_port(SANDBOX_PORT)
        url = f"http://{HOST}:{port}"
        screen.say(f"The sandbox listens at {url}")
        env["NHTSA_URL"] = f"{url}/api"
        processes.start("sandbox", ["-m", "sandbox", "vpic", "--port", str(port)], env)
    if not stop.is_set():
        processes.start("worker", [str(ROOT / "worker.py")], env)


def _nhtsa_answers(settings: Settings, screen: Screen, stop: Endings) -> bool:
    """Ask NHTSA for a make. False also if `stop` is set meanwhile."""
    screen.say(f"Asking {settings.nhtsa_url} whether it is there …")
    why_not = _probe(settings.nhtsa_url, stop)
    if why_not and not stop.is_set():
        screen.say(f"NHTSA cannot be reached: {why_not}", style="bold yellow")
        screen.say(
            "The sync runs against the sandbox, which plays NHTSA with data of its own.",
            style="bold yellow",
        )
    return why_not is None


def _probe(url: str, stop: Endings) -> str | None:
    """Return why NHTSA cannot be asked, None if it answers. Takes `PROBE_SECONDS` at most.

    A thread asks: nothing else ends the search for a host name when there is no network.
    """
    found: list[str | None] = []
    asking = threading.Thread(target=lambda: found.append(_ask(url)), daemon=True)
    asking.start()
    deadline = time.monotonic() + PROBE_SECONDS
    while asking.is_alive() and time.monotonic() < deadline and not stop.wait(LOOKED_AFTER_EVERY):
        pass
    return found[0] if found else f"No answer within {PROBE_SECONDS:g} seconds."


def _ask(url: str) -> str | None:
    try:
        with NhtsaClient(url, rate=0, connections=1, give_up_after=PROBE_SECONDS) as client:
            client.models(PROBED_MAKE)
    except NhtsaError as error:
        return str(error)
    return None
