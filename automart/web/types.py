"""What views take and what they answer."""

from __future__ import annotations

from typing import Any

# Fields by their names: of a body or a query that a schema has loaded, or of an answer.
Values = dict[str, Any]
# Body, status and headers, where the body alone does not say it.
Answer = tuple[Any, int, dict[str, str]]
