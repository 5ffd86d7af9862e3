"""The blueprint of all nouns of this domain."""

from __future__ import annotations

from automart.web import Blueprint

blp = Blueprint("accounts", __name__, url_prefix="/v1", description="Users, clients, audit trail")
