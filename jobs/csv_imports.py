"""The job that imports customers or cars from an uploaded CSV file."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from http import HTTPStatus
from io import BufferedReader, BytesIO
from typing import Any

from automart.background.csv_imports import read_input
from automart.core.batches import BATCH_SIZE
from automart.core.csv_columns import NotReadable, Reading
from automart.core.csv_import import Outcome, Record, Values, import_records
from automart.core.csv_text import text_of
from automart.core.db import release_connection, transaction
from automart.core.errors import Invalid, problem
from automart.customers.csv import CUSTOMERS
from automart.inventory.csv import CARS
from jobs.context import Run

IMPORTERS = {"customers": CUSTOMERS, "cars": CARS}


def csv_import(run: Run, records: str, encoding: str, keep_good: bool, user_id: int) -> None:
    """Import a file on behalf of a user.

    Safe to run again at any point: the records and the end of the job are one transaction.
    """
    importer = IMPORTERS[records]
    content = read_input(run.lease.job_id)

    def read() -> Iterator[Record]:
        with text_of(BufferedReader(BytesIO(content)), encoding) as text:
            _, found = importer.read(text, Reading(encoding))
            for count, record in enumerate(found):
                if count % BATCH_SIZE == 0:
                    run.check_stop()
                    release_connection()  # the check of a record may read the database
                yield record

    def add(parts: Iterator[Sequence[Values]], outcome: Outcome) -> None:
        run.lease.advance(outcome.total)
        for part in parts:
            run.check_stop()
            importer.add(part, user_id)
        run.lease.expect(outcome.total)
        run.lease.succeed(_result(outcome, imported=outcome.good))

    try:
        outcome = import_records(read, add, keep_good=keep_good)
    except NotReadable as error:
        raise Invalid(str(error)) from None
    if not run.lease.has_ended:
        reason = problem(HTTPStatus.UNPROCESSABLE_ENTITY, outcome.why_nothing_was_imported())
        with transaction():
            run.lease.fail(reason, _result(outcome, imported=0))


def _result(outcome: Outcome, *, imported: int) -> dict[str, Any]:
    return {
        "imported": imported,
        "refused_count": outcome.refused_count,
        "refused": [record.as_refusal() for record in outcome.refused],
    }
