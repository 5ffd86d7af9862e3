"""`Idempotency-Key`: a POST that is sent again is answered again and not done again."""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Callable
from datetime import datetime, timedelta
from functools import wraps
from typing import Any

from flask import Response, current_app, make_response, request
from sqlalchemy import JSON, Index, String
from sqlalchemy.orm import Mapped, mapped_column

from automart.core.db import Model, db, delete_in_batches, insert, transaction, utcnow
from automart.core.errors import Invalid, Malformed
from automart.web.annotations import note
from automart.web.authorization import current_caller_id
from automart.web.parsing import read_body

REMEMBERED_FOR = timedelta(hours=24)
LONGEST_KEY = 255
KEPT_HEADERS = ("Content-Type", "Location", "Retry-After")


class IdempotencyKey(Model):
    """A key that a caller has used, with the answer; without one while the first still runs."""

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


def idempotent(view: Callable[..., Any]) -> Callable[..., Any]:
    """Honour `Idempotency-Key` on a view that answers 201 or 202.

    The key, the answer and whatever the view stores are committed in one transaction.
    """

    @wraps(view)
    def wrapper(*args: Any, **kwargs: Any) -> Any:
        key = _asked_key()
        if key is None:
            return view(*args, **kwargs)
        with transaction():
            row = _claim(key)
            if row.status is not None:
                return _answer_again(row)
            response = make_response(view(*args, **kwargs))
            _remember(row, response)
        return response

    note(wrapper, idempotent=True)
    return wrapper


def expire_idempotency_keys() -> int:
    """Delete keys older than `REMEMBERED_FOR`. Return their number."""
    old = IdempotencyKey.created_at < utcnow() - REMEMBERED_FOR
    return delete_in_batches(IdempotencyKey, old)


def _asked_key() -> str | None:
    key = request.headers.get("Idempotency-Key")
    if key is None:
        return None
    if not (1 <= len(key) <= LONGEST_KEY and key.isprintable()):
        raise Malformed(f"Idempotency-Key must have 1 to {LONGEST_KEY} printable characters.")
    return key


def _claim(key: str) -> IdempotencyKey:
    """The row of `key`. While another request with it runs, the INSERT waits for its end."""
    caller = current_caller_id() or "anyone"
    now = utcnow()
    values = {"caller": caller, "key": key, "fingerprint": _fingerprint(), "created_at": now}
    expired = IdempotencyKey.created_at < now - REMEMBERED_FOR
    fresh = insert(IdempotencyKey).values(values | {"status": None, "headers": None, "body": None})
    db.session.execute(
        fresh.on_conflict_do_update(
            index_elements=["caller", "key"],
            set_={name: fresh.excluded[name] for name in ("fingerprint", "created_at", "status")},
            where=expired,
        )
    )
    row = db.session.get_one(IdempotencyKey, (caller, key), populate_existing=True)
    if row.fingerprint != values["fingerprint"]:
        raise Invalid("This Idempotency-Key was used before, for another request.")
    return row


def _fingerprint() -> str:
    # Keyed, for the body may hold a password, which a plain hash would let a thief of the database
    # try out.
    key = str(current_app.secret_key).encode()
    digest = hmac.new(key, f"{request.method} {request.path}?".encode(), hashlib.sha256)
    digest.update(request.query_string + b"\n" + read_body(request))
    return digest.hexdigest()


def _remember(row: IdempotencyKey, response: Response) -> None:
    if not 200 <= response.status_code < 300:
        raise RuntimeError("An idempotent view must raise its errors.")
    row.status = response.status_code
    row.headers = [[k, v] for k, v in response.headers if k in KEPT_HEADERS]
    row.body = response.get_data(as_text=True)


def _answer_again(row: IdempotencyKey) -> Response:
    response = Response(row.body, status=row.status)
    response.headers.update(dict(row.headers or []))
    response.headers["Idempotent-Replayed"] = "true"
    return response
