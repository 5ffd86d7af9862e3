"""`python -m tests.support.schema`: write docs/schema.md, a diagram of the tables, from the models.

With `--check` it writes nothing, and exits with 1 if the file is not what it would write.
"""

from __future__ import annotations

import sys
from collections import defaultdict
from collections.abc import Iterable, Iterator
from pathlib import Path

from sqlalchemy import Column, Table
from sqlalchemy.dialects import postgresql

import automart.app
from automart.core.db import Model, table_of

FILE = Path(__file__).parent.parent.parent / "docs" / "schema.md"
TOP = """\
# The tables

Made from the models by `make schema`; `make check` sees that it is current. Types are PostgreSQL's.
A line ends in `o{` where there may be many, in `o|` where there may be one; its other end says
whether there must be one. What no picture shows (checks, unique indexes, the constraint that keeps
bookings apart) stands in the models and the migrations.
"""


def document() -> str:
    """Return the content of docs/schema.md."""
    domains = _domains()
    parts = [TOP, "## How they hang together\n", *_diagram(_all_relations(domains))]
    for domain, tables in domains.items():
        lines = [line for table in tables for line in _entity(table)]
        own = {table.name for table in tables}
        lines += [line for table in tables for line in _relations(table, among=own)]
        parts += [f"\n## {domain.capitalize()}\n", *_diagram(lines)]
    return "\n".join(parts) + "\n"


def _domains() -> dict[str, list[Table]]:
    """Return the tables by their package of `automart`."""
    found: dict[str, list[Table]] = defaultdict(list)
    for mapper in Model.registry.mappers:
        name = mapper.class_.__module__.removeprefix(f"{automart.__name__}.")
        found[name.partition(".")[0]].append(table_of(mapper.class_))
    return {domain: sorted(found[domain], key=lambda table: table.name) for domain in sorted(found)}


def _diagram(lines: Iterable[str]) -> Iterator[str]:
    yield from ("```mermaid", "erDiagram", *(f"    {line}" for line in lines), "```")


def _entity(table: Table) -> Iterator[str]:
    yield f"{table.name} {{"
    for column in table.columns:
        yield f"    {_type(column)} {column.name}{_keys(column)}{_remark(column)}"
    yield "}"


def _type(column: Column) -> str:
    name = column.type.compile(dialect=postgresql.dialect()).lower()
    return name.replace(" with time zone", "tz").replace(" ", "_").replace(",_", "-")


def _keys(column: Column) -> str:
    keys = ["PK"] * column.primary_key + ["FK"] * bool(column.foreign_keys)
    return f" {', '.join(keys)}" if keys else ""


def _remark(column: Column) -> str:
    return ' "nullable"' if column.nullable else ""


def _all_relations(domains: dict[str, list[Table]]) -> Iterator[str]:
    tables = [table for each in domains.values() for table in each]
    return (line for table in tables for line in _relations(table, among={t.name for t in tables}))


def _relations(table: Table, *, among: set[str]) -> Iterator[str]:
    for constraint in sorted(table.foreign_key_constraints, key=lambda each: str(each.name)):
        target = constraint.referred_table.name
        if target in among:
            columns = list(constraint.columns)
            one = "|o" if any(column.nullable for column in columns) else "||"
            many = "o|" if set(columns) == set(table.primary_key) else "o{"
            names = ", ".join(column.name for column in columns)
            yield f'{target} {one}--{many} {table.name} : "{names}"'


def main() -> int:
    text = document()
    if "--check" not in sys.argv:
        FILE.write_text(text)
        return 0
    if FILE.exists() and FILE.read_text() == text:
        return 0
    print("docs/schema.md is not what the models say. Run: make schema")
    return 1


if __name__ == "__main__":
    sys.exit(main())
