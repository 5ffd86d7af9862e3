"""Photos of customers: made fit by `photo_program`, kept in the storage under unguessable tokens.

Every file is named by a row, at any moment: of `customer`, or of `loose_photo`, which is written
before the file and deleted after it. So a process may be killed between any two steps, and what it
leaves behind is found by `delete_loose`.
"""

from __future__ import annotations

import json
import re
import secrets
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from functools import partial
from http import HTTPStatus
from os import SEEK_END
from pathlib import Path
from threading import BoundedSemaphore
from typing import IO

import structlog
from sqlalchemy import delete, exists, func, or_, select, update
from werkzeug.exceptions import RequestEntityTooLarge

from automart.core.db import after_commit, db, release_connection, rowcount, transaction, utcnow
from automart.core.errors import Invalid, NotFound, Unavailable, UnsupportedMediaType
from automart.core.storage import NotStored, current_storage
from automart.customers.models import TOKEN_BYTES, TOKEN_LENGTH, Customer, OrphanedPhoto

log = structlog.get_logger(__name__)

LARGEST_UPLOAD = 5_000_000
FIELD = "photo"
TOKEN = re.compile(f"[0-9a-f]{{{TOKEN_LENGTH}}}", re.ASCII)
PROGRAM = Path(__file__).with_name("photo_decoder.py")
REFUSED = 3
"""The exit status with which it says what is wrong with the upload."""
DECODED_WITHIN = 30
A_PLACE_WITHIN = 20
MOST_UPLOADS = 32
# Between its row and its customer an upload takes as long as the storage does. One that takes
# longer than this is refused, for its file may be gone.
GRACE = timedelta(minutes=1)
BATCH = 500
MOST_FAILURES = 3
DELETES_FOR = 2.0

TOO_MANY = "Too many photos are being uploaded."
BUSY = "Photos cannot be decoded at the moment."

# A large picture takes a processor and much memory: one at a time in each process. Those that wait
# for it have some of the process's threads, and leave the others to other requests.
_program = BoundedSemaphore(1)
_line = BoundedSemaphore(MOST_UPLOADS)


def made_fit(upload: IO[bytes]) -> bytes:
    """The WebP to store for an upload. Raises what the client is told: 413, 415, 422, 503."""
    size = upload.seek(0, SEEK_END)
    if size > LARGEST_UPLOAD:
        raise RequestEntityTooLarge(f"A photo has at most {LARGEST_UPLOAD} bytes.")
    if not size:
        raise Invalid.field(FIELD, "It is an empty file.")
    with _place():
        upload.seek(0)
        return _run_program(upload.read())


@contextmanager
def _place() -> Iterator[None]:
    """Wait for the others. Until then, a large upload is on the disk."""
    if not _line.acquire(blocking=False):
        raise Unavailable(TOO_MANY)
    try:
        release_connection()  # nothing is held open while it waits and decodes
        if not _program.acquire(timeout=A_PLACE_WITHIN):
            raise Unavailable(TOO_MANY)
        try:
            yield
        finally:
            _program.release()
    finally:
        _line.release()


@contextmanager
def stored(webp: bytes) -> Iterator[str]:
    """Store a file and answer its token. It is deleted if the block ends with an error and has not
    given it to a customer."""
    token = secrets.token_hex(TOKEN_BYTES)
    with transaction():
        db.session.add(OrphanedPhoto(token=token))
    try:
        current_storage().put(_key(token), webp)
        yield token
    except BaseException:
        _drop(token)
        raise


def give(customer: Customer, token: str) -> None:
    """Let `customer` have the photo `token` instead of its present one, if any, which goes once the
    transaction is committed. Call it with the customer's row locked."""
    loose = delete(OrphanedPhoto).where(OrphanedPhoto.token == token, ~OrphanedPhoto.is_doomed)
    if not rowcount(loose):
        raise Unavailable("Storing the photo took too long.")
    take_from(customer)
    customer.photo_token = token


def take_from(customer: Customer) -> None:
    """Take its photo from `customer`, if it has one; it goes once the transaction is committed."""
    token = customer.photo_token
    if token is None:
        return
    db.session.add(OrphanedPhoto(token=token, is_doomed=True))
    customer.photo_token = None
    after_commit(partial(_delete_now, token))


def content_of(token: str) -> bytes:
    """The WebP that some customer has under `token`. Raises `NotFound`."""
    try:
        if _is_given(token):
            return current_storage().get(_key(token))
    except NotStored:
        pass  # taken away at this very moment
    raise NotFound("There is no such photo.")


def _is_given(token: str) -> bool:
    if not TOKEN.fullmatch(token):
        return False  # with a NUL in it, say, which a database would not compare
    found = db.session.scalar(select(exists().where(Customer.photo_token == token)))
    release_connection()
    return bool(found)


def delete_loose() -> int:
    """Delete files that no customer has, for some seconds at most: other chores wait for it.
    Answers how many; the rest waits for the next call."""
    is_late = OrphanedPhoto.created_at < utcnow() - GRACE
    loose = select(OrphanedPhoto.token).where(or_(OrphanedPhoto.is_doomed, is_late))
    # In no order: no file that cannot be deleted stands before others each time.
    tokens = list(db.session.scalars(loose.order_by(func.random()).limit(BATCH)))
    release_connection()
    if not tokens:
        return 0
    with transaction():
        db.session.execute(
            update(OrphanedPhoto).where(OrphanedPhoto.token.in_(tokens)).values(is_doomed=True)
        )
        doomed = select(OrphanedPhoto.token).where(OrphanedPhoto.token.in_(tokens))
        tokens = list(db.session.scalars(doomed))
    return _delete_doomed(tokens)


def _run_program(content: bytes) -> bytes:
    command = [sys.executable, "-I", str(PROGRAM)]
    try:
        done = subprocess.run(
            command, input=content, capture_output=True, timeout=DECODED_WITHIN, check=False
        )
    except subprocess.TimeoutExpired:
        # It is killed when it has used 20 seconds of a processor: it has hardly had one.
        raise Unavailable(BUSY) from None
    if done.returncode == 0:
        return done.stdout
    if done.returncode == REFUSED:
        refusal = json.loads(done.stderr)
        if refusal["status"] == HTTPStatus.UNSUPPORTED_MEDIA_TYPE:
            raise UnsupportedMediaType(refusal["detail"])
        raise Invalid.field(FIELD, refusal["detail"])
    told = done.stderr[-500:].decode(errors="replace")
    if done.returncode > 0:
        log.error("photo_program_failed", status=done.returncode, told=told)
        raise Unavailable(BUSY)
    log.warning("photo_program_killed", signal=-done.returncode, told=told)
    raise Invalid.field(FIELD, "Decoding it takes too much time or memory.")


def _key(token: str) -> str:
    return f"{token[:2]}/{token}.webp"


def _drop(token: str) -> None:
    """Delete a file unless a customer was given it after all."""
    loose = update(OrphanedPhoto).where(OrphanedPhoto.token == token).values(is_doomed=True)
    with transaction():
        if not rowcount(loose):
            if db.session.scalar(select(exists().where(Customer.photo_token == token))):
                return
            # `delete_loose` was here, and before the file was.
            db.session.add(OrphanedPhoto(token=token, is_doomed=True))
    _delete_now(token)


def _delete_now(token: str) -> None:
    _delete_doomed([token])


def _delete_doomed(tokens: list[str]) -> int:
    """Delete the files and their rows. The row of one that fails stays for housekeeping."""
    deleted = failed = 0
    end = time.monotonic() + DELETES_FOR
    for token in tokens:
        try:
            current_storage().delete(_key(token))
        except Unavailable:
            failed += 1
        else:
            with transaction():
                deleted += rowcount(delete(OrphanedPhoto).where(OrphanedPhoto.token == token))
        # So many, and it is not the file, it is the storage.
        if failed == MOST_FAILURES or time.monotonic() >= end:
            break
    if failed:
        log.warning("photo_files_left", count=len(tokens) - deleted)
    return deleted
