"""Finds changes of an OpenAPI document that break clients. docs/versioning.md lists them.

No maintained tool can be installed with pip: oasdiff is a program in Go.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

METHODS = ("get", "post", "put", "patch", "delete")
UPPER_LIMITS = ("maximum", "exclusiveMaximum", "maxLength", "maxItems")
LOWER_LIMITS = ("minimum", "exclusiveMinimum", "minLength", "minItems")


def breaking_changes(old: dict[str, Any], new: dict[str, Any]) -> list[str]:
    """Return the changes from `old` to `new` that break clients of `old`, each as a sentence."""
    return list(dict.fromkeys(_Comparison(old, new).changes()))


class _Comparison:
    def __init__(self, old: dict[str, Any], new: dict[str, Any]) -> None:
        self._old = old
        self._new = new
        self._compared: set[tuple[str, str, bool]] = set()

    def changes(self) -> Iterator[str]:
        for path, item in self._old["paths"].items():
            for method in METHODS:
                if method not in item:
                    continue
                label = f"{method.upper()} {path}"
                after = self._new["paths"].get(path, {})
                if method not in after:
                    yield f"{label} is gone."
                else:
                    yield from self._operation(label, item, after, method)
        for name, item in self._old["webhooks"].items():
            yield from self._webhook(name, item["post"], self._new["webhooks"].get(name))

    def _webhook(
        self, name: str, old: dict[str, Any], item: dict[str, Any] | None
    ) -> Iterator[str]:
        """Compare what receivers of a webhook are sent."""
        if item is None:
            yield f"The webhook {name} is gone."
            return
        before, after = (each["requestBody"]["content"] for each in (old, item["post"]))
        for media_type, content in before.items():
            if media_type not in after:
                yield f"The webhook {name} is no longer sent as {media_type}."
            else:
                schema = after[media_type]["schema"]
                yield from self._schema(name, content["schema"], schema, is_sent=False)
        headers = _parameters(item["post"])
        for key in _parameters(old):
            if key not in headers:
                yield f"The webhook {name} no longer has the header {key[1]}."

    def _operation(
        self, label: str, old_item: dict[str, Any], new_item: dict[str, Any], method: str
    ) -> Iterator[str]:
        old, new = old_item[method], new_item[method]
        if old["operationId"] != new["operationId"]:
            yield f"{label} is named {new['operationId']} instead of {old['operationId']}."
        yield from self._parameters(
            label,
            _parameters(old_item) | _parameters(old),
            _parameters(new_item) | _parameters(new),
        )
        yield from self._bodies(label, old, new)
        yield from _security(label, old["security"], new["security"])
        yield from self._responses(label, old["responses"], new["responses"])

    def _responses(self, label: str, old: dict[str, Any], new: dict[str, Any]) -> Iterator[str]:
        for status, response in old.items():
            if not status.startswith("2"):
                continue
            if status not in new:
                yield f"{label} no longer responds with {status}."
                continue
            where = f"{label}: {status}"
            for header in response.get("headers", {}):
                if header not in new[status].get("headers", {}):
                    yield f"{where} no longer has the header {header}."
            contents = new[status].get("content", {})
            for media_type, content in response.get("content", {}).items():
                if media_type not in contents:
                    yield f"{where} is no longer available as {media_type}."
                else:
                    schema = contents[media_type]["schema"]
                    yield from self._schema(where, content["schema"], schema, is_sent=False)

    def _parameters(self, label: str, old: dict[Any, Any], new: dict[Any, Any]) -> Iterator[str]:
        for key, parameter in new.items():
            if parameter.get("required") and not old.get(key, {}).get("required"):
                yield f"{label} requires the parameter {key[1]}."
        for key, parameter in old.items():
            if key not in new:
                yield f"{label} no longer has the parameter {key[1]}."
            else:
                where = f"{label}: {key[1]}"
                schema = new[key]["schema"]
                yield from self._schema(where, parameter["schema"], schema, is_sent=True)

    def _bodies(self, label: str, old: dict[str, Any], new: dict[str, Any]) -> Iterator[str]:
        before, after = old.get("requestBody", {}), new.get("requestBody", {})
        if after.get("required") and not before.get("required"):
            yield f"{label} requires a body."
        for media_type, content in before.get("content", {}).items():
            if media_type not in after.get("content", {}):
                yield f"{label} no longer accepts {media_type}."
            else:
                schema = after["content"][media_type]["schema"]
                yield from self._schema(f"{label}: body", content["schema"], schema, is_sent=True)

    def _schema(self, where: str, old: Any, new: Any, *, is_sent: bool) -> Iterator[str]:
        """Compare what clients send (`is_sent`), which may only become wider, or what they receive,
        which may only become narrower."""
        key = (str(old), str(new), is_sent)
        if key in self._compared:
            return
        self._compared.add(key)
        where = old["$ref"].rpartition("/")[2] if "$ref" in old else where
        old, new = _resolved(self._old, old), _resolved(self._new, new)
        for name, before, after in (
            ("types", _types(old), _types(new)),
            ("values", _values(old), _values(new)),
            ("alternatives", _alternatives(old), _alternatives(new)),
        ):
            narrow, wide = (before, after) if is_sent else (after, before)
            if wide is not None and (narrow is None or not narrow <= wide):
                yield f"{where} has {'fewer' if is_sent else 'more'} {name}."
        if is_sent:
            yield from _narrowed(where, old, new)
        yield from self._properties(where, old, new, is_sent=is_sent)
        if "items" in old and "items" in new:
            yield from self._schema(f"{where}[]", old["items"], new["items"], is_sent=is_sent)
        for alternative in _common_alternatives(old, new):
            yield from self._schema(where, alternative, alternative, is_sent=is_sent)

    def _properties(self, where: str, old: Any, new: Any, *, is_sent: bool) -> Iterator[str]:
        before, after = set(old.get("required", [])), set(new.get("required", []))
        for name in sorted(after - before if is_sent else before - after):
            yield f"{where}.{name} is {'required' if is_sent else 'no longer always there'}."
        for name, schema in old.get("properties", {}).items():
            if name in new.get("properties", {}):
                changed = new["properties"][name]
                yield from self._schema(f"{where}.{name}", schema, changed, is_sent=is_sent)
            else:
                yield f"{where}.{name} is gone."


def _narrowed(where: str, old: dict[str, Any], new: dict[str, Any]) -> Iterator[str]:
    for limits, sign in ((UPPER_LIMITS, 1), (LOWER_LIMITS, -1)):
        for limit in limits:
            if limit in new and (limit not in old or sign * new[limit] < sign * old[limit]):
                yield f"{where} has a narrower {limit}."
    for keyword in ("pattern", "format", "multipleOf"):
        if keyword in new and new[keyword] != old.get(keyword):
            yield f"{where} has another {keyword}."


def _security(label: str, old: list[Any], new: list[Any]) -> Iterator[str]:
    """Compare the alternatives of an operation. An empty list means that anyone may call it."""
    for alternative in (old or [{}]) if new else []:
        if not any(_includes(alternative, each) for each in new):
            needed = ", ".join(f"{name} {' '.join(scopes)}" for name, scopes in alternative.items())
            yield f"{label} no longer accepts {needed.strip() or 'everyone'}."


def _includes(credentials: dict[str, list[str]], needed: dict[str, list[str]]) -> bool:
    return all(
        name in credentials and set(scopes) <= set(credentials[name])
        for name, scopes in needed.items()
    )


def _parameters(holder: dict[str, Any]) -> dict[tuple[str, str], dict[str, Any]]:
    return {(each["in"], each["name"]): each for each in holder.get("parameters", [])}


def _resolved(document: dict[str, Any], schema: dict[str, Any]) -> dict[str, Any]:
    while "$ref" in schema:
        schema = document["components"]["schemas"][schema["$ref"].rpartition("/")[2]]
    return schema


def _types(schema: dict[str, Any]) -> set[str] | None:
    found = schema.get("type")
    if found is None:
        return None
    types = {found} if isinstance(found, str) else set(found)
    return types | {"integer"} if "number" in types else types


def _values(schema: dict[str, Any]) -> set[str] | None:
    return set(map(str, schema["enum"])) if "enum" in schema else None


def _common_alternatives(old: dict[str, Any], new: dict[str, Any]) -> list[dict[str, Any]]:
    kept = _alternatives(new) or set()
    return [each for each in old.get("oneOf", old.get("anyOf", [])) if str(each) in kept]


def _alternatives(schema: dict[str, Any]) -> set[str] | None:
    found = schema.get("oneOf", schema.get("anyOf"))
    return None if found is None else set(map(str, found))
