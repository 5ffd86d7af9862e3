"""The command line. A command's module is imported when the command is called, and not before."""

from __future__ import annotations

from importlib import import_module
from importlib.metadata import version
from typing import Annotated, Any, Final

import typer

MARKUP: Final = "markdown"

COMMANDS = {
    "up": ("up:up", "Start Automart here: database, Redis, web and worker."),
    "sync": ("sync:sync", "Bring the models of all makes, or of some, in step with NHTSA."),
    "openapi": ("openapi:openapi", "Print the OpenAPI document of this release."),
    "doctor": (
        "doctor:doctor",
        "Check all that Automart needs, and say what to do where it is not well.",
    ),
    "makes": ("makes:app", "Which makes the catalogue covers."),
    "users": ("accounts:users_app", "The people who may use Automart."),
    "clients": ("accounts:clients_app", "The machines and applications."),
    "keys": ("accounts:keys_app", "The keys that sign access tokens."),
    "customers": ("customers:customers_app", "Customers, as CSV in and out."),
    "cars": ("cars:cars_app", "Cars, as CSV in."),
    "webhooks": ("webhooks:webhooks_app", "Webhooks on their way to the offices."),
}
"""Where in `automart.cli` each command is, and what `automart --help` says about it."""


class Commands(typer.core.TyperGroup):
    """Loads a command when it is called, and reports what goes wrong in it without a traceback."""

    def resolve_command(self, ctx: Any, args: list[str]) -> tuple[str | None, Any, list[str]]:
        name, command, rest = super().resolve_command(ctx, args)
        return name, load(name) if name else command, rest

    def invoke(self, ctx: Any) -> Any:
        try:
            return super().invoke(ctx)
        except Exception as error:
            # Not at the top: it imports the libraries whose errors it explains.
            from automart.cli.errors import TOLD, explain, status_of  # noqa: PLC0415

            if not isinstance(error, TOLD):
                raise
            typer.echo(f"Error: {explain(error)}", err=True)
            raise typer.Exit(status_of(error)) from None


def load(name: str) -> Any:
    """Import the command `name`, or the group of commands of that name."""
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
    """The back office of a car business.

    Settings come from the environment and from `.env` in this folder; README.md lists them.
    """


def _listed() -> None:
    """Stand for a command in `automart --help`."""


for _name, (_, _help) in COMMANDS.items():
    app.command(_name, help=_help)(_listed)
