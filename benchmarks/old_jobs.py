"""What many old jobs cost new ones: times with few and with many, plans, and sizes of indexes.

`python -m benchmarks old_jobs [JOBS]` on PostgreSQL (default: 10,000,000 jobs that have ended).
"""

from __future__ import annotations

import statistics
import tempfile
import time
import uuid
from collections.abc import Callable
from pathlib import Path

from sqlalchemy import ColumnElement, text

from automart.background import kinds, maintenance
from automart.background.leases import claim
from automart.background.models import Job
from automart.background.service import submit
from automart.core.db import db, transaction
from automart.core.db_engine import wait_without_limit
from benchmarks.support import quiet_app
from tests.support import postgresql
from tests.support.setup import migrate

JOBS = 10_000_000
NOWHERE = "http://127.0.0.1:9"
TIMES = 50
FILL = """
INSERT INTO job (id, kind, arguments, state, time_limit, done, result, owner, attempts, stalls,
    done_at_claim, created_at, due_at, dispatched_at, started_at, finished_at)
SELECT (lpad(to_hex(1700000000000 + n::bigint * 250), 12, '0') || '70008000000000000000')::uuid,
    'purchase_recording', '{"car_model": "Civic", "make_id": 474}', 'succeeded', 120, 0,
    '{"id": 1, "brand": "Honda", "car_model": "Civic"}', 'client:' || n %% 50, 1, 0, 0,
    at, at, at, at, at
FROM (SELECT n, now() - interval '29 days' + n * interval '29 days' / %(jobs)s AS at
    FROM generate_series(1, %(jobs)s) AS n) AS old
"""


def main(jobs: str = str(JOBS)) -> None:
    count = int(jobs)
    with tempfile.TemporaryDirectory() as folder, postgresql.server() as server:
        database = postgresql.create_database(server)
        url = database.render_as_string(hide_password=False)
        migrate(url, Path(folder))
        with quiet_app(url, NOWHERE):
            before = _times()
            _fill(count)
            after = _times()
            for what in before:
                print(f"{what:28} {before[what]:6.2f} ms without, {after[what]:6.2f} ms with them")
            _print_sizes(count)
        postgresql.drop_database(server, database)


def _times() -> dict[str, float]:
    """Return the median milliseconds of what is done for new jobs."""
    new = [_submit() for _ in range(TIMES + 1)]
    return {
        "submit": _median(_submit),
        "claim": _median(lambda: claim(new.pop())),
        "find due jobs": _median(maintenance.dispatch_due),
        "find orphans": _median(maintenance.requeue_orphans),
        "expire": _median(maintenance.expire_jobs),
        "newest 50": _median(lambda: _newest(Job.kind == "purchase_recording")),
        "newest 50 of a client": _median(lambda: _newest(Job.owner == "client:7")),
    }


def _submit() -> uuid.UUID:
    with transaction():
        job = submit(kinds.PURCHASE_RECORDING, owner="client:7")
    if job is None:
        raise RuntimeError("Only a job with a singleton can be refused.")
    return job.id


def _newest(which: ColumnElement[bool]) -> None:
    db.session.scalars(db.select(Job).where(which).order_by(Job.id.desc()).limit(50)).all()
    db.session.rollback()


def _median(action: Callable[[], object]) -> float:
    times = []
    for _ in range(TIMES):
        began = time.perf_counter()
        action()
        times.append((time.perf_counter() - began) * 1000)
    return statistics.median(times)


def _fill(count: int) -> None:
    began = time.perf_counter()
    with db.engine.execution_options(isolation_level="AUTOCOMMIT").connect() as connection:
        wait_without_limit(connection)
        connection.exec_driver_sql(FILL, {"jobs": count})
        connection.exec_driver_sql("VACUUM ANALYZE job")
        connection.invalidate()
    print(f"{count:,} jobs written in {time.perf_counter() - began:.0f} s", flush=True)


def _print_sizes(count: int) -> None:
    size = text(
        "SELECT pg_relation_size(indexrelid), indexrelname FROM pg_stat_user_indexes"
        " WHERE relname = 'job'"
    )
    table = db.session.scalar(text("SELECT pg_relation_size('job')")) or 0
    print(f"table {table / count:6.0f} bytes a job")
    for bytes_, name in sorted(db.session.execute(size).all(), reverse=True):
        print(f"{name:20} {bytes_ / count:6.0f} bytes a job")
