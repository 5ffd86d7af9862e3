"""The command line. The module of a command is imported only when the command is called."""

from __future__ import annotations

from importlib import import_module
from importlib.metadata import version
from typing import Annotated, Any, Final

import typer

MARKUP: Final = "markdown"

COMMANDS = {
    "up": ("up:up", "Start Automart here: database, Redis, web and worker."),
    "sync": ("sync:sync", "Update models to those of NHTSA, and show what changed."),
    "changes": (
        "changes:changes",
        "List what became of models: created, renamed, moved, deleted or adopted.",
    ),
    "vin": ("vin:vin", "Show make, model, year and more of vehicles by their VINs."),
    "openapi": ("openapi:openapi", "Print the OpenAPI document of this release."),
    "doctor": (
        "doctor:doctor",
        "Check everything that Automart depends on and suggest fixes.",
    ),
    "notify-test": (
        "notify_test:notify_test",
        "Send a trial message to each service of NOTIFY_URLS.",
    ),
    "makes": ("makes:app", "The makes of the catalogue."),
    "users": ("accounts:users_app", "Manage the users of Automart."),
    "clients": ("accounts:clients_app", "Manage service clients and applications."),
    "keys": ("accounts:keys_app", "Rotate signing keys and the encryption of secrets."),
    "customers": ("customers:customers_app", "Import and export customers as CSV."),
    "cars": ("cars:cars_app", "Import cars as CSV."),
    "webhooks": ("webhooks:webhooks_app", "List and redeliver webhook deliveries."),
}
"""The module and function of each command in `automart.cli`, and its line in `automart --help`."""


class Commands(typer.core.TyperGroup):
    """Loads a command when it is called. Reports expected errors without a traceback."""

    def resolve_command(self, ctx: Any, args: list[str]) -> tuple[str | None, Any, list[str]]:
        name, command, rest = super().resolve_command(ctx, args)
        return name, load(name) if name else command, rest

    def invoke(self, ctx: Any) -> Any:
        try:
            return super().invoke(ctx)
        except BrokenPipeError:  # nobody reads the output any more: Click ends silently
            raise
        except Exception as error:
            # Imported late, because it imports the libraries whose errors it explains.
            from automart.cli.errors import REPORTED, exit_status, explain  # noqa: PLC0415

            if not isinstance(error, REPORTED):
                raise
            typer.echo(f"Error: {explain(error)}", err=True)
            raise typer.Exit(exit_status(error)) from None


def load(name: str) -> Any:
    """Import the command, or group of commands, with this name."""
    module, _, attribute = COMMANDS[name][0].partition(":")
    found = getattr(import_module(f"automart.cli.{module}"), attribute)
    alone = typer.Typer(rich_markup_mode=MARKUP)
    if isinstance(found, typer.Typer):
        alone.add_typer(found, name=name)
    else:
        alone.command(name)(found)
    return typer.main.get_group(alone).commands[name]


app = typer.Typer(
    cls=Commands,
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode=MARKUP,
    pretty_exceptions_show_locals=False,
)


def _print_version(wanted: bool) -> None:
    if wanted:
        typer.echo(version("automart"))
        raise typer.Exit


@app.callback()
def automart(
    _version: Annotated[
        bool,
        typer.Option(
            "--version", is_eager=True, callback=_print_version, help="Print the version."
        ),
    ] = False,
) -> None:
    """REST API for the back office of a car business.

    Settings are read from the environment and from `.env` in this folder. README.md lists them.
    """


def _placeholder() -> None:
    """Represent a command in `automart --help`."""


for _name, (_, _help) in COMMANDS.items():
    app.command(_name, help=_help)(_placeholder)
