"""The endpoints of customers and their photos."""

from __future__ import annotations

from automart.customers.views import imports
from automart.customers.views.customers import blp
from automart.customers.views.photos import photo_blp

__all__ = ["blp", "imports", "photo_blp"]
