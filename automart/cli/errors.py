"""Error messages and exit statuses of commands."""

from __future__ import annotations

from redis import RedisError
from sqlalchemy.exc import DBAPIError, IntegrityError

from automart.catalogue.nhtsa import NhtsaError
from automart.core.config import SettingsError
from automart.core.errors import DomainError, Invalid
from automart.core.integrity_errors import explain_violation

FAILED = 1
USAGE = 2
IN_PART = 3


class CommandError(Exception):
    """A command cannot do what was requested. The message is for the user."""


REPORTED = (CommandError, SettingsError, DomainError, NhtsaError, DBAPIError, RedisError, OSError)
"""The errors that `explain` knows. All others are bugs and keep their traceback."""


def exit_status(error: Exception) -> int:
    """Return the exit status for one of the `REPORTED` errors."""
    return USAGE if isinstance(error, Invalid) else FAILED


def explain(error: Exception) -> str:
    """Return one sentence that explains one of the `REPORTED` errors."""
    if isinstance(error, DomainError):
        details = [each["detail"] for each in error.members.get("errors", ())]
        return " ".join(details) or error.detail
    if isinstance(error, IntegrityError):
        violation = explain_violation(error)
        return violation.detail if violation else "It conflicts with stored data."
    if isinstance(error, DBAPIError):
        return f"The database cannot be used: {_first_line(error.orig)}"
    if isinstance(error, RedisError):
        return f"Redis cannot be used: {_first_line(error)}"
    if isinstance(error, OSError) and error.strerror and error.filename:
        return f"{error.filename}: {error.strerror}."
    return str(error)


def _first_line(error: BaseException | None) -> str:
    return str(error).strip().partition("\n")[0]
