"""The endpoints of dealers, cars, calendars and bookings."""

from __future__ import annotations

from automart.inventory.views import bookings, calendars, cars, dealers, imports
from automart.inventory.views.blueprint import blp

__all__ = ["blp", "bookings", "calendars", "cars", "dealers", "imports"]
