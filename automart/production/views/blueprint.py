"""The blueprint of all nouns of production."""

from __future__ import annotations

from automart.web import Blueprint

blp = Blueprint(
    "production", __name__, url_prefix="/v1", description="Factories and the sprockets they make"
)
