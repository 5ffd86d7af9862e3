"""Statements that are executed often: compiled once, and executed by the driver itself.

SQLAlchemy's session and connection take five times as long as the driver for a row by its key.
"""

from __future__ import annotations

from collections import namedtuple
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from sqlalchemy import Select
from sqlalchemy.engine import Dialect, Engine
from sqlalchemy.sql.dml import ReturningInsert, ReturningUpdate

from automart.core.db_engine import wait_for_disk

Convert = Callable[[Any], Any]
Statement = Select[Any] | ReturningInsert[Any] | ReturningUpdate[Any]


class CompiledStatement:
    """A statement that returns columns, with `bindparam()` for what differs between executions."""

    def __init__(self, statement: Statement) -> None:
        self.statement = statement
        self._by_dialect: dict[str, _Compiled] = {}

    def fetch(self, engine: Engine, parameters: Mapping[str, Any]) -> list[Any]:
        """Return the rows, as named tuples. Raises the errors of the driver.

        Each execution is a transaction of its own, without the round trips of BEGIN and COMMIT.
        """
        compiled = self._by_dialect.get(engine.name)
        if compiled is None:
            compiled = self._by_dialect[engine.name] = _Compiled(self.statement, engine.dialect)
        pooled = engine.raw_connection()
        driver: Any = pooled.dbapi_connection
        try:
            if compiled.needs_autocommit:
                driver.autocommit = True
            elif self.statement.is_dml:
                wait_for_disk(driver.execute, pooled.info)
            rows = compiled.fetch(driver, parameters)
            if compiled.needs_autocommit:
                driver.autocommit = False
        except engine.dialect.loaded_dbapi.IntegrityError:
            # The statement was undone. Otherwise the connection is as before.
            if compiled.needs_autocommit:
                driver.autocommit = False
            pooled.close()
            raise
        except BaseException:
            pooled.invalidate()
            raise
        pooled.close()
        return rows


class _Compiled:
    def __init__(self, statement: Statement, dialect: Dialect) -> None:
        compiled: Any = statement.compile(dialect=dialect)
        # SQLAlchemy computes these values for each execution: `default` and `onupdate`.
        missing = [*compiled.insert_prefetch, *compiled.update_prefetch]
        if missing:
            raise TypeError(f"Set these columns: {missing}")
        self.needs_autocommit = dialect.name == "postgresql"  # SQLite has it until a BEGIN
        self._dialect = dialect
        self._sql = str(compiled)
        self._defaults = dict(compiled.params)
        self._order = compiled.positiontup
        self._converters = {
            name: convert
            for bind, name in compiled.bind_names.items()
            if (convert := bind.type.dialect_impl(dialect).bind_processor(dialect))
        }
        columns = statement.exported_columns
        self._types = [column.type.dialect_impl(dialect) for column in columns]
        # mypy allows only names that are written here. These are known only now.
        kind: Any = namedtuple("Row", map(str, columns.keys()))  # type: ignore[misc]
        self._row = kind._make
        self._result_converters: list[tuple[int, Convert]] | None = None

    def fetch(self, driver: Any, parameters: Mapping[str, Any]) -> list[Any]:
        cursor = driver.execute(self._sql, self._arguments(parameters))
        found = cursor.fetchall()
        if self._result_converters is None:
            self._result_converters = self._converters_of(cursor.description)
        if not self._result_converters or not found:
            return [self._row(values) for values in found]
        # Row by row takes a third longer.
        columns: list[Iterable[Any]] = list(zip(*found, strict=True))
        for place, convert in self._result_converters:
            columns[place] = map(convert, columns[place])
        return list(map(self._row, zip(*columns, strict=True)))

    def _arguments(self, parameters: Mapping[str, Any]) -> Any:
        values = {**self._defaults, **parameters}
        for name, convert in self._converters.items():
            values[name] = convert(values[name])
        return values if self._order is None else [values[name] for name in self._order]

    def _converters_of(self, description: Sequence[Any]) -> list[tuple[int, Convert]]:
        """Return how to convert the values of the driver, by column, where that is needed."""
        found = [
            (place, kind.result_processor(self._dialect, column[1]))
            for place, (kind, column) in enumerate(zip(self._types, description, strict=True))
        ]
        return [(place, convert) for place, convert in found if convert]
