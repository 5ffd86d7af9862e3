"""Photos of customers: transcoded by `photo_decoder`, stored under tokens that cannot be guessed.

At any moment, each file belongs to a row: a customer, or an `OrphanedPhoto`, which is written
before the file and deleted after it. So a process may be killed at any point. The files that it
leaves behind are deleted by `maintenance.delete_orphaned_photos`.
"""

from __future__ import annotations

import json
import re
import secrets
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import timedelta
from http import HTTPStatus
from os import SEEK_END
from pathlib import Path
from threading import BoundedSemaphore
from typing import IO

import structlog
from sqlalchemy import delete, exists, select, update
from werkzeug.exceptions import RequestEntityTooLarge

from automart.core.db import after_commit, db, release_connection, rowcount, transaction
from automart.core.errors import Invalid, NotFound, Unavailable, UnsupportedMediaType
from automart.core.storage import NotStored, current_storage
from automart.core.turns import turn_released
from automart.customers.models import TOKEN_BYTES, TOKEN_LENGTH, Customer, OrphanedPhoto

log = structlog.get_logger(__name__)

MAX_UPLOAD_BYTES = 5_000_000
FIELD = "photo"
TOKEN = re.compile(f"[0-9a-f]{{{TOKEN_LENGTH}}}", re.ASCII)
DECODER = Path(__file__).with_name("photo_decoder.py")
REFUSED = 3
"""The exit status of the decoder for an invalid upload."""
DECODING_SECONDS = 30
WAITING_SECONDS = 20
MAX_UPLOADS = 32
# How long an upload may take to store its file. The file of a slower one may be deleted already.
UPLOAD_TIME_LIMIT = timedelta(minutes=1)
MAX_FAILURES = 3
DELETING_SECONDS = 2.0

TOO_MANY = "Too many photos are being uploaded."
BUSY = "Photos cannot be decoded at the moment."

# Decoding a large image takes a whole processor and much memory, so each process decodes one at a
# time. The limit of waiting uploads leaves threads free for other requests.
_decoder = BoundedSemaphore(1)
_uploads = BoundedSemaphore(MAX_UPLOADS)


def transcode(upload: IO[bytes]) -> bytes:
    """Return the WebP to store for an upload.

    Raises `RequestEntityTooLarge`, `UnsupportedMediaType`, `Invalid` or `Unavailable`.
    """
    size = upload.seek(0, SEEK_END)
    if size > MAX_UPLOAD_BYTES:
        raise RequestEntityTooLarge(f"A photo has at most {MAX_UPLOAD_BYTES} bytes.")
    if not size:
        raise Invalid.field(FIELD, "It is an empty file.")
    with turn_released(), _decoder_slot():
        upload.seek(0)
        return _run_decoder(upload.read())


@contextmanager
def _decoder_slot() -> Iterator[None]:
    """Wait until no other upload of this process is decoded. Raises `Unavailable`."""
    if not _uploads.acquire(blocking=False):
        raise Unavailable(TOO_MANY)
    try:
        release_connection()  # no transaction is open during slow work
        if not _decoder.acquire(timeout=WAITING_SECONDS):
            raise Unavailable(TOO_MANY)
        try:
            yield
        finally:
            _decoder.release()
    finally:
        _uploads.release()


@contextmanager
def stored(webp: bytes) -> Iterator[str]:
    """Store a file and yield its token.

    If the block raises an error, the file is deleted, unless it was attached to a customer.
    """
    token = secrets.token_hex(TOKEN_BYTES)
    with transaction():
        db.session.add(OrphanedPhoto(token=token))
    try:
        current_storage().put(_storage_key(token), webp)
        yield token
    except BaseException:
        _delete_unless_attached(token)
        raise


def attach(customer: Customer, token: str) -> None:
    """Replace the photo of a locked customer. The previous file is deleted after the commit.

    Raises `Unavailable` if storing took so long that the file may be deleted already.
    """
    orphan = delete(OrphanedPhoto).where(
        OrphanedPhoto.token == token, ~OrphanedPhoto.pending_deletion
    )
    if not rowcount(orphan):
        raise Unavailable("Storing the photo took too long.")
    detach(customer)
    customer.photo_token = token


def detach(customer: Customer) -> None:
    """Remove the photo of a locked customer, if any. Its file is deleted after the commit."""
    token = customer.photo_token
    if token is None:
        return
    db.session.add(OrphanedPhoto(token=token, pending_deletion=True))
    customer.photo_token = None
    after_commit(lambda: _delete_file(token))


def read_photo(token: str) -> bytes:
    """Return the photo with this token as WebP. Raises `NotFound` if no customer has it."""
    try:
        if _is_attached(token):
            return current_storage().get(_storage_key(token))
    except NotStored:
        pass  # it was deleted in between
    raise NotFound("There is no such photo.")


def _is_attached(token: str) -> bool:
    if not TOKEN.fullmatch(token):
        return False  # PostgreSQL refuses to compare a NUL
    is_attached = db.session.scalar(select(exists().where(Customer.photo_token == token)))
    release_connection()
    return bool(is_attached)


def _run_decoder(content: bytes) -> bytes:
    command = [sys.executable, "-I", str(DECODER)]
    try:
        done = subprocess.run(
            command, input=content, capture_output=True, timeout=DECODING_SECONDS, check=False
        )
    except subprocess.TimeoutExpired:
        # The decoder is killed after 20 seconds of processor time, so it hardly had any.
        raise Unavailable(BUSY) from None
    if done.returncode == 0:
        return done.stdout
    if done.returncode == REFUSED:
        refusal = json.loads(done.stderr)
        if refusal["status"] == HTTPStatus.UNSUPPORTED_MEDIA_TYPE:
            raise UnsupportedMediaType(refusal["detail"])
        raise Invalid.field(FIELD, refusal["detail"])
    output = done.stderr[-500:].decode(errors="replace")
    if done.returncode > 0:
        log.error("photo_decoder_failed", status=done.returncode, output=output)
        raise Unavailable(BUSY)
    log.warning("photo_decoder_killed", signal=-done.returncode, output=output)
    raise Invalid.field(FIELD, "Decoding it takes too much time or memory.")


def _storage_key(token: str) -> str:
    return f"{token[:2]}/{token}.webp"


def _delete_unless_attached(token: str) -> None:
    """Delete a file, unless it was attached to a customer before the error."""
    orphan = update(OrphanedPhoto).where(OrphanedPhoto.token == token).values(pending_deletion=True)
    with transaction():
        if not rowcount(orphan):
            if db.session.scalar(select(exists().where(Customer.photo_token == token))):
                return
            # Housekeeping has deleted the row, before the file was written.
            db.session.add(OrphanedPhoto(token=token, pending_deletion=True))
    delete_files([token])


def _delete_file(token: str) -> None:
    delete_files([token])


def delete_files(tokens: Sequence[str]) -> int:
    """Delete files that are pending deletion, and their rows. Return their number.

    The rows of files that cannot be deleted stay for housekeeping.
    """
    deleted = failed = 0
    end = time.monotonic() + DELETING_SECONDS
    for token in tokens:
        try:
            current_storage().delete(_storage_key(token))
        except Unavailable:
            failed += 1
        else:
            with transaction():
                deleted += rowcount(delete(OrphanedPhoto).where(OrphanedPhoto.token == token))
        # After several failures the storage is the cause, not the file.
        if failed == MAX_FAILURES or time.monotonic() >= end:
            break
    if failed:
        log.warning("photo_files_left", count=len(tokens) - deleted)
    return deleted
