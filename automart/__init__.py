"""Automart: the back office of a car business as one HTTP API."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from flask import Flask

    from automart.core.config import Settings


def create_app(settings: Settings | None = None) -> Flask:
    """Return the application. `settings` come from the environment unless they are given.

    Raises `SettingsError` that names every wrong setting.
    """
    # Not at the top: whatever imports a module of this package, such as the command line, would
    # import Flask and all domains with it.
    from automart import app  # noqa: PLC0415

    return app.create_app(settings)
