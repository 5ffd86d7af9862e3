"""The endpoints of OAuth 2 and of logging in."""

from __future__ import annotations

from automart.oauth.views import authorization, login, metadata, token
from automart.oauth.views.blueprint import blp
from automart.oauth.views.login import login_blp

__all__ = ["authorization", "blp", "login", "login_blp", "metadata", "token"]
