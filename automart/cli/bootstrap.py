"""Prepares the database before `automart up` starts anything."""

from __future__ import annotations

import typer
from flask import Flask

from automart.accounts.service import FIRST_ADMIN_EMAIL, ensure_first_admin
from automart.catalogue.seed import add_samples
from automart.cli.application import close, upgrade_database
from automart.cli.console import Screen
from automart.cli.errors import FAILED
from automart.core.db import transaction
from automart.customers.seed import add_sample_customer
from automart.inventory.seed import add_sample_dealer
from automart.production.seed import add_sample_production


def prepare(app: Flask, screen: Screen) -> None:
    """Upgrade the schema, and add sample data and an administrator to an empty database."""
    try:
        with app.app_context():
            upgrade_database()
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
        screen.message("The database is new. Added eleven makes and sample data.")


def _add_first_admin(screen: Screen) -> None:
    def show(password: str) -> None:
        screen.message(
            "Added an administrator. The password is not shown again:\n"
            f"  E-mail    {FIRST_ADMIN_EMAIL}\n  Password  {password}",
            style="bold",
        )
        if screen.quiet:  # nobody reads the output any more
            raise typer.Exit(FAILED)

    ensure_first_admin(show)
