"""What `automart up` does to a database before anything is served from it."""

from __future__ import annotations

from flask import Flask

from automart.accounts.service import FIRST_ADMIN_EMAIL, ensure_first_admin
from automart.catalogue.seed import add_samples
from automart.cli.application import close, migrate
from automart.cli.console import Screen
from automart.core.db import transaction
from automart.customers.seed import add_sample_customer
from automart.inventory.seed import add_sample_dealer
from automart.production.seed import add_sample_production


def prepare(app: Flask, screen: Screen) -> None:
    """Bring the database to the newest schema, and give an empty one something to begin with."""
    try:
        with app.app_context():
            migrate()
            _add_samples(screen)
            _add_first_admin(screen)
    finally:
        close(app)


def _add_samples(screen: Screen) -> None:
    with transaction():
        is_new = add_samples()
        if is_new:
            add_sample_customer()
            add_sample_dealer()
            add_sample_production()
    if is_new:
        screen.say("The database is new: it begins with eleven makes and some samples.")


def _add_first_admin(screen: Screen) -> None:
    password = ensure_first_admin()
    if password is not None:
        screen.say(
            "There is an administrator now. The password is shown this once:\n"
            f"  E-mail    {FIRST_ADMIN_EMAIL}\n  Password  {password}",
            style="bold",
        )
