"""Helpers for tests of webhooks."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable
from dataclasses import replace

from flask import Flask

from automart.core.db import db
from automart.partners.models import RegionalOffice
from automart.webhooks.models import WebhookEndpoint
from sandbox.office import Received

Run = Callable[[], None]


def states(received: Iterable[Received]) -> list[str]:
    """Return the new states in the events that an office received."""
    return [json.loads(one.body)["data"]["state"] for one in received]


def stored_office(office: RegionalOffice) -> RegionalOffice:
    """Return the office with its endpoint, freshly read."""
    db.session.rollback()
    return db.session.get_one(RegionalOffice, office.id, populate_existing=True)


def lose_secret_key(app: Flask, *fallbacks: str) -> None:
    """Replace SECRET_KEY, as if the old one were lost."""
    settings = app.extensions["settings"]
    app.extensions["settings"] = replace(
        settings, secret_key="another one " * 4, secret_key_fallbacks=fallbacks
    )


def endpoint_of(office: RegionalOffice) -> WebhookEndpoint:
    return db.session.query(WebhookEndpoint).filter_by(regional_office_id=office.id).one()
