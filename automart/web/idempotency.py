"""`Idempotency-Key`: a repeated request is executed once, and gets the same response."""

from __future__ import annotations

import hashlib
import hmac
import json
import uuid
from datetime import datetime, timedelta
from functools import wraps
from typing import Any

from flask import Response, current_app, g, make_response, request
from sqlalchemy import JSON, Index, String
from sqlalchemy.orm import Mapped, mapped_column

from automart.core.db import Model, db, delete_in_batches, insert, transaction, utcnow
from automart.core.errors import Invalid, Malformed
from automart.web.annotations import note
from automart.web.authorization import current_caller_id
from automart.web.decorators import Layer, View, in_layer
from automart.web.media_types import MULTIPART
from automart.web.parsing import read_body

REMEMBERED_FOR = timedelta(hours=24)
LONGEST_KEY = 255
KEPT_HEADERS = ("Content-Type", "Location", "Retry-After")
STORED = ("status", "headers", "body", "job_id")


class IdempotencyKey(Model):
    """A key that a caller has used, and the response. `status` is null until there is one."""

    __tablename__ = "idempotency_key"
    __table_args__ = (Index(None, "created_at"),)
    noun = "idempotency key"

    caller: Mapped[str] = mapped_column(String(100), primary_key=True)
    key: Mapped[str] = mapped_column(String(LONGEST_KEY), primary_key=True)
    fingerprint: Mapped[str] = mapped_column(String(64))
    created_at: Mapped[datetime] = mapped_column(default=utcnow)
    status: Mapped[int | None]
    headers: Mapped[list[list[str]] | None] = mapped_column(JSON(none_as_null=True))
    body: Mapped[str | None]
    job_id: Mapped[uuid.UUID | None]
    """The job that the request submitted, for `Prefer: wait` on a replay."""


def idempotent(view: View) -> View:
    """Support `Idempotency-Key` in a view that responds 201 or 202.

    The key, the response and the view's changes are committed in one transaction, which is opened
    around the view.
    """

    @wraps(view)
    def wrapper(*args: Any, **kwargs: Any) -> Any:
        key = _requested_key()
        if key is None:
            return view(*args, **kwargs)
        # Not in the transaction: it reads the body, which a slow client may still be sending.
        fingerprint = _fingerprint()
        with transaction():
            row = _claim(key, fingerprint)
            if row.status is not None:
                return _replay(row)
            response = make_response(view(*args, **kwargs))
            _store(row, response)
        return response

    note(wrapper, idempotent=True)
    return in_layer(Layer.IDEMPOTENCY, wrapper)


def expire_idempotency_keys() -> int:
    """Delete keys older than `REMEMBERED_FOR`. Return their number."""
    old = IdempotencyKey.created_at < utcnow() - REMEMBERED_FOR
    return delete_in_batches(IdempotencyKey, old)


def _requested_key() -> str | None:
    key = request.headers.get("Idempotency-Key")
    if key is None:
        return None
    if not (1 <= len(key) <= LONGEST_KEY and key.isprintable()):
        raise Malformed(f"Idempotency-Key must have 1 to {LONGEST_KEY} printable characters.")
    return key


def _claim(key: str, fingerprint: str) -> IdempotencyKey:
    """Return the row of `key`. The INSERT waits for another request with this key to end."""
    caller = current_caller_id() or "anyone"
    now = utcnow()
    values = {"caller": caller, "key": key, "fingerprint": fingerprint, "created_at": now}
    values |= dict.fromkeys(STORED)
    fresh = insert(IdempotencyKey).values(values)
    db.session.execute(
        fresh.on_conflict_do_update(
            index_elements=["caller", "key"],
            set_={name: fresh.excluded[name] for name in ("fingerprint", "created_at", *STORED)},
            where=IdempotencyKey.created_at < now - REMEMBERED_FOR,
        )
    )
    row = db.session.get_one(IdempotencyKey, (caller, key), populate_existing=True)
    if row.fingerprint != fingerprint:
        raise Invalid("This Idempotency-Key was used before, for another request.")
    return row


def _fingerprint() -> str:
    """Return a hash of the method, path, query and body."""
    # The body may contain a password. A hash without a key would allow guesses by anyone who has a
    # copy of the database.
    key = str(current_app.secret_key).encode()
    digest = hmac.new(key, f"{request.method} {request.path}?".encode(), hashlib.sha256)
    digest.update(request.query_string + b"\n")
    if request.mimetype == MULTIPART:
        _add_form(digest)
    else:
        digest.update(read_body(request))
    return digest.hexdigest()


def _add_form(digest: hmac.HMAC) -> None:
    """Add fields and files to `digest`. The body as a whole has another boundary each time."""
    fields = [[name, value] for name, value in request.form.items(multi=True)]
    digest.update(json.dumps(fields).encode())
    for name, file in request.files.items(multi=True):
        file.stream.seek(0)  # the view's preparation may have read it
        content = hashlib.file_digest(file.stream, "sha256")  # type: ignore[arg-type]
        file.stream.seek(0)
        digest.update(json.dumps([name, content.hexdigest()]).encode())


def _store(row: IdempotencyKey, response: Response) -> None:
    if not 200 <= response.status_code < 300:
        raise RuntimeError("An idempotent view must raise its errors.")
    row.status = response.status_code
    row.headers = [[k, v] for k, v in response.headers if k in KEPT_HEADERS]
    row.body = response.get_data(as_text=True)
    row.job_id = g.get("submitted_job_id")


def _replay(row: IdempotencyKey) -> Response:
    response = Response(row.body, status=row.status)
    response.headers.update(dict(row.headers or []))
    response.headers["Idempotent-Replayed"] = "true"
    g.submitted_job_id = row.job_id
    return response
