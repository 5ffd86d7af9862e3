"""The endpoints of regional offices and manufacturers."""

from __future__ import annotations

from automart.partners.views import manufacturers, offices
from automart.partners.views.blueprint import blp

__all__ = ["blp", "manufacturers", "offices"]
