"""The endpoints of makes, models and syncs."""

from __future__ import annotations

from automart.catalogue.views import makes, models, vehicle_syncs
from automart.catalogue.views.blueprint import blp

__all__ = ["blp", "makes", "models", "vehicle_syncs"]
