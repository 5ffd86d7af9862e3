"""Storage of files, in a folder or in S3 (`PHOTO_STORAGE`)."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

import obstore
import structlog
from flask import Flask, current_app
from obstore.exceptions import BaseError
from obstore.store import LocalStore, S3Store

from automart.core.config import Settings
from automart.core.db import refuse_in_transaction
from automart.core.errors import Unavailable

if TYPE_CHECKING:  # exists for type checkers only
    from obstore.store import S3Config

log = structlog.get_logger(__name__)

S3 = "s3://"
CONNECT_TIMEOUT = timedelta(seconds=3)
RESPONSE_TIMEOUT = timedelta(seconds=10)


class NotStored(Exception):
    """There is no such file."""


class Storage:
    """Files under keys like `ab/cd.webp`. Every method raises `Unavailable` if the storage is down.

    The region and the endpoint of S3 come from the environment, under AWS's names. So do
    credentials that are not passed: those of a session or of the machine.
    """

    def __init__(self, where: str, credentials: S3Config | None = None) -> None:
        self._where = where
        self._credentials = credentials

    def put(self, key: str, content: bytes) -> None:
        """Store a file, as a whole or not at all."""
        try:
            with _access(key):
                obstore.put(self._store, key, content, use_multipart=False)
                if self._folder is not None:
                    _sync_to_disk(self._folder / key)
        except FileNotFoundError as error:  # the bucket does not exist
            raise Unavailable("Photos cannot be stored at the moment.") from error

    def get(self, key: str) -> bytes:
        """Return the content of a file. Raises `NotStored`."""
        try:
            with _access(key):
                return bytes(obstore.get(self._store, key).bytes())
        except FileNotFoundError:
            raise NotStored from None

    def delete(self, key: str) -> None:
        """Delete a file if it exists."""
        with _access(key):
            try:
                obstore.delete(self._store, key)
            except FileNotFoundError:
                log.info("file_already_deleted")
            if self._folder is not None:
                # Left by a process that was killed while it wrote.
                for draft in (self._folder / key).parent.glob(f"{Path(key).name}#*"):
                    draft.unlink(missing_ok=True)

    @cached_property
    def _folder(self) -> Path | None:
        return None if self._where.startswith(S3) else Path(self._where)

    @cached_property
    def _store(self) -> LocalStore | S3Store:
        """Opened at the first use, and so after any fork: it has threads of its own."""
        if self._folder is not None:
            return LocalStore(self._folder, mkdir=True)
        return S3Store.from_url(
            self._where,
            client_options={
                "connect_timeout": CONNECT_TIMEOUT,
                "timeout": RESPONSE_TIMEOUT,
                "allow_http": True,  # applies only to endpoints that begin with http://
            },
            retry_config={"max_retries": 1, "retry_timeout": RESPONSE_TIMEOUT},
            config=self._credentials,
        )


def init_storage(app: Flask, settings: Settings) -> None:
    """Let `app` store its photos where `settings` say."""
    where = settings.photo_storage or str(settings.instance / "photos")
    key, secret = settings.aws_access_key_id, settings.aws_secret_access_key
    credentials: S3Config | None = None
    if key and secret:
        credentials = {"access_key_id": key, "secret_access_key": secret}
    app.extensions["storage"] = Storage(where, credentials)


def current_storage() -> Storage:
    """Return the storage of the current application."""
    storage: Storage = current_app.extensions["storage"]
    return storage


@contextmanager
def _access(key: str) -> Iterator[None]:
    """Turn errors of the storage into `Unavailable`, and log them without the key: it is a secret
    that grants access to the photo."""
    refuse_in_transaction("access to the storage")
    try:
        yield
    except FileNotFoundError:
        raise
    except (BaseError, OSError) as error:
        detail = str(error).partition("\n")[0].replace(key, "…").replace(Path(key).stem, "…")
        log.error("storage_unavailable", error=type(error).__name__, detail=detail)  # noqa: TRY400 - the traceback has the key
        raise Unavailable("The photo storage is not available at the moment.") from None


def _sync_to_disk(path: Path) -> None:
    """Wait until a power failure cannot undo the write, as the database does when it commits the
    reference to this file."""
    for each in (path, path.parent):
        descriptor = os.open(each, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
