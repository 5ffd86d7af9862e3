"""Notes on views, which the OpenAPI document is written from."""

from __future__ import annotations

from collections.abc import Callable
from copy import deepcopy
from typing import Any


def note(view: Callable[..., Any], **notes: Any) -> None:
    """Note something on `view`, for `Blueprint` to document. Views that it wraps are left alone."""
    vars(view)["_apidoc"] = deepcopy(vars(view).get("_apidoc", {})) | notes
