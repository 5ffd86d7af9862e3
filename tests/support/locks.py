"""The effect of a migration on a running release. The rules are in docs/schema-changes.md."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from itertools import groupby
from pathlib import Path
from typing import Any

from sqlalchemy import event
from sqlalchemy.engine import Connection, Engine

OLDEST_POSTGRESQL = "14"
# The schema of the first release: nothing ran before it.
BASELINE = ("0001", "0002", "0003", "0004", "0005")
# Rules of taste, and one that `migrations/env.py` keeps for all: it sets `lock_timeout`.
LEFT_OUT = (
    "prefer-bigint-over-int",
    "prefer-bigint-over-smallint",
    "prefer-identity",
    "prefer-robust-stmts",
    "prefer-text-field",
    "prefer-timestamp-tz",
    "require-lock-timeout",
    "require-statement-timeout",
)
LARGE_WRITE = "large-write"
CREATED = re.compile(r"CREATE TABLE (?:IF NOT EXISTS )?(\S+)", re.IGNORECASE)
REWRITTEN = re.compile(r"(?:UPDATE|DELETE FROM) (\S+)", re.IGNORECASE)
CHANGES = ("ALTER", "COMMENT", "CREATE", "DELETE", "DROP", "INSERT", "TRUNCATE", "UPDATE", "DO")
Statement = tuple[bool, str]
"""Whether a statement is part of a transaction, and its text."""


@contextmanager
def recorded(engine: Engine) -> Iterator[list[Statement]]:
    """Collect the statements that change something in a `with` block."""
    found: list[Statement] = []

    def note(
        connection: Connection, _cursor: Any, statement: str, parameters: Any, *_: Any
    ) -> None:
        if not statement.lstrip().upper().startswith(CHANGES) or "alembic_version" in statement:
            return
        if isinstance(parameters, Mapping):
            statement %= dict.fromkeys(parameters, "NULL")
        level = connection.get_execution_options().get("isolation_level")
        found.append((level != "AUTOCOMMIT", statement))

    event.listen(engine, "before_cursor_execute", note)
    try:
        yield found
    finally:
        event.remove(engine, "before_cursor_execute", note)


def script(statements: Iterable[Statement]) -> str:
    """Return the statements as one script, with their transactions."""
    parts = []
    for in_transaction, group in groupby(statements, key=lambda statement: statement[0]):
        text = "".join(f"{statement.strip().rstrip(';')};\n" for _, statement in group)
        parts.append(f"BEGIN;\n{text}COMMIT;\n" if in_transaction else text)
    return "".join(parts)


def dangers(sql: str, accepted: Collection[str] = ()) -> list[str]:
    """Return what in `sql` would lock a table for long or break a running release, a line each.

    `accepted` are names of rules that are not to be heeded.
    """
    left_out = ",".join({*LEFT_OUT, *accepted} - {LARGE_WRITE})
    done = subprocess.run(
        [
            Path(sys.executable).parent / "squawk",
            f"--pg-version={OLDEST_POSTGRESQL}",
            f"--exclude={left_out}",
            "--reporter=json",
            "--stdin-filepath=migration.sql",
        ],
        input=sql,
        capture_output=True,
        text=True,
    )
    if not done.stdout.strip().startswith("["):
        raise RuntimeError(f"squawk failed: {done.stderr}")
    lines = sql.splitlines()
    found = [
        f"{found['rule_name']}: {found['message']} {found.get('help') or ''}\n    "
        + lines[found["line"]].strip()
        for found in json.loads(done.stdout)
    ]
    return found + ([] if LARGE_WRITE in accepted else list(_large_writes(lines)))


def _large_writes(lines: Sequence[str]) -> Iterator[str]:
    created: set[str] = set()
    for line in lines:
        if found := CREATED.match(line):
            created.add(found[1])
        elif (found := REWRITTEN.match(line)) and found[1] not in created:
            yield (
                f"{LARGE_WRITE}: Rows that a migration changes stay locked until it ends. "
                f"Change them in parts, from a job or a command.\n    {line}"
            )
