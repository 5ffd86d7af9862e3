"""Callers of each role in a small world, who log in again whenever their login has ended."""

from __future__ import annotations

import io
from collections.abc import Callable
from typing import Any

from flask import Flask

from automart.accounts.models import Client, User
from automart.catalogue.seed import add_samples
from automart.core.db import db, transaction
from automart.customers.seed import add_sample_customer
from automart.inventory.seed import add_sample_dealer
from automart.oauth import authentication
from automart.partners.models import Manufacturer, RegionalOffice
from automart.production.seed import add_sample_production
from tests.support import people, purchases

ROLES = ("admin", "user", "nobody", "office", "manufacturer")
TOKEN = "the caller's current token"


def make_world() -> dict[str, Callable[[], User | Client]]:
    """Store the samples, and purchases in all states. Return what makes a caller of each role."""
    with transaction():
        add_samples()
        add_sample_customer()
        add_sample_dealer()
        add_sample_production()
    office = purchases.make_office(webhook_url="http://127.0.0.1:9/webhook")
    manufacturer = purchases.make_manufacturer(purchases.HONDA)
    for state in purchases.PATHS:
        purchases.make_purchase(office, state)
    office_id, manufacturer_id = office.id, manufacturer.id
    return {
        "admin": lambda: people.make_user(is_admin=True),
        "user": people.make_user,
        "office": lambda: purchases.client_of(db.session.get_one(RegionalOffice, office_id)),
        "manufacturer": lambda: purchases.client_of(
            db.session.get_one(Manufacturer, manufacturer_id)
        ),
    }


class Caller:
    """A WSGI application that replaces `TOKEN` by a token of a caller in this role.

    Requests may end the caller's login, or delete or degrade the caller. They are sent once more
    then, by a new caller.
    """

    def __init__(self, app: Flask, make: Callable[[], User | Client], *, is_admin: bool) -> None:
        self._app, self._make, self._is_admin = app, make, is_admin
        self._token = ""
        self.logins = 0

    def __call__(self, environ: dict[str, Any], start_response: Any) -> Any:
        if environ.get("HTTP_AUTHORIZATION") != f"Bearer {TOKEN}":
            return self._app(environ, start_response)
        body = environ["wsgi.input"].read()
        if not self._is_valid():
            self._renew()
        environ["HTTP_AUTHORIZATION"] = f"Bearer {self._token}"
        environ["wsgi.input"] = io.BytesIO(body)
        return self._app(environ, start_response)

    def _renew(self) -> None:
        with self._app.app_context():
            self._token = people.token_of(self._app, self._make())
            self.logins += 1

    def _is_valid(self) -> bool:
        headers = {"Authorization": f"Bearer {self._token}"}
        with self._app.test_request_context(headers=headers):
            try:
                caller = authentication.authenticate()
            except Exception:
                return False
            return caller.is_admin or not self._is_admin
