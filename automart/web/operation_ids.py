"""Names of operations in the OpenAPI document: `listMakes`, `updateCustomer`.

They follow from the method and the path. A view whose path does not name what it does has its own:
`@blp.doc(operationId="startVehicleSync")`.
"""

from __future__ import annotations

import re
from itertools import pairwise

_VERBS = {
    "get": "get",
    "post": "create",
    "put": "replace",
    "patch": "update",
    "delete": "delete",
}


def operation_id(path: str, method: str, *, is_list: bool) -> str:
    """Return the name of the operation of `method` at `path`.

    Each part of the path that an id follows is named in the singular, and so is the last part,
    unless the operation lists or deletes it as a whole.
    """
    parts = path.strip("/").removeprefix("v1/").split("/")
    words = [
        _singular(part)
        for part, following in pairwise(parts)
        if not _is_id(part) and _is_id(following)
    ]
    if not _is_id(parts[-1]):
        is_whole = is_list or method == "delete"
        words.append(parts[-1] if is_whole else _singular(parts[-1]))
    verb = "list" if is_list else _VERBS[method]
    return verb + "".join(part.title() for word in words for part in word.split("-"))


def title_of(name: str) -> str:
    """Return the title of an operation or event with this name: "List makes" of `listMakes`."""
    title = re.sub(r"(?<!^)[A-Z]", lambda capital: f" {capital[0].lower()}", name).capitalize()
    return re.sub(r"\bvins\b", "VINs", title)


def _is_id(part: str) -> bool:
    return part.startswith("{")


def _singular(noun: str) -> str:
    if noun.endswith("ies"):
        return noun.removesuffix("ies") + "y"
    return noun.removesuffix("s")
