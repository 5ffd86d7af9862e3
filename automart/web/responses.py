"""Responses of views."""

from __future__ import annotations

from typing import Any

from automart.web.types import Answer
from automart.web.urls import absolute_url


def created(thing: Any, endpoint: str, **ids: Any) -> Answer:
    """Return a 201 with `thing` and its `Location`: the URL of `endpoint` with `ids`."""
    return thing, 201, {"Location": absolute_url(endpoint, **ids)}
