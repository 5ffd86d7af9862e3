"""What goes wrong in a command is told in words, with an exit status, and without a traceback."""

from __future__ import annotations

from typing import Any

import typer
from redis import RedisError
from sqlalchemy.exc import DBAPIError, IntegrityError
from typer.core import TyperGroup

from automart.config import SettingsError
from automart.errors import DomainError, Invalid
from automart.violations import explain_violation
from jobs.nhtsa import NhtsaError

FAILED = 1
USAGE = 2


class CommandError(Exception):
    """A command cannot do what it was asked for; the message is for whoever typed it."""


TOLD = (CommandError, SettingsError, DomainError, NhtsaError, DBAPIError, RedisError, OSError)
"""The errors that `explain` can tell. All others are mistakes of ours, and keep their traceback."""


class Commands(TyperGroup):
    """A group of commands, those mounted below it included, whose errors are told."""

    def invoke(self, ctx: Any) -> Any:
        try:
            return super().invoke(ctx)
        except TOLD as error:
            typer.echo(f"Error: {explain(error)}", err=True)
            raise typer.Exit(USAGE if isinstance(error, Invalid) else FAILED) from None


def explain(error: Exception) -> str:
    """What to tell about one of the errors that are `TOLD`."""
    if isinstance(error, DomainError):
        details = [each["detail"] for each in error.members.get("errors", ())]
        return " ".join(details) or error.detail
    if isinstance(error, IntegrityError):
        violation = explain_violation(error)
        return violation.detail if violation else "It conflicts with what is stored."
    if isinstance(error, DBAPIError):
        return f"The database cannot be used: {_first_line(error.orig)}"
    if isinstance(error, RedisError):
        return f"Redis cannot be used: {_first_line(error)}"
    return str(error)


def _first_line(error: BaseException | None) -> str:
    return str(error).strip().partition("\n")[0]
