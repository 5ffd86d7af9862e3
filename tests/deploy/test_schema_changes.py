"""The check of migrations: what it rejects, and what it accepts."""

from __future__ import annotations

import pytest
import sqlalchemy as sa
from sqlalchemy.pool import StaticPool

from tests.support.locks import dangers, recorded, script

REFUSED = {
    "CREATE INDEX ix_car_colour ON car (colour)": "require-concurrent-index-creation",
    "DROP INDEX ix_car_colour": "require-concurrent-index-deletion",
    "ALTER TABLE car ADD COLUMN colour TEXT NOT NULL": "adding-required-field",
    "ALTER TABLE car ALTER COLUMN colour SET NOT NULL": "adding-not-nullable-field",
    "ALTER TABLE car ALTER COLUMN colour TYPE INTEGER": "changing-column-type",
    "ALTER TABLE car DROP COLUMN colour": "ban-drop-column",
    "ALTER TABLE car ALTER COLUMN colour DROP NOT NULL": "ban-drop-not-null",
    "ALTER TABLE car RENAME COLUMN colour TO color": "renaming-column",
    "ALTER TABLE car RENAME TO vehicle": "renaming-table",
    "DROP TABLE car": "ban-drop-table",
    "ALTER TABLE car ADD CONSTRAINT ck CHECK (price > 0)": "constraint-missing-not-valid",
    "ALTER TABLE car ADD CONSTRAINT fk FOREIGN KEY (dealer_id) REFERENCES dealer (id)": (
        "adding-foreign-key-constraint"
    ),
    "ALTER TABLE car ADD CONSTRAINT uq UNIQUE (vin)": "disallowed-unique-constraint",
    "ALTER TABLE car ADD CONSTRAINT ck CHECK (price > 0) NOT VALID;\n"
    "ALTER TABLE car VALIDATE CONSTRAINT ck": "constraint-missing-not-valid",
    "CREATE INDEX CONCURRENTLY ix ON car (colour)": "ban-concurrent-index-creation-in-transaction",
    "UPDATE car SET colour = 'red'": "large-write",
    "DELETE FROM car WHERE colour = 'red'": "large-write",
}
ALLOWED = [
    (
        "CREATE TABLE sale (id BIGINT PRIMARY KEY, car_id BIGINT NOT NULL REFERENCES car (id));\n"
        "CREATE INDEX ix_sale_car_id ON sale (car_id);\n"
        "ALTER TABLE sale ADD CONSTRAINT uq_sale_car_id UNIQUE (car_id);\n"
        "UPDATE sale SET car_id = 1"
    ),
    "ALTER TABLE car ADD COLUMN colour TEXT",
    "ALTER TABLE car ADD COLUMN colour TEXT DEFAULT 'red' NOT NULL",
    "ALTER TABLE car ADD CONSTRAINT ck CHECK (price > 0) NOT VALID",
    "ALTER TABLE car VALIDATE CONSTRAINT ck",
]


@pytest.mark.parametrize(("sql", "rule"), REFUSED.items(), ids=REFUSED.keys())
def test_a_dangerous_statement_is_rejected_unless_its_rule_is_accepted(sql: str, rule: str) -> None:
    sql = script([(True, sql)])
    assert rule in {line.partition(":")[0] for line in dangers(sql)}
    assert rule not in {line.partition(":")[0] for line in dangers(sql, {rule: "a reason"})}


@pytest.mark.parametrize("sql", ALLOWED)
def test_a_harmless_statement_is_accepted(sql: str) -> None:
    assert dangers(script([(True, sql)])) == []


def test_an_index_can_be_created_outside_a_transaction() -> None:
    made = [
        (True, "ALTER TABLE car ADD COLUMN colour TEXT"),
        (False, "CREATE INDEX CONCURRENTLY IF NOT EXISTS ix_car_colour ON car (colour)"),
        (False, "ALTER TABLE car VALIDATE CONSTRAINT ck"),
    ]
    assert dangers(script(made)) == []


def test_statements_that_change_something_are_recorded_with_their_transaction() -> None:
    engine = sa.create_engine("sqlite://", poolclass=StaticPool)
    with recorded(engine) as statements, engine.connect() as connection:
        connection.exec_driver_sql("CREATE TABLE car (id INTEGER)")
        connection.exec_driver_sql("SELECT 1")
        connection.commit()
        connection.execution_options(isolation_level="AUTOCOMMIT")
        connection.exec_driver_sql("CREATE INDEX ix ON car (id);")
    engine.dispose()
    assert script(statements) == (
        "BEGIN;\nCREATE TABLE car (id INTEGER);\nCOMMIT;\nCREATE INDEX ix ON car (id);\n"
    )
