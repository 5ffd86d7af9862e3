"""Command line of the sandbox: `python -m sandbox --help`."""

import signal

# Before the other imports: Ctrl-C during them has nothing to clean up.
if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
    signal.signal(signal.SIGINT, signal.SIG_DFL)

from collections.abc import Callable
from pathlib import Path
from typing import Annotated

import typer

from sandbox.catalogue import Catalogue
from sandbox.control import PREFIX
from sandbox.faults import Fault
from sandbox.office import Offices
from sandbox.vpic import Vpic

app = typer.Typer(no_args_is_help=True, add_completion=False)


@app.callback()
def sandbox() -> None:
    """Run stand-ins for NHTSA and for regional offices, for demos, load tests and evaluation."""


@app.command()
def vpic(
    port: Annotated[int, typer.Option(min=0, max=65535, help="0 takes any free port.")] = 8001,
    host: Annotated[str, typer.Option(help="Address to listen on.")] = "127.0.0.1",
    data: Annotated[
        Path | None,
        typer.Option(
            exists=True,
            dir_okay=False,
            help="CSV of makes and models: make_id,make_name,model_id,model_name.",
        ),
    ] = None,
    all_makes: Annotated[
        Path | None,
        typer.Option(
            exists=True,
            dir_okay=False,
            help="JSON of a recorded GetAllMakes answer; models are made up.",
        ),
    ] = None,
    latency: Annotated[
        float, typer.Option(min=0, max=3600, help="Seconds before each answer.")
    ] = 0.0,
) -> None:
    """Serve a fake of NHTSA's vPIC API until Ctrl-C. It can be ordered to misbehave.

    Without --data or --all-makes it serves eleven well-known makes.

    Orders are sent over HTTP (see sandbox/vpic_control.py for all of them):

    curl -d '{"fault": "forbidden", "make_id": 448}' http://127.0.0.1:8001/_sandbox/orders
    """
    server = Vpic(_catalogue(data, all_makes), port, host)
    if latency:
        server.order(Fault.LATENCY, seconds=latency)
    _run(server, lambda: f"NHTSA_URL={server.url}")


@app.command()
def offices(
    port: Annotated[int, typer.Option(min=0, max=65535, help="0 takes any free port.")] = 8002,
    host: Annotated[str, typer.Option(help="Address to listen on.")] = "127.0.0.1",
    secret: Annotated[
        list[str] | None,
        typer.Option(
            metavar="NAME=whsec_…",
            help="A secret that verifies an office's webhooks. Can be repeated.",
        ),
    ] = None,
) -> None:
    """Serve fake offices that receive, verify and show webhooks, until Ctrl-C.

    Post webhooks to /offices/NAME/webhooks, with any name. The start page shows in a browser what
    was received. Automart must run with WEBHOOK_ALLOW_PRIVATE=1 to send to this machine.

    Offices can be ordered to misbehave (see sandbox/office_control.py for all orders):

    curl -d '{"fault": "status", "status": 410}' http://127.0.0.1:8002/_sandbox/orders
    """
    server = Offices(port, host)
    try:
        for office, secrets in _by_office(secret or []).items():
            server.trust(office, *secrets)
    except ValueError as error:
        raise typer.BadParameter(str(error), param_hint="--secret") from None
    _run(server, lambda: server.url("NAME"))


def _by_office(pairs: list[str]) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    for pair in pairs:
        office, separator, secret = pair.partition("=")
        if not separator:
            raise ValueError("must look like NAME=whsec_…")
        found.setdefault(office, []).append(secret)
    return found


def _catalogue(data: Path | None, all_makes: Path | None) -> Catalogue:
    if data and all_makes:
        raise typer.BadParameter("--data and --all-makes exclude each other")
    try:
        if data:
            return Catalogue.from_csv(data)
        return Catalogue.from_all_makes(all_makes) if all_makes else Catalogue.sample()
    except (ValueError, LookupError, TypeError) as error:
        raise typer.BadParameter(f"{data or all_makes}: {error}") from None


def _run(server: Vpic | Offices, first_line: Callable[[], str]) -> None:
    # Blocked before the server's thread starts and inherits the mask, so that only `sigwait` in
    # this thread receives the signals. Signals that were ignored at the start, as in the background
    # of a script, stay ignored.
    signals = {
        number
        for number in (signal.SIGINT, signal.SIGTERM)
        if signal.getsignal(number) is not signal.SIG_IGN
    }
    signal.pthread_sigmask(signal.SIG_BLOCK, signals)
    try:
        server.start()
    except OSError as error:
        typer.echo(f"Cannot listen: {error.strerror}", err=True)
        raise typer.Exit(1) from None
    typer.echo(first_line())
    typer.echo(f"Control interface: {server.origin}{PREFIX}", err=True)
    signal.sigwait(signals)
    server.stop()


if __name__ == "__main__":
    app(prog_name="python -m sandbox")
