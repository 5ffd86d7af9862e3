"""Imports of CSV over HTTP: the upload is stored with its job, which reads it."""

from __future__ import annotations

from typing import Any

from marshmallow import ValidationError, fields
from werkzeug.exceptions import RequestEntityTooLarge

from automart.background import kinds
from automart.background.models import JobInput, SubmittedJob
from automart.background.service import submit
from automart.core.csv_text import UTF_8, is_encoding
from automart.core.db import db
from automart.web import Schema, Values, current_caller
from automart.web.fields import QueryFlag

MAX_UPLOAD_BYTES = 10_000_000
# The form adds boundaries, headers and the other fields to the file.
MAX_FORM_BYTES = MAX_UPLOAD_BYTES + 100_000
TIME_LIMIT = 1_800


def check_encoding(name: str) -> None:
    """Raise `ValidationError` if there is no such encoding."""
    if not is_encoding(name):
        raise ValidationError("This encoding is not known. Examples: utf-8, windows-1252.")


class CsvImport(Schema):
    """A CSV file whose headings name its columns."""

    largest_body = MAX_FORM_BYTES

    file = fields.Raw(
        required=True,
        metadata={"description": "The content of the file.", "type": "string", "format": "binary"},
    )
    encoding = fields.String(
        load_default=UTF_8,
        validate=check_encoding,
        metadata={"description": "The encoding of a file without a byte order mark."},
    )
    keep_good = QueryFlag(
        load_default=False,
        metadata={"description": "Whether to import valid records if others are refused."},
    )


def read_upload(form: Values) -> Values:
    """Return the loaded form with the content of the file. Raises `RequestEntityTooLarge`."""
    content = form["file"].read()
    if len(content) > MAX_UPLOAD_BYTES:
        raise RequestEntityTooLarge(f"A CSV file has at most {MAX_UPLOAD_BYTES} bytes.")
    return form | {"file": content}


def submit_import(records: str, form: Values) -> SubmittedJob:
    """Submit the import of a file by the calling user. `records` is "customers" or "cars"."""
    job = submit(
        kinds.CSV_IMPORT,
        time_limit=TIME_LIMIT,
        records=records,
        encoding=form["encoding"],
        keep_good=form["keep_good"],
        user_id=current_caller().user_id,
    )
    if job is None:
        raise RuntimeError("Only a job with a singleton or a query can be refused.")
    db.session.add(JobInput(job_id=job.id, content=form["file"]))
    return job


def read_input(job_id: Any) -> bytes:
    """Return the file of a job that has not ended."""
    return db.session.get_one(JobInput, job_id).content
