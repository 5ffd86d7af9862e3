"""The endpoints of locations, sprocket types, factories and sprockets."""

from __future__ import annotations

from automart.production.views import factories, locations, sprocket_types, sprockets
from automart.production.views.blueprint import blp

__all__ = ["blp", "factories", "locations", "sprocket_types", "sprockets"]
