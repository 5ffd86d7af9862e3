"""Column types that behave the same on SQLite and PostgreSQL."""

from __future__ import annotations

import enum
from collections.abc import Callable
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

from sqlalchemy import BigInteger, DateTime, Dialect, Enum, Integer, Numeric
from sqlalchemy.types import TypeDecorator, TypeEngine

LARGEST_ID = 2**63 - 1
CENTS = 100

# SQLite generates ids only for columns of type INTEGER, which holds 64 bits there.
BigId = BigInteger().with_variant(Integer(), "sqlite")


def enum_column(values: type[enum.StrEnum], name: str = "state") -> Enum:
    """Return a type for columns that hold one of `values`: text, with a CHECK called `name`."""
    return Enum(
        values,
        native_enum=False,
        length=20,
        create_constraint=True,
        name=name,
        values_callable=lambda members: [member.value for member in members],
    )


class UtcDateTime(TypeDecorator[datetime]):
    """An aware datetime in UTC.

    SQLite itself has no time zones. `db_engine` lets sessions of PostgreSQL use UTC.
    """

    impl = DateTime(timezone=True)
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        if value is None:
            return None
        if value.tzinfo is None:
            raise ValueError("A time without an offset cannot be stored.")
        return value.astimezone(UTC)

    def result_processor(
        self, dialect: Dialect, coltype: object
    ) -> Callable[[Any], datetime | None] | None:
        # Rows have several times, and lists many rows.
        return _from_sqlite if dialect.name == "sqlite" else None


def _from_sqlite(text: str | None) -> datetime | None:
    return None if text is None else datetime.fromisoformat(f"{text}+00:00")


class Money(TypeDecorator[Decimal]):
    """An exact amount with two decimals. SQLite has no decimal numbers: it stores cents."""

    impl = Numeric
    cache_ok = True

    def __init__(self, digits: int) -> None:
        super().__init__(digits, 2)

    def load_dialect_impl(self, dialect: Dialect) -> TypeEngine[Any]:
        if dialect.name == "sqlite":
            return dialect.type_descriptor(BigInteger())
        return dialect.type_descriptor(self.impl_instance)

    def process_bind_param(self, value: Decimal | None, dialect: Dialect) -> Any:
        if value is None or dialect.name != "sqlite":
            return value
        return int(value * CENTS)

    def result_processor(
        self, dialect: Dialect, coltype: object
    ) -> Callable[[int | None], Decimal | None] | None:
        return _from_cents if dialect.name == "sqlite" else None


def _from_cents(value: int | None) -> Decimal | None:
    return None if value is None else Decimal(value).scaleb(-2)
