"""The blueprint of all nouns of inventory."""

from __future__ import annotations

from automart.web import Blueprint

blp = Blueprint("inventory", __name__, url_prefix="/v1", description="Dealers, cars, bookings")
