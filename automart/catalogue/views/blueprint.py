"""The blueprint of all nouns of the catalogue."""

from __future__ import annotations

from automart.web import Blueprint

blp = Blueprint("catalogue", __name__, url_prefix="/v1", description="Vehicle makes and models")
