"""The endpoints of makes, models and syncs."""

from __future__ import annotations

from automart.catalogue.views import makes, model_changes, models, vehicle_syncs
from automart.catalogue.views.blueprint import blp

__all__ = ["blp", "makes", "model_changes", "models", "vehicle_syncs"]
