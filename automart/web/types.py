"""Types of the arguments and results of views."""

from __future__ import annotations

from typing import Any

# Fields by name: of a body or a query that a schema has loaded, or of a response.
Values = dict[str, Any]
# Body, status and headers, for views that set more than the body.
Answer = tuple[Any, int, dict[str, str]]
