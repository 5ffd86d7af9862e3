"""Messages for violated database constraints, from the `info` of the constraints."""

from __future__ import annotations

from dataclasses import dataclass

from sqlalchemy import (
    Column,
    Constraint,
    ForeignKeyConstraint,
    Index,
    MetaData,
    PrimaryKeyConstraint,
    UniqueConstraint,
)
from sqlalchemy.exc import IntegrityError

from automart.core.db import Model

_SQLITE_UNIQUE = "UNIQUE constraint failed: "
_SQLITE_FOREIGN_KEY = "FOREIGN KEY constraint failed"
_SQLITE_CHECK = "CHECK constraint failed: "
_REFERENCE = "A referenced row does not exist, or this one is still in use."

Rule = Constraint | Index


@dataclass(frozen=True, slots=True)
class Violation:
    """A violated constraint. `detail` is for the client."""

    detail: str
    is_reference: bool
    """Whether it is a foreign key: a row is still referenced, or a referenced row is missing."""


def explain_violation(error: IntegrityError) -> Violation | None:
    """Return the violated constraint; None if no client can cause it, such as a NOT NULL."""
    if _SQLITE_FOREIGN_KEY in str(error.orig):
        # SQLite does not name the constraint.
        return Violation(_REFERENCE, True)
    detail = _detail_of_trigger(error)
    if detail is not None:
        return Violation(detail, False)
    rule = _broken_rule(error, Model.metadata)
    if rule is None:
        return None
    if isinstance(rule, ForeignKeyConstraint):
        return Violation(_REFERENCE, True)
    return Violation(_detail_of(rule), False)


def _detail_of(rule: Rule) -> str:
    if isinstance(rule, PrimaryKeyConstraint):
        return "This id is already taken."
    return str(rule.info.get("problem", "It conflicts with stored data."))


def _detail_of_trigger(error: IntegrityError) -> str | None:
    """Return the message for an error that a trigger raised; None if it was a constraint.

    A trigger puts the name of its rule where the database puts the name of a constraint. The
    message is in the `info` of the table.
    """
    diagnosis = getattr(error.orig, "diag", None)
    name = str(error.orig) if diagnosis is None else diagnosis.constraint_name
    for table in Model.metadata.tables.values():
        detail: str | None = table.info.get("triggers", {}).get(name)
        if detail is not None:
            return detail
    return None


def _broken_rule(error: IntegrityError, metadata: MetaData) -> Rule | None:
    diagnosis = getattr(error.orig, "diag", None)
    if diagnosis is not None:
        return _rules_by_name(metadata).get(diagnosis.constraint_name)
    message = str(error.orig)
    if message.startswith(_SQLITE_CHECK):
        return _rules_by_name(metadata).get(message.removeprefix(_SQLITE_CHECK))
    if message.startswith(_SQLITE_UNIQUE):
        columns = frozenset(message.removeprefix(_SQLITE_UNIQUE).split(", "))
        return next((r for r in _unique_rules(metadata) if _columns_of(r) == columns), None)
    return None


def _rules(metadata: MetaData) -> list[Rule]:
    rules: list[Rule] = []
    for table in metadata.tables.values():
        rules += [*table.constraints, *table.indexes]
    return rules


def _rules_by_name(metadata: MetaData) -> dict[str, Rule]:
    return {str(rule.name): rule for rule in _rules(metadata)}


def _unique_rules(metadata: MetaData) -> list[Rule]:
    return [
        rule
        for rule in _rules(metadata)
        if isinstance(rule, PrimaryKeyConstraint | UniqueConstraint)
        or (isinstance(rule, Index) and rule.unique)
    ]


def _columns_of(rule: Rule) -> frozenset[str]:
    columns = getattr(rule, "columns", ())
    return frozenset(f"{c.table.name}.{c.name}" for c in columns if isinstance(c, Column))
