"""The command `automart`."""

from __future__ import annotations

from importlib.metadata import version
from typing import Annotated

import typer

from automart.commands import makes
from automart.commands.accounts import clients_app, keys_app, users_app
from automart.commands.cars import cars_app
from automart.commands.customers import customers_app
from automart.commands.doctor import doctor
from automart.commands.errors import Commands
from automart.commands.openapi import openapi
from automart.commands.sync import sync
from automart.commands.up import up
from automart.commands.webhooks import webhooks_app

app = typer.Typer(
    cls=Commands,
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode="markdown",
    pretty_exceptions_show_locals=False,
)

app.command()(up)
app.command()(sync)
app.command()(openapi)
app.command()(doctor)

# A domain's commands are a group of their own, mounted here under its noun.
app.add_typer(makes.app, name="makes")
app.add_typer(users_app, name="users")
app.add_typer(clients_app, name="clients")
app.add_typer(keys_app, name="keys")
app.add_typer(customers_app, name="customers")
app.add_typer(cars_app, name="cars")
app.add_typer(webhooks_app, name="webhooks")


def _tell_version(asked: bool) -> None:
    if asked:
        typer.echo(version("automart"))
        raise typer.Exit


@app.callback()
def automart(
    _version: Annotated[
        bool,
        typer.Option("--version", is_eager=True, callback=_tell_version, help="Tell the version."),
    ] = False,
) -> None:
    """The back office of a car business.

    Settings come from the environment and from `.env` in this folder; README.md lists them.
    """


if __name__ == "__main__":
    app(prog_name="automart")
