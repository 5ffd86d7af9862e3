"""Keys of names of makes and models, which ignore the kind of apostrophe and the number of spaces.

Only names with another apostrophe than ' or several spaces in a row have new keys. If two makes get
the same key, the first one has it. The others keep their old ones, which no request can contain:
they are read by their ids, cars and purchases keep them, and they are found by name after they are
renamed.

Revision ID: 0016
Revises: 0015
"""

from __future__ import annotations

import logging
import unicodedata
from collections.abc import Iterator

import sqlalchemy as sa
from alembic import op

revision = "0016"
down_revision = "0015"
branch_labels = None
depends_on = None

_ROWS_AT_A_TIME = 5000
_APOSTROPHES = (
    "`\u00b4\u02b9\u02ba\u02bb\u02bc\u02bd\u02be\u02bf\u02c8\u02ca\u02cb\u055a\u05f3"
    "\u2018\u2019\u201a\u201b\u2032\u2035\ua78b\ua78c\uff07"
)
_WITH_ONE_APOSTROPHE = str.maketrans(dict.fromkeys(_APOSTROPHES, "'"))

_logger = logging.getLogger("alembic.runtime.migration")


def upgrade() -> None:
    makes = sa.table("vehicle_make", *map(sa.column, ("id", "name", "name_folded")))
    owners = {
        key: ident
        for ident, key in op.get_bind().execute(sa.select(makes.c.id, makes.c.name_folded))
    }
    for changes in _changes(makes, "name", "name_folded"):
        free = []
        for change in changes:
            owner = owners.setdefault(change["new_key"], change["row_id"])
            if owner == change["row_id"]:
                free.append(change)
            else:
                _logger.warning(
                    "Makes %s and %s have the same name now. Rename one of them.",
                    owner,
                    change["row_id"],
                )
        _store(makes, "name_folded", free)
    for table, text in (("vehicle_model", "name"), ("car", "model")):
        rows = sa.table(table, *map(sa.column, ("id", text, f"{text}_folded")))
        for changes in _changes(rows, text, f"{text}_folded"):
            _store(rows, f"{text}_folded", changes)


def downgrade() -> None:
    """Keep the keys: the previous release finds all but the names that have new ones."""


def _name_key(name: str) -> str:
    decomposed = unicodedata.normalize("NFD", name).casefold()
    folded = unicodedata.normalize("NFC", decomposed)
    return " ".join(folded.translate(_WITH_ONE_APOSTROPHE).split())


def _changes(table: sa.TableClause, text: str, key: str) -> Iterator[list[dict[str, object]]]:
    """Yield the rows whose key changes, a few thousand rows at a time."""
    columns = (table.c.id, table.c[text], table.c[key])
    last = 0
    while True:
        page = sa.select(*columns).where(table.c.id > last).order_by(table.c.id)
        rows = op.get_bind().execute(page.limit(_ROWS_AT_A_TIME)).all()
        if not rows:
            return
        new = [(ident, _name_key(name), old) for ident, name, old in rows]
        yield [{"row_id": ident, "new_key": new} for ident, new, old in new if new != old]
        last = rows[-1][0]


def _store(table: sa.TableClause, key: str, changes: list[dict[str, object]]) -> None:
    if changes:
        update = sa.update(table).where(table.c.id == sa.bindparam("row_id"))
        op.get_bind().execute(update.values({key: sa.bindparam("new_key")}), changes)
