"""Time limits of tests: one for all that they wait for, and long ones in the product.

A test waits for a condition, and a limit only ends a test that fails. So it may be far longer than
the slowest machine takes. The product's limits are for people who wait: a machine that is busy with
other work exceeds them, and the product is right to respond with 503 then. Tests of a limit set it
themselves.
"""

from __future__ import annotations

from automart import app
from automart.accounts import passwords
from automart.background import queues
from automart.core import db_engine, schema_version
from automart.customers import photos
from automart.operations import health

LIMIT = 300.0


def lengthen_product_limits() -> None:
    """Lengthen the limits for the database, Redis and other threads in this process."""
    app.CONNECT_SECONDS = schema_version.CHECK_TIMEOUT_SECONDS = int(LIMIT)
    app.POOL_SECONDS = db_engine.SQLITE_BUSY_SECONDS = int(LIMIT)
    db_engine.ANSWER_SECONDS = db_engine.PING_SECONDS = LIMIT
    db_engine.POSTGRESQL_SETTINGS |= dict.fromkeys(
        ("idle_in_transaction_session_timeout", "lock_timeout", "statement_timeout"),
        f"{LIMIT:.0f}s",
    )
    health.TIMEOUT_SECONDS = queues.TIMEOUT_SECONDS = LIMIT
    passwords.WAITING_SECONDS = int(LIMIT)
    photos.DECODING_SECONDS = photos.WAITING_SECONDS = int(LIMIT)
    photos.DELETING_SECONDS = LIMIT
