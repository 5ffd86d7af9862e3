"""Notes on views, for the OpenAPI document."""

from __future__ import annotations

from collections.abc import Callable
from copy import deepcopy
from typing import Any


def note(view: Callable[..., Any], **notes: Any) -> None:
    """Add notes to `view`, which `Blueprint` documents. The views that it wraps do not change."""
    vars(view)["_apidoc"] = deepcopy(vars(view).get("_apidoc", {})) | notes
