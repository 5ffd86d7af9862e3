"""Broken database constraints, told in words: the constraint carries them in its `info`."""

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

Rule = Constraint | Index


@dataclass(frozen=True, slots=True)
class Violation:
    detail: str
    is_reference: bool
    """Whether a foreign key was broken: a row is still referred to, or a reference dangles."""


def explain_violation(error: IntegrityError) -> Violation | None:
    """What was broken, or None if it is nothing that a client could have caused (a NOT NULL)."""
    if _SQLITE_FOREIGN_KEY in str(error.orig):
        # SQLite does not say which.
        return Violation("It refers to something that does not exist, or is referred to.", True)
    told_by_trigger = _told_by_trigger(error)
    if told_by_trigger is not None:
        return Violation(told_by_trigger, False)
    rule = _broken_rule(error, Model.metadata)
    if rule is None:
        return None
    return Violation(_told(rule), isinstance(rule, ForeignKeyConstraint))


def _told(rule: Rule) -> str:
    if isinstance(rule, PrimaryKeyConstraint):
        return "There is one with this id already."
    return str(rule.info.get("problem", "It conflicts with what is stored."))


def _told_by_trigger(error: IntegrityError) -> str | None:
    """Triggers call a broken rule by its name, in the place where the database names constraints;
    its words stand in the table's `info`."""
    diagnosis = getattr(error.orig, "diag", None)
    name = str(error.orig) if diagnosis is None else diagnosis.constraint_name
    for table in Model.metadata.tables.values():
        told: str | None = table.info.get("triggers", {}).get(name)
        if told is not None:
            return told
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
