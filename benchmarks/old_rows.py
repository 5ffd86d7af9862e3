"""What many old jobs and changes of models cost new ones, and the sizes of their indexes.

`python -m benchmarks old_rows [ROWS]` on PostgreSQL: times with few and with many rows (default:
10,000,000 jobs that have ended and as many changes).
"""

from __future__ import annotations

import statistics
import tempfile
import time
import uuid
from collections.abc import Callable
from functools import partial
from pathlib import Path

from sqlalchemy import ColumnElement, Select, text

from automart.background import kinds, maintenance
from automart.background.leases import claim
from automart.background.models import Job
from automart.background.service import submit
from automart.catalogue.changes import published_changes
from automart.catalogue.models import ModelChange
from automart.catalogue.service import create_make, create_model
from automart.core.db import db, transaction
from automart.core.db_engine import wait_without_limit
from benchmarks.support import quiet_app
from tests.support import postgresql
from tests.support.setup import migrate

ROWS = 10_000_000
TIMES = 50
NOWHERE = "http://127.0.0.1:9"
MAKE = 1
TABLES = ("job", "model_change")
FILL = {
    "job": """
INSERT INTO job (id, kind, arguments, state, time_limit, done, result, owner, attempts, stalls,
    done_at_claim, created_at, due_at, dispatched_at, started_at, finished_at)
SELECT (lpad(to_hex(1700000000000 + n::bigint * 250), 12, '0') || '70008000000000000000')::uuid,
    'purchase_recording', '{"car_model": "Civic", "make_id": 474}', 'succeeded', 120, 0,
    '{"id": 1, "brand": "Honda", "car_model": "Civic"}', 'client:' || n %% 50, 1, 0, 0,
    at, at, at, at, at
FROM (SELECT n, now() - interval '29 days' + n * interval '29 days' / %(rows)s AS at
    FROM generate_series(1, %(rows)s) AS n) AS old
""",
    # Behind those that were written before. The counter goes on after them.
    "model_change": """
WITH counter AS (
    UPDATE id_counter SET last = last + %(rows)s
    WHERE name IN ('model_change', 'published_change') RETURNING last - %(rows)s AS first
)
INSERT INTO model_change (id, at, make_id, make_name, model_id, change, name)
SELECT first + n, now(), 2 + n %% 12000, 'A make', 1 + n %% 100000, 'created', 'A model'
FROM (SELECT max(first) AS first FROM counter) AS counted, generate_series(1, %(rows)s) AS n
""",
}


def main(rows: str = str(ROWS)) -> None:
    count = int(rows)
    with tempfile.TemporaryDirectory() as folder, postgresql.server() as server:
        database = postgresql.create_database(server)
        url = database.render_as_string(hide_password=False)
        migrate(url, Path(folder))
        with quiet_app(url, NOWHERE):
            with transaction():
                create_make({"id": MAKE, "name": "A make"})
            before = _times()
            for table in TABLES:
                _fill(table, count)
            after = _times()
            for what in before:
                print(f"{what:28} {before[what]:6.2f} ms without, {after[what]:6.2f} ms with them")
            _print_sizes(count)
        postgresql.drop_database(server, database)


def _times() -> dict[str, float]:
    """Return the median milliseconds of what is done for new jobs and changes."""
    new = [_submit() for _ in range(TIMES + 1)]
    changes = published_changes()
    in_order = changes.order_by(ModelChange.id)
    of_make = changes.where(ModelChange.make_id == MAKE).order_by(ModelChange.id)
    return {
        "submit": _median(_submit),
        "claim": _median(lambda: claim(new.pop())),
        "find due jobs": _median(maintenance.dispatch_due),
        "find orphans": _median(maintenance.requeue_orphans),
        "expire": _median(maintenance.expire_jobs),
        "newest 50": _median(lambda: _newest(Job.kind == "purchase_recording")),
        "newest 50 of a client": _median(lambda: _newest(Job.owner == "client:7")),
        "add a model": _median(_add_model),
        "50 changes after the newest": _median(
            lambda: _read(in_order.where(ModelChange.id > _last()))
        ),
        "first 50 changes of a make": _median(partial(_read, of_make)),
    }


def _submit() -> uuid.UUID:
    with transaction():
        job = submit(kinds.PURCHASE_RECORDING, owner="client:7")
    if job is None:
        raise RuntimeError("Only a job with a singleton or a query can be refused.")
    return job.id


def _newest(which: ColumnElement[bool]) -> None:
    _read(db.select(Job).where(which).order_by(Job.id.desc()))


def _add_model() -> None:
    with transaction():
        create_model({"make_id": MAKE, "name": uuid.uuid4().hex})


def _last() -> int:
    newest = db.select(ModelChange.id).order_by(ModelChange.id.desc()).limit(1)
    return db.session.scalar(newest) - TIMES


def _read(rows: Select[tuple[Job]] | Select[tuple[ModelChange]]) -> None:
    db.session.scalars(rows.limit(50)).all()
    db.session.rollback()


def _median(action: Callable[[], object]) -> float:
    times = []
    for _ in range(TIMES):
        began = time.perf_counter()
        action()
        times.append((time.perf_counter() - began) * 1000)
    return statistics.median(times)


def _fill(table: str, count: int) -> None:
    began = time.perf_counter()
    with db.engine.execution_options(isolation_level="AUTOCOMMIT").connect() as connection:
        wait_without_limit(connection)
        connection.exec_driver_sql(FILL[table], {"rows": count})
        connection.exec_driver_sql(f"VACUUM ANALYZE {table}")
        connection.invalidate()
    print(f"{table}: {count:,} rows in {time.perf_counter() - began:.0f} s", flush=True)


def _print_sizes(count: int) -> None:
    size = text(
        "SELECT pg_relation_size(indexrelid), indexrelname FROM pg_stat_user_indexes"
        " WHERE relname = :table"
    )
    for table in TABLES:
        rows = db.session.scalar(text(f"SELECT pg_relation_size('{table}')")) or 0
        print(f"{table:30} {rows / count:6.0f} bytes a row")
        for bytes_, name in sorted(db.session.execute(size, {"table": table}).all(), reverse=True):
            print(f"  {name:28} {bytes_ / count:6.0f} bytes a row")
